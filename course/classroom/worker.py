"""A worker: a process that runs one submission after the other with nbval, its kernels in the sandbox.

It reads a job per line on its standard input and writes a report per line on its standard output. It knows the
questions but not the key: what it reports is what came out of the sandbox, for the grader to judge.
"""

import contextlib
import json
import resource
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import NbCellError

from course.classroom import folders, processes, sandbox
from course.classroom.jobs import RanTwice
from course.exercises import keys
from course.exercises.asking import MIME
from course.grading import plugin, running, submission

MEMORY_MB = 2000  # of this process, which is in no sandbox: to read a notebook of 50 MB takes half of it
HANDED_OVER = "what the check handed over is no result"


@dataclass
class Job:
    """What to grade. path: the submission, read only. key: the class's key as text, without what answers it. public:
    the learner's questions, packed, by exercise. exercises: those to grade. cell_seconds, seconds: time for one cell,
    and for all together."""

    path: str
    key: str
    public: dict[str, str]
    exercises: list[str]

    cell_seconds: float
    seconds: float

    @cached_property
    def chapter(self) -> keys.ChapterKey:
        """The key, read."""
        return keys.from_text(self.key, "the class's key", "make it anew")

    def questions(self, secret: bool) -> dict[str, Any]:
        """What a kernel gets: by exercise, as `asking.hand_over` reads it."""
        asked = self.chapter.exercises
        return {
            number: {
                "cases": asked[number].questions if secret else self.public[number],
                "driver": asked[number].driver,
            }
            for number in self.exercises
        }


@dataclass
class Report:
    """What came out. status: "ran", "invalid" (the file) or "fault" (the grader). answers: the sources that were run.

    exercises: by number, what came of the cases that everybody sees: state, message, note, seconds, evidence (as
    untrusted as its sender) and untouched (whether the answer is still the blank one); under "secret" the same of the
    class's cases, or None where they were not asked. An answer can put what it was asked into any text, so that no text
    of those may be shown."""

    status: str = "ran"
    reason: str = ""
    exercises: dict[str, RanTwice] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class SealedNotebook(plugin.GradedNotebook):
    """A submission, assembled with the sealed reference."""

    job: Job
    cells: list[submission.Cell]
    server: sandbox.ForkServer
    deadline: float  # on the monotonic clock
    secret: bool

    @property
    def cell_kind(self) -> "type[SealedCell]":
        return SealedCell

    def assembly(self) -> submission.Assembly:
        return assemble(self.job, self.cells)

    def start_kernel(self) -> None:
        self.kernel = sandbox.SandboxedKernel(self.server, self.job.questions(self.secret), self.limit)


class SealedCell(plugin.GradedCell):
    """A cell of a submission."""

    parent: SealedNotebook
    evidence: Any = None
    rest = False  # whether the time for all cells together, and not that for one, is its limit

    def cell_timeout(self, asked: float) -> float:
        left = max(self.parent.deadline - time.monotonic(), 0.01)
        self.rest = left < self.parent.job.cell_seconds
        return min(self.parent.job.cell_seconds, left)

    def too_long(self, seconds: float) -> str:
        if self.rest:
            return f"it did not end within {self.parent.job.seconds:g} seconds, the time for all answers together"
        return super().too_long(seconds)

    def run_cell(self) -> None:
        try:
            super().run_cell()
        except (NbCellError, sandbox.SandboxError):
            raise
        except Exception as error:
            # A kernel that an answer has got hold of can send anything. The reference ran here without a fault.
            self.parent.fresh_kernel()
            what = f"its kernel sent something that is no message ({type(error).__name__})"
            raise plugin.Ended(self.cell_num, what, self.cell.source) from None

    def run_check(self, began: float) -> None:
        try:
            super().run_check(began)
        except (NbCellError, sandbox.SandboxError):
            raise
        except Exception as error:  # nor may what it sent make a fault of the grader of it
            of, what = self.cell.metadata["course"]["points"], f"its check cannot be read ({type(error).__name__})"
            self.verdict = plugin.Verdict(self.exercise, "crashed", what, "", "", 0, of, 0.0)
            self.fail(what)

    def accept(self) -> plugin.Finding:
        for output in reversed(self.test_outputs):
            metadata = output.get("metadata")
            if isinstance(metadata, dict) and MIME in metadata:
                try:
                    self.evidence = json.loads(json.dumps(metadata[MIME], allow_nan=False))
                except (ValueError, TypeError, RecursionError):
                    return plugin.Finding("wrong", HANDED_OVER)
                return plugin.Finding("passed")
        return plugin.Finding("wrong", "the check handed nothing over")

    def undefined_name(self, said: str) -> str:
        """Also where the check ran to its end and the answer, in its first case, did not."""
        match self.evidence:
            case {"cases": [{"raised": ["NameError", *_], "message": str(name)}, *_]}:
                return name
        return super().undefined_name(said)

    def judge(self, error: NbCellError, crash: str) -> plugin.Finding:
        found = super().judge(error, crash)
        # The reference has passed the same check: what fails here was broken by the submission, not by the grader.
        return replace(found, state="crashed") if found.state == "error" else found


def assemble(job: Job, cells: list[submission.Cell]) -> submission.Assembly:
    """The definitions with a submission's answers, and checks that hand over instead of judging."""
    assembly = submission.assemble(job.chapter, cells, job.exercises)
    for cell in assembly.notebook.cells:
        if cell.metadata["course"]["role"] == "check":
            text = f"exercise {cell.metadata['course']['exercise']} handed over"
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": text})]
    return assembly


class _Collect:
    """The pytest plugin of one run: makes the notebook, keeps what came out. secret: whether the class's cases are
    asked, or those that everybody sees."""

    def __init__(self, job: Job, cells: list[submission.Cell], server: sandbox.ForkServer, secret: bool) -> None:
        self.job, self.cells, self.server, self.secret, self.report = job, cells, server, secret, Report()

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, object, list[pytest.Collector]]:
        yield
        notebook = SealedNotebook.from_parent(parent, path=file_path)
        notebook.job, notebook.cells, notebook.server = self.job, self.cells, self.server
        notebook.secret = self.secret
        notebook.deadline = time.monotonic() + self.job.seconds
        return [notebook]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.report.status, self.report.reason = "fault", str(report.longrepr).strip()[-1000:]

    def pytest_runtest_makereport(self, item: SealedCell, call: pytest.CallInfo[None]) -> None:
        if item.role == "answer" and (source := item.parent.answers[item.exercise].source) is not None:
            self.report.answers[item.exercise] = source[:200_000]
        if call.when == "call" and item.verdict:
            verdict = item.verdict
            self.report.exercises[verdict.exercise] = {
                "state": verdict.state,
                "message": verdict.message,
                "note": verdict.note,
                "seconds": verdict.seconds,
                "evidence": item.evidence,
                "untouched": item.is_untouched(),
                "secret": None,
            }
        elif call.excinfo and (call.when != "call" or item.role in ("definition", "check")):
            self.report.status = "fault"
            self.report.reason = f"{item.name}: {call.excinfo.type.__name__}: {str(call.excinfo.value)[:800]}"


def run(job: Job, server: sandbox.ForkServer) -> Report:
    """Run one job in this process; a Report."""
    began = time.monotonic()
    try:
        cells = submission.read_cells(job.path)
    except submission.BadNotebook as error:
        return Report("invalid", str(error))
    report = _ask(job, cells, server, secret=False)
    handed_over = [number for number, one in report.exercises.items() if one["state"] == "passed"]
    secret = Report()
    if report.status == "ran" and handed_over:
        secret = _ask(replace(job, exercises=handed_over), cells, server, secret=True)
        report.status, report.reason = secret.status, secret.reason
    for number, one in report.exercises.items():
        one["secret"] = secret.exercises.get(number)
    report.seconds = round(time.monotonic() - began, 2)
    return report


def _ask(job: Job, cells: list[submission.Cell], server: sandbox.ForkServer, secret: bool) -> Report:
    """The Report on a job's exercises, with the cases of one kind, in a kernel of its own."""
    collector = _Collect(job, cells, server, secret)
    # On a file of its own making: the submission itself is only ever read as data.
    printed = running.run(collector, prefix=folders.prefix("grading"))
    report = collector.report
    if report.status == "ran" and set(report.exercises) != set(job.exercises):
        report.status, report.reason = "fault", f"no verdict for every exercise: {printed[-800:]}"
    return report


def main() -> None:
    """Serve jobs from the standard input: the first message sets the worker up, each further one is a job."""
    answer, told = processes.answerer(), processes.messages()
    setup = next(told)
    limits = sandbox.Limits(**setup["limits"])
    try:
        server = sandbox.ForkServer(setup["worker"], setup["modules"], limits, setup["sandboxed"])
    except sandbox.SandboxError as error:  # every job is told why
        for _ in told:
            answer(Report("fault", str(error)).__dict__)
        return
    with contextlib.suppress(ValueError, OSError):  # a lower limit may be there already
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB * 2**20, hard))
    with server:
        for job in told:
            try:
                report = run(Job(**job), server)
            except Exception as error:
                report = Report("fault", f"{type(error).__name__}: {error}")
            answer(report.__dict__)
            if server.process.poll() is not None:
                break


if __name__ == "__main__":
    main()
