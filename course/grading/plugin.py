"""The items that make `pytest --nbval-lax` right by itself for the course's notebooks; `collecting` chooses those.

A learner's notebook is assembled with its chapter's key before it is run (see `course.grading.submission`), its items
bear the exercises' names, and an answer that hangs, floods or ends its kernel costs that answer only. Other notebooks
are left to nbval; those of the chapters' authors are `course.authoring.plugin`'s.
"""

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import Any, NoReturn

import nbval.plugin as nbval
import pytest
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel, start_new_kernel

from course.exercises import keys
from course.exercises.cells import defined_name, untouched
from course.exercises.judging import FAILED, OPEN
from course.grading import submission

CELL_SECONDS = 60  # for a graded cell, unless --nbval-cell-timeout says otherwise
RESTORE_SECONDS = 10
MOST_TRACEBACK = 20_000  # letters of an exception's that are looked at, from its end
CELL_BYTES = 1_000_000  # of output of a graded cell
MESSAGE_BYTES = 200  # that a message counts beside its content
READ_SECONDS = 10  # to interrupt a cell that takes too long, and to read what it has sent
NBVAL_SECONDS = 2000  # nbval's own default, which no learner wants to wait for
PROCESS_ENDED = "the Python process ended: is there an exit() or quit() in the answer?"
SNAPSHOT = "import course.grading.isolation as _i; _i.snapshot(get_ipython().user_ns); del _i"
RESTORE = "import course.grading.isolation as _i; _i.restore(get_ipython().user_ns); del _i"


class KernelGone(RuntimeError):
    """The kernel's process ended while a cell ran."""


class OutputLimitError(RuntimeError):
    """A cell printed more than it may."""


@dataclass
class Verdict:
    """What grading says of one exercise.

    state: "passed", "wrong", "crashed", "open", "missing", "timeout" or "error" (a fault of the grader, not of the
    answer). message: the check's lines or what went wrong. hint, note: or "". points, of: as scored and at most.
    """

    exercise: str
    state: str
    message: str
    hint: str
    note: str
    points: int
    of: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """What a check's run says of an answer. state, message, hint: as in Verdict."""

    state: str
    message: str = ""
    hint: str = ""


class WatchedKernel(RunningKernel):
    """nbval's kernel, which also notices at once that the process has died, stops a flood of output, keeps deadlines
    whatever the process sends meanwhile, and gives messages whose parts are of the kinds that they should be."""

    deadline: float | None = None  # of the cell that runs, on the monotonic clock

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: dict[str, str],
        startup_timeout: float = 60,
        limit: int | None = None,
    ) -> None:
        """name: of a kernel that Jupyter knows. folder: where it runs. environment: its variables. limit: the bytes
        that a cell may send."""
        self.prepare(limit)
        self.km, self.kc = start_new_kernel(
            startup_timeout, name, cwd=str(folder), env=environment, stderr=subprocess.DEVNULL
        )
        self._ensure_iopub_up()

    def prepare(self, limit: int | None) -> None:
        self.limit, self.bytes = limit, 0
        self.reply: dict[str, Any] = {}
        self.read: deque[dict[str, Any]] = deque()

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for the reply to a request; raises Empty after `timeout` seconds and KernelGone on a dead kernel."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while deadline is None or time.monotonic() < deadline:
            try:
                message = self.kc.get_shell_msg(timeout=0.25)
            except Empty:
                if not self.is_alive():
                    raise KernelGone(self.why_ended()) from None
            else:
                if message["parent_header"].get("msg_id") == msg_id:
                    self.reply = message["content"]
                    return
            # Left in its queue, what a cell sends would take any amount of memory.
            while deadline is None or time.monotonic() < deadline:
                try:
                    self.read.append(self.next_output(0))
                except Empty:
                    break
        raise Empty

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        if self.read and stream == "iopub":
            return self.read.popleft()
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Empty
            timeout = left if timeout is None else min(timeout, left)
        # nbval's own method formats every message for a log that nobody reads, which takes seconds for a large one.
        return self.next_output(timeout) if stream == "iopub" else self.kc.get_shell_msg(timeout=timeout)

    def next_output(self, timeout: float | None) -> dict[str, Any]:
        """The next message about what a cell does. Raises Empty, and Flood where the cell has sent too much."""
        message = self.kc.get_iopub_msg(timeout=timeout)
        self.bytes += MESSAGE_BYTES + len(str(message["content"])) + sum(map(len, message["buffers"]))
        message["buffers"] = []  # of a widget's pictures and the like: nobody looks at them
        if self.limit and self.bytes > self.limit:
            raise OutputLimitError(f"it printed more than {self.limit // 1_000_000} MB: take out the print")
        message["content"] = tidy(message["msg_type"], message["content"])
        return message

    def why_ended(self) -> str:
        """Why the process is gone, as far as one can tell."""
        return PROCESS_ENDED

    def execute_silently(self, code: str, seconds: float = CELL_SECONDS) -> None:
        """Run code that is not a cell's, and wait for it; raises RuntimeError where it fails."""
        self.await_reply(self.kc.execute(code, silent=True, store_history=False), timeout=seconds)
        if self.reply.get("status") != "ok":
            raise RuntimeError(f"the grader's own code failed: {self.reply.get('ename')}: {self.reply.get('evalue')}")


def tidy(kind: str, content: Any) -> Any:
    """The content of a message with texts where texts belong, for an answer may send what it likes."""

    def text(name: str) -> str:
        return str(content.get(name, ""))

    content = content if isinstance(content, dict) else {}
    match kind:
        case "stream":
            return content | {"name": text("name"), "text": text("text")}
        case "error":
            lines = content.get("traceback")
            lines = [str(line) for line in lines] if isinstance(lines, list) else []
            return content | {"ename": text("ename"), "evalue": text("evalue"), "traceback": lines}
        case "status":
            return content | {"execution_state": text("execution_state")}
        case "display_data" | "execute_result":
            parts = {
                name: content[name] if isinstance(content.get(name), dict) else {} for name in ("data", "metadata")
            }
            return content | {"execution_count": None} | parts
    return content


class CourseNotebook(nbval.IPyNbFile):
    """A notebook of the course, with items named after what their cells promise, run by this environment's Python."""

    kernel: WatchedKernel
    limit: int | None = None
    spare: tempfile.TemporaryDirectory[str] | None = None

    def setup(self) -> None:
        self.setup_sanitize_files()
        self.start_kernel()

    def start_kernel(self) -> None:
        """Start this environment's own Python as kernel, whatever kernels the notebook or the user names, and without
        the user's settings of IPython."""
        option = self.config.option
        if self.spare is None:
            self.spare = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
        environment = os.environ | {
            "COURSE_PROGRESS": "off",  # what a grader's kernel checks is no learner's work
            "IPYTHONDIR": f"{self.spare.name}/ipython",
        }
        environment.pop("PYTHONSTARTUP", None)
        self.kernel = WatchedKernel(
            option.nbval_kernel_name or CURRENT_ENV_KERNEL_NAME,
            self.folder(),
            environment,
            option.nbval_kernel_startup_timeout,
            self.limit,
        )

    def folder(self) -> Path:
        """Where the kernel runs."""
        return self.path.parent

    def teardown(self) -> None:
        super().teardown()
        if self.spare is not None:
            self.spare.cleanup()
            self.spare = None

    def collect(self) -> "Iterator[CourseCell]":
        for item in super().collect():
            yield self.item(item)

    def item(self, item: nbval.IPyNbCell, kind: "type[CourseCell] | None" = None) -> "CourseCell":
        """nbval's item under the name of its cell."""
        return (kind or CourseCell).from_parent(
            self, name=item_name(item.cell, item.cell_num), cell_num=item.cell_num, cell=item.cell, options=item.options
        )


class CourseCell(nbval.IPyNbCell):
    """A cell of a notebook of the course."""

    parent: CourseNotebook

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.path.name}: {self.name}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if excinfo.errisinstance(KernelGone):
            return f"{self.name}: {excinfo.value}"
        return super().repr_failure(excinfo)


class GradedNotebook(CourseNotebook):
    """A learner's notebook, assembled with its chapter's key.

    notebook: its path, where pytest knows it by another one, which only stands for it. broken: why nothing in it can be
    graded, or "".
    """

    limit = CELL_BYTES
    notebook: Path | None = None
    broken = ""
    answers: dict[str, submission.Answer]
    submitted: list[submission.Cell]
    crashes: dict[str, str]
    stubs: dict[str, str]
    definitions: list[str]

    @property
    def cell_kind(self) -> "type[GradedCell]":
        """The class of its items."""
        return GradedCell

    def collect(self) -> "Iterator[CourseCell]":
        try:
            assembly = self.assembly()
        except (submission.BadNotebook, keys.BadKey) as error:
            raise self.CollectError(str(error)) from None
        self.answers, self.submitted, self.crashes = assembly.answers, assembly.cells, {}
        self.stubs = assembly.stubs
        self.definitions = [c.source for c in assembly.notebook.cells if c.metadata["course"]["role"] == "definition"]
        read = nbval.nbformat.read
        nbval.nbformat.read = lambda *_, **__: assembly.notebook  # nbval's collect reads the file itself
        try:
            for item in list(nbval.IPyNbFile.collect(self)):
                yield self.item(item, self.cell_kind)
        finally:
            nbval.nbformat.read = read

    def assembly(self) -> submission.Assembly:
        """What is run: the key's definitions and checks, with the learner's answers between them."""
        path = self.notebook or self.path
        chapter = submission.chapter_of(path)
        if chapter is None:
            raise submission.BadNotebook(f"{path.name}: {submission.NO_CHAPTER}")
        return submission.assemble(keys.load(chapter), submission.read_cells(path))

    def folder(self) -> Path:
        # An empty one: a keras.py, a settings file or data beside the notebook are not there in a class either.
        assert self.spare is not None  # since the kernel is started
        folder = Path(self.spare.name) / "empty"
        folder.mkdir(exist_ok=True)
        return folder

    def fresh_kernel(self) -> None:
        """After an answer has spoilt the kernel: a new one, with the definitions run again."""
        with contextlib.suppress(AttributeError, RuntimeError):  # nbval may have stopped it already
            self.kernel.stop()
        self.start_kernel()
        for source in self.definitions:
            self.kernel.execute_silently(source)
        self.kernel.execute_silently(SNAPSHOT)
        self.timed_out = False


class GradedCell(CourseCell):
    """A cell of an assembled notebook: the definitions, an answer or a check."""

    parent: GradedNotebook

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.role = self.cell.metadata["course"]["role"]
        self.exercise = self.cell.metadata["course"].get("exercise")
        self.verdict: Verdict | None = None
        self.test_outputs = []
        # What an answer says of itself must not steer nbval: no skipping, no excused exceptions.
        if self.role == "answer":
            self.options.clear()

    def runtest(self) -> None:
        began, option = time.monotonic(), self.config.option
        asked = option.nbval_cell_timeout
        option.nbval_cell_timeout = self.cell_timeout(asked)
        try:
            if self.parent.broken:
                self.fail(self.parent.broken)
            elif self.role == "definition":
                self.run_definitions()
            elif self.role == "answer":
                self.run_answer()
            else:
                self.run_check(began)
        finally:
            option.nbval_cell_timeout = asked

    def run_definitions(self) -> None:
        """Run the lesson's definitions; where they fail, nothing after them can be judged."""
        try:
            super().runtest()
            self.parent.kernel.execute_silently(SNAPSHOT)
        except (nbval.NbCellError, RuntimeError, Empty) as error:
            why = self.explain(error)
            self.parent.broken = (
                f"the lesson's own definitions do not run on this machine ({why}), so nothing was graded; "
                "course doctor looks for what is wrong"
            )
            self.fail(self.parent.broken)

    def cell_timeout(self, asked: float) -> float:
        """Seconds that this cell may take, where nbval was asked for `asked`."""
        return CELL_SECONDS if asked == NBVAL_SECONDS else asked

    def too_long(self, seconds: float) -> str:
        """What is said of a cell that did not end in time."""
        return f"it did not end within {seconds:g} seconds"

    def run_answer(self) -> None:
        notebook, answer = self.parent, self.parent.answers[self.exercise]
        if answer.source is None:
            self.fail(answer.note)
        try:
            self.run_cell()
        except nbval.NbCellError as error:
            notebook.crashes[self.exercise] = self.explain(error)
            self.fail(notebook.crashes[self.exercise])

    def run_check(self, began: float) -> None:
        notebook, answer = self.parent, self.parent.answers[self.exercise]
        crash = notebook.crashes.get(self.exercise, "")
        if answer.source is None:
            found = Finding("missing", answer.note)
        else:
            try:
                self.run_cell()
                found = self.accept()
                if crash and found.state == "passed":
                    found = Finding("crashed", f"the function is right, but its cell fails: {crash}")
            except nbval.NbCellError as error:
                found = self.judge(error, crash)
        passed = found.state == "passed"
        if not passed and self.is_untouched():  # such as code to mend, which is wrong as it stands
            found = Finding("open", self.still_open())
        if name := self.undefined_name("" if passed else f"{crash}\n{found.message}"):
            moved = submission.elsewhere(notebook.submitted, name, self.exercise)
            answer.note = "; ".join(note for note in (moved, answer.note) if note)
        of = self.cell.metadata["course"]["points"]
        self.verdict = Verdict(
            self.exercise,
            **asdict(found),
            note=answer.note if answer.source is not None else "",
            points=of if passed else 0,
            of=of,
            seconds=round(time.monotonic() - began, 2),
        )
        if not passed:
            self.fail(found.message + (f"\n  note: {self.verdict.note}" if self.verdict.note else ""))

    def is_untouched(self) -> bool:
        """Whether the answer is still what the learner was given, be it blank or code to mend."""
        stub = self.parent.stubs.get(self.exercise)
        source = self.parent.answers[self.exercise].source
        return stub is not None and source is not None and untouched(source, stub)

    def still_open(self) -> str:
        return f"exercise {self.exercise} {OPEN} still open"

    def undefined_name(self, said: str) -> str:
        """The name that an answer misses, by what was said of its failure; or ""."""
        found = re.search(r"NameError: name '(\w+)' is not defined", said)
        return found[1] if found else ""

    def accept(self) -> Finding:
        """What a check gives whose output nbval has found to be as in the reference."""
        return Finding("passed", self.cell.outputs[0].text.strip())

    def run_cell(self) -> None:
        """nbval's test of this cell; whatever spoils the kernel becomes an NbCellError, and the kernel a fresh one."""
        notebook = self.parent
        self.test_outputs, seconds = [], self.config.option.nbval_cell_timeout
        self.ready_kernel()
        notebook.kernel.bytes = 0
        notebook.kernel.read.clear()
        notebook.kernel.deadline = time.monotonic() + seconds + READ_SECONDS
        try:
            try:
                super().runtest()
            finally:
                notebook.kernel.deadline = None
                # exit() lets the cell finish first, and ends the process a moment later.
                reply = notebook.kernel.reply
                leaving = any(payload.get("source") == "ask_exit" for payload in reply.get("payload") or ())
                if not notebook.timed_out and (leaving or not notebook.kernel.is_alive()):
                    raise KernelGone(PROCESS_ENDED if leaving else notebook.kernel.why_ended())
            # A bad magic, or a replaced showtraceback, fails without a word on iopub.
            if reply.get("status") != "ok" and not self.options["check_exception"]:
                raise nbval.NbCellError(self.cell_num, f"{reply.get('ename')}: {reply.get('evalue')}", self.cell.source)
        except (KernelGone, OutputLimitError) as error:
            notebook.fresh_kernel()
            raise Ended(self.cell_num, str(error), self.cell.source) from None
        except nbval.NbCellError as error:
            if notebook.timed_out:
                notebook.fresh_kernel()
                raise TimedOut(self.cell_num, self.too_long(seconds), self.cell.source) from error
            raise
        except RuntimeError as error:  # nbval found the kernel dead before the cell began
            notebook.fresh_kernel()
            raise Ended(self.cell_num, str(error), self.cell.source) from None

    def ready_kernel(self) -> None:
        """Have the kernel as the lesson's definitions left it, a fresh one where an earlier answer has ended it."""
        notebook = self.parent
        try:
            notebook.kernel.execute_silently(RESTORE, RESTORE_SECONDS)
        except (RuntimeError, AttributeError, Empty, ValueError):  # dead, stopped by nbval, deaf, or talking nonsense
            notebook.fresh_kernel()
            if self.role == "check" and self.exercise not in notebook.crashes:
                notebook.kernel.execute_silently(notebook.answers[self.exercise].source or "")

    def judge(self, error: nbval.NbCellError, crash: str) -> Finding:
        """The Finding of a check that did not pass."""
        if isinstance(error, TimedOut):
            return Finding("timeout", f"exercise {self.exercise} {FAILED} {error}", "is there a loop without an end?")
        if isinstance(error, Ended):
            return Finding("crashed", f"exercise {self.exercise} {FAILED} {error}")
        shown = next((o for o in self.test_outputs if o.output_type == "error"), None)
        if crash and (shown is None or shown.ename != "Unsolved"):
            state = "timeout" if "did not end within" in crash else "crashed"
            return Finding(state, f"exercise {self.exercise} {FAILED} its cell does not run: {crash}")
        if shown is None:
            printed = "".join(o.text for o in self.test_outputs if o.output_type == "stream")
            if printed.startswith(self.still_open()):
                return Finding("open", self.still_open())
            return Finding("wrong", f"exercise {self.exercise} {FAILED} {error}")
        if shown.ename == "NameError":
            return Finding("missing", self.undefined(shown.evalue))
        if shown.ename != "Unsolved":
            return Finding("error", f"the check itself failed: {shown.ename}: {shown.evalue}")
        rest = shown.evalue.splitlines()[1:]
        hint = next((line.strip()[6:] for line in rest if line.strip().startswith("hint: ")), "")
        crashed = any(re.match(r" {4}line \d+ of ", line) for line in rest)
        return Finding("crashed" if crashed else "wrong", shown.evalue, hint)

    def undefined(self, said: str) -> str:
        name = defined_name(self.parent.answers[self.exercise].source or "")
        return f"exercise {self.exercise} {FAILED} {said}: keep the name that the exercise gives it" + (
            f" (the cell defines {name})" if name else ""
        )

    def explain(self, error: Exception) -> str:
        """An answer cell's failure in one line, with the line of the cell where it happened."""
        if isinstance(error, (TimedOut, Ended)):
            return str(error)
        shown = next((o for o in self.test_outputs if o.output_type == "error"), None)
        if shown is None:  # a magic's own failure is none on iopub
            where = " It must be the first line of its cell, above '# Exercise'" if "`%%" in str(error) else ""
            return f"{error}{where}"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown.traceback)[-MOST_TRACEBACK:])
        lines = re.findall(r"^\s*Cell In\[[^\]]*\], line (\d+)", plain, re.MULTILINE)
        where = f" (line {lines[-1]} of the cell)" if lines else ""
        said = shown.evalue.splitlines()[0] if shown.evalue else ""
        said = re.sub(r" \(\S*?\.py, line (\d+)\)", "", said)
        if shown.ename == "StdinNotImplementedError":
            return f"nobody can answer input() here: take it out{where}"
        beside = "; the files beside the notebook are not there when it is graded: write what it needs into the cell"
        return f"{shown.ename}: {said}{where}{beside if shown.ename == 'FileNotFoundError' else ''}"

    def fail(self, message: str) -> NoReturn:
        raise NotPassed(self.cell_num, message, self.cell.source)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if excinfo.errisinstance(NotPassed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class NotPassed(nbval.NbCellError):
    """An answer or a check that failed, with a message made for the learner."""


class Ended(nbval.NbCellError):
    """A cell that ended its kernel's process, or flooded it."""


class TimedOut(nbval.NbCellError):
    """A cell that did not end in time."""


def item_name(cell: NotebookNode, number: int) -> str:
    """What pytest calls a cell's item."""
    course = cell.metadata.get("course", {})
    kind = course.get("role", "cell")
    if course.get("exercise"):
        return f"exercise {course['exercise']} {kind}"
    tags = re.findall(r"^(?:prove|claim)\(\s*\"([\d.]+)\"", cell.source, re.MULTILINE)
    return " ".join([f"cell {number}", kind, *tags])
