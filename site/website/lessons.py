"""A lesson as a page: the learner's notebook as it is committed, outputs and all, with what a browser needs.

Nothing is executed, and no code is changed but for the title line of an aside, which becomes the words on its button.
"""

import copy
import re

from pylatexenc.latex2text import LatexNodes2Text

from course.authoring import chapters
from website.refusing import CAPTION

ASIDE_TITLE = re.compile(r"# @title (.*)\n")
LEFT_OUT = ("navigation",)  # the page has links of its own
PASSED = re.compile(r"exercise \S+ ✓ .*")


def page(entry, lesson, solution, opening, students=False):
    """The notebook of a lesson's page. entry: the chapter's Entry. lesson, solution: the learner's and the executed
    notebook. opening: Markdown with the ways to open the lesson. students: whether the solutions are left out of the
    site."""
    made = copy.deepcopy(lesson)
    made.metadata = {"kernelspec": lesson.metadata.kernelspec, "language_info": lesson.metadata.language_info}
    made.cells = [cell for cell in made.cells if cell.id not in LEFT_OUT]
    words = passing_words(solution)
    for number, cell in enumerate(made.cells):
        if cell.id == "title":
            cell.source = heading(entry, opening)
        elif cell.cell_type == "markdown":
            cell.source = text(cell.source)
        else:
            after = made.cells[number + 1].source if number + 1 < len(made.cells) else ""
            dress(cell, after)
    return with_buttons(made, entry, words, students)


def heading(entry, opening):
    """Title, what the lesson needs, and how to open it."""
    h = entry.header
    return (
        f"# {int(entry.number)}. {h['title']}\n\n"
        f"{{.lesson-facts}}\nPart {h['part']} · about {h['minutes']} minutes · {', '.join(h['data'])}\n\n"
        f"{{.lesson-facts}}\n**You need:** {', '.join(h['needs'])}.\n\n{opening}"
    )


def text(source):
    """A Markdown cell: an exercise's number becomes a heading, so that it has an address and is listed."""
    return chapters.STARS.sub(r"### Exercise \1 \2\n\n", _without_bold_end(source))


def _without_bold_end(source):
    """`**Exercise 3.2 ★★** text` without the asterisks behind the stars."""
    return re.sub(r"(\*\*Exercise \d+\.\d+\s+★+)\*\*[ ]?", r"\1", source)


def dress(cell, after):
    """Give a code cell what its page shows of it: the words on an aside's button, its part in the lesson as a tag, and
    its image's alt text. after: the text of the cell below."""
    course = cell.metadata.get("course", {})
    tags = [*cell.metadata.get("tags", []), f"role-{course.get('role', 'lesson')}"]
    options = {}
    if found := ASIDE_TITLE.match(cell.source):
        cell.source = cell.source[found.end() :]
        options = {"code_prompt_show": found[1], "code_prompt_hide": found[1]}
    if caption := CAPTION.match(after):
        options["image"] = {"alt": plain(caption[0].strip("*"))}
    cell.metadata = {"tags": tags, "mystnb": options}


def plain(words):
    """Markdown with formulas as words that a screen reader can say."""
    said = LatexNodes2Text(math_mode="text").latex_to_text(re.sub(r"[*`]", "", words).replace("%", r"\%"))
    return " ".join(said.split())


def passing_words(solution):
    """What each exercise's check says of a right answer: dict from its number. solution: the executed notebook."""
    found = {}
    for cell in solution.cells:
        if chapters.role(cell) == "check":
            printed = "".join(output.get("text", "") for output in cell.outputs)
            if words := PASSED.search(printed):
                found[cell.metadata["course"]["exercise"]] = words[0]
    return found


def with_buttons(made, entry, words, students):
    """The notebook with, below each exercise's check, what it says of a right answer, and where to go."""
    import nbformat.v4 as v4

    cells = []
    for cell in made.cells:
        cells.append(cell)
        found = re.fullmatch(r"check-(\d+)-(\d+)", cell.id)
        if not found:
            continue
        number = f"{found[1]}.{found[2]}"
        said = (
            f"A right answer is told `{words[number]}`; a wrong one, on which input it failed."
            if number in words
            else ""
        )
        links = '<a class="button" href="#open-this-lesson">Open this lesson</a>'
        if not students:
            place = f"solutions-{entry.number}.html#exercise-{found[1]}-{found[2]}"
            links += f' <a class="button" href="{place}">See a solution</a>'
        row = f'<div class="launch">\n{links}\n</div>'
        cells.append(v4.new_markdown_cell(f"{{.check-says}}\n{said}\n\n{row}", id=f"open-{cell.id}"))
    made.cells = cells
    return made


def solutions(entry, solution):
    """The page with a lesson's solutions, each folded, as Markdown. solution: the executed notebook."""
    parts = [
        f"---\norphan: true\nnosearch: true\n---\n\n# Solutions to chapter {int(entry.number)}",
        'Try first. A check tells you on which input an answer fails, and `hint("3.2")` in a notebook helps in steps.',
    ]
    for cell in solution.cells:
        if chapters.role(cell) != "answer":
            continue
        number = cell.metadata["course"]["exercise"]
        place = f"{entry.stem}.ipynb#exercise-{number.replace('.', '-')}"
        code = re.sub(rf"(?m)^ *({chapters.BEGIN}|{chapters.END})\n?", "", cell.source)
        parts.append(
            f"## Exercise {number}\n\n[What it asks]({place})\n\n"
            f":::{{dropdown}} Show a solution to exercise {number}\n```python\n{code.rstrip()}\n```\n:::"
        )
    return "\n\n".join(parts) + "\n"


def exercises(entry, lesson):
    """The list of a lesson's exercises, as Markdown: number, stars and first sentence, each with a link."""
    lines = [f"## {int(entry.number)}. {entry.header['title']}", ""]
    for cell in lesson.cells:
        for number, stars in chapters.STARS.findall(cell.source) if cell.cell_type == "markdown" else []:
            statement = " ".join(cell.source.split("★**", 1)[1].split())
            first = re.match(r".+?[.?!](?=\s|$)", statement)
            place = f"{entry.stem}.ipynb#exercise-{number.replace('.', '-')}"
            lines.append(f"- [Exercise {number}]({place}) {stars} {first[0] if first else statement}")
    return "\n".join(lines)
