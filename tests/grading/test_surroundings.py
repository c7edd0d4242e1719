"""A verdict depends on nothing around it: not on a user's settings of pytest, IPython or Keras, on what lies beside the
notebook, on its name, or on where the answer is asked."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
from helpers import NAME, TWICE, Kernel, answered

from course.files import load_notebook
from course.grading import learner
from course.lesson import settings

ALL = {"90.1": "passed", "90.2": "passed", "90.3": "passed"}
SPOILT = "raise SystemExit('this file is none of the course')\n"
USUAL = """
import keras
_c = keras.config
_have = _c.image_data_format(), _c.floatx(), _c.epsilon(), _c.dtype_policy().name
assert _have == ("channels_last", "float32", 1e-7, "float32"), _have
"""
CHANGED = """
import keras
keras.config.set_image_data_format("channels_first")
keras.config.set_floatx("float64")
keras.config.set_epsilon(0.5)
keras.config.set_dtype_policy("mixed_float16")
"""


def write(path, notebook):
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder whose owner has settings for everything, and files of names that Python knows otherwise."""
    folder, home = tmp_path / "mine", tmp_path / "home"
    folder.mkdir()
    for name in ("keras.py", "numpy.py", "sitecustomize.py", "conftest.py", "random.py"):
        (folder / name).write_text(SPOILT)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (home / "ipython" / "profile_default" / "startup").mkdir(parents=True)
    (home / "ipython" / "profile_default" / "startup" / "first.py").write_text("def twice(x): return 0\nprint = None\n")
    (home / "ipython" / "profile_default" / "ipython_config.py").write_text("c.no = c.such.thing = 1/0\n")
    (home / "keras").mkdir()
    settings = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
    (home / "keras" / "keras.json").write_text(json.dumps({**settings, "backend": "tensorflow"}))
    (home / "start.py").write_text(SPOILT)
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("KERAS_HOME", str(home / "keras"))
    monkeypatch.setenv("PYTHONSTARTUP", str(home / "start.py"))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    return folder


def solved(after):
    """Chapter 03 with the reference's answers, and more code behind some of them. after: by exercise."""
    notebook = load_notebook(next(settings.solutions_folder().glob("03_*.ipynb")))
    for cell in notebook.cells:
        course = cell.metadata.get("course", {})
        if course.get("role") == "answer":
            cell.source += after.get(course["exercise"], "")
    return notebook


def test_settings_and_files_of_others_change_nothing(hostile):
    """Nor does what an answer sets cost another one."""
    notebook = solved({"3.1": USUAL + CHANGED, "3.2": USUAL + CHANGED, "3.3": USUAL})
    path = write(hostile / "final [1] :: x.ipynb", notebook)
    # The command as it is installed: what `python -m` runs sees the present folder first, which is Python's doing.
    code = "import sys; from course.cli import main; sys.argv[0] = 'course'; main()"
    command = [sys.executable, "-P", "-c", code, "grade", str(path), "--json", str(hostile / "out.json")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=hostile)
    assert run.returncode == 0, run.stdout + run.stderr


def pytest_on(path, **more):
    command = [sys.executable, "-m", "pytest", "-p", "course.grading.collecting", "--nbval-lax", "-v", str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent, **more)


def test_what_cannot_be_told_fails(small, tmp_path):
    """A saved notebook without all that tells its chapter would be compared with itself."""
    notebook = answered(small, _90_1="# Exercise 90.1\ndef twice(x):\n    return 3 * x\n")
    notebook.metadata = {}
    for cell in notebook.cells:
        cell.source = re.sub(r"# Exercise .*", "", cell.source)
    run = pytest_on(write(tmp_path / "final.ipynb", notebook))
    assert run.returncode not in (0, 5) and "nothing in it tells which chapter" in run.stdout, run.stdout
    notebook.metadata = {"course": {"chapter": "47"}}
    run = pytest_on(write(tmp_path / "final.ipynb", notebook))
    assert run.returncode not in (0, 5) and "there is no chapter '47'" in run.stdout, run.stdout
    # A notebook that only uses the course is no chapter.
    plain = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from course import budget\nbudget(1, 2)")])
    run = pytest_on(write(tmp_path / "own.ipynb", plain))
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout


def test_definitions_that_fail_end_the_run_with_one_sentence(tmp_path, monkeypatch):
    path = write(tmp_path / "03_convolution.ipynb", solved({}))
    monkeypatch.setenv("KERAS_BACKEND", "no_such_backend")
    with pytest.raises(learner.GradingError) as caught:
        learner.grade(path)
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and "no_such_backend" in said and "course doctor" in said, said
    run = pytest_on(path)
    assert run.returncode == 1 and "course doctor" in run.stdout and " passed" not in run.stdout, run.stdout


LINE = "# Exercise 90.1\n"
HEAD = "def twice(x):\n"


@pytest.mark.parametrize(
    "source, state, words",
    [
        ("data = open('data.txt').read()\n" + TWICE, "crashed", "the files beside the notebook are not there"),
        (LINE + HEAD + "    open('data.txt')\n    return 2 * x\n", "crashed", "is asked in an empty folder"),
        (LINE + "input('hm')\n" + HEAD + "    return 2 * x\n", "crashed", "here: take it out (line 2 of the cell)"),
        (LINE + HEAD + "    return input('hm')\n", "crashed", "nobody can answer input() here"),
        (LINE + "import json\n\njson.loads('{')\n" + HEAD + "    return 2 * x\n", "crashed", "(line 4 of the cell)"),
        (LINE + "%%time\n" + HEAD + "    return 2 * x\n", "crashed", "must be the first line of its cell"),
        (LINE + "import functools\n@functools.cache\n" + HEAD + "    return 2 * x\n", "passed", ""),
    ],
)
def test_what_an_answer_meets_and_reads(small, tmp_path, source, state, words):
    (tmp_path / "data.txt").write_text("1")
    verdicts = {v.exercise: v for v in learner.grade(write(tmp_path / NAME, answered(small, _90_1=source)))}
    assert {n: v.state for n, v in verdicts.items()} == ALL | {"90.1": state}, verdicts["90.1"]
    assert words in f"{verdicts['90.1'].message} {verdicts['90.1'].hint}", verdicts["90.1"]


def test_an_answer_below_its_line_is_found(small, tmp_path):
    notebook = answered(small)
    at = next(i for i, c in enumerate(notebook.cells) if c.source == TWICE)
    notebook.cells[at].source = "# Exercise 90.1\n"
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(TWICE.replace("# Exercise 90.1\n", "")))
    verdicts = {v.exercise: v for v in learner.grade(write(tmp_path / NAME, notebook))}
    assert {n: v.state for n, v in verdicts.items()} == ALL
    assert verdicts["90.1"].note == "the answer to exercise 90.1 stands in a cell below its line '# Exercise 90.1'"
    # The blank cell with its line still there, and the answer below it.
    blank = load_notebook(small / "notebooks" / NAME)
    notebook.cells[at].source = next(c.source for c in blank.cells if c.source.startswith("# Exercise 90.1"))
    assert {v.exercise: v.state for v in learner.grade(write(tmp_path / NAME, notebook))} == ALL
    # Not beyond the next exercise.
    moved = notebook.cells.pop(at + 1)
    notebook.cells.append(moved)
    assert {v.exercise: v.state for v in learner.grade(write(tmp_path / NAME, notebook))} == ALL | {"90.1": "open"}


def test_a_check_in_a_lesson_sees_what_grading_sees(small, folder):
    """An answer that uses what another cell has made fails where it is written, and not only when it is graded."""
    lesson = load_notebook(small / "notebooks" / NAME).cells
    helper = "def helper(x):\n    return x\n\n\nscale = -1\n"
    borrowed = "# Exercise 90.1\ndef twice(x):\n    return 2 * helper(x)\n"
    within = (
        "# Exercise 90.2\nclass Negative:\n    def __call__(self, x):\n        return scale * x\n\n\n"
        "def mend(x):\n    return Negative()(x)\n"
    )
    checks = {c.source[7:11]: c.source for c in lesson if c.source.startswith("check(")}
    with Kernel(folder) as kernel:

        def told(*cells):
            return [c.get("text", "") + c.get("evalue", "") for cell in cells for _, c in kernel.run(cell)][-2]

        for cell in lesson:
            if cell.metadata.get("course", {}).get("role") == "definition":
                kernel.run(cell.source)
        said = told(helper, borrowed, checks["90.1"])
        assert "NameError: name 'helper' is not defined" in said and "move what makes it into the cell" in said, said
        assert "✓" in told("print(helper('✓'))"), "what the other cell made is still there"
        assert "✓" in told(borrowed.replace("def twice", "def helper(x):\n    return x\n\n\ndef twice"), checks["90.1"])
        assert "name 'scale' is not defined" in told(within, checks["90.2"])
        # What another exercise asks for may be used.
        assert "✓" in told("# Exercise 90.2\ndef mend(x):\n    return x - twice(x)\n", checks["90.2"])
    notebook = answered(small, _90_1=borrowed, _90_2=within)
    notebook.cells.insert(2, nbformat.v4.new_code_cell(helper))
    states = {v.exercise: v.state for v in learner.grade(write(folder / NAME, notebook))}
    assert states == ALL | {"90.1": "crashed", "90.2": "crashed"}
