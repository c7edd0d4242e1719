"""Points, deadlines, penalties and overrides: what they do, and what is said of a file that is wrong."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from course.classroom.layout import safe_name
from course.classroom.rules import MISSING, Rules, RulesError, apply, late_days, read_rules, unjudged, unused

STARS = {"03": {"3.1": 1, "3.2": 2, "3.10": 3}, "06": {"6.1": 2}}
WHOLE = """
timezone = "Europe/Berlin"
[deadlines]
03 = 2026-03-01T12:00:00
6 = 2026-03-15
[late]
per_day = 0.1
at_most = 0.35
[points]
"3.2" = 4
3.10 = 2.5
[[override]]
student = "Zoe\u0308"
exercise = "3.1"
points = 0.5
reason = "half of it\\nis right"
"""


def rules_of(tmp_path, text):
    path = tmp_path / "rules.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_rules(path, STARS)


def result(student="anna", submitted="2026-03-01T10:00:00+00:00", **points):
    most = STARS["03"]
    states = {n: points.get("_" + n.replace(".", "_"), of) for n, of in most.items()}
    return {
        "student": student,
        "chapter": "03",
        "submitted": submitted,
        "status": "graded",
        "exercises": [
            {"exercise": n, "state": "passed" if p else "wrong", "right": 1, "cases": 2, "points": p, "of": most[n]}
            for n, p in states.items()
        ],
    }


def test_no_file_leaves_the_stars():
    rules = read_rules(None, STARS)
    got = apply(rules, result(_3_2=0))
    assert (got["raw"], got["score"], got["max_score"], got["late_days"], got["penalty"]) == (4, 4, 6, 0, 0)
    assert got["deadline"] == "" and all(e["override"] == "" for e in got["exercises"])


def test_an_empty_file_too(tmp_path):
    assert rules_of(tmp_path, "") == Rules(STARS) and rules_of(tmp_path, b"\xef\xbb\xbf") == Rules(STARS)


def test_the_whole_file(tmp_path):
    rules = rules_of(tmp_path, WHOLE)
    assert rules.points == {"03": {"3.1": 1, "3.2": 4, "3.10": 2.5}, "06": {"6.1": 2}}
    assert rules.deadlines["03"] == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert rules.deadlines["06"] == datetime(2026, 3, 15, 22, 59, 59, tzinfo=UTC)
    got = apply(rules, result("Zo\u00eb", "2026-03-01T11:00:01+00:00"))
    assert [(e["points"], e["of"]) for e in got["exercises"]] == [(0.5, 1), (4, 4), (2.5, 2.5)]
    assert got["exercises"][0]["override"] == "half of it is right"
    assert (got["raw"], got["late_days"], got["penalty"], got["score"], got["max_score"]) == (7, 1, 0.7, 6.3, 7.5)
    assert datetime.fromisoformat(got["deadline"]) == rules.deadlines["03"]


def test_the_stored_result_is_not_touched(tmp_path):
    stored = result()
    before = copy.deepcopy(stored)
    got = apply(rules_of(tmp_path, WHOLE), stored)
    got["exercises"][0]["state"] = "?"
    assert stored == before and STARS["03"]["3.2"] == 2


def test_late_days_begin():
    deadline = datetime(2026, 3, 1, tzinfo=UTC)
    for seconds, days in ((-1, 0), (0, 0), (1, 1), (86400, 1), (86401, 2), (10 * 86400, 10)):
        assert late_days(deadline + timedelta(seconds=seconds), deadline) == days


def test_a_penalty_has_an_end(tmp_path):
    rules = rules_of(tmp_path, WHOLE)
    got = apply(rules, result(submitted="2027-03-01T00:00:00+00:00"))
    assert got["late_days"] == 365 and got["penalty"] == round(0.35 * 7.5, 4)
    assert apply(rules_of(tmp_path, "[deadlines]\n03=2026-01-01\n[late]\nper_day=1"), result())["score"] == 0


def test_daylight_saving_and_naive_times(tmp_path):
    rules = rules_of(tmp_path, 'timezone = "Europe/Berlin"\n[deadlines]\n03 = 2026-03-29T12:00:00')
    assert rules.deadlines["03"].astimezone(UTC).hour == 10
    rules = rules_of(tmp_path, "[deadlines]\n03 = 2026-03-29T12:00:00")
    assert rules.deadlines["03"] == datetime(2026, 3, 29, 12).astimezone()
    assert apply(rules, result(submitted="2026-03-29T12:00:01"))["late_days"] == 1
    offset = rules_of(tmp_path, "[deadlines]\n03 = 2026-03-29T12:00:00+05:30").deadlines["03"]
    assert offset.astimezone(UTC).hour == 6


def test_an_ungraded_notebook_counts_nothing_unless_a_person_says_so(tmp_path):
    broken = result("Zoë") | {"status": "invalid", "exercises": []}
    got = apply(rules_of(tmp_path, WHOLE), broken)
    assert [e["state"] for e in got["exercises"]] == ["ungraded"] * 3
    assert (got["raw"], got["max_score"]) == (0.5, 7.5)


def test_an_exercise_that_is_no_more_does_not_count():
    old = result()
    old["exercises"].append({"exercise": "3.99", "state": "passed", "right": 1, "cases": 1, "points": 9, "of": 9})
    assert apply(read_rules(None, STARS), old)["raw"] == 6


EXTENDED = """
timezone = "UTC"
[deadlines]
03 = 2026-03-01T12:00:00
06 = 2026-03-15
[late]
per_day = 0.1
marked_days = 2
[[extension]]
student = "anna"
chapter = "03"
until = 2026-03-08
reason = "ill"
[[extension]]
student = "ben@uni.example"
days = 2
"""


def test_an_extension_moves_one_students_deadline(tmp_path):
    rules = rules_of(tmp_path, EXTENDED)
    after = "2026-03-09T00:00:00+00:00"  # an instant after anna's
    got = apply(rules, result("anna", after))
    assert (got["deadline"], got["late_days"], got["extension"]) == ("2026-03-08T23:59:59+00:00", 1, "ill")
    assert apply(rules, result("anna", "2026-03-08T23:59:59+00:00"))["penalty"] == 0
    got = apply(rules, result("cleo", after))
    assert (got["deadline"], got["late_days"], got["extension"]) == ("2026-03-01T12:00:00+00:00", 8, "")
    ben = result("Ben Li", after) | {"mail": "ben@uni.example"}
    assert (apply(rules, ben)["deadline"], apply(rules, ben)["late_days"]) == ("2026-03-03T12:00:00+00:00", 6)
    assert apply(rules, ben | {"chapter": "06"})["deadline"] == "2026-03-17T23:59:59+00:00"
    assert unused(rules, [result("anna"), ben]) == []
    assert unused(rules, [result("anna")]) == ["the extension for 'ben@uni.example' applies to no student"]


def test_late_of_an_lms_counts_where_no_time_is_known_and_the_rules_say_so(tmp_path):
    rules = rules_of(tmp_path, EXTENDED)
    marked = result("cleo", "2026-03-20T00:00:00+00:00") | {"late": True, "timed": False}
    got = apply(rules, marked)
    assert (got["late_days"], got["late_mark"], got["penalty"]) == (2, True, 1.2)
    punctual = apply(rules, marked | {"late": False})
    assert (punctual["late_days"], punctual["late_mark"], punctual["penalty"]) == (0, False, 0), "the download's time"
    got = apply(rules, marked | {"timed": True, "submitted": "2026-03-01T12:00:01+00:00"})
    assert (got["late_days"], got["late_mark"]) == (1, False), "a time that is known says more than the mark"
    assert apply(rules, marked | {"student": "anna"})["penalty"] == 0, "who has more time than the LMS knows of"
    silent = read_rules(None, STARS)
    assert apply(silent, marked)["penalty"] == 0 and unjudged(rules, [apply(rules, marked)]) == []
    assert "marked_days = 1 under [late]" in unjudged(silent, [apply(silent, marked)])[0]
    without = rules_of(tmp_path, "[late]\nper_day = 0.1\nmarked_days = 1")
    assert apply(without, marked | {"timed": True})["penalty"] == 0.6, "where the class has no deadline here"


def test_a_student_goes_by_any_of_their_names(tmp_path):
    for name in ("jdoe", "4711", "j@uni.example", "Jane Doe", safe_name("Jane Doe")):
        rules = rules_of(tmp_path, OVERRIDE.replace("anna", name))
        jane = result("Jane Doe", _3_1=0) | {"login": "jdoe", "lms_id": "4711", "mail": "j@uni.example"}
        assert apply(rules, jane)["exercises"][0]["points"] == 1 and unused(rules, [jane]) == [], name


def test_who_handed_nothing_in_has_no_points_but_a_persons(tmp_path):
    missing = result() | {"status": MISSING, "exercises": [], "submitted": ""}
    got = apply(rules_of(tmp_path, WHOLE + OVERRIDE), missing)
    assert [e["state"] for e in got["exercises"]] == ["absent"] * 3
    assert (got["score"], got["max_score"], got["late_days"]) == (1, 7.5, 0)


def test_an_assignment_has_the_lms_name(tmp_path):
    assert rules_of(tmp_path, '[assignments]\n3 = "Folding (77)"').assignments == {"03": "Folding (77)"}


def test_an_override_for_nobody_is_told(tmp_path):
    rules = rules_of(tmp_path, WHOLE)
    assert unused(rules, [result("Zoë")]) == []
    assert "3.1" in unused(rules, [result("Zoe"), result("Zoë") | {"chapter": "06"}])[0]


OVERRIDE = '[[override]]\nstudent = "anna"\nexercise = "3.1"\npoints = 1\nreason = "so"\n'
WRONG = {
    "not TOML": ("deadlines = [", "not TOML"),
    "not text": (b"\xff\xfe\x00", "UTF-8"),
    "unknown key": ("deadline = 3", "deadline: no such key; did you mean deadlines?"),
    "unknown late key": ("[late]\nper_hour = 0.1", "late.per_hour: no such key"),
    "unknown chapter": ("[deadlines]\n07 = 2026-01-01", "deadlines.07: there is no such chapter; known are 03, 06"),
    "a text for a time": ('[deadlines]\n03 = "2026-01-01"', "without quotes"),
    "a number for a time": ("[deadlines]\n03 = 7", "deadlines.03: is 7"),
    "no table": ("deadlines = 3", "[deadlines]"),
    "zone": ('timezone = "Mars/Base"', "timezone: is 'Mars/Base'"),
    "zone by path": ('timezone = "../../etc/passwd"', "timezone"),
    "zone by number": ("timezone = 1", "timezone: is 1"),
    "unknown exercise": ('[points]\n"3.7" = 1', "points.3.7: there is no exercise '3.7'"),
    "negative points": ('[points]\n"3.1" = -1', "points.3.1: is -1; it must be 0 or more"),
    "no number": ('[points]\n"3.1" = "2"', "points.3.1: is '2'; it must be a number"),
    "a bool": ('[points]\n"3.1" = true', "must be a number"),
    "nan": ('[points]\n"3.1" = nan', "points.3.1"),
    "inf": ('[points]\n"3.1" = inf', "points.3.1"),
    "share": ("[late]\nper_day = 10", "late.per_day: is 10; it must be from 0 to 1"),
    "negative share": ("[late]\nat_most = -0.1", "late.at_most"),
    "single bracket": ('[override]\nstudent = "a"', "[[override]]"),
    "no reason": (OVERRIDE.replace('reason = "so"', ""), "override 1: reason: is missing"),
    "blank reason": (OVERRIDE.replace('"so"', '"  "'), "override 1: reason"),
    "no points": (OVERRIDE.replace("points = 1", ""), "override 1: points: is missing"),
    "too many points": (
        OVERRIDE.replace("points = 1", "points = 2"),
        "override 1: points: is 2; it must be from 0 to 1",
    ),
    "override's exercise": (OVERRIDE.replace("3.1", "9.9"), "there is no exercise '9.9'"),
    "a number as exercise": (OVERRIDE.replace('"3.1"', "3.1"), "override 1: exercise: is 3.1; it must be a text"),
    "twice": (OVERRIDE * 2, "override 2: a second one for 'anna', exercise 3.1"),
    "an extension of nothing": (
        '[[extension]]\nstudent = "a"\nchapter = "03"\ndays = 1',
        "extension 1: chapter: there is no deadline of chapter 03 to extend",
    ),
    "an extension without end": ('[[extension]]\nstudent = "a"', "extension 1: give either until, a time, or days"),
    "an extension of all until": (
        '[[extension]]\nstudent = "a"\nuntil = 2026-01-01',
        "extension 1: chapter: is missing",
    ),
    "an extension's time in quotes": (
        '[deadlines]\n3=2026-01-01\n[[extension]]\nstudent = "a"\nchapter = "03"\nuntil = "2026-01-01"',
        "extension 1: until: is '2026-01-01'; write it without quotes",
    ),
    "an extension twice": (
        '[[extension]]\nstudent = "a"\ndays = 1\n' * 2,
        "extension 2: a second one for 'a', all chapters",
    ),
    "an extension's chapter": (
        '[[extension]]\nstudent = "a"\nchapter = 7\ndays = 1',
        "extension 1: chapter: there is no",
    ),
    "days of an LMS": ("[late]\nmarked_days = -1", "late.marked_days: is -1; it must be 0 or more"),
    "an assignment": ("[assignments]\n3 = 4", "assignments.3: is 4; it must be a text in quotes"),
    "misspelt": (OVERRIDE.replace("reason", "reasons"), "did you mean reason?"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_explained(tmp_path, kind):
    text, words = WRONG[kind]
    with pytest.raises(RulesError) as caught:
        rules_of(tmp_path, text)
    assert words in str(caught.value) and str(caught.value).startswith("rules.toml")


def test_a_missing_file(tmp_path):
    with pytest.raises(RulesError, match=r"none\.toml cannot be read"):
        read_rules(tmp_path / "none.toml", STARS)
