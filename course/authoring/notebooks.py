"""Both notebooks of a chapter, as its source gives them."""

import copy
import hashlib
from typing import Any

from course.authoring import chapters
from course.authoring.chapters import Chapter, Entry

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What folds an aside: JupyterLab and Notebook 7 read the first key, Colab the second, the website a tag. VS Code keeps
# to itself which cells are folded, and reads nothing of it in a file.
FOLDED: dict[str, Any] = {"jupyter": {"source_hidden": True}, "cellView": "form"}
FOLDED_TAG = "hide-input"
COMPARED = ("proof", "claim", "check")  # the roles of cells whose printed lines nbval compares


def derive(chapter: Chapter) -> Any:
    """The chapter's solution notebook, not executed.

    Cell ids depend on a cell's own text only, so that an edit elsewhere leaves them alone.
    """
    import nbformat.v4 as v4

    cells = [v4.new_markdown_cell(title_cell(chapter), id="title")]
    taken: set[str] = set()
    begun = False
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            text = cell.source
            if not begun and (found := chapters.STARS.search(text)):  # where a learner goes on after a pause
                begun, above, text = True, text[: found.start()].strip(), text[found.start() :]
                if above:
                    cells.append(v4.new_markdown_cell(above, id=unique_id(above, taken)))
                begins = {"course": {"role": "resume"}}
                cells.append(v4.new_code_cell(resume_cell(chapter), metadata=begins, id="resume"))
            cells.append(v4.new_markdown_cell(text, id=unique_id(text, taken)))
            continue
        course = dict(cell.metadata["course"])
        role, number = course["role"], course.get("exercise")
        metadata: dict[str, Any] = {"course": course}
        name = f"{'exercise' if role == 'answer' else role}-{number.replace('.', '-')}" if number else None
        if number and name:
            metadata["nbgrader"] = _nbgrader(name, role, chapter.points[number])
        if role == "ask":
            name = f"question-{course['question'].replace('.', '-')}"
        tags = ["nbval-check-output"] * (role in COMPARED) + ["raises-exception"] * (role == "check")
        if chapters.is_aside(cell):
            metadata |= copy.deepcopy(FOLDED)
            tags.append(FOLDED_TAG)
        if tags:
            metadata["tags"] = tags
        cells.append(v4.new_code_cell(cell.source, metadata=metadata, id=name or unique_id(cell.source, taken)))
    cells.append(v4.new_markdown_cell(navigation(chapter, "../notebooks/index.ipynb"), id="navigation"))
    metadata = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        "course": {"chapter": chapter.number, "header": {name: chapter.header[name] for name in chapters.HEADER}},
    }
    return v4.new_notebook(cells=cells, metadata=metadata)


def learner_notebook(solution: Any, chapter: Chapter) -> Any:
    """What a learner opens: answers blanked, checks without output, the lesson's outputs kept."""
    notebook = copy.deepcopy(solution)
    notebook.metadata.course.pop("evidence", None)
    for cell in notebook.cells:
        role = chapters.role(cell)
        if role == "answer":
            cell.source = chapters.stub(chapter, cell.metadata.course.exercise)
        if role == "ask":
            cell.source = f'ask("{cell.metadata.course.question}", ...)'
        if role in ("answer", "check", "ask", "resume"):
            cell.outputs, cell.execution_count = [], None
        if cell.id == "navigation":
            cell.source = navigation(chapter, "index.ipynb")
    return notebook


def resume_cell(chapter: Chapter) -> str:
    """The code that makes the exercises independent of the lesson above."""
    return (
        "# After a pause or a restart, begin here: this runs what the lesson defines, and none of its training.\n"
        f'from course import resume\n\nresume("{chapter.number}")'
    )


def navigation(chapter: Chapter | Entry, index: str, known: list[Entry] | None = None) -> str:
    """The last cell: links to the next chapter, the previous one and the index. index: its address. known: the Entries
    that there are, the chapter's own among them; all, if None."""
    known = known or chapters.entries()
    at = [entry.number for entry in known].index(chapter.number)
    links = []
    for word, place in (("Next", at + 1), ("Previous", at - 1)):
        if 0 <= place < len(known):
            entry = known[place]
            links.append(f"{word}: [{int(entry.number)}. {entry.header['title']}]({entry.stem}.ipynb)")
    return " · ".join([*links, f"[All chapters]({index})"])


def title_cell(chapter: Chapter) -> str:
    """The Markdown that the header becomes."""
    h = chapter.header
    points = (
        f"**You need:** {', '.join(h['needs'])}.",
        "Shift+Enter runs a cell. Folded cells (three dots) hold imports, drawings and what proofs compare with: run "
        "them, and read past them.",
        "The exercises come last, each with a check. To grade all, save, and type "
        f"`make grade CHAPTER={chapter.number}` in a terminal (`course grade {chapter.number}` where the course was "
        "installed with pip).",
        "**Back after a pause?** Run the first cell of the exercises: it brings back what the lesson defines, without "
        "training.",
        "**No module named 'course'?** Put the course's wheel beside this notebook and run "
        "`%pip install deep_vision_in_keras-*.whl`.",
    )
    # Folded, so that the question and its first image stand on the first screen.
    return (
        f"# {int(chapter.number)}. {h['title']}\n\n"
        f"*Part {h['part']} · about {h['minutes']} minutes · {', '.join(h['data'])}*\n\n"
        "<details><summary>What you need, how this notebook works, and what to do where <code>course</code> is missing"
        "</summary>\n\n" + "\n".join(f"- {point}" for point in points) + "\n\n</details>"
    )


def without_outputs(notebook: Any) -> Any:
    """A notebook as plain data without what its execution has added, for comparison."""
    plain = copy.deepcopy(notebook)
    plain.metadata.get("course", {}).pop("evidence", None)
    for cell in plain.cells:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    return plain


def unique_id(source: str, taken: set[str]) -> str:
    """A cell id made of the cell's text; `taken` holds those of the notebook so far."""
    base = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()[:10]
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def _nbgrader(name: str, role: str, points: int) -> dict[str, Any]:
    metadata = {
        "grade": role == "check",
        "grade_id": name,
        "locked": role == "check",
        "schema_version": 3,
        "solution": role == "answer",
        "task": False,
    }
    return metadata | ({"points": points} if role == "check" else {})
