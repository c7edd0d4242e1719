"""Kinds of numbers: a result of another kind than the expected one is wrong whatever its values are."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from course.comparing import describe

# By NumPy's letter: what one of them is called, what many are, and the kinds that may stand for it.
KINDS = {
    "b": ("truth value", "truth values", "b"),
    "i": ("whole number", "whole numbers", "i"),
    "f": ("float", "floats", "fi"),
    "c": ("complex number", "complex numbers", "cfi"),
}


def kind(value: object) -> str:
    """The kind of a number or of an array's numbers, a letter of KINDS, or "" for anything else."""
    if not isinstance(value, (np.ndarray, np.generic, int, float, complex)):
        return ""
    letter = np.asarray(value).dtype.kind.replace("u", "i")
    return letter if letter in KINDS else ""


def wrong_kind(got: Any, expected: Any) -> str | None:
    """None where each number of `got` is of a kind that may stand for the expected one, else a phrase such as "3.0, a
    float; expected the whole number 3". Whole numbers may stand for floats, and both for complex numbers."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return _first((f"at key {key!r}: ", got[key], expected[key]) for key in expected if key in got)
    if isinstance(expected, (list, tuple)) and (isinstance(got, (list, tuple)) or getattr(got, "shape", None)):
        return _first((f"at position {i}: ", *pair) for i, pair in enumerate(zip(got, expected)))
    if isinstance(got, (list, tuple)) and _is_numeric(expected) and not _is_numeric(got):
        return f"{describe(got)}, expected {describe(expected)}"
    if isinstance(got, (list, tuple)) and isinstance(expected, np.ndarray):
        try:
            got = np.asarray(got)
        except ValueError:  # its rows differ in length
            return None
    have, wanted = kind(got), kind(expected)
    if not have or not wanted or have in KINDS[wanted][2] or not np.size(got):
        return None
    many = bool(np.ndim(got))
    said = KINDS[have][1] if many else f"a {KINDS[have][0]}"
    asked = KINDS[wanted][1] if np.ndim(expected) else f"the {KINDS[wanted][0]}"
    return f"{describe(got)}, {said}; expected {asked} {describe(expected)}"


def _is_numeric(value: object) -> bool:
    """Whether a value is a number, or made of numbers alone. Nothing else may reach NumPy: for a list with one long
    text in it, it would make every item as long."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_numeric, value))
    return isinstance(value, (numbers.Number, np.ndarray, np.generic))


def _first(pairs: Iterable[tuple[str, Any, Any]]) -> str | None:
    for where, got, expected in pairs:
        if problem := wrong_kind(got, expected):
            return where + problem
    return None
