"""Shapes10: small colour pictures in ten classes, drawn by a seeded generator. It stands in for CIFAR-10 offline.

Each picture is 32x32 RGB and shows one large object on a busy background. Eight classes are outlines (disc, ring,
square, triangle, arrow, star, heart, moon); two are patterns, and a patterned object is named by its pattern whatever
its outline. Place, size, tilt, colours, shading, clutter, occlusion and noise are random; a third of the objects have
the usual colour of their class. Mirroring a picture or changing its colours keeps its label.

The same seed gives the same bytes on every platform: randomness is PCG64's uniform numbers only, and pixels come from
element-wise +, -, *, / and square root, which IEEE 754 rounds exactly. Sines, logarithms, matrix products and sums
over an axis are avoided on purpose, for their last digit depends on the machine.
"""

from functools import lru_cache

import numpy as np

# Each class and the colour that it often has; so a linear model learns something, and not much.
_COLOURS = {
    "disc": (235, 140, 40),
    "ring": (215, 185, 60),
    "square": (90, 100, 200),
    "triangle": (60, 160, 70),
    "arrow": (120, 110, 100),
    "star": (240, 235, 110),
    "heart": (215, 45, 70),
    "moon": (225, 225, 235),
    "striped": (130, 60, 150),
    "checkered": (60, 170, 180),
}
CLASSES = tuple(_COLOURS)
SIZE = 32  # pixels a side
OUTLINES = 8  # the first eight classes; the other two are patterns
BLOCK = 500  # pictures drawn at once: few enough for the processor's cache, and fifty of each class

_USUAL = np.array(list(_COLOURS.values()), np.float32)[:, :, None, None]
# Directions, with y downwards, to the five tips of a star and the three sides of a triangle.
_TIPS = ((0.0, -1.0), (0.951057, -0.309017), (0.587785, 0.809017), (-0.587785, 0.809017), (-0.951057, -0.309017))
_SIDES = ((0.0, 1.0), (0.866025, -0.5), (-0.866025, -0.5))


def load(n_train=10_000, n_test=2_000, seed=10):
    """Training and test pictures.

    n_train, n_test: how many, any integers >= 0. seed: integer >= 0. A smaller n gives the first pictures of a larger
    one, and the two parts do not depend on each other's size.
    Returns (x_train, y_train), (x_test, y_test): uint8 (n, 32, 32, 3) and int64 (n,), in random order, the classes
    equally frequent in every run of 500. The arrays are shared between calls and therefore read-only; copy to change.
    """
    return _part(n_train, seed, 0), _part(n_test, seed, 1)


@lru_cache(maxsize=4)
def _part(n, seed, part):
    rng = np.random.Generator(np.random.PCG64([seed, part]))
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(n, np.int64)
    for start in range(0, n, BLOCK):
        block_images, block_labels = _block(rng)
        images[start : start + BLOCK] = block_images[: n - start]
        labels[start : start + BLOCK] = block_labels[: n - start]
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def _block(rng):
    """One block of pictures and their labels; each step of a drawing is done for all pictures at once."""
    labels = np.argsort(rng.random(BLOCK), kind="stable") % len(CLASSES)
    pattern = np.maximum(labels - (OUTLINES - 1), 0)  # 0 plain, 1 striped, 2 checkered
    outline = np.where(pattern > 0, _choice(rng, OUTLINES), labels)

    usual = rng.random(BLOCK) < 0.35
    colour = np.where(_wide(usual), _USUAL[labels] + _uniform(rng, -30, 30, 3, 1, 1), _uniform(rng, 25, 230, 3, 1, 1))
    background = _contrasting(rng, colour, 60, 130)

    canvas = _background(rng, background)
    for _ in range(3):
        _draw_clutter(rng, canvas, background, presence=0.5)
    _draw_object(rng, canvas, colour, outline, pattern)
    _draw_clutter(rng, canvas, background, presence=0.4)
    _draw_bar(rng, canvas, presence=0.3)
    _light(rng, canvas)
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8).transpose(0, 2, 3, 1), labels


# --- what is drawn: canvas (BLOCK, 3, 32, 32), colours (BLOCK, 3, 1, 1), a number for each picture (BLOCK, 1, 1, 1) ---


def _background(rng, colour):
    """Soft blotches around a colour, sometimes with faint stripes, so that a pattern alone does not make an object."""
    light, tint = _blotches(rng, 5, 1) * _uniform(rng, 5, 45), _blotches(rng, 3, 3) * _uniform(rng, 0, 30)
    u, _ = _local(rng, 16, 16, 1, tilt=1.0)
    stripes = _wave(u / _uniform(rng, 4, 9)) * _sometimes(rng, 0.25, 20)
    return colour + (light + stripes) + tint


def _draw_object(rng, canvas, colour, outline, pattern):
    radius = _uniform(rng, 7, 13)
    u, v = _local(rng, _uniform(rng, 11, 21), _uniform(rng, 11, 21), radius, tilt=0.18)
    coverage = _coverage(outline, u, v, radius)
    mix = _pattern(rng, pattern, u * radius, v * radius)
    shade = u * _uniform(rng, -20, 20) + v * _uniform(rng, -20, 20)
    second = _contrasting(rng, colour, 70, 127)
    _blend(canvas, coverage, colour + mix * (second - colour) + shade)


def _draw_clutter(rng, canvas, background, presence):
    """A small outline somewhere in some of the pictures: the class is that of the large one."""
    radius = _uniform(rng, 2, 4)
    u, v = _local(rng, _uniform(rng, 0, 32), _uniform(rng, 0, 32), radius, tilt=1.0)
    coverage = _coverage(_choice(rng, OUTLINES), u, v, radius) * _sometimes(rng, presence, 1)
    _blend(canvas, coverage, _contrasting(rng, background, 30, 120))


def _draw_bar(rng, canvas, presence):
    """A bar across some of the pictures, which hides part of the object."""
    u, _ = _local(rng, _uniform(rng, 8, 24), _uniform(rng, 8, 24), 1, tilt=1.0)
    coverage = np.clip(_uniform(rng, 1.2, 2.2) - np.abs(u), 0, 1) * _sometimes(rng, presence, 1)
    _blend(canvas, coverage, _uniform(rng, 20, 235, 3, 1, 1))


def _light(rng, canvas):
    """Uneven illumination from a random side, then noise whose strength differs from picture to picture."""
    u, _ = _local(rng, 16, 16, 16, tilt=1.0)
    canvas *= 1 + u * _uniform(rng, 0, 0.3)
    noise = rng.random(canvas.shape, np.float32)
    noise += rng.random(canvas.shape, np.float32)
    noise -= 1
    canvas += noise * _uniform(rng, 8, 40)


# --- geometry ---------------------------------------------------------------------------------------------------------


def _local(rng, x, y, radius, tilt):
    """Each pixel's place (u, v), both (BLOCK, 1, 32, 32), in an object's own frame, where its radius is 1.

    x, y: the object's centre in pixels. tilt: tangent of half the largest tilt either way (0.18 is 20 degrees, 1 is
    90 degrees); half of the objects are mirrored.
    """
    t = _uniform(rng, -tilt, tilt)
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)  # the circle by fractions, without a sine
    pixel = np.arange(SIZE, dtype=np.float32) + 0.5
    across, down = (pixel - x) / radius, (pixel[:, None] - y) / radius
    return (across * cos + down * sin) * (1 - _sometimes(rng, 0.5, 2)), down * cos - across * sin


def _coverage(outline, u, v, radius):
    """How much of each pixel the outline covers, 0 to 1, from its signed distance in pixels."""
    coverage = np.empty_like(u)
    for kind in range(OUTLINES):
        chosen = np.flatnonzero(outline == kind)
        coverage[chosen] = _distance(CLASSES[kind], u[chosen], v[chosen]) * -radius[chosen]
    return np.clip(coverage + 0.5, 0, 1)


def _distance(name, u, v):
    """Signed distance to an outline of radius about 1 (negative inside; near the edge it is exact to a factor)."""
    a, b = np.abs(u), np.abs(v)
    if name == "disc":
        return _length(u, v) - 0.85
    if name == "ring":
        return np.abs(_length(u, v) - 0.7) - 0.23
    if name == "square":
        return np.maximum(a, b) - 0.77
    if name == "triangle":
        return _furthest(_SIDES, u, v)[0] - 0.56
    if name == "arrow":  # upright: a triangle on a stem
        head, stem = np.maximum(v, (a - v - 1) * 0.7071), np.maximum(a - 0.27, np.abs(v - 0.45) - 0.5)
        return np.minimum(head, stem)
    if name == "star":  # inside all five lines but one
        return _furthest(_TIPS, u, v)[1] - 0.36
    if name == "heart":  # a square on its corner, and a disc on each of its upper sides
        return np.minimum((a + np.abs(v - 0.12) - 0.8) * 0.7071, _length(a - 0.4, v + 0.28) - 0.5657)
    if name == "moon":  # a disc with a bite out of one side
        return np.maximum(_length(u, v) - 0.95, 0.72 - _length(u - 0.45, v))
    raise ValueError(f"no outline is called {name!r}")


def _length(u, v):
    return np.sqrt(u * u + v * v)


def _furthest(normals, u, v):
    """Largest and second largest of the products of (u, v) with the normals."""
    first = second = np.full_like(u, -np.inf)
    for x, y in normals:
        along = u * np.float32(x) + v * np.float32(y)
        second = np.maximum(second, np.minimum(first, along))
        first = np.maximum(first, along)
    return first, second


# --- texture and colour -----------------------------------------------------------------------------------------------


def _pattern(rng, pattern, u, v):
    """Share of the second colour in each pixel, 0 to 1: none, stripes, or a checkerboard. u, v in pixels."""
    period, phase = _uniform(rng, 5, 8), _uniform(rng, 0, 1)
    down, across = _wave(v / period + phase), _wave(u / period + phase)
    edge = np.where(_wide(pattern) == 1, down, down * across) * period  # about the distance to the pattern's edge
    return np.where(_wide(pattern) == 0, np.float32(0), np.clip(edge * 0.5 + 0.5, 0, 1))


def _wave(x):
    """Triangle wave of period 1, from -1 to 1."""
    return np.abs(x - np.floor(x) - 0.5) * 4 - 1


def _blotches(rng, cells, channels):
    """Smooth random field from -1 to 1, (BLOCK, channels, 32, 32): a coarse grid, interpolated along each axis."""
    grid = _uniform(rng, -1, 1, channels, cells, cells)
    place = np.arange(SIZE, dtype=np.float32) * ((cells - 1) / SIZE)
    low = np.floor(place).astype(int)
    share = place - low.astype(np.float32)
    rows = grid[:, :, low] * (1 - share[:, None]) + grid[:, :, low + 1] * share[:, None]
    return rows[..., low] * (1 - share) + rows[..., low + 1] * share


def _contrasting(rng, colour, low, high):
    """A colour that differs from the given one by low to high in one channel, and by no more in the others."""
    share = _uniform(rng, -1, 1, 3, 1, 1)
    leading = np.arange(3)[:, None, None] == _wide(_choice(rng, 3))
    change = np.where(leading, np.where(share < 0, np.float32(-1), np.float32(1)), share) * _uniform(rng, low, high)
    moved = colour + change
    return np.where((moved < 0) | (moved > 255), colour - change, moved)


def _blend(canvas, coverage, paint):
    canvas += (paint - canvas) * coverage


# --- random numbers ---------------------------------------------------------------------------------------------------


def _uniform(rng, low, high, *shape):
    """float32 from low to high, (BLOCK, *shape). (Generator.uniform may fuse its multiply and add.)"""
    return rng.random((BLOCK, *(shape or (1, 1, 1))), np.float32) * (high - low) + low


def _sometimes(rng, share, value):
    """The value in that share of the pictures, else 0."""
    return np.where(rng.random((BLOCK, 1, 1, 1)) < share, np.float32(value), np.float32(0))


def _choice(rng, n):
    """A whole number below n for each picture, (BLOCK,)."""
    return np.floor(rng.random(BLOCK) * n).astype(np.int64)


def _wide(per_picture):
    """From (BLOCK,) to (BLOCK, 1, 1, 1)."""
    return per_picture[:, None, None, None]
