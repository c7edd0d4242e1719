"""Help in steps: hints one after the other, and the reference's answer once an exercise is solved."""

import dataclasses
import shutil

import pytest

from course.exercises import helping, keys, progress

TEXTS = ["Look at one.", "Now at two.", "Add them."]


@pytest.fixture
def world(small, tmp_path, monkeypatch):
    """A copy of the small chapter, whose exercise 90.1 has three hints."""
    shutil.copytree(small, tmp_path / "course")
    monkeypatch.setenv("COURSE_SOLUTIONS", str(tmp_path / "course" / "solutions"))
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress, "_session", {})
    key = keys.load("90")
    key.exercises["90.1"] = dataclasses.replace(key.exercises["90.1"], hints=tuple(TEXTS))
    (tmp_path / "course" / "keys" / "90.json").write_text(keys.as_text(key), encoding="utf-8")
    return tmp_path / "course"


def said(capsys, function, *arguments, **more):
    function(*arguments, **more)
    return capsys.readouterr().out


def test_hints_come_one_by_one_and_are_remembered(world, capsys):
    assert said(capsys, helping.hint, "90.1") == 'hint 1 of 3: Look at one.\n(for the next one: hint("90.1") again)\n'
    progress._session.clear()  # as after a restart
    assert said(capsys, helping.hint, "90.1").startswith("hint 2 of 3: Now at two.")
    assert said(capsys, helping.hint, "90.1") == "hint 3 of 3: Add them.\n"
    everything = said(capsys, helping.hint, "90.1")
    assert all(text in everything for text in TEXTS) and "There are no more" in everything
    progress.record(keys.load_exercise("90.1"), "wrong")
    assert progress.read()["90.1"].hints == 3


def test_without_hints_it_says_what_may_be_said(world, capsys):
    text = said(capsys, helping.hint, "90.2")
    assert text.startswith("exercise 90.2: no hint was written for it.") and "sign" not in text, "no mistake given away"
    text = said(capsys, helping.hint, "90.3")
    assert text.endswith("From the docstring: raises ValueError for a smaller step.\n"), text
    with pytest.raises(keys.BadKey, match="there is no exercise '90.9'"):
        helping.hint("90.9")


def test_a_solution_is_shown_to_whoever_has_solved_it(world, capsys):
    text = said(capsys, helping.solution, "90.1")
    assert "not solved yet" in text and "return 2 * x" not in text
    assert "return 2 * x" in said(capsys, helping.solution, "90.1", anyway=True)
    progress.record(keys.load_exercise("90.1"), "passed")
    progress.record(keys.load_exercise("90.1"), "wrong")  # solved once is solved
    text = said(capsys, helping.solution, "90.1")
    assert "def twice(x):" in text and "return 2 * x" in text and "SOLUTION" not in text
    assert text.endswith("# another way\n\ndef twice(x):\n    return x * 2\n")
    assert "another way" not in said(capsys, helping.solution, "90.3", anyway=True)


def test_another_way_is_shown_under_the_exercises_name(world, capsys):
    source = world / "solutions" / "90_adding.py"
    right = (
        "@ex.wrong\ndef thrice(x)",
        "@ex.right\ndef by_half(x):\n    return half(4 * x)\n\n\n@ex.wrong\ndef thrice(x)",
    )
    text = source.read_text().replace(*right).replace("@ex.cases", "def half(x):\n    return x / 2\n\n\n@ex.cases", 1)
    source.write_text(text)
    text = said(capsys, helping.solution, "90.1", anyway=True)
    _, other = text.split("# another way")
    assert other.strip() == "def half(x):\n    return x / 2\n\n\ndef twice(x):\n    return half(4 * x)"


def test_without_the_sources_it_says_where_they_are(world, capsys):
    shutil.rmtree(world / "solutions")
    text = said(capsys, helping.solution, "90.1", anyway=True)
    assert "solutions/90_adding.py of the course's repository" in text
    (world / "solutions").mkdir()
    (world / "solutions" / "90_adding.py").write_text("# %%\nprint(1)\n")
    assert "holds no exercise 90.1" in said(capsys, helping.solution, "90.1", anyway=True)
