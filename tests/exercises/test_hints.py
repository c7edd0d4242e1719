"""What a failed answer is told about itself."""

import numpy as np
import pytest
from helpers import key_of

from course.exercises.asking import Question, ask, run
from course.exercises.hints import diagnose
from course.exercises.keys import Mistake
from course.exercises.outcomes import Outcome


def forgets_the_start(x):
    for value in x:
        total = total + value  # noqa: F821
    return total


def shuffled(x):
    """Reversed in the first case, and something else in the others."""
    return x[::-1] if x[0] == 1 else np.roll(x, 1)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda x: -x, "every value has the wrong sign"),
        (lambda x: 3 * x, "every value is 3 times"),
        (lambda x: x + 1, "every value is 1 too large"),
        (lambda x: x + x[0] + 1, ""),  # by another number in each case
        (lambda x: x[::-1], "reversed along axis 0"),
        (lambda x: x.astype(float), "not their type"),
        (lambda x: x + 0.5, "look at the type first"),
        (lambda x: x / 0, "look at the type first"),
        (lambda x: x + (x > 10**6), ""),
        (lambda x: exit(), "use return"),
        (lambda x: unknown, "unknown is made neither"),  # noqa: F821
        (forgets_the_start, "used before it has one"),
        (lambda x: None, "without a return"),
        (lambda x: x.sort() or x[::-1].sort(), "change an array that others use too"),
        (shuffled, ""),
    ],
)
def test_hints_that_know_nothing_of_the_exercise(answer, words):
    cases = [(n + np.array([1, 0, 4, 10**7]),) for n in range(5)]
    key = key_of(cases, [Outcome(case[0]) for case in cases])
    with np.errstate(all="ignore"):
        outcomes, _ = ask(key.question, answer)
    hint = diagnose(key, outcomes)
    assert words in hint if words else hint == ""


@pytest.mark.parametrize(
    "answer, words",
    [
        (
            lambda x: (x.sum(), {"loss": x / 0, "p": x}),
            "in item 1: at key 'loss': there are values that are not finite",
        ),
        (lambda x: (x.sum(), {"loss": x, "p": -x}), "in item 1: at key 'p': every value has the wrong sign"),
        (lambda x: (-x.sum(), {"loss": x, "p": x}), "in item 0: the sign is wrong"),
        (lambda x: ({"loss": x, "p": x}, x.sum()), "the two parts are exchanged"),
        (lambda x: (2 * x.sum(), {"loss": x, "p": x}), "in item 0: the number is 2 times"),
        (lambda x: (x.sum(), x), ""),
    ],
)
def test_hints_look_into_tuples_and_dicts(answer, words):
    cases = [(np.arange(n, n + 3.0),) for n in range(1, 5)]
    key = key_of(cases, [Outcome((x.sum(), {"loss": x, "p": x})) for (x,) in cases])
    with np.errstate(all="ignore"):
        outcomes, _ = ask(key.question, answer)
    hint = diagnose(key, outcomes)
    assert words in hint if words else hint == ""


def test_two_parts_exchanged_are_told_so():
    cases = [(float(n),) for n in range(1, 5)]
    key = key_of(cases, [Outcome((x, x + 1)) for (x,) in cases])
    assert diagnose(key, ask(key.question, lambda x: (x + 1, x))[0]) == "the two parts are exchanged"


def value_of(n):
    """What an answer must do: refuse what is below 0."""
    if n < 0:
        raise ValueError("below 0")
    return 2 * n


def told(answer, mistake, cases=(-2, -1, 0, 1, 2, 3)):
    """The hint for an answer where one mistake is known, whose hint is "that"."""
    use = Question("1.1", []).use()
    ran = [[run(use, f, (n,)) for n in cases] for f in (value_of, mistake, answer)]
    expected, known, outcomes = ran
    return diagnose(key_of([(n,) for n in cases], expected, [Mistake("one", "that", known)]), outcomes)


def refuses(words, low=0, high=9):
    def answer(n):
        if not low <= n < high:
            raise ValueError(words)
        return 2 * n

    return answer


def plus(number, only=()):
    """2 n + number, but right for those in `only`; refuses nothing below -1 in another way."""
    return lambda n: value_of(n) + number * (n not in only)


@pytest.mark.parametrize(
    "answer, mistake, hinted",
    [
        (plus(5), plus(5), True),
        (plus(5), plus(5, only=(3,)), False),  # on a case that passes by the known mistake
        (plus(5, only=(3,)), plus(5), False),
        (plus(5, only=(0, 1, 2)), plus(5, only=(0, 1, 2)), False),  # on a single case
        (lambda n: 2 * n, lambda n: 2 * n, True),  # refuses nothing
        (lambda n: 2 * n + 5, lambda n: 2 * n, False),  # the first case that fails is one to refuse
        (lambda n: float(2 * n) if n >= 0 else value_of(n), plus(0), False),
        (refuses("no", high=1), refuses("cannot be", high=1), True),  # words are the answer's own
        (refuses("no", high=1), lambda n: value_of(n) if n < 1 else int("x"), False),
        (lambda n: value_of(n) if n < 1 else [][n], lambda n: value_of(n) if n < 1 else [][n], True),
    ],
)
def test_a_known_mistake_is_told_where_an_answer_does_the_same(answer, mistake, hinted):
    assert (told(answer, mistake) == "that") is hinted


def test_a_wrong_type_is_told_before_a_mistake_that_gives_the_same_numbers():
    assert "look at the type first" in told(lambda n: value_of(n) + 1.0, plus(1))
    assert told(lambda n: value_of(n) + 1.0, lambda n: value_of(n) + 1.0) == "that"


def test_an_answer_may_give_anything_at_all():
    for value in ({"a": 1}, [1, {"a": 2}], np.array([{"a": 1}], object), object(), "text", [[1], [2, 3]]):
        assert told(lambda n, value=value: value, plus(5)) != "that"
