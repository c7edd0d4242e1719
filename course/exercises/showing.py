"""What a learner is shown of a case that failed: the call in the learner's own terms, to be pasted and run.

An exercise's call is Python source in which the case's arguments stand by their names, such as
`numerical_gradient(lambda v: v @ A @ v, x)`; without a driver it is the plain call. Short arguments are shown in it as
literals; for longer ones a line fetches the case: `A, x = case("1.4", 5)`. A last line that begins with "# " says what
no source can.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from course.comparing import describe
from course.exercises import keys
from course.exercises.asking import fresh
from course.exercises.keys import ExerciseKey
from course.exercises.outcomes import Case, ExerciseError

LONGEST = 60  # characters of a literal that is shown in a call


def case(number: str, position: int) -> Case:
    """The arguments of a case of an exercise's check, as a failed check names it: a tuple, to be unpacked.

    number: the exercise's, such as "3.2". position: of the case, counted from 0.
    """
    cases = keys.load_exercise(number).cases
    if not (isinstance(position, int) and 0 <= position < len(cases)):
        raise ExerciseError(f"exercise {number} has the cases 0 to {len(cases) - 1}, and none with number {position!r}")
    return tuple(fresh(argument) for argument in cases[position])


def shown(key: ExerciseKey, position: int, name: str) -> tuple[list[str], list[str], str]:
    """(the lines before the call, the call's own lines, what is to be said of its arguments) for a case of an
    ExerciseKey. name: of the learner's function."""
    arguments, name = key.cases[position], name if name.isidentifier() else key.name
    if key.driver and not key.call:
        return [], [f"{name}({', '.join(describe(argument) for argument in arguments)})"], ""
    names = key.arguments if key.call else parameters(key.stub, key.name, len(arguments)) or key.arguments
    source, _, where = (key.call or plain_call(name, names, arguments)).partition("\n# ")
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    literals = {n: literal(argument) for n, argument in zip(names, arguments) if n in used}
    long = [n for n, text in literals.items() if text is None]
    call = ast.unparse(_Filled({n: text for n, text in literals.items() if text is not None}).visit(tree)).splitlines()
    if where:
        where = where.format(**{n: _described(argument) for n, argument in zip(names, arguments)})
    if not long:
        return [], call, where
    targets = ", ".join(n if n in long else "_" for n in names) + ("," if len(names) == 1 else "")
    said = ", ".join(f"{n} is {_described(argument)}" for n, argument in zip(names, arguments) if n in long)
    said = "; ".join(part for part in (said, where) if part)
    return ["from course import case", f'{targets} = case("{key.number}", {position})'], call, said


class _Filled(ast.NodeTransformer):
    """Puts literals in the place of names."""

    def __init__(self, literals: dict[str, str]) -> None:
        self.literals = literals

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = node.id in self.literals and isinstance(node.ctx, ast.Load)
        return ast.parse(self.literals[node.id], mode="eval").body if known else node


def parameters(stub: str, name: str, count: int) -> tuple[str, ...]:
    """The names of the first parameters of the function in an answer cell, or () where it has not so many."""
    for node in ast.parse(stub).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            found = [one.arg for one in node.args.args]
            return tuple(found[:count]) if len(found) >= count else ()
    return ()


def plain_call(name: str, names: Sequence[str], arguments: Case) -> str:
    """The source of a call: numbers and texts by their parameters' names, and so whatever follows one of them."""
    parts: list[str] = []
    for parameter, argument in zip(names, arguments):
        named = isinstance(argument, (int, float, str, complex)) or any("=" in part for part in parts)
        parts.append(f"{parameter}={parameter}" if named else parameter)
    return f"{name}({', '.join(parts)})"


def literal(value: Any) -> str | None:
    """The Python source of a value, exactly, where it is short; else None."""
    try:
        text = _source(value)
    except (TypeError, ValueError):
        return None
    return text if len(text) <= LONGEST else None


def _source(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        kind = "" if value.dtype in (float, int, bool) else f', dtype="{value.dtype}"'
        if isinstance(value, np.generic):
            return f"np.{type(value).__name__}({_source(value.item())})"
        if not value.size:
            return f"np.zeros({value.shape}{kind})"
        return f"np.array({_source(value.tolist())}{kind})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_source(key)}: {_source(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_source, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_source, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and not np.isfinite(value):
        return str(value).replace("nan", "np.nan").replace("inf", "np.inf")
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return repr(value)
    raise TypeError(f"a {type(value).__name__} is no literal")


def _described(value: Any) -> str:
    array = isinstance(value, np.ndarray) and value.size > 16
    return f"an array of shape {value.shape}" if array else describe(value)


PLACE = re.compile(r"at (?:key (?P<key>'[^']*'|\"[^\"]*\"|[^:]*)|position (?P<item>\d+)): ")


def readable(problem: str) -> str:
    """A problem of `comparing.compare` with its place in words: "gave at key 'W': at position 2: 8, expected 4" becomes
    "gave, in item 2 of 'W': 8, expected 4"."""
    start = "gave " if problem.startswith("gave ") else ""
    rest = problem[len(start) :]
    places: list[str] = []
    while found := PLACE.match(rest):
        places.insert(0, found["key"] or f"item {found['item']}")
        rest = rest[found.end() :]
    return f"{start.strip()}, in {' of '.join(places)}: {rest}".lstrip(", ") if places else problem
