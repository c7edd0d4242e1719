"""The instructor's side of `course grade`: what it prints, and the reports that it makes of the results."""

import os
import textwrap

from course.classroom import report, rules, runner, sandbox, similarity
from course.classroom.layout import printable
from course.exercises import keys

NOT_SANDBOXED = (
    "NOT SANDBOXED: these notebooks run as you, with your files and your network. Stop now (Ctrl+C) unless you trust "
    "every one of them."
)


def choose_wall(required):
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


def grade(options, class_key, rules_file, console):
    """Grade a class and write the reports. Returns the ruled results. class_key: see `runner.grade_class`. Raises
    GraderError, RulesError and OSError."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    known = {number: keys.load(number) for number in keys.known()}
    points = {number: {n: one.points for n, one in key.exercises.items()} for number, key in known.items()}
    ruling = rules.read_rules(rules_file, points)
    options.zone = ruling.zone
    if not options.sandboxed:
        console.print(Text(NOT_SANDBOXED, style="bold white on red"))
    options.out.mkdir(parents=True, exist_ok=True)
    columns, remarks = ("{task.description}", "{task.fields[rate]}"), []
    with Progress(
        TextColumn(columns[0]), BarColumn(), MofNCompleteColumn(), TextColumn(columns[1]), TimeRemainingColumn(),
        console=console, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("Reading", total=None, rate="")

        def say(event, *what):
            if event == "found":
                found, unread = what
                students = len({one.student for one in found})
                console.print(f"{len(found)} submissions of {students} students; {len(unread)} files not understood")
            elif event == "remark":
                remarks.append(what[0])
                console.print(Text(what[0], style="bold yellow"))
            elif event == "sealing":
                bar.update(task, description=f"Sealing chapter {what[0]}")
            elif event == "begin":
                todo, done = what
                if done:
                    console.print(f"{len(done)} were graded before and stand; {len(todo)} to grade")
                bar.update(task, description="Testing the grader", total=len(todo))
            elif event == "graded":
                (result,) = what
                speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
                rate = f"{60 * speed:.0f}/min" if speed else ""
                bar.update(task, advance=1, description=printable(result["student"])[:30], rate=rate)

        results, unread, references = runner.grade_class(options, class_key, say)
    ruled = [rules.apply(ruling, result) for result in results]
    remarks += [] if options.students else rules.unused(ruling, results)
    pairs = similarity.similar_pairs(results, _shared(references), remarks.append)
    stems = {number: key.stem for number, key in known.items()}
    report.write_reports(options.out, ruled, unread, pairs, chapters=stems, remarks=remarks)
    _sum_up(ruled, unread, pairs, options.out, console)
    return ruled


def _shared(references):
    """What every answer to an exercise may share: the solution and the stub, by exercise."""
    return {
        number: [reference.key.solutions[number], one.stub]
        for reference in references.values()
        for number, one in reference.key.exercises.items()
    }


def _sum_up(results, unread, pairs, out, console):
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("student", "chapter", "score", "what to look at"):
        table.add_column(head, justify="right" if head == "score" else "left")
    shown = [r for r in results if r["status"] != "graded" or r["notes"]]
    for r in shown[:20]:
        look = r["reason"] or "; ".join(r["notes"])
        table.add_row(
            Text(printable(r["student"])[:40]),
            r["chapter"],
            f"{r['score']:g}/{r['max_score']:g}",
            Text(textwrap.shorten(printable(look), 300, placeholder=" ...")),
        )
    if shown:
        console.print(table)
    if len(shown) > 20:
        console.print(f"... and {len(shown) - 20} more; see the report")
    for one in unread[:10]:
        console.print(Text(f"not understood: {printable(one.path)}: {one.reason}"))
    states = {state: sum(r["status"] == state for r in results) for state in ("graded", "invalid", "fault")}
    mean = sum(r["score"] / r["max_score"] for r in results if r["max_score"]) / len(results) if results else 0
    console.print(
        f"{states['graded']} graded, {states['invalid']} invalid files, {states['fault']} faults of the grader; "
        f"mean score {mean:.0%}; {len(pairs)} pairs of answers alike"
    )
    for name in ("report.html", "grades.csv", "results.xml", "feedback", "results"):
        console.print(Text(f"  {out / name}{'/' if '.' not in name else ''}"))
