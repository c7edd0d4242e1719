"""Grading a class: which submissions, in which order, by which workers, and results that survive anything."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from course import __version__
from course.classroom import folders, layout
from course.classroom.cluster import Cluster, ClusterError
from course.classroom.evidence import Judgement
from course.classroom.jobs import Asked, Job, RanTwice, Report
from course.classroom.judge import Judge
from course.classroom.layout import Submission, Unread
from course.classroom.ours import Compared, Ours
from course.classroom.results import SCHEMA, Result, Results, ResultsError, Row, log
from course.classroom.sandbox import Limits
from course.classroom.workers import Crew, Setup
from course.exercises import keys
from course.exercises.keys import ChapterKey

CELL_SECONDS = 30
NOTEBOOK_SECONDS = 120
JUDGING = ("comparing", "exercises", "grading", "classroom/evidence", "classroom/worker")  # what verdicts rest on
ONLY_SECRET = "it is right on the cases that everybody sees, and not on others of the same kind"
BLAMED = "it ended the grader's own process, twice, in which the reference's answer runs: is it an attack?"


ClassKey = Callable[[str, Callable[[], bytes]], ChapterKey]  # of a chapter's number and what reads the secret
JudgeOne = Callable[[str, str, Any], Judgement]  # of a key's name, an exercise's number and evidence


class GraderError(Exception):
    """The grader cannot do its work; the message says why. No submission is to blame."""


@dataclass
class Options:
    """What an instructor asks for; see `course grade --help`. zone: of times in names that bear none."""

    submissions: Path
    out: Path
    seed_file: Path | None = None
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True
    cell_seconds: float = CELL_SECONDS
    seconds: float = NOTEBOOK_SECONDS
    students: tuple[str, ...] = ()
    exercises: tuple[str, ...] = ()
    force: bool = False
    cluster: str = ""
    zone: tzinfo | None = None


class Task(NamedTuple):
    """A submission to grade. exercises: those to be asked. old: the result so far, or None. digest: of its file."""

    submission: Submission
    exercises: list[str]
    old: Result | None
    digest: str


@dataclass
class Reference:
    """A chapter, as a class is asked it. key: the class's ChapterKey. public: the learner's."""

    key: ChapterKey
    public: ChapterKey

    def __post_init__(self) -> None:
        if self.key.made_from != self.public.made_from:
            raise GraderError(
                f"chapter {self.key.number}: the class's key and keys/{self.key.number}.json are made from different "
                "states of the chapter: make the class's key anew (course key), or use the version of the course that "
                "it was made with"
            )
        if set(self.key.solutions) != set(self.key.exercises):
            raise GraderError(f"the key of chapter {self.key.number} is no class's key: make one with course key")

    @cached_property
    def digests(self) -> dict[str, str]:
        """By exercise, of all that its verdict rests on."""
        state = f"{__version__}{judging_code()}{json.dumps(self.key.definitions)}"
        return {
            number: hashlib.sha256(f"{state}{one.digest}{self.public.exercises[number].digest}".encode()).hexdigest()
            for number, one in self.key.exercises.items()
        }

    @property
    def stubs(self) -> dict[str, str]:
        """The blank answer cells, by exercise."""
        return {number: one.stub for number, one in self.key.exercises.items()}

    @property
    def modules(self) -> list[str]:
        """What the definitions import: what a fork server loads ahead."""
        return imported("\n".join(self.key.definitions))

    @cached_property
    def asked(self) -> Asked:
        """The part of a worker's job that all submissions of the chapter share."""
        public = {number: one.questions for number, one in self.public.exercises.items()}
        return {"key": keys.as_text(self.key.questions_only()), "public": public}


def job(path: Path, wanted: Collection[str], options: Options) -> Job:
    """The rest of a worker's job: one notebook and some exercises."""
    return {
        "path": str(path),
        "exercises": list(wanted),
        "cell_seconds": options.cell_seconds,
        "seconds": options.seconds,
    }


@cache
def judging_code() -> str:
    """SHA-256 of the code that verdicts rest on."""
    package = Path(__file__).resolve().parent.parent
    files = [path for name in JUDGING for path in (sorted((package / name).glob("*.py")) or [package / f"{name}.py"])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def read_secret(path: Path) -> bytes:
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


def imported(source: str) -> list[str]:
    """The top-level modules that a chapter's definitions import: what a fork server loads ahead."""
    import ast

    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update({alias.name: None for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
    return [name for name in names if name.split(".")[0] not in ("course", "__future__")]


def verdicts(reference: Reference, report: Report, wanted: list[str], judge: JudgeOne) -> list[Row]:
    """The exercises' part of a result: a worker's report, judged with the keys. An answer passes that is right on the
    cases that everybody sees and on the class's; what is told of a failure comes from the former."""
    return [_verdict(reference, number, report["exercises"][number], judge) for number in wanted]


def _verdict(reference: Reference, number: str, one: RanTwice, judge: JudgeOne) -> Row:
    key = reference.key.exercises[number]
    row: Row = {
        "exercise": number, "state": one["state"], "right": 0, "cases": key.count, "points": 0, "of": key.points,
        "hint": "", "message": one["message"], "note": one["note"], "seconds": one["seconds"],
    }  # fmt: skip
    if one["state"] != "passed":
        return row
    # So far the check has only run to its end.
    judged = judge(f"public {reference.key.number}", number, one["evidence"])
    if judged.state == "passed":
        secret = one["secret"]
        assert secret is not None  # as for all that handed something over, see `worker.run`
        row["seconds"] = round(row["seconds"] + secret["seconds"], 2)
        if secret["state"] != "passed":
            return row | {"state": secret["state"], "message": ONLY_SECRET}
        judged = judge(f"secret {reference.key.number}", number, secret["evidence"])
        judged.text = "" if judged.state == "passed" else ONLY_SECRET
    if judged.state != "passed" and one["untouched"]:  # such as code to mend, which is wrong as it stands
        return row | {"state": "open", "message": ""}
    row |= {"state": judged.state, "right": judged.right, "cases": judged.of, "hint": judged.hint}
    return row | {"message": judged.text, "points": row["of"] if judged.state == "passed" else 0}


def self_test(reference: Reference, crew: Crew, judge: JudgeOne, options: Options) -> None:
    """Verify that the reference scores full marks and the blank notebook none, before anyone is graded."""
    key, wanted = reference.key, list(reference.key.exercises)
    asked = crew.share(reference.asked)
    for answers, right in ((key.solutions, True), (reference.stubs, False)):
        with folders.temporary() as folder:
            path = Path(folder) / "self-test.ipynb"
            cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in answers.values()]
            path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
            report = crew.submit(asked, job(path, wanted, options)).result()
        if report["status"] != "ran":
            raise GraderError(f"chapter {key.number}: the grader's self-test could not run: {report['reason']}")
        for row in verdicts(reference, report, wanted, judge):
            if (row["state"] == "passed") != right:
                which = "the reference's own answer does not pass" if right else "the blank notebook passes"
                raise GraderError(
                    f"exercise {row['exercise']}: {which} ({row['state']}, {row['right']} of {row['cases']} cases, "
                    f"{row['hint'] or row['message']}); nobody was graded"
                )


def grade_class(
    options: Options, class_key: ClassKey, on_event: Callable[..., object] = lambda *_: None
) -> tuple[list[Result], list[Unread], dict[str, Reference]]:
    """Grade every submission that needs it. Returns (all results, Unread files, References by chapter).

    class_key: gives the class's ChapterKey for a chapter's number and a function that reads the secret, or makes it,
    for keys that are drawn now. on_event: called with an event's name and what belongs to it: ("sealing", chapter),
    ("remark", sentence on the class), ("found", submissions, unread), ("begin", to do, already done), ("tested",
    chapter), ("graded", result). Raises GraderError. A killed run goes on where it stopped.
    """
    stems = {number: keys.load(number).stem for number in keys.known()}
    results = Results(options.out)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(results.taken())
        except ResultsError as error:
            raise GraderError(str(error)) from None
        folders.sweep()
        stack.callback(folders.sweep)  # also what workers have left that were killed
        workspace = stack.enter_context(folders.temporary())
        secret = cache(partial(read_secret, options.seed_file or options.out / "secret-seed"))
        references = {}

        def reference(number: str) -> Reference:
            if number not in references:
                on_event("sealing", number)
                references[number] = Reference(class_key(number, secret), keys.load(number))
            return references[number]

        found, unread = discover(options, stems, Path(workspace), reference, on_event)
        on_event("found", found, unread)
        log.info("%d submissions, %d files not understood", len(found), len(unread))
        if options.students:
            found = [one for one in found if one.student in options.students]
        for number in sorted({one.chapter for one in found}):
            reference(number)
        todo, done = plan(found, references, results, options)
        modules = sorted({name for reference in references.values() for name in reference.modules})
        on_event("begin", todo, done)
        if todo:
            work(todo, done, references, results, modules, options, on_event)
        return done, unread, references


def discover(
    options: Options,
    stems: dict[str, str],
    workspace: Path,
    reference: Callable[[str], Reference],
    on_event: Callable[..., object],
) -> tuple[list[Submission], list[Unread]]:
    """The Submissions, and what was not read. reference: gives a chapter's Reference. Raises GraderError."""
    ours = Ours(lambda number: reference(number).stubs, lambda number: reference(number).key.solutions)

    def compare(student: str, chapter: str, path: Path) -> Compared:
        chosen = not options.students or student in options.students
        return ours.compare(chapter, path) if chosen else Compared()

    try:
        found = layout.discover(options.submissions, stems, workspace, options.zone, compare)
    except layout.LayoutError as error:
        raise GraderError(f"{options.submissions}: {error}") from None
    for remark in found.remarks:
        on_event("remark", remark)
    return found.submissions, found.unread


def plan(
    found: list[Submission], references: dict[str, Reference], results: Results, options: Options
) -> tuple[list[Task], list[Result]]:
    """The Tasks, and the results that stand as they are."""
    todo, done = [], []
    for one in found:
        reference = references[one.chapter]
        stem, all_of_it = reference.key.stem, list(reference.key.exercises)
        old = results.load(one.student, stem)
        digest = file_digest(one.path)
        if one.problem:
            done.append(
                keep(conclude(Task(one, [], None, digest), refusal(one), reference, None, options), old, results, stem)
            )
            continue
        if not old or old["digests"]["submission"] != digest or old["status"] == "fault":
            todo.append(Task(one, all_of_it, None, digest))
            continue
        stale = [n for n in all_of_it if old["digests"]["exercises"].get(n) != reference.digests[n]]
        if options.force or options.exercises:
            stale = [n for n in all_of_it if n in stale or not options.exercises or n in options.exercises]
        if old["status"] == "graded" and (stale or {row["exercise"] for row in old["exercises"]} != set(all_of_it)):
            todo.append(Task(one, stale or all_of_it, old, digest))
        elif stale:
            todo.append(Task(one, all_of_it, None, digest))
        else:
            done.append(keep(old | described(one), old, results, stem))  # perhaps handed in at another time
    return todo, done


def described(submission: Submission) -> Result:
    """What a result says of its submission, whatever became of it."""
    return {"schema": SCHEMA, **submission.described()}


def refusal(one: Submission) -> Report:
    """The report on a submission in which there is nothing to grade."""
    return {"status": "invalid", "reason": one.problem, "seconds": 0, "exercises": {}, "answers": {}}


def keep(result: Result, old: Result | None, results: Results, stem: str) -> Result:
    """Store a result that no worker made, where it differs from the stored one but for its time; it is returned."""
    if not old or {**old, "graded": ""} != {**result, "graded": ""}:
        results.save(result, stem)
        return result
    return old


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, or a word for one that cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def work(
    todo: list[Task],
    done: list[Result],
    references: dict[str, Reference],
    results: Results,
    modules: list[str],
    options: Options,
    on_event: Callable[..., object],
) -> None:
    """Let the workers grade what is to do; the first error that is the grader's own stops everything."""
    setup = Setup(modules, options.limits, options.sandboxed)
    given = {f"secret {number}": reference.key for number, reference in references.items()}
    given |= {f"public {number}": reference.public for number, reference in references.items()}
    try:
        crew = Cluster(setup, options.cluster) if options.cluster else Crew(setup, min(options.jobs, len(todo)))
        with crew, Judge(given) as judge:
            for number, reference in references.items():
                self_test(reference, crew, judge.judge, options)
                log.info("chapter %s: the reference passes, the blank notebook does not", number)
                on_event("tested", number)
            shared = {number: crew.share(reference.asked) for number, reference in references.items()}
            jobs = (
                (task, shared[task.submission.chapter], job(task.submission.path, task.exercises, options))
                for task in todo
            )
            for task, report in crew.run(jobs):
                one = task.submission
                reference = references[one.chapter]
                if report["status"] == "fault":
                    report = find_the_one_to_blame(task, report, reference, crew, judge.judge, options)
                result = conclude(task, report, reference, judge.judge, options)
                results.save(result, reference.key.stem)
                log.info("%r, chapter %s: %s, %.1f s %s", one.student, one.chapter, result["status"],
                         result["seconds"], layout.printable(result["reason"]))  # fmt: skip
                done.append(result)
                on_event("graded", result)
    except (ClusterError, ResultsError) as error:
        raise GraderError(str(error)) from None


def find_the_one_to_blame(
    task: Task, report: Report, reference: Reference, crew: Crew, judge: JudgeOne, options: Options
) -> Report:
    """The report on a submission for which the grader has failed twice. Where its self-test passes, it is the
    submission's doing: each answer is run by itself, and those that end the grader again have crashed."""
    one, wanted = task.submission, task.exercises
    log.warning("%r, chapter %s: %s", one.student, one.chapter, layout.printable(report["reason"]))
    try:
        self_test(reference, crew, judge, options)
    except GraderError as error:
        return {**report, "reason": f"{report['reason']}; {error}"}
    asked = crew.share(reference.asked)
    found: Report = {"status": "ran", "reason": "", "exercises": {}, "answers": {}, "seconds": report["seconds"]}
    for number in wanted:
        alone = crew.submit(asked, job(one.path, [number], options)).result()
        if alone["status"] == "invalid":
            return alone
        blamed: RanTwice = {
            "state": "crashed", "message": BLAMED, "note": "", "seconds": 0.0, "evidence": None, "untouched": False,
            "secret": None,
        }  # fmt: skip
        found["exercises"] |= alone["exercises"] if alone["status"] == "ran" else {number: blamed}
        found["answers"] |= alone["answers"]
        found["seconds"] += alone["seconds"]
    return {**found, "seconds": round(found["seconds"], 2)}


def conclude(task: Task, report: Report, reference: Reference, judge: JudgeOne | None, options: Options) -> Result:
    """The result of one submission, as it is stored."""
    one, wanted, old = task.submission, task.exercises, task.old
    rows = {row["exercise"]: row for row in (old["exercises"] if old else [])}
    status = {"ran": "graded"}.get(report["status"], report["status"])
    if report["status"] == "ran" and judge:
        rows.update({row["exercise"]: row for row in verdicts(reference, report, wanted, judge)})
    digests = dict(old["digests"]["exercises"]) if old else {}
    digests.update({number: reference.digests[number] for number in wanted})
    return {
        **described(one),
        "graded": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": status,
        "reason": report["reason"],
        "sandboxed": options.sandboxed,
        "seconds": report["seconds"],
        "exercises": [rows[number] for number in reference.key.exercises if number in rows]
        if status == "graded"
        else [],
        "digests": {"submission": task.digest, "exercises": digests},
        "answers": (old["answers"] if old else {}) | report["answers"],
    }
