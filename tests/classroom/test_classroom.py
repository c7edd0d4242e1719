"""Grading a class: results that survive kills, full disks and changed references; class's keys; the commands."""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime

import nbformat
import pytest
from helpers import NAME, TWICE, WALL, Kernel, answered, class_key, drawn_key, point_at, walled

from course import cli, files
from course.authoring import chapters, keying
from course.classroom import command, runner
from course.exercises import keys
from course.files import load_notebook
from course.grading import learner
from course.lesson import settings


@pytest.fixture
def world(built_small, tmp_path, monkeypatch):
    """A class of five with the small chapter, all of it to be changed at will: (class, out)."""
    shutil.copytree(built_small, tmp_path / "course")
    point_at(monkeypatch, tmp_path / "course")
    answers = {
        "anna": TWICE,
        "ben": "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n",
        "cleo": "# Exercise 90.1\nimport os\nos._exit(0)\n",
        "dan": "# Exercise 90.1\ndef twice(x):\n    y = x\n    return y + x\n",
    }
    for student, source in answers.items():
        (tmp_path / "class" / student).mkdir(parents=True)
        text = nbformat.writes(answered(built_small, _90_1=source))
        (tmp_path / "class" / student / NAME).write_text(text, encoding="utf-8")
    (tmp_path / "class" / "eve").mkdir()
    (tmp_path / "class" / "eve" / NAME).write_text("{")
    return tmp_path / "class", tmp_path / "out"


def options(world, jobs=1, **more):
    """With one worker, where several would be started for nothing."""
    return runner.Options(*world, jobs=jobs, cell_seconds=10, seconds=30, limits=WALL, **more)


def grade(world, **more):
    """Grade; the results by student and how many were graded this time."""
    events = []
    results, _, _ = runner.grade_class(options(world, **more), drawn_key, lambda *event: events.append(event))
    return {r["student"]: r for r in results}, [e[1]["student"] for e in events if e[0] == "graded"]


def decided(results):
    """What must not depend on when or how often the grader ran."""
    return {
        s: (r["status"], [(e["exercise"], e["state"], e["hint"]) for e in r["exercises"]]) for s, r in results.items()
    }


@walled
def test_what_nobody_has_touched_is_open_and_a_helper_in_another_cell_is_named(world):
    folder, _ = world
    course = folder.parent / "course"
    blank = (course / "notebooks" / NAME).read_text(encoding="utf-8")
    (folder / "ben" / NAME).write_text(blank, encoding="utf-8")
    notebook = answered(course, _90_1="# Exercise 90.1\ndef twice(x):\n    return double(x)\n")
    notebook.cells.insert(1, nbformat.v4.new_code_cell("def double(x):\n    return 2 * x\n"))
    (folder / "dan" / NAME).write_text(nbformat.writes(notebook), encoding="utf-8")
    results, _ = grade(world, students=("ben", "dan"))
    assert [(e["state"], e["hint"]) for e in results["ben"]["exercises"]] == [("open", "")] * 3
    first = results["dan"]["exercises"][0]
    assert first["state"] == "crashed" and first["note"].startswith(
        "double is made in another cell of the notebook, the 2nd"
    )


LINE = "# Exercise 90.1\n"
HEAD = "def twice(x):\n"
WAYS = {
    # student: (what stands in the cell, what in the cell below, its state)
    "cached": (f"{LINE}import functools\n@functools.cache\n{HEAD}    return 2 * x\n", "", "passed"),
    "timed": (f"%%time\n{TWICE}", "", "passed"),
    "timed below": (TWICE.replace("def", "%%time\ndef"), "", "crashed"),
    "below": (LINE, TWICE.replace(LINE, ""), "passed"),
    "a helper": (f"{LINE}{HEAD}    return 2 * helper(x)\n", "def helper(x):\n    return x\n", "crashed"),
    "an import": (f"{LINE}{HEAD}    return fsum([x, x])\n", "from math import fsum\n", "crashed"),
    "a file": (f"{LINE}{HEAD}    open('data.txt')\n    return 2 * x\n", "", "crashed"),
    "asks": (f"{LINE}{HEAD}    input('?')\n    return 2 * x\n", "", "crashed"),
    "a later answer": (f"{LINE}{HEAD}    return x - mend(x)\n", "", "crashed"),
}


@walled
def test_a_lesson_its_grader_and_a_class_see_the_same(world):
    """However an answer is written, and whatever it takes from around its cell."""
    folder, _ = world
    course, lessons = folder.parent / "course", folder.parent / "lessons"
    shutil.rmtree(folder)
    for student, (source, below, _) in WAYS.items():
        notebook = answered(course, _90_1=source)
        at = next(i for i, cell in enumerate(notebook.cells) if cell.source == source)
        notebook.cells[at + 1 : at + 1] = [nbformat.v4.new_code_cell(below)] if below else []
        for place in (folder, lessons):
            (place / student).mkdir(parents=True)
            (place / student / NAME).write_text(nbformat.writes(notebook), encoding="utf-8")
            (place / student / "data.txt").write_text("1")
    results, _ = grade(world)
    right = {student: state for student, (_, _, state) in WAYS.items()}
    assert {student: one["exercises"][0]["state"] for student, one in results.items()} == right
    assert {s: learner.grade(lessons / s / NAME)[0].state for s in WAYS} == right
    cells = load_notebook(course / "notebooks" / NAME).cells
    given = [cell.source for cell in cells if cell.metadata.get("course", {}).get("role") == "definition"]
    check = next(cell.source for cell in cells if cell.source.startswith('check("90.1"'))
    with Kernel(lessons / "a file") as kernel:
        for student, (source, below, state) in WAYS.items():
            if student != "timed below":  # which is no function at all, so that the one before is checked
                for cell in [*given, source, below]:
                    kernel.run(cell)
                assert ("✓" in kernel.said(check)) == (state == "passed"), student


@walled
def test_an_answer_may_use_an_earlier_one_though_that_is_wrong(world):
    """Wrong in one way, and right in what the later one needs."""
    folder, _ = world
    course = folder.parent / "course"
    wrong = f"{LINE}{HEAD}    return 0 if isinstance(x, float) else 2 * x\n"
    mend = "# Exercise 90.2\ndef mend(x):\n    return int(twice(1)) * x / -2\n"
    notebook = answered(course, _90_1=wrong, _90_2=mend)
    (folder / "dan" / NAME).write_text(nbformat.writes(notebook), encoding="utf-8")
    results, _ = grade(world, students=("dan",))
    assert [one["state"] for one in results["dan"]["exercises"]] == ["wrong", "passed", "passed"]
    assert [one.state for one in learner.grade(folder / "dan" / NAME)] == ["wrong", "passed", "passed"]


@walled
def test_a_class_is_graded_once_and_again_only_where_something_changed(world):
    first, done = grade(world, jobs=2)
    assert sorted(done) == ["anna", "ben", "cleo", "dan", "eve"]
    assert decided(first)["anna"] == (
        "graded",
        [("90.1", "passed", ""), ("90.2", "passed", ""), ("90.3", "passed", "")],
    )
    assert first["ben"]["exercises"][0]["hint"] == "That is three times."
    assert first["cleo"]["exercises"][0]["state"] == "crashed"
    assert first["eve"]["status"] == "invalid" and "not a notebook" in first["eve"]["reason"]
    again, done = grade(world)
    assert done == [] and again == first  # nor is a file tried again that cannot be graded, as long as it is the same
    _, done = grade(world, students=("ben",), force=True)
    assert done == ["ben"]
    path = world[0] / "anna" / NAME
    path.write_text(path.read_text().replace("x + x", "x * 7"))
    later, done = grade(world)
    assert done == ["anna"] and later["anna"]["exercises"][0]["state"] == "wrong"
    assert len(list((world[1] / "history").rglob("*.json"))) >= 2, "older results are kept"


@walled
def test_a_changed_reference_regrades_what_it_touches(world):
    first, _ = grade(world)
    source = settings.solutions_folder() / "90_adding.py"
    source.write_text(source.read_text().replace("The sign is kept.", "You kept the sign."))
    chapter = chapters.read_chapter(source)
    files.write(keying.path_of(chapter), keys.as_text(keying.make(chapter)))
    later, done = grade(world)
    assert sorted(done) == ["anna", "ben", "cleo", "dan", "eve"]
    for student in ("anna", "ben"):
        same = [
            a == b
            for a, b in zip(
                first[student]["digests"]["exercises"].values(), later[student]["digests"]["exercises"].values()
            )
        ]
        assert same == [True, False, True]
        for row in (0, 2):  # untouched, down to the seconds that they took
            assert first[student]["exercises"][row] == later[student]["exercises"][row]


@walled
def test_a_killed_run_goes_on_where_it_stopped(world):
    seen = []

    def die(event, *what):
        if event == "graded":
            seen.append(what[0])
            if len(seen) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.grade_class(options(world), drawn_key, die)
    kept = {r["student"]: r for r in seen}
    results, done = grade(world)
    assert not set(done) & set(kept)
    assert all(results[s] == kept[s] for s in kept)
    shutil.rmtree(world[1] / "results")
    fresh, _ = grade(world)
    assert decided(fresh) == decided(results)


@walled
def test_a_full_disk_and_a_vanished_folder_are_said_and_lose_nothing(world, monkeypatch):
    real, count = files.write, []

    def write(path, text):
        count.append(path)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, text)

    monkeypatch.setattr("course.classroom.results.write", write)
    with pytest.raises(OSError, match="No space left"):
        grade(world)
    monkeypatch.setattr("course.classroom.results.write", real)
    assert len(list((world[1] / "results").rglob("*.json"))) == 2
    results, done = grade(world)
    assert len(results) == 5 and len(done) <= 4

    def vanish(event, *what):
        if event == "begin":
            shutil.rmtree(world[1])

    with pytest.raises(runner.GraderError, match="has vanished"):
        runner.grade_class(options(world, force=True, seed_file=world[0].parent / "seed"), drawn_key, vanish)


@walled
def test_a_clock_that_jumps_changes_no_verdict(world, monkeypatch):
    first, _ = grade(world)
    jumps = itertools.cycle([4e9, 0, 2e9])

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(next(jumps), tz)

    monkeypatch.setattr(runner, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    jumped, done = grade(world, force=True)
    assert len(done) == 5 and decided(jumped) == decided(first)
    _, done = grade(world)
    assert done == []


@walled
def test_half_a_result_counts_as_none(world):
    first, _ = grade(world)
    path = next((world[1] / "results" / "anna").glob("*.json"))
    path.write_text(path.read_text()[:100])
    later, done = grade(world)
    assert "anna" in done and decided(later) == decided(first)


def test_the_secret_is_made_once_and_kept_to_its_owner(tmp_path):
    path = tmp_path / "deep" / "seed"
    secret = runner.read_secret(path)
    assert runner.read_secret(path) == secret and path.stat().st_mode & 0o777 == 0o600
    path.write_text("short")
    with pytest.raises(runner.GraderError, match="too short to be a secret"):
        runner.read_secret(path)
    with pytest.raises(runner.GraderError, match="cannot be used"):
        runner.read_secret(tmp_path)


def test_without_a_sandbox_root_is_refused_and_anyone_may_insist(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(runner.GraderError, match="--require-sandbox: bubblewrap is not installed"):
        command.choose_wall(required=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(runner.GraderError, match="run as root"):
        command.choose_wall(required=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command.choose_wall(required=False) is False


@walled
def test_the_command_grades_reports_and_refuses(world, tmp_path):
    words = [sys.executable, "-m", "course", "grade"]
    rules = tmp_path / "rules.toml"
    rules.write_text('[[override]]\nstudent = "ben"\nexercise = "90.1"\npoints = 1\nreason = "half right in words"\n')
    run = subprocess.run(
        [*words, "--submissions", world[0], "--out", world[1], "--jobs", "2", "--rules", rules],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout
    assert "5 submissions of 5 students" in run.stdout and "4 graded, 1 invalid files" in run.stdout
    for name in (
        "grades.csv",
        "report.html",
        "results.xml",
        "feedback/ben/90_adding.md",
        "results/anna/90_adding.json",
    ):
        assert (world[1] / name).exists(), name
    assert "half right in words" in (world[1] / "report.html").read_text(encoding="utf-8")
    assert "That is three times." in (world[1] / "feedback/ben/90_adding.md").read_text(encoding="utf-8")
    for arguments, said in (
        (["--submissions", tmp_path / "nowhere", "--out", world[1]], "no folder or zip"),
        (["--submissions", world[0]], "Add --out DIR"),
        (["--submissions", world[0], "--out", world[1], "--exercise", "99.9"], "no exercise 99.9"),
        (["--submissions", world[0], "--out", world[1], "--rules", tmp_path / "none.toml"], "cannot be read"),
        (
            ["--submissions", world[0], "--out", world[1], "--roster", tmp_path / "none.csv"],
            "roster none.csv cannot be",
        ),
    ):
        run = subprocess.run([*words, *arguments], capture_output=True, text=True)
        assert run.returncode == 2 and said in run.stderr.replace("\n", " ") and "Traceback" not in run.stderr, (
            run.stderr
        )


def run(*words):
    return subprocess.run([sys.executable, "-m", "course", *map(str, words)], capture_output=True, text=True)


@walled
def test_a_class_is_graded_from_its_key_where_there_are_no_sources(world, tmp_path):
    world[1].mkdir()
    at_home, _ = grade(world, students=("anna", "ben"), seed_file=tmp_path / "seed")
    shutil.rmtree(world[1])
    made = run("key", "90", "--seed-file", tmp_path / "seed", "--out", tmp_path / "safe")
    key = tmp_path / "safe" / "class-90_adding.json"
    assert made.returncode == 0 and f"written: {key}" in made.stdout, made.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    assert keys.from_text(key.read_text(encoding="utf-8"), key.name, "-") == class_key(
        "90", runner.read_secret(tmp_path / "seed")
    )
    shutil.rmtree(settings.solutions_folder())
    graded = (
        "grade",
        "--submissions",
        world[0],
        "--out",
        world[1],
        "--student",
        "anna",
        "--student",
        "ben",
        "--jobs",
        "1",
    )
    with pytest.raises(runner.GraderError, match="a class is graded from a key: --key FILE"):
        runner.grade_class(options(world), cli.class_keys((), world[1]))
    result = run(*graded, "--key", key)
    assert result.returncode == 0 and "2 graded" in result.stdout, result.stderr + result.stdout
    assert not (world[1] / "secret-seed").exists(), "a key that is made already needs no secret"
    results = {s: json.loads((world[1] / "results" / s / "90_adding.json").read_text()) for s in ("anna", "ben")}
    assert decided(results) == decided(at_home)
    assert results["ben"]["exercises"][0]["hint"] == "That is three times."
    assert results["ben"]["digests"] == at_home["ben"]["digests"]
    refused = run(*graded, "--key", settings.keys_folder() / "90.json")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert refused.stderr == "the key of chapter 90 is no class's key: make one with course key\n"


def test_a_class_key_that_does_not_fit_is_refused_in_one_sentence(world, tmp_path):
    text = keys.as_text(class_key("90", b"a" * 16))
    for change, said in (
        (lambda form: form | {"made_from": "0"}, "are made from different states of the chapter: make the class's key"),
        (lambda form: form | {"solutions": {}}, "the key of chapter 90 is no class's key"),
        (
            lambda form: form | {"number": "91"},
            f"there are submissions for chapter 90, and no key for it among {tmp_path}",
        ),
        (lambda form: form | {"format": 0}, "class.json was made by another version of the course"),
        (lambda form: {**form, "exercises": {}, "stem": []}, "is no class's key"),
        (lambda form: [form], "class.json is damaged, it is no whole key: make it anew with course key"),
    ):
        path = tmp_path / "keys" / "class.json"
        path.parent.mkdir(exist_ok=True)
        form = change(json.loads(text))
        if isinstance(form, dict):  # whole, but not what is needed
            del form["sha256"]
            form["sha256"] = keys.checksum(form)
        path.write_text(json.dumps(form), encoding="utf-8")
        with pytest.raises((runner.GraderError, keys.BadKey), match=said) as caught:
            runner.grade_class(options(world), cli.class_keys([tmp_path / "keys"], world[1]))
        assert "\n" not in str(caught.value)
    with pytest.raises(runner.GraderError, match="the key .*none.json cannot be read: No such file"):
        cli.class_keys([tmp_path / "none.json"], world[1])


@walled
def test_a_cluster_gives_the_same_results_though_a_worker_dies(world):
    distributed = pytest.importorskip("distributed")
    at_home, _ = grade(world)
    shutil.rmtree(world[1])
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        killed = []

        def kill_one(event, *what):
            if event == "graded" and not killed:
                killed.append(list(cluster.workers.values())[0].pid)
                os.kill(killed[0], 9)

        results, _, _ = runner.grade_class(options(world, cluster=cluster.scheduler_address), drawn_key, kill_one)
    assert killed and decided({r["student"]: r for r in results}) == decided(at_home)
