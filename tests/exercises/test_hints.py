"""What a failed answer is told about itself."""

import numpy as np
import pytest
from helpers import key_of

from course.exercises.asking import ask
from course.exercises.hints import diagnose
from course.exercises.outcomes import Outcome


def forgets_the_start(x):
    for value in x:
        total = total + value  # noqa: F821
    return total


def shuffled(x):
    """Reversed in the first case, and something else in the others."""
    return x[::-1] if x[0] == 0 else np.roll(x, 1)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda x: -x, "every value has the wrong sign"),
        (lambda x: 3 * x, "every value is 3 times"),
        (lambda x: x + x[0] + 1, "every value is off by 1"),
        (lambda x: x[::-1], "reversed along axis 0"),
        (lambda x: x.astype(float), "not their type"),
        (lambda x: x / 0, "not finite"),
        (lambda x: x + (x > 10**6), ""),
        (lambda x: exit(), "use return"),
        (lambda x: unknown, "unknown is defined neither"),  # noqa: F821
        (forgets_the_start, "used before it has one"),
        (lambda x: None, "without a return"),
        (shuffled, ""),
    ],
)
def test_hints_that_know_nothing_of_the_exercise(answer, words):
    cases = [(n + np.array([0, 1, 4, 10**7]),) for n in range(5)]
    key = key_of(cases, [Outcome(case[0]) for case in cases])
    with np.errstate(all="ignore"):
        outcomes, _ = ask(key.question, answer)
    hint = diagnose(key, outcomes)
    assert words in hint if words else hint == ""
