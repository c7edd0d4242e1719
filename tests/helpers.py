"""What more than one file of tests needs: answers to the small chapter's exercises, and notebooks that hold them."""

import pytest

from course.authoring import chapters, keying
from course.classroom import sandbox
from course.exercises import keys
from course.files import load_notebook

NAME = "90_adding.ipynb"
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
