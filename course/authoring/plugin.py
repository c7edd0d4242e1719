"""The pytest plugin that runs the chapters' executed notebooks, whole or in part.

Where a notebook's evidence holds (see `course.authoring.evidence`), its definitions, proofs and checks are run and its
training is not; where it does not, or where the run asks for it, the notebook is run whole. The head of pytest's report
says which and why. `--chapters "03 06"` names chapters, `--whole` runs every chapter whole.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import nbval.plugin as nbval
import pytest

from course.authoring import chapters, evidence
from course.grading.plugin import CourseCell, CourseNotebook

PROMISES = ("definition", "proof", "answer", "check")  # the roles of cells that stand on definitions alone


class SolutionNotebook(CourseNotebook):
    """A chapter's executed notebook."""

    whole = True

    def collect(self) -> Iterator[CourseCell]:
        for item in super().collect():
            if self.whole or chapters.role(item.cell) in PROMISES:
                yield item


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chapters", default="", help='Limit the tests of chapters to these, such as "03 06".')
    parser.addoption("--whole", action="store_true", help="Run every chapter's notebook whole, whatever its evidence.")


def plan(config: pytest.Config) -> dict[Path, str]:
    """Which chapters are run whole in this session, and why: see `evidence.plan`. A process of pytest-xdist takes it
    from the one that began them."""
    kept: dict[Path, str] | None = getattr(config, "course_plan", None)
    if kept is None:
        if hasattr(config, "workerinput"):
            found = {Path(path): why for path, why in config.workerinput["course_plan"].items()}
        else:
            asked = config.getoption("--chapters").split()
            found = evidence.plan(chapters.select(asked), asked, config.getoption("--whole"))
        setattr(config, "course_plan", found)  # noqa: B010 - pytest's Config knows no such attribute
        return found
    return kept


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Where pytest-xdist runs, tell its processes the plan."""
    node.workerinput["course_plan"] = {str(path): why for path, why in plan(node.config).items()}


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    if not chapters.sources():
        return None
    reasons = plan(config)
    whole = [f"{path.name[:2]} ({why})" for path, why in reasons.items() if why]
    others = [path.name[:2] for path, why in reasons.items() if not why]
    lines = [f"chapters run whole: {', '.join(whole) or 'none'}"]
    if others:
        lines.append(f"definitions, proofs and checks only, for nothing else has changed: {', '.join(others)}")
    return lines


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    collected = yield
    if file_path.suffix != ".ipynb" or file_path.with_suffix(".py") not in chapters.sources():
        return collected
    others = [one for one in collected if not isinstance(one, nbval.IPyNbFile)]
    if len(others) == len(collected):  # nbval was not asked to run notebooks
        return collected
    notebook = SolutionNotebook.from_parent(parent, path=file_path)
    notebook.whole = bool(plan(parent.config).get(Path(file_path).with_suffix(".py"), "not in the plan"))
    return [*others, notebook]
