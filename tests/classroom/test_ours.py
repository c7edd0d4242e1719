"""Whose work counts: nothing of the course's own earns points, or stands before what a student wrote."""

import json
import os
import shutil

import nbformat
import pytest
from helpers import MEND, NAME, answered, class_key, drawn_key, point_at
from typer.testing import CliRunner

from course import cli
from course.classroom import command, rules, runner
from course.classroom.ours import Ours
from course.exercises import keys
from course.grading import submission

OWN_ANSWER = "# Exercise 90.1\ndef twice(x):\n    y = x\n    return y + x\n"


DEEP = f"# Exercise 90.1\ny = lambda: {'-' * 1100}1\n"


@pytest.fixture
def world(built_small, tmp_path, monkeypatch):
    """A course without lessons, a folder for a class, one for results; no worker is ever started."""
    shutil.copytree(built_small, tmp_path / "course")
    shutil.rmtree(tmp_path / "course" / "notebooks")
    point_at(monkeypatch, tmp_path / "course")
    monkeypatch.setattr(runner, "work", lambda todo, done, *_: done.extend(one for one, *_ in todo))
    (tmp_path / "class").mkdir()
    return tmp_path


def hand_in(world, name, text, when=1_790_000_000):
    path = world / "class" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (when, when))


def graded(world, **more):
    """What was to be graded, and what was settled without a worker: by student."""
    options = runner.Options(world / "class", world / "out", **more)
    (world / "out").mkdir(exist_ok=True)
    done, unread, _ = runner.grade_class(options, drawn_key)
    todo = {one.student: one for one in done if not isinstance(one, dict)}
    return todo, {one["student"]: one for one in done if isinstance(one, dict)}, unread


@pytest.fixture
def texts(built_small):
    """Texts of notebooks: a student's own, a blank one, the reference as it is, and without its marks."""
    reference = json.loads((built_small / "solutions" / NAME).read_text(encoding="utf-8"))
    bare = json.loads(json.dumps(reference))
    bare["metadata"]["course"].pop("evidence", None)
    for cell in bare["cells"]:
        cell["outputs"] = []
        if "def twice" in (source := "".join(cell["source"])):
            cell["source"] = source.replace("return 2 * x", "return 2*x  # mine")
    return {
        "own": nbformat.writes(answered(built_small, _90_1=OWN_ANSWER)),
        "blank": (built_small / "notebooks" / NAME).read_text(encoding="utf-8"),
        "reference": (built_small / "solutions" / NAME).read_text(encoding="utf-8"),
        "answers": json.dumps(bare),
    }


LATER = 1_790_500_000


def test_who_hands_in_the_whole_course_is_graded_on_what_is_the_students(world, texts):
    hand_in(world, f"anna/work/{NAME}", texts["own"])
    hand_in(world, f"anna/notebooks/{NAME}", texts["blank"], LATER)
    hand_in(world, f"anna/solutions/{NAME}", texts["reference"], LATER)
    hand_in(world, f"anna/elsewhere/{NAME}", texts["answers"], LATER)
    hand_in(world, f"ben/{NAME}", texts["own"])
    todo, settled, unread = graded(world)
    assert todo["anna"].shown == f"anna/work/{NAME}" and settled == {}
    assert "the newest file with answers was graded" in todo["anna"].notes[0]
    assert [one.path for one in unread] == [f"anna/elsewhere/{NAME} and 1 more"]


@pytest.mark.parametrize("kind", ["reference", "answers"])
def test_the_courses_own_alone_is_no_points_and_a_row_to_look_at(world, texts, kind):
    hand_in(world, f"anna/{NAME}", texts[kind])
    hand_in(world, f"cleo/solutions/{NAME}", texts["own"])
    hand_in(world, f"ben/{NAME}", texts["own"])
    todo, settled, _ = graded(world)
    assert set(todo) == {"ben"} and set(settled) == {"anna", "cleo"}
    points = {number: {n: one.points for n, one in keys.load(number).exercises.items()} for number in keys.known()}
    for result in settled.values():
        assert result["status"] == "invalid" and result["reason"].startswith("nothing of the student's own")
        ruled = rules.apply(rules.read_rules(None, points), result)
        assert ruled["score"] == 0 and ruled["max_score"] > 0
    assert "in a folder called solutions" in settled["cleo"]["reason"]
    stored = world / "out" / "results" / "anna" / NAME.replace("ipynb", "json")
    assert json.loads(stored.read_text())["reason"] == settled["anna"]["reason"]
    before = stored.stat().st_mtime_ns
    graded(world)
    assert stored.stat().st_mtime_ns == before, "nothing has changed"


def test_what_is_like_the_reference_in_part_is_the_students(world, texts, built_small):
    key = class_key("90", b"a" * 16)
    mine = dict(key.solutions) | {"90.2": MEND.replace("0 - x", "x * -1")}
    hand_in(
        world,
        f"anna/{NAME}",
        nbformat.writes(answered(built_small, **{f"_{n}".replace(".", "_"): s for n, s in mine.items()})),
    )
    hand_in(world, f"ben/{NAME}", texts["own"])
    assert set(graded(world)[0]) == {"anna", "ben"}
    ours = Ours(lambda _: None, lambda _: key.solutions)
    assert ours.compare("90", world / "class/anna" / NAME).ours == ""


def test_a_blank_notebook_never_stands_before_answers(world, texts):
    hand_in(world, f"anna/old/{NAME}", texts["own"])
    hand_in(world, f"anna/new/{NAME}", texts["blank"], LATER)
    hand_in(world, f"ben/{NAME}", texts["blank"])
    todo, _, _ = graded(world)
    assert todo["anna"].shown == f"anna/old/{NAME}" and todo["ben"].notes == ()


def test_a_long_answer_is_not_parsed(world):
    solution = "# Exercise 90.1\nx = 1\n"
    path = world / "x.ipynb"
    cell = {"cell_type": "code", "metadata": {}, "source": solution + "#" * 10_000}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert Ours(lambda _: {}, lambda _: {"90.1": solution}).compare("90", path).ours == ""


def test_damage_in_spite_of_which_a_notebook_is_read_is_a_row_to_look_at(world, texts):
    hand_in(world, f"anna/{NAME}", texts["own"] + "\0" * 500)
    hand_in(world, f"ben/{NAME}", texts["own"])
    todo, _, _ = graded(world)
    assert "500 zeros" in todo["anna"].notes[0] and todo["ben"].notes == ()


def test_a_key_of_others_chapters_is_not_asked_for(world, texts):
    hand_in(world, f"anna/{NAME}", texts["own"])
    hand_in(world, "ben/91_other.ipynb", json.dumps({"cells": [], "metadata": {"course": {"chapter": "91"}}}))
    todo, _, _ = graded(world, students=("anna",))
    assert set(todo) == {"anna"}


def test_what_stands_is_described_anew(world, texts, monkeypatch):
    hand_in(world, f"anna/{NAME}", texts["reference"])
    hand_in(world, f"ben/{NAME}", texts["own"])
    _, settled, _ = graded(world)
    hand_in(world, f"anna/{NAME}", texts["reference"], LATER)
    assert graded(world)[1]["anna"]["submitted"] != settled["anna"]["submitted"]


def test_an_ambiguous_folder_ends_the_run_in_one_sentence(world, texts):
    hand_in(world, f"try 1/{NAME}", texts["own"])
    hand_in(world, f"try 2/{NAME}", texts["own"])
    with pytest.raises(runner.GraderError, match="looks like one student's folder") as caught:
        graded(world)
    assert "\n" not in str(caught.value)


def test_the_times_of_a_download_cost_nobody_points(world, texts):
    for student in ("anna", "ben"):
        hand_in(world, f"{student}/{NAME}", texts["own"], LATER)
    todo, _, _ = graded(world)
    assert not todo["anna"].timed
    deadline = todo["anna"].submitted.replace(year=2020)
    rule = rules.Rules({"90": {"90.1": 1}}, {"90": deadline}, 0.1)
    exercise = {"exercise": "90.1", "points": 1, "of": 1}
    result = todo["anna"].described() | {"status": "graded", "exercises": [exercise]}
    assert rules.apply(rule, result)["penalty"] == 0
    assert rules.apply(rule, result | {"timed": True})["penalty"] > 0


def test_an_instructor_is_never_sent_to_build_the_course(world, texts, monkeypatch):
    monkeypatch.setattr(command, "choose_wall", lambda required: True)
    hand_in(world, f"anna/{NAME}", texts["own"])
    key = world / "course" / "keys" / "90.json"
    key.write_text(key.read_text()[:-100])
    words = ["grade", "--submissions", str(world / "class"), "--out", str(world / "out")]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2 and "keys/90.json is damaged" in result.stderr and "course build" not in result.stderr


def test_no_file_can_end_the_comparison(world, built_small, monkeypatch):
    hand_in(world, f"anna/{NAME}", nbformat.writes(answered(built_small, _90_1=DEEP)))
    hand_in(world, f"ben/{NAME}", "<<<<<<<\n=======\n" * 9999)
    assert sorted(graded(world)[0]) == ["anna", "ben"]

    def fails(*_):
        raise RecursionError

    monkeypatch.setattr(submission, "read_cells", fails)
    assert sorted(graded(world)[0]) == ["anna", "ben"]
