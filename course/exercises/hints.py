"""Hints: which known mistake an answer has made, or what its difference shows; rather none than a misleading one.

A learner reads a hint below the first case that failed, so it must be true of that case, and of the others of its sort:
those that expect a value, or those that expect a refusal.
"""

import contextlib
import re
from collections.abc import Collection
from typing import Any

from course.comparing import compare
from course.exercises.keys import ExerciseKey
from course.exercises.kinds import wrong_kind
from course.exercises.outcomes import ChangedArgument, Outcome, Raised

ENOUGH = 2  # cases that must fail alike: on a single one, much agrees by accident


def diagnose(key: ExerciseKey, outcomes: list[Outcome]) -> str:
    """The hint for a failed answer, or "". key: an ExerciseKey. outcomes: one for each case.

    That of a known wrong answer is given where the answer does as that one does on all cases of the first failed one's
    sort, those that pass among them, and at least ENOUGH of them fail. Else one is drawn from the shape of the
    difference, where it is the same in at least ENOUGH cases and in half of those that failed.
    """
    problems = key.differences(outcomes)
    first = next((i for i, problem in enumerate(problems) if problem), None)
    if first is None:
        return ""
    refusing = bool(key.expected[first].raised)
    sort = [i for i, want in enumerate(key.expected) if bool(want.raised) == refusing]
    failing = [i for i in sort if problems[i]]
    if len(failing) >= ENOUGH:
        alike = [m for m in key.mistakes if all(_agree(m.outcomes[i], outcomes[i], key, i) for i in sort)]
        # Of those that agree so far, the one that agrees on the other sort too.
        alike.sort(key=lambda m: sum(not _agree(m.outcomes[i], outcomes[i], key, i) for i in range(len(problems))))
        if alike:
            return alike[0].hint
    if hint := certain_hint(outcomes[first], key.expected[first]):
        return hint
    if wrong_kind(outcomes[first].value, key.expected[first].value):
        return type_hint(outcomes[first].value, key.expected[first].value)
    hints = [shape_hint(outcomes[i], key.expected[i], key.rtol, key.atol) for i in failing]
    many = hints.count(hints[0]) >= max(ENOUGH, len(hints) / 2)
    # A number that not all of them share is one of the case, and not of the mistake.
    whole = not re.search(r"\d (times|too)", hints[0]) or len(set(hints)) == 1
    return hints[0] if many and whole else ""


def absent(outcomes: list[Outcome], names: Collection[str]) -> str:
    """The hint for an answer that misses a name of the lesson, which is not there since the kernel was started again;
    or "". names: those that the lesson's definitions make."""
    for outcome in outcomes:
        if outcome.raised and "NameError" in outcome.raised.names and outcome.raised.message in names:
            return (
                f"{outcome.raised.message} is the lesson's, whose definitions are not there, as after a restart: run "
                "resume() (from course import resume), and then this check again"
            )
    return ""


def _agree(one: Outcome, other: Outcome, key: ExerciseKey, i: int) -> bool:
    """Whether a known mistake's outcome of case i and an answer's are the same: both right, or wrong in one way."""
    want, tolerance = key.expected[i], (key.rtol, key.atol)
    right = [outcome.differs(want, *tolerance) is None for outcome in (one, other)]
    if any(right):
        return all(right)
    if one.raised or other.raised:
        return one.raised is not None and other.raised is not None and _meaning(one.raised) == _meaning(other.raised)
    if not want.raised and bool(wrong_kind(one.value, want.value)) != bool(wrong_kind(other.value, want.value)):
        return False
    # An answer's value may be anything at all, so it is the one that is compared, and never the measure.
    return compare(other.value, one.value, *tolerance) is None


def _meaning(raised: Raised) -> tuple[str, str]:
    """What tells an exception from others of its class: that the answer itself refuses, in whatever words, or else its
    message, without the numbers and texts of the case."""
    if raised.where and re.search(r": raise\b", raised.where[-1]):
        return raised.names[0], "refused"
    return raised.names[0], re.sub(r"'[^']*'|\d[\d.e+-]*|\s+", " ", raised.message)


def certain_hint(got: Outcome, expected: Outcome) -> str:
    """A hint at what one case shows beyond doubt, or ""."""
    if got.raised:
        if got.raised.names[0] == "UnboundLocalError":
            return "a name that the function gives a value to is used before it has one"
        if "NameError" in got.raised.names:
            return (
                f"{got.raised.message} is made neither in the answer's own cell nor by the lesson's definitions, which "
                "are all that is graded: move what makes it into the cell"
            )
        if got.raised.names[0] == "FileNotFoundError":
            return "an answer is asked in an empty folder, as when it is graded: write what it needs into its cell"
        if "SystemExit" in got.raised.names:
            return "exit() and quit() end the whole program; use return"
        if got.raised.names[0] == ChangedArgument.__name__:
            return "operators such as += and -=, and x[...] = ..., change an array that others use too"
        return ""
    if expected.raised:
        return "look at the Raises line of the docstring: some inputs must be refused"
    if got.value is None and expected.value is not None:
        return "a function without a return statement gives None"
    return ""


def type_hint(got: Any, expected: Any) -> str:
    """A hint for numbers of a wrong kind."""
    import numpy as np

    with contextlib.suppress(Exception):
        if np.array_equal(np.asarray(got), np.asarray(expected)):
            return "the numbers are right, but not their type; whole numbers, for one, are no floats"
    return "look at the type first: the docstring says what is returned"


def shape_hint(got: Outcome, expected: Outcome, rtol: float, atol: float) -> str:
    """A hint that knows nothing of the exercise, drawn from the difference of two Outcomes' values, or ""."""
    if got.raised or expected.raised:
        return ""
    with contextlib.suppress(Exception):
        return _difference(got.value, expected.value, rtol, atol)
    return ""


def _difference(got: Any, expected: Any, rtol: float, atol: float) -> str:
    parts = _parts(got, expected)
    if parts is None:
        return _of_arrays(got, expected, rtol, atol)
    wrong = [(where, g, e) for where, g, e in parts if compare(g, e, rtol, atol)]
    if len(parts) == len(wrong) == 2 and not any(
        compare(g, e, rtol, atol) for (_, g, _), (_, _, e) in zip(wrong, wrong[::-1])
    ):
        return "the two parts are exchanged"
    hints = [(where, _difference(g, e, rtol, atol)) for where, g, e in wrong]
    return next((f"{where}: {hint}" for where, hint in hints if hint), "")


def _parts(got: Any, expected: Any) -> list[tuple[str, Any, Any]] | None:
    """The items of two containers of one make, as (where, got, expected); None where these are numbers or arrays."""
    if isinstance(expected, dict):
        same = isinstance(got, dict) and got.keys() == expected.keys()
        return [(f"at key {key!r}", got[key], expected[key]) for key in expected] if same else []
    if (
        isinstance(expected, tuple)
        or isinstance(expected, list)
        and not all(isinstance(e, (int, float)) for e in expected)
    ):
        same = isinstance(got, (tuple, list)) and len(got) == len(expected)
        return [(f"in item {i}", g, e) for i, (g, e) in enumerate(zip(got, expected))] if same else []
    return None


def _of_arrays(got: Any, expected: Any, rtol: float, atol: float) -> str:
    import numpy as np

    g, e = np.asarray(got, float), np.asarray(expected, float)
    if g.shape != e.shape:
        if g.shape == e.shape[::-1]:
            return "the axes are in reverse order"
        if sorted(g.shape) == sorted(e.shape):
            return "the sizes are right but the axes are in another order"
        return ""

    def alike(a: Any, b: Any) -> bool:
        return np.allclose(a, b, rtol=rtol, atol=atol)

    if g.size and not np.isfinite(g).all() and np.isfinite(e).all():
        return "there are values that are not finite: look for a division by 0, a log of 0 or an overflow"
    if alike(g, e) or not np.abs(e).max(initial=0):
        return ""  # large whole numbers that differ by little, or nothing but 0: no words below fit
    if alike(g, -e):
        return "every value has the wrong sign" if g.ndim else "the sign is wrong"
    if g.ndim == 2 and g.shape[0] == g.shape[1] and alike(g.T, e):
        return "the result is transposed: rows and columns are exchanged"
    for axis in range(g.ndim):
        if alike(np.flip(g, axis), e):
            return f"the result is reversed along axis {axis}"
    every = "every value" if g.ndim else "the number"
    ratio = float((g * e).sum() / (e * e).sum())
    if ratio and alike(g, ratio * e):
        return f"{every} is {ratio:.4g} times what it should be"
    if alike(g - e, (g - e).mean()):
        return f"{every} is {abs(float((g - e).mean())):.4g} too {'large' if (g - e).mean() > 0 else 'small'}"
    return ""
