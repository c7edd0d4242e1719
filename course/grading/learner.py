"""Grading one notebook for its learner: nbval runs the assembled notebook, and the verdicts become a table."""

import json
import re
import xml.etree.ElementTree as xml
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from course.exercises import keys, progress
from course.grading import plugin, running, submission
from course.grading.plugin import Verdict
from course.lesson import settings

PASSED = "passed"


class GradingError(Exception):
    """Grading could not be done; the message says why. It says nothing about the answers."""


class _Collector:
    """A pytest plugin that keeps the verdicts and whatever went wrong outside of them."""

    def __init__(self, path: Path, on_event: Callable[[Verdict], None]) -> None:
        self.path, self.on_event = path, on_event
        self.verdicts: list[Verdict] = []
        self.problems: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, object, list[pytest.Collector]]:
        yield
        notebook = plugin.GradedNotebook.from_parent(parent, path=file_path)
        notebook.notebook = self.path
        return [notebook]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(str(report.longrepr).strip())

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        verdict = getattr(item, "verdict", None)
        if call.when == "call" and verdict and verdict not in self.verdicts:
            self.verdicts.append(verdict)
            self.on_event(verdict)
        elif call.excinfo and (call.when != "call" or getattr(item, "role", "") in ("definition", "check")):
            said = f"{item.name}: {item.repr_failure(call.excinfo)}"
            self.problems.append(getattr(item.parent, "broken", "") or said)


def grade(
    path: Path, seconds: float | None = None, on_event: Callable[[Verdict], None] = lambda verdict: None
) -> list[Verdict]:
    """Grade a learner's notebook; the list of Verdicts, one per exercise, in order.

    path: the notebook; its name begins with the chapter's number. seconds: a cell's time limit, else the plugin's.
    on_event: called with each Verdict as it is made. The file is only read. Raises GradingError where the notebook
    cannot be graded, with a reason for its owner, and where the grader itself fails.
    """
    path = Path(path)
    if not path.exists():
        raise GradingError(f"there is no file {path}")
    chapter = submission.chapter_of(path)
    if chapter is None:
        raise GradingError(f"{path.name}: {submission.NO_CHAPTER}")
    if path.resolve().parent == settings.solutions_folder().resolve():
        raise GradingError(f"{path.name} is the reference itself; grade a learner's copy, such as work/{path.name}")
    try:
        key = keys.load(chapter)
    except keys.BadKey as error:
        raise GradingError(str(error)) from None
    collector = _Collector(path.resolve(), on_event)
    printed = running.run(collector, *(["--nbval-cell-timeout", str(seconds)] if seconds else []))
    if collector.problems:
        raise GradingError("\n".join(dict.fromkeys(collector.problems)))
    if {v.exercise for v in collector.verdicts} != set(key.exercises):
        raise GradingError(f"{path.name}: not every exercise came to a verdict\n{printed[-1000:]}")
    return collector.verdicts


def score(verdicts: list[Verdict]) -> tuple[int, int]:
    """(points reached, points to reach)."""
    return sum(v.points for v in verdicts), sum(v.of for v in verdicts)


def remember(path: Path, verdicts: list[Verdict]) -> None:
    """Take the verdicts of a learner's notebook down in the learner's progress: that beside which it lies. A notebook
    that lies elsewhere is another's."""
    folder = Path(path).resolve().parent
    place = progress.place(folder)
    homes = [settings.lessons_folder().resolve()] + ([place.parent.parent.resolve()] if place else [])
    if not any(home in (folder, *folder.parents) for home in homes):
        return
    for verdict in verdicts:
        if verdict.state != "error":
            progress.record(keys.load_exercise(verdict.exercise), verdict.state, place)


def as_json(graded: list[tuple[Path, list[Verdict]]]) -> str:
    """The verdicts of notebooks as a JSON text. graded: a list of (path, verdicts); of several, all stand in a list."""
    reports = []
    for path, verdicts in graded:
        points, of = score(verdicts)
        exercises = [verdict.as_dict() for verdict in verdicts]
        reports.append({"notebook": Path(path).name, "points": points, "of": of, "exercises": exercises})
    return json.dumps(reports[0] if len(reports) == 1 else reports, indent=1, ensure_ascii=False) + "\n"


def as_junit(graded: list[tuple[Path, list[Verdict]]]) -> str:
    """The verdicts of notebooks as a JUnit XML text, a test case per exercise. graded: a list of (path, verdicts); of
    several, each has a suite of its own."""
    suites = [_suite(path, verdicts) for path, verdicts in graded]
    if len(suites) == 1:
        root = suites[0]
    else:
        root = xml.Element("testsuites")
        root.extend(suites)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(path: Path, verdicts: list[Verdict]) -> xml.Element:
    failed = [v for v in verdicts if v.state != PASSED]
    suite = xml.Element(
        "testsuite",
        name=Path(path).stem,
        tests=str(len(verdicts)),
        failures=str(len(failed)),
        errors="0",
        time=f"{sum(v.seconds for v in verdicts):.2f}",
    )
    for verdict in verdicts:
        case = xml.SubElement(
            suite, "testcase", classname=Path(path).stem, name=f"exercise {verdict.exercise}", time=str(verdict.seconds)
        )
        if verdict.state != PASSED:
            first = _printable(verdict.message).splitlines()[0]
            xml.SubElement(case, "failure", type=verdict.state, message=first).text = _printable(verdict.message)
    return suite


def _printable(text: str) -> str:
    """The text without the characters that XML 1.0 has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)
