"""The instructor's side of `course grade`: what it prints, and the reports that it makes of the results."""

import difflib
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rich.console import Console

from course.classroom import lms, roster, rules, runner, sandbox, sealed, similarity
from course.classroom.layout import Submission, Unread
from course.classroom.report import words, writing
from course.classroom.results import Result, Results
from course.classroom.runner import Options, Reference
from course.classroom.similarity import Pair
from course.exercises import keys

NOT_SANDBOXED = (
    "NOT SANDBOXED: these notebooks run as you, with your files and your network. Stop now (Ctrl+C) unless you trust "
    "every one of them."
)
LINES, LINE_SECONDS = 10, 30  # of progress in a whole run, and between two where that is too slow


class Lines:
    """Progress in plain lines, for where no bar is seen: a file, a pipe, a job's log. A line at each station, then one
    for each tenth of the work, and where that takes long, one every LINE_SECONDS. print_line: prints one. clock:
    seconds."""

    def __init__(self, print_line: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.print_line, self.clock = print_line, clock
        self.done = self.of = 0
        self.began = self.last = clock()

    def begin(self, count: int) -> None:
        self.of = count
        if count:
            self.print_line(f"Starting the workers and testing the grader; {count} to grade")

    def tested(self, chapter: str) -> None:
        self.print_line(f"Chapter {chapter}: the grader's self-test has passed")
        self.began = self.last = self.clock()

    def graded(self) -> None:
        self.done, now = self.done + 1, self.clock()
        if self.done * LINES // self.of == (self.done - 1) * LINES // self.of and now < self.last + LINE_SECONDS:
            return
        self.last, speed = now, self.done / max(now - self.began, 0.1)
        left = f", about {words.duration((self.of - self.done) / speed)} left" if self.done < self.of else ""
        self.print_line(f"{self.done} of {self.of} graded, {60 * speed:.0f} a minute{left}")


def choose_wall(required: bool) -> bool:
    """Whether submissions are locked in. Raises GraderError where they cannot be and must."""
    why = sandbox.available()
    if why is None:
        return True
    if required:
        raise runner.GraderError(f"--require-sandbox: {why}")
    if not hasattr(os, "fork"):
        raise runner.GraderError("grading a class needs Linux or macOS; on Windows, use the Linux subsystem (WSL)")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise runner.GraderError(f"there is no sandbox ({why}), and without one nobody's notebook is run as root")
    return False


def grade(
    options: Options, class_key: runner.ClassKey, rules_file: Path | None, roster_file: Path | None, console: Console
) -> list[Result]:
    """Grade a class and write the reports, of all results that stand in the folder of results. Returns the ruled
    results. class_key: see `runner.grade_class`. Raises GraderError, RulesError, RosterError and OSError."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    known = {number: keys.load(number) for number in keys.known()}
    points: rules.Points = {
        number: {n: one.points for n, one in key.exercises.items()} for number, key in known.items()
    }
    ruling = rules.read_rules(rules_file, points)
    class_list = roster.read_roster(roster_file) if roster_file else None
    options.zone = ruling.zone
    if not options.sandboxed:
        console.print(Text(NOT_SANDBOXED, style="bold white on red"))
    options.out.mkdir(parents=True, exist_ok=True)
    columns, submissions, remarks = ("{task.description}", "{task.fields[rate]}"), [], []
    lines = Lines(lambda text: None if console.is_terminal else console.print(text, markup=False, highlight=False))
    lines.print_line(f"Reading {words.name(options.submissions)}")
    with Progress(
        TextColumn(columns[0]), BarColumn(), MofNCompleteColumn(), TextColumn(columns[1]), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("Reading", total=None, rate="")

        def on_event(event: str, *what: Any) -> None:
            if event == "found":
                found, unread = what
                submissions.extend(found)
                _need(options.students, {one.student for one in found})
                students = len({one.student for one in found})
                console.print(f"{len(found)} submissions of {students} students; {len(unread)} files not understood")
            elif event == "remark":
                remarks.append(what[0])
                console.print(Text(what[0], style="bold yellow"))
            elif event == "sealing":
                lines.print_line(f"Sealing chapter {what[0]}")
                bar.update(task, description=f"Sealing chapter {what[0]}")
            elif event == "begin":
                todo, done = what
                if done:
                    console.print(f"{len(done)} were graded before and stand; {len(todo)} to grade")
                lines.begin(len(todo))
                bar.update(task, description="Testing the grader", total=len(todo))
            elif event == "tested":
                lines.tested(*what)
            elif event == "graded":
                (result,) = what
                lines.graded()
                speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
                rate = f"{60 * speed:.0f}/min" if speed else ""
                bar.update(task, advance=1, description=words.name(result["student"], 30), rate=rate)

        results, unread, references = runner.grade_class(options, class_key, on_event)
    results = _standing(options, results, submissions, remarks)
    pairs = similarity.similar_pairs(results, _shared(options.out, references, results, remarks), remarks.append)
    if class_list:
        results, absent, odd = roster.join(class_list, results)
        results, remarks = results + absent, remarks + odd
    ruled = [rules.apply(ruling, result) for result in results]
    remarks += rules.unused(ruling, results) + rules.unjudged(ruling, ruled)
    stems = {number: key.stem for number, key in known.items()}
    writing.write_reports(
        options.out, ruled, unread, pairs, chapters=stems, remarks=remarks, assignments=ruling.assignments
    )
    _sum_up(ruled, unread, pairs, options, console)
    return ruled


def _need(asked: Collection[str], there: set[str]) -> None:
    """Raise GraderError where a student is asked for of whom nothing was found."""
    for student in asked:
        if student not in there:
            close = difflib.get_close_matches(student, there, 3, 0.5)
            meant = f"; did you mean {' or '.join(words.name(name) for name in close)}?" if close else ""
            raise runner.GraderError(f"--student {student}: nothing was found of anybody called so{meant}")


def _standing(
    options: Options, results: list[Result], submissions: list[Submission], remarks: list[str]
) -> list[Result]:
    """All results that stand: of this run, and of earlier ones in the same folder. A submission that was not to be
    graded, and never was, is one that waits. Adds what is to be said of them to the remarks."""
    standing = Results(options.out).every() | {(r["student"], r["chapter"]): r for r in results}
    there = {(one.student, one.chapter): one for one in submissions}
    chapters = {chapter for _, chapter in there}
    gone = [student for student, chapter in standing if chapter in chapters and (student, chapter) not in there]
    if gone:
        named = ", ".join(words.name(student, 40) for student in gone[:10]) + (" ..." if len(gone) > 10 else "")
        remarks.append(
            f"{len(gone)} results are of earlier runs, and their notebooks no longer in {options.submissions.name}: "
            f"{named}. They stand; to drop one, remove its folder in {options.out / 'results'}"
        )
    waiting = [_waiting(one) for key, one in there.items() if key not in standing]
    if waiting:
        remarks.append(f"{len(waiting)} submissions are not graded yet: run the command without --student")
    return [*standing.values(), *waiting]


def _waiting(submission: Submission) -> Result:
    nothing = {"graded": "", "sandboxed": True, "seconds": 0.0, "exercises": [], "digests": {}, "answers": {}}
    reason = "not graded yet: this run was for other students"
    return runner.described(submission) | nothing | {"status": rules.WAITING, "reason": reason}


def _shared(
    out: Path, references: dict[str, Reference], results: list[Result], remarks: list[str]
) -> dict[str, list[str]]:
    """What every answer to an exercise may share: the solution and the stub, by exercise. Of a chapter that was graded
    in an earlier run, by the key that was kept."""
    chapters = {r["chapter"] for r in results}
    found = {n: references[n].key if n in references else sealed.find(out, n) for n in sorted(chapters)}
    if unknown := [number for number, key in found.items() if key is None]:
        remarks.append(f"answers of chapter {', '.join(unknown)} may be alike only because they are right")
    return {
        number: [key.solutions.get(number, ""), one.stub]
        for key in found.values()
        if key
        for number, one in key.exercises.items()
    }


def _sum_up(results: list[Result], unread: list[Unread], pairs: list[Pair], options: Options, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("student", "chapter", "score", "what to look at"):
        table.add_column(head, justify="right" if head == "score" else "left")
    handed_in = words.handed_in(results)
    shown = [r for r in handed_in if r["status"] != "graded" or r["notes"]]
    if options.students:
        shown = [r for r in shown if r["student"] in options.students]
    for r in shown[:20]:
        table.add_row(
            Text(words.name(r["student"], 40)),
            r["chapter"],
            f"{r['score']:g}/{r['max_score']:g}",
            Text(words.line(r["reason"] or "; ".join(r["notes"]), 300)),
        )
    if shown:
        console.print(table)
    if len(shown) > 20:
        console.print(f"... and {len(shown) - 20} more; see the report")
    for one in unread[:10]:
        console.print(Text(f"not understood: {words.name(one.path, 200)}: {words.line(one.reason, 300)}"))
    states = {state: sum(r["status"] == state for r in results) for state in ("graded", "invalid", "fault")}
    shares = [r["score"] / r["max_score"] for r in words.counted(results) if r["max_score"]]
    mean = sum(shares) / len(shares) if shares else 0
    absent = len(results) - len(handed_in)
    console.print(
        f"{states['graded']} graded, {states['invalid']} invalid files, {states['fault']} faults of the grader; "
        + (f"{absent} missing; mean score of the class {mean:.0%}" if absent else f"mean score {mean:.0%}")
        + f"; {len(pairs)} pairs of answers alike"
    )
    for name in ("report.html", "grades.csv", "grades-wide.csv", "results.xml", "feedback", "results"):
        console.print(Text(f"  {options.out / name}{'/' if '.' not in name else ''}"))
    for system in lms.SYSTEMS:
        if (options.out / system.lower()).is_dir():
            console.print(Text(f"  {options.out / system.lower()}/: grades and feedback to take to {system}"))
