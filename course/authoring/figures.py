"""Light figures: the PNGs of executed cells with a palette, which a reader cannot tell from the originals."""

import base64
import io
from typing import Any

COLOURS = 256
SEEN = 2.5  # root mean square difference, in levels of 0 to 255, from which on a palette shows


def lighten(notebook: Any) -> None:
    """Store every PNG among a notebook's outputs with a palette of 256 colours, without dithering, where that is
    smaller. Changes the notebook."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = base64.b64encode(palette_png(base64.b64decode(data["image/png"]))).decode() + "\n"


def palette_png(png: bytes) -> bytes:
    """PNG bytes with a palette: the same colours where there are no more than 256, else the nearest of 256, as long as
    nobody sees the difference; the bytes as they were where these are fewer. Transparent parts become white, as on a
    page."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        if image.mode == "P":
            return png
        rgba = image.convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    page.alpha_composite(rgba)
    rgb = page.convert("RGB")
    small = _exact(rgb) or _nearest(rgb)
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return min(stream.getvalue(), png, key=len)


def _exact(rgb: Any) -> Any:
    """The image with all its colours in a palette, or None where they are too many."""
    import numpy as np
    from PIL import Image

    colours, places = np.unique(np.asarray(rgb).reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > COLOURS:
        return None
    image = Image.fromarray(places.reshape(rgb.height, rgb.width).astype(np.uint8), "P")
    image.putpalette(colours.tobytes())
    return image


def _nearest(rgb: Any) -> Any:
    """The image with the palette that comes closest, or as it is where even that one can be seen (photographs)."""
    from PIL import Image, ImageChops, ImageStat

    def error(image: Any) -> float:
        return max(ImageStat.Stat(ImageChops.difference(rgb, image.convert("RGB"))).rms)

    tried = [
        rgb.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE),
        rgb.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, kmeans=2, dither=Image.Dither.NONE),
    ]
    best = min(tried, key=error)
    return best if error(best) <= SEEN else rgb
