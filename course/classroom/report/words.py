"""What is said of results, and the texts of students in it: each made harmless for where it goes, and cut."""

import re
from datetime import datetime

from course.classroom import rules
from course.classroom.layout import printable
from course.classroom.results import Result

STATES = {  # in the order of the bars: a sign, so that nothing depends on colour, and what it means
    "passed": ("✓", "right"),
    "wrong": ("✗", "wrong"),
    "crashed": ("!", "crashed"),
    "timeout": ("∞", "did not end in time"),
    "open": ("○", "still open"),
    "missing": ("?", "no answer found"),
    "ungraded": ("–", "not graded"),
    "absent": ("·", "nothing handed in"),
}
UNGRADED = {  # why a submission has no verdicts, by its status, and who can do something about it
    "invalid": ("cannot be graded", "the file"),
    "fault": ("fault of the grader", "the grader"),
    "waiting": ("not graded yet", "this run"),
}
MOST_NAME = 80  # characters of a name that are shown
MOST_ID = 255  # of a name in a table that a program reads
MOST_LINE = 1_000  # of a sentence
MOST_MESSAGE = 4_000  # of a message
MOST_SOURCE = 8_000  # of an answer


def name(text: object, most: int = MOST_NAME) -> str:
    """A student's or a file's name as one harmless line. Of a long one the middle is left out: two that begin alike
    still differ."""
    text = printable(" ".join(str(text)[: 4 * most].split()) + ("…" if len(str(text)) > 4 * most else ""))
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def line(text: object, most: int = MOST_LINE) -> str:
    """A student's text as one harmless line."""
    return _cut(printable(" ".join(str(text)[:most].split())), most, len(str(text)) > most)


def block(text: object, most: int = MOST_MESSAGE) -> str:
    """A student's text with its lines, as a block."""
    return _cut(printable(str(text)[:most], lines=True).strip("\n"), most, len(str(text)) > most)


def _cut(text: str, most: int, more: bool) -> str:
    return f"{text[:most]} …" if more or len(text) > most else text


def cell(text: object, most: int = MOST_ID) -> str:
    """A student's text for a spreadsheet, which must not take it, nor what follows a separator in it, for a formula."""
    text = name(text, most)
    text = re.sub(r"([;,|\"']\s*)(?=[=+\-@＝＋－＠﹣﹢﹦﹫])", r"\1'", text)
    return f"'{text}" if re.match(r"\s*[=+\-@＝＋－＠﹣﹢﹦﹫\t\r]", text) else text


def markdown(text: str) -> str:
    """A student's text in one line of Markdown, in which it means only itself."""
    return re.sub(r"([\\`*_\[\]<>#|~&$:@!])|(?<=\bwww)(\.)", r"\\\g<0>", text)


def when(text: str) -> str:
    """An ISO time, to the minute, with its zone."""
    moment = datetime.fromisoformat(text)
    return f"{moment:%Y-%m-%d %H:%M %Z}".strip()


def duration(seconds: float) -> str:
    """A time that is left, in words: no more exact than it is known."""
    if seconds < 90:
        return f"{max(10 * round(seconds / 10), 10)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def full_name(result: Result) -> str:
    """A student's first and last name, or what the LMS says, or "" where neither is known."""
    own = " ".join(filter(None, (result.get("first_name"), result.get("last_name"))))
    return own or result.get("name") or ""


def student(result: Result) -> str:
    """How a student is called: the name that submissions bear, and the full name where that says more."""
    called, full = name(result["student"]), name(full_name(result))
    return f"{called} ({full})" if full and full.casefold() != called.casefold() else called


def late(result: Result) -> str:
    """How late, and what it costs, in words."""
    days = f"{result['late_days']:g} {'day' if result['late_days'] == 1 else 'days'}"
    cost = f"{result['penalty']:g} of {result['raw']:g} points less"
    if result["late_mark"]:
        return f"marked LATE where it was handed in, which counts as {days}: {cost}"
    return f"{days} begun after {when(result['deadline'])}: {cost}"


def exercises(results: list[Result]) -> list[str]:
    """All exercises, in the order in which they stand."""
    numbers = {e["exercise"] for r in results for e in r["exercises"]}
    return sorted(numbers, key=lambda n: [int(part) if part.isdigit() else 0 for part in n.split(".")])


def handed_in(results: list[Result]) -> list[Result]:
    """The results of what was handed in."""
    return [r for r in results if r["status"] != rules.MISSING]


def counted(results: list[Result]) -> list[Result]:
    """The results that have an outcome, be it that nothing was handed in: all but those that wait."""
    return [r for r in results if r["status"] != rules.WAITING]


def toml(text: str) -> str:
    """A text as TOML's basic string, in which everything that cannot be seen is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return rf"\u{ord(letter):04x}" if ord(letter) < 65536 else rf"\U{ord(letter):08x}"
