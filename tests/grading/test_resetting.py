"""An exercise put back as it was: what was there is kept, and nothing else in the notebook changes."""

import json
import shutil

import nbformat
import pytest
from helpers import NAME, TWICE, answered

from course.exercises import keys, progress
from course.files import load_notebook
from course.grading import learner, resetting, submission
from course.lesson import settings


@pytest.fixture
def mine(folder):
    """A function that writes a notebook into a learner's folder, and gives its path."""

    def write(notebook):
        path = folder / NAME
        path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook), encoding="utf-8")
        return path

    return write


def sources(path):
    return {tuple(sorted(ids)): source for _, source, ids in submission.read_cells(path)}


def stub(number="90.1"):
    return keys.load_exercise(number).stub


def test_the_stub_is_back_and_the_answer_kept(small, mine):
    notebook = answered(small)
    cell = next(c for c in notebook.cells if c.id == "exercise-90-1")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="hm\n")], 4
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("my notes: ü"))
    path = mine(notebook)
    before = sources(path)
    progress.record(keys.load_exercise("90.1"), "passed", progress.place(path.parent))
    kept = resetting.reset(path, "90.1")
    assert kept.parent == path.parent / settings.KEPT / "backup" and kept.name.startswith("90.1-20")
    assert kept.read_text(encoding="utf-8") == TWICE
    after = sources(path)
    changed = [ids for ids in before if before[ids] != after[ids]]
    assert list(before) == list(after) and len(changed) == 1 and after[changed[0]] == stub()
    assert not list(path.parent.rglob("*.part"))
    nbformat.validate(load_notebook(path))
    assert [v.state for v in learner.grade(path)] == ["open", "passed", "passed"]
    assert progress.read(progress.place(path.parent))["90.1"].state == "open"
    assert resetting.reset(path, "90.1") is None, "there is nothing to keep now"


def test_two_answers_are_both_kept(small, mine):
    notebook = answered(small)
    other = "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n"
    notebook.cells.append(nbformat.v4.new_code_cell(other))
    notes = [
        nbformat.v4.new_markdown_cell("# Exercise 90.1\nmy notes"),
        nbformat.v4.new_code_cell("1\n# exercise 90.1"),
    ]
    notebook.cells += notes
    path = mine(notebook)
    kept = resetting.reset(path, "90.1").read_text()
    assert TWICE in kept and other in kept
    found = [source for source in sources(path).values() if source.lower().startswith("# exercise 90.1")]
    assert found == [stub(), notes[0].source] and notes[1].source in sources(path).values()
    assert len({resetting._keep(path, "90.1", ["x"]) for _ in range(3)}) == 3, "one backup does not replace another"


def test_a_lost_or_spoilt_cell_comes_back(small, mine):
    notebook = answered(small)
    at = next(i for i, c in enumerate(notebook.cells) if c.id == "exercise-90-1")
    notebook.cells[at] = nbformat.v4.new_markdown_cell(TWICE)
    path = mine(notebook)
    assert resetting.reset(path, "90.1").read_text() == TWICE
    del notebook.cells[at]
    path = mine(notebook)
    assert resetting.reset(path, "90.1") is None
    assert load_notebook(path).cells[at].source == stub() and load_notebook(path).cells[at].cell_type == "code"
    notebook.cells = [c for c in notebook.cells if c.id not in ("check-90-1", "exercise-90-1")]
    path = mine(notebook)
    resetting.reset(path, "90.1")
    *_, answer, check = load_notebook(path).cells
    assert (answer.source, check.source) == (stub(), 'check("90.1", twice)')
    assert "raises-exception" in check.metadata.tags
    nbformat.validate(load_notebook(path))


def test_a_check_that_the_learner_wrote_in_is_left(small, mine):
    notebook = answered(small)
    cell = next(c for c in notebook.cells if c.id == "check-90-1")
    cell.source = 'print("mine")\ncheck("90.1", twice)'
    path = mine(notebook)
    resetting.reset(path, "90.1")
    assert 'print("mine")\ncheck("90.1", twice)' in sources(path).values()


def test_notebooks_of_other_editors(small, mine):
    notebook = json.loads(nbformat.writes(answered(small)))
    for cell in notebook["cells"]:  # as Colab saves them
        cell.pop("id")
        cell["metadata"] = {"id": "abc"}
    notebook["nbformat_minor"] = 0
    path = mine(json.dumps(notebook))
    assert resetting.reset(path, "90.1").read_text() == TWICE
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert not [cell for cell in raw["cells"] if "id" in cell]
    assert [v.state for v in learner.grade(path)] == ["open", "passed", "passed"]


def test_what_cannot_be_put_back_is_left_as_it_is(small, mine, monkeypatch):
    path = mine(answered(small))
    before = path.read_bytes()
    with pytest.raises(resetting.ResetError, match="there is no exercise '90.9'"):
        resetting.reset(path, "90.9")
    backup = path.parent / settings.KEPT / "backup"
    backup.write_text("in the way")
    with pytest.raises(resetting.ResetError, match="cannot be kept in .* exercise 90.1 is left as it is"):
        resetting.reset(path, "90.1")
    backup.unlink()

    def full(target, text, write=resetting.write):
        if target == path:
            raise OSError(28, "No space left on device")
        return write(target, text)

    monkeypatch.setattr(resetting, "write", full)
    with pytest.raises(resetting.ResetError, match="cannot be written .No space left on device.; it is as it was"):
        resetting.reset(path, "90.1")
    assert path.read_bytes() == before
    old = json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": []}]})
    for text, words in (("{", "is not a notebook"), (old, "old format"), ("", "is empty")):
        with pytest.raises(resetting.ResetError, match=words):
            resetting.reset(mine(text), "90.1")
    shutil.rmtree(path.parent)
    with pytest.raises(resetting.ResetError, match="there is no file"):
        resetting.reset(path, "90.1")
