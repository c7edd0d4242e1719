"""Help in steps: `hint` before an exercise is solved, `solution` after it."""

import ast
import re
import textwrap

from course.exercises import keys, progress
from course.exercises.keys import ExerciseKey
from course.lesson import settings

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def hint(number: str) -> None:
    """Show the next hint of an exercise; after the last one, all of them once more. number: such as "3.2"."""
    key = keys.load_exercise(number)
    if not key.hints:
        print(f"exercise {number}: no hint was written for it. {_said_of_it(key)}".rstrip())
        return
    shown = progress.read().get(number, progress.Entry()).hints
    if shown >= len(key.hints):
        for position, text in enumerate(key.hints, start=1):
            print(f"hint {position} of {len(key.hints)}: {text}")
        print("There are no more; a check that fails says on which input, and where it knows the mistake, what it is.")
        return
    progress.record_hint(number, shown + 1)
    more = len(key.hints) - shown - 1
    print(f"hint {shown + 1} of {len(key.hints)}: {key.hints[shown]}")
    if more:
        print(f'(for the next one: hint("{number}") again)')


def _said_of_it(key: ExerciseKey) -> str:
    """What may be said where no hint was written: how to be told more, and what the docstring says is refused."""
    refused = re.search(r"[^.;\n]*\b[Rr]aises\b[^.]*\.", _docstring(key.stub))
    said = "Its check says on which input an answer fails, and where it knows the mistake, what it is."
    return f"{said} From the docstring: {' '.join(refused[0].split())}" if refused else said


def _docstring(stub: str) -> str:
    try:
        nodes = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    except SyntaxError:
        return ""
    return "\n".join(ast.get_docstring(node) or "" for node in nodes)


def solution(number: str, anyway: bool = False) -> None:
    """Show the reference's answer to an exercise that you have solved, and another way to do it.

    number: such as "3.2". anyway: show it before it is solved.
    """
    key, chapter = keys.load_exercise(number), keys.load(number)
    entry = progress.read().get(number, progress.Entry())
    if not (entry.passed or anyway):
        print(
            f'exercise {number} is not solved yet: solve it first; hint("{number}") helps.\n'
            f'To see the answer all the same: solution("{number}", anyway=True)'
        )
        return
    path = settings.solutions_folder() / f"{chapter.stem}.py"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        print(
            f"The answers are not part of what is installed here. They are in {path.parent.name}/{path.name} of the "
            "course's repository; in a class, ask your instructor."
        )
        return
    answer, others = answers(text, number, key.name)
    if answer is None:
        print(f"{path.parent.name}/{path.name} holds no exercise {number}: it is of another version of the course.")
        return
    print(f"# exercise {number}, the reference's answer\n\n{answer}")
    for other in others[:1]:
        print(f"\n\n# another way\n\n{other}")


def answers(text: str, number: str, name: str) -> tuple[str | None, list[str]]:
    """What a chapter's source holds for an exercise, read as text and not run: (the answer without its markers, a list
    of others). text: of the source. name: of the function or class; others bear it too."""
    cells = re.split(r"(?m)^# %%.*\n", text)
    marked = re.compile(rf"\A\s*# *[Ee]xercise {re.escape(number)}\b.*\n")
    answer = next((marked.sub("", cell) for cell in cells if marked.match(cell)), None)
    if answer is None:
        return None, []
    lines = [line for line in answer.splitlines() if line.strip() not in (BEGIN, END)]
    graded = next((cell for cell in cells if re.search(rf'exercise\(\s*"{re.escape(number)}"', cell)), "")
    return "\n".join(lines).strip(), _rights(graded, name)


def _rights(text: str, name: str) -> list[str]:
    """The functions of a grading cell that are under `.right`, with the cell's own functions and constants that they
    use, each as source text."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return []
    lines = text.splitlines()

    def source(node: ast.stmt) -> str:
        return textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))

    helpers = {n.name: n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.decorator_list}
    found = []
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        if "right" not in [getattr(one, "attr", "") for one in node.decorator_list]:
            continue
        used = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        parts = [source(helper) for helper_name, helper in helpers.items() if helper_name in used]
        own = re.sub(rf"\b{re.escape(node.name)}\b", name, source(node))
        found.append("\n\n\n".join([*parts, own]))
    return found
