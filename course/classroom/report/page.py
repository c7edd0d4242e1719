"""The page that shows a class, and each student's feedback: what stands in them. How, say the templates."""

import base64
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from course.classroom import rules
from course.classroom.layout import Unread, safe_name
from course.classroom.report import words
from course.classroom.results import Result, Row
from course.classroom.similarity import Pair

MOST_ALIKE = 100  # pairs of students whose answers are shown side by side
MOST_HINTS = 5  # mistakes of one exercise that are shown before the others are folded away
WIDE, NARROW = 0.12, 0.03  # shares of a bar that bear sign and number, or the sign alone


@cache
def _templates() -> Environment:
    env = Environment(
        loader=PackageLoader("course.classroom.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = (words.name, words.line, words.block, words.when, words.late, words.student, words.full_name)
    env.filters |= {function.__name__: function for function in own} | {
        "number": lambda value: f"{value:g}",
        "thousands": lambda value: f"{value:,}",
        "plural": lambda count, word: f"{count:,} {word}{'' if count == 1 else 's'}",
        "share": lambda part, whole: f"{100 * part / whole:.0f}\u202f%" if whole else "–",
        "key": lambda number: re.sub(r"[^\w-]", "-", str(number)),
    }
    env.globals |= {"STATES": words.STATES, "UNGRADED": words.UNGRADED, "timed": rules.timed}
    env.globals |= {"style": Markup(text_of("style.css")), "style_digest": digest(text_of("style.css"))}
    return env


@cache
def text_of(name: str) -> str:
    """The text of a file that lies with the templates."""
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """What a page's policy knows a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def feedback(result: Result, chapters: Mapping[str, str]) -> str:
    """One student's feedback on one chapter as a page: each answer with its verdict. It says nothing of a hidden case
    but how many were right."""
    return _templates().get_template("feedback.html").render(r=result, title=_title(result, chapters))


def report(
    results: list[Result],
    unread: Sequence[Unread],
    pairs: Sequence[Pair],
    chapters: Mapping[str, str],
    remarks: Sequence[str],
    made: datetime,
) -> str:
    """The whole page. It needs no network, and no script to be read."""
    numbers = sorted({r["chapter"] for r in results})
    students: defaultdict[str, dict[str, Result]] = defaultdict(dict)
    for r in results:
        students[r["student"]][r["chapter"]] = r
    ids = {student: f"s{i}" for i, student in enumerate(students)}
    return (
        _templates()
        .get_template("report.html")
        .render(
            made=made,
            script=Markup(text_of("script.js")),
            script_digest=digest(text_of("script.js")),
            titles={n: chapters.get(n, n) for n in numbers},
            most={r["chapter"]: r["max_score"] for r in results},
            results=results,
            counted=words.counted(results),
            handed_in=words.handed_in(results),
            absent=_absent(results),
            students=students,
            ids=ids,
            toml={student: words.toml(_named(student)) for student in students},
            charts=[_chart(number, results) for number in numbers],
            mistakes=_mistakes(results),
            notes=_notes(results),
            unread=unread,
            remarks=remarks,
            alike=_alike(results, pairs),
            most_alike=MOST_ALIKE,
            most_hints=MOST_HINTS,
        )
    )


def _title(result: Result, chapters: Mapping[str, str]) -> str:
    return chapters.get(result["chapter"], result["chapter"])


def _named(student: str) -> str:
    """What a file of rules calls a student: the name, where it can well be written there."""
    plain = len(student) <= words.MOST_NAME and not re.search(r"[\ud800-\udfff]", student)
    return student if plain else safe_name(student)


def _absent(results: list[Result]) -> dict[str, list[Result]]:
    """By chapter the results of those who handed nothing in."""
    found = defaultdict(list)
    for r in results:
        if r["status"] == rules.MISSING:
            found[r["chapter"]].append(r)
    return dict(found)


def _notes(results: list[Result]) -> dict[str, list[Result]]:
    """The results that bear a note, by note."""
    found = defaultdict(list)
    for r in results:
        for note in r["notes"]:
            found[note].append(r)
    return dict(found)


def _chart(number: str, results: list[Result]) -> dict[str, Any]:
    """How a chapter's exercises came out: for each a count by state, and the parts of a bar."""
    of_chapter = [r for r in results if r["chapter"] == number]
    counts: dict[str, Counter[str]] = {n: Counter() for n in words.exercises(of_chapter)}
    for r in of_chapter:
        for e in r["exercises"]:
            counts[e["exercise"]][e["state"]] += 1
    present = [state for state in words.STATES if any(count[state] for count in counts.values())]
    bars = {n: _bar(count, present) for n, count in counts.items()}
    return {"number": number, "of": len(of_chapter), "counts": counts, "states": present, "bars": bars}


def _bar(count: Counter[str], states: list[str]) -> list[dict[str, Any]]:
    """The parts of a stacked bar: where each begins and how wide it is, in percent, and what it bears."""
    x, parts = 0.0, []
    for state in states:
        if share := count[state] / count.total():
            sign = words.STATES[state][0]
            label = f"{sign} {count[state]}" if share >= WIDE else sign if share >= NARROW else ""
            place = {"x": 100 * x, "width": 100 * share, "little": share < WIDE}
            parts.append({"state": state, "label": label, "count": count[state], **place})
            x += share
    return parts


def _mistakes(results: list[Result]) -> dict[str, list[tuple[str, list[str]]]]:
    """By exercise the wrong answers, grouped by the hint they hit, the most common first: a list of (hint or "", the
    students)."""
    groups: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for r in results:
        for e in r["exercises"]:
            if e["state"] in ("wrong", "crashed", "timeout"):
                groups[e["exercise"]][e["hint"] or _unhinted(e)].append(r["student"])
    ordered = (n for n in words.exercises(results) if n in groups)
    return {n: sorted(groups[n].items(), key=lambda g: (g[0] == "", -len(g[1]), g[0])) for n in ordered}


def _unhinted(row: Row) -> str:
    """What to call a wrong answer that hit no hint: how it crashed or hung, or ""."""
    if row["state"] == "wrong":
        return ""
    raised = re.search(r"\) raised (\w+)", row["message"]) if row["state"] == "crashed" else None
    return words.STATES[row["state"]][1] + (f" with {raised[1]}" if raised else "")


def _alike(
    results: list[Result], pairs: Sequence[Pair]
) -> list[tuple[tuple[str, str], list[Pair], dict[tuple[str, str], str]]]:
    """Pairs of students with answers that are alike, those with the most such answers first: a list of (their names,
    the Pairs, the answers by student and exercise)."""
    sources, by_students = {}, defaultdict(list)
    for r in results:
        sources.update({(r["student"], n): s for n, s in r.get("answers", {}).items() if isinstance(s, str)})
    for pair in pairs:
        by_students[pair.first, pair.second].append(pair)
    ranked = sorted(by_students.items(), key=lambda g: (-sum(p.similarity for p in g[1]), g[0]))
    return [
        (both, own, {(s, p.exercise): sources.get((s, p.exercise), "") for s in both for p in own})
        for both, own in ranked
    ]
