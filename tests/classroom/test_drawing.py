"""The attacks that the usual tests try: whatever is new or meets changed code, and a part of the others."""

import drawing
import pytest

ATTACKS = {f"attack {i}": (f"x = {i}", ("wrong",)) for i in range(300)}


@pytest.fixture
def held(tmp_path, monkeypatch):
    """The digests of ATTACKS, from a record of them."""
    monkeypatch.delenv("HOSTILE_ALL", raising=False)
    monkeypatch.setattr(drawing, "RECORD", tmp_path / "held.json")
    assert drawing.held() == {}
    drawing.record(dict(list(ATTACKS.items())[:150]), dict(list(ATTACKS.items())[150:]))
    return drawing.held()


def test_what_held_is_tried_in_part_another_part_for_each_commit(held):
    parts = [set(drawing.drawn(ATTACKS, held, str(commit))) for commit in range(40)]
    assert all(20 < len(part) < 100 for part in parts) and parts[0] != parts[1]
    assert set().union(*parts) == set(ATTACKS), "some attack is never tried again"
    assert set(drawing.drawn(ATTACKS, held, "0")) == parts[0]


def test_what_is_new_or_changed_is_tried(held):
    del held["attack 8"]
    changed = ATTACKS | {"attack 7": ("x = 7", ("passed",))}
    for commit in range(20):
        assert {"attack 7", "attack 8"} <= set(drawing.drawn(changed, held, str(commit)))


def test_all_are_tried_against_other_code_and_where_that_is_asked_for(held, monkeypatch):
    assert 20 < len(drawing.to_try(ATTACKS)) < 100
    monkeypatch.setenv("HOSTILE_ALL", "1")
    assert drawing.to_try(ATTACKS) == ATTACKS
    monkeypatch.delenv("HOSTILE_ALL")
    monkeypatch.setattr(drawing, "attacked", lambda: "other code")
    assert drawing.held() == {} and drawing.to_try(ATTACKS) == ATTACKS


def test_a_module_that_is_attacked_and_changed_is_seen(monkeypatch, tmp_path):
    before = drawing.attacked()
    for name in (
        "classroom/worker.py",
        "classroom/layout/x.py",
        "grading/plugin.py",
        "exercises/values.py",
        "files.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    monkeypatch.setattr(drawing.settings, "PACKAGE", tmp_path)
    states = {before, drawing.attacked()}
    for path in sorted(tmp_path.rglob("*.py")):
        path.write_text("x = 1  # said\n")
        assert drawing.attacked() in states, "a comment is no change"
        path.write_text("x = 2\n")
        assert drawing.attacked() not in states, path
        states.add(drawing.attacked())
