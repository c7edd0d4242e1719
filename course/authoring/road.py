"""The road through a chapter: what a learner sees of it with the asides folded, counted.

`review` holds a chapter to it; `course review` prints it.
"""

from dataclasses import dataclass
from typing import Any

from course.authoring import chapters, notebooks, wording
from course.authoring.chapters import Chapter

HIDDEN = (*chapters.UNFOLDED, "resume")  # the roles of cells that are no part of the lesson's own code
READING = 150  # words a minute
CODE = 10  # lines of visible code a minute
EXERCISE = (10, 25)  # minutes an exercise, from the quickest to the slowest learner


@dataclass(frozen=True)
class Road:
    """What there is to see. words: of all text, display equations left out. cells: each visible code cell with its
    number of lines, blank ones left out. exercises: how many. claims, controls: how many claims there are, and how many
    of them are tried on a control."""

    words: int
    cells: list[tuple[Any, int]]

    exercises: int
    claims: int
    controls: int

    @property
    def lines(self) -> int:
        return sum(count for _, count in self.cells)

    @property
    def longest(self) -> int:
        return max((count for _, count in self.cells), default=0)

    @property
    def minutes(self) -> tuple[float, float]:
        """How long a learner takes: (the least, the most)."""
        reading = self.words / READING + self.lines / CODE
        least, most = (reading + self.exercises * each for each in EXERCISE)
        return least, most


def of(chapter: Chapter) -> Road:
    """The Road of a Chapter, from its source alone."""
    texts = [notebooks.title_cell(chapter), *(c.source for c in chapter.cells if c.cell_type == "markdown")]
    cells = [
        (cell, sum(bool(line.strip()) for line in cell.source.splitlines())) for cell in filter(seen, chapter.cells)
    ]
    controls = [chapters.control(call) for call, _ in chapters.calls(chapter, "claim")]
    tried = sum(not chapters.is_constant(control) for control in controls if control is not None)
    return Road(wording.count("\n".join(texts)), cells, len(chapter.grading), len(controls), tried)


def seen(cell: Any) -> bool:
    """Whether a cell of a Chapter, or of a notebook derived from it, is code that stands open on the road."""
    return cell.cell_type == "code" and chapters.role(cell) not in HIDDEN and not chapters.is_aside(cell)


def opening(notebook: Any) -> Any:
    """Where a derived and executed notebook shows its first image, as a figure or in text, and its first visible code:
    two positions of cells, None where there is none."""
    image = next((i for i, cell in enumerate(notebook.cells) if shows_image(cell)), None)
    return image, next((i for i, cell in enumerate(notebook.cells) if seen(cell)), None)


def shows_image(cell: Any) -> bool:
    """Whether a cell of a notebook shows an image."""
    if cell.cell_type == "markdown":
        return "![" in cell.source
    return any(kind.startswith("image/") for output in cell.get("outputs", []) for kind in output.get("data", {}))
