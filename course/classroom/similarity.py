"""Pairs of answers that are alike beyond what the exercise forces: for a person to look at, never scored.

An answer is its syntax tree without what a copyist changes first: local names, constants, docstrings, annotations,
the order of statements and of the operands of + and *. Its *parts* are the subtrees of some size. A part counts for
little or nothing when the stub or a reference solution has it, or when many of the class do; what remains is what
only these two wrote. The similarity is the shared weight over that of the answer with less of it, so that padding a
copy does not hide it.
"""

import ast
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

from course.classroom.layout import printable
from course.classroom.results import Result

Forest = dict[tuple[Any, ...], int]  # the numbers of subtrees, by their labels and those of what is below
Groups = list[tuple[bool, list[ast.AST]]]  # of a node's children: whether their order matters, and they

MOST_BYTES = 100_000  # of an answer's source
MOST_NODES = 5_000  # of an answer's tree; a long answer has 500
LEAST_PART = 5  # nodes of a subtree that counts as a part
LEAST_PARTS = 12  # parts an answer must have that few others have, to be compared at all
LEAST_ALIKE = 0.6
COMMON = 0.2  # a part that so large a share of the class has is the exercise's, not theirs
FEW = 4  # but in a small class, what so few share is never common
PROBES = 40  # the rarest parts of an answer, by which others like it are found
PROBE_SPREAD = 30  # answers in which a part may stand and still be used for finding
MOST_PAIRS = 500
MOST_NAMED, MOST_NAME = 10, 40  # students in one sentence, and letters of a name
BLOCKS = ("body", "orelse", "finalbody")  # the order of statements is not compared
PASSED_OVER = ("annotation", "returns", "ctx", "op", "ops", "decorator_list", "type_comment", "type_params")
UNORDERED = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)


@dataclass(frozen=True)
class Pair:
    """Two students' answers to one exercise. similarity: from 0 to 1, rounded to 2 digits. compared: parts, that few
    others wrote, of the answer that has fewer of them."""

    first: str
    second: str
    exercise: str
    similarity: float
    compared: int


def similar_pairs(
    results: list[Result],
    references: Mapping[str, str | Sequence[str]],
    note: Callable[[str], object] = lambda sentence: None,
) -> list[Pair]:
    """Find the pairs among a class's results.

    results: the dicts that grading stores, with "student" and "answers". references: dict from exercise to the source
    of its solution, or to a sequence of sources (stub, solution, alternatives). note: called with a sentence on an
    exercise's answers that cannot be compared. Returns a list of Pair, the most alike first, at most MOST_PAIRS.
    """
    answers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for result in results:
        for exercise, source in result.get("answers", {}).items():
            if source is not None:
                answers[exercise][result["student"]] = source
    pairs = []
    for exercise, sources in answers.items():
        pairs += _pairs(exercise, sources, references.get(exercise, ()), note)
    pairs.sort(key=lambda p: (-p.similarity, -p.compared, p.exercise, p.first, p.second))
    if len(pairs) > MOST_PAIRS:
        note(f"{len(pairs)} pairs of answers are alike; the {MOST_PAIRS} most alike are listed")
    return pairs[:MOST_PAIRS]


def _pairs(
    exercise: str, sources: dict[str, str], references: str | Sequence[str], note: Callable[[str], object]
) -> list[Pair]:
    """The pairs of one exercise; sources: by student."""
    forest: Forest = {}
    parts: dict[str | int, set[int]] = {}
    references = [references] if isinstance(references, str) else references
    named: list[tuple[str | int, str]] = [*sorted(sources.items()), *enumerate(references, 1)]
    failed = defaultdict(list)
    for name, source in named:  # students by their names, references by their numbers
        try:
            parts[name] = parts_of(source, forest)
        except ValueError as error:
            failed[str(error)].append(name if isinstance(name, str) else f"reference {name}")
    for why, who in failed.items():
        listed = ", ".join(printable(name)[:MOST_NAME] for name in who[:MOST_NAMED])
        note(f"exercise {exercise}: not compared with others, {why}: {listed}{' ...' if who[MOST_NAMED:] else ''}")
    forced = set[int]().union(*(parts[name] for name in parts if not isinstance(name, str)))
    wrote_by = {name: own for name, own in parts.items() if isinstance(name, str)}
    spread = Counter(part for own in wrote_by.values() for part in own)
    common = max(FEW, COMMON * len(wrote_by))
    weights = {
        part: math.log((len(wrote_by) + 1) / count)
        for part, count in spread.items()
        if count <= common and part not in forced
    }
    # Equal trees are treated as one from here on, so that a part that ten copies share is still a rare one.
    groups = defaultdict(list)
    for student, wrote in wrote_by.items():
        own = frozenset(wrote & weights.keys())
        if len(own) >= LEAST_PARTS:
            groups[own].append(student)
    distinct = list(groups)
    totals = [sum(weights[part] for part in own) for own in distinct]
    found = [Pair(a, b, exercise, 1.0, len(own)) for own, same in groups.items() for a, b in combinations(same, 2)]
    for i, j in _candidates(distinct):
        shared = sum(weights[part] for part in distinct[i] & distinct[j])
        alike = shared / min(totals[i], totals[j])
        if alike >= LEAST_ALIKE:
            compared = min(len(distinct[i]), len(distinct[j]))
            for a in groups[distinct[i]]:
                for b in groups[distinct[j]]:
                    found.append(Pair(min(a, b), max(a, b), exercise, round(alike, 2), compared))
    return found


def _candidates(distinct: list[frozenset[int]]) -> list[tuple[int, int]]:
    """Pairs of positions that share enough rare parts to be looked at closely."""
    spread = Counter(part for own in distinct for part in own)
    places = defaultdict(list)
    for i, own in enumerate(distinct):
        rare = sorted((spread[part], part) for part in own if 1 < spread[part] <= PROBE_SPREAD)
        for _, part in rare[:PROBES]:
            places[part].append(i)
    shared = Counter(pair for where in places.values() for pair in combinations(where, 2))
    return [pair for pair, count in shared.items() if count >= 3]


def parts_of(source: Any, forest: Forest) -> set[int]:
    """The parts of a source: a set of numbers.

    forest: dict that numbers the subtrees, shared by all sources that are compared. Raises ValueError, with a reason,
    for a source that cannot be compared.
    """
    parts: set[int] = set()
    numbers: dict[int, int] = {}
    sizes: dict[int, int] = {}
    nodes, local = _outline(_parse(source))
    # Children before their parents, without recursion: a source may be nested as deeply as the parser permits.
    for node, groups in reversed(nodes):
        size, shape = 1, []
        for ordered, children in groups:
            below = [numbers[id(child)] for child in children]
            size += sum([sizes[id(child)] for child in children])
            shape.append(tuple(below if ordered else sorted(below)))
        if isinstance(node, ast.BinOp) and isinstance(node.op, UNORDERED):
            shape.sort()
        number = forest.setdefault((_label(node, local), *shape), len(forest))
        numbers[id(node)], sizes[id(node)] = number, size
        if size >= LEAST_PART:
            parts.add(number)
    return parts


def _parse(source: Any) -> ast.Module:
    if not isinstance(source, str):
        raise ValueError("it is no text")
    if len(source) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 1000} kB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a student's strange escapes
        try:
            try:
                tree = ast.parse(source)
            except SyntaxError:  # a notebook's magics and shell escapes are no Python, and no answer
                tree = ast.parse(re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", source))
        except (SyntaxError, ValueError):
            raise ValueError("it is not Python") from None
        except (RecursionError, MemoryError):
            raise ValueError("it is nested too deeply") from None
    return tree


def _outline(tree: ast.AST) -> tuple[list[tuple[ast.AST, Groups]], set[str]]:
    """The nodes that matter, parents first, each with its groups of children, (does their order matter, nodes); and
    the names that are their writer's own."""
    nodes, local, waiting = [], set(), [tree]
    while waiting:
        node = waiting.pop()
        groups = []
        for name in _fields(type(node)):  # type: ignore[arg-type]  # a class of nodes is hashable
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                groups.append((True, [value]))
            elif isinstance(value, list):
                children = [_plain(child) for child in value if isinstance(child, ast.AST) and not _is_remark(child)]
                groups.append((name not in BLOCKS and not isinstance(node, (ast.BoolOp, ast.Set)), children))
            else:
                continue
            waiting += groups[-1][1]
        nodes.append((node, groups))
        if len(nodes) > MOST_NODES:
            raise ValueError(f"its syntax tree has more than {MOST_NODES} nodes")
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                local.add(name)
            case ast.alias(asname=str(name)):
                local.add(name)
            case ast.Attribute(value=ast.Name(id=name)):  # what is done with it says more than how it is called
                local.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                local.add(name)
    return nodes, local


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields in which the children of a kind of node stand, without annotations, decorators and the like."""
    return () if kind in (ast.Name, ast.Constant) else tuple(name for name in kind._fields if name not in PASSED_OVER)


def _is_remark(node: Any) -> bool:
    """Whether a statement does nothing: a text or number by itself, `...`, `pass`."""
    return isinstance(node, ast.Pass) or isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _plain(node: ast.AST) -> ast.AST:
    """A statement as it is, but `x += 1` and `x: int = 1` as the plain assignments that they are short for."""
    match node:
        case ast.AugAssign(target=target, op=op, value=value):
            return ast.Assign([target], ast.BinOp(target, op, value))
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return ast.Assign([target], value)
    return node


def _label(node: Any, local: set[str]) -> tuple[object, ...]:
    """What a node is, without names and values that are its writer's own. Methods, functions of libraries and
    keywords say what is done, and stay."""
    kind = type(node).__name__
    if isinstance(node, ast.Name):
        return ("name", "" if node.id in local else node.id)
    if isinstance(node, ast.Constant):
        return ("constant", type(node.value).__name__)
    if isinstance(node, ast.Attribute):
        return (kind, node.attr)
    if isinstance(node, ast.keyword):
        return (kind, node.arg)
    if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.BoolOp)):
        return (kind, type(node.op).__name__)
    if isinstance(node, ast.Compare):
        return (kind, *(type(op).__name__ for op in node.ops))
    return (kind,)
