"""Hints: which known mistake an answer has made, or what the shape of its difference shows."""

import contextlib
import re

from course.comparing import compare


def diagnose(key, outcomes):
    """The hint for a failed answer, or "": that of the known wrong answer that behaves the same, else one drawn from
    the shape of the difference. key: an ExerciseKey. outcomes: one for each case."""
    failing = [i for i, problem in enumerate(key.differences(outcomes)) if problem]
    best, most = "", 0
    for mistake in key.mistakes:
        agree = sum(_same(mistake.outcomes[i], outcomes[i], key) for i in failing)
        # A mistake made twice over agrees on some cases only; half of the failing ones is more than chance.
        if agree > most and 2 * agree >= len(failing):
            best, most = mistake.hint, agree
    if best:
        return best
    hints = [general_hint(outcomes[i], key.expected[i], key.rtol, key.atol) for i in failing]
    # What the first case shows may be an accident of its values, so half of the cases must show the same.
    kinds = [re.sub(r"-?\d[\d.e+-]*", "#", hint) for hint in hints]
    return hints[0] if 2 * kinds.count(kinds[0]) >= len(kinds) else ""


def absent(outcomes, names):
    """The hint for an answer that misses a name of the lesson, which is not there since the kernel was started again;
    or "". names: those that the lesson's definitions make."""
    for outcome in outcomes:
        if outcome.raised and "NameError" in outcome.raised.names and outcome.raised.message in names:
            return (
                f"{outcome.raised.message} is the lesson's, whose definitions are not there, as after a restart: run "
                "resume() (from course import resume), and then this check again"
            )
    return ""


def _same(one, other, key):
    if one.raised or other.raised:
        return bool(one.raised and other.raised) and one.raised.names == other.raised.names
    return compare(one.value, other.value, key.rtol, key.atol) is None


def general_hint(got, expected, rtol, atol):
    """A hint that knows nothing of the exercise, only the two values."""
    import numpy as np

    if got.raised:
        if got.raised.names[0] == "UnboundLocalError":
            return "a name that the function gives a value to is used before it has one"
        if "NameError" in got.raised.names:
            return f"{got.raised.message} is defined neither in the answer's own cell nor in the lesson"
        if "SystemExit" in got.raised.names:
            return "exit() and quit() end the whole program; use return"
        return ""
    if expected.raised:
        return "look at the Raises line of the docstring: some inputs must be refused"
    if got.value is None:
        return "a function without a return statement gives None"
    with contextlib.suppress(Exception):
        g, e = np.asarray(got.value, float), np.asarray(expected.value, float)
        if g.shape != e.shape:
            if g.shape == e.shape[::-1]:
                return "the axes are in reverse order"
            if sorted(g.shape) == sorted(e.shape):
                return "the sizes are right but the axes are in another order"
            return ""

        def alike(a, b):
            return np.allclose(a, b, rtol=rtol, atol=atol)

        if g.size and not np.isfinite(g).all() and np.isfinite(e).all():
            return "there are values that are not finite: look for a division by 0, a log of 0 or an overflow"
        if np.array_equal(g, e):
            return "the numbers are right, but not their type; whole numbers, for one, are no floats"
        if alike(g, e):
            return ""  # large whole numbers that differ by little: no words below fit
        if np.abs(e).max(initial=0) > 0:
            if alike(g, -e):
                return "every value has the wrong sign"
            if g.ndim == 2 and g.shape[0] == g.shape[1] and alike(g.T, e):
                return "the result is transposed: rows and columns are exchanged"
            for axis in range(g.ndim):
                if alike(np.flip(g, axis), e):
                    return f"the result is reversed along axis {axis}"
            if g.size > 1:
                ratio = float((g * e).sum() / (e * e).sum())
                if ratio and alike(g, ratio * e):
                    return f"every value is {ratio:.4g} times what it should be"
                if alike(g - e, (g - e).mean()):
                    return f"every value is off by {float((g - e).mean()):.4g}"
    return ""
