"""A learner's own folder: filling it from the lessons, finding the copy of a chapter, bringing it up to date.

The folder (`settings.work_folder`) holds a copy of each lesson and of the index, which are the learner's: the course
puts a file there where none is, and writes to one that is there only where nothing of the learner's is in it, or in
`update`, after a backup. What the course keeps for itself is in `.course/` beside them: `base/`, each lesson as it was
when the copy was made of it or last brought up to date; `before/`, what was in `base/` until then; and `backup/`,
dated, the copies as they were before an update. Every file is written by rename, and in an order in which a kill
between two of them costs nothing: base, then copy, where a copy is new; backup, copy, before, then base, where it is
updated.

The lessons themselves are in `settings.lessons_folder`. In a checkout, where learners used to work in that folder, a
lesson may hold somebody's answers: then the lesson is what git has of it, or what remains without the answers.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from course.exercises import keys
from course.exercises.keys import ChapterKey
from course.files import write
from course.grading import damage, merging, submission
from course.lesson import settings

INDEX = "index.ipynb"
PAGES = (INDEX, "glossary.ipynb")  # lessons in which there is nothing to run or to answer
CHAPTER = re.compile(r"(\d\d)_\w+\.ipynb")
RELOAD = (
    "Is one of them open in JupyterLab? There choose File > Reload Notebook from Disk before you go on. (Should it ask "
    "on saving: Overwrite keeps what you have typed there, and course update then brings the lesson in once more.)"
)


class WorkError(Exception):
    """A folder or a notebook that cannot be used as is; the message says which and what to do."""


@dataclass(frozen=True)
class Copy:
    """A learner's notebook of a chapter. note: what is to be said of how it was chosen, or ""."""

    path: Path
    note: str = ""


@dataclass
class Report:
    """What was done to a folder. lines: in words. problems: what could not be done, in words. rewritten: the paths of
    notebooks that were there and now hold something else, which an editor that has one open does not know."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rewritten: list[Path] = field(default_factory=list)

    def in_words(self) -> list[str]:
        """The lines, and what is to be done in an editor."""
        return [*self.lines, *([RELOAD] if self.rewritten else [])]


def lessons() -> list[Path]:
    """The paths of the lessons, the index and the glossary first. Raises WorkError where there are none."""
    folder = settings.lessons_folder()
    found = sorted(path for path in folder.glob("*.ipynb") if CHAPTER.fullmatch(path.name))
    if not found:
        raise WorkError(
            f"there are no lessons in {folder}: install the course again, or, in a checkout: git checkout {folder.name}"
        )
    return [*(folder / page for page in PAGES if (folder / page).exists()), *found]


def lesson_of(number: str) -> Path:
    """The path of a chapter's lesson. number: "03". Raises WorkError."""
    found = next((path for path in lessons() if path.name.startswith(f"{number}_")), None)
    if found is None:
        raise WorkError(f"there is no lesson of chapter {number} in {settings.lessons_folder()}")
    return found


def key_of(path: Path | str) -> ChapterKey | None:
    """The key of the chapter that a lesson is of; None for a page. Raises BadKey."""
    found = CHAPTER.fullmatch(Path(path).name)
    return keys.load(found[1]) if found else None


def kept(folder: Path | str, kind: str, name: str) -> Path:
    """Where the course keeps something for a learner's folder. kind: "base", "before" or "backup"."""
    return Path(folder) / settings.KEPT / kind / name


# The lessons


def pristine(path: Path) -> bytes:
    """A lesson as the course has it, as bytes: the file; or, where that holds a learner's work, what git has of it, or
    the file without what is the learner's. Raises BadKey, without which an answer cannot be told from a blank."""
    data = path.read_bytes()
    if not settings.in_checkout() or not holds_work(path):
        return data
    committed = committed_bytes(path)
    if committed is not None and not _holds_work(committed, path):
        return committed
    try:
        raw = json.loads(data)
        raw["cells"] = merging.cleaned(merging.plain(raw), key_of(path))
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise WorkError(f"{path} is no notebook any more: put the course's own file there again") from None
    return _text(raw).encode()


def holds_work(path: Path) -> bool:
    """Whether the file of a lesson holds answers, changes or cells of a learner's. A file that is no notebook is one
    that somebody's editor has spoilt, and counts. Raises BadKey."""
    try:
        return _holds_work(path.read_bytes(), path)
    except OSError:
        return False


_known: dict[
    tuple[bytes, str, str | None], bool
] = {}  # what `_holds_work` has found: a lesson is looked at more than once in a command


def _holds_work(data: bytes, path: Path) -> bool:
    key = key_of(path)
    asked = hashlib.sha256(data).digest(), path.name, key.made_from if key else None
    if asked not in _known:
        try:
            _known[asked] = bool(merging.written(merging.plain(json.loads(data)), key))
        except (ValueError, AttributeError, RecursionError):
            _known[asked] = True
    return _known[asked]


def worked_in_place() -> list[Path]:
    """The lessons in a git checkout that a learner has changed by working in them: those that hold work, and those that
    were run. An author's build changes the executed chapter too, and makes none of these."""
    if not settings.in_checkout():
        return []
    status = _git("status", "--porcelain", "--", "notebooks", "solutions", folder=settings.lessons_folder().parent)
    changed = {line[3:].strip('"') for line in (status or b"").decode(errors="replace").splitlines()}
    found = []
    for path in lessons():
        if f"notebooks/{path.name}" in changed and path.name not in PAGES:
            with contextlib.suppress(keys.BadKey):
                if holds_work(path) or (f"solutions/{path.name}" not in changed and _was_run(path)):
                    found.append(path)
    return found


def _was_run(path: Path) -> bool:
    """Whether a lesson's text is as git has it, so that only its outputs can have changed."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        here, there = path.read_bytes(), committed_bytes(path)
        if there is None:
            return False
        one, other = (merging.plain(json.loads(data)) for data in (here, there))
        return [cell["source"] for cell in one] == [cell["source"] for cell in other]
    return False


def committed_bytes(path: Path) -> bytes | None:
    """A file as git has it committed; None where there is no git, no repository or no such file in it."""
    return _git("show", f"HEAD:./{path.name}", folder=path.parent)


def _git(*words: str, folder: Path) -> bytes | None:
    """What git prints, as bytes; None where there is no git, no repository or no such thing."""
    try:
        run = subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return None if run.returncode else run.stdout


# The learner's folder


def fill(folder: Path | str | None = None) -> Report:
    """Put a copy of each lesson into a learner's folder (default: `settings.work_folder()`) where there is none, and
    the new lesson in the place of a copy that nobody has touched. Returns a Report.

    A learner who has worked in the lessons' own folder finds that work in the copies. Raises WorkError where the folder
    cannot be used, OSError where it cannot be written to.
    """
    folder, report = Path(folder or settings.work_folder()), Report()
    made: list[Path] = []
    moved: list[Path] = []
    if folder.exists() and not folder.is_dir():
        raise WorkError(f"{folder} is a file: name a folder for your work, such as: course lab work")
    if folder.resolve() in (settings.lessons_folder().resolve(), settings.solutions_folder().resolve()):
        raise WorkError(f"{folder} is where the course itself is kept: name another folder for your work")
    (folder / settings.KEPT).mkdir(parents=True, exist_ok=True)
    for lesson in lessons():
        try:
            done = _fill(folder, lesson)
        except (keys.BadKey, WorkError) as error:
            report.problems.append(f"{lesson.stem} is left as it is: {error}")
            continue
        if done:
            {"made": made, "moved": moved, "followed": report.rewritten}[done].append(lesson)
    if made:
        names = [path.stem[:2] for path in made if path.name not in PAGES]
        report.lines.append(f"put into {folder}: {_listed('chapter', names) if names else 'the index'}")
    if report.rewritten:
        names = [path.stem for path in report.rewritten]
        report.lines.append(f"new from the course, with nothing of yours in it: {', '.join(names)}")
    for lesson in moved:
        report.lines.append(
            f"{lesson.parent.name}/{lesson.name} holds work of yours; it is now in {folder / lesson.name}, go on there"
        )
    report.lines += put_back_lines()
    return report


def _fill(folder: Path, lesson: Path) -> Literal["made", "moved", "followed"] | None:
    """Put the copy of one lesson into a learner's folder: "made", "moved" where it is the learner's work, "followed"
    where it took the place of one that nobody has touched, or None where there is a learner's."""
    mine, base = own_copy(folder, lesson), kept(folder, "base", lesson.name)
    if mine is None:
        data, fresh = lesson.read_bytes(), pristine(lesson)
        write(base, fresh)
        write(folder / lesson.name, data)
        return "made" if data == fresh else "moved"
    if _unread(mine, folder, lesson):
        fresh = pristine(lesson)
        followed = fresh != mine.read_bytes()  # else its base was lost
        if followed:
            write(mine, fresh)
        _rebase(folder, lesson, fresh)
        return "followed" if followed else None
    return None


def _rebase(folder: Path, lesson: Path, fresh: bytes) -> None:
    """Take down, after a copy is up to date, what it was made of, and what that was before."""
    base = kept(folder, "base", lesson.name)
    if (old := _read(base)) not in (None, fresh):
        write(kept(folder, "before", lesson.name), old)
    write(base, fresh)


def put_back_lines() -> list[str]:
    """How a learner who has worked in a checkout's lessons makes `git pull` work again: lines, or none."""
    places = [f"{path.parent.name}/{path.name}" for path in worked_in_place()]
    if not places:
        return []
    what = "this file is" if len(places) == 1 else "these files are"
    return [
        f"so that git pull works, put the course's own file{'s' * (len(places) > 1)} back ({what} not worked in any "
        f"more): git checkout {' '.join(places)}"
    ]


def own_copy(folder: Path | str, lesson: Path) -> Path | None:
    """The path of the copy of a lesson in a learner's folder, or None: that with the lesson's name, or else the first
    whose name begins with the chapter's number."""
    path = Path(folder) / lesson.name
    if path.exists() or lesson.name in PAGES:
        return path if path.exists() else None
    return next(iter(sorted(one for one in Path(folder).glob(f"{lesson.name[:3]}*.ipynb") if one.is_file())), None)


def _unread(mine: Path, folder: Path, lesson: Path) -> bool:
    """Whether the lesson has changed, and nobody has even saved its copy: byte by byte, it is the lesson it was made
    from. A page, in which nobody works, counts as such where its text is."""
    base = _read(kept(folder, "base", lesson.name))
    if base is None:
        return mine.read_bytes() == pristine(lesson)
    if not _newer(lesson, base):
        return False
    if mine.read_bytes() == base:
        return True
    if lesson.name not in PAGES:
        return False
    try:
        one, other = (merging.plain(json.loads(data)) for data in (mine.read_bytes(), base))
    except (ValueError, AttributeError, RecursionError):
        return False
    return [cell["source"] for cell in one] == [cell["source"] for cell in other]


def changed(folder: Path | str | None = None) -> list[Path]:
    """The lessons that have changed since the copies in a learner's folder were made or updated, and those that an
    editor has put back as they were before: their paths."""
    folder, found = Path(folder or settings.work_folder()), []
    for lesson in lessons():
        with contextlib.suppress(keys.BadKey, WorkError):  # `fill` says so
            mine = own_copy(folder, lesson)
            if mine and (_newer(lesson, _read(kept(folder, "base", lesson.name))) or _undone(mine, folder, lesson)):
                found.append(lesson)
    return found


def _undone(mine: Path, folder: Path, lesson: Path) -> bool:
    """Whether a copy is of the lesson as it was before its last update, as where an editor that had it open has saved
    it since: it holds cells that went then, or there went none, and none of those that came."""
    kinds = (kept(folder, "before", lesson.name), kept(folder, "base", lesson.name), mine)
    before, base, have = ({cell["source"].strip() for cell in _cells(path) or ()} for path in kinds)
    gone, came = before - base, base - before
    return bool(before and came and base) and not came & have and bool(not gone or gone & have)


def _cells(path: Path) -> list[merging.Cell] | None:
    """The cells of a notebook's file, as `merging.plain` gives them; None where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        return merging.plain(json.loads(path.read_bytes()))
    return None


def _newer(lesson: Path, base: bytes | None) -> bool:
    """Whether a lesson is another one than a base, given as bytes."""
    return base != lesson.read_bytes() and base != pristine(lesson)


# Finding a copy


def find(number: str) -> Copy:
    """The Copy of a chapter that is a learner's, and that grading takes. number: "03".

    Looked for in the learner's folder, then in the present one, then, in a checkout, among the lessons. Of several, the
    first with answers counts, and the note says which does. Raises WorkError where there is none.
    """
    key = keys.load(number)
    here, own = Path.cwd(), settings.work_folder()
    folders = [own] + ([here] if here.resolve() not in (own.resolve(), settings.solutions_folder().resolve()) else [])
    if settings.in_checkout() or os.environ.get("COURSE_SOLUTIONS"):
        folders.append(settings.lessons_folder())
    found: dict[Path, tuple[Path, dict[str, str]]] = {}
    for folder in folders:
        for path in copies(folder, key, sure=folder is not here):
            found.setdefault(path.resolve(), (path, answers_in(path, key, folder)))
    if not found:
        raise WorkError(
            f"there is no notebook of chapter {key.number} in {settings.work_folder()}: run course lab, which puts one "
            "there, or name the file"
        )
    pairs = list(found.values())
    path, answers = next((pair for pair in pairs if pair[1]), pairs[0])
    others = [other for other, have in pairs if have and other != path and have != answers]
    notes = []
    if path != pairs[0][0]:
        notes.append(f"of two copies the one with answers counts: {shown(path)}, not {shown(pairs[0][0])}")
    if others:
        notes.append(f"other answers are in {', '.join(map(shown, others))}; those in {shown(path)} count")
    return Copy(path, "; ".join(notes))


def copies(folder: Path, key: ChapterKey, sure: bool = True) -> list[Path]:
    """The notebooks of a chapter in a folder, that with the lesson's own name first. sure: whether a name that begins
    with the chapter's number will do, as it does not in a folder of anything."""
    try:
        files = sorted(path for path in Path(folder).glob("*.ipynb") if path.is_file() and path.name not in PAGES)
    except OSError:
        return []
    named = [path for path in files if path.name.startswith(f"{key.number}_")]
    named.sort(key=lambda path: path.stem != key.stem)
    others = [path for path in files if not re.match(r"\d\d_", path.name)]
    found = named + [path for path in others if submission.chapter_of(path) == key.number]
    return [path for path in found if sure or submission.of_course(path)]


def answers_in(path: Path, key: ChapterKey, folder: Path) -> dict[str, str]:
    """What a notebook answers: a dict from exercise to the text of its cell. A file that cannot be read counts as
    one with answers, so that it is not passed over in silence."""
    try:
        cells = merging.plain(submission.read_notebook(path))
    except submission.BadNotebook as error:
        return {"": str(error)}
    base = None
    if (data := _read(kept(folder, "base", f"{key.stem}.ipynb"))) is not None:
        with contextlib.suppress(ValueError, AttributeError):
            base = merging.plain(json.loads(data))
    return merging.answers(cells, key, base)


def shown(path: Path) -> str:
    """A path as a person would write it from the present folder."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)


# Updating


def update(numbers: Collection[str] = (), folder: Path | str | None = None) -> Report:
    """Bring the lessons' new cells into a learner's folder, under what the learner wrote there. Returns a Report.

    numbers: of the chapters, such as "03"; all, without. A copy that has changed is kept in a dated folder first. Where
    a copy cannot be updated it stays as it was, and the Report's problems say why; the others are updated all the same.
    """
    folder = Path(folder or settings.work_folder())
    report = fill(folder)
    stamp = _unused(kept(folder, "backup", time.strftime("%Y-%m-%d_%H%M%S")))
    for lesson in changed(folder):
        if numbers and lesson.name[:2] not in numbers:
            continue
        mine = own_copy(folder, lesson)
        if mine is None:
            continue
        try:
            report.lines.append(f"{mine.stem}: {_update(mine, lesson, folder, stamp)}")
            report.rewritten.append(mine)
        except (submission.BadNotebook, merging.MergeError, WorkError, keys.BadKey) as error:
            report.problems.append(f"{mine.stem} is not updated and stays as it was: {error}")
        except OSError as error:
            what = error.strerror or error
            report.problems.append(
                f"{mine.stem} is not updated and stays as it was ({what}: {error.filename or folder}): make room, or "
                "see to the folder's permissions, and run course update again"
            )
    if stamp.exists() and any(stamp.iterdir()):
        report.lines.append(f"as they were before: {stamp}")
    return report


def _damaged(sentence: str) -> NoReturn:
    """What could be read of a file that is damaged is good for grading; it is not written over."""
    raise WorkError(f"{sentence}. Mend it, or {damage.AGAIN}")


def _update(mine: Path, lesson: Path, folder: Path, stamp: Path) -> str:
    """Update one copy; what was done, in words."""
    fresh, before = pristine(lesson), _state(mine)
    raw = submission.read_notebook(mine, _damaged)
    undone = _undone(mine, folder, lesson)
    base = _cells(kept(folder, "before" if undone else "base", lesson.name))  # without one, where it is damaged
    new = json.loads(fresh)
    metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    merged = merging.merge(
        base, merging.plain(raw), merging.plain(new), key_of(lesson), metadata, new.get("metadata", {})
    )
    write(stamp / mine.name, mine.read_bytes())
    if _state(mine) != before:
        raise WorkError(f"{mine.name} was saved by another program just now: run course update again")
    target = mine.resolve()  # a link stays one
    write(target, _text(merged.notebook), mode=target.stat().st_mode & 0o777)
    _rebase(folder, lesson, fresh)
    return f"{'it was as before its last update; ' if undone else ''}{in_words(merged)}"


def in_words(merged: merging.Merged) -> str:
    """What an update changed, and what it kept, in a line."""
    counts = [(merged.new, "new"), (merged.changed, "changed"), (merged.gone, "gone")]
    parts = [f"{count} {word}" for count, word in counts if count]
    said = f"cells of the lesson: {', '.join(parts)}" if parts else "the lesson's outputs are new, its text is not"
    have = []
    if merged.answers:
        have.append(f"your answers to {', '.join(merged.answers)}")
    if merged.own:
        have.append(f"{merged.own} cell{'s' * (merged.own > 1)} of your own")
    if merged.edited:
        have.append(f"{merged.edited} cell{'s' * (merged.edited > 1)} that you changed")
    said += f"; kept: {', '.join(have)}" if have else "; there was nothing of yours in it"
    if merged.both:
        said += f"; {merged.both} of them the lesson has changed too: both versions are there, with a note"
    if merged.asked:
        said += (
            f"; look again at {_listed('exercise', merged.asked)}, which {'has' if len(merged.asked) == 1 else 'have'}"
        )
        said += " changed"
    return said


def _listed(what: str, names: list[str]) -> str:
    return f"{what}{'s' * (len(names) > 1)} {', '.join(names)}"


def _unused(path: Path) -> Path:
    """The path, or that with a number behind it, that is not there yet."""
    n, found = 1, path
    while found.exists():
        n += 1
        found = path.with_name(f"{path.name}-{n}")
    return found


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text(notebook: dict[str, Any]) -> str:
    """A notebook as Jupyter writes it to a file: texts as lists of lines, one item a line."""
    form = {**notebook, "cells": [_split(cell) for cell in notebook["cells"]]}
    text = json.dumps(form, indent=1, sort_keys=True, ensure_ascii=False)
    # Half a surrogate pair, which only JSON's own escape can write.
    return re.sub(r"[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _split(cell: merging.Cell) -> merging.Cell:
    cell = {**cell, "source": _lines(cell["source"])}
    if cell["cell_type"] == "code":
        cell["outputs"] = [
            {**one, "text": _lines(one["text"])} if isinstance(one.get("text"), str) else one for one in cell["outputs"]
        ]
    return cell


def _lines(text: Any) -> Any:
    return text.splitlines(keepends=True) if isinstance(text, str) else text
