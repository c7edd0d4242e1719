"""What pytest loads of the course by itself: the hook that has chapters graded by the course's plugin.

It is registered where the course is installed (`pytest11`, see pyproject.toml), so every run of pytest there has it,
those that have nothing to do with the course too. It loads nothing, and leaves every file alone, unless nbval was asked
to run notebooks and the notebook is one of this course's.
"""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from course.grading import plugin


def kind_of(path: Path | str) -> "type[plugin.GradedNotebook] | Literal[False] | None":
    """What a notebook is to pytest: the class that grades a learner's copy of a chapter; None for a notebook that is
    left to nbval; False for the course's index, in which there is nothing to run. That a notebook is of this course its
    content must say: a name that begins with 03_ does not."""
    from course.grading import plugin, submission
    from course.lesson import settings

    path = Path(path)
    # An author's executed notebook lies beside its source: it is no learner's.
    if path.with_suffix(".py").exists() and path.parent.resolve() == settings.solutions_folder().resolve():
        return None
    if not submission.of_course(path):
        return None
    if path.name == "index.ipynb":
        return False
    # One of a chapter that is not known, or that has lost all that tells its chapter, fails with a sentence: nbval
    # would compare what was saved in it with itself, and pass.
    chapter = submission.chapter_of(path)
    return plugin.GradedNotebook if chapter or submission.has_checks(path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    collected = yield
    option = parent.config.option
    asked = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if not asked or file_path.suffix != ".ipynb" or not collected:
        return collected
    import nbval.plugin as nbval

    others = [one for one in collected if not isinstance(one, nbval.IPyNbFile)]
    if len(others) == len(collected):
        return collected
    kind = kind_of(file_path)
    if kind is None:
        return collected
    return others + ([kind.from_parent(parent, path=file_path)] if kind else [])
