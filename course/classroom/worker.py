"""A worker: a process that runs one submission after the other with nbval, its kernels behind the wall.

It reads a job per line on its standard input and writes a report per line on its standard output. It knows the
questions but not the key: what it reports is what came out of the sandbox, for the grader to judge.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
import pytest

from course.classroom import sandbox
from course.exercises import keys
from course.exercises.asking import MIME
from course.grading import plugin, submission


@dataclass
class Job:
    """What to grade. path: the submission, read only. key: the class's key as text, without what answers it. public:
    the learner's questions, packed, by exercise. exercises: those to grade. cell_seconds, seconds: time for one cell,
    and for all together."""

    path: str
    key: str
    public: dict
    exercises: list
    cell_seconds: float
    seconds: float

    @cached_property
    def chapter(self):
        """The key, read."""
        return keys.from_text(self.key, "the class's key", "make it anew")

    @cached_property
    def questions(self):
        """What a kernel gets: by exercise, as `asking.hand_over` reads it."""
        return {
            number: {
                "cases": self.chapter.exercises[number].questions,
                "public": self.public[number],
                "driver": self.chapter.exercises[number].driver,
            }
            for number in self.exercises
        }


@dataclass
class Report:
    """What came out. status: "ran", "invalid" (the file) or "fault" (the grader). exercises: by number, with state,
    message, note, seconds, evidence (as untrusted as its sender) and untouched (whether the answer is still the blank
    one). answers: the sources that were run."""

    status: str = "ran"
    reason: str = ""
    exercises: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    seconds: float = 0.0


class SealedNotebook(plugin.GradedNotebook):
    """A submission, assembled with the sealed reference."""

    cell_kind = property(lambda self: SealedCell)
    job = cells = zygote = deadline = None

    def assembly(self):
        return assemble(self.job, self.cells)

    def start_kernel(self):
        self.kernel = sandbox.SandboxedKernel(self.zygote, self.job.questions, self.limit)


class SealedCell(plugin.GradedCell):
    """A cell of a submission."""

    evidence = None

    def patience(self, asked):
        return min(self.parent.job.cell_seconds, max(self.parent.deadline - time.monotonic(), 0.01))

    def run_cell(self):
        try:
            super().run_cell()
        except (plugin.nbval.NbCellError, sandbox.SandboxError):
            raise
        except Exception as error:
            # A kernel that an answer has got hold of can send anything. The reference ran here without a fault.
            self.parent.fresh_kernel()
            what = f"its kernel sent something that is no message ({type(error).__name__})"
            raise plugin.Ended(self.cell_num, what, self.cell.source) from None

    def accept(self):
        for output in reversed(self.test_outputs):
            metadata = output.get("metadata")
            if isinstance(metadata, dict) and MIME in metadata:
                self.evidence = metadata[MIME]
                return {"message": ""}
        return {"state": "wrong", "message": "the check handed nothing over"}

    def undefined_name(self, said):
        """Also where the check ran to its end and the answer, in its first case, did not."""
        match self.evidence:
            case {"cases": [{"raised": ["NameError", *_], "message": str(name)}, *_]}:
                return name
        return super().undefined_name(said)

    def judge(self, error, crash):
        state, message, hint = super().judge(error, crash)
        # The reference has passed the same check: what fails here was broken by the submission, not by the grader.
        return ("crashed" if state == "error" else state), message, hint


def assemble(job, cells):
    """The definitions with a submission's answers, and checks that hand over instead of judging."""
    assembly = submission.assemble(job.chapter, cells, job.exercises)
    for cell in assembly.notebook.cells:
        if cell.metadata["course"]["role"] == "check":
            text = f"exercise {cell.metadata['course']['exercise']} handed over"
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": text})]
    return assembly


class _Collect:
    """The pytest plugin of one run: makes the notebook, keeps what came out."""

    def __init__(self, job, cells, zygote):
        self.job, self.cells, self.zygote, self.report = job, cells, zygote, Report()

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path, parent):
        yield
        notebook = SealedNotebook.from_parent(parent, path=file_path)
        notebook.job, notebook.cells, notebook.zygote = self.job, self.cells, self.zygote
        notebook.deadline = time.monotonic() + self.job.seconds
        return [notebook]

    def pytest_collectreport(self, report):
        if report.failed:
            self.report.status, self.report.reason = "fault", str(report.longrepr).strip()[-1000:]

    def pytest_runtest_makereport(self, item, call):
        if item.role == "answer" and item.parent.answers[item.exercise].source is not None:
            self.report.answers[item.exercise] = item.parent.answers[item.exercise].source[:200_000]
        if call.when == "call" and item.verdict:
            verdict = item.verdict
            self.report.exercises[verdict.exercise] = {
                "state": verdict.state,
                "message": verdict.message,
                "note": verdict.note,
                "seconds": verdict.seconds,
                "evidence": item.evidence,
                "untouched": item.is_untouched(),
            }
        elif call.excinfo and (call.when != "call" or item.role in ("definition", "check")):
            self.report.status = "fault"
            self.report.reason = f"{item.name}: {call.excinfo.type.__name__}: {str(call.excinfo.value)[:800]}"


def run(job, zygote):
    """Run one job in this process; a Report."""
    began = time.monotonic()
    try:
        cells = submission.read_cells(job.path)
    except submission.BadNotebook as error:
        return Report("invalid", str(error))
    collector = _Collect(job, cells, zygote)
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        # pytest gets a file of our own making by name; the submission itself is only ever read as data.
        stand_in = Path(folder) / "submission.ipynb"
        stand_in.write_text("{}")
        arguments = ["--nbval-lax", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "-q"]
        noise = io.StringIO()
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            pytest.main([*arguments, "--rootdir", folder, str(stand_in)], plugins=[collector])
    report = collector.report
    report.seconds = round(time.monotonic() - began, 2)
    if report.status == "ran" and set(report.exercises) != set(job.exercises):
        report.status, report.reason = "fault", f"no verdict for every exercise: {noise.getvalue()[-800:]}"
    return report


def main():
    """Obey: the first line sets the worker up, each further one is a job."""
    channel = os.dup(1)
    os.dup2(2, 1)  # nothing that this process or a library prints may be taken for a report
    setup = json.loads(sys.stdin.readline())
    limits = sandbox.Limits(**setup["limits"])
    try:
        zygote = sandbox.Zygote(setup["worker"], setup["modules"], limits, setup["sandboxed"])
    except sandbox.SandboxError as error:  # every job is told why
        for _ in sys.stdin:
            _write(channel, json.dumps(Report("fault", str(error)).__dict__).encode() + b"\n")
        return
    with zygote:
        for line in sys.stdin:
            try:
                report = run(Job(**json.loads(line)), zygote)
            except Exception as error:
                report = Report("fault", f"{type(error).__name__}: {error}")
            _write(channel, json.dumps(report.__dict__).encode() + b"\n")
            if zygote.process.poll() is not None:
                break


def _write(channel, data):
    while data:
        data = data[os.write(channel, data) :]


if __name__ == "__main__":
    main()
