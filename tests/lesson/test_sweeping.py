"""`sweep`: what a lesson shows of a recorded one, and how it is run and recorded."""

import json

import pytest
from typer.testing import CliRunner

import course
from course import cli
from course.authoring import measuring
from course.lesson import recording, settings, sweeping

CHAPTER = """
import os

from course import budget, sweep
from course.lesson import settings

settings._chapter = "42"


def train(rate, clip=1):
    return {"gain": rate * clip, "steps": budget(quick=1, full=9)}


table = sweep("42.1", {"rate": (1, 2), "clip": (3, 5)}, train)
print("best", max(table, key=lambda row: row["gain"], default=None))
other = sweep("42.2", [{"rate": 7}], lambda rate: rate / 2)
assert "COURSE_SWEEP" not in os.environ, "a sweep goes no further than the last one"
"""
BEST = {"rate": 2, "clip": 5, "gain": 10.0, "steps": 1.0}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A chapter with two sweeps, whose records are looked for in tmp_path; its machine is asked nothing."""
    path = tmp_path / "solutions" / "42_sweeps.py"
    path.parent.mkdir()
    path.write_text(CHAPTER)
    monkeypatch.setenv("COURSE_SOLUTIONS", str(path.parent))
    monkeypatch.setattr(settings, "_chapter", "42")
    monkeypatch.setattr(sweeping, "RESULTS", tmp_path)
    return path


def never(**setting):
    raise AssertionError("a lesson trains no sweep")


def test_a_lesson_without_a_record_says_how_to_make_one(source, capsys):
    assert course.sweep("42.1", {"rate": (1, 2)}, never) == []
    assert capsys.readouterr().out == "sweep 42.1 is not recorded yet: course measure --sweep 42\n"


def test_a_sweep_is_run_recorded_and_shown(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_BUDGET", "quick")
    (tmp_path / "42.json").write_text(json.dumps({"quick": {"seeds": [0]}}))
    done = CliRunner().invoke(cli.app, ["measure", "--sweep", "42", "--out", str(tmp_path)])
    assert done.exit_code == 0 and "sweep 42.1: 4 settings" in done.output, done.output
    recorded = recording.load("42", tmp_path)
    assert recorded["quick"] == {"seeds": [0]} and recorded["sweeps"].keys() == {"42.1", "42.2"}
    record = recorded["sweeps"]["42.1"]["quick"]
    assert record["seed"] == 0 and len(record["seconds"]) == 4 and record["processor"] and record["code"]
    table = course.sweep("42.1", {"rate": (1, 2), "clip": (3, 5)}, never)
    assert len(table) == 4 and table[-1] == BEST
    assert course.sweep("42.2", [{"rate": 7}], never) == [{"rate": 7, "value": 3.5}]
    assert "sweep 42.1: 4 settings, recorded on the quick budget, seed 0" in capsys.readouterr().out
    assert course.sweep("42.1", {"rate": (1, 2)}, never) == []
    assert "was recorded with other settings" in capsys.readouterr().out


def test_the_record_of_the_same_budget_is_shown_first(source, tmp_path, monkeypatch, capsys):
    records = {
        name: {"settings": [{"a": 1}], "results": [{"b": n}], "seed": 0, "device": "d"}
        for n, name in enumerate(settings.BUDGETS)
    }
    for budget, recorded, value in (
        ("quick", records, 0),
        ("full", records, 1),
        ("quick", {"full": records["full"]}, 1),
    ):
        (tmp_path / "42.json").write_text(json.dumps({"sweeps": {"42.1": recorded}}))
        monkeypatch.setenv("COURSE_BUDGET", budget)
        assert course.sweep("42.1", {"a": (1,)}, never) == [{"a": 1, "b": value}]
    assert "recorded on the full budget" in capsys.readouterr().out


@pytest.mark.parametrize("values", [{}, {"rate": ()}, [], {"rate": (1, 2, 1)}, [{"rate": 1}, {"rate": 1}]])
def test_no_setting_or_one_twice_is_refused(source, values):
    with pytest.raises(ValueError, match="sweep 42.1 has (no setting|a setting twice)"):
        course.sweep("42.1", values, never)


def test_a_setting_that_fails_is_a_failure_and_other_sweeps_are_kept(source, tmp_path):
    source.write_text(CHAPTER.replace("lambda rate: rate / 2", "lambda rate: rate / 0"))
    found = measuring.measure_sweeps(source, "full", 3, folder=tmp_path)
    assert "ZeroDivisionError" in found.failures[0] and found.path == tmp_path / "42.json"
    sweeps = recording.load("42", tmp_path)["sweeps"]
    assert sweeps.keys() == {"42.1"} and sweeps["42.1"]["full"]["results"][0] == {"gain": 3.0, "steps": 9.0}
    assert sweeps["42.1"]["full"]["seed"] == 3


def test_a_chapter_without_sweeps_and_a_sweep_of_many_seeds(source):
    source.write_text("x = 1\n")
    said = []
    assert measuring.measure_sweeps(source, "quick", 0, said.append) == measuring.Measured()
    assert said == ["42: has no sweep"]
    done = CliRunner().invoke(cli.app, ["measure", "--sweep", "42", "--seeds", "0-4"])
    assert done.exit_code == 2 and "one seed" in done.output
