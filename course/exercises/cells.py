"""What an exercise looks like in a notebook's cells."""

import ast
import contextlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

MOST_LETTERS = 100_000  # of a cell that is read as Python: a parser takes a thousand times the memory of its text
MOST_SEARCHED = 300_000  # letters of a notebook's cells that are read as Python to find a name; a chapter has 60,000
MOST_DEPTH = 150  # of a cell's syntax tree; what walks it takes up to three calls for each level, of Python's 1,000
EXERCISE = re.compile(r"^[ \t]*#[ \t]*exercise[ \t]+(\d+\.\d+)\b.*$", re.IGNORECASE | re.MULTILINE)


def parsed(source: str) -> list[ast.stmt] | None:
    """The statements of a cell, or None where it is no Python, or too long or too deeply nested to be read."""
    if len(source) > MOST_LETTERS:
        return None
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return None if _deeper(body, MOST_DEPTH) else body


def _deeper(nodes: Sequence[ast.AST], most: int) -> bool:
    """Whether syntax trees have more than `most` levels."""
    for _ in range(most):
        nodes = [child for node in nodes for child in ast.iter_child_nodes(node)]
        if not nodes:
            return False
    return True


def defined_name(source: str) -> str | None:
    """The name of the function or class that an answer cell completes, or None."""
    names = [node.name for node in parsed(source) or () if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return names[0] if names else None


def defines(source: str, name: str) -> bool:
    """Whether a cell defines `name` at its top level."""
    body = parsed(source) or ()
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name for node in body)


def naming(sources: Iterable[tuple[T, str]], name: str) -> Iterator[tuple[T, str]]:
    """Those of the pairs (anything, source) whose source bears a name: as many as may be read as Python, in order."""
    word, left = re.compile(rf"\b{re.escape(name)}\b"), MOST_SEARCHED
    for pair in sources:
        if len(pair[1]) <= MOST_LETTERS and word.search(pair[1]):
            left -= len(pair[1])
            if left < 0:
                return
            yield pair


def compiles(source: str) -> bool:
    """Whether a cell is Python by its syntax."""
    return parsed(source) is not None


def untouched(source: str, stub: str) -> bool:
    """Whether an answer cell is still the one that the learner was given: comments and spaces apart."""
    if source.strip() == stub.strip():
        return True
    given, found = parsed(stub), parsed(source)
    return given is not None and found is not None and list(map(ast.dump, found)) == list(map(ast.dump, given))


def is_stub(answer: Any, name: str, stub: str) -> bool:
    """Whether a function or class is still the one called `name` in the stub, as far as its source can be had."""
    with contextlib.suppress(Exception):  # inspect raises many kinds, for things that have no source
        source = textwrap.dedent(inspect.getsource(answer))
        given = next(n for n in ast.parse(stub).body if getattr(n, "name", None) == name)
        return ast.dump(ast.parse(source)) == ast.dump(ast.Module(body=[given], type_ignores=[]))
    return False


def names_made(source: str) -> dict[str, str]:
    """The names that a cell makes at its top level: imported, defined or given a value; a dict from each to the first
    line of the statement that makes it, in order."""
    found: dict[str, str] = {}
    lines = source.splitlines()
    for statement in parsed(source) or ():
        for name in _made(statement):
            found.setdefault(name, lines[statement.lineno - 1].strip())
    return found


def _made(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)):
        return []  # what they name is theirs alone
    return [name for child in ast.iter_child_nodes(node) for name in _made(child)]
