"""Figures with a palette: exact where there are few colours, close where there are many, and never larger."""

import base64
import io

import nbformat.v4 as v4
import numpy as np
import pytest
from PIL import Image

from course.authoring import figures


def png(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels, **options).save(stream, "PNG")
    return stream.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("count", [1, 2, 255, 256])
def test_few_colours_are_kept_exactly(count, seed):
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, size=(count, 3), dtype=np.uint8)
    image = colours[rng.integers(0, count, size=(90, 120))]
    small = figures.palette_png(png(image))
    assert (pixels(small) == image).all()


def test_many_colours_come_close_and_white_stays_white():
    ramp = np.linspace(0, 255, 400).astype(np.uint8)
    image = np.full((200, 400, 3), 255, np.uint8)
    image[50:150, :, 0], image[50:150, :, 1], image[50:150, :, 2] = ramp, ramp[::-1], 128
    small = figures.palette_png(png(image))
    assert np.sqrt(((pixels(small) - image) ** 2).mean()) < figures.SEEN
    assert (pixels(small)[:40] == 255).all()


def test_photographs_keep_their_colours(seed):
    noise = np.random.default_rng(seed).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
    assert (pixels(figures.palette_png(png(noise))) == noise).all()


def test_transparent_parts_are_white_and_nothing_grows():
    image = np.zeros((50, 50, 4), np.uint8)
    image[10:20, 10:20] = (255, 0, 0, 255)
    small = figures.palette_png(png(image))
    assert pixels(small)[0, 0].tolist() == [255, 255, 255] and pixels(small)[15, 15].tolist() == [255, 0, 0]
    assert len(small) <= len(png(image)) and figures.palette_png(small) == small


def test_the_pngs_of_a_notebook_are_replaced():
    ramp = np.random.default_rng(0).integers(0, 4, size=(100, 100, 3), dtype=np.uint8) * 60
    data = {"image/png": base64.b64encode(png(ramp)).decode(), "text/plain": "a figure"}
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[v4.new_output("display_data", data)])])
    figures.lighten(notebook)
    (output,) = notebook.cells[0].outputs
    assert len(output.data["image/png"]) < len(data["image/png"]) and output.data["text/plain"] == "a figure"
    assert (pixels(base64.b64decode(output.data["image/png"])) == ramp).all()
