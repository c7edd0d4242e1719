"""Going on after a restart: the lesson's definitions come back, and what misses them says so."""

import linecache
import subprocess
import sys

import pytest

from course.exercises import keys, resuming
from course.exercises.checking import Unsolved, check
from course.exercises.outcomes import ExerciseError
from course.lesson import settings

USES_NUMPY = "def mend(x):\n    return np.negative(x)\n"


def restarted():
    """The namespace of a kernel that has just been started."""
    names = {"__name__": "__main__"}
    exec("from course import check, resume", names)
    return names


def test_an_exercise_can_be_worked_on_after_a_restart(small, capsys):
    names = restarted()
    exec('resume("90")', names)
    exec(USES_NUMPY + 'check("90.2", mend)', names)
    assert names["add"](1, 2) == 3 and "trained" not in names, "definitions only"
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("chapter 90: 6 names that the lesson defines are here again") and "✓" in second
    exec('resume("90")', names)
    assert capsys.readouterr().out == "chapter 90: the lesson's definitions are here\n"


def test_what_is_there_already_is_left_alone_unless_asked(small):
    names = restarted()
    exec('resume("90")', names)
    mine = names["add"] = lambda a, b: 7
    exec('resume("90")', names)
    assert names["add"] is mine
    exec('resume("90", again=True)', names)
    assert names["add"](1, 2) == 3
    del names["np"]
    names["add"] = mine
    exec('resume("90")', names)
    assert "np" in names and names["add"] is mine, "only the cell that is missing is run"


def test_an_answer_that_misses_the_lesson_is_told_to_resume(small):
    names = restarted()
    exec(USES_NUMPY, names)
    with pytest.raises(Unsolved) as caught:
        check("90.2", names["mend"])
    assert caught.value.hint == (
        "np is the lesson's, whose definitions are not there, as after a restart: run resume() (from course import "
        "resume), and then this check again"
    )
    exec("def mend(x):\n    return nowhere(x)\n", names)
    with pytest.raises(Unsolved) as caught:
        check("90.2", names["mend"])
    assert caught.value.hint.startswith("nowhere is made neither in the answer's own cell nor by the lesson's")


def test_it_finds_the_chapter(small, tmp_path, monkeypatch, capsys):
    def found(**names):
        names = restarted() | names
        exec("resume()", names)
        return "add" in names

    monkeypatch.setattr(settings, "_chapter", None)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExerciseError, match="which chapter is this"):
        found()
    monkeypatch.setattr(settings, "_chapter", "90")  # as `start` leaves it
    assert found()
    monkeypatch.setattr(settings, "_chapter", None)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "90_adding (2).ipynb"))  # of a file that may be gone
    assert found()
    monkeypatch.setenv("JPY_SESSION_NAME", str(small / "notebooks" / "90_adding.ipynb"))
    assert found()
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert found(__vsc_ipynb_file__=str(small / "notebooks" / "90_adding.ipynb"))
    (tmp_path / "mine.ipynb").write_bytes((small / "notebooks" / "90_adding.ipynb").read_bytes())
    (tmp_path / "other.ipynb").write_text("{")
    assert found()
    with pytest.raises(keys.BadKey, match="there is no chapter '91'"):
        exec('resume("91")', restarted())


def test_a_definition_that_cannot_be_run_is_named(small, monkeypatch):
    key = keys.ChapterKey("90", "90_adding", "", ["import nowhere_at_all  # x"], {})
    with pytest.raises(ExerciseError, match="begins with 'import nowhere_at_all  # x': ModuleNotFoundError.*doctor"):
        resuming.bring_back(key, {})


def test_lines_of_the_lesson_can_be_read_afterwards(small):
    names = {}
    resuming.bring_back(keys.load("90"), names)
    assert "def add(a, b):" in "".join(linecache.getlines(names["add"].__code__.co_filename))


def test_it_costs_no_keras_where_the_lesson_does_not(small):
    code = "from course import resume; resume('90'); import sys; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
