"""What a site is not made of: notebooks that are missing, stale or not executed, images without words, anchors that
are there twice. Each is a sentence that names file and cell, and what to do."""

import re
from collections import defaultdict

from course.authoring import build, chapters
from course.files import load_notebook

CAPTION = re.compile(r"\*Figure (\d+\.\d+)\.\s.+?\*(?=\n|$)", re.DOTALL)
ANCHORS = (
    ("equation", chapters.TAG),
    ("exercise", chapters.STARS),
    ("figure", re.compile(r"(?m)^\*Figure (\d+\.\d+)\.")),
    ("anchor", re.compile(r"(?m)^\(([\w.-]+)\)=\s*$|<\w+ id=\"([\w.-]+)\"|\{#([\w.-]+)")),
)
IMAGE = re.compile(r"!\[(\s*)\]\(([^)]*)\)")
HTML_IMAGE = re.compile(r"<img(?![^>]*\balt=\"[^\"]+\")[^>]*>")
WITHOUT_OUTPUTS = ("answer", "check", "ask", "resume")  # the roles of cells that a learner finds not yet run


def problems(paths):
    """All that keeps a site from being made. paths: those of the chapters' sources. Returns a list of sentences."""
    found = []
    for path in paths:
        chapter = chapters.read_chapter(path)
        if differences := build.differences(chapter):
            found += differences
            continue
        name, lesson = f"{chapter.notebook.parent.name}/{chapter.notebook.name}", load_notebook(chapter.notebook)
        found += outputs_problems(name, lesson, chapter)
        found += text_problems(name, lesson.cells)
    return found


def outputs_problems(name, lesson, chapter):
    """Cells that were not executed, and outputs that are not those of the executed chapter."""
    again, found = f"run: course build {chapter.number}", []
    for cell, executed in zip(lesson.cells, load_notebook(chapter.solution).cells):
        if cell.cell_type != "code" or chapters.role(cell) in WITHOUT_OUTPUTS:
            continue
        if cell.execution_count is None or (chapters.role(cell) in ("proof", "claim", "record") and not cell.outputs):
            found.append(f"{name}, cell {cell.id}: it was not executed; {again} --force")
        elif cell.outputs != executed.outputs:
            found.append(f"{name}, cell {cell.id}: its output is not that of the executed chapter; {again}")
    return found


def text_problems(name, cells):
    """Images without words for those who do not see them, and anchors of one name."""
    found, seen = [], defaultdict(list)
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                after = cells[number + 1] if number + 1 < len(cells) else None
                if after is None or after.cell_type != "markdown" or not CAPTION.match(after.source):
                    found.append(
                        f"{name}, cell {cell.id}: its image has no alt text; begin the Markdown cell below it with the "
                        "caption, *Figure 3.4. What it shows, in words.*"
                    )
            continue
        for _, address in IMAGE.findall(cell.source) + [("", one) for one in HTML_IMAGE.findall(cell.source)]:
            found.append(
                f"{name}, cell {cell.id}: the image {address} has no alt text; write it: ![what it shows](...)"
            )
        for kind, pattern in ANCHORS:
            for match in pattern.finditer(cell.source):
                seen[kind, next(group for group in match.groups() if group)].append(cell.id)
    for (kind, label), cell_ids in seen.items():
        if len(cell_ids) > 1:
            where = ", ".join(cell_ids)
            found.append(f"{name}, cells {where}: {kind} {label} is there {len(cell_ids)} times; number it anew")
    return found
