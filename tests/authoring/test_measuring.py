"""`course measure`: what a record holds, what ends a measurement, and how little a machine must have for one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import course
from course import cli
from course.authoring import measuring
from course.lesson import recording, settings

LUCK = """
from course import claim, record, seed, start
start("42")
claim("42.1", "a seed below the bound is lucky", seed() < 1)
record(luck=seed() / 10)
"""
BARE = """
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jupytext", "nbformat", "nbclient", "nbval", "jupyter_client", "jupyter_core"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""
HERE = {"backend": "b", "device": "d", "processor": "p", "data": "none", "versions": {"b": "1"}}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "solutions" / "42_luck.py"
    path.parent.mkdir()
    path.write_text(LUCK)
    return path


@pytest.fixture
def runs(monkeypatch):
    """Stands in for the runs of a chapter: a dict that may be changed; those with the seeds in "unlucky" fail."""
    runs = {"machine": HERE, "code": "c", "unlucky": (), "seconds": 5.0, "figures": lambda seed: {"luck": seed / 10}}

    def run_once(source, budget, seed, limit=None):
        if seed in runs["unlucky"]:
            raise measuring.MeasureError(f"seed {seed} failed")
        took = dict.fromkeys(measuring.TAKEN, runs["seconds"])
        figures = runs["figures"](seed)
        return took | {"machine": runs["machine"], "code": runs["code"], "seed": seed, "figures": figures}

    monkeypatch.setattr(measuring, "run_once", run_once)
    monkeypatch.setattr(measuring, "this_machine", lambda: HERE)
    monkeypatch.setattr(measuring, "speed_now", lambda: dict.fromkeys(measuring.SPEED, 1.0))
    return runs


def seeds_in(folder):
    return {budget: record["seeds"] for budget, record in recording.load("42", folder).items()}


# --- records ----------------------------------------------------------------------------------------------------------


def test_a_record_is_written_after_each_seed_and_says_for_which(source, runs, tmp_path):
    seen, runs["unlucky"] = [], [1]
    found = measuring.measure(source, "quick", range(3), lambda line: seen.append(seeds_in(tmp_path)), tmp_path)
    assert seen == [{"quick": [0]}, {"quick": [0]}, {"quick": [0, 2]}]
    record = recording.load("42", tmp_path)["quick"]
    assert record["figures"] == {"luck": [0.0, 0.2]} and record["wall_seconds"] == [5.0, 5.0]
    assert all(len(record[key]) == 2 for key in measuring.TAKEN + measuring.SPEED)
    assert record["processor"] == "p" and record["code"] == "c"
    assert found == measuring.Measured(tmp_path / "42.json", ["seed 1 failed"], [])


def test_seeds_of_one_state_are_merged_and_another_state_begins_anew(source, runs, tmp_path):
    def measure(budget, seeds):
        measuring.measure(source, budget, seeds, folder=tmp_path)
        return seeds_in(tmp_path)

    assert measure("quick", [3, 1]) == {"quick": [1, 3]}
    runs["figures"] = lambda seed: {"luck": seed}
    assert measure("quick", [2, 3]) == {"quick": [1, 2, 3]}
    assert recording.load("42", tmp_path)["quick"]["figures"] == {"luck": [0.1, 2, 3]}
    runs["code"], runs["unlucky"] = "another", [7]
    assert measure("quick", [7]) == {"quick": [1, 2, 3]}, "a run that fails ends no record"
    assert measure("full", [5]) == {"quick": [1, 2, 3], "full": [5]}
    assert measure("quick", [5]) == {"quick": [5], "full": [5]}
    for change in ({"device": "another"}, {"versions": {"b": "2"}}, {"data": "MNIST"}, {"scale": 0.1}, {}):
        runs["machine"] = HERE | change
        assert measure("quick", [len(change)])["quick"] == [len(change)]


def test_a_record_made_before_machines_were_described_is_begun_anew(source, runs, tmp_path):
    old = {key: HERE[key] for key in ("backend", "device", "data", "versions")} | {"seeds": [0, 1]}
    (tmp_path / "42.json").write_text(json.dumps({"quick": old}))
    measuring.measure(source, "quick", [2], folder=tmp_path)
    assert seeds_in(tmp_path) == {"quick": [2]}


def test_other_figures_than_the_record_has_are_a_failure(source, runs, tmp_path):
    runs["figures"] = lambda seed: {"luck": 0.0} | ({"other": 1.0} if seed == 1 else {})
    found = measuring.measure(source, "quick", [0, 1], folder=tmp_path)
    assert "seed 1 recorded luck, other; the other seeds luck" in found.failures[0]
    assert seeds_in(tmp_path) == {"quick": [0]}


def test_records_of_another_machine_are_taken_in(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    (here / "42.json").write_text(json.dumps({"quick": {"seeds": [0]}, "full": {"seeds": [1]}}))
    with pytest.raises(measuring.MeasureError, match="no record NN.json"):
        measuring.take(there, folder=here)
    theirs = {"seeds": [2, 3], "device": "a GPU"}
    (there / "42.json").write_text(json.dumps({"full": theirs | {"scale": 0.1}}))
    with pytest.raises(measuring.MeasureError, match="COURSE_SCALE"):
        measuring.take(there, folder=here)
    (there / "42.json").write_text(json.dumps({"full": theirs}))
    assert measuring.take(there, folder=here) == [here / "42.json"]
    assert seeds_in(here) == {"quick": [0], "full": [2, 3]}


def test_the_digest_sees_code_alone(tmp_path):
    path, digests = tmp_path / "42_luck.py", []
    for text in ("# %%\nx = 1\n", "# words\n# %%\nx = 1  \n\n", "# %%\nx = 2\n", "if x:\n    # why\n    y\n"):
        path.write_text(text)
        digests.append(measuring.digest(path))
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_record_sets_the_run_beside_the_recorded_ones(monkeypatch, capsys):
    run = {"figures": {"accuracy": [0.98, 0.99]}, "seeds": [0, 1], "device": "2 CPU cores", "data": "MNIST"}
    monkeypatch.setattr(recording, "load", lambda chapter: {"quick": run})
    course.record(accuracy=0.5, paper={"accuracy": 0.99})
    out = capsys.readouterr().out
    assert "recorded, quick" in out and "0.985 ± 0.007" in out and "0.5" in out and "2 seeds, 2 CPU cores" in out


# --- time -------------------------------------------------------------------------------------------------------------


def test_nothing_is_begun_that_would_not_end_in_time(source, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    said = []

    def measure(seconds, seeds=(0,)):
        found = measuring.measure(source, "quick", seeds, said.append, tmp_path, time.monotonic() + seconds)
        return found.left

    assert measure(-1) == [0] and "not run, for 0 s are left" in said[-1]
    assert measure(60) == [], "nothing is known, so it is begun"
    runs["seconds"] = 100.0
    assert measure(60, [1, 2, 3]) == [2, 3], "what this call has seen counts more than an earlier record"
    assert "60 s are left, and it takes 100 s" in said[-1]
    assert measure(60) == [0], "a record of the same machine counts"
    (tmp_path / "results").mkdir()
    (tmp_path / "42.json").rename(tmp_path / "results" / "42.json")
    assert measure(60) == [0], "wherever this call writes"
    runs["machine"] = HERE | {"device": "another"}
    monkeypatch.setattr(measuring, "this_machine", lambda: runs["machine"])
    assert measure(60) == []


def test_what_lasts_longer_than_the_time_is_stopped_with_its_children(source, tmp_path):
    source.write_text("import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '77.25'])\n")
    said = []
    found = measuring.measure(source, "quick", [0, 1], said.append, tmp_path, time.monotonic() + 5)
    assert found.left == [0, 1] and found.path is None
    assert "seed 0: stopped" in said[0] and "seed 1: not run" in said[1]
    assert "77.25" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_a_process_within_its_limit_and_one_beyond():
    process = measuring.timed([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], ".", limit=3)
    assert process.stopped and process.code == -9 and process.output == "1\n" and process.wall_seconds < 20
    process = measuring.timed([sys.executable, "-c", "pass"], ".", limit=60)
    assert not process.stopped and process.code == 0


# --- the command ------------------------------------------------------------------------------------------------------


def measure_command(source, monkeypatch, *words):
    monkeypatch.setenv("COURSE_SOLUTIONS", str(source.parent))
    return CliRunner().invoke(cli.app, ["measure", "42", *words])


def test_exit_status_and_message_say_what_was_not_run(source, runs, tmp_path, monkeypatch):
    out = ("--out", str(tmp_path / "out"))
    done = measure_command(source, monkeypatch, "--seeds", "0-2", *out)
    assert done.exit_code == 0 and "written: out/42.json" in done.output
    runs["unlucky"] = [1]
    done = measure_command(source, monkeypatch, "--seeds", "0-2", *out)
    assert done.exit_code == 2 and "seed 1 failed" in done.output and "written" in done.output
    done = measure_command(source, monkeypatch, "--seeds", "0,4", "--minutes", "0", *out)
    assert done.exit_code == 3 and "not run to the end: 42_luck with seeds 0, 4" in done.output
    assert measure_command(source, monkeypatch, "--seeds", "a").exit_code == 2


def test_a_scaled_run_is_no_record(source, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "0.001")
    done = measure_command(source, monkeypatch)
    assert done.exit_code == 2 and "--out FOLDER" in done.output
    assert measure_command(source, monkeypatch, "--out", str(tmp_path), "--seeds", "0").exit_code == 0


def test_a_bare_machine_can_measure(source, tmp_path):
    """Without any package that chapters are built with, in the command and in what it runs; and scaled, so that the
    claim, which is false, is not judged."""
    (tmp_path / "sitecustomize.py").write_text(BARE)
    more = "\nfrom course import budget\nrecord(steps=budget(9, 50_000, least=20))\n"
    source.write_text(LUCK + more)
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "COURSE_SOLUTIONS": str(source.parent),
        "COURSE_SCALE": "0.001",
    }
    command = [sys.executable, "-m", "course", "measure", "42", "--seeds", "1", "--budget", "full"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=settings.ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done
    record = recording.load("42", tmp_path)["full"]
    assert record["scale"] == 0.001 and record["figures"] == {"luck": [0.1], "steps": [50.0]}
    assert min(record["peak_memory_mb"] + record["product_ms"] + record["loop_ms"]) > 0 and record["processor"]


def test_a_page_that_cannot_be_made_is_a_remark(monkeypatch, capsys):
    def broken(entries):
        raise ModuleNotFoundError("No module named 'yaml'")

    monkeypatch.setattr("course.authoring.pages.results_page", broken)
    cli.remake_results()
    said = capsys.readouterr().out
    assert "docs/results.md was not made anew (" in said and "course build" in said


def test_a_run_that_fails_is_quoted(source, tmp_path):
    found = measuring.measure(source, "quick", [1], folder=tmp_path)
    assert "seed 1 failed" in found.failures[0] and "claim 42.1 ✗" in found.failures[0]
    assert not Path(tmp_path / "42.json").exists()
    source.write_text("print('nothing')\n")
    found = measuring.measure(source, "quick", [0], folder=tmp_path)
    assert "recorded nothing" in found.failures[0] and found.path is None
