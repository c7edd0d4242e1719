"""What more than one file of tests needs: answers to the small chapter's exercises, notebooks, keys and values."""

import math
from pathlib import Path

import numpy as np
import pytest

from course.authoring import chapters, keying
from course.classroom import sandbox
from course.exercises import keys
from course.files import load_notebook

NAME = "90_adding.ipynb"
SMALL_SOURCE = Path(__file__).parent / "small" / "solutions" / "90_adding.py"
TWICE = "# Exercise 90.1\ndef twice(x):\n    return x + x\n"
MEND = "# Exercise 90.2\ndef mend(x):\n    return 0 - x\n"
COUNTER = """# Exercise 90.3
class Counter:
    n = 0
    def __call__(self, step=1):
        if step < 1:
            raise ValueError
        self.n += step
        return self.n
"""
WALL = sandbox.Limits(cpu_seconds=60, memory_mb=1500, disk_mb=16, processes=64)
walled = pytest.mark.skipif(bool(sandbox.available()), reason=f"no sandbox here: {sandbox.available()}")
RIGHT = {"90.1": TWICE, "90.2": MEND, "90.3": COUNTER}


def point_at(patch, folder):
    """Have this process, and those that it starts, take chapters and keys from a folder."""
    patch.setenv("COURSE_SOLUTIONS", str(folder / "solutions"))


def answered(small, **changes):
    """The learner's notebook with right answers, but those changed: answered(small, _90_1="# Exercise 90.1 ...")."""
    notebook = load_notebook(small / "notebooks" / NAME)
    sources = RIGHT | {name[1:].replace("_", "."): source for name, source in changes.items()}
    for cell in notebook.cells:
        course = cell.metadata.get("course", {})
        if course.get("role") == "answer":
            cell.source = sources[course["exercise"]]
    return notebook


def key_of(cases, expected, mistakes=(), **more):
    """An ExerciseKey with these cases, expected Outcomes and Mistakes."""
    plain = {"number": "1.1", "name": "f", "points": 1, "stub": "", "check": "", "arguments": ("x",), "driver": ""}
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    packed = {"questions": keys.pack_questions(cases), "answers": keys.pack_answers(expected, mistakes)}
    return keys.ExerciseKey(**plain | tolerance | packed | more)


def class_key(number, secret):
    """A class's key, made of the chapter's source."""
    return keying.make(chapters.read_chapter(chapters.source_of(number)), secret)


def every_kind(rng):
    """A value of every kind that a case or an outcome may have."""
    arrays = [rng.normal(size=(2, 3)), rng.integers(0, 9, (4,), dtype="uint8"), rng.random((2, 2)) < 0.5]
    arrays += [np.float32(1.5), np.bool_(True), np.int64(-7), np.array(2.0), np.array(True), np.zeros((0, 3))]
    arrays += [rng.normal(size=3).astype(">f4"), rng.normal(size=2) + 1j, np.complex64(1j), np.array([np.nan, -np.inf])]
    numbers = [True, False, 3, -(2**80), 2**53, 2**53 - 1, 10**400, 0.1, -0.0, math.nan, math.inf, -math.inf]
    numbers += [1 + 2j, complex(math.nan, -math.inf), 5e-324]
    others = [
        None,
        "",
        "ü\ud800\n",
        [1, [2.5, "x"]],
        (),
        (1, (2,)),
        [(), []],
        {},
        {"a": 1, 2: [3]},
        {(1, "b"): {1.5: ()}},
    ]
    return [*arrays, *numbers, *others, {(0, 1): np.ones(2), None: [math.nan, 1j]}]


def same(one, other):
    """Whether two values are of one type, shape and content, to the last bit and down to the items of containers."""
    if isinstance(one, (np.ndarray, np.generic)):
        kinds = [(type(x) if x.ndim else "scalar", x.shape, x.dtype.newbyteorder("<")) for x in (one, other)]
        return kinds[0] == kinds[1] and np.array_equal(one, other, equal_nan=True)
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return repr(one) == repr(other)  # NaN, and the sign of 0
