"""Notebooks that are damaged, or something else under a notebook's name: read where that is safe, or named."""

import json
import random
import zipfile
from io import BytesIO

import pytest

from course.grading import damage, resetting, submission, work

SOURCE = "# Exercise 90.1\ndef twice(x):\n    return x + x\n"


def notebook(source=SOURCE, outputs=(), count=1, more=""):
    cell = {"cell_type": "code", "execution_count": count, "metadata": {}, "outputs": list(outputs)}
    cell |= {"source": source.splitlines(keepends=True)}
    text = {"cell_type": "markdown", "metadata": {}, "source": f"text {more}"}
    raw = {"cells": [text, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(raw, indent=1) + "\n"


def conflict(ours, theirs, base=None):
    """What git leaves of two states: the lines that both begin and end with, and both of what is between."""
    a, b = ours.splitlines(keepends=True), theirs.splitlines(keepends=True)
    first = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
    last = next(i for i, (x, y) in enumerate(zip(reversed(a), reversed(b))) if x != y)
    middle = ["||||||| merged common ancestors\n", base] if base else []
    mine, other = a[first : len(a) - last], b[first : len(b) - last]
    return "".join(
        [*a[:first], "<<<<<<< HEAD\n", *mine, *middle, "=======\n", *other, ">>>>>>> week 3\n", *a[len(a) - last :]]
    )


def read(data):
    """The sources of the cells in a notebook's bytes or text, and the notes."""
    notes = []
    raw = damage.parse(data if isinstance(data, bytes) else data.encode(), notes.append)
    return [submission.as_read(cell)[1] for cell in raw["cells"]], " ".join(notes)


WHOLE = read(notebook())[0]
ZIP = BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("03_convolution.ipynb", notebook())
OTHERS = {
    "empty": (b"", "is empty"),
    "blank": (b" \r\n\t", "is empty"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "zeros in the middle": (notebook().encode()[:90] + bytes(50) + notebook().encode()[140:], "zeros in the middle"),
    "a zip": (ZIP.getvalue(), "a zip or an Office document.*unpack it"),
    "packed": (b"\x1f\x8b\x08\0\0\0", "a packed file"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "a page": (b"<!DOCTYPE html>\n<html lang=en>", "a saved web page.*the button Raw"),
    "a page, by its first tag": (b"\xef\xbb\xbf\n<!-- saved from url=(0031)https://x -->\n<HTML><head>", "a saved"),
    "a page in XHTML": (b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C">', "a saved web page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "a script": (b"# %%\nimport numpy as np\n", "a Python script"),
    "a shortcut": (b"L\0\0\0\x01\x14\x02\0\0\0\0\0", "a shortcut of Windows"),
    "not JSON": (b"print('hello')", "no JSON at line 1"),
    "half": (notebook().encode()[:-60], "half written"),
    "Latin-1": (notebook("# é\n").replace("\\u00e9", "é").encode("latin-1"), "not in UTF-8"),
    "two notebooks": ((notebook() + notebook()).encode(), "holds two notebooks"),
    "more JSON": (b"[] []", "no JSON at line 1 .Extra data"),
    "many digits": (notebook().replace('"execution_count": 1', '"execution_count": ' + "9" * 9999).encode(), "digits"),
    "deep": (b'{"cells": ' + b"[" * 200_000, "nested too deeply"),
    "other answers on two sides": (conflict(notebook(), notebook(SOURCE.replace("x + x", "2 * x"))), "in line 1[0-9]"),
    "half a conflict": (conflict(notebook(), notebook(count=2)).replace(">>>>>>> week 3\n", ""), "merge that git"),
    "comments without an end": (b"<!---->" * 600 + b"<x>", "no JSON at line 1"),
    "marks without an end": ("<<<<<<<\n" * 100_000, "merge that git"),
    "marks of each kind": (("<<<<<<<\n" + "|||||||\n=======\n" * 99) * 99, "merge that git"),
    "a conflict in one side only": (notebook().replace(' "metadata": {},\n', "<<<<<<< HEAD\n"), "merge that git"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_notebook_is_named_for_what_it_is(name, tmp_path):
    data, words = OTHERS[name]
    path = tmp_path / "03_convolution.ipynb"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(submission.BadNotebook, match=words) as caught:
        submission.read_notebook(path)
    said = str(caught.value)
    assert said.startswith("03_convolution.ipynb ") and "\n" not in said and len(said) < 450


def stream(text):
    return [{"name": "stdout", "output_type": "stream", "text": [text]}]


SAFE = {
    "as it is": (notebook(), ""),
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + notebook().encode(), ""),
    "UTF-16": (notebook().encode("utf-16"), ""),
    "UTF-16 without a mark": (notebook().encode("utf-16-le"), ""),
    "UTF-16 the other way": (notebook().encode("utf-16-be"), ""),
    "zeros after it": (notebook() + "\0" * 4096, "4,096 zeros"),
    "the end of an older state": (notebook() + notebook(more="x" * 200)[-150:], "older, longer state"),
    "a merge of outputs": (
        conflict(notebook(outputs=stream("1\n")), notebook(outputs=stream("2\n"), count=7)), "differ in outputs only",
    ),
    "a merge with its base": (
        conflict(notebook(count=3), notebook(count=7), base='   "execution_count": 1,\n'), "differ in outputs only",
    ),
    "marks within a text": (notebook(SOURCE + "# <<<<<<< HEAD\n"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_what_can_be_read_safely_is_and_it_is_said(name):
    data, words = SAFE[name]
    sources, notes = read(data)
    assert sources[0] == WHOLE[0] and sources[1].startswith(WHOLE[1].rstrip()) and words in notes
    assert bool(words) == bool(notes)


def test_what_is_damaged_is_never_written_over(small, built_small, tmp_path):
    path = tmp_path / "90_adding.ipynb"
    text = (built_small / "notebooks" / "90_adding.ipynb").read_text(encoding="utf-8") + "\0" * 100
    path.write_text(text, encoding="utf-8")
    with pytest.raises(resetting.ResetError, match="is damaged and stays as it is"):
        resetting.reset(path, "90.1")
    with pytest.raises(work.WorkError, match="zeros"):
        submission.read_notebook(path, work._damaged)
    assert path.read_text(encoding="utf-8") == text


def test_a_damaged_notebook_still_says_its_chapter(tmp_path):
    path = tmp_path / "mine.ipynb"
    path.write_text(notebook() + notebook()[-80:])
    assert submission.chapter_of(path) == "90"


@pytest.mark.parametrize(
    ("source", "wanted"), [(7, "90"), (["# Exercise " + "9" * 5000 + ".1"], "90"), ("# Exercise 3.1", "03")]
)
def test_a_merge_and_an_exercise_of_any_kind_are_read(source, wanted, tmp_path):
    sides = [json.dumps({"cells": [{"source": source, "n": n}], "nbformat": 4}, indent=1) + "\n" for n in (1, 2)]
    path = tmp_path / "90_adding.ipynb"
    path.write_text(conflict(*sides))
    assert submission.chapter_of(path) == wanted


STRANGE = [None, 1, True, [], {}, [[1]], {"a": 1}, ["x", 1, None, ["y"]], "x", "\ud800", [{"source": "x"}]]


def test_cells_of_any_shape_are_read(seed, tmp_path):
    rng = random.Random(seed)
    path = tmp_path / "x.ipynb"
    for _ in range(300):
        cell = {key: rng.choice(STRANGE) for key in ("cell_type", "source", "id", "metadata", "input")}
        cell["metadata"] = rng.choice([cell["metadata"], {"id": rng.choice(STRANGE), "nbgrader": rng.choice(STRANGE)}])
        cell["metadata"] = rng.choice([cell["metadata"], {"nbgrader": {"grade_id": rng.choice(STRANGE)}}])
        raw = rng.choice([{"cells": [cell, 1]}, {"worksheets": [{"cells": rng.choice([[cell], 3])}, 2]}])
        path.write_text(json.dumps(raw))
        for kind, source, ids in submission.read_cells(path):
            assert isinstance(kind, str) and source.encode() is not None and all(isinstance(one, str) for one in ids)
        submission.chapter_of(path)
        submission.of_course(path)


def test_any_bytes_are_read_or_refused(seed, tmp_path):
    rng = random.Random(seed)
    path, good = tmp_path / "x.ipynb", conflict(notebook(), notebook(count=2)).encode()
    for _ in range(300):
        data = bytearray(rng.choice([good, notebook().encode(), notebook().encode("utf-16")]))
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        try:
            submission.read_cells(path)
        except submission.BadNotebook as error:
            assert "\n" not in str(error)
