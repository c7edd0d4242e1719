"""Grading one notebook: what scores, what does not, and what each kind of broken notebook is told.

All of it as a learner has the course: with notebooks and keys, and without the chapters' sources.
"""

import contextlib
import io
import json
import linecache
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

import nbformat
import numpy as np
import pytest
from helpers import MEND, NAME, RIGHT, TWICE, answered, point_at

from course.exercises.cells import defined_name
from course.exercises.checking import Unsolved, check
from course.files import load_notebook
from course.grading import learner

ALL = {"90.1": "passed", "90.2": "passed", "90.3": "passed"}


@pytest.fixture(scope="module")
def bare(built_small, tmp_path_factory):
    """The small chapter without its source and its solution."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copytree(built_small, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "solutions")
    return folder


@pytest.fixture
def small(bare, monkeypatch):
    """The same, as the folder that this process and its kernels take chapters from."""
    point_at(monkeypatch, bare)
    return bare


def states(notebook, folder, seconds=None):
    """Grade and give the state of each exercise; holds that the learner's file is as it was."""
    path = folder / "90_mine.ipynb"
    path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook), encoding="utf-8")
    before = path.read_bytes(), path.stat().st_mtime_ns
    verdicts = learner.grade(path, seconds)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    states.verdicts = {v.exercise: v for v in verdicts}
    return {v.exercise: v.state for v in verdicts}


def cell_of(notebook, exercise, role="answer"):
    return next(c for c in notebook.cells if c.metadata.get("course") == {"role": role, "exercise": exercise})


def test_the_blank_notebook_scores_nothing(small, tmp_path):
    notebook = load_notebook(small / "notebooks" / NAME)
    assert states(notebook, tmp_path) == {"90.1": "open", "90.2": "open", "90.3": "open"}
    assert sum(v.points for v in states.verdicts.values()) == 0


def test_code_to_mend_is_open_until_it_is_touched(small, tmp_path):
    stub = cell_of(load_notebook(small / "notebooks" / NAME), "90.2").source
    commented = stub.replace("    y = x", "    # hm\n    y = x  # the same")
    assert states(answered(small, _90_2=commented), tmp_path) == ALL | {"90.2": "open"}
    assert states(answered(small, _90_2=stub.replace("y", "z")), tmp_path) == ALL | {"90.2": "wrong"}
    assert states.verdicts["90.2"].hint == "The sign is kept."


ELSEWHERE = {
    "a helper": (
        "def double(x):\n    return 2 * x\n",
        "def twice(x):\n    return double(x)\n",
        "double",
        "def double(x):",
    ),
    "an import": (
        "import os\nfrom math import fsum\n",
        "def twice(x):\n    return fsum([x, x])\n",
        "fsum",
        "from math import fsum",
    ),
    "a base": ("class Base:\n    pass\n", "class twice(Base):\n    pass\n", "Base", "class Base:"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_an_answer_takes_from_another_cell_is_told_where_it_is(small, tmp_path, name):
    other, answer, missing, line = ELSEWHERE[name]
    notebook = answered(small, _90_1=f"# Exercise 90.1\n{answer}")
    notebook.cells.insert(2, nbformat.v4.new_code_cell(other))
    assert states(notebook, tmp_path) in (ALL | {"90.1": "crashed"}, ALL | {"90.1": "missing"})
    note = states.verdicts["90.1"].note
    assert note.startswith(f"{missing} is made in another cell of the notebook, the 3rd, by the line {line!r}; "), note
    assert note.endswith("move that into the cell of exercise 90.1")
    path = tmp_path / "90_mine.ipynb"
    assert f"note: {missing} is made in another cell" in run_pytest(path).stdout


def test_a_name_that_is_nowhere_gets_no_note(small, tmp_path):
    states(answered(small, _90_1="# Exercise 90.1\ndef twice(x):\n    return nowhere(x)\n"), tmp_path)
    assert states.verdicts["90.1"].note == ""


def test_right_answers_score_full(small, tmp_path):
    assert states(answered(small), tmp_path) == ALL
    assert [v.points for v in states.verdicts.values()] == [2, 1, 1]


def test_saved_outputs_count_for_nothing(small, built_small, tmp_path):
    solved, blank = answered(small), load_notebook(small / "notebooks" / NAME)
    reference = load_notebook(built_small / "solutions" / NAME)
    for exercise in RIGHT:
        wrong = nbformat.v4.new_output("stream", text="exercise ✗ all wrong\n")
        right = cell_of(reference, exercise, "check").outputs
        for notebook, outputs in ((solved, [wrong]), (blank, right)):
            cell = cell_of(notebook, exercise, "check")
            cell.outputs, cell.execution_count = outputs, 7
    assert states(solved, tmp_path) == ALL
    assert "passed" not in states(blank, tmp_path).values()


def test_a_check_that_the_learner_rewrote_is_not_used(small, tmp_path):
    notebook = answered(small, _90_1="# Exercise 90.1\ndef twice(x):\n    return 3 * x\n")
    cell_of(notebook, "90.1", "check").source = "print('exercise 90.1 ✓ 8 cases')"
    assert states(notebook, tmp_path) == ALL | {"90.1": "wrong"}
    assert states.verdicts["90.1"].hint == "That is three times."


BROKEN_ANSWERS = {
    "syntax error": ("# Exercise 90.1\ndef twice(x)\n    return 2 * x\n", "crashed", "SyntaxError"),
    "raises when run": (TWICE + "twice('a', 'b')\n", "crashed", "TypeError"),
    "raises when called": ("# Exercise 90.1\ndef twice(x):\n    return [][3]\n", "crashed", "list index out of range"),
    "another name": ("# Exercise 90.1\ndef double(x):\n    return 2 * x\n", "missing", "keep the name"),
    "empty": ("# Exercise 90.1\n", "missing", "keep the name"),
    "skipped": ("# Exercise 90.1\n# NBVAL_SKIP\ndef twice(x):\n    return 3 * x\n", "wrong", "three times"),
    "exits": ("# Exercise 90.1\nimport os\nos._exit(0)\n", "crashed", "process ended"),
    "exits politely": ("# Exercise 90.1\nexit()\n", "crashed", "process ended"),
    "exits in the function": ("# Exercise 90.1\ndef twice(x):\n    exit()\n", "crashed", "exit"),
    "exits in the call": ("# Exercise 90.1\nimport os\ndef twice(x):\n    os._exit(1)\n", "crashed", "process ended"),
    "loops when called": ("# Exercise 90.1\ndef twice(x):\n    while True: pass\n", "timeout", "did not end"),
    "loops when run": ("# Exercise 90.1\nwhile True: pass\n", "timeout", "did not end"),
    "swallows the interrupt": (
        "# Exercise 90.1\nwhile True:\n  try:\n    while True: pass\n  except BaseException: pass\n",
        "timeout",
        "did not end",
    ),
    "prints a flood": ("# Exercise 90.1\nprint('x' * 3_000_000)\n", "crashed", "printed more than"),
    "recursion": ("# Exercise 90.1\ndef twice(x):\n    return twice(x)\n", "crashed", "recursion"),
    "bad magic": ("# Exercise 90.1\n%nosuchmagic\n", "crashed", ""),
    "returns nothing": ("# Exercise 90.1\ndef twice(x):\n    2 * x\n", "wrong", "return statement gives None"),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_a_broken_answer_costs_only_itself(small, tmp_path, name):
    source, state, words = BROKEN_ANSWERS[name]
    assert states(answered(small, _90_1=source), tmp_path, seconds=3) == ALL | {"90.1": state}
    assert words in states.verdicts["90.1"].message
    assert len(states.verdicts["90.1"].message) < 2000


RIGHT_ALL_THE_SAME = {
    "prints in the function": "# Exercise 90.1\ndef twice(x):\n    print('hm', x)\n    return 2 * x\n",
    "prints a megabyte in the function": "# Exercise 90.1\ndef twice(x):\n    print('x' * 10**6)\n    return 2 * x\n",
    "shadows np and check": TWICE + "np = check = print = None\n",
    "breaks the builtins": TWICE + "import builtins\nbuiltins.len = None\n",
    "shadows builtins": TWICE + "len = sum = range = None\n",
    "changes folder, seed, errors": TWICE
    + "import os, random\nos.chdir('/')\nnp.random.seed(1)\nrandom.seed(1)\nnp.seterr(all='raise')\n",
    "a note above": "%%time\n# Exercise 90.1\ndef twice(x):\n    return 2 * x\n",
    "lower case": "#exercise 90.1 (mine)\ndef twice(x):\n    return 2 * x\n",
    "plots and warns": TWICE + "import warnings\nwarnings.warn('careful')\n",
}


@pytest.mark.parametrize("name", RIGHT_ALL_THE_SAME)
def test_a_right_answer_passes_whatever_else_it_does(small, tmp_path, name):
    assert states(answered(small, _90_1=RIGHT_ALL_THE_SAME[name]), tmp_path) == ALL


def test_a_deleted_cell_is_missed(small, tmp_path):
    notebook = answered(small)
    notebook.cells.remove(cell_of(notebook, "90.2"))
    assert states(notebook, tmp_path) == ALL | {"90.2": "missing"}
    assert "no cell that begins with '# Exercise 90.2'" in states.verdicts["90.2"].message


def test_a_duplicated_cell_counts_once_and_is_named(small, tmp_path):
    notebook = answered(small)
    again = nbformat.v4.new_code_cell("# Exercise 90.1\ndef twice(x):\n    return 4 * x\n", id="exercise-90-1")
    notebook.cells.append(again)
    assert states(notebook, tmp_path)["90.1"] == "wrong"
    assert "2 cells" in states.verdicts["90.1"].note


def test_a_fresh_copy_of_the_open_cell_does_not_hide_the_answer(small, tmp_path):
    notebook = answered(small)
    blank = load_notebook(small / "notebooks" / NAME)
    notebook.cells.append(cell_of(blank, "90.1"))
    assert states(notebook, tmp_path) == ALL


def test_a_split_cell_is_explained(small, tmp_path):
    notebook = answered(small, _90_1="# Exercise 90.1\ndef twice(x):")
    at = notebook.cells.index(cell_of(notebook, "90.1"))
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell("    return 2 * x"))
    assert states(notebook, tmp_path) == ALL | {"90.1": "crashed"}
    assert "merge" in states.verdicts["90.1"].note


def test_a_moved_cell_is_found(small, tmp_path):
    notebook = answered(small)
    cell = cell_of(notebook, "90.2")
    notebook.cells.remove(cell)
    notebook.cells.insert(0, cell)
    assert states(notebook, tmp_path) == ALL


def test_a_cell_turned_into_markdown_is_explained(small, tmp_path):
    notebook = answered(small)
    at = notebook.cells.index(cell_of(notebook, "90.2"))
    notebook.cells[at] = nbformat.v4.new_markdown_cell(MEND)
    assert states(notebook, tmp_path) == ALL | {"90.2": "missing"}
    assert "press Esc, then Y" in states.verdicts["90.2"].message


def test_a_cell_without_its_first_line_is_recognised_by_id_or_name(small, tmp_path):
    notebook = answered(small, _90_1="def twice(x):\n    return 2 * x\n")
    assert states(notebook, tmp_path) == ALL
    assert "'# Exercise 90.1' is missing" in states.verdicts["90.1"].note
    for cell in notebook.cells:  # as Colab saves it: no ids, other metadata
        cell.pop("id", None)
        cell.metadata = {"id": "abc", "colab": {"base_uri": "x"}}
    notebook.nbformat_minor = 4
    assert states(json.dumps(notebook), tmp_path) == ALL


def test_a_notebook_saved_by_vs_code_passes(small, tmp_path):
    notebook = json.loads(nbformat.writes(answered(small)))
    for cell in notebook["cells"]:
        cell["metadata"] = {"vscode": {"languageId": "python"}}
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    notebook["metadata"] = {"kernelspec": {"name": "no-such-kernel", "display_name": "x"}, "custom": 1}
    assert states(json.dumps(notebook), tmp_path) == ALL


def test_nbformat_3_is_read(small, tmp_path):
    cells = [{"cell_type": "code", "input": source.splitlines(True), "outputs": []} for source in RIGHT.values()]
    text = json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})
    assert states(text, tmp_path) == ALL


def test_other_encodings(small, tmp_path):
    text = nbformat.writes(answered(small, _90_1=TWICE + "é = 'ü'\n"))
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / "90_mine.ipynb"
        path.write_bytes(text.encode(encoding))
        assert {v.state for v in learner.grade(path)} == {"passed"}
    path.write_bytes(text.encode("latin-1", "replace"))
    with pytest.raises(learner.GradingError, match="not in UTF-8"):
        learner.grade(path)


NOT_NOTEBOOKS = {
    "empty": ("", "is empty"),
    "blank": (" \n", "is empty"),
    "not JSON": ("print('hello')", "no JSON at line 1"),
    "a list": ("[1, 2]", "holds a JSON list"),
    "no cells": ('{"nbformat": 4}', "no list of cells"),
    "deep": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", NOT_NOTEBOOKS)
def test_what_is_no_notebook_is_refused_in_one_message(small, tmp_path, name):
    text, words = NOT_NOTEBOOKS[name]
    with pytest.raises(learner.GradingError, match=words) as caught:
        states(text, tmp_path)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_half_written_notebook_says_so(small, tmp_path):
    text = nbformat.writes(answered(small))
    with pytest.raises(learner.GradingError, match="half written"):
        states(text[: len(text) // 2], tmp_path)


def test_an_unknown_chapter_or_file_is_named(small, built_small, tmp_path, monkeypatch):
    point_at(monkeypatch, built_small)
    empty = nbformat.writes(nbformat.v4.new_notebook())
    for path, words in (
        (tmp_path / "91_x.ipynb", "there is no chapter '91' with a key in keys/; there are: 90"),
        (tmp_path / "mine.ipynb", "let its name begin with its chapter's number"),
        (tmp_path / "90_gone.ipynb", "there is no file"),
        (built_small / "solutions" / NAME, "is the reference itself"),
    ):
        if path.parent == tmp_path and "gone" not in path.name:
            path.write_text(empty)
        with pytest.raises(learner.GradingError, match=words):
            learner.grade(path)


def test_a_notebook_is_known_by_what_is_in_it_whatever_its_name(small, tmp_path):
    notebook = answered(small)
    path = tmp_path / "final (2).ipynb"
    for _ in range(2):
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
        assert {v.exercise: v.state for v in learner.grade(path)} == ALL
        notebook.metadata = {}  # then its exercises' lines tell


def test_a_missing_or_broken_key_is_one_sentence(small, tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.write_text(nbformat.writes(answered(small)), encoding="utf-8")
    shutil.copytree(small / "keys", tmp_path / "keys")
    monkeypatch.setenv("COURSE_KEYS", str(tmp_path / "keys"))
    key = tmp_path / "keys" / "90.json"
    key.write_text(key.read_text()[:1000])
    with pytest.raises(learner.GradingError, match="^keys/90.json is damaged.*install the course again[^\n]*$"):
        learner.grade(path)
    run = run_pytest(path)
    assert run.returncode not in (0, 1) and "keys/90.json is damaged" in run.stdout and "Traceback" not in run.stdout
    key.unlink()
    with pytest.raises(learner.GradingError, match=r"^there are no keys in \S*keys: install[^\n]*$"):
        learner.grade(path)


def run_pytest(path, *arguments):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "course.grading.collecting",
        "--nbval-lax",
        "-v",
        *arguments,
        str(path),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent)


def test_plain_pytest_gives_the_same_verdicts(small, tmp_path):
    path = tmp_path / "90_mine.ipynb"
    path.write_text(nbformat.writes(answered(small)), encoding="utf-8")
    good = run_pytest(path)
    assert good.returncode == 0 and "exercise 90.1 check PASSED" in good.stdout, good.stdout
    bad = run_pytest(small / "notebooks" / NAME)
    assert bad.returncode == 1 and "exercise 90.1 check FAILED" in bad.stdout
    assert "exercise 90.2 ○ still open" in bad.stdout and "Traceback" not in bad.stdout
    path.write_text("{")
    broken = run_pytest(path)
    assert broken.returncode not in (0, 1) and "is not a notebook" in broken.stdout


def test_plain_pytest_validates_the_solution(built_small, monkeypatch):
    point_at(monkeypatch, built_small)
    run = run_pytest(built_small / "solutions" / NAME, "-p", "course.authoring.plugin")
    assert run.returncode == 0, run.stdout
    for name in ("proof 90.1", "claim 90.1", "exercise 90.3 check"):
        assert f"{name} PASSED" in run.stdout


def test_a_check_and_both_graders_say_the_same_words_with_sources_and_without(built_small, bare, tmp_path, monkeypatch):
    wrong, crashing = "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n", MEND.replace("0 - x", "[][3]")
    said = []
    for world in (built_small, bare):
        point_at(monkeypatch, world)
        for notebook in (answered(world, _90_1=wrong, _90_2=crashing), load_notebook(world / "notebooks" / NAME)):
            path = tmp_path / NAME
            path.write_text(nbformat.writes(notebook), encoding="utf-8")
            verdicts = {v.exercise: v.message for v in learner.grade(path)}
            ran = run_pytest(path)
            checks = [checked(cell_of(notebook, number).source, number) for number in RIGHT]
            assert list(verdicts.values()) == [re.sub("open: .*", "open", text).strip() for text in checks]
            assert ran.returncode == 1
            for number, text in verdicts.items():
                result = "PASSED" if "✓" in text else "FAILED"
                assert f"exercise {number} check {result}" in ran.stdout, ran.stdout
                assert "✓" in text or text in ran.stdout, ran.stdout
            said.append(verdicts)
    assert said[:2] == said[2:]


def checked(source, number):
    """What `check` says of an answer cell."""
    names = {"np": np}
    linecache.cache["<answer>"] = len(source), None, source.splitlines(True), "<answer>"
    exec(compile(source, "<answer>", "exec"), names)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            check(number, names[defined_name(source)])
        except Unsolved as error:
            print(error)
    return out.getvalue()


def test_the_command_writes_json_and_junit(small, tmp_path):
    path = tmp_path / "90_mine.ipynb"
    path.write_text(nbformat.writes(answered(small, _90_2="# Exercise 90.2\ndef mend(x):\n    return x\n")))
    command = [sys.executable, "-m", "course", "grade", str(path), "--json", str(tmp_path / "o.json")]
    run = subprocess.run([*command, "--junit", str(tmp_path / "o.xml")], capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    assert "2 of 3 exercises right, 3 of 4 points." in run.stdout and "The sign is kept." in run.stdout
    report = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert (report["points"], report["of"]) == (3, 4)
    suite = xml.parse(tmp_path / "o.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
