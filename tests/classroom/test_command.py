"""What becomes of a run: reports of all results that stand, with the class's list, and nothing done twice. No worker is
started here: what they would report is made up."""

import csv
import io

import nbformat
import pytest
from helpers import NAME, answered, class_key
from rich.console import Console

from course import cli
from course.authoring import keying
from course.classroom import command, runner, sealed
from course.exercises import keys


@pytest.fixture
def world(small, tmp_path, monkeypatch):
    """A class of three, and workers that find every answer right: (grade, events). grade takes the folder of a class,
    options of the runner, rules and a roster as texts; it returns the ruled results by student, and what was printed.
    events: what was sealed and who was graded since it was last cleared."""
    events = []
    for student in ("anna", "ben", "cleo"):
        hand_in(small, tmp_path / "class" / student)
    (tmp_path / "out").mkdir()
    (tmp_path / "seed").write_text("a secret of the class's own")
    make = keying.make

    def work(todo, done, references, results, modules, options, on_event):
        for one, wanted, _, digest in todo:
            events.append(one.student)
            rows = [
                {"exercise": n, "state": "passed", "right": 1, "cases": 1, "points": 1, "of": 1, "hint": "",
                 "message": "", "note": "", "seconds": 0.1} for n in wanted
            ]  # fmt: skip
            bad = "bad" in one.path.read_text(encoding="utf-8")[:9]
            digests = {"submission": digest, "exercises": references[one.chapter].digests}
            result = runner.described(one) | {
                "graded": "2026-03-02T10:00:00+00:00", "status": "invalid" if bad else "graded", "seconds": 0.5,
                "reason": "it is bad" if bad else "", "sandboxed": True, "exercises": [] if bad else rows,
                "digests": digests, "answers": {n: f"# Exercise {n}" for n in wanted},
            }  # fmt: skip
            results.save(result, references[one.chapter].key.stem)
            done.append(result)

    monkeypatch.setattr(runner, "work", work)
    monkeypatch.setattr(keying, "make", lambda *given: events.append("sealed") or make(*given))

    def grade(rules="", roster="", folder="class", given=(), terminal=False, **more):
        files = {}
        for name, text in (("rules.toml", rules), ("students.csv", roster)):
            files[name] = tmp_path / name if text else None
            if text:
                files[name].write_text(text, encoding="utf-8")
        options = runner.Options(tmp_path / folder, tmp_path / "out", seed_file=tmp_path / "seed", **more)
        screen = io.StringIO()
        ruled = command.grade(
            options,
            cli.class_keys(given, options.out),
            *files.values(),
            Console(file=screen, width=200, force_terminal=terminal),
        )
        return {r["student"]: r for r in ruled}, screen.getvalue()

    return grade, events


def hand_in(small, folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(nbformat.writes(answered(small, **changes)), encoding="utf-8")


def rows(tmp_path, name="grades.csv"):
    return list(csv.DictReader((tmp_path / "out" / name).open(encoding="utf-8", newline="")))


def test_where_no_bar_is_seen_lines_tell_how_far_it_is():
    said, now = [], [0]
    lines = command.Lines(said.append, lambda: now[0])
    lines.begin(500)
    now[0] = 8
    lines.tested("90")
    for _ in range(500):
        now[0] += 1
        lines.graded()
    assert said[:3] == [
        "Starting the workers and testing the grader; 500 to grade",
        "Chapter 90: the grader's self-test has passed",
        "30 of 500 graded, 60 a minute, about 8 minutes left",
    ]
    assert "50 of 500 graded, 60 a minute, about 8 minutes left" in said
    assert said[-1] == "500 of 500 graded, 60 a minute" and len(said) < 2 + 10 + 500 / 30
    said.clear()
    lines = command.Lines(said.append, lambda: now[0])
    lines.begin(0)
    assert said == []
    lines.begin(10_000)
    for _ in range(10_000):  # in no time
        lines.graded()
    assert len(said) == 11


@pytest.mark.parametrize("terminal", [True, False])
def test_the_lines_stand_where_output_is_piped_and_nowhere_else(world, tmp_path, monkeypatch, terminal):
    grade, _ = world
    work = runner.work

    def told(todo, done, references, results, modules, options, on_event):
        on_event("tested", "90")
        work(todo, done, references, results, modules, options, on_event)
        for result in done:
            on_event("graded", result)

    monkeypatch.setattr(runner, "work", told)
    _, said = grade(terminal=terminal)
    told = ["Reading", "Sealing chapter 90", "Starting the workers", "self-test has passed", "3 of 3 graded"]
    places = [said.find(words) for words in told]
    if terminal:
        assert max(places[3:]) < 0
    else:
        assert min(places) >= 0 and places == sorted(places) and "\x1b" not in said


OVERRIDE = '[[override]]\nstudent = "ben"\nexercise = "90.1"\npoints = 0\nreason = "copied"\n'


def test_a_regrade_that_only_changes_rules_seals_nothing_and_grades_nobody(world, tmp_path):
    grade, events = world
    first, _ = grade()
    assert sorted(events) == ["anna", "ben", "cleo", "sealed"]
    kept = tmp_path / "out" / "keys"
    assert [path.stat().st_mode & 0o777 for path in kept.iterdir()] == [0o600]
    events.clear()
    later, said = grade(rules=OVERRIDE)
    assert events == [] and "3 were graded before and stand; 0 to grade" in said
    lost = first["ben"]["score"] - later["ben"]["score"]
    assert lost == first["ben"]["exercises"][0]["of"] and later["ben"]["exercises"][0]["override"] == "copied"
    assert "copied" in (tmp_path / "out/feedback/ben/90_adding.html").read_text(encoding="utf-8")


def test_what_a_key_rests_on_has_it_sealed_anew(world, tmp_path, monkeypatch):
    grade, events = world
    grade()
    for change in ("secret", "library"):
        events.clear()
        if change == "secret":
            (tmp_path / "seed").write_text("another secret of the class's")
        else:
            sealed._surroundings.cache_clear()
            monkeypatch.setattr(sealed.metadata, "version", lambda name: "99")
        grade()
        assert "sealed" in events, change
        assert len(list((tmp_path / "out" / "keys").iterdir())) == 1
    sealed._surroundings.cache_clear()
    path = next((tmp_path / "out" / "keys").iterdir())
    path.write_text(path.read_text()[:-100])
    events.clear()
    grade()
    assert "sealed" in events, "half a key counts as none"


def test_a_file_that_cannot_be_graded_is_tried_once(world, tmp_path):
    grade, events = world
    (tmp_path / "class" / "ben" / NAME).write_text("bad")
    results, _ = grade()
    assert results["ben"]["status"] == "invalid"
    events.clear()
    results, _ = grade()
    assert events == [] and results["ben"]["reason"] == "it is bad"


def test_one_student_leaves_the_other_rows_alone(world, tmp_path):
    grade, events = world
    grade()
    before = rows(tmp_path)
    events.clear()
    results, _ = grade(students=("ben",), force=True)
    assert events == ["ben"] and rows(tmp_path) == before and len(results) == 3
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(f"<bdi>{student}</bdi>" in page for student in ("anna", "ben", "cleo"))
    assert (tmp_path / "out" / "results.xml").read_text(encoding="utf-8").count("<testsuite ") == 3


def test_a_student_who_is_not_there_is_asked_about(world):
    grade, events = world
    with pytest.raises(runner.GraderError, match="--student bne: nothing was found .* did you mean ben?"):
        grade(students=("bne",))
    assert events == []


def test_who_is_not_graded_yet_is_a_row_and_not_missing(world, tmp_path):
    grade, _ = world
    roster = "login,name\nanna,Anna A\nben,Ben B\ncleo,Cleo C\ndora,Dora D\n"
    results, said = grade(students=("ben",), roster=roster)
    assert {s: r["status"] for s, r in results.items()} == {
        "ben": "graded", "anna": "waiting", "cleo": "waiting", "dora": "missing",
    }  # fmt: skip
    assert not (tmp_path / "out/feedback/anna").exists()
    assert (tmp_path / "out/results.xml").read_text(encoding="utf-8").count("<testsuite ") == 1
    assert "mean score of the class 50%" in said, "over ben and dora"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 submissions are not graded yet: run the command without --student" in page
    assert "1 missing" in said


def test_results_of_earlier_runs_stand_beside_those_of_this_one(world, small, tmp_path):
    grade, _ = world
    grade()
    hand_in(small, tmp_path / "second" / "anna")
    hand_in(small, tmp_path / "second" / "dora")
    results, _ = grade(folder="second")
    assert sorted(results) == ["anna", "ben", "cleo", "dora"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 results are of earlier runs, and their notebooks no longer in second: ben, cleo" in page


def test_a_file_that_moved_or_whose_time_changed_is_told_as_it_is_now(world, tmp_path):
    grade, events = world
    grade()
    events.clear()
    (tmp_path / "class/anna/deep").mkdir()
    (tmp_path / "class/anna" / NAME).rename(tmp_path / "class/anna/deep" / NAME)
    results, _ = grade()
    assert events == [] and results["anna"]["file"] == f"anna/deep/{NAME}"


def test_the_class_is_joined_with_its_list(world, tmp_path):
    grade, _ = world
    text = (
        "login,first_name,last_name,email\nanna,Anna,Arendt,a@x.example\nben,Ben,Bloch,\nnora,Nora,Never,n@x.example\n"
    )
    results, said = grade(roster=text, rules='[assignments]\n90 = "Adding (7)"')
    assert [(r["student_id"], r["last_name"], r["email"], r["score"]) for r in rows(tmp_path)] == [
        ("anna", "Arendt", "a@x.example", rows(tmp_path)[0]["score"]),
        ("ben", "Bloch", "", rows(tmp_path)[0]["score"]),
        ("cleo", "", "", rows(tmp_path)[0]["score"]),
        ("nora", "Never", "n@x.example", "0"),
    ]
    assert "Adding (7)" in rows(tmp_path, "grades-wide.csv")[0]
    assert "1 who handed something in are not on the roster: cleo" in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )
    whole = sum(r["max_score"] for r in results.values())
    share = sum(r["score"] for r in results.values()) / whole
    assert f"1 missing; mean score of the class {share:.0%}" in said


def test_a_key_that_is_given_is_kept_for_what_answers_have_in_common(world, small, tmp_path):
    grade, events = world
    key = class_key("90", b"a secret of the class's own")
    path = tmp_path / "class-90.json"
    path.write_text(keys.as_text(key), encoding="utf-8")
    events.clear()
    grade(given=[path])
    assert "sealed" not in events and sealed.find(tmp_path / "out", "90") == key
