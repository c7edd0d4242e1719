"""Grading one notebook for its learner: nbval runs the assembled notebook, and the verdicts become a table."""

import contextlib
import io
import json
import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path

from course.exercises import keys
from course.grading import submission
from course.lesson import settings

PASSED = "passed"


class GradingError(Exception):
    """Grading could not be done; the message says why. It says nothing about the answers."""


class _Collector:
    """A pytest plugin that keeps the verdicts and whatever went wrong outside of them."""

    def __init__(self, say):
        self.verdicts, self.problems, self.say = [], [], say

    def pytest_collectreport(self, report):
        if report.failed:
            self.problems.append(str(report.longrepr).strip())

    def pytest_runtest_makereport(self, item, call):
        verdict = getattr(item, "verdict", None)
        if call.when == "call" and verdict and verdict not in self.verdicts:
            self.verdicts.append(verdict)
            self.say(verdict)
        elif call.excinfo and (call.when != "call" or getattr(item, "role", "") in ("definition", "check")):
            self.problems.append(f"{item.name}: {item.repr_failure(call.excinfo)}")


def grade(path, seconds=None, say=lambda verdict: None):
    """Grade a learner's notebook; the list of Verdicts, one per exercise, in order.

    path: the notebook; its name begins with the chapter's number. seconds: a cell's time limit, else the plugin's.
    say: called with each Verdict as it is made. The file is only read. Raises GradingError where the notebook cannot
    be graded, with a reason for its owner, and where the grader itself fails.
    """
    import pytest

    path = Path(path)
    if not path.exists():
        raise GradingError(f"there is no file {path}")
    chapter = submission.chapter_of(path)
    if chapter is None:
        raise GradingError(
            f"{path.name}: this is no chapter of the course; its name should begin with its chapter's number, as "
            "03_convolution.ipynb"
        )
    if path.resolve().parent == settings.solutions_folder().resolve():
        raise GradingError(
            f"{path.name} is the reference itself; grade a learner's copy, such as notebooks/{path.name}"
        )
    try:
        key = keys.load(chapter)
    except keys.BadKey as error:
        raise GradingError(str(error)) from None
    collector = _Collector(say)
    arguments = ["--nbval-lax", "-p", "course.grading.plugin", "-p", "no:cacheprovider", "--noconftest"]
    arguments += ["-c", os.devnull, "--rootdir", str(path.resolve().parent), str(path.resolve())]
    if seconds:
        arguments += ["--nbval-cell-timeout", str(seconds)]
    noise = io.StringIO()
    with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
        pytest.main(arguments, plugins=[collector])
    if collector.problems:
        raise GradingError("\n".join(collector.problems))
    if {v.exercise for v in collector.verdicts} != set(key.exercises):
        raise GradingError(f"{path.name}: not every exercise came to a verdict\n{noise.getvalue()[-1000:]}")
    return collector.verdicts


def score(verdicts):
    """(points reached, points to reach)."""
    return sum(v.points for v in verdicts), sum(v.of for v in verdicts)


def as_json(path, verdicts):
    """The verdicts of one notebook as a JSON text."""
    points, of = score(verdicts)
    report = {
        "notebook": Path(path).name,
        "points": points,
        "of": of,
        "exercises": [verdict.as_dict() for verdict in verdicts],
    }
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def as_junit(path, verdicts):
    """The verdicts of one notebook as a JUnit XML text, a test case per exercise."""
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
    return xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text):
    """The text without the characters that XML 1.0 has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)
