"""The pages derived from the chapters' headers and records: the index, the README's tables, the glossary, the
recorded runs."""

import functools
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course.authoring import audit, chapters, glossary
from course.authoring.chapters import Entry
from course.authoring.notebooks import KERNELSPEC, unique_id
from course.files import notebook_text, write
from course.lesson import recording, settings

PROGRESS = """\
# Where are you? Click here and press Shift+Enter: the table keeps up with your checks.
from course import progress

progress()"""


class PageError(Exception):
    """A page that cannot be made; the message says which and why."""


def syllabus(entries: list[Entry], link: Callable[[Entry], str]) -> str:
    """The table of chapters as Markdown; `link` gives a chapter's address. entries: from `chapters.entries`."""
    lines = ["| | chapter | you will meet | data | minutes |", "|---|---|---|---|---|"]
    for entry in entries:
        h = entry.header
        teaches = ", ".join(h["teaches"])
        data = ", ".join(h["data"])
        lines.append(f"| {entry.number} | [{h['title']}]({link(entry)}) | {teaches} | {data} | {h['minutes']} |")
    return "\n".join(lines)


def index_notebook(entries: list[Entry]) -> Any:
    """The notebook that JupyterLab opens at: `solutions/index.md`, a cell per `---`, with the table of chapters. A cell
    that is nothing but {{progress}} becomes code that shows where a learner is."""
    import nbformat.v4 as v4

    source = settings.solutions_folder() / "index.md"
    text = source.read_text(encoding="utf-8") if source.exists() else "# Chapters\n\n{{syllabus}}"
    table = syllabus(entries, lambda entry: f"{entry.stem}.ipynb")
    texts = [t.strip().replace("{{syllabus}}", table) for t in re.split(r"(?m)^---$", text)]
    cells = [
        v4.new_code_cell(PROGRESS, id="progress")
        if t == "{{progress}}"
        else v4.new_markdown_cell(t, id=unique_id(t, set()))
        for t in texts
    ]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def audits(entries: list[Entry]) -> str:
    """The table of what the audits of the chapters' checks found, as Markdown."""
    heads = ("chapter", "exercises", *audit.COUNTS, "accepted")
    lines, sums = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"], [0] * (len(heads) - 1)
    for entry in entries:
        found = list(audit.load(entry.number).values())
        accepted = sum(len(one["survivors"]) for one in found)
        counts = [len(found), *(sum(one[name] for one in found) for name in audit.COUNTS), accepted]
        sums = [a + b for a, b in zip(sums, counts)]
        lines.append(f"| {entry.number} | {' | '.join(map(str, counts))} |")
    return "\n".join([*lines, f"| all | {' | '.join(f'{count:,}' for count in sums)} |"])


def derived_readme(entries: list[Entry], text: str) -> str:
    """README's text with the tables of chapters and of audits, each between its two markers, made anew. Raises
    PageError without markers."""
    tables = {"syllabus": syllabus(entries, lambda entry: f"notebooks/{entry.stem}.ipynb"), "audit": audits(entries)}
    for name, table in tables.items():
        marks = rf"(<!-- {name}[^>]*-->\n).*?(\n<!-- end of {name} -->)"
        text, count = re.subn(marks, functools.partial(_between, table), text, flags=re.DOTALL)
        if count != 1:
            raise PageError(f"README.md must hold one pair of <!-- {name} ... --> and <!-- end of {name} -->")
    return text


def _between(table: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{table}{marks[2]}"


def results_page(entries: list[Entry]) -> str:
    """`docs/results.md`: what the recorded runs of the chapters cost, and their figures, as Markdown."""
    costs = [
        "| chapter | budget | on | data | seeds | wall, s | CPU, s | memory, MB | product, ms | loop, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    parts = []
    for entry in entries:
        recorded = recording.load(entry.number)
        title = f"{entry.number} {entry.header['title']}"
        budgets = [budget for budget in settings.BUDGETS if budget in recorded]
        for budget in budgets:
            run = recorded[budget]
            wall, cpu = (f"{statistics.median(run[key]):.0f}" for key in ("wall_seconds", "cpu_seconds"))
            where = [run["device"], *([run["processor"]] if "processor" in run else [])]
            on = ", ".join([*where, f"{run['backend']} {run['versions'][run['backend']]}"])
            seeds, memory = len(run["seeds"]), max(run["peak_memory_mb"])
            speed = [f"{statistics.median(run[key]):.1f}" if key in run else "–" for key in ("product_ms", "loop_ms")]
            cells = [title, budget, on, run["data"], seeds, wall, cpu, f"{memory:,}", *speed]
            costs.append(f"| {' | '.join(map(str, cells))} |")
        if budgets:
            names = dict.fromkeys(name for budget in budgets for name in recorded[budget]["figures"])
            lines = [f"| {title} | {' | '.join(budgets)} |", "|---" * (1 + len(budgets)) + "|"]
            for name in names:
                found = [recorded[budget]["figures"].get(name) for budget in budgets]
                shown = [recording.summary(values) if values else "–" for values in found]
                lines.append(f"| {name.replace('_', ' ')} | {' | '.join(shown)} |")
            parts.append("\n".join(lines))
    text = (
        "# Recorded runs\n\n"
        "Each chapter is run as a plain script, once per seed, by `course measure`. The times are medians over the "
        "seeds and hold the import of Keras and all training; the memory is the largest. Just before each run, the "
        "machine multiplied two float32 matrices 1024 × 1024 in NumPy and went 200,000 times round a loop in "
        "Python: where these took long, it was the machine that was slow, and not the chapter. A figure is the mean "
        "over the seeds ± their standard deviation. Made by `course build` from `course/results/`."
    )
    return "\n\n".join([text, "\n".join(costs), *parts]) + "\n"


def results_path() -> Path:
    """Where `results_page` goes."""
    return settings.ROOT / "docs" / "results.md"


def write_pages() -> list[Path]:
    """Write the index notebook, the glossary, the README's tables and the page of recorded runs, where they are not
    so already. Returns the paths of those that have changed."""
    entries, changed = chapters.entries(), []
    readme = settings.ROOT / "README.md"
    pages = {
        chapters.notebooks() / "index.ipynb": notebook_text(index_notebook(entries)),
        chapters.notebooks() / glossary.PAGE: notebook_text(glossary.notebook(entries)),
    }
    if settings.solutions_folder() == settings.ROOT / "solutions":  # README and records are this course's own
        pages[readme] = derived_readme(entries, readme.read_text(encoding="utf-8"))
        pages[results_path()] = results_page(entries)
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write(path, text)
            changed.append(path)
    return changed
