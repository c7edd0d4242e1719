"""Mutants: an answer with one small fault each, planted in its syntax tree by a fixed set of operators.

A check that accepts a mutant does not ask what the docstring says, or the fault has no effect. A mutant's name is made
of the fault and the statement that it stands in, so it outlives edits elsewhere. What cannot be said in syntax alone,
such as a result of another type, is done by `course.exercises.faults`.
"""

import ast
import copy
import re
from collections import Counter
from dataclasses import dataclass

from course.exercises import faults

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.FloorDiv, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)  # operators whose sides may not be exchanged
TWINS = "mean sum, max min, argmax argmin, floor ceil, maximum minimum, any all, std var, zeros ones, sin cos"
INSTEAD = {a: b for pair in TWINS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}
# What is left of these, where they are dropped, is their first argument, or what they are called on.
DROPPED = set(
    "abs absolute clip maximum minimum max min round rint floor ceil sorted sqrt square exp log tanh relu sigmoid flip "
    "softmax conj squeeze expand_dims stop_gradient transpose copy reversed".split()
)
SYMMETRIC = set("max min maximum minimum logaddexp allclose isclose array_equal hypot gcd isinstance".split())
MODULES = set("np numpy ops keras math tf linalg layers random fft".split())
SILENT = {"name", "verbose"}  # keywords that change nothing that is judged
SEEDED = re.compile(r"rng|generator|seed")
NAMED = re.compile(r"\bmessages?\b|\bnaming\b|\bnames\s+(the|both|its|which|what)\b")
ITEMS = ("only_first", "only_last", "only_largest", "all_but_first", "all_but_last")
SHOWN = 60  # characters of an expression or a statement in a mutant's name


@dataclass(frozen=True)
class Mutant:
    """An answer with a fault. name: what the fault is. tree: of its source. was, now: the statement without and with
    it. remembers: whether what it gives may depend on earlier calls or on chance."""

    name: str
    tree: ast.Module
    was: str
    now: str
    remembers: bool


def mutants(source):
    """The Mutants of the source of a function or class, in order, each different from all others.

    A message is emptied only where a docstring says that it names something.
    """
    tree = ast.parse(source)
    index = {id(node): i for i, node in enumerate(ast.walk(tree))}
    known, names, found = {ast.unparse(tree)}, Counter(), []
    named = any(NAMED.search(ast.get_docstring(n) or "") for n in ast.walk(tree) if isinstance(n, faults.DOCUMENTED))
    for parent, field, position, node, statement in _places(tree, None):
        for fault, new in _planted(node, parent, named):
            twin = copy.deepcopy(tree)
            twins = list(ast.walk(twin))
            if position is None:
                setattr(twins[index[id(parent)]], field, new)
            else:
                getattr(twins[index[id(parent)]], field)[position] = new
            text = ast.unparse(ast.fix_missing_locations(twin))
            if text in known:
                continue
            known.add(text)
            name = f"{fault} in '{_short(_line(statement))}'"
            names[name] += 1
            name += f" ({names[name]})" if names[name] > 1 else ""
            now = _line(new if node is statement else twins[index[id(statement)]])
            remembers = "_fault.keep(" in text or "_fault.random(" in text
            found.append(Mutant(name, twin, _line(statement), now, remembers))
    return found


def with_result(source, change):
    """The syntax tree of an answer whose results all go through a function of `faults.Faults`. change: its name."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef)):
            node.body = [_returning(one, change) if _is_method(one) else one for one in node.body]
    return ast.fix_missing_locations(tree)


def _places(node, statement):
    """Every node below one that may be replaced: (parent, field, position in it or None, node, its statement)."""
    for field, value in ast.iter_fields(node):
        if field in ("decorator_list", "annotation", "returns", "ctx"):
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            own = child if isinstance(child, ast.stmt) else statement
            yield node, field, position, child, own
            if not isinstance(child, (ast.Raise, ast.JoinedStr)):
                yield from _places(child, own)


def _is_text(node):
    """Whether a node is a docstring, or another text that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _line(node):
    return ast.unparse(node).splitlines()[0]


def _short(text):
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _changed(node, **fields):
    """A copy of a node with other fields; what lies below is shared."""
    return type(node)(**{name: value for name, value in ast.iter_fields(node)} | fields)


def _planted(node, parent, named):
    """The faults that may be planted at a node: (what the fault is, the node to put in its place)."""
    if isinstance(node, ast.stmt):
        yield from _in_statement(node, named)
        if isinstance(node, ast.FunctionDef) and isinstance(parent, (ast.Module, ast.ClassDef)):
            yield from _in_function(node)
    elif isinstance(node, ast.comprehension):
        for items in ITEMS:
            yield (
                f"{items.replace('_', ' ')} of {_short(_line(node.iter))}",
                _changed(node, iter=_fault(items, node.iter)),
            )
        for i, condition in enumerate(node.ifs):
            yield f"no 'if {_short(_line(condition))}'", _changed(node, ifs=node.ifs[:i] + node.ifs[i + 1 :])
    elif isinstance(node, ast.Slice):
        for part in ("lower", "upper", "step"):
            if getattr(node, part):
                yield f"no {part} end" if part != "step" else "no step", _changed(node, **{part: None})
    elif isinstance(node, ast.expr):
        for new in _in_expression(node):
            yield f"'{_short(_line(new))}' for '{_short(_line(node))}'", new


def _in_statement(node, named):
    match node:
        case ast.If(test=test, body=body):
            yield f"never '{_short(_line(test))}'", _changed(node, test=ast.Constant(False))
            if not isinstance(body[0], ast.Raise):
                yield f"always '{_short(_line(test))}'", _changed(node, test=ast.Constant(True))
        case ast.Raise(exc=ast.Call(args=[_, *_])) if named:
            yield "a message that says nothing", _changed(node, exc=_changed(node.exc, args=[]))
        case ast.For():
            for items in ITEMS:
                yield items.replace("_", " "), _changed(node, iter=_fault(items, node.iter))
        case ast.While():
            yield "no turn of it", _changed(node, test=ast.Constant(False))
        case ast.Break() | ast.Continue():
            yield "nothing", ast.Pass()
        case ast.AugAssign(target=target, op=op, value=value):
            if type(op) in OPERATORS:
                yield "another operator", _changed(node, op=OPERATORS[type(op)]())
            yield "'=' alone", ast.Assign([target], value)
        case ast.Expr(value=ast.Call()):
            yield "nothing", ast.Pass()


def _in_function(node):
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    defaults = [None] * (len(parameters) - len(node.args.defaults) - len(node.args.kwonlyargs))
    defaults += [*node.args.defaults, *node.args.kw_defaults]
    for parameter, default in zip(parameters, defaults):
        name = parameter.arg
        if name in ("self", "cls"):
            continue
        if default:
            yield f"{name} is always its default", _begun(node, ast.Assign([ast.Name(name, ast.Store())], default))
        yield f"{name} is always the first one", _begun(node, f"{name} = _fault.keep('{name}', {name})")
        yield f"{name} is changed in place", _ended(node, name)
        if SEEDED.search(name):
            yield f"chance of its own for {name}", _begun(node, f"{name} = _fault.random({name})")
    if node.name == "__init__":
        for name in {
            n.attr: 0 for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        }:
            shared = ast.parse(f"self.{name} = _fault.keep('self.{name}', self.{name})").body
            yield f"{name} is shared by instances", _changed(node, body=[*node.body, *shared])
    else:
        for change in faults.CHANGES:
            yield f"its result {change.replace('_', ' ')}", _returning(node, change)


def _in_expression(node):
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            for i, op in enumerate(ops):
                yield _changed(node, ops=[*ops[:i], COMPARISONS[type(op)](), *ops[i + 1 :]])
            if len(ops) > 1:
                yield _changed(node, ops=ops[1:], comparators=right[1:], left=right[0])
                yield _changed(node, ops=ops[:-1], comparators=right[:-1])
            elif _ending(left) == _ending(right[0]) == "shape":
                for other in ("size", "ndim"):
                    sides = [_changed(side, attr=other) for side in (left, right[0])]
                    yield _changed(node, left=sides[0], comparators=sides[1:])
        case ast.BoolOp(values=values):
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield _changed(node, values=rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(operand=operand) if not isinstance(operand, ast.Constant):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if not isinstance(left, (ast.JoinedStr, ast.List)):
            if type(op) in OPERATORS:
                yield _changed(node, op=OPERATORS[type(op)]())
            if isinstance(op, ORDERED):
                yield _changed(node, left=right, right=left)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=float(value)):
            # Half as much again; of a number that only keeps off an edge, nothing and much more.
            yield from map(ast.Constant, (0.0, 1000 * value) if abs(value) < 1e-6 else (1.5 * value,))
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Call():
            yield from _in_call(node)
        case ast.Attribute(attr="T" | "real", value=value):
            yield value
        case ast.List(elts=items, ctx=ast.Load()) if len(items) > 1:
            for i, item in enumerate(items):
                if isinstance(item, ast.Call):
                    yield _changed(node, elts=items[:i] + items[i + 1 :])


def _in_call(node):
    function, arguments = node.func, node.args
    name = _ending(function)
    if isinstance(function, ast.Attribute) and name in INSTEAD:
        yield _changed(node, func=_changed(function, attr=INSTEAD[name]))
    elif name in ("max", "min", "any", "all"):  # Python's own
        yield _changed(node, func=_changed(function, id=INSTEAD[name]))
    for keyword in node.keywords:
        if keyword.arg and keyword.arg not in SILENT:
            yield _changed(node, keywords=[one for one in node.keywords if one is not keyword])
    if name not in SYMMETRIC and not any(isinstance(one, ast.Starred) for one in arguments):
        for i in range(len(arguments) - 1):
            exchanged = [*arguments[:i], arguments[i + 1], arguments[i], *arguments[i + 2 :]]
            yield _changed(node, args=exchanged)
    method = isinstance(function, ast.Attribute) and _ending(function.value) not in MODULES
    if name in DROPPED and (method or arguments):
        yield from [function.value] if method else arguments[:2] if name in SYMMETRIC else arguments[:1]
    elif isinstance(function, ast.Call) and len(arguments) == 1:  # a layer, made and applied
        yield arguments[0]


def _ending(node):
    """The last part of a dotted name, or ""."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _fault(function, *arguments):
    return ast.Call(ast.Attribute(ast.Name("_fault", ast.Load()), function, ast.Load()), list(arguments), [])


def _parts(node):
    """The docstring of a function, as a list of statements, and its other statements."""
    at = 1 if _is_text(node.body[0]) else 0
    return node.body[:at], node.body[at:]


def _begun(node, statement):
    """A function that first does something else."""
    doc, body = _parts(node)
    first = ast.parse(statement).body if isinstance(statement, str) else [statement]
    return _changed(node, body=[*doc, *first, *body])


def _ended(node, name):
    """A function that changes one of its arguments in place, at its end."""
    doc, body = _parts(node)
    given, spoil = ast.parse(f"_given = {name}\n_fault.spoil(_given)").body
    return _changed(node, body=[*doc, given, ast.Try(body, [], [], [spoil])])


def _is_method(node):
    return isinstance(node, ast.FunctionDef) and node.name != "__init__"


class _Returns(ast.NodeTransformer):
    """Puts a function around what is returned; functions within have returns of their own."""

    def __init__(self, change):
        self.change = change

    def visit_Return(self, node):
        return _changed(node, value=_fault(self.change, node.value)) if node.value else node

    def visit_Lambda(self, node):
        return node

    visit_FunctionDef = visit_Lambda


def _returning(node, change):
    return _changed(node, body=[_Returns(change).visit(copy.deepcopy(one)) for one in node.body])
