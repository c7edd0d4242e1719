"""What an instructor decides about points, in one small TOML file; applied when reports are made, never stored.

timezone = "Europe/Berlin"           # of times without one; else this machine's

[deadlines]                          # by chapter; a day alone means its end
03 = 2026-03-01T23:59:00
06 = 2026-03-15

[late]                               # of the points reached, for each day begun after the deadline
per_day = 0.1
at_most = 0.5

[points]                             # instead of the stars
"3.6" = 5

[[override]]                         # each with its reason, which the student reads too
student = "anna"
exercise = "3.1"
points = 1
reason = "Right by the convention of the lecture."
"""

import copy
import difflib
import math
import tomllib
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
KEYS = {"timezone", "deadlines", "late", "points", "override"}
UNGRADED = "ungraded"  # the state of the exercises of a submission that could not be graded


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
class Rules:
    """See the module's text. deadlines: chapter to aware datetime. points: chapter to {exercise: most points}, the
    stars' or the file's. per_day, at_most: shares from 0 to 1. overrides: (student, exercise) to Override. zone: of
    times without one; None for this machine's."""

    points: dict
    deadlines: dict = field(default_factory=dict)
    per_day: float = 0.0
    at_most: float = 1.0
    overrides: dict = field(default_factory=dict)
    zone: tzinfo | None = None


def read_rules(path, chapters_points):
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

    def __init__(self, name, chapters_points):
        self.name, self.points = name, copy.deepcopy(chapters_points)
        self.chapter_of = {e: chapter for chapter, exercises in chapters_points.items() for e in exercises}

    def rules(self, table):
        self.known(table, KEYS, "")
        zone = self.zone(table.get("timezone"))
        late = self.table(table, "late")
        self.known(late, {"per_day", "at_most"}, "late.")
        for number, value in self.flat(self.table(table, "points")).items():
            most = self.number(f"points.{number}", value)
            self.points[self.chapter(f"points.{number}", number)][number] = most
        return Rules(
            self.points,
            {self.numbered(k): self.moment(k, v, zone) for k, v in self.table(table, "deadlines").items()},
            self.number("late.per_day", late.get("per_day", 0), 1),
            self.number("late.at_most", late.get("at_most", 1), 1),
            self.overrides(table.get("override", [])),
            zone,
        )

    def wrong(self, key, message):
        return RulesError(f"{self.name}: {key}: {message}")

    def known(self, table, keys, prefix):
        for key in table:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, 1)
                meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(keys))}"
                raise self.wrong(prefix + key, f"no such key; {meant}")

    def table(self, table, key):
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"is {_said(value)}; it must be a table, [{key}]")
        return value

    def flat(self, table):
        """3.1 = 2 without quotes is TOML's 3 = {1 = 2}."""
        flat = {}
        for key, value in table.items():
            flat.update({f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value})
        return flat

    def number(self, key, value, most=math.inf):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, f"is {_said(value)}; it must be a number")
        if not 0 <= value <= most or not math.isfinite(value):
            limits = "0 or more" if most == math.inf else f"from 0 to {most:g}"
            raise self.wrong(key, f"is {value}; it must be {limits}")
        return value

    def zone(self, value):
        if value is None:
            return None
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, TypeError, OSError):
            raise self.wrong("timezone", f"is {_said(value)}; give a name such as Europe/Berlin or UTC") from None

    def numbered(self, key):
        number = f"{int(key):02d}" if key.isascii() and key.isdigit() and len(key) < 4 else key
        if number not in self.points:
            raise self.wrong(f"deadlines.{key}", f"there is no such chapter; known are {', '.join(self.points)}")
        return number

    def chapter(self, key, exercise):
        if not isinstance(exercise, str) or exercise not in self.chapter_of:
            known = ", ".join(self.chapter_of)
            raise self.wrong(key, f"there is no exercise {_said(exercise)}; known are {known}")
        return self.chapter_of[exercise]

    def moment(self, key, value, zone):
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(23, 59, 59))
        if not isinstance(value, datetime):
            said = "write it without quotes" if isinstance(value, str) else "it must be a time, as 2026-03-01T23:59:00"
            raise self.wrong(f"deadlines.{key}", f"is {_said(value)}; {said}")
        if value.tzinfo:
            return value
        return value.replace(tzinfo=zone) if zone else value.astimezone()

    def overrides(self, listed):
        if not isinstance(listed, list):
            raise self.wrong("override", "must be a list: write [[override]], with two brackets")
        found = {}
        for i, entry in enumerate(listed, 1):
            key = f"override {i}"
            if not isinstance(entry, dict):
                raise self.wrong(key, "must be a table: write [[override]]")
            self.known(entry, {"student", "exercise", "points", "reason"}, f"{key}: ")
            for name in ("student", "exercise", "reason"):
                value = entry.get(name)
                if not isinstance(value, str) or not value.strip():
                    problem = "is missing" if value is None else f"is {_said(value)}; it must be a text in quotes"
                    raise self.wrong(f"{key}: {name}", problem)
            student, exercise = unicodedata.normalize("NFC", entry["student"]), entry["exercise"]
            most = self.points[self.chapter(f"{key}: exercise", exercise)][exercise]
            if "points" not in entry:
                raise self.wrong(f"{key}: points", "is missing")
            points = self.number(f"{key}: points", entry["points"], most)
            if (student, exercise) in found:
                raise self.wrong(key, f"a second one for {student!r}, exercise {exercise}")
            found[student, exercise] = Override(student, exercise, points, " ".join(entry["reason"].split()))
        return found


def apply(rules, result):
    """A result with its points: a copy of the dict, with fields added.

    Each exercise gets `points`, `of` and `override` (the reason, or ""). An exercise of the chapter that the result
    lacks, as all do where a notebook could not be graded, is added in the state "ungraded". The chapter gets `raw`
    and `max_score` (sums), `deadline` (ISO, or ""), `late_days` (days begun after it), `penalty` (points) and `score`.
    """
    result = copy.deepcopy(result)
    most = rules.points.get(result["chapter"], {})
    graded = {e["exercise"]: e for e in result["exercises"]}
    result["exercises"] = [_ruled(rules, result["student"], number, graded, of) for number, of in most.items()]
    raw = sum(e["points"] for e in result["exercises"])
    deadline = rules.deadlines.get(result["chapter"])
    timed = result.get("timed", True)  # else its time is that of a download
    days = late_days(datetime.fromisoformat(result["submitted"]), deadline) if deadline and timed else 0
    penalty = raw * min(rules.at_most, rules.per_day * days)
    return result | {
        "raw": _tidy(raw),
        "deadline": deadline.isoformat() if deadline else "",
        "late_days": days,
        "penalty": _tidy(penalty),
        "score": _tidy(raw - penalty),
        "max_score": _tidy(sum(most.values())),
    }


def _ruled(rules, student, number, graded, of):
    blank = {"exercise": number, "state": UNGRADED, "right": 0, "cases": 0, "points": 0, "of": of}
    exercise = blank | {"hint": "", "message": "", "note": ""} | graded.get(number, {})
    share = exercise["points"] / exercise["of"] if exercise["of"] else 0
    override = rules.overrides.get((unicodedata.normalize("NFC", student), number))
    points = override.points if override else share * of
    return exercise | {"points": _tidy(points), "of": _tidy(of), "override": override.reason if override else ""}


def late_days(submitted, deadline):
    """How many days have begun after the deadline. Both aware; a time without zone is this machine's."""
    return max(0, math.ceil((submitted.astimezone() - deadline) / DAY))


def unused(rules, results):
    """A sentence for each override that applies to none of the results: a name misspelt, or nothing handed in."""
    there = {(unicodedata.normalize("NFC", r["student"]), r["chapter"]) for r in results}
    chapter_of = {e: chapter for chapter, exercises in rules.points.items() for e in exercises}
    return [
        f"the override of exercise {o.exercise} for {o.student!r} applies to no submission"
        for o in rules.overrides.values()
        if (o.student, chapter_of[o.exercise]) not in there
    ]


def _said(value):
    return repr(value)[:80]


def _tidy(number):
    number = round(number, 4)
    return int(number) if number == int(number) else number
