"""A learner's progress as kernels, grading and the command make it; a kernel is started anew in between."""

import json
import os
import subprocess
import sys
import time

import nbformat
import pytest
from helpers import MEND, NAME, Kernel, answered

from course.exercises import progress
from course.exercises.checking import Unsolved, check
from course.files import load_notebook
from course.grading import learner
from course.lesson import settings

WRONG = "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n"


@pytest.fixture
def own(small, folder, monkeypatch):
    """A learner's folder that holds the small chapter."""
    (folder / NAME).write_bytes((small / "notebooks" / NAME).read_bytes())
    monkeypatch.chdir(folder)
    return folder


def kinds(folder):
    (standing,) = progress.standings(folder / settings.KEPT / progress.NAME)
    return [row.kind for row in standing.rows]


def test_a_restart_between_two_exercises(own):
    cells = {c.id: c.source for c in load_notebook(own / NAME).cells}
    with Kernel(own) as kernel:
        assert "names that the lesson defines are here again" in kernel.said(cells["resume"])
        assert kernel.said('ask("90.a", 3)') == "question 90.a ✓ The sum of 1 and 2.\n"
        opened = kernel.run(cells["exercise-90-1"]) + kernel.run(cells["check-90-1"])
        assert [kind for kind, _ in opened if kind == "error"] == [], "what is open does not look like an error"
        opened = kernel.run(cells["exercise-90-2"]) + kernel.run(cells["check-90-2"])
        printed = "".join(content["text"] for kind, content in opened if kind == "stream")
        assert printed == "exercise 90.2 ○ still open: find what is wrong with the cell above, mend it and run it\n"
        assert kinds(own) == ["open", "open", "open"]
        raised = dict(kernel.run(WRONG) + kernel.run(cells["check-90-1"]))["error"]
        assert raised["ename"] == "Unsolved" and kinds(own) == ["wrong", "open", "open"]
    with Kernel(own) as kernel:
        kernel.run("from course import check")
        kernel.run("# Exercise 90.2\ndef mend(x):\n    return np.negative(x)\n")
        raised = dict(kernel.run(cells["check-90-2"]))["error"]
        assert "run resume()" in raised["evalue"]
        kernel.run("from course import resume\nresume()")  # by its notebook alone: the folder holds one
        assert "✓" in kernel.said(cells["check-90-2"]) and kinds(own) == ["wrong", "solved", "open"]


def test_the_table_keeps_up_with_checks_in_another_kernel(own):
    with Kernel(own) as index, Kernel(own) as lesson:
        shown = dict(index.run("from course import progress\nprogress(every=0.2)"))["display_data"]
        assert "0 of 3 exercises solved" in shown["data"]["text/markdown"]
        lesson.run("from course import check")
        lesson.run('check("90.1", lambda x: 2 * x)')
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            message = index.client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "update_display_data":
                break
        assert message["content"]["transient"] == shown["transient"]
        assert "1 of 3 exercises solved, 2 of 4 points" in message["content"]["data"]["text/markdown"]
        index.run("progress(every=0.2)")
        assert index.said("import threading, time; time.sleep(1); print(sum(t.name == 'progress' for t in "
                          "threading.enumerate()))") == "1\n"  # fmt: skip


def course(*words, **more):
    return subprocess.run([sys.executable, "-m", "course", *words], capture_output=True, text=True, **more)


def test_grading_records_and_status_tells(own, small):
    blank = course("status")
    assert "0 of 3 exercises solved, 0 of 4 points. Next: exercise 90.1, in 90_adding." in blank.stdout, blank.stderr
    assert "Nothing is recorded yet" in blank.stdout
    (own / NAME).write_text(nbformat.writes(answered(small, _90_1=WRONG)), encoding="utf-8")
    graded = course("grade")
    assert graded.returncode == 1 and "2 of 3 exercises right, 2 of 4 points." in graded.stdout, graded.stderr
    assert kinds(own) == ["wrong", "solved", "solved"]
    told = course("status")
    assert "90  Adding  ✗ ✓ ✓" in told.stdout and "2 of 3 solved, 1 wrong" in told.stdout, told.stdout
    assert "Next: exercise 90.1, which is not right yet, in 90_adding." in told.stdout
    assert "✗ wrong" in course("status", "90").stdout
    assert course("status", "91").returncode == 2
    put_back = course("reset", "90.1")
    assert put_back.returncode == 0 and "What was there is in" in put_back.stdout, put_back.stderr
    assert kinds(own) == ["open", "solved", "solved"]
    assert (own / settings.KEPT / progress.NAME).unlink() is None
    assert "✓ passed" in course("grade", "90").stdout and kinds(own) == ["open", "solved", "solved"]


def test_status_needs_no_keras(own):
    code = "import sys, course.cli as c; sys.argv = ['course', 'status']\n"
    code += "try:\n    c.main()\nexcept SystemExit:\n    pass\n"
    code += "assert not {'keras', 'tensorflow', 'nbval', 'pytest', 'nbformat', 'matplotlib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_all_that_has_answers_is_graded(own, small):
    nothing = course("grade")
    assert nothing.returncode == 2 and nothing.stderr.startswith("no chapter holds an answer yet")
    (own / NAME).write_text(nbformat.writes(answered(small)), encoding="utf-8")
    every = course("grade", "--json", "out.json")
    assert every.returncode == 0 and "3 of 3 exercises right, 4 of 4 points." in every.stdout
    assert json.loads((own / "out.json").read_text())["points"] == 4
    (own / NAME).write_text("{", encoding="utf-8")
    assert "is not a notebook" in course("grade").stderr


def test_reports_of_several_notebooks(own, small):
    (own / NAME).write_text(nbformat.writes(answered(small)), encoding="utf-8")
    verdicts = learner.grade(own / NAME)
    several = json.loads(learner.as_json([("a.ipynb", verdicts), ("b.ipynb", verdicts[:1])]))
    assert [(one["notebook"], one["of"]) for one in several] == [("a.ipynb", 4), ("b.ipynb", 2)]
    assert learner.as_junit([("a.ipynb", verdicts), ("b.ipynb", verdicts)]).count("<testsuite ") == 2


def test_to_nbgrader_an_open_exercise_has_failed(small, monkeypatch):
    names = {}
    exec("def twice(x):\n    raise NotImplementedError()\n", names)
    check("90.1", names["twice"])
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(Unsolved, match="still open") as caught:
        check("90.1", names["twice"])
    assert caught.value.state == "open"


def test_another_ones_notebook_is_no_progress(own, small, tmp_path):
    path = tmp_path / "somebody" / NAME
    path.parent.mkdir()
    path.write_text(nbformat.writes(answered(small)), encoding="utf-8")
    assert course("grade", str(path)).returncode == 0
    assert kinds(own) == ["open", "open", "open"] and not (small / "work").exists()


def test_a_graded_kernel_records_nothing(own, small):
    (own / NAME).write_text(nbformat.writes(answered(small, _90_2=MEND)), encoding="utf-8")
    learner.grade(own / NAME)
    assert not (own / settings.KEPT / progress.NAME).exists()
    assert "COURSE_PROGRESS" not in os.environ
