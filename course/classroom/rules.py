"""What an instructor decides about points, in one small TOML file; applied when reports are made, never stored.

timezone = "Europe/Berlin"           # of times without one; else this machine's

[deadlines]                          # by chapter; a day alone means its end
03 = 2026-03-01T23:59:00
06 = 2026-03-15

[late]                               # of the points reached, for each day begun after the deadline
per_day = 0.1
at_most = 0.5
marked_days = 1                      # what LATE in an LMS's file name counts, where no time of handing in is known

[[extension]]                        # of one student's deadline: until a time, or by some days; of one chapter, or all
student = "ben"
chapter = "03"
until = 2026-03-08
reason = "ill"                       # for the report; the student does not read it

[points]                             # instead of the stars
"3.6" = 5

[[override]]                         # each with its reason, which the student reads too
student = "anna"
exercise = "3.1"
points = 1
reason = "Right by the convention of the lecture."

[assignments]                        # what the LMS calls a chapter's assignment, for its table of grades
03 = "Convolution (4711)"

A student goes by the name in the report, the login, the LMS's id or the mail.
"""

import copy
import difflib
import math
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from course.classroom.layout import safe_name
from course.classroom.results import Result, Row

Points = dict[str, dict[str, float]]  # the most points of each exercise, by chapter

DAY = timedelta(days=1)
KEYS = {"timezone", "deadlines", "late", "points", "extension", "override", "assignments"}
UNGRADED = "ungraded"  # the state of the exercises of a submission that could not be graded
ABSENT = "absent"  # the state of the exercises of a student who handed nothing in
MISSING = "missing"  # the status of the row of such a student
WAITING = "waiting"  # that of a submission that is not graded yet, because the run was for other students


class RulesError(Exception):
    """A file of rules that cannot be followed; the message names the file, the key and the value."""


@dataclass(frozen=True)
class Override:
    """A person's verdict on one exercise of one student, and why."""

    student: str
    exercise: str
    points: float
    reason: str


@dataclass(frozen=True)
class Extension:
    """More time for one student. chapter: "" for all. until: an aware datetime, or None where `days` are added to the
    class's deadline."""

    student: str
    chapter: str
    until: datetime | None
    days: float
    reason: str

    def of(self, deadline: datetime) -> datetime:
        """The student's deadline, where the class has this one."""
        return self.until or deadline + self.days * DAY


@dataclass(frozen=True)
class Rules:
    """See the module's text. deadlines: chapter to aware datetime. points: chapter to {exercise: most points}, the
    stars' or the file's. per_day, at_most: shares from 0 to 1. overrides: (student, exercise) to Override. extensions:
    (student, chapter or "") to Extension. assignments: chapter to the LMS's name of it. zone: of times without one;
    None for this machine's."""

    points: Points
    deadlines: dict[str, datetime] = field(default_factory=dict)
    per_day: float = 0.0
    at_most: float = 1.0
    overrides: dict[tuple[str, str], Override] = field(default_factory=dict)
    marked_days: float = 0
    extensions: dict[tuple[str, str], Extension] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)
    zone: tzinfo | None = None


def read_rules(path: Path | str | None, chapters_points: Points) -> Rules:
    """The Rules in a file; those of no file at all where path is None.

    chapters_points: {"03": {"3.1": 1, ...}}, the stars. Raises RulesError.
    """
    if path is None:
        return Rules(copy.deepcopy(chapters_points))
    name = Path(path).name
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RulesError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RulesError(f"{name} is not in UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{name} is not TOML: {error}") from None
    return _File(name, chapters_points).rules(table)


class _File:
    """Reads one file's table; every complaint begins with the file's name and the key."""

    def __init__(self, name: str, chapters_points: Points) -> None:
        self.name, self.points = name, copy.deepcopy(chapters_points)
        self.chapter_of = {e: chapter for chapter, exercises in chapters_points.items() for e in exercises}

    def rules(self, table: dict[str, Any]) -> Rules:
        self.known(table, KEYS, "")
        zone = self.zone(table.get("timezone"))
        late = self.table(table, "late")
        self.known(late, {"per_day", "at_most", "marked_days"}, "late.")
        for number, value in self.flat(self.table(table, "points")).items():
            most = self.number(f"points.{number}", value)
            self.points[self.chapter(f"points.{number}", number)][number] = most
        deadlines = {
            self.numbered(f"deadlines.{k}", k): self.moment(f"deadlines.{k}", v, zone)
            for k, v in self.table(table, "deadlines").items()
        }
        return Rules(
            self.points,
            deadlines,
            self.number("late.per_day", late.get("per_day", 0), 1),
            self.number("late.at_most", late.get("at_most", 1), 1),
            self.overrides(table),
            self.number("late.marked_days", late.get("marked_days", 0)),
            self.extensions(table, deadlines, zone),
            {
                self.numbered(f"assignments.{k}", k): self.text(f"assignments.{k}", v)
                for k, v in self.table(table, "assignments").items()
            },
            zone,
        )

    def wrong(self, key: str, message: str) -> RulesError:
        return RulesError(f"{self.name}: {key}: {message}")

    def known(self, table: dict[str, Any], keys: Collection[str], prefix: str) -> None:
        for key in table:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, 1)
                meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(keys))}"
                raise self.wrong(prefix + key, f"no such key; {meant}")

    def table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"is {_said(value)}; it must be a table, [{key}]")
        return value

    def flat(self, table: dict[str, Any]) -> dict[str, Any]:
        """3.1 = 2 without quotes is TOML's 3 = {1 = 2}."""
        flat = {}
        for key, value in table.items():
            flat.update({f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value})
        return flat

    def number(self, key: str, value: Any, most: float = math.inf) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, f"is {_said(value)}; it must be a number")
        if not 0 <= value <= most or not math.isfinite(value):
            limits = "0 or more" if most == math.inf else f"from 0 to {most:g}"
            raise self.wrong(key, f"is {value}; it must be {limits}")
        return value

    def zone(self, value: Any) -> tzinfo | None:
        if value is None:
            return None
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, TypeError, OSError):
            raise self.wrong("timezone", f"is {_said(value)}; give a name such as Europe/Berlin or UTC") from None

    def numbered(self, key: str, chapter: Any) -> str:
        number = f"{int(chapter):02d}" if re.fullmatch("[0-9]{1,3}", str(chapter)) else str(chapter)
        if number not in self.points:
            raise self.wrong(key, f"there is no such chapter; known are {', '.join(self.points)}")
        return number

    def chapter(self, key: str, exercise: Any) -> str:
        if not isinstance(exercise, str) or exercise not in self.chapter_of:
            known = ", ".join(self.chapter_of)
            raise self.wrong(key, f"there is no exercise {_said(exercise)}; known are {known}")
        return self.chapter_of[exercise]

    def moment(self, key: str, value: Any, zone: tzinfo | None) -> datetime:
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(23, 59, 59))
        if not isinstance(value, datetime):
            said = "write it without quotes" if isinstance(value, str) else "it must be a time, as 2026-03-01T23:59:00"
            raise self.wrong(key, f"is {_said(value)}; {said}")
        if value.tzinfo:
            return value
        return value.replace(tzinfo=zone) if zone else value.astimezone()

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            said = "is missing" if value is None else f"is {_said(value)}; it must be a text in quotes"
            raise self.wrong(key, said)
        return " ".join(value.split())

    def listed(self, table: dict[str, Any], name: str, keys: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables under [[name]], each with how a complaint begins."""
        entries = table.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.wrong(name, f"must be a list of tables: write [[{name}]], with two brackets")
        for i, entry in enumerate(entries, 1):
            self.known(entry, keys, f"{name} {i}: ")
            yield f"{name} {i}", entry

    def overrides(self, table: dict[str, Any]) -> dict[tuple[str, str], Override]:
        found = {}
        for key, entry in self.listed(table, "override", {"student", "exercise", "points", "reason"}):
            student, exercise, reason = (
                self.text(f"{key}: {name}", entry.get(name)) for name in ("student", "exercise", "reason")
            )
            most = self.points[self.chapter(f"{key}: exercise", exercise)][exercise]
            if "points" not in entry:
                raise self.wrong(f"{key}: points", "is missing")
            points = self.number(f"{key}: points", entry["points"], most)
            who = _plain(student), exercise
            if who in found:
                raise self.wrong(key, f"a second one for {student!r}, exercise {exercise}")
            found[who] = Override(student, exercise, points, reason)
        return found

    def extensions(
        self, table: dict[str, Any], deadlines: dict[str, datetime], zone: tzinfo | None
    ) -> dict[tuple[str, str], Extension]:
        found = {}
        for key, entry in self.listed(table, "extension", {"student", "chapter", "until", "days", "reason"}):
            student = self.text(f"{key}: student", entry.get("student"))
            reason = self.text(f"{key}: reason", entry["reason"]) if "reason" in entry else ""
            chapter = self.numbered(f"{key}: chapter", entry["chapter"]) if "chapter" in entry else ""
            if ("until" in entry) == ("days" in entry):
                raise self.wrong(key, "give either until, a time, or days")
            if "until" in entry and not chapter:
                raise self.wrong(f"{key}: chapter", "is missing; without one, give days, which every deadline gets")
            if chapter and chapter not in deadlines:
                raise self.wrong(f"{key}: chapter", f"there is no deadline of chapter {chapter} to extend")
            until = self.moment(f"{key}: until", entry["until"], zone) if "until" in entry else None
            days = self.number(f"{key}: days", entry.get("days", 0), 10_000)
            if (_plain(student), chapter) in found:
                raise self.wrong(key, f"a second one for {student!r}, {chapter or 'all chapters'}")
            found[_plain(student), chapter] = Extension(student, chapter, until, days, reason)
        return found


def names_of(result: Result) -> list[str]:
    """What the rules may call a result's student, as they compare it."""
    known = [result["student"], result.get("login"), result.get("id"), result.get("lms_id"), result.get("mail")]
    return list(dict.fromkeys(_plain(name) for name in (*known, safe_name(result["student"])) if name))


def _plain(name: object) -> str:
    return unicodedata.normalize("NFC", " ".join(str(name).split()))


def apply(rules: Rules, result: Result) -> Result:
    """A result with its points: a copy of the dict, with fields added.

    Each exercise gets `points`, `of` and `override` (the reason, or ""). An exercise of the chapter that the result
    lacks, as all do where a notebook could not be graded, is added in the state "ungraded", or "absent" where nothing
    was handed in. The chapter gets `raw` and `max_score` (sums), `deadline` (the student's, ISO, or ""), `extension`
    (the Extension's reason, or a word where it has none, or ""), `late_days` (days begun after the deadline),
    `late_mark` (whether they are those of an LMS's LATE), `penalty` (points) and `score`.
    """
    result = copy.deepcopy(result)
    most, names = rules.points.get(result["chapter"], {}), names_of(result)
    graded = {e["exercise"]: e for e in result["exercises"]}
    state = ABSENT if result["status"] == MISSING else UNGRADED
    result["exercises"] = [_ruled(rules, names, number, graded, of, state) for number, of in most.items()]
    raw = sum(e["points"] for e in result["exercises"])
    deadline, extension = _deadline(rules, names, result["chapter"])
    days: float = late_days(datetime.fromisoformat(result["submitted"]), deadline) if deadline and timed(result) else 0
    # Who has more time than the LMS knows of may be marked LATE by it without being so.
    marked = bool(result.get("late")) and not (deadline and timed(result)) and not extension
    if marked:
        days = rules.marked_days
    penalty = raw * min(rules.at_most, rules.per_day * days)
    return result | {
        "raw": _tidy(raw),
        "deadline": deadline.isoformat() if deadline else "",
        "extension": (extension.reason or "more time") if extension else "",
        "late_days": _tidy(days),
        "late_mark": marked,
        "penalty": _tidy(penalty),
        "score": _tidy(raw - penalty),
        "max_score": _tidy(sum(most.values())),
    }


def timed(result: Result) -> bool:
    """Whether it is known when a result's submission was handed in: not where its time is that of a download."""
    return bool(result["submitted"]) and result.get("timed", True)


def _deadline(rules: Rules, names: list[str], chapter: str) -> tuple[datetime | None, Extension | None]:
    """The deadline that a student has, or None, and the Extension that made it, or None."""
    deadline = rules.deadlines.get(chapter)
    found = [rules.extensions.get((name, number)) for number in (chapter, "") for name in names]
    extension = next((one for one in found if one), None)
    return (extension.of(deadline) if extension and deadline else deadline), extension


def _ruled(rules: Rules, names: list[str], number: str, graded: dict[str, Row], of: float, state: str) -> Row:
    blank: Row = {"exercise": number, "state": state, "right": 0, "cases": 0, "points": 0, "of": of}
    exercise = blank | {"hint": "", "message": "", "note": ""} | graded.get(number, {})
    share = exercise["points"] / exercise["of"] if exercise["of"] else 0
    override = next((rules.overrides[name, number] for name in names if (name, number) in rules.overrides), None)
    points = override.points if override else share * of
    return exercise | {"points": _tidy(points), "of": _tidy(of), "override": override.reason if override else ""}


def late_days(submitted: datetime, deadline: datetime) -> int:
    """How many days have begun after the deadline. Both aware; a time without zone is this machine's."""
    return max(0, math.ceil((submitted.astimezone() - deadline) / DAY))


def unused(rules: Rules, results: list[Result]) -> list[str]:
    """A sentence for each override and extension that applies to none of the results: a name misspelt, or nothing
    handed in."""
    there = {(name, r["chapter"]) for r in results for name in names_of(r)}
    anyone = {name for name, _ in there}
    chapter_of = {e: chapter for chapter, exercises in rules.points.items() for e in exercises}
    return [
        f"the override of exercise {o.exercise} for {o.student!r} applies to no submission"
        for (name, _), o in rules.overrides.items()
        if (name, chapter_of[o.exercise]) not in there
    ] + [
        f"the extension for {one.student!r} applies to no student"
        for (name, _), one in rules.extensions.items()
        if name not in anyone
    ]


def unjudged(rules: Rules, results: list[Result]) -> list[str]:
    """A sentence where an LMS marks submissions LATE, no time tells more, and the rules do not say what that counts."""
    marked = sum(r["late_mark"] for r in results)
    if not marked or rules.marked_days:
        return []
    count = "1 submission is" if marked == 1 else f"{marked} submissions are"
    return [f"{count} marked LATE, which costs nothing: marked_days = 1 under [late] in the rules makes it a day late"]


def _said(value: object) -> str:
    return repr(value)[:80]


def _tidy(number: float) -> float:
    number = round(number, 4)
    return int(number) if number == int(number) else number
