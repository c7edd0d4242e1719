"""What a chapter must keep: the build refuses what the tests would refuse, with file, line and what to do."""

import ast
import re
from dataclasses import dataclass

from course.authoring import chapters, keying
from course.exercises import judging
from course.exercises.hints import diagnose
from course.lesson import settings

PREREQUISITES = {"Python", "NumPy", "school calculus"}
WORDS = (1500, 4500)
EXERCISES = (5, 8)
WRONG, RIGHT, CASES = 4, 1, 8  # at least so many of an exercise


@dataclass(frozen=True)
class Problem:
    """Something that a chapter does not keep. place: file and line. what: the sentence, with what to do. size: whether
    it is a matter of size only, which an author of another course may decide otherwise."""

    place: str
    what: str
    size: bool = False

    def __str__(self):
        return f"{self.place}: {self.what}"


def strict():
    """Whether matters of size are errors: in this course, not in one that `COURSE_SOLUTIONS` points to."""
    return settings.solutions_folder() == settings.ROOT / "solutions"


def problems(chapter):
    """All Problems that the source shows without being run."""
    parts = (_teaching, _equations, _claims, _exercises, _short_questions, _size)
    return [problem for part in parts for problem in part(chapter)]


def _teaching(chapter):
    taught = set(PREREQUISITES)
    for entry in chapters.entries():
        if entry.number < chapter.number:
            taught.update(entry.header["teaches"])
    for need in chapter.header["needs"]:
        if need not in taught:
            yield Problem(
                f"{chapter.path.name}:1", f"needs {need!r}, which no earlier chapter teaches: name it as it does"
            )


def _equations(chapter):
    prefix = int(chapter.number)
    written = [(tag, cell) for cell in _markdown(chapter) for tag in chapters.TAG.findall(cell.source)]
    proved = {tag: cell for tag, cell in chapters.promised(chapter, "prove")}
    sources = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
    for position, (tag, cell) in enumerate(written, start=1):
        if tag != f"{prefix}.{position}":
            yield Problem(
                chapter.place(cell), f"equation ({tag}) should be numbered ({prefix}.{position}): they count up"
            )
        if tag not in proved:
            yield Problem(
                chapter.place(cell), f'equation ({tag}) is not proved: add prove("{tag}", ...) in a cell below'
            )
        if f"# ({tag})" not in sources:
            yield Problem(
                chapter.place(cell), f"no line of code says # ({tag}): mark the line that implements the equation"
            )
    for tag, cell in proved.items():
        if tag not in [tag for tag, _ in written]:
            yield Problem(chapter.place(cell), f'prove("{tag}", ...) proves an equation that no \\tag{{{tag}}} numbers')


def _claims(chapter):
    prefix, claims = int(chapter.number), chapters.promised(chapter, "claim")
    for position, (tag, cell) in enumerate(claims, start=1):
        if tag != f"{prefix}.{position}":
            yield Problem(chapter.place(cell), f"claim {tag} should be numbered {prefix}.{position}: they count up")
    if not claims:
        yield Problem(f"{chapter.path.name}:1", "it makes no claim: let an experiment end in claim(...)")


def _exercises(chapter):
    cells = {role: {} for role in ("answer", "check")}
    for cell in chapter.cells:
        role = chapters.role(cell)
        if role in cells:
            number = cell.metadata["course"]["exercise"]
            if number in cells[role]:
                yield Problem(chapter.place(cell), f"exercise {number} has two {role} cells")
            cells[role][number] = cell
    graded = {}
    for line, text in chapter.grading:
        numbers = re.findall(r'exercise\(\s*"(\d+\.\d+)"', text)
        if len(numbers) != 1:
            yield Problem(f"{chapter.path.name}:{line}", 'a grading cell specifies one exercise: ex = exercise("3.1")')
        graded.update(dict.fromkeys(numbers, line))
    for number in dict.fromkeys([*graded, *cells["answer"], *cells["check"], *chapter.points]):
        cell = cells["answer"].get(number) or cells["check"].get(number)
        place = chapter.place(cell) if cell is not None else f"{chapter.path.name}:{graded.get(number, 1)}"
        if number not in chapter.points:
            yield Problem(place, f"exercise {number} has no heading with stars: **Exercise {number} ★★** ...")
        elif not 1 <= chapter.points[number] <= 3:
            yield Problem(place, f"exercise {number} has {chapter.points[number]} stars; there are one to three")
        if number not in cells["answer"]:
            yield Problem(place, f"exercise {number} has no answer cell: begin it with # Exercise {number}")
        if number not in cells["check"]:
            yield Problem(place, f'exercise {number} is never checked: add check("{number}", ...) below its answer')
        if number not in graded:
            yield Problem(place, f'exercise {number} has no grading cell: # %% tags=["grading"]')
    if list(cells["check"]) != list(graded) or list(cells["answer"]) != list(graded):
        yield Problem(f"{chapter.path.name}:1", "exercises, grading cells and checks do not stand in the same order")
    yield from _independence(chapter, cells["answer"])


def _short_questions(chapter):
    """Each question on the way is asked in the text above its cell, and they count up: 3.a, 3.b, ..."""
    prefix, asked, text = int(chapter.number), [], ""
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            text = cell.source
            written = re.findall(r"\*\*Question (\d+\.[a-z])\b", text)
            if len(written) > 1:
                yield Problem(
                    chapter.place(cell), f"questions {', '.join(written)} stand in one cell: each needs its own"
                )
        elif chapters.role(cell) == "ask":
            number = cell.metadata["course"]["question"]
            asked.append(number)
            if number != f"{prefix}.{chr(ord('a') + len(asked) - 1)}":
                wanted = f"{prefix}.{chr(ord('a') + len(asked) - 1)}"
                yield Problem(chapter.place(cell), f"question {number} should be numbered {wanted}: they count up")
            if f"**Question {number}" not in text:
                yield Problem(chapter.place(cell), f"the text above does not ask it: **Question {number}.** ...")
    for cell in _markdown(chapter):
        for number in re.findall(r"\*\*Question (\d+\.[a-z])\b", cell.source):
            if number not in asked:
                yield Problem(chapter.place(cell), f'question {number} has no cell: add ask("{number}", ...) below it')
    for number, one in keying.short_questions(chapter).items():
        place = next(c for c in chapter.cells if c.metadata.get("course", {}).get("question") == number)
        for word in ("why", "hint"):
            if not getattr(one, word):
                yield Problem(chapter.place(place), f'question {number} says nothing to an answer: add {word}="..."')
        if isinstance(one.answer, str) and one.answer not in one.choices:
            yield Problem(chapter.place(place), f"question {number}: its answer is none of its choices=(...)")


def _independence(chapter, answers):
    """Nothing in a lesson may depend on an exercise."""
    names = {}
    for number, cell in answers.items():
        found = [node.name for node in ast.parse(cell.source).body if hasattr(node, "name")]
        if not found:
            yield Problem(chapter.place(cell), f"the answer cell of exercise {number} defines nothing")
        elif found[0] in names:
            yield Problem(chapter.place(cell), f"exercises {names[found[0]]} and {number} both define {found[0]}")
        else:
            names[found[0]] = number
    for cell in chapter.cells:
        if cell.cell_type == "code" and chapters.role(cell) not in ("answer", "check"):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Name) and node.id in names:
                    yield Problem(
                        chapter.place(cell), f"the lesson uses {node.id}, which exercise {names[node.id]} asks for"
                    )


def _size(chapter):
    first = f"{chapter.path.name}:1"
    prose = " ".join(cell.source for cell in _markdown(chapter))
    words = len(re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL).split())
    if not WORDS[0] <= words <= WORDS[1]:
        yield Problem(first, f"{words} words; a chapter has {WORDS[0]} to {WORDS[1]}", size=True)
    if prose.count("*Figure ") < 3:
        yield Problem(
            first, f"{prose.count('*Figure ')} figures with a caption (*Figure 3.1. ...*); at least 3", size=True
        )
    if not EXERCISES[0] <= len(chapter.grading) <= EXERCISES[1]:
        yield Problem(
            first, f"{len(chapter.grading)} exercises; a chapter has {EXERCISES[0]} to {EXERCISES[1]}", size=True
        )


def exercise_problems(chapter, key):
    """The Problems that the exercises show when they are run: key is the chapter's, just made."""
    for number, spec in chapters.specifications(chapter).items():
        one = key.exercises[number]
        place = next(f"{chapter.path.name}:{line}" for line, text in chapter.grading if f'exercise("{number}"' in text)
        if len(spec.wrong_answers) < WRONG or len(spec.right_answers) < RIGHT:
            have = f"{len(spec.wrong_answers)} wrong and {len(spec.right_answers)} right answers"
            yield Problem(place, f"exercise {number} has {have}; it needs {WRONG} and {RIGHT}", size=True)
        if one.count < CASES:
            yield Problem(place, f"exercise {number} has {one.count} cases; it needs {CASES}", size=True)
        if one.driver and not one.call:
            yield Problem(
                place,
                f"exercise {number} has a driver, whose arguments no learner knows: say what a failed check is to show "
                'with ex.shown_as("answer(...)")',
                size=True,
            )
        for mistake in one.mistakes:
            judged = judging.judge(one, mistake.outcomes)
            if judged.state == "passed":
                yield Problem(
                    place, f"exercise {number}: the wrong answer {mistake.name} passes: add a case that it fails"
                )
            elif (hint := diagnose(one, mistake.outcomes)) != mistake.hint:
                yield Problem(
                    place,
                    f"exercise {number}: the wrong answer {mistake.name} is told another mistake: {hint or 'nothing'}",
                )


def _markdown(chapter):
    return [cell for cell in chapter.cells if cell.cell_type == "markdown"]
