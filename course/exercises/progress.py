"""A learner's progress: what each exercise's last check said, kept in a small file beside the learner's work.

Nothing of value hangs on the file: grading makes it anew, and where it cannot be kept (a folder that is read only, a
full disk) learning goes on without it. It is written by rename, under a lock, and merged with what another kernel has
written meanwhile; a damaged one is set aside and begun anew.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.exercises import keys
from course.exercises.keys import ExerciseKey
from course.files import write
from course.lesson import settings

FORMAT = 1
NAME = "progress.json"
SOLVED, OPEN, WRONG, AGAIN = "solved", "open", "wrong", "again"
KINDS = {"passed": SOLVED, "wrong": WRONG, "crashed": WRONG, "timeout": WRONG}  # any other state counts as open
MARKS = {SOLVED: "✓", WRONG: "✗", OPEN: "○", AGAIN: "↻"}
LOCK_SECONDS = 2  # to wait for another kernel that is writing
SIZE_LIMIT = 2**20  # bytes of a file that can be ours


@dataclass(frozen=True)
class Entry:
    """What is known of one exercise. state: of its last check, as `Unsolved` names them, or "passed". at: when (UTC,
    ISO). asked: digest of what was asked then. passed: when it was last right, or "". hints: how many were shown."""

    state: str = "open"
    at: str = ""
    asked: str = ""
    passed: str = ""
    hints: int = 0


@dataclass(frozen=True)
class Row:
    """One exercise as it stands. kind: SOLVED, OPEN, WRONG, or AGAIN where it was solved before it was changed."""

    number: str
    kind: str
    points: int
    entry: Entry


@dataclass(frozen=True)
class Standing:
    """One chapter as it stands. rows: a Row for each exercise."""

    number: str
    title: str
    stem: str
    rows: list[Row]

    def count(self, kind: str) -> int:
        """How many exercises are of this kind."""
        return sum(row.kind == kind for row in self.rows)

    @property
    def points(self) -> tuple[int, int]:
        """(points reached, points to reach)."""
        return sum(row.points for row in self.rows if row.kind == SOLVED), sum(row.points for row in self.rows)


_session: dict[
    Path | None, dict[str, Entry]
] = {}  # what this process has recorded, by path: all there is where no file can be kept
problem = ""  # why the last change could not be written, or ""


def place(folder: Path | str | None = None) -> Path | None:
    """The path of the progress file for work that lies in a folder (default: where this process runs), or None where
    no progress is to be kept.

    `COURSE_PROGRESS` names it, or says "off". Else it lies in the nearest folder above that is a learner's; else in the
    learner's own folder of the checkout, be it there or not; else, where the course is installed without one, in the
    user's own data folder.
    """
    if asked := os.environ.get("COURSE_PROGRESS"):
        return None if asked == "off" else Path(asked)
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(folder or os.getcwd()).resolve()
        if folder == settings.solutions_folder().resolve():  # an author at work
            return None
        for above in (folder, *folder.parents):
            if (above / settings.KEPT).is_dir():
                return above / settings.KEPT / NAME
        work: Path = settings.work_folder()
        if work.is_dir() or settings.in_checkout() or os.environ.get("COURSE_SOLUTIONS"):
            return work / settings.KEPT / NAME
        home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "share"
        return Path(home) / "deep-vision-in-keras" / NAME
    return None


def read(path: Path | None = None) -> dict[str, Entry]:
    """The entries, by exercise: those of the file at `path` (default: `place()`) and those of this process, the later
    of two. A file that cannot be read counts as empty."""
    path = path or place()
    entries, _ = _stored(path)
    return _later(entries, _session.get(path, {}))


def record(key: ExerciseKey, state: str, path: Path | None = None) -> bool:
    """Take down what a check said. key: the ExerciseKey. state: "passed", "wrong", ... Returns whether it was written;
    never raises."""
    now = _now()

    def changed(entry: Entry) -> Entry:
        return replace(entry, state=state, at=now, asked=digest(key), passed=now if state == "passed" else entry.passed)

    return _change(key.number, changed, path)


def record_hint(number: str, shown: int, path: Path | None = None) -> bool:
    """Take down how many hints of an exercise were shown."""
    return _change(number, lambda entry: replace(entry, at=entry.at or _now(), hints=shown), path)


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel: only what is done there is recorded by `check`."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def digest(key: ExerciseKey) -> str:
    """A short digest of what an exercise asks: where it changes, a right answer may no longer be one."""
    import hashlib

    parts = [key.name, key.stub, key.check, key.driver, key.questions]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def standings(path: Path | None = None) -> list[Standing]:
    """A Standing for each chapter that has a key, in order. One whose key cannot be used has no rows, and why it has
    none for its title."""
    entries, found = read(path), []
    for number in keys.known():
        try:
            chapter = keys.load(number)
        except keys.BadKey as error:
            found.append(Standing(number, str(error), "", []))
            continue
        rows = []
        for one in chapter.exercises.values():
            entry = entries.get(one.number, Entry())
            kind = KINDS.get(entry.state, OPEN)
            if kind == SOLVED and entry.asked != digest(one):
                kind = AGAIN
            rows.append(Row(one.number, kind, one.points, entry))
        found.append(Standing(chapter.number, keys.title(chapter), chapter.stem, rows))
    return found


def following(found: list[Standing]) -> tuple[Standing, Row] | None:
    """What comes next: (Standing, Row) of the first exercise not solved, in the chapter that was worked on last or
    after it, else before it; None where all are solved."""
    last = max(range(len(found)), key=lambda i: max((row.entry.at for row in found[i].rows), default=""), default=0)
    for standing in [*found[last:], *found[:last]]:
        for row in standing.rows:
            if row.kind != SOLVED:
                return standing, row
    return None


def sum_up(
    found: list[Standing], place_of: Callable[[Standing], str] = lambda standing: standing.stem
) -> tuple[str, str]:
    """One sentence on all Standings, and one on what comes next; the latter is "" where nothing does. place_of: how a
    Standing's chapter is named there."""
    solved, of = (sum(s.count(SOLVED) for s in found), sum(len(s.rows) for s in found))
    points = [sum(s.points[i] for s in found) for i in (0, 1)]
    said = f"{solved} of {of} exercises solved, {points[0]} of {points[1]} points."
    if not (after := following(found)):
        return said, ""
    standing, row = after
    why = {WRONG: ", which is not right yet", AGAIN: ", which has changed since you solved it"}.get(row.kind, "")
    return said, f"exercise {row.number}{why}, in {place_of(standing)}"


def as_markdown(found: list[Standing]) -> str:
    """The Standings as a table in Markdown, with links to the chapters."""
    said, after = sum_up(found, _link)
    lines = [f"**{said}**" + (f" Next: {after}." if after else " All solved!"), ""]
    lines += ["| | chapter | exercises | solved | points |", "|---|---|---|---|---|"]
    for standing in found:
        marks = " ".join(MARKS[row.kind] for row in standing.rows)
        points = " of ".join(map(str, standing.points))
        solved = f"{standing.count(SOLVED)} of {len(standing.rows)}"
        lines.append(f"| {standing.number} | {_link(standing)} | {marks} | {solved} | {points} |")
    lines += ["", "✓ solved · ✗ not right yet · ○ open · ↻ solved before the exercise was changed: check it again"]
    return "\n".join(lines)


def _link(standing: Standing) -> str:
    return f"[{standing.title}]({standing.stem}.ipynb)" if standing.stem else standing.title


def progress(every: float = 2.0) -> None:
    """Show, in a notebook, where you are in the course; the table keeps up with your checks while this kernel runs.

    every: seconds between two looks at the file.
    """
    from IPython.display import Markdown, display

    shown = as_markdown(standings())
    if not in_notebook():
        print(shown)
        return
    handle = display(Markdown(shown), display_id=True)
    _watch(handle, shown, every)


def _watch(handle: Any, shown: str, every: float) -> None:
    """Keep a displayed table up to date, in a thread of its own, as long as no newer one is displayed."""
    import threading

    from IPython.display import Markdown

    global _watched
    _watched = handle.display_id

    def follow(shown: str = shown) -> None:
        stamp = _stamp()
        while _watched == handle.display_id:
            time.sleep(every)
            if (now := _stamp()) != stamp:
                stamp = now
                with contextlib.suppress(Exception):  # a key that is being made anew, a kernel that is going down
                    if (text := as_markdown(standings())) != shown:
                        shown = text
                        handle.update(Markdown(text))

    threading.Thread(target=follow, daemon=True, name="progress").start()


_watched: str | None = None


def _stamp() -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        if (path := place()) is None:
            return None
        found = path.stat()
        return found.st_mtime_ns, found.st_ino
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _later(one: dict[str, Entry], other: dict[str, Entry]) -> dict[str, Entry]:
    """Of two dicts of entries one, with the later entry of each exercise, and no hint forgotten."""
    merged = dict(one)
    for number, entry in other.items():
        before = merged.get(number, entry)
        newest = entry if entry.at >= before.at else before
        passed, hints = max(before.passed, entry.passed), max(before.hints, entry.hints)
        merged[number] = replace(newest, passed=passed, hints=hints)
    return merged


def _stored(path: Path | None) -> tuple[dict[str, Entry], bool]:
    """(entries in the file, whether the file is damaged)."""
    if path is None:
        return {}, False
    try:
        if path.stat().st_size > SIZE_LIMIT:
            return {}, True
        data = path.read_bytes()
    except (OSError, ValueError):  # missing, or not to be read: a path may even hold a null byte
        return {}, False
    try:
        form = json.loads(data)
        if form["format"] != FORMAT:
            return {}, True
        return {str(number): _entry(one) for number, one in form["exercises"].items()}, False
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, True


def _entry(form: Any) -> Entry:
    """The Entry of a dict as it is stored; raises TypeError for anything else."""
    entry = Entry(**form)
    texts = (entry.state, entry.at, entry.asked, entry.passed)
    if type(entry.hints) is not int or not all(isinstance(text, str) and len(text) < 100 for text in texts):
        raise TypeError("no entry")
    return entry


def _change(number: str, change: Callable[[Entry], Entry], path: Path | None = None) -> bool:
    """Change one exercise's entry, in the file and in this process. Returns whether the file was written."""
    global problem
    path = path or place()
    problem, taken = "", False
    mine = _session.setdefault(path, {})
    try:
        if path is None:
            raise OSError("it is switched off here")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            entries, damaged = _stored(path)
            entries = _later(entries, mine)
            mine[number] = entries[number] = change(entries.get(number, Entry()))
            taken = True
            if damaged:
                os.replace(path, path.with_name(f"progress.damaged-{time.strftime('%Y%m%d-%H%M%S')}.json"))
            form = {"format": FORMAT, "exercises": {n: asdict(entry) for n, entry in sorted(entries.items())}}
            write(path, json.dumps(form, indent=1, ensure_ascii=False) + "\n")
        return True
    except (OSError, ValueError) as error:
        if not taken:
            mine[number] = change(mine.get(number, Entry()))
        problem = f"progress is not kept in {path}: {getattr(error, 'strerror', None) or error}"
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock on a progress file; after LOCK_SECONDS, or where there are no locks, go on without."""
    with open(path.with_name(f".{path.name}.lock"), "ab") as stream:
        if sys.platform == "win32":
            import msvcrt

            def lock() -> None:
                stream.seek(0)
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            def lock() -> None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                lock()
                break
            except OSError as error:
                busy = isinstance(error, (BlockingIOError, PermissionError))
                if not busy or time.monotonic() > deadline:
                    break
                time.sleep(0.01)
        yield  # closing the file releases the lock
