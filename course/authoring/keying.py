"""Making a chapter's key of its source; see `course.exercises.keys` for what a key is.

Only here, and in the tests, are an author's oracles and wrong answers ever run.
"""

import ast
import builtins
import contextlib
import hashlib
import io
import json
import symtable
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course.authoring import chapters
from course.authoring.chapters import Chapter
from course.exercises import asking, keys, surroundings, values
from course.exercises.cells import defined_name, names_made
from course.exercises.keys import ChapterKey, ExerciseKey, Mistake, ShortQuestion
from course.exercises.outcomes import ExerciseError
from course.exercises.specification import Exercise

PUBLIC = 0  # the seed of the cases that a learner sees


def make(chapter: Chapter, secret: bytes | None = None) -> ChapterKey:
    """The key of a chapter: the learner's, or, with a secret (bytes), a class's.

    Raises ExerciseError where a case or an outcome is not plain data, and ChapterError where a part is missing.
    """
    specs = chapters.specifications(chapter)
    with surroundings.usual():
        exercises = {number: _exercise(chapter, spec, secret) for number, spec in specs.items()}
    solutions = {} if secret is None else {n: cell.source for n, cell in _cells(chapter, "answer").items()}
    return ChapterKey(
        chapter.number,
        chapter.stem,
        made_from(chapter),
        definitions(chapter),
        exercises,
        solutions,
        chapter.header["title"],
        short_questions(chapter),
    )


def definitions(chapter: Chapter) -> list[str]:
    """The sources of a chapter's definitions, in order: of cells that hold nothing else, and of those functions and
    classes of its experiments that need nothing but definitions, so that an answer may use them too. A proof's oracle
    is none."""
    known = set(dir(builtins))
    found: list[tuple[str, str | None]] = []  # (source, the name where it may go)
    for cell in chapter.cells:
        role = chapters.role(cell)
        if role == "definition":
            known |= names_made(cell.source).keys()
            found.append((cell.source, None))
        elif role in ("lesson", "claim", "record"):
            made = [n for n in ast.parse(cell.source).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
            found += [(_source(cell.source, node), node.name) for node in made]
    times = Counter(name for _, name in found)
    added = {name: needed_names(source) for source, name in found if name and times[name] == 1 and name not in known}
    while missing := [name for name, needed in added.items() if needed - known - added.keys()]:
        for name in missing:
            del added[name]
    return [source for source, name in found if name is None or name in added]


def _source(source: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """The lines of a function or class in a source, its decorators among them."""
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def needed_names(source: str) -> set[str]:
    """The names that a source takes from around it: builtins are among them."""
    top, found = symtable.symtable(source, "<definition>", "exec"), set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {one.get_name() for one in table.get_symbols() if one.is_global() and one.is_referenced()}
    return found - {one.get_name() for one in top.get_symbols() if one.is_assigned()}


def short_questions(chapter: Chapter) -> dict[str, ShortQuestion]:
    """The ShortQuestions of a chapter, by number. Raises ChapterError where a call of `ask` cannot be read."""
    found = {}
    for cell in chapter.cells:
        if chapters.role(cell) == "ask":
            try:
                (call,) = (statement.value for statement in ast.parse(cell.source).body)
                number, answer = (ast.literal_eval(node) for node in call.args)
                more = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
                if type(answer) not in (int, float, str, tuple):
                    raise ValueError
                found[number] = ShortQuestion(answer, **more | {"choices": tuple(more.get("choices", ()))})
            except (ValueError, TypeError, AttributeError):
                raise chapters.ChapterError(
                    f'{chapter.place(cell)}: a question on the way is one call, ask("3.a", 5, why="...", hint="..."), '
                    "alone in its cell, with a number, a word or a shape as its answer"
                ) from None
    return found


def made_from(chapter: Chapter) -> str:
    """SHA-256 of all in a chapter's source that its key is made from: specifications, definitions, exercise cells,
    questions on the way, the title."""
    parts = [keys.FORMAT, chapter.stem, [text for _, text in chapter.grading], definitions(chapter), chapter.points]
    parts += [[cell.source for cell in _cells(chapter, role).values()] for role in ("answer", "check")]
    parts += [chapter.header["title"], [cell.source for cell in chapter.cells if chapters.role(cell) == "ask"]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def path_of(chapter: Chapter) -> Path:
    """Where a chapter's learner's key goes."""
    return chapters.keys_folder(chapter.path.parent) / f"{chapter.number}.json"


def _cells(chapter: Chapter, role: str) -> dict[str, Any]:
    return {c.metadata["course"]["exercise"]: c for c in chapter.cells if chapters.role(c) == role}


def _exercise(chapter: Chapter, spec: Exercise, secret: bytes | None) -> ExerciseKey:
    answer, check = (_cells(chapter, role).get(spec.number) for role in ("answer", "check"))
    if answer is None or check is None or spec.number not in chapter.points:
        raise chapters.ChapterError(
            f"{chapter.path.name}: exercise {spec.number} needs a heading with stars, an answer cell that begins with "
            f"# Exercise {spec.number}, and a check"
        )
    name = defined_name(answer.source)
    if name is None:
        raise chapters.ChapterError(f"{chapter.path.name}: the answer cell of exercise {spec.number} defines nothing")
    text = next(text for _, text in chapter.grading if f'exercise("{spec.number}"' in text)
    cases = spec.draw_cases(PUBLIC if secret is None else _seed(secret, spec.number))
    question = asking.Question(spec.number, cases, driver_source(text))
    mistakes = []
    for wrong in spec.wrong_answers:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            use = question.use()
            outcomes = [asking.run(use, wrong, case) for case in cases]
        mistakes.append(Mistake(wrong.__name__, " ".join(wrong.__doc__.split()), outcomes))
    line = next(line for line, cell in chapter.grading if cell == text)
    try:
        expected = [spec.expected(case) for case in cases]
    except ExerciseError as error:
        raise ExerciseError(f"{chapter.path.name}:{line}: {error}") from error
    try:
        questions, answers = keys.pack_questions(cases), keys.pack_answers(expected, mistakes)
    except values.WireError as error:
        raise ExerciseError(
            f"{chapter.path.name}:{line}: exercise {spec.number}: a case or an outcome cannot be kept: {error}"
        ) from None
    return ExerciseKey(
        spec.number,
        name,
        chapter.points[spec.number],
        chapters.stub(chapter, spec.number),
        check.source,
        spec.arguments(),
        spec.rtol,
        spec.atol,
        question.driver,
        questions,
        answers,
        spec.steps,
        spec.call,
    )


def _seed(secret: bytes, number: str) -> int:
    return int.from_bytes(hashlib.sha256(secret + number.encode()).digest()[:8], "big") | 1


def driver_source(text: str) -> str:
    """Of a grading cell, only the code that puts an answer to use: what stands under `.drive` and `.measure`, and what
    these need.

    Cases, oracle, wrong and right answers stay behind. Returns "" where an answer is simply called.
    """
    drive = standalone(text, "drive", lambda node: "drive")
    return "\n".join([*drive, *standalone(text, "measure", lambda node: "measure")])


def standalone(text: str, decorator: str, rename: Callable[[Any], str]) -> list[str]:
    """The functions of a grading cell under a decorator, each as source that stands alone: with the cell's imports and
    those of its helpers and constants that it needs. rename: gives a function's new name for its ast node."""
    body = ast.parse(text).body
    defined: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            defined[node.name] = node
        elif isinstance(node, ast.Assign) and not _is_exercise(node.value):
            defined.update({n.id: node for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)})
    imports = [
        n for n in body if isinstance(n, (ast.Import, ast.ImportFrom)) and "course.exercises" not in ast.unparse(n)
    ]
    sources = []
    for chosen in body:
        if not isinstance(chosen, (ast.FunctionDef, ast.ClassDef)):
            continue
        if decorator not in map(_attribute, chosen.decorator_list):
            continue
        needed: set[str] = set()
        queue: list[ast.stmt] = [chosen]
        while queue:
            for name in {n.id for n in ast.walk(queue.pop()) if isinstance(n, ast.Name)} & defined.keys() - needed:
                needed.add(name)
                queue.append(defined[name])
        own, chosen.name, chosen.decorator_list = chosen.name, rename(chosen), []
        for used in ast.walk(chosen):  # a function that calls itself
            if isinstance(used, ast.Name) and used.id == own:
                used.id = chosen.name
        kept = imports + [node for node in body if any(defined[name] is node for name in needed)] + [chosen]
        sources.append("\n".join(ast.unparse(node) for node in kept))
    return sources


def _attribute(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_exercise(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exercise"
