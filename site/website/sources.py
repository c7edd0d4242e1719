"""The folder that Sphinx reads: a page for each lesson, and pages made of the course's documents."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from course.authoring import chapters, glossary, notebooks, release
from course.files import load_notebook, notebook_text, write
from course.lesson import settings
from website import documents, launching, lessons

PAGES = Path(__file__).resolve().parent.parent / "pages"
WORK = "solutions/index.md"
GLOSSARY = """\
# Glossary and notation

The terms of the field that the chapters introduce, each with its symbol, the chapter and its name in Chinese; before
them every symbol of the course. A symbol means the same in all chapters."""


def write_sources(folder, downloads, repository=None, students=False):
    """Write all that Sphinx reads, and what readers download.

    folder: for Sphinx. downloads: a folder of files that are copied into the site as they are. repository: a
    launching.Repository, or None. students: leave the solutions out.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)
    entries = chapters.entries()
    read = [(entry, *_notebooks(entry)) for entry in entries]
    wheel = write_downloads(downloads, entries, repository)
    for entry, lesson, solution in read:
        page = lessons.page(entry, lesson, solution, opening(entry, repository, wheel), students)
        write(folder / f"{entry.stem}.ipynb", notebook_text(page))
        if not students:
            write(folder / f"solutions-{entry.number}.md", lessons.solutions(entry, solution))
    write(folder / "glossary.ipynb", notebook_text(glossary_page(entries)))
    for name, text in texts(entries, read, repository, students).items():
        write(folder / name, text)
    shutil.copy(settings.ROOT / "docs" / "lesson.png", folder / "lesson.png")
    write(folder / "anchors.json", json.dumps(anchors(read), indent=1))


def _notebooks(entry):
    folder = settings.solutions_folder()
    lesson, solution = chapters.notebooks(folder) / f"{entry.stem}.ipynb", folder / f"{entry.stem}.ipynb"
    return load_notebook(lesson), load_notebook(solution)


def write_downloads(folder, entries, repository):
    """Lessons and wheel, as learners take them home; and, where there is a repository, lessons that install the wheel
    themselves, which is what Colab and Kaggle open. Returns the wheel's name."""
    with tempfile.TemporaryDirectory() as scratch:
        made, tree = Path(scratch) / "made", Path(scratch) / "tree"
        shutil.copytree(settings.keys_folder(), made / "keys", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(chapters.notebooks(), made / "notebooks", ignore=shutil.ignore_patterns(".*"))
        release.write_tree(tree, made)
        (folder / "lessons").mkdir(parents=True)
        wheel = release.build_wheel(tree, folder / "lessons")
    for entry in entries:
        path = chapters.notebooks() / f"{entry.stem}.ipynb"
        write(folder / "lessons" / path.name, path.read_bytes())
        if repository:
            lesson = launched(load_notebook(path), repository.wheel(wheel.name))
            write(folder / "launch" / path.name, notebook_text(lesson))
    write(folder / ".nojekyll", "")
    return wheel.name


def launched(lesson, wheel):
    """A lesson whose first cell of code installs the course. wheel: its address."""
    import nbformat.v4 as v4

    code = launching.install_cell(wheel)
    lesson.cells.insert(1, v4.new_code_cell(code, id=notebooks.unique_id(code, {cell.id for cell in lesson.cells})))
    return lesson


def opening(entry, repository, wheel):
    """The ways to open a lesson, as Markdown: a row of buttons, and what each needs."""
    home = [f'<a class="button" href="lessons/{entry.stem}.ipynb" download>Download the notebook</a>']
    ways = repository.launches(entry.stem) if repository else []
    buttons = home + [f'<a class="button" href="{address}">{name}</a>' for name, address, _ in ways]
    needs = f" {'; '.join(f'{name}: {need}' for name, _, need in ways)}." if ways else ""
    return (
        f'<div class="launch" id="open-this-lesson">\n{" ".join(buttons)}\n</div>\n\n'
        "{.launch-needs}\nIn the course's folder, `make lab` opens it in JupyterLab ([how to begin](start.md)). "
        f'Alone, it needs <a href="lessons/{wheel}" download>the course\'s wheel</a> beside it: '
        f"`%pip install {wheel}`.{needs}"
    )


def glossary_page(entries):
    """The glossary, with an introduction for readers of the site."""
    made = glossary.notebook(entries)
    made.cells[0].source = GLOSSARY
    return made


def texts(entries, read, repository, students):
    """The pages in Markdown: dict from file name."""
    root = settings.ROOT
    readme = (root / "README.md").read_text(encoding="utf-8")
    contributing = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    work = (root / "solutions" / "index.md").read_text(encoding="utf-8")
    results = (root / "docs" / "results.md").read_text(encoding="utf-8")
    tried = (root / "docs" / "matrix.md").read_text(encoding="utf-8")
    parts = {
        "introduction": documents.opening(readme),
        "commands": documents.first_code(documents.section(readme, "For learners")),
        "learners": documents.section(readme, "For learners"),
        "instructors": documents.section(readme, "For instructors"),
        "authors": documents.section(readme, "For authors"),
        "how to work": documents.section(work, "How to work", WORK).removesuffix("---").rstrip(),
        "three lines": documents.first_table(documents.section(work, "How to work", WORK), WORK),
        "contributing": re.sub(r"(?m)\A# .*\n", "", contributing),
        "results": re.sub(r"(?m)\A# .*\n", "", results),
        "versions": re.sub(r"(?m)\A# .*\n", "", tried),
        "exercises": "\n\n".join(lessons.exercises(entry, lesson) for entry, lesson, _ in read),
        "chapters": chapter_cards(entries),
        "toctrees": toctrees(entries),
        "solutions": "" if students else solutions_list(entries),
    }
    places = {f"notebooks/{entry.stem}.ipynb": f"{entry.stem}.ipynb" for entry in entries} | {
        "docs/lesson.png": "lesson.png",
        "docs/results.md": "results.md",
        "docs/matrix.md": "versions.md",
        "CONTRIBUTING.md": "contributing.md",
        "notebooks/glossary.ipynb": "glossary.ipynb",
    }
    found = {}
    for path in sorted(PAGES.glob("*.md")):
        if students and path.stem == "solutions":
            continue
        text = documents.relinked(documents.filled(path, parts), places)
        found[path.name] = text.replace("<this repository>", repository.address) if repository else text
    return found


def by_part(entries):
    """The chapters of each part of the course, in order: dict from the part's name to Entries."""
    found = {}
    for entry in entries:
        found.setdefault(entry.header["part"], []).append(entry)
    return found


def toctrees(entries):
    """The order of the lessons, which the sidebar shows by parts."""
    blocks = []
    for part, members in by_part(entries).items():
        names = "\n".join(entry.stem for entry in members)
        blocks.append(f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n{names}\n```")
    return "\n\n".join(blocks)


def chapter_cards(entries):
    """The chapters on the landing page, by parts, each with what it teaches."""
    blocks = []
    for part, members in by_part(entries).items():
        lines = [f"### {part}", "", "{.chapters}"]
        for entry in members:
            h = entry.header
            lines.append(
                f"- [{int(entry.number)}. {h['title']}]({entry.stem}.ipynb) "
                f"{', '.join(h['teaches'])}. *{', '.join(h['data'])}, {h['minutes']} minutes*"
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def solutions_list(entries):
    """Links to the pages of solutions."""
    return "\n".join(f"- [{int(e.number)}. {e.header['title']}](solutions-{e.number}.md)" for e in entries)


def anchors(read):
    """Where the numbered things of the lessons are: dict from "equation 3.4", "figure 3.1" and so on to the page."""
    patterns = {
        "equation": chapters.TAG,
        "exercise": chapters.STARS,
        "figure": re.compile(r"(?m)^\*Figure (\d+\.\d+)\."),
    }
    found = {}
    for entry, lesson, _ in read:
        found[f"chapter {int(entry.number)}"] = entry.stem
        for cell in lesson.cells:
            if cell.cell_type == "markdown":
                for kind, pattern in patterns.items():
                    found |= {f"{kind} {match[1]}": entry.stem for match in pattern.finditer(cell.source)}
            else:
                printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
                found |= {f"claim {number}": entry.stem for number in re.findall(r"(?m)^claim (\S+) ✓", printed)}
    return found
