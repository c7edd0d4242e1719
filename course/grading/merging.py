"""Bringing a lesson's new cells under a learner's answers, notes and own cells: a three-way rule on cells.

Three states of a notebook are compared: the lesson that a learner's copy was made from (the base), the copy, and the
lesson as it is now. The result has every cell of the new lesson, in the lesson's order, and in it or beside it
everything that the learner wrote:

- an answer stays in its cell; where nothing was written yet, the new blank cell takes its place;
- a cell of the lesson that the learner changed stays changed; where the lesson has changed it too, the learner's
  version stands above the new one, so that what follows meets the lesson's;
- a cell of the learner's own stays behind the cell that it followed;
- a cell of the lesson that was moved or deleted is back in its place, and one that the lesson no longer has goes;
- outputs stay where the code that made them does.

Cells are found by their ids, then by their exercise's line, then by their text: editors drop ids. Where there is no
base, a cell of any earlier lesson is known by its id, which is a digest of its text (see `authoring.notebooks`).

A notebook is a dict here, as JSON gives it, and its cells are as `plain` gives them: what a learner's editor has saved
may be no valid notebook, and is kept all the same.
"""

import ast
import copy
import difflib
import functools
import hashlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course.exercises.cells import EXERCISE, untouched
from course.exercises.keys import ChapterKey
from course.grading import submission

ALIKE = 0.5  # of two texts between two cells that correspond: from here on the one is taken for the other, changed
WORD = re.compile(r"\w+|[^\w\s]")
ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Cells of a lesson whose ids do not depend on their text: how the build writes them.
FIXED = {
    # Folded, or as it was before that.
    "title": r"# \d+\. [^\n]+\n\n\*Part [^\n]+\*\n\n"
    r"(<details><summary>[^\n]+</summary>\n(\n- [^\n]+)+\n\n</details>"
    r"|\*\*You need:\*\* [^\n]+\n\nRun a cell with Shift\+Enter\.[^\n]+)",
    "navigation": r"((Next|Previous): \[[^\n\]]+\]\([^\n)]+\) · )*\[All chapters\]\([^\n)]+\)",
    "resume": r'# [^\n]+\nfrom course import resume\n\nresume\("\d\d"\)',
    "progress": r"# [^\n]+\nfrom course import progress\n\nprogress\(\)",
    "check": r'check\("\d+\.\d+", \w+\)',
    "question": r'ask\("[\w.]+", \.\.\.\)',
}
OPEN_BODY = ["# YOUR CODE HERE", "raise NotImplementedError()"]


Cell = dict[str, Any]  # as `plain` gives it
Notebook = dict[str, Any]


class MergeError(Exception):
    """Two notebooks that cannot be brought together; the message says why."""


@dataclass
class Merged:
    """What came of it. notebook: a valid one, as a dict. new, changed, gone: how many cells of the lesson are, compared
    by their text. answers: the numbers of the exercises whose answers are kept. own, edited: how many cells of the
    learner's own are kept, and of the lesson's as the learner changed them. both: of how many cells there are now two
    versions. asked: the exercises whose cells have changed under an answer."""

    notebook: Notebook

    new: int = 0
    changed: int = 0
    gone: int = 0
    answers: list[str] = field(default_factory=list)
    own: int = 0
    edited: int = 0
    both: int = 0
    asked: list[str] = field(default_factory=list)


def plain(notebook: Notebook) -> list[Cell]:
    """The cells of a notebook, a dict as JSON gives it, each with cell_type, id (or ""), metadata, source (a text),
    and, for code, outputs and execution_count. Cells that are none are left out."""
    return [_plain(cell) for cell in notebook.get("cells", []) if isinstance(cell, dict)]


def _plain(cell: Any) -> Cell:
    kind = cell.get("cell_type") if cell.get("cell_type") in ("code", "markdown", "raw") else "raw"
    name, metadata = cell.get("id"), cell.get("metadata")
    made = {
        "cell_type": kind,
        "id": name if isinstance(name, str) and ID.fullmatch(name) else "",
        "metadata": metadata if isinstance(metadata, dict) else {},
        "source": _joined(cell.get("source", cell.get("input", ""))).replace("\r\n", "\n"),  # "input": nbformat 3
    }
    if kind == "code":
        outputs, count = cell.get("outputs"), cell.get("execution_count")
        made["outputs"] = [one for one in outputs if isinstance(one, dict)] if isinstance(outputs, list) else []
        made["execution_count"] = count if type(count) is int else None
    elif isinstance(cell.get("attachments"), dict):
        made["attachments"] = cell["attachments"]
    return made


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def written(cells: list[Cell], key: ChapterKey | None = None, base: list[Cell] | None = None) -> list[int]:
    """The positions of the cells that hold something that a learner wrote: own cells, changed ones, answers. key: the
    chapter's key, or None. base: the cells of the lesson that they were made from, or None where it is not known."""
    return _Match(base, cells, cleaned(cells, key) if base is None else base, key).mine_alone()


def answers(cells: list[Cell], key: ChapterKey, base: list[Cell] | None = None) -> dict[str, str]:
    """What a learner's cells answer: a dict from exercise to the text of the cell that is graded. Arguments as for
    `written`."""
    match = _Match(base, cells, cleaned(cells, key) if base is None else base, key)
    pairs = [(number, cells[i]["source"]) for i, number in match.answers.items()]
    return {number: source for number, source in sorted(pairs) if not match.blank(number, source)}


def cleaned(cells: list[Cell], key: ChapterKey | None = None) -> list[Cell]:
    """The lesson that a learner's cells were made from, as far as they tell: with blank answers, and without the cells
    that hold something of the learner's."""
    texts = [submission.as_read(cell) for cell in cells]
    stubs: dict[int, Cell] = {}
    for number, one in (key.exercises if key else {}).items():
        if found := submission.locate(number, one.name, texts):
            course = {**_course(cells[found[0]]), "role": "answer", "exercise": number}
            metadata = {**cells[found[0]]["metadata"], "course": course}
            blank: Cell = {"source": one.stub, "metadata": metadata, "outputs": [], "execution_count": None}
            stubs[found[0]] = {**cells[found[0]], "id": submission.cell_id(number), **blank}
    return [stubs.get(i, cell) for i, cell in enumerate(cells) if i in stubs or is_lesson(cell)]


def merge(
    base: list[Cell] | None,
    mine: list[Cell],
    new: list[Cell],
    key: ChapterKey | None = None,
    metadata: dict[str, Any] | None = None,
    new_metadata: dict[str, Any] | None = None,
) -> Merged:
    """Bring the lesson's cells `new` under what a learner wrote in `mine`, and say what that changed: a Merged.

    base: the cells of the lesson that `mine` was made from, or None where that is not known. All three are as `plain`
    gives them. key: the chapter's key, which belongs to `new`; None for a notebook without exercises. metadata,
    new_metadata: of the two notebooks. Raises MergeError rather than lose a line, or change which answer is graded.
    """
    match = _Match(base, mine, new, key)
    result = match.result()
    notebook: Notebook = {
        "cells": _with_ids(result, new),
        "metadata": {**(new_metadata or {}), **(metadata or {})},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    if new_metadata and "course" in new_metadata:
        notebook["metadata"]["course"] = new_metadata["course"]
    merged = match.merged(_valid(notebook))
    _hold(match, merged.notebook["cells"])
    return merged


class _Match:
    """Which cell corresponds to which, by position. slots: from `mine` to `new`. origins: from `mine` to `base`. after:
    from `base` to `new`. answers: those of `mine` that are graded, and the exercise of each. copies: by their place in
    `new`, others of `mine` for the same exercise. within: cells of `new` that the learner has joined to another one.
    dropped: cells of `mine` that are the lesson's and no longer in it."""

    def __init__(self, base: list[Cell] | None, mine: list[Cell], new: list[Cell], key: ChapterKey | None) -> None:
        self.mine, self.new, self.exercises = mine, new, key.exercises if key else {}
        self.lesson = {_number(cell): j for j, cell in enumerate(new) if _number(cell)}
        self.known = base is not None
        self.slots: dict[int, int] = {}
        self.copies: dict[int, list[int]] = {}
        self.answers: dict[int, str] = {}
        self.within: set[int] = set()
        self.base = [] if base is None else base
        self.stubs = {n: [one.stub, *self._stubs(n)] for n, one in self.exercises.items()}
        self._answers()
        if base is None:
            self.base = self._rebuilt()
        self.after = _aligned(self.base, new)
        self.origins: dict[int, int] = {}
        self.dropped: set[int] = set()
        self._lesson_cells()

    def _stubs(self, number: str) -> list[str]:
        return [cell["source"] for cell in [*self.base, *self.new] if _number(cell) == number]

    def _answers(self) -> None:
        """Find the cell of each exercise as the grader does; other cells with its line keep their place above it."""
        cells = [submission.as_read(cell) for cell in self.mine]
        for number, one in self.exercises.items():
            found = submission.locate(number, one.name, cells)
            if not found or number not in self.lesson:
                continue
            answered = [i for i in found if not self.blank(number, self.mine[i]["source"])]
            chosen = (answered or found)[-1]
            if chosen in self.slots:  # one cell with two exercises in it
                self.within.add(self.lesson[number])
                continue
            self.slots[chosen] = self.lesson[number]
            self.answers[chosen] = number
            for i in found:
                if i != chosen and i not in self.slots:
                    self.copies.setdefault(self.lesson[number], []).append(i)

    def blank(self, number: str, source: str) -> bool:
        """Whether nothing is written in an answer cell."""
        stubs = self.stubs[number]
        if not source.strip() or untouched(source, "") and _comments(source) <= set().union(*map(_comments, stubs)):
            return True
        if any(untouched(source, stub) and _comments(source) <= _comments(stub) for stub in stubs):
            return True
        return not self.known and _is_open(source, stubs)

    def _rebuilt(self) -> list[Cell]:
        """The base, as far as the learner's copy itself tells."""
        by_id = {cell["id"]: cell for cell in self.new if cell["id"]}
        found: list[Cell] = []
        for i, cell in enumerate(self.mine):
            if i in self.answers:
                continue
            if is_lesson(cell):
                if not any(_same(cell, other) for other in found):
                    found.append({**cell, "outputs": None})
            elif _is_digest(cell["id"]) and cell["id"] in by_id:  # changed, and this is what it was
                found.append({**by_id[cell["id"]], "outputs": None})
        return found

    def _lesson_cells(self) -> None:
        others = [i for i in range(len(self.mine)) if i not in self.answers and i not in sum(self.copies.values(), [])]
        used: set[int] = set()

        def claim(i: int, test: Callable[[Cell, Cell], bool]) -> None:
            for b, cell in enumerate(self.base):
                if b not in used and cell["cell_type"] == self.mine[i]["cell_type"] and test(cell, self.mine[i]):
                    used.add(b)
                    self.origins[i] = b
                    return

        # The id tells first; of two cells with one id, the one that is as it was.
        for i in others:
            if self.mine[i]["id"]:
                claim(i, lambda c, m: c["id"] == m["id"] and _same(c, m))
        for i in others:
            if i not in self.origins and self.mine[i]["id"]:
                claim(i, lambda c, m: c["id"] == m["id"] and not _number(c))
        for i in others:
            if i not in self.origins and self.mine[i]["source"].strip():
                claim(i, _same)
        for i, b in self.origins.items():
            j = self.after.get(b)
            if j is not None and j not in self.slots.values():
                self.slots[i] = j
            elif _same(self.mine[i], self.base[b]):
                self.dropped.add(i)
        for i in others:
            if i not in self.origins and self.mine[i]["source"].strip():
                free = [j for j, c in enumerate(self.new) if j not in self.slots.values() and _same(c, self.mine[i])]
                if free:
                    self.slots[i] = free[0]
        # A cell of some earlier lesson goes; a second one of the same text the learner has made, and it stays.
        seen = {self.mine[i]["source"].strip() for i in {*self.slots, *self.dropped}}
        for i in others:
            cell = self.mine[i]
            if i not in self.origins and i not in self.slots:
                empty = not cell["source"].strip() and not cell.get("outputs")
                if empty or (is_lesson(cell) and not _is_note(cell) and cell["source"].strip() not in seen):
                    self.dropped.add(i)
                seen.add(cell["source"].strip())

        self._without_ids()

    def _without_ids(self) -> None:
        """Where neither an id nor a base tells, a cell that is like one of the lesson may be an earlier state of it. It
        stands above that one, so that what follows meets the lesson."""
        edges = [(-1, -1), *_increasing(sorted(self.slots.items())), (len(self.mine), len(self.new))]
        for (i0, j0), (i1, j1) in zip(edges, edges[1:]):
            free = [j for j in range(j0 + 1, j1) if j not in self.slots.values()]
            for i in range(i0 + 1, i1):
                cell = self.mine[i]
                if not cell["id"] and i in self.own() and i not in sum(self.copies.values(), []):
                    for j in free:
                        if cell["cell_type"] == self.new[j]["cell_type"] and _alike(
                            cell["source"], self.new[j]["source"]
                        ):
                            self.copies.setdefault(j, []).append(i)
                            free = [k for k in free if k > j]
                            break

    def edited(self, i: int) -> bool:
        """Whether a cell in a slot is the lesson's and the learner changed it."""
        if i in self.answers or not self.mine[i]["source"].strip():
            return False
        before = self.base[self.origins[i]] if i in self.origins else self.new[self.slots[i]]
        return not _same(self.mine[i], before)

    def own(self) -> list[int]:
        """The positions of the learner's own cells."""
        return [i for i in range(len(self.mine)) if i not in self.slots and i not in self.dropped]

    def mine_alone(self) -> list[int]:
        """The positions of all cells that hold something that the learner wrote."""
        answered = [i for i, number in self.answers.items() if not self.blank(number, self.mine[i]["source"])]
        edited = [i for i in self.slots if self.edited(i)]
        own = [i for i in self.own() if not (_is_note(self.mine[i]) and is_lesson(self.mine[i]))]
        return sorted({*answered, *edited, *own})

    def result(self) -> list[Cell]:
        """The cells of the merged notebook; those of the learner's own, and both versions of a cell, without an id."""
        behind: dict[int | None, list[int]] = {None: []}
        above: dict[int, list[int]] = {}
        at = None
        copies = {i: j for j, found in self.copies.items() for i in found}
        for i in range(len(self.mine)):
            if i in copies:
                above.setdefault(copies[i], []).append(i)
            elif i in self.slots:
                at = self.slots[i]
            elif i not in self.dropped:
                behind.setdefault(at, []).append(i)
        came = {j: i for i, j in self.slots.items()}
        cells = [self._own(i) for i in behind[None]]
        self.both = 0
        self.asked: list[str] = []
        for j in range(len(self.new)):
            cells += [self._own(i) for i in above.get(j, [])]
            if j not in self.within:
                cells += self._made(j, came.get(j))
            cells += [self._own(i) for i in behind.get(j, [])]
        # A new note on an exercise takes the place of an old one.
        old = [c for c in cells if c.get("own") and _is_note(c) and is_lesson(c) and _asked(c) in self.asked]
        return [cell for cell in cells if not any(cell is one for one in old)]

    def _own(self, i: int) -> Cell:
        cell = copy.deepcopy(self.mine[i])
        if not _is_note(cell):  # a copy of a cell of the lesson is a cell like any other
            for name in ("course", "nbgrader"):
                cell["metadata"].pop(name, None)
        cell["own"] = True
        return cell

    def _made(self, j: int, i: int | None) -> list[Cell]:
        """The cells that stand for cell j of the new lesson, the learner's cell i being it, or none."""
        cell = copy.deepcopy(self.new[j])
        if i is None:
            return [cell]
        mine = self.mine[i]
        if i in self.answers:
            number = self.answers[i]
            if self.blank(number, mine["source"]):
                return [self._with_outputs(cell, mine, None)]
            kept = self._in_place(cell, mine)
            before = next((c["source"] for c in self.base if _number(c) == number), None)
            if before is None or before.strip() == cell["source"].strip():
                return [kept]
            self.asked.append(number)
            return [_note(ASKED.format(number=number, stub=cell["source"]), number), kept]
        before = self.base[self.origins[i]] if i in self.origins else None
        if not self.edited(i):
            return [self._with_outputs(cell, mine, before)]
        if before is None or _same(before, cell):
            return [self._in_place(cell, mine)]
        self.both += 1
        return [_note(BOTH), self._own(i), cell]

    def _in_place(self, cell: Cell, mine: Cell) -> Cell:
        """The learner's version of a cell of the lesson."""
        kept = {**copy.deepcopy(mine), "id": cell["id"], "cell_type": cell["cell_type"]}
        return {**kept, "metadata": {**mine["metadata"], **cell["metadata"]}}

    def _with_outputs(self, cell: Cell, mine: Cell, before: Cell | None) -> Cell:
        """The lesson's cell with the learner's outputs, where the code is the same and they are not the lesson's."""
        if cell["cell_type"] != "code" or not _same(cell, mine):
            return cell
        if before is not None and before["outputs"] is not None and _outputs(before) == _outputs(mine):
            return cell
        if before is not None and before["outputs"] is None and not mine["outputs"]:
            return cell
        return {**cell, "outputs": mine["outputs"], "execution_count": mine["execution_count"]}

    def merged(self, notebook: Notebook) -> Merged:
        """What came of it, after `result`. notebook: made of that."""
        met = set(self.after.values()) | set(self.slots.values())
        answered = [number for i, number in self.answers.items() if not self.blank(number, self.mine[i]["source"])]
        own = [i for i in self.own() if not _is_note(self.mine[i])]
        return Merged(
            notebook,
            new=len(self.new) - len(met),
            changed=sum(not _same(self.base[b], self.new[j]) for b, j in self.after.items()),
            gone=len(self.base) - len(self.after),
            answers=sorted(answered, key=lambda number: [int(part) for part in number.split(".")]),
            own=len(own),
            edited=sum(self.edited(i) for i in self.slots),
            both=self.both,
            asked=self.asked,
        )


def _aligned(base: list[Cell], new: list[Cell]) -> dict[int, int]:
    """Which cell of the new lesson each of the base's has become: a dict of positions. By exercise, by id, by text, and
    between two cells that correspond by likeness."""
    found: dict[int, int] = {}

    def pair(test: Callable[[Cell, Cell], bool]) -> None:
        taken = set(found.values())
        for b, cell in enumerate(base):
            if b not in found:
                for j, other in enumerate(new):
                    if j not in taken and cell["cell_type"] == other["cell_type"] and test(cell, other):
                        found[b] = j
                        taken.add(j)
                        break

    pair(lambda a, b: _number(a) is not None and _number(a) == _number(b))
    pair(lambda a, b: a["id"] != "" and a["id"] == b["id"] and not _number(a))
    pair(_same)
    # Cells that correspond in order cut both notebooks into stretches; a changed cell is looked for in its own.
    edges = _increasing(sorted(found.items()))
    for (b0, j0), (b1, j1) in zip([(-1, -1), *edges], [*edges, (len(base), len(new))]):
        left = [j for j in range(j0 + 1, j1) if j not in found.values()]
        for b in range(b0 + 1, b1):
            if b in found:
                continue
            for j in left:
                if base[b]["cell_type"] == new[j]["cell_type"] and _alike(base[b]["source"], new[j]["source"]):
                    found[b] = j
                    left = [k for k in left if k > j]
                    break
    return found


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A longest run of pairs, sorted by their firsts, whose seconds rise too."""
    best: list[list[tuple[int, int]]] = []  # by length: the last pairs of runs, each with the run before it
    for pair in pairs:
        before = max((run for run in best if run[-1][1] < pair[1]), key=len, default=None)
        best.append([*(before or []), pair])
    return max(best, key=len, default=[])


def _alike(one: str, other: str) -> bool:
    matcher = difflib.SequenceMatcher(None, WORD.findall(one), WORD.findall(other), autojunk=False)
    return matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def _same(one: Cell, other: Cell) -> bool:
    return bool(one["cell_type"] == other["cell_type"] and one["source"].strip() == other["source"].strip())


def _number(cell: Cell) -> str | None:
    """The exercise whose answer cell a lesson's cell is, or None."""
    return _asked(cell) if _course(cell).get("role") == "answer" else None


def _asked(cell: Cell) -> str | None:
    """The exercise that a cell of ours belongs to, or None."""
    return _course(cell).get("exercise")


def _course(cell: Cell) -> dict[str, Any]:
    """What the build says of a cell in its metadata: a dict."""
    course = cell["metadata"].get("course")
    return course if isinstance(course, dict) else {}


def digest(source: str) -> str:
    """The id that the build gives to a cell with this text, and the form of all such ids."""
    return hashlib.sha1(source.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:10]


def _is_digest(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{10}(-\d+)?", name) is not None


def is_lesson(cell: Cell) -> bool:
    """Whether a cell is, letter by letter, one that the build made, of whatever state of the course: its id says so."""
    name, source = cell["id"], cell["source"]
    if _is_digest(name) or name.startswith("note-"):
        return bool(name.removeprefix("note-").split("-")[0] == digest(source))
    kind = "check" if name.startswith("check-") else "question" if name.startswith("question-") else name
    return kind in FIXED and re.fullmatch(FIXED[kind], source.strip()) is not None


def _is_open(source: str, stubs: list[str]) -> bool:
    """Whether an answer cell of an earlier lesson is still blank: nothing but a docstring and what the build put in."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    known = set(OPEN_BODY).union(*map(_comments, stubs))
    if not _comments(source) <= known or not body or not any(_raises(node) for node in ast.walk(body[-1])):
        return False
    for node in body:
        functions = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)]
        if not functions or not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return False
        for function in functions:
            rest = function.body[1:] if ast.get_docstring(function) is not None else function.body
            if not all(_raises(statement) for statement in rest):
                return False
    return True


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and ast.unparse(node) == OPEN_BODY[1]


def _comments(source: str) -> set[str]:
    """The comments of a cell, its exercise's line apart, as far as they stand on lines of their own."""
    lines = (line.strip() for line in source.splitlines())
    return {line for line in lines if line.startswith("#") and not EXERCISE.match(line)}


def _outputs(cell: Cell) -> str:
    """The outputs of a cell as one text that is the same whichever editor saved them."""
    made = []
    for output in cell["outputs"]:
        data = output.get("data") if isinstance(output.get("data"), dict) else {}
        shown = {
            kind: _joined(value).strip() if isinstance(value, (str, list)) else value for kind, value in data.items()
        }
        text = _joined(output.get("text", ""))
        made.append([output.get("output_type"), output.get("name"), text, output.get("evalue"), shown])
    return json.dumps(made, sort_keys=True, default=str)


BOTH = (
    "**The course has changed the cell that you had changed.** The next cell is yours, as it was; the one after it is "
    "the course's. Take over what you want to keep, then delete this note and your old cell."
)
ASKED = (
    "**The course has changed exercise {number} since you answered it.** Your answer is below, as it was. The cell for "
    "it now begins like this; when your check is right again, delete this note.\n\n```python\n{stub}\n```"
)


def _note(text: str, number: str | None = None) -> Cell:
    course = {"role": "note"} | ({"exercise": number} if number else {})
    return {"cell_type": "markdown", "id": f"note-{digest(text)}", "metadata": {"course": course}, "source": text}


def _is_note(cell: Cell) -> bool:
    return _course(cell).get("role") == "note"


def _with_ids(cells: list[Cell], new: list[Cell]) -> list[Cell]:
    """The cells with ids that are valid and each given once: the lesson's own stay."""
    taken, made = {cell["id"] for cell in new}, []
    for cell in cells:
        cell = dict(cell)
        if cell.pop("own", False) or _is_note(cell):
            name, n = cell["id"], 1
            while not name or name in taken or _is_digest(name):  # it is not to look like a cell of the lesson
                name = f"own-{digest(cell['source'])[:8]}" + (f"-{n}" if n > 1 else "")
                n += 1
            cell["id"] = name
            taken.add(name)
        made.append(cell)
    return made


@functools.cache
def _validator() -> Callable[[Notebook], object]:
    """A function that raises JsonSchemaValueException for what is no notebook of format 4.5. Made of nbformat's schema,
    and without nbformat, which takes seconds to import."""
    import fastjsonschema

    found = importlib.util.find_spec("nbformat")
    folder = Path((found and found.origin) or "").parent
    schema = (folder / "v4" / "nbformat.v4.5.schema.json").read_text(encoding="utf-8")
    return fastjsonschema.compile(json.loads(schema))


def _valid(notebook: Notebook) -> Notebook:
    """The notebook, valid: whatever in a cell is against the format is left out, its text never."""
    from fastjsonschema import JsonSchemaException

    def sound(cells: list[Cell]) -> bool:
        try:
            _validator()({**notebook, "cells": cells})
        except JsonSchemaException:
            return False
        return True

    if sound(notebook["cells"]):
        return notebook
    if not sound([]):
        course = notebook["metadata"].get("course")
        notebook = {**notebook, "metadata": {"course": course} if course else {}}
    cells = []
    for cell in notebook["cells"]:
        if not sound([cell]):
            if "outputs" in cell:
                cell = {
                    **cell,
                    "outputs": [o for o in cell["outputs"] if sound([{**cell, "metadata": {}, "outputs": [o]}])],
                }
            if not sound([cell]):
                cell = {**cell, "metadata": {}}
            if not sound([cell]):
                cell.pop("attachments", None)
        cells.append(cell)
    if not sound(cells):
        raise MergeError("what came of it is no notebook")
    return {**notebook, "cells": cells}


def _hold(match: _Match, cells: list[Cell]) -> None:
    """Raise MergeError where a text of the learner's is not in the result, or another answer would be graded."""
    have = Counter((cell["cell_type"], cell["source"].strip()) for cell in cells)
    for i in match.mine_alone():
        text = match.mine[i]["source"].strip()
        kinds = ("code", "markdown", "raw") if i in match.answers else (match.mine[i]["cell_type"],)
        kind = next((kind for kind in kinds if have[kind, text]), None)
        if kind is None and text:
            raise MergeError(f"the cell that begins with {text.splitlines()[0][:60]!r} would be lost")
        have[kind, text] -= 1
    texts = [submission.as_read(cell) for cell in cells]
    for i, number in match.answers.items():
        if not match.blank(number, match.mine[i]["source"]):
            one = match.exercises[number]
            graded = submission.find_answers(texts, {number: one})[number].source
            if graded is None or graded.strip() != match.mine[i]["source"].strip():
                raise MergeError(f"another cell than before would count as the answer to exercise {number}")
