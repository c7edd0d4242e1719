"""The command `course`."""

import contextlib
import os
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from course.exercises.keys import ChapterKey
    from course.grading.plugin import Verdict

app = typer.Typer(
    help="Deep Vision in Keras: open the lessons, grade your answers, build the notebooks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
MARKS = {"passed": "[green]✓[/]", "open": "○", "missing": "[yellow]?[/]"}


def console(stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def fail(message: object) -> NoReturn:
    """End the command with a message on stderr and exit status 2."""
    from rich.text import Text

    console(stderr=True).print(Text(str(message)), style="red")
    raise typer.Exit(2)


def need_sources() -> None:
    """End an author's command where there are no chapters' sources."""
    from course.lesson import settings

    if not settings.solutions_folder().is_dir():
        fail(
            f"course {sys.argv[1]} works on the chapters' sources, solutions/, which an installed course does not "
            "have: run it in a checkout of the course"
        )


def chosen(names: Iterable[str] | None) -> list[Path]:
    """The sources of the chapters named on the command line; all without a name. `03`, `3`, or `"03 06"`."""
    need_sources()
    from course.authoring import chapters

    try:
        return chapters.select([part for name in names or () for part in name.split()])
    except chapters.ChapterError as error:
        fail(error)


@app.command()
def lab(
    folder: Annotated[Path | None, typer.Argument(help="The folder for your own notebooks (default: work/).")] = None,
    port: Annotated[int, typer.Option(help="The port to try first.")] = 8888,
) -> None:
    """Open your own copies of the lessons in JupyterLab, at the index; on first use they are made.

    Nothing that you write there is ever overwritten. Where lessons have changed, course update brings that in.
    """
    from course.grading import work
    from course.lesson import settings

    folder = (folder or settings.work_folder()).expanduser().absolute()
    try:
        report, stale = work.fill(folder), work.changed(folder)
        if stale and sys.stdin.isatty():
            names = ", ".join(path.stem for path in stale)
            if typer.confirm(f"Lessons have changed ({names}). Bring that in? Your work stays, and is backed up", True):
                done = work.update(folder=folder)
                report.lines += [line for line in done.lines if line not in report.lines]
                report.problems += done.problems
                report.rewritten += done.rewritten
                stale = work.changed(folder)
    except work.WorkError as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or folder} cannot be written to ({error.strerror}): name another folder, course lab DIR")
    for line in report.in_words():
        console().print(line, markup=False)
    for line in report.problems:
        console(stderr=True).print(line, style="red", markup=False)
    if stale:
        names = ", ".join(path.stem for path in stale)
        console().print(f"lessons have changed: {names}. To bring that into your copies: course update", markup=False)
    # In a checkout JupyterLab shows the folder above, so that `make grade` works in its terminal.
    root = folder.parent if folder.parent == settings.ROOT and settings.in_checkout() else folder
    os.environ["COURSE_WORK"] = str(folder)  # for kernels and terminals
    arguments = ["jupyter-lab", f"--ServerApp.port={port}", f"--ServerApp.root_dir={root}"]
    inside = "" if root == folder else f"{folder.name}/"
    arguments += [f"--LabApp.default_url=/lab/tree/{urllib.parse.quote(inside)}{work.INDEX}"]
    # Long lines of code wrap instead of being cut off, and nothing asks for news from the network.
    settings_folder = Path(__file__).parent / "jupyterlab"
    arguments += [f"--LabApp.app_settings_dir={settings_folder}"]
    # Long lines of output wrap between words: that takes a style of ours, custom/custom.css.
    arguments += ["--custom-css", f"--ServerApp.static_custom_path={settings_folder / 'custom'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        arguments.append("--no-browser")
        console().print("There is no display here: open the address that JupyterLab prints below in a browser.")
    if not os.access(Path.home(), os.W_OK):
        spare = tempfile.mkdtemp(prefix="course-lab-")
        console().print(f"Your home folder cannot be written to; Jupyter keeps its own files in {spare}.")
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            os.environ.setdefault(name, str(Path(spare) / name.lower()))
        os.environ.setdefault("XDG_CACHE_HOME", spare)
    os.environ["PYTEST_CURRENT_TEST"] = "course lab"  # ipykernel then keeps C++ log lines out of the lessons
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import main as jupyter_lab

    ServerApp.static_custom_path.tag(config=True)  # a setting of the server that its command line leaves out
    sys.argv = arguments
    jupyter_lab(arguments[1:])


@app.command()
def update(
    names: Annotated[str, typer.Option("--chapters", help='Only these chapters, such as "03 06".')] = "",
) -> None:
    """Bring what has changed in the lessons into your copies: your answers, notes and own cells stay.

    The copies are kept as they were in a dated folder first. Exit status 0 unless a copy could not be updated.
    """
    from course.exercises import keys
    from course.grading import work

    try:
        numbers = [keys.load(name).number for name in names.replace(",", " ").split()]
        report = work.update(numbers)
    except (work.WorkError, keys.BadKey) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}. No notebook was changed by half; run the same command to go on.")
    for line in report.in_words() or ["nothing to do: your copies are up to date"]:
        console().print(line, markup=False)
    if report.problems:
        fail("\n".join(report.problems))


@app.command()
def grade(
    which: Annotated[
        str, typer.Argument(help="A chapter's number, or the path of a notebook; all chapters with answers without.")
    ] = "",
    json: Annotated[Path | None, typer.Option(help="Write the verdicts as JSON to this file.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML to this file.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Time limit of a cell.", min=1)] = None,
    submissions: Annotated[Path | None, typer.Option(help="Grade a class: the folder or zip of its notebooks.")] = None,
    out: Annotated[Path | None, typer.Option(help="Of a class: where the results go.")] = None,
    seed_file: Annotated[Path | None, typer.Option(help="Of a class: the secret (default: OUT/secret-seed).")] = None,
    rules: Annotated[Path | None, typer.Option(help="Of a class: deadlines, points and overrides, TOML.")] = None,
    roster: Annotated[Path | None, typer.Option(help="Of a class: who belongs to it, a CSV file of an LMS's.")] = None,
    jobs: Annotated[int, typer.Option(help="Of a class: how many at a time (default: the processors).", min=0)] = 0,
    student: Annotated[list[str] | None, typer.Option(help="Of a class: only this one; may be repeated.")] = None,
    exercise: Annotated[list[str] | None, typer.Option(help="Of a class: regrade this exercise; repeatable.")] = None,
    force: Annotated[bool, typer.Option(help="Of a class: grade again what is graded.")] = False,
    require_sandbox: Annotated[bool, typer.Option(help="Of a class: refuse to run without a sandbox.")] = False,
    cluster: Annotated[str, typer.Option(help="Of a class: the address of a Dask scheduler to send it to.")] = "",
    key: Annotated[list[Path] | None, typer.Option(help="Of a class: a key made by course key; repeatable.")] = None,
) -> None:
    """Grade the answers in a chapter's notebook, in all that hold some, or a class of notebooks (--submissions DIR
    --out DIR).

    Exit status 0 only when all exercises of what was graded are right; for a class, when all of it was graded.
    Notebooks are only read.
    """
    if submissions:
        return grade_class(
            submissions, out, seed_file, rules, roster, jobs, student, exercise, force, require_sandbox, seconds,
            cluster, key,
        )  # fmt: skip
    from course import files
    from course.grading import learner

    screen, graded, problems = console(), [], []
    for path, note in notebooks_to_grade(which):
        if note:
            screen.print(f"note: {note}", markup=False)
        try:
            with screen.status(f"Grading {path.name}: starting Python and loading Keras") as status:

                def show(verdict: "Verdict", name: str = path.name, status: "Status" = status) -> None:
                    status.update(f"Grading {name}: exercise {verdict.exercise} {verdict.state}")

                verdicts = learner.grade(path, seconds, show)
        except learner.GradingError as error:
            problems.append(str(error))
            continue
        graded.append((path, verdicts))
        learner.remember(path, verdicts)
        if not which:
            screen.print(f"\n{path.stem}", style="bold")
        show_verdicts(screen, verdicts)
    try:
        for target, text in ((json, learner.as_json), (junit, learner.as_junit)):
            if target and graded:
                files.write(target, text(graded))
    except OSError as error:
        fail(f"the results cannot be written to {error.filename}: {error.strerror}")
    if problems:
        fail("\n".join(problems))
    every = [verdict for _, verdicts in graded for verdict in verdicts]
    if len(graded) > 1:
        screen.print(f"\nTogether: {summary(every)}")
    raise typer.Exit(0 if all(v.state == "passed" for v in every) else 1)


def notebooks_to_grade(which: str) -> list[tuple[Path, str]]:
    """What `grade` is asked to grade: a list of (path of a notebook, what is to be said of how it was found)."""
    from course.exercises import keys

    if which.endswith(".ipynb"):
        return [(Path(which), "")]
    try:
        if which:
            return [own_notebook(keys.load(which.split("_")[0]).number)]
        found = [pair for number in keys.known() if (pair := any_notebook(number)) and has_answers(number, pair[0])]
    except keys.BadKey as error:
        fail(error)
    if not found:
        fail("no chapter holds an answer yet. To grade one all the same: course grade 03")
    return found


def own_notebook(number: str) -> tuple[Path, str]:
    """A learner's notebook of a chapter: (its path, what is to be said of how it was found). Where there is none, that
    ends the command."""
    from course.grading import work

    try:
        found = work.find(number)
    except work.WorkError as error:
        fail(error)
    return found.path, found.note


def any_notebook(number: str) -> tuple[Path, str] | None:
    """The same, or None where there is none."""
    from course.grading import work

    with contextlib.suppress(work.WorkError):
        found = work.find(number)
        return found.path, found.note
    return None


def has_answers(number: str, path: Path) -> bool:
    """Whether a notebook holds anything that a learner wrote for its exercises. A file that cannot be read counts as
    one that does, so that it is not passed over in silence."""
    from course.exercises import keys
    from course.grading import submission

    try:
        return bool(submission.answered(keys.load(number), submission.read_cells(path)))
    except submission.BadNotebook:
        return True


def show_verdicts(screen: "Console", verdicts: "list[Verdict]") -> None:
    """Print the verdicts of one notebook as a table, and their sum."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("exercise", "", "points", "what went wrong"):
        table.add_column(head, no_wrap=head != "what went wrong", justify="right" if head == "points" else "left")
    for verdict in verdicts:
        lines = verdict.message.splitlines()
        said = [line.strip() for line in lines[1:]] or lines
        said[0:1] = [said[0].removeprefix(f"exercise {verdict.exercise} ").lstrip("✗○ ")] if said else []
        if verdict.note:
            said.append(f"note: {verdict.note}")
        shown = "" if verdict.state == "passed" else "\n".join(said)
        if verdict.state == "passed" and verdict.note:
            shown = f"note: {verdict.note}"
        mark = MARKS.get(verdict.state, "[red]✗[/]")
        table.add_row(verdict.exercise, f"{mark} {verdict.state}", f"{verdict.points}/{verdict.of}", Text(shown))
    screen.print(table)
    screen.print(f"\n{summary(verdicts)}")


def summary(verdicts: "list[Verdict]") -> str:
    """How many exercises are right, and the points, in a sentence."""
    points, of = sum(v.points for v in verdicts), sum(v.of for v in verdicts)
    right = sum(v.state == "passed" for v in verdicts)
    return f"{right} of {len(verdicts)} exercises right, {points} of {of} points."


@app.command()
def status(
    which: Annotated[str, typer.Argument(help="A chapter's number, to see each of its exercises.")] = "",
) -> None:
    """Say where you are: what is solved, open and wrong, by the last check of each exercise, and what comes next."""
    from rich.table import Table
    from rich.text import Text

    from course.exercises import keys, progress

    try:
        found = progress.standings()
        chosen = keys.load(which.split("_")[0]).number if which else ""
    except keys.BadKey as error:
        fail(error)
    screen, styles = console(), {progress.SOLVED: "green", progress.WRONG: "red", progress.AGAIN: "yellow"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for standing in found:
        if not chosen:
            marks = [(progress.MARKS[row.kind] + " ", styles.get(row.kind, "")) for row in standing.rows]
            solved = f"{standing.count(progress.SOLVED)} of {len(standing.rows)} solved"
            counts = [f"{standing.count(kind)} {kind}" for kind in (progress.WRONG, progress.AGAIN)]
            said = ", ".join([solved, *(text for text in counts if text[0] != "0")])
            points = " of ".join(map(str, standing.points)) + " points"
            table.add_row(standing.number, Text(standing.title), Text.assemble(*marks), said, points)
        elif standing.number == chosen:
            for row in standing.rows:
                at = row.entry.at[:16].replace("T", " ")
                mark = Text(f"{progress.MARKS[row.kind]} {row.kind}", style=styles.get(row.kind, ""))
                table.add_row(row.number, mark, f"{row.points} points", f"{at} UTC" if at else "")
    screen.print(table)
    said, after = progress.sum_up(found)
    screen.print(f"\n{said}" + (f" Next: {after}." if after else " That is all of them!"))
    if not any(row.entry.at for standing in found for row in standing.rows):
        screen.print("Nothing is recorded yet: checks do that, and course grade does it for all that has answers.")


@app.command()
def reset(
    exercise: Annotated[str, typer.Argument(help="The exercise's number, such as 3.2.")],
    notebook: Annotated[Path | None, typer.Option(help="The notebook (default: yours of that chapter).")] = None,
) -> None:
    """Put an exercise back as it was when you began, and keep what was there in a file of its own.

    Save the notebook first; where it is open in Jupyter, reload it afterwards (File > Reload Notebook from Disk).
    """
    from course.exercises import keys
    from course.grading import resetting

    try:
        keys.load_exercise(exercise)
        path, note = (notebook, "") if notebook else own_notebook(keys.load(exercise).number)
        kept = resetting.reset(path, exercise)
    except (keys.BadKey, resetting.ResetError) as error:
        fail(error)
    if note:
        console().print(f"note: {note}", markup=False)
    console().print(f"exercise {exercise} in {path} is as it was when you began.", markup=False)
    if kept:
        console().print(f"What was there is in {kept}", markup=False)
    console().print("Where the notebook is open in Jupyter: File > Reload Notebook from Disk.")


def grade_class(
    submissions: Path,
    out: Path | None,
    seed_file: Path | None,
    rules: Path | None,
    roster: Path | None,
    jobs: int,
    student: list[str] | None,
    exercise: list[str] | None,
    force: bool,
    require_sandbox: bool,
    seconds: float | None,
    cluster: str,
    key: list[Path] | None,
) -> None:
    """The instructor's half of `grade`."""
    from course.classroom import command, runner
    from course.classroom.roster import RosterError
    from course.classroom.rules import RulesError
    from course.exercises import keys
    from course.exercises.outcomes import ExerciseError

    if out is None:
        fail("Where shall the results go? Add --out DIR")
    if not submissions.exists():
        fail(f"there is no folder or zip {submissions}")
    try:
        known = {number for chapter in keys.known() for number in keys.load(chapter).exercises}
        if unknown := set(exercise or ()) - known:
            fail(f"there is no exercise {', '.join(sorted(unknown))}")
        options = runner.Options(
            submissions,
            out,
            seed_file,
            jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)),
            sandboxed=bool(cluster) or command.choose_wall(require_sandbox),
            cell_seconds=seconds or runner.CELL_SECONDS,
            students=tuple(student or ()),
            exercises=tuple(exercise or ()),
            force=force,
            cluster=cluster,
        )
        results = command.grade(options, class_keys(key or [], out), rules, roster, console())
    except keys.BadKey as error:  # of the learner's keys, whose own remedy is an author's
        fail(f"{error.problem}: install the version of the course that the class has")
    except (runner.GraderError, RulesError, RosterError, ExerciseError) as error:
        fail(error)
    except OSError as error:
        fail(
            f"{error.filename or out}: {error.strerror}. What was graded so far is kept; run the same command to go on."
        )
    except KeyboardInterrupt:
        fail("Stopped. What was graded so far is kept; run the same command to go on.")
    raise typer.Exit(0 if all(r["status"] != "fault" for r in results) else 3)


def class_keys(paths: list[Path], out: Path) -> Any:
    """A function that gives a class's key for a chapter's number and a function that reads the secret: read from the
    files at `paths` (or in the folders there), or else made of the chapter's source. Keys are kept in `out`, the folder
    of results, and made anew only where something has changed that they rest on."""
    from course.classroom import sealed
    from course.classroom.runner import GraderError
    from course.exercises import keys

    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    try:
        given = [keys.from_text(file.read_bytes(), file.name, "make it anew with course key") for file in files]
    except OSError as error:
        raise GraderError(f"the key {error.filename} cannot be read: {error.strerror}") from None
    except keys.BadKey as error:
        raise GraderError(str(error)) from None

    def from_file(number: str, secret: Callable[[], bytes]) -> "ChapterKey":
        if found := [key for key in given if key.number == number]:
            return sealed.keep(out, found[0])
        raise GraderError(
            f"there are submissions for chapter {number}, and no key for it among {', '.join(map(str, paths))}"
        )

    def from_source(number: str, secret: Callable[[], bytes]) -> "ChapterKey":
        from course.authoring import chapters, keying

        try:
            source = chapters.source_of(number)
            stamp = sealed.stamp(source.read_bytes(), secret())
            return sealed.find(out, number, stamp) or sealed.keep(
                out, keying.make(chapters.read_chapter(source), secret()), stamp
            )
        except chapters.ChapterError as error:
            raise GraderError(
                f"{error}. Without the chapters' sources, a class is graded from a key: --key FILE, made by course key"
            ) from None

    return from_file if paths else from_source


@app.command("key")
def key_command(
    names: Annotated[list[str], typer.Argument(help="Chapters, such as 03.")],
    seed_file: Annotated[Path, typer.Option(help="The secret; made, if it is not there.")],
    out: Annotated[Path, typer.Option(help="The folder for the keys.")],
) -> None:
    """Make a class's keys of the chapters' sources: what grading a class needs where there are no sources.

    Such a key holds the secret cases, what is expected, and the reference's answers: keep it to yourself.
    """
    from course import files
    from course.authoring import chapters, keying
    from course.classroom import runner
    from course.exercises import keys
    from course.exercises.outcomes import ExerciseError

    try:
        sources, secret = chosen(names), runner.read_secret(seed_file)
        for source in sources:
            path = out / f"class-{source.stem}.json"
            files.write(path, keys.as_text(keying.make(chapters.read_chapter(source), secret)), mode=0o600)
            console().print(f"written: {path}")
    except (runner.GraderError, chapters.ChapterError, ExerciseError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


@app.command("build")
def build_command(
    names: Annotated[list[str] | None, typer.Argument(help="Chapters, such as 03; all without.")] = None,
    force: Annotated[bool, typer.Option(help="Make and execute everything anew, changed or not.")] = False,
) -> None:
    """Make each chapter's key and notebooks from its source, the index, the README's tables and the page of results.

    Only what an edit asks for is run: nothing for text, a check for an exercise, the whole chapter for code.
    """
    from rich.progress import Progress, TaskID

    from course.authoring import build, chapters, pages

    failures = []
    for source in chosen(names):
        try:
            with Progress(console=console(), transient=True) as bar:
                task = bar.add_task(source.stem)

                def advance(done: int, of: int, task: TaskID = task, bar: Progress = bar) -> None:
                    bar.update(task, completed=done, total=of)

                def say(text: str, name: str = source.stem, bar: Progress = bar) -> None:
                    bar.console.print(f"{name}: {text}", markup=False)

                changed = build.build(
                    chapters.read_chapter(source),
                    advance,
                    say,
                    force,
                )
            console().print(f"{source.stem}: {'built' if changed else 'up to date'}")
        except (build.BuildError, chapters.ChapterError) as error:  # the other chapters are built all the same
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{error.filename}: {error.strerror}; nothing was half written")
    try:
        for path in pages.write_pages():
            console().print(f"{path.name}: made anew")
    except (pages.PageError, chapters.ChapterError) as error:
        failures.append(str(error))
    if failures:
        fail("\n".join(failures))


@app.command("review")
def review_command(
    names: Annotated[list[str] | None, typer.Argument(help="Chapters, such as 03; all without.")] = None,
) -> None:
    """Say what a learner sees of each chapter with the asides folded, and what it does not keep of a chapter's rules.
    Runs nothing.

    Exit status 0 only where every chapter asked for keeps them all.
    """
    from course.authoring import chapters, review

    kept = True
    for source in chosen(names):
        try:
            summary, found = review.report(chapters.read_chapter(source))
            problems = [str(problem) for problem in found]
        except chapters.ChapterError as error:
            summary, problems = source.stem, [str(error)]
        for line in (summary, *(f"  {problem}" for problem in problems)):
            console().print(line, markup=False)
        kept &= not problems
    raise typer.Exit(0 if kept else 1)


@app.command("audit")
def audit_command(
    names: Annotated[list[str] | None, typer.Argument(help="Chapters, such as 03; all without.")] = None,
    force: Annotated[bool, typer.Option(help="Audit everything anew, changed or not.")] = False,
) -> None:
    """Plant small faults in the right answers of exercises, and print those that the checks accept.

    Only exercises that have changed are audited. Exit status 1 where a fault is accepted, or a right answer refused.
    """
    from course.authoring import audit, chapters, pages

    accepted, failures = 0, []
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")  # the audit's processes run side by side
    os.environ |= {"MPLBACKEND": "Agg", "COURSE_BUDGET": "quick", "COURSE_PROGRESS": "off"}
    for source in chosen(names):
        try:
            chapter = chapters.read_chapter(source)
            began, changed = time.monotonic(), audit.outdated(chapter, force)
            record = audit.audit(chapter, changed) if changed else audit.load(chapter.number)
            took = f"audited in {time.monotonic() - began:.0f} s" if changed else "nothing has changed"
            console().print(f"{source.stem}: {', '.join(changed)} {took}".replace(":  ", ": "), markup=False)
            for number, one in record.items() if names or changed else ():
                console().print("\n".join(audit.told(number, one)), markup=False)
            accepted += sum(len(one["survivors"]) + len(one["forms"]) for one in record.values())
        except (audit.AuditError, chapters.ChapterError) as error:
            failures.append(str(error))
    try:
        pages.write_pages()
    except (pages.PageError, chapters.ChapterError) as error:
        failures.append(str(error))
    if failures:
        fail("\n".join(failures))
    raise typer.Exit(bool(accepted))


@app.command("new")
def new_command(name: Annotated[str, typer.Argument(help="Number and topic, such as 08_recipes.")]) -> None:
    """Write the skeleton of a chapter, solutions/NN_topic.py: it builds as it stands; replace every part of it."""
    need_sources()
    from course.authoring import chapters, skeleton

    try:
        path = skeleton.write_new(name)
    except chapters.ChapterError as error:
        fail(error)
    console().print(f"written: {path.parent.name}/{path.name}; edit it, then: course build {path.name[:2]}")


@app.command("release")
def release_command(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    names: Annotated[str, typer.Option("--chapters", help='Only these chapters, such as "01 03".')] = "",
) -> None:
    """Make a students' edition: lessons, keys, the wheel and instructions, without solutions and how they are judged.

    A key holds what a right answer gives for the learner's cases, which students can read.
    """
    sources = chosen([names])
    from course.authoring import chapters, release

    try:
        wheel = release.release(out, sources, lambda text: console().print(text, markup=False))
    except (release.ReleaseError, chapters.ChapterError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}; nothing is left half made")
    console().print(f"written: {out}, with {wheel.name}; its README.md tells students how to begin", markup=False)


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(help="mnist, cifar10; both without.")] = None,
) -> None:
    """Fetch the data ahead of time, with a progress bar, and verify it."""
    from course.lesson import data as sets

    failed = False
    for name in names or sets.NAMES:
        try:
            path = sets.fetch(name)
            console().print(f"{name}: {path} is complete")
        except sets.DataError as error:
            console(stderr=True).print(f"{name}: {error}", style="red", markup=False)
            failed = True
    raise typer.Exit(1 if failed else 0)


@app.command()
def measure(
    names: Annotated[list[str] | None, typer.Argument(help="Chapters, such as 03, in the order given; or all.")] = None,
    budget: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0-4 or 0,1,2 (default: 0-4; of a sweep: 0).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no run that would not end in time.", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="Where the records go (default: course/results).")] = None,
    take: Annotated[Path | None, typer.Option(help="Run nothing: take the records that --out wrote there.")] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Run and record the chapters' sweeps instead.")] = False,
) -> None:
    """Run chapters once per seed and record their figures, times and memory in course/results/.

    A record is written after each seed. Exit status 0 where everything asked for was run, 2 where a run failed, 3 where
    the time was over before all were run. Needs nothing but what the chapters need.
    """
    from course.authoring import measuring
    from course.lesson import settings

    if budget not in settings.BUDGETS:
        fail(f"there is no budget {budget!r}; there are {' and '.join(settings.BUDGETS)}")
    seeds = seeds or ("0" if sweep else "0-4")
    try:
        first, _, last = seeds.partition("-")
        wanted = range(int(first), int(last) + 1) if last else [int(seed) for seed in seeds.split(",")]
    except ValueError:
        wanted = []
    if not wanted:
        fail(f"--seeds is {seeds!r}; write a range such as 0-4 or a list such as 0,1,2")
    if sweep and len(wanted) > 1:
        fail(f"--seeds is {seeds!r}; a sweep is made with one seed")
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    failures, left, written = [], [], []
    try:
        if take:
            written = measuring.take(take, console().print, out)
        for source in chosen(names) if not take else ():
            if sweep:
                found = measuring.measure_sweeps(source, budget, wanted[0], console().print, out, deadline)
            else:
                found = measuring.measure(source, budget, wanted, console().print, out, deadline)
            failures += found.failures
            left += [f"{source.stem} with seeds {', '.join(map(str, found.left))}"] if found.left else []
            written += [found.path] if found.path else []
    except (measuring.MeasureError, settings.SettingError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    for path in written:
        console().print(f"written: {path.parent.name}/{path.name}")
    if written and not out:
        remake_results()
    message = [*failures, *(["not run to the end: " + "; ".join(left)] if left else [])]
    if failures:
        fail("\n".join(message))
    if left:
        console(stderr=True).print(message[-1], style="red", markup=False)
        raise typer.Exit(3)


def remake_results() -> None:
    """Make the page of recorded runs anew; where that cannot be done here, say so in a line."""
    try:
        from course import files
        from course.authoring import chapters, pages

        files.write(pages.results_path(), pages.results_page(chapters.entries()))
    except Exception as error:  # the records are written; only the page made of them is not
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        console().print(f"docs/results.md was not made anew ({why}); make it with: course build", markup=False)


@app.command()
def doctor() -> None:
    """Say what this machine has, and what to do about what is missing."""
    from rich.text import Text

    from course import doctor as checks

    worst = 0
    for finding in checks.examine():
        mark, style = {"fine": ("✓", "green"), "note": ("·", ""), "missing": ("✗", "red")}[finding.level]
        line = Text(f"{mark} {finding.what}", style=style)
        console().print(line)
        if finding.remedy:
            console().print(Text(f"    {finding.remedy}"))
        worst = max(worst, finding.level == "missing")
    raise typer.Exit(worst)


def main() -> None:
    """Entry point: refuses a Python that the course was not made for, then runs the command."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        have = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"The course needs Python 3.11, 3.12 or 3.13; this is {have}. Install one and run make again.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("stdout", "stderr"):  # a terminal without UTF-8 shows ? for a tick, and does not stop
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
