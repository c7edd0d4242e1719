"""`course audit`: the checks of a chapter's exercises, themselves checked; see `course.exercises.auditing`.

The mutants of an exercise are judged by two processes, side by side, each begun after Keras is imported and before any
operation has run: one that a mutant hangs or brings down is begun anew at the next mutant. What was found is recorded
by exercise, with a digest of all that it rests on, so that only what has changed is audited again.
"""

import ast
import hashlib
import json
import multiprocessing
import os
import signal
import time
from multiprocessing import connection
from pathlib import Path
from typing import Any

from course.authoring import chapters, evidence, keying
from course.authoring.chapters import Chapter
from course.exercises import auditing, keys
from course.exercises.cells import defined_name, names_made
from course.files import write
from course.lesson import settings

OPERATORS = ("exercises/mutants", "exercises/faults")
PROCESSES = 2
MEMORY = 4 << 30  # bytes of data that a process may have
GRACE = 30  # times its limit, of which the processor counts, that a call may last before its process is ended
MOST_EQUIVALENT = 0.1  # of an exercise's mutants, beyond which the audit warns
COUNTS = ("mutants", "rejected", "equivalent", "hinted")


class AuditError(Exception):
    """A chapter that cannot be audited; the message says why, and what to do."""


def path_of(number: str) -> Path:
    """Where a chapter's record is."""
    own = settings.solutions_folder() == settings.ROOT / "solutions"
    return (settings.PACKAGE / "results" if own else settings.solutions_folder().parent) / "audit" / f"{number}.json"


def load(number: str) -> dict[str, Any]:
    """A chapter's record: by exercise its "digest", the COUNTS, "survivors" (name, was, now, home, draws) and "forms"
    of right answers that were refused; empty where it was never audited."""
    path = path_of(number)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def digests(chapter: Chapter) -> dict[str, str]:
    """For each exercise of a chapter, the SHA-256 of what its audit rests on: answer and grading cell, the definitions
    that these use, and the operators."""
    operators = [*map(evidence.module_code, OPERATORS), f"{auditing.DRAWS} draws"]
    definitions = [(set(names_made(source)), source) for source in keying.definitions(chapter)]
    found = {}
    for number, (answer, grading) in _cells(chapter).items():
        texts = [answer, grading]
        for text in texts:  # grows while it is read
            used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            texts += [source for names, source in definitions if names & used and source not in texts]
        parts = [*texts[:2], *sorted(map(evidence.code, texts[2:])), *operators]
        found[number] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return found


def _cells(chapter: Chapter) -> dict[str, tuple[str, str]]:
    """For each exercise the sources of its answer cell and its grading cell."""
    answers = {c.metadata["course"]["exercise"]: c.source for c in chapter.cells if chapters.role(c) == "answer"}
    graded = {n: text for n in answers for _, text in chapter.grading if f'exercise("{n}"' in text}
    return {number: (answers[number], text) for number, text in graded.items()}


def outdated(chapter: Chapter, force: bool = False) -> list[str]:
    """The exercises of a chapter that have changed since they were audited, or all."""
    recorded = load(chapter.number)
    return [n for n, digest in digests(chapter).items() if force or recorded.get(n, {}).get("digest") != digest]


def audit(chapter: Chapter, numbers: list[str]) -> dict[str, Any]:
    """Audit these exercises of a chapter, and record what was found.

    Returns the chapter's record. Raises AuditError where a mutant is declared equivalent that is not accepted; nothing
    is recorded then.
    """
    if keys.load(chapter.number).made_from != keying.made_from(chapter):
        raise AuditError(
            f"the key of chapter {chapter.number} is not made from its source: course build {chapter.number}"
        )
    settings.import_keras()
    found, marks, stale = _judged(chapter, numbers), digests(chapter), []
    record = {n: one for n, one in load(chapter.number).items() if n in marks}
    for number in numbers:
        judged, declared, forms = found[number]
        survivors = [one for one in judged if one["home"] or one["draws"]]
        alike = {one["name"] for one in survivors if one["home"] and one["draws"] == auditing.DRAWS}
        stale += [f"exercise {number}: {name!r} is declared equivalent, and no mutant that is accepted is called so"
                  for name in declared if name not in alike]  # fmt: skip
        record[number] = {
            "digest": marks[number],
            "mutants": len(judged),
            "rejected": len(judged) - len(survivors),
            "equivalent": len(declared),
            "hinted": sum(bool(one["hint"]) for one in judged),
            "survivors": [
                {key: one[key] for key in ("name", "was", "now", "home", "draws")}
                for one in survivors
                if one["name"] not in declared
            ],
            "forms": forms,
        }
    if stale:
        raise AuditError("\n".join(stale))
    text = json.dumps({n: record[n] for n in marks if n in record}, indent=1, ensure_ascii=False) + "\n"
    write(path_of(chapter.number), text)
    return record


def told(number: str, one: dict[str, Any]) -> list[str]:
    """The lines that an author reads of an exercise's record: counts, then each mutant that was accepted."""
    lines = [f"{number}: " + ", ".join(f"{one[name]} {name}" for name in COUNTS)]
    if one["equivalent"] > MOST_EQUIVALENT * one["mutants"]:
        lines.append(f"  warning: more than one mutant in {1 / MOST_EQUIVALENT:.0f} is declared equivalent")
    lines += [f"  a right answer is refused: {form}" for form in one["forms"]]
    for mutant in one["survivors"]:
        home = "accepted" if mutant["home"] else "refused at home"
        alike = mutant["draws"] == auditing.DRAWS * mutant["home"]
        others = "" if alike else f", accepted by {mutant['draws']} of {auditing.DRAWS} other draws"
        lines.append(f"  {home}{others}: {mutant['name']}")
        if mutant["now"] != mutant["was"]:
            lines += [f"      - {mutant['was']}", f"      + {mutant['now']}"]
    return lines


def _judged(chapter: Chapter, numbers: list[str]) -> dict[str, Any]:
    """For each exercise: what became of its mutants, what is declared equivalent, and the refused forms."""
    found: dict[str, Any] = {number: [{}, {}, []] for number in numbers}
    claimed = multiprocessing.get_context("fork").Array("i", len(numbers))  # of each exercise, so many mutants
    workers = [_Worker(chapter, numbers, claimed) for _ in range(PROCESSES)]
    try:
        while any(worker.running for worker in workers):
            running: dict[Any, _Worker] = {worker.pipe: worker for worker in workers if worker.running}
            for pipe in connection.wait(list(running), timeout=1):
                running[pipe].receive(found)
            for worker in running.values():
                worker.watch(found)
    finally:
        for worker in workers:
            worker.end()
    return {
        n: ([done[i] for i in sorted(done) if done[i]], declared, forms) for n, (done, declared, forms) in found.items()
    }


class _Worker:
    """A process that judges mutants as long as there are any, begun anew after one that it did not survive."""

    def __init__(self, chapter: Chapter, numbers: list[str], claimed: Any) -> None:
        self.context = multiprocessing.get_context("fork")
        self.chapter, self.numbers, self.claimed = chapter, numbers, claimed
        self.at: tuple[Any, ...] | None = None
        self.begin(0)

    def begin(self, first: int) -> None:
        """Start the process, at an exercise given by its place among them."""
        self.until = self.context.RawValue("d", time.monotonic() + auditing.PATIENCE)
        self.pipe, other = self.context.Pipe(duplex=False)
        arguments = (self.chapter, self.numbers, first, self.claimed, other, self.until)
        self.process = self.context.Process(target=_work, args=arguments, daemon=True)
        self.running = True
        self.process.start()
        other.close()

    def receive(self, found: dict[str, Any]) -> None:
        """Take in one message."""
        try:
            kind, number, *rest = self.pipe.recv()
        except EOFError:
            self.lost(found)
            return
        if kind == "at":
            self.at = (number, *rest)
        elif kind == "judged":
            found[number][0][rest[0]] = rest[1]
            self.at = None
        elif kind == "told":
            found[number][1:] = rest
        elif kind == "failed":
            raise AuditError(number)
        elif kind == "over":
            self.running = False

    def watch(self, found: dict[str, Any]) -> None:
        """End a process of which a call does not end."""
        if self.running and time.monotonic() > self.until.value:
            self.process.kill()
            self.lost(found)

    def lost(self, found: dict[str, Any]) -> None:
        """The process is gone: its mutant is rejected."""
        if self.at is None:
            raise AuditError(f"chapter {self.chapter.number}: a process that audits it ended, and not in a mutant")
        number, position, named = self.at
        found[number][0][position] = named | {"home": False, "draws": 0, "hint": ""}
        self.end()
        self.at = None
        self.begin(self.numbers.index(number))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(chapter: Chapter, numbers: list[str], first: int, claimed: Any, pipe: Any, until: Any) -> None:
    """In a process of its own: judge the mutants that no other process has claimed, from one exercise on."""
    import resource  # which Windows has not

    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, auditing.raise_endless)

    def watched(seconds: float) -> None:
        until.value = time.monotonic() + GRACE * seconds

    try:
        world: dict[str, Any] = {"__name__": "lesson"}
        for source in keying.definitions(chapter):
            exec(compile(source, chapter.path.name, "exec"), world)
        specs, cells = chapters.specifications(chapter), _cells(chapter)
        for place, number in enumerate(numbers[first:], start=first):
            spec, (answer, grading) = specs[number], cells[number]
            versions = auditing.versions(spec, answer, defined_name(answer) or "", world, grading)
            watched(auditing.PATIENCE)
            auditor = auditing.Auditor(spec, keys.load_exercise(number), versions, watched)
            planted = auditor.planted()
            while (position := _claim(claimed, place)) < len(planted):
                if position == 0:
                    pipe.send(("told", number, spec.equivalents, auditor.refused_forms()))
                name, version, mutant = planted[position]
                named = {"name": name, "was": mutant.was, "now": mutant.now}
                pipe.send(("at", number, position, named))
                judged = auditor.judged(version, mutant)
                pipe.send(("judged", number, position, judged and named | judged))
        pipe.send(("over", None))
    except Exception as error:  # of the chapter, not of a mutant
        pipe.send(("failed", f"chapter {chapter.number}: {type(error).__name__}: {error}"))
    os._exit(0)


def _claim(claimed: Any, place: int) -> int:
    """The position of an exercise's next mutant, which is the caller's from now on."""
    with claimed.get_lock():
        claimed[place] += 1
        return int(claimed[place]) - 1
