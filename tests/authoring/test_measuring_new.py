"""`course measure`: what a record holds, what ends a measurement, and how little a machine must have for one."""

import json
import os
import subprocess
import sys
import time

import pytest

from course.authoring import measuring
from course.lesson import recording, settings

LUCK = """
from course import claim, record, seed, start
start("42")
claim("42.1", "a seed below the bound is lucky", seed() not in UNLUCKY)
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


@pytest.fixture
def chapter(tmp_path):
    """Writes a chapter 42 that records its seed and fails for some seeds; gives its path."""

    def write(unlucky=(), more=""):
        source = tmp_path / "solutions" / "42_luck.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(LUCK.replace("UNLUCKY", str(tuple(unlucky))) + more)
        return source

    return write


def measured(source, out, *words, **environment):
    """`course measure` as a process, for the chapter at `source`."""
    return subprocess.run(
        [sys.executable, "-m", "course", "measure", "42", "--out", str(out), *words],
        cwd=settings.ROOT,
        env=os.environ | {"COURSE_SOLUTIONS": str(source.parent)} | environment,
        capture_output=True,
        text=True,
    )


def test_a_record_is_written_after_each_seed_and_says_for_which(chapter, tmp_path):
    found = measuring.measure(chapter(unlucky=[1]), "quick", range(3), folder=tmp_path)
    record = recording.load("42", tmp_path)["quick"]
    assert record["seeds"] == [0, 2] and record["figures"] == {"luck": [0.0, 0.2]}
    assert all(len(record[key]) == 2 for key in measuring.TAKEN + measuring.SPEED)
    assert min(record["peak_memory_mb"]) > 10 and min(record["product_ms"] + record["loop_ms"]) > 0
    assert record["processor"] and found.path == tmp_path / "42.json" and found.left == []
    assert len(found.failures) == 1 and "seed 1 failed" in found.failures[0] and "42.1" in found.failures[0]


def test_seeds_of_one_state_are_merged_and_another_state_begins_anew(chapter, tmp_path):
    measuring.measure(chapter(), "quick", [3, 1], folder=tmp_path)
    measuring.measure(chapter(more="\n# a remark\n"), "quick", [2, 3], folder=tmp_path)
    record = recording.load("42", tmp_path)["quick"]
    assert record["seeds"] == [1, 2, 3] and record["figures"] == {"luck": [0.1, 0.2, 0.3]}
    measuring.measure(chapter(unlucky=[7], more="\nx = 1\n"), "quick", [7], folder=tmp_path)
    assert recording.load("42", tmp_path)["quick"]["seeds"] == [1, 2, 3], "a failure ends no record"
    measuring.measure(chapter(more="\nx = 1\n"), "full", [5], folder=tmp_path)
    measuring.measure(chapter(more="\nx = 1\n"), "quick", [5], folder=tmp_path)
    assert {name: run["seeds"] for name, run in recording.load("42", tmp_path).items()} == {"quick": [5], "full": [5]}


def test_other_figures_than_the_record_has_are_a_failure(chapter, tmp_path):
    source = chapter(more="\nif seed() == 1:\n    record(other=1)\n")
    found = measuring.measure(source, "quick", [0, 1], folder=tmp_path)
    assert "seed 1 recorded luck, other; the other seeds luck" in found.failures[0]
    assert recording.load("42", tmp_path)["quick"]["seeds"] == [0]


def test_a_chapter_that_records_nothing_is_a_failure(chapter, tmp_path):
    source = chapter()
    source.write_text("print('nothing')\n")
    found = measuring.measure(source, "quick", [0], folder=tmp_path)
    assert "recorded nothing" in found.failures[0] and found.path is None and not (tmp_path / "42.json").exists()


def test_nothing_is_begun_that_would_not_end_in_time(chapter, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(measuring, "this_machine", lambda: {"device": "a", "backend": "b", "processor": "c"})
    old = {"device": "a", "backend": "b", "processor": "c", "wall_seconds": [1, 500.0], "seeds": [0, 1]}
    (tmp_path / "42.json").write_text(json.dumps({"quick": old}))
    found = measuring.measure(chapter(), "quick", [0], said.append, tmp_path, time.monotonic() + 300)
    assert found.left == [0] and "it takes 500 s" in said[0]
    (tmp_path / "42.json").write_text(json.dumps({"quick": old | {"device": "another"}}))
    found = measuring.measure(chapter(), "quick", [0], said.append, tmp_path, time.monotonic() + 300)
    assert found.left == [] and recording.load("42", tmp_path)["quick"]["figures"] == {"luck": [0.0]}
    assert measuring.measure(chapter(), "quick", [0], said.append, tmp_path, time.monotonic() - 1).left == [0]


def test_what_lasts_longer_than_the_time_is_stopped_with_its_children(chapter, tmp_path):
    slow = chapter(more="\nimport subprocess\nsubprocess.run(['sleep', '60'])\n")
    began, said = time.monotonic(), []
    found = measuring.measure(slow, "quick", [0, 1], said.append, tmp_path, began + 12)
    assert found.left == [0, 1] and time.monotonic() - began < 20
    assert "seed 0: stopped after 12 s" in said[0] and "seed 1: not run" in said[1]
    assert not (tmp_path / "42.json").exists()


def test_a_process_is_stopped_at_its_limit():
    process = measuring.timed([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], ".", limit=2)
    assert process.stopped and process.code == -9 and process.output == "1\n" and process.wall_seconds < 10
    process = measuring.timed([sys.executable, "-c", "pass"], ".", limit=60)
    assert not process.stopped and process.code == 0


def test_the_digest_sees_code_alone(tmp_path):
    source = tmp_path / "42_luck.py"
    digests = []
    for text in ("# %%\nx = 1\n", "# words\n# %%\nx = 1  \n\n", "# %%\nx = 2\n", "if x:\n    # why\n    y\n"):
        source.write_text(text)
        digests.append(measuring.digest(source))
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_records_of_another_machine_are_taken_in(chapter, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "42.json").write_text(json.dumps({"quick": {"seeds": [0]}, "full": {"seeds": [1]}}))
    with pytest.raises(measuring.MeasureError, match="no record NN.json"):
        measuring.take(tmp_path / "there", folder=tmp_path / "here")
    theirs = tmp_path / "there" / "42.json"
    theirs.write_text(json.dumps({"full": {"seeds": [2, 3], "device": "a GPU", "scale": 0.1}}))
    with pytest.raises(measuring.MeasureError, match="COURSE_SCALE"):
        measuring.take(tmp_path / "there", folder=tmp_path / "here")
    theirs.write_text(json.dumps({"full": {"seeds": [2, 3], "device": "a GPU"}}))
    assert measuring.take(tmp_path / "there", folder=tmp_path / "here") == [tmp_path / "here" / "42.json"]
    taken = recording.load("42", tmp_path / "here")
    assert {budget: record["seeds"] for budget, record in taken.items()} == {"quick": [0], "full": [2, 3]}


def test_a_scaled_run_is_no_record(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "0.001")
    with pytest.raises(measuring.MeasureError, match="--out"):
        measuring.measure(chapter(), "quick", [0])
    source = chapter(unlucky=[0], more="\nfrom course import budget\nrecord(steps=budget(9, 50_000, least=20))\n")
    assert measuring.measure(source, "full", [0], folder=tmp_path).failures == []
    record = recording.load("42", tmp_path)["full"]
    assert record["scale"] == 0.001 and record["figures"]["steps"] == [50]


@pytest.mark.parametrize(
    "unlucky, words, status, message",
    [
        ([], (), 0, "written: "),
        ([0], (), 2, "42_luck.py, budget quick, seed 0 failed"),
        ([], ("--minutes", "0"), 3, "not run to the end: 42_luck with seeds 0, 1"),
    ],
)
def test_the_command_needs_no_authors_packages(chapter, tmp_path, unlucky, words, status, message):
    (tmp_path / "sitecustomize.py").write_text(BARE)
    out = tmp_path / "out"
    done = measured(chapter(unlucky), out, "--seeds", "0,1", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == status and message in done.stdout + done.stderr, done
    if status != 3:
        assert recording.load("42", out)["quick"]["seeds"] == [0, 1][len(unlucky) :]


def test_a_page_that_cannot_be_made_is_a_remark(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BARE)
    code = (
        "import pathlib; from course import cli; cli.remake_results([pathlib.Path('solutions/01_backpropagation.py')])"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "docs/results.md was not made anew" in done.stdout, done
    assert "course build" in done.stdout
