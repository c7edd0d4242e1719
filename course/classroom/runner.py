"""Grading a class: which submissions, in which order, by which workers, and results that survive anything."""

import base64
import contextlib
import hashlib
import json
import os
import queue
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from course import __version__, build, chapters, submission
from course.classroom import layout, sealing
from course.classroom.sandbox import Limits

CELL_SECONDS = 30
NOTEBOOK_SECONDS = 120
GRACE_SECONDS = 60  # beyond its own limits, after which a worker is taken for stuck
RECYCLE = 100  # submissions after which a worker is replaced, so that nothing can pile up


class GraderError(Exception):
    """The grader cannot do its work; the message says why. No submission is to blame."""


@dataclass
class Options:
    """What an instructor asks for; see `course grade --help`."""

    submissions: Path
    out: Path
    seed_file: Path | None = None
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True
    cell_seconds: float = CELL_SECONDS
    seconds: float = NOTEBOOK_SECONDS
    students: tuple = ()
    exercises: tuple = ()
    force: bool = False
    cluster: str = ""


@dataclass
class Reference:
    """A chapter, sealed. digests: by exercise, of all that its verdict rests on."""

    chapter: object
    sealed: dict
    questions: dict
    digests: dict
    modules: list

    def job(self, path, wanted, options):
        """The worker's job for one notebook and some exercises."""
        return {
            "path": str(path),
            "reference": str(self.chapter.solution),
            "questions": {number: self.questions[number] for number in wanted},
            "exercises": list(wanted),
            "cell_seconds": options.cell_seconds,
            "seconds": options.seconds,
        }


def read_secret(path):
    """The secret that the hidden cases are drawn from; made, readable by its owner only, where there is none."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32) + "\n")
        secret = path.read_bytes().strip()
    except OSError as error:
        raise GraderError(f"the seed file {path} cannot be used: {error.strerror}") from None
    if len(secret) < 16:
        raise GraderError(f"the seed file {path} is too short to be a secret: at least 16 characters, or remove it")
    return secret


def seal_chapter(source, secret):
    """The Reference of a chapter. Raises GraderError where its notebooks are not built."""
    chapter = chapters.read_chapter(source)
    if wrong := build.differences(chapter):
        raise GraderError("; ".join(wrong))
    notebook = build.load(chapter.solution)
    definitions = "\n".join(c.source for c in notebook.cells if submission.role(c) == "definition")
    sealed = sealing.seal(source, secret)
    digests = {
        number: hashlib.sha256(f"{__version__}{definitions}{one.digest}".encode()).hexdigest()
        for number, one in sealed.items()
    }
    questions = {number: one.questions for number, one in sealed.items()}
    return Reference(chapter, sealed, questions, digests, imported(definitions))


def imported(source):
    """The top-level modules that a chapter's definitions import: what a zygote loads ahead."""
    import ast

    names = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update({alias.name: None for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
    return [name for name in names if name.split(".")[0] not in ("course", "__future__")]


class Worker:
    """A worker process, as the runner sees it; replaced when it dies, hangs or has done its share."""

    def __init__(self, number, modules, options):
        self.number, self.modules, self.options = number, modules, options
        self.process, self.done = None, 0

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.classroom.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("COURSE_DEBUG") else None,
        )
        setup = {
            "worker": self.number,
            "modules": self.modules,
            "limits": asdict(self.options.limits),
            "sandboxed": self.options.sandboxed,
        }
        self._send(setup)
        self.done = 0

    def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def run(self, job):
        """The report on one job. A worker that fails is replaced and the job tried once more."""
        for attempt in (1, 2):
            try:
                if self.process is None or self.process.poll() is not None or self.done >= RECYCLE:
                    self.stop()
                    self.start()
                self._send(job)
                report = self._receive(job["seconds"] + GRACE_SECONDS + (0 if self.done else 60))
                self.done += 1
                if report["status"] != "fault" or attempt == 2:
                    return report
                reason = report["reason"]
            except (OSError, ValueError) as error:
                reason = f"the worker failed: {error}"
            self.stop()
        return fault(reason)

    def _receive(self, seconds):
        deadline, data = time.monotonic() + seconds, b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise OSError(f"no report within {seconds:.0f} seconds")
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            if not more:
                raise OSError("it ended")
            data += more
        return json.loads(data)

    def stop(self):
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


def verdicts(reference, report, wanted):
    """The exercises' part of a result: a worker's report, judged with the key."""
    found = []
    for number in wanted:
        sealed, one = reference.sealed[number], report["exercises"][number]
        row = {
            "exercise": number,
            "state": one["state"],
            "right": 0,
            "cases": len(sealed.cases),
            "points": 0,
            "of": reference.chapter.points[number],
            "hint": "",
            "message": one["message"],
            "note": one["note"],
            "seconds": one["seconds"],
        }
        if one["state"] == "passed":  # so far only: the check ran to its end and handed something over
            judged = sealing.judge(sealed, one["evidence"])
            row |= {"state": judged.state, "right": judged.right, "hint": judged.hint, "message": judged.public}
            if judged.state == "passed":
                row["points"] = row["of"]
        found.append(row)
    return found


def self_test(reference, worker, options):
    """Hold that the sealed reference scores everything and the blank notebook nothing, before anyone is graded."""
    chapter = reference.chapter
    for path, right in ((chapter.solution, True), (chapter.notebook, False)):
        report = worker.run(reference.job(path, list(reference.sealed), options))
        if report["status"] != "ran":
            raise GraderError(f"chapter {chapter.number}: the grader's self-test could not run: {report['reason']}")
        for row in verdicts(reference, report, list(reference.sealed)):
            if (row["state"] == "passed") != right:
                which = "the reference's own answer does not pass" if right else "the blank notebook passes"
                raise GraderError(
                    f"exercise {row['exercise']}: {which} ({row['state']}, {row['right']} of {row['cases']} cases, "
                    f"{row['hint'] or row['message']}); nobody was graded"
                )


class Results:
    """The folder of results: a JSON file for each student and chapter, written whole."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, student, stem):
        return self.folder / "results" / layout.safe_name(student) / f"{stem}.json"

    def load(self, student, stem):
        """The stored result, or None where there is none or it is not whole."""
        try:
            return json.loads(self.path(student, stem).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def save(self, result, stem):
        """Store a result by rename; an earlier one that was different goes to history."""
        if not self.folder.is_dir():
            raise GraderError(
                f"the output folder {self.folder} has vanished; put it back, and run the same command again"
            )
        path = self.path(result["student"], stem)
        if path.exists():
            kept = self.folder / "history" / path.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            count = len(list(kept.glob(f"{stem}.*.json"))) + 1
            shutil.copy2(path, kept / f"{stem}.{count}.json")
        build.write(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def grade_class(options, say: Callable = lambda *_: None):
    """Grade every submission that needs it. Returns (all results, Unread files).

    say: called with an event's name and what belongs to it: ("found", submissions, unread), ("sealing", chapter),
    ("begin", to do, already done), ("graded", result). Raises GraderError. A killed run goes on where it stopped.
    """
    sources = {path.name[:2]: path for path in chapters.sources()}
    with tempfile.TemporaryDirectory(prefix="course-") as workspace:
        stems = {number: path.stem for number, path in sources.items()}
        found, unread = layout.discover(options.submissions, stems, Path(workspace))
        if options.students:
            found = [one for one in found if one.student in options.students]
        say("found", found, unread)
        secret = read_secret(options.seed_file or options.out / "secret-seed")
        references = {}
        for number in sorted({one.chapter for one in found}):
            say("sealing", number)
            references[number] = seal_chapter(sources[number], secret)
        results = Results(options.out)
        todo, done = plan(found, references, results, options)
        modules = sorted({name for reference in references.values() for name in reference.modules})
        say("begin", todo, done)
        if todo:
            work(todo, done, references, results, modules, options, say)
        return done, unread


def plan(found, references, results, options):
    """What is to be graded, as (submission, exercises, result so far), and the results that stand as they are."""
    todo, done = [], []
    for one in found:
        reference = references[one.chapter]
        stem, all_of_it = reference.chapter.stem, list(reference.sealed)
        old = results.load(one.student, stem)
        digest = file_digest(one.path)
        if not old or old["digests"]["submission"] != digest or old["status"] != "graded":
            todo.append((one, all_of_it, None, digest))
            continue
        stale = [n for n in all_of_it if old["digests"]["exercises"].get(n) != reference.digests[n]]
        if options.force or options.exercises:
            stale = [n for n in all_of_it if n in stale or not options.exercises or n in options.exercises]
        if stale or {row["exercise"] for row in old["exercises"]} != set(all_of_it):
            todo.append((one, stale or all_of_it, old, digest))
        else:
            done.append(old)
    return todo, done


def file_digest(path):
    """SHA-256 of a file's bytes, or a word for one that cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def work(todo, done, references, results, modules, options, say):
    """Let the workers grade what is to do; the first error that is the grader's own stops everything."""
    jobs = ((task, references[task[0].chapter].job(task[0].path, task[1], options)) for task in todo)
    with (Cluster if options.cluster else Crew)(references, modules, options, len(todo)) as crew:
        for task, report in crew.run(jobs):
            result = conclude(task, report, references[task[0].chapter], options)
            results.save(result, references[task[0].chapter].chapter.stem)
            done.append(result)
            say("graded", result)


class Crew:
    """Workers of this machine, a thread each to talk to it."""

    def __init__(self, references, modules, options, most):
        self.references, self.options = references, options
        self.workers = [Worker(number, modules, options) for number in range(max(1, min(options.jobs, most)))]
        self.stop, self.finished = threading.Event(), queue.Queue()

    def __enter__(self):
        for reference in self.references.values():
            self_test(reference, self.workers[0], self.options)
        return self

    def run(self, jobs):
        """Yields (task, report) for each of the pairs (task, job), as they come."""
        waiting, count = queue.Queue(), 0
        for pair in jobs:
            waiting.put(pair)
            count += 1
        self.threads = [threading.Thread(target=self.serve, args=(w, waiting), daemon=True) for w in self.workers]
        for thread in self.threads:
            thread.start()
        for _ in range(count):
            task, report = self.finished.get()
            if isinstance(report, BaseException):
                raise report
            yield task, report

    def serve(self, worker, waiting):
        with contextlib.suppress(queue.Empty):
            while not self.stop.is_set():
                task, job = waiting.get_nowait()
                try:
                    self.finished.put((task, worker.run(job)))
                except BaseException as error:
                    self.finished.put((task, error))

    def __exit__(self, *_):
        self.stop.set()
        for thread in getattr(self, "threads", ()):
            thread.join()
        for worker in self.workers:
            worker.stop()


class Cluster:
    """Workers of a Dask cluster, on other machines. Each needs the course, and bubblewrap, installed; notebooks travel
    with their jobs, the key stays here. A job whose machine is lost is given to another."""

    def __init__(self, references, modules, options, most):
        try:
            from dask.distributed import Client
        except ImportError:
            raise GraderError("--cluster needs dask.distributed: pip install -e '.[cluster]'") from None
        self.references, self.options = references, options
        self.setup = {"modules": modules, "limits": asdict(options.limits), "sandboxed": options.sandboxed}
        try:
            self.client = Client(options.cluster, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise GraderError(f"there is no Dask scheduler at {options.cluster}: {error}") from None

    def __enter__(self):
        for reference in self.references.values():
            self_test(reference, SimpleNamespace(run=lambda job: self.submit(job).result()), self.options)
        return self

    def submit(self, job):
        from course.classroom.cluster import run_there

        files = {name: base64.b64encode(Path(job[name]).read_bytes()).decode() for name in ("path", "reference")}
        return self.client.submit(run_there, job, files, self.setup, pure=False, retries=2)

    def run(self, jobs):
        """Yields (task, report) for each of the pairs (task, job), as they come."""
        from dask.distributed import as_completed

        tasks = {}
        for task, job in jobs:
            tasks[self.submit(job)] = task
        with self.client.as_current():
            finished = as_completed(list(tasks))
        for future in finished:
            try:
                report = future.result()
            except Exception as error:
                report = fault(f"the cluster lost it: {type(error).__name__}: {error}")
            yield tasks.pop(future), report

    def __exit__(self, *_):
        self.client.close()


def fault(reason):
    """The report of a job that the grader could not do."""
    return {"status": "fault", "reason": reason, "exercises": {}, "answers": {}, "seconds": 0.0}


def conclude(task, report, reference, options):
    """The result of one submission, as it is stored."""
    one, wanted, old, digest = task
    rows = {row["exercise"]: row for row in (old["exercises"] if old else [])}
    status = {"ran": "graded"}.get(report["status"], report["status"])
    if report["status"] == "ran":
        rows.update({row["exercise"]: row for row in verdicts(reference, report, wanted)})
    digests = dict(old["digests"]["exercises"]) if old else {}
    digests.update({number: reference.digests[number] for number in wanted})
    return {
        "student": one.student,
        "chapter": one.chapter,
        "file": one.shown,
        "submitted": one.submitted.isoformat(),
        "graded": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": status,
        "reason": report["reason"],
        "notes": list(one.notes),
        "sandboxed": options.sandboxed,
        "seconds": report["seconds"],
        "exercises": [rows[number] for number in reference.sealed if number in rows] if status == "graded" else [],
        "digests": {"submission": digest, "exercises": digests},
        "answers": (old["answers"] if old else {}) | report["answers"],
    }
