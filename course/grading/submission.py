"""Reading what a learner hands in, and putting its answers between the definitions and checks of the chapter's key.

Nothing that a learner hands in is run or compared as it stands: a saved notebook carries its own outputs, and would
be compared with itself. `assemble` takes only the answer cells; everything else comes from the chapter's key.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from course.exercises.cells import EXERCISE, MOST_LETTERS, compiles, defines, names_made, naming, untouched
from course.exercises.judging import PASSED
from course.exercises.keys import ChapterKey, ExerciseKey
from course.grading import damage

if TYPE_CHECKING:
    from nbformat import NotebookNode

IMPORT = re.compile(r"^[ \t]*(from|import) course\b", re.MULTILINE)
NO_CHAPTER = (
    "nothing in it tells which chapter of the course it is: let its name begin with its chapter's number, as "
    "03_convolution.ipynb"
)
CHECK = re.compile(r"^[ \t]*check\(", re.MULTILINE)
SIZE_LIMIT = 50 * 2**20  # bytes; a chapter with every figure in it is under 2 MB
MOST_CELLS = 50_000  # a chapter has about 150


Located = tuple[int, str, set[str]]  # position, source, ids


class BadNotebook(Exception):
    """A file that cannot be graded; the message says what is wrong with it and what to do."""


class Cell(NamedTuple):
    """A cell of a learner's notebook. kind: "code", "markdown" or what stands there. ids: all that it is known by."""

    kind: str
    source: str
    ids: set[str]


@dataclass
class Answer:
    """What was found for one exercise. source: its code, or None where there is none. note: what a person should
    know about how it was found, or why it was not."""

    source: str | None
    note: str = ""


@dataclass
class Assembly:
    """A notebook to run: one cell of definitions, then each exercise's answer and check. answers: by exercise. cells:
    those of the submission, from `read_cells`. stubs: the blank answer cells, by exercise."""

    notebook: "NotebookNode"
    answers: dict[str, Answer] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    stubs: dict[str, str] = field(default_factory=dict)


def read_notebook(path: Path | str, note: Callable[[str], None] = lambda sentence: None) -> dict[str, Any]:
    """A learner's notebook as a dict with a list of dicts, its "cells", whatever editor saved it.

    Read from the raw JSON, since a notebook library would rename duplicate ids and refuse what can still be read. note:
    called with a sentence where the file is damaged and could be read all the same. Raises BadNotebook.
    """
    path = Path(path)
    name = path.name
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise BadNotebook(f"{name} is larger than {SIZE_LIMIT // 2**20} MB: clear its outputs and save it again")
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadNotebook(f"there is no file {path}") from None
    except IsADirectoryError:
        raise BadNotebook(f"{path} is a folder, not a notebook") from None
    except OSError as error:
        raise BadNotebook(f"{name} cannot be read: {error.strerror}") from None
    try:
        raw = damage.parse(data, note)
    except damage.Damaged as error:
        raise BadNotebook(f"{name} {error}") from None
    except MemoryError:
        raise BadNotebook(f"{name} takes too much memory to be read: {damage.AGAIN}") from None
    if not isinstance(raw, dict):
        raise BadNotebook(
            f"{name} is not a notebook: it holds a JSON {type(raw).__name__}, not an object: {damage.AGAIN}"
        )
    cells = raw.get("cells")
    if cells is None and isinstance(raw.get("worksheets"), list):  # nbformat 3
        sheets = [sheet.get("cells") for sheet in raw["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise BadNotebook(f"{name} is not a notebook: it has no list of cells: {damage.AGAIN}")
    if len(cells) > MOST_CELLS:
        raise BadNotebook(f"{name} has {len(cells):,} cells, where at most {MOST_CELLS:,} are read: {damage.AGAIN}")
    return raw | {"cells": [cell for cell in cells if isinstance(cell, dict)]}


def read_cells(path: Path | str, note: Callable[[str], None] = lambda sentence: None) -> list[Cell]:
    """The cells of a learner's notebook as `as_read` gives them. note: as of `read_notebook`. Raises BadNotebook."""
    return [as_read(cell) for cell in read_notebook(path, note)["cells"]]


def as_read(cell: dict[str, Any]) -> Cell:
    """The Cell of a dict as JSON gives it."""
    metadata = _dict(cell.get("metadata"))
    nbgrader = _dict(metadata.get("nbgrader"))
    source = cell.get("source", cell.get("input", ""))
    source = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source
    source = source if isinstance(source, str) else ""
    source = source.encode("utf-8", "replace").decode()  # JSON can hold half a surrogate pair, which no kernel takes
    # Colab and VS Code drop the cell's id or keep it in the metadata; nbgrader's own name of the cell survives both.
    ids = {one for one in (cell.get("id"), metadata.get("id"), nbgrader.get("grade_id")) if isinstance(one, str)}
    kind = cell.get("cell_type")
    return Cell(kind if isinstance(kind, str) else "", source, ids)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def chapter_of(path: Path) -> str | None:
    """The number of the chapter that a notebook is a copy of, such as "03", or None.

    It is known by its metadata, else by its exercises' lines, else by its name, wherever it lies.
    """
    path = Path(path)
    notebook: dict[str, Any] = {"cells": []}
    with contextlib.suppress(BadNotebook):
        notebook = read_notebook(path)
    with contextlib.suppress(KeyError, TypeError):
        number: str = notebook["metadata"]["course"]["chapter"]
        if re.fullmatch(r"\d\d", number):
            return number
    sources = [source for _, source, _ in map(as_read, notebook["cells"])]
    found = (m[1].split(".")[0] for source in sources for m in EXERCISE.finditer(source))
    numbers = Counter(f"{int(number):02d}" for number in found if len(number) <= 2)
    if numbers:
        return numbers.most_common(1)[0][0]
    named = re.match(r"(\d{1,2})_", path.name)
    return f"{int(named[1]):02d}" if named else None


def of_course(path: Path) -> bool:
    """Whether a notebook is one of this course's, by what is in it: its metadata, or a cell that imports `course`. One
    that cannot be read may be."""
    try:
        notebook = read_notebook(path)
    except BadNotebook:
        return True
    metadata = notebook.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("course"), dict):
        return True
    cells = map(as_read, notebook["cells"])
    return any(kind == "code" and IMPORT.search(source) for kind, source, _ in cells)


def has_checks(path: Path) -> bool:
    """Whether a notebook of the course calls `check`, as a chapter's does; one that cannot be read may."""
    try:
        return any(kind == "code" and CHECK.search(source) for kind, source, _ in read_cells(path))
    except BadNotebook:
        return True


def find_answers(cells: list[Cell], wanted: Mapping[str, ExerciseKey]) -> dict[str, Answer]:
    """The Answer to each exercise. cells: from `read_cells`. wanted: dict from exercise number to its key."""
    code = [(i, source, ids) for i, (kind, source, ids) in enumerate(cells) if kind == "code"]
    return {number: _find(number, one.name, one.stub, cells, code) for number, one in wanted.items()}


def locate(number: str, name: str, cells: list[Cell]) -> list[int]:
    """The positions of the cells that hold the answer to an exercise, which defines `name`: those with its line, or
    else with its id, or else those that define the name. cells: from `read_cells`."""
    code = [(i, source, ids) for i, (kind, source, ids) in enumerate(cells) if kind == "code"]
    return [i for i, _ in _locate(number, name, code)[0]]


def _locate(number: str, name: str, code: list[Located]) -> tuple[list[tuple[int, str]], str]:
    """The (position, source) of each cell, and a note."""
    found = [(i, source) for i, source, _ in code if _marked(source, number)]
    note = ""
    if not found:
        found = [(i, source) for i, source, ids in code if cell_id(number) in ids and not EXERCISE.search(source)]
        if not found:
            pairs = [(i, source) for i, source, _ in code]
            found = [pair for pair in naming(pairs, name) if defines(pair[1], name)] if name else []
        if found:
            note = f"the line '# Exercise {number}' is missing; the cell was recognised all the same"
    return found, note


def _marked(source: str, number: str) -> bool:
    return any(found[1] == number for found in EXERCISE.finditer(source))


def _find(number: str, name: str, stub: str, cells: list[Cell], code: list[Located]) -> Answer:
    found, note = _locate(number, name, code)
    if not found:
        if any(kind != "code" and _marked(source, number) for kind, source, _ in cells):
            return Answer(None, f"the cell of exercise {number} is not a code cell: select it and press Esc, then Y")
        return Answer(
            None,
            f"there is no cell that begins with '# Exercise {number}': put that line first in the cell with your "
            f"answer, or copy the cell from a fresh notebook",
        )
    written = [(i, source) for i, source in found if source.strip() != stub.strip()]
    i, source = (written or found)[-1]
    if (untouched(source, stub) or untouched(source, "")) and (below := _below(i, name, code)):
        i, source = below
        note = f"the answer to exercise {number} stands in a cell below its line '# Exercise {number}'"
    if len(source) > MOST_LETTERS:
        return Answer(None, f"the cell of exercise {number} holds more than {MOST_LETTERS // 1000},000 characters")
    if len(found) > 1:
        note = f"exercise {number} stands in {len(found)} cells; the last one with an answer was graded"
    following = cells[i + 1] if i + 1 < len(cells) else Cell("", "", set())
    if not compiles(source) and following[0] == "code" and compiles(source + "\n" + following[1]):
        note = (
            f"the cell of exercise {number} looks split in two: select both cells and merge them with Shift+M "
            "(only the one with the exercise's line is graded)"
        )
    return Answer(source, note)


def _below(marked: int, name: str, code: list[Located]) -> tuple[int, str] | None:
    """The (position, source) of the cell that answers below a marked one, which has nothing in it: the last one before
    the next exercise that defines `name`; or None."""
    found = None
    for i, source, _ in code:
        if i > marked and EXERCISE.search(source):
            break
        if i > marked and name and defines(source, name):
            found = i, source
    return found


def assemble(key: ChapterKey, submission: list[Cell], exercises: Collection[str] | None = None) -> Assembly:
    """Put a learner's answers into a notebook made of the chapter's key.

    key: a ChapterKey; its answers are not looked at. submission: cells from `read_cells`. exercises: the numbers to
    take; all, if None. Returns an Assembly whose notebook holds the lesson's definitions, then each exercise's answer
    and check: the lesson's training is not run. Where it uses an earlier one, that is there too.
    """
    import nbformat.v4 as v4

    answers = find_answers(submission, key.exercises)
    cells = []
    if key.definitions:
        source = "\n\n".join(key.definitions)
        cells.append(v4.new_code_cell(source, id="definitions", metadata={"course": {"role": "definition"}}))
    wanted = set(key.exercises if exercises is None else exercises)
    for number, one in key.exercises.items():
        if number not in wanted | _leaned_on(key, answers, wanted):
            continue
        course = {"role": "answer", "exercise": number}
        cells.append(v4.new_code_cell(answers[number].source or "", id=cell_id(number), metadata={"course": course}))
        if number not in wanted:
            continue
        metadata = {
            "course": {"role": "check", "exercise": number, "points": one.points},
            "tags": ["nbval-check-output"],
        }
        expected = v4.new_output("stream", name="stdout", text=f"exercise {number} {PASSED} {one.count} cases\n")
        cells.append(
            v4.new_code_cell(
                one.check, id=cell_id(number, "check"), metadata=metadata, outputs=[expected], execution_count=1
            )
        )
    stubs = {number: one.stub for number, one in key.exercises.items()}
    return Assembly(v4.new_notebook(cells=cells), answers, submission, stubs)


def _leaned_on(key: ChapterKey, answers: dict[str, Answer], wanted: set[str]) -> set[str]:
    """The exercises whose names stand in the answers to some later ones that are wanted, or in theirs."""
    found, names = set(), ""
    for number, one in reversed(key.exercises.items()):
        if number not in wanted and re.search(rf"\b{re.escape(one.name)}\b", names):
            found.add(number)
        if number in wanted | found:
            names += answers[number].source or ""
    return found


def answered(key: ChapterKey, cells: list[Cell]) -> list[str]:
    """The exercises that a learner's notebook holds an answer to: their numbers. key: a ChapterKey. cells: from
    `read_cells`."""
    answers = find_answers(cells, key.exercises)
    given = {number: answer.source for number, answer in answers.items() if answer.source is not None}
    return [number for number, source in given.items() if not untouched(source, key.exercises[number].stub)]


def elsewhere(cells: list[Cell], name: str, number: str) -> str:
    """What to tell a learner whose answer to an exercise uses a name that another cell makes; "" where none does."""
    code = [(i, source) for i, (kind, source, _) in enumerate(cells, start=1) if kind == "code"]
    for position, source in naming(code, name):
        if _marked(source, number):
            continue
        if line := names_made(source).get(name):
            return (
                f"{name} is made in another cell of the notebook, the {_ordinal(position)}, by the line {line[:60]!r}; "
                f"an exercise's own cell is all that is graded: move that into the cell of exercise {number}"
            )
    return ""


def _ordinal(n: int) -> str:
    ending = "th" if n // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def cell_id(number: str, kind: str = "exercise") -> str:
    """The id of an exercise's answer cell, or of its check, in every notebook of the course."""
    return f"{kind}-{number.replace('.', '-')}"
