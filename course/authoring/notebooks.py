"""Both notebooks of a chapter, as its source gives them."""

import copy
import hashlib

from course.authoring import chapters

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
COMPARED = ("proof", "claim", "check")  # the roles of cells whose printed lines nbval compares


def derive(chapter):
    """The chapter's solution notebook, not executed.

    Cell ids depend on a cell's own text only, so that an edit elsewhere leaves them alone.
    """
    import nbformat.v4 as v4

    cells = [v4.new_markdown_cell(title_cell(chapter), id="title")]
    taken = set()
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            cells.append(v4.new_markdown_cell(cell.source, id=unique_id(cell.source, taken)))
            continue
        course = dict(cell.metadata["course"])
        role, number = course["role"], course.get("exercise")
        metadata = {"course": course}
        name = f"{'exercise' if role == 'answer' else role}-{number.replace('.', '-')}" if number else None
        if number:
            metadata["nbgrader"] = _nbgrader(name, role, chapter.points[number])
        if role in COMPARED:
            metadata["tags"] = ["nbval-check-output"] + ["raises-exception"] * (role == "check")
        cells.append(v4.new_code_cell(cell.source, metadata=metadata, id=name or unique_id(cell.source, taken)))
    metadata = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        "course": {"chapter": chapter.number, "header": chapter.header},
    }
    return v4.new_notebook(cells=cells, metadata=metadata)


def learner_notebook(solution, chapter):
    """What a learner opens: answers blanked, checks without output, the lesson's outputs kept."""
    notebook = copy.deepcopy(solution)
    notebook.metadata.course.pop("evidence", None)
    for cell in notebook.cells:
        role = chapters.role(cell)
        if role == "answer":
            cell.source = chapters.stub(chapter, cell.metadata.course.exercise)
        if role in ("answer", "check"):
            cell.outputs, cell.execution_count = [], None
    return notebook


def title_cell(chapter):
    """The Markdown that the header becomes."""
    h = chapter.header
    return (
        f"# {int(chapter.number)}. {h['title']}\n\n"
        f"*Part {h['part']} · about {h['minutes']} minutes · {', '.join(h['data'])}*\n\n"
        f"**You need:** {', '.join(h['needs'])}. **You will meet:** {', '.join(h['teaches'])}.\n\n"
        "Run a cell with Shift+Enter. The outputs you see were made on a laptop; running a cell replaces them. "
        "The exercises come last, and each has a check below it. "
        f"To have them all graded, save, and type `make grade CHAPTER={chapter.number}` in a terminal."
    )


def without_outputs(notebook):
    """A notebook as plain data without what its execution has added, for comparison."""
    plain = copy.deepcopy(notebook)
    plain.metadata.get("course", {}).pop("evidence", None)
    for cell in plain.cells:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    return plain


def unique_id(source, taken):
    """A cell id made of the cell's text; `taken` holds those of the notebook so far."""
    base = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()[:10]
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def _nbgrader(name, role, points):
    metadata = {
        "grade": role == "check",
        "grade_id": name,
        "locked": role == "check",
        "schema_version": 3,
        "solution": role == "answer",
        "task": False,
    }
    return metadata | ({"points": points} if role == "check" else {})
