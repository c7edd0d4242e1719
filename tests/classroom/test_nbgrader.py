"""nbgrader, in an environment of its own, gives the same verdicts on the same submissions.

Runs where COURSE_NBGRADER names the Python of an environment with nbgrader and the course in it; `make nbgrader` makes
one and runs this.
"""

import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest
from helpers import COUNTER, MEND, NAME, TWICE, answered

from course.files import load_notebook
from course.grading import learner

PYTHON = os.environ.get("COURSE_NBGRADER", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="COURSE_NBGRADER is not set; run: make nbgrader")

SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({
        s.student.id: {g.name: g.score for n in s.notebooks for g in n.grades}
        for s in book.assignment_submissions("small")
    }))
"""

ANSWERS = {
    "right": {},
    "wrong": {"_90_1": "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n"},
    "crashing": {"_90_2": "# Exercise 90.2\ndef mend(x):\n    return [][1]\n"},
    "syntax": {"_90_1": "# Exercise 90.1\ndef twice(x)\n"},
    "all_wrong": {
        "_90_1": TWICE.replace("x + x", "x"),
        "_90_2": MEND.replace("0 - x", "x"),
        "_90_3": COUNTER.replace("raise ValueError", "return 0"),
    },
}


def test_nbgrader_gives_the_same_verdicts(small, tmp_path):
    def nbgrader(*words):
        command = [PYTHON, "-m", "nbgrader", *words, "--course-dir", str(tmp_path)]
        # nbgrader calls its helpers by name, so they must be on the path.
        path = {"PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"}
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | path)
        assert run.returncode == 0, run.stderr[-3000:]

    source = tmp_path / "source" / "small" / NAME
    source.parent.mkdir(parents=True)
    solution = load_notebook(small / "solutions" / NAME)
    nbformat.write(solution, source)
    nbgrader("generate_assignment", "small")
    released = load_notebook(tmp_path / "release" / "small" / NAME)
    assert "BEGIN SOLUTION" not in nbformat.writes(released)
    expected = {}
    notebooks = {name: answered(small, **changes) for name, changes in ANSWERS.items()}
    notebooks["blank"] = load_notebook(small / "notebooks" / NAME)
    for student, notebook in notebooks.items():
        path = tmp_path / "submitted" / student / "small" / NAME
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        expected[student] = {
            f"check-{v.exercise.replace('.', '-')}": float(v.points) for v in learner.grade(Path(path))
        }
    nbgrader("autograde", "small")
    run = subprocess.run([PYTHON, "-c", SCORES], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == expected
