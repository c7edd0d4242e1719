"""What a chapter must keep: the build refuses what the tests would refuse, with file, line and what to do."""

import ast
import io
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from course.authoring import chapters, equations, executing, glossary, keying, road, wording
from course.authoring.chapters import Chapter
from course.exercises import asking, judging
from course.exercises.hints import diagnose
from course.exercises.keys import ChapterKey, ExerciseKey
from course.files import load_notebook
from course.lesson import settings

MATHEMATICS = re.compile(r"\$\$.*?\$\$|\$[^$]+\$", re.DOTALL)
NO_SENTENCE = re.compile(r"(?m)^\s*([-|] |\d+\. |\*Figure)")  # where a list, a table or a caption begins
PREREQUISITES = {"Python", "NumPy", "school calculus"}
WORDS = (2000, 3500)
VISIBLE_CELLS, VISIBLE_LINES, CELL_LINES = 40, 350, 25  # of code that is not folded, at most
EXERCISES = (5, 8)
ASIDE = re.compile(r"# @title \S")
WRONG, RIGHT, CASES = 4, 1, 8  # at least so many of an exercise
FEW, MOSTLY = 3, 0.55  # of the values that it expects: different ones, and the share of one


@dataclass(frozen=True)
class Problem:
    """Something that a chapter does not keep. place: file and line. what: the sentence, with what to do. size: whether
    it is a matter of size or style only, which an author of another course may decide otherwise."""

    place: str
    what: str
    size: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def strict() -> bool:
    """Whether matters of size are errors: in this course, not in one that `COURSE_SOLUTIONS` points to."""
    return bool(settings.solutions_folder() == settings.ROOT / "solutions")


def problems(chapter: Chapter) -> list[Problem]:
    """All Problems that the source shows without being run."""
    parts = [_teaching, _equations, _claims, _exercises, _short_questions, _asides, _size, _terms, _symbols, _words]
    parts += [_road, _minutes, _controls, _wording, _wide_equations, _enough_terms]
    found = [problem for part in parts for problem in part(chapter)]
    for said in glossary.clashes(chapters.entries(), chapter.number):
        found.append(Problem(f"{chapter.path.name}:1", said))
    return found


def opening_problems(chapter: Chapter, notebook: Any) -> list[Problem]:
    """The Problems that the chapter's executed notebook shows: whether the first image comes before any code that a
    learner sees."""
    image, code = road.opening(notebook)
    if code is None or image is not None and image < code:
        return []
    place = executing.place(chapter, notebook.cells[code])
    said = "this visible code comes before the first image: show that first, from an aside"
    return [Problem(place, said, size=True)]


def report(chapter: Chapter) -> tuple[str, list[Problem]]:
    """What `course review` prints of a chapter: (a line of figures, all Problems)."""
    found, header = road.of(chapter), chapter.header["minutes"]
    opening, notebook = "not built", load_notebook(chapter.solution) if chapter.solution.exists() else None
    if notebook is not None:
        image, code = road.opening(notebook)
        opening = "none" if image is None else "before any code" if code is None or image < code else "after code"
    least, most = found.minutes
    line = (
        f"{chapter.number} words {found.words:,} · visible cells {len(found.cells)}, lines {found.lines}, longest "
        f"{found.longest} · claims {found.claims}, with a control {found.controls} · first image {opening} · "
        f"minutes {header} of {least:.0f} to {most:.0f}"
    )
    shown = opening_problems(chapter, notebook) if notebook is not None else []
    return line, [*problems(chapter), *shown]


def _teaching(chapter: Chapter) -> Iterator[Problem]:
    taught = set(PREREQUISITES)
    for entry in chapters.entries():
        if entry.number < chapter.number:
            taught.update(entry.header["teaches"])
    for need in chapter.header["needs"]:
        if need not in taught:
            yield Problem(
                f"{chapter.path.name}:1", f"needs {need!r}, which no earlier chapter teaches: name it as it does"
            )


def _equations(chapter: Chapter) -> Iterator[Problem]:
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


def _claims(chapter: Chapter) -> Iterator[Problem]:
    prefix, claims = int(chapter.number), chapters.promised(chapter, "claim")
    for position, (tag, cell) in enumerate(claims, start=1):
        if tag != f"{prefix}.{position}":
            yield Problem(chapter.place(cell), f"claim {tag} should be numbered {prefix}.{position}: they count up")
    if not claims:
        yield Problem(f"{chapter.path.name}:1", "it makes no claim: let an experiment end in claim(...)")


def _exercises(chapter: Chapter) -> Iterator[Problem]:
    cells: dict[str, dict[str, Any]] = {role: {} for role in ("answer", "check")}
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


def _short_questions(chapter: Chapter) -> Iterator[Problem]:
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


def _asides(chapter: Chapter) -> Iterator[Problem]:
    """A folded cell shows its first line in JupyterLab, and its title in Colab."""
    for cell in chapter.cells:
        if chapters.is_aside(cell) and not ASIDE.match(cell.source):
            yield Problem(
                chapter.place(cell), "an aside begins with a line that says what it holds: # @title Draws figure 3.2"
            )


def _independence(chapter: Chapter, answers: dict[str, Any]) -> Iterator[Problem]:
    """Nothing in a lesson may depend on an exercise."""
    names: dict[str, str] = {}
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


def _size(chapter: Chapter) -> Iterator[Problem]:
    first = f"{chapter.path.name}:1"
    figures = sum(cell.source.count("*Figure ") for cell in _markdown(chapter))
    if figures < 3:
        yield Problem(first, f"{figures} figures with a caption (*Figure 3.1. ...*); at least 3", size=True)
    if not EXERCISES[0] <= len(chapter.grading) <= EXERCISES[1]:
        yield Problem(
            first, f"{len(chapter.grading)} exercises; a chapter has {EXERCISES[0]} to {EXERCISES[1]}", size=True
        )


def _words(chapter: Chapter) -> Iterator[Problem]:
    words = road.of(chapter).words
    if not WORDS[0] <= words <= WORDS[1]:
        what = f"{words:,} words; a chapter has {WORDS[0]:,} to {WORDS[1]:,}"
        yield Problem(f"{chapter.path.name}:1", what, size=True)


def _road(chapter: Chapter) -> Iterator[Problem]:
    """What stands open: not too many cells, not too many lines, no long cell."""
    found, first = road.of(chapter), f"{chapter.path.name}:1"
    for have, limit, what in (
        (len(found.cells), VISIBLE_CELLS, "visible code cells"),
        (found.lines, VISIBLE_LINES, "lines of visible code"),
    ):
        if have > limit:
            yield Problem(first, f"{have} {what}; at most {limit}: what teaches nothing goes into asides", size=True)
    for cell, count in found.cells:
        if count > CELL_LINES:
            what = f"a visible cell of {count} lines; at most {CELL_LINES}: cut it, or make it an aside"
            yield Problem(chapter.place(cell), what, size=True)


def _minutes(chapter: Chapter) -> Iterator[Problem]:
    least, most = road.of(chapter).minutes
    least, most = 5 * int(least // 5), 5 * -int(-most // 5)
    if not least <= chapter.header["minutes"] <= most:
        said = f"the header says {chapter.header['minutes']} minutes; words, code and exercises take {least} to {most}"
        yield Problem(f"{chapter.path.name}:1", said, size=True)


def _controls(chapter: Chapter) -> Iterator[Problem]:
    """Each claim is tried where it must be false; where it cannot be, a comment says why."""
    for call, cell in chapters.calls(chapter, "claim"):
        tag, control = ast.literal_eval(call.args[0]), chapters.control(call)
        if control is None:
            said = f"claim {tag} has no control: add control=..., the same measurement where the sentence must be false"
        elif not isinstance(control, ast.Constant):
            continue
        elif control.value is not None:
            said = f"claim {tag}: its control is {control.value!r}, which is no measurement"
        elif _comments(cell.source):
            continue
        else:
            said = f"claim {tag} has control=None: say in a comment of its cell why there can be none"
        yield Problem(chapter.place(cell), said, size=True)


def _comments(source: str) -> list[str]:
    """The comments of a cell, the title of an aside left out."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [t.string for t in tokens if t.type == tokenize.COMMENT and not ASIDE.match(t.string)]


def _wording(chapter: Chapter) -> Iterator[Problem]:
    """Each word that the field has another word for, once, with all its places."""
    found: dict[tuple[str, str], list[int]] = {}
    for cell, mark in zip(chapter.cells, chapter.lines):
        if cell.cell_type == "markdown":
            for line, word, term in wording.private(cell.source):
                found.setdefault((word.lower(), term), []).append(mark + line)
    for (word, term), lines in found.items():
        others = f" (and in lines {', '.join(map(str, lines[1:]))})" if lines[1:] else ""
        yield Problem(f"{chapter.path.name}:{lines[0]}", f"{word!r}: the field says {term!r}{others}", size=True)


def _wide_equations(chapter: Chapter) -> Iterator[Problem]:
    """A display equation that a window of 1024 pixels cuts off, and with it, often, its number."""
    for cell, mark in zip(chapter.cells, chapter.lines):
        if cell.cell_type == "markdown":
            for found in wording.DISPLAY.finditer(cell.source):
                pixels = equations.pixels(found[0].strip("$"))
                if pixels > equations.ROOM:
                    line = mark + cell.source.count("\n", 0, found.start())
                    said = (
                        f"an equation about {pixels:.0f} pixels wide, where a small window has {equations.ROOM}: break "
                        "it, as in \\begin{aligned} a &= b \\\\ &= c \\end{aligned}, or shorten it"
                    )
                    yield Problem(f"{chapter.path.name}:{line}", said, size=True)


def _enough_terms(chapter: Chapter) -> Iterator[Problem]:
    have = len(chapter.header.get("terms", ()))
    if have < glossary.LEAST:
        said = (
            f"the header defines {have} terms; at least {glossary.LEAST}: term, means, zh and, where it has one, symbol"
        )
        yield Problem(f"{chapter.path.name}:1", said, size=True)


def _terms(chapter: Chapter) -> Iterator[Problem]:
    """Each term is named in Chinese, and in bold where the chapter first uses it."""
    first = f"{chapter.path.name}:1"
    paragraphs = list(_paragraphs(chapter))
    for term in chapter.header.get("terms", ()):
        name, found = term["term"], glossary.pattern(term["term"])
        if not glossary.HAN.search(term["zh"]):
            yield Problem(first, f"the term {name!r} has no Chinese name: zh is {term['zh']!r}")
        word, bold = (re.compile(one, re.IGNORECASE) for one in (found, rf"\*\*{found}[.,:;]?\*\*"))
        for line, text, sentences in paragraphs:
            used, introduced = word.search(sentences), bold.search(text)
            if introduced and (not used or introduced.start() < used.start()):
                break
            if used:
                line += text.count("\n", 0, used.start())
                said = f"the term {name!r} is first used here: put it in bold, **{name}**"
                yield Problem(f"{chapter.path.name}:{line}", said)
                break
        else:
            yield Problem(first, f"the term {name!r} stands in no sentence of the chapter")


def _symbols(chapter: Chapter) -> Iterator[Problem]:
    """A symbol that the header lists stands in the chapter's mathematics."""
    formulas = [glossary.tokens(found) for c in _markdown(chapter) for found in MATHEMATICS.findall(c.source)]
    for symbol in [*chapter.header.get("symbols", {}), *(t.get("symbol") for t in chapter.header.get("terms", ()))]:
        if symbol and not any(glossary.holds(formula, symbol) for formula in formulas):
            yield Problem(f"{chapter.path.name}:1", f"the symbol {symbol} stands in no equation and no formula")


def _paragraphs(chapter: Chapter) -> Any:
    """The text above the exercises, paragraph by paragraph: (number of the first line; text without code, formulas and
    headings; the same without lists, tables and captions, which may name a term before a sentence introduces it)."""
    for cell, mark in zip(chapter.cells, chapter.lines):
        if cell.cell_type != "markdown":
            continue
        if chapters.STARS.search(cell.source):
            return
        plain = re.sub(r"(?m)^#.*", lambda found: " " * len(found[0]), wording.prose(cell.source))
        for found in re.finditer(r"(?:[^\n]+\n?)+", plain):
            item = NO_SENTENCE.search(found[0])
            yield mark + plain.count("\n", 0, found.start()), found[0], found[0][: item.start() if item else None]


def exercise_problems(chapter: Chapter, key: ChapterKey) -> Iterator[Problem]:
    """The Problems that the exercises show when they are run: key is the chapter's, just made."""
    for number, spec in chapters.specifications(chapter).items():
        one = key.exercises[number]
        place = _place(chapter, number)
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
        if "def drive(" in one.driver and "def measure(" not in one.driver and _easy_to_forge(one):
            yield Problem(
                place,
                f"exercise {number} expects nearly the same of every case, which a dishonest answer can hand over: let "
                "the driver return what the answer gave, and judge that under @ex.measure",
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


def _easy_to_forge(key: ExerciseKey) -> bool:
    """Whether the values that an exercise expects are few, or mostly one."""
    found = [leaf for outcome in key.expected if not outcome.raised for leaf in _leaves(outcome.value)]
    counts = Counter(map(repr, found))
    return bool(found) and (len(counts) <= FEW or max(counts.values()) > MOSTLY * len(found))


def _leaves(value: Any) -> Any:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def right_answer_problems(chapter: Chapter, key: ChapterKey) -> Iterator[Problem]:
    """The Problems of right answers that do not pass; they are run for it."""
    for number, spec in chapters.specifications(chapter).items():
        one = key.exercises[number]
        for right in spec.right_answers:
            with warnings.catch_warnings(action="ignore"):
                outcomes, _ = asking.ask(one.question, right)
            if (judged := judging.judge(one, outcomes)).state != "passed":
                yield Problem(
                    _place(chapter, number),
                    f"exercise {number}: the right answer {right.__name__} does not pass, {judged.right} of "
                    f"{judged.of} cases; the first that is not {judged.problem}",
                )


def _place(chapter: Chapter, number: str) -> str:
    """Where an exercise's grading cell stands."""
    return next(f"{chapter.path.name}:{line}" for line, text in chapter.grading if f'exercise("{number}"' in text)


def _markdown(chapter: Chapter) -> list[Any]:
    return [cell for cell in chapter.cells if cell.cell_type == "markdown"]
