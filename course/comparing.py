"""Comparing what a function gave with what it should have given, in words a person understands."""

import numbers
import reprlib

import numpy as np


class _Short(reprlib.Repr):
    """Long containers cut short, with the numbers and arrays in them as `describe` shows them."""

    def repr1(self, x, level):
        return describe(x) if isinstance(x, (float, np.generic, np.ndarray)) else super().repr1(x, level)


_repr = _Short()
_repr.maxstring = _repr.maxother = 80
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 8


def plain(value):
    """`value` with every tensor turned into a NumPy array; tuples, lists and dicts are walked through.

    Turning into arrays also copies, so a result cannot change after it was taken.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (str, bytes, bool, numbers.Number, type(None), np.generic)):
        return value
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        from keras import ops

        return np.array(ops.convert_to_numpy(value))
    return value


def describe(value):
    """A short text for a value: numbers and small arrays in full, large arrays by shape."""
    value = plain(value)
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return describe(value[()])
        if value.size <= 16 and value.size > 0:
            body = np.array2string(value, precision=4, suppress_small=True, separator=", ")
            return " ".join(body.split())
        return f"an array of shape {value.shape}"
    if isinstance(value, (np.floating, float)):
        return f"{float(value):.6g}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return _repr.repr(value)


def describe_call(function, case, name=None):
    """`output_size(n=7, k=3, stride=2)`: a call in words, arguments named by the function's signature where it has
    names. name: the function's, where it is to be shown under another."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in named]
    return f"{name or getattr(function, '__name__', 'f')}({describe_arguments(case, names)})"


def describe_arguments(case, names=()):
    """`n=7, k=3, stride=2`: a call's arguments in words, the first ones under these names."""
    parts = []
    for i, argument in enumerate(case):
        value = plain(argument)
        text = f"array of shape {value.shape}" if isinstance(value, np.ndarray) and value.size > 16 else describe(value)
        parts.append(f"{names[i]}={text}" if i < len(names) else text)
    return ", ".join(parts)


def compare(got, expected, rtol=1e-5, atol=1e-6):
    """None where `got` equals `expected`, else a phrase such as "shape (3, 4), expected (2, 2)".

    Both as `plain` returns them. Floats agree within atol + rtol |expected|; whole numbers, booleans and texts must
    be equal, and a float is no whole number even where it is one in value. NaN agrees with NaN.
    """
    if got is None and expected is not None:
        return f"None, expected {describe(expected)}"
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return f"{describe(got)}, expected a dict with keys {sorted(map(str, expected))}"
        if got.keys() != expected.keys():
            return f"a dict with keys {sorted(map(str, got))}, expected {sorted(map(str, expected))}"
        return _first((f"at key {key!r}: ", compare(got[key], expected[key], rtol, atol)) for key in expected)
    if isinstance(expected, (list, tuple)):
        if isinstance(got, np.ndarray):
            got = list(got)
        if not isinstance(got, (list, tuple)):
            return f"{describe(got)}, expected {len(expected)} values: {describe(expected)}"
        if len(got) != len(expected):
            return f"{len(got)} values, expected {len(expected)}: {describe(expected)}"
        return _first((f"at position {i}: ", compare(g, e, rtol, atol)) for i, (g, e) in enumerate(zip(got, expected)))
    if not isinstance(expected, (np.ndarray, np.generic, numbers.Number)) or isinstance(expected, bool):
        return (
            None
            if type(got) is type(expected) and got == expected or _same_bool(got, expected)
            else _both(got, expected)
        )
    return _compare_numbers(got, expected, rtol, atol)


def _compare_numbers(got, expected, rtol, atol):
    if type(got) is int and type(expected) is int:  # of any size, which an array's integers are not
        return None if got == expected else _both(got, expected)
    try:
        g, e = np.asarray(got), np.asarray(expected)
    except (TypeError, ValueError):
        return _both(got, expected)
    if g.dtype.kind not in "biufc":
        return _both(got, expected)
    if g.shape != e.shape:
        if e.ndim == 0:
            return f"{describe(got)} of shape {g.shape}, expected the single number {describe(expected)}"
        return f"shape {g.shape}, expected {e.shape}"
    if e.dtype.kind == "b" or e.dtype.kind in "iu":
        if e.dtype.kind in "iu" and g.dtype.kind == "f":
            equal = g == e
            if np.all(equal):
                return (
                    f"{describe(got)}, a float; expected the whole number{'s' if e.ndim else ''} {describe(expected)}"
                )
        elif g.dtype.kind == "b" and e.dtype.kind != "b":
            return _both(got, expected)
        else:
            equal = g == e
    else:
        equal = np.isclose(g, e, rtol=rtol, atol=atol, equal_nan=True)
    if np.all(equal):
        return None
    if e.ndim == 0:
        return _both(got, expected)
    wrong = np.argwhere(~equal)
    at = tuple(int(i) for i in wrong[0])
    return f"{describe(g[at])} at {list(at)}, expected {describe(e[at])} ({len(wrong)} of {e.size} values differ)"


def _same_bool(got, expected):
    return isinstance(expected, bool) and isinstance(got, (bool, np.bool_)) and bool(got) == expected


def _both(got, expected):
    return f"{describe(got)}, expected {describe(expected)}"


def _first(problems):
    for where, problem in problems:
        if problem:
            return where + problem
    return None
