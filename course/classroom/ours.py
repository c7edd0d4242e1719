"""What of a hand-in is the course's own: its reference, which earns nobody anything, and its blank notebooks."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from course.exercises.cells import EXERCISE, untouched
from course.grading import submission
from course.grading.submission import Cell
from course.lesson import settings

MOST_BYTES = 4 * 2**20  # of a notebook that is looked into; a chapter with every figure in it is under 2 MB
LONGER = 4  # times as long as the reference's, an answer is another one; so no long one is parsed here
log = logging.getLogger("course.grader")


@dataclass
class Compared:
    """What a comparison with the course's own tells. ours: how a notebook is known to be it, or "". blank: whether it
    holds no answer. notes: sentences on damage in spite of which it could be read."""

    ours: str = ""
    blank: bool = False
    notes: list[str] = field(default_factory=list)


class Ours:
    """Compares notebooks with the course's own.

    stubs: gives a chapter's blank answer cells, and solutions the reference's, by exercise, for a chapter's number; or
    None, where they are not known.
    """

    def __init__(
        self, stubs: Callable[[str], dict[str, str] | None], solutions: Callable[[str], dict[str, str] | None]
    ) -> None:
        self.stubs, self.solutions = cache(stubs), cache(solutions)

    @cached_property
    def _references(self) -> set[str]:
        """The digests of the executed references, where they are at hand."""
        paths = settings.solutions_folder().glob("[0-9][0-9]_*.ipynb")
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def compare(self, chapter: str, path: Path) -> Compared:
        """The Compared of a notebook."""
        notes: list[str] = []
        try:
            if path.stat().st_size > MOST_BYTES:
                return Compared()
            if hashlib.sha256(path.read_bytes()).hexdigest() in self._references:
                return Compared("it is the course's own file, byte by byte")
            answers = _answers(submission.read_cells(path, notes.append))
        except (OSError, submission.BadNotebook):
            return Compared()
        except Exception as error:  # whatever a file is made to do to its reader, it ends nobody's run
            log.warning("%r cannot be compared: %s", str(path), type(error).__name__)
            return Compared()
        stubs = self.stubs(chapter) or {}
        if all(source.strip() == stubs.get(number, "").strip() for number, source in answers):
            return Compared(blank=True, notes=notes)
        solutions = self.solutions(chapter)
        if solutions and all(_given(number, solution, answers) for number, solution in solutions.items()):
            return Compared("all its answers are the reference's", notes=notes)
        return Compared(notes=notes)


def _answers(cells: list[Cell]) -> list[tuple[str, str]]:
    """Pairs of an exercise's number and the source of a code cell that begins with its line, or has its id."""
    found = []
    for kind, source, ids in cells:
        if kind != "code":
            continue
        numbers = {match[1] for match in EXERCISE.finditer(source)}
        numbers |= {one.removeprefix("exercise-").replace("-", ".") for one in ids if one.startswith("exercise-")}
        found += [(number, source) for number in sorted(numbers)]
    return found


def _given(number: str, solution: str, answers: list[tuple[str, str]]) -> bool:
    """Whether a reference's answer is among those of a notebook, comments and spaces apart."""
    own = [source for one, source in answers if one == number and len(source) <= LONGER * len(solution) + 1000]
    return any(untouched(source, solution) for source in own[-3:])
