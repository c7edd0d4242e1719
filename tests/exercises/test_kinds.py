"""Kinds of numbers, arguments that an answer changes, messages that must name something."""

import json

import numpy as np
import pytest
from helpers import key_of

from course.exercises import naming, values
from course.exercises.asking import ask
from course.exercises.judging import judge
from course.exercises.kinds import wrong_kind
from course.exercises.outcomes import Outcome, Raised


@pytest.mark.parametrize(
    "got, expected, said",
    [
        (3.0, 3, "3, a float; expected the whole number 3"),
        (True, 1, "True, a truth value; expected the whole number 1"),
        (1, True, "1, a whole number; expected the truth value True"),
        (1 + 0j, 1.0, "a complex number; expected the float 1"),
        (np.array([1.0, 2.0]), np.array([1, 2]), "[1., 2.], floats; expected whole numbers [1, 2]"),
        ([1.0, 2.0], np.array([True, False]), "floats; expected truth values"),
        ((1, {"loss": 2j}), (1, {"loss": 2.0}), "at position 1: at key 'loss': "),
        (3, 3.0, ""),
        (np.uint8(3), 3, ""),
        (3, 3j, ""),
        (np.float32(3), 3.0, ""),
        ("3", 3, ""),
        (None, 3, ""),
        ([[1], [2, 3]], np.array([1.0]), ""),
        ([], [1], ""),
    ],
)
def test_numbers_of_another_kind_are_named(got, expected, said):
    problem = wrong_kind(got, expected)
    assert said in problem if said else problem is None


def grows(x, y):
    y["items"].append(1)
    return 0


@pytest.mark.parametrize(
    "answer, changed",
    [
        (lambda x, y: 0, False),
        (lambda x, y: x.sort() or 0, True),
        (lambda x, y: x.fill(np.nan) or 0, True),
        (lambda x, y: y.update(more=1) or 0, True),
        (grows, True),
        (lambda x, y: (x + 1).sort() or 0, False),
    ],
)
def test_an_argument_that_was_changed_is_told(answer, changed):
    key = key_of([(np.array([2.0, np.nan, 1.0]), {"items": [1, float("nan")]})], [Outcome(0)])
    outcomes, _ = ask(key.question, answer)
    judgement = judge(key, outcomes)
    assert (judgement.state != "passed") is changed
    assert not changed or "changed an argument in place" in judgement.problem
    assert np.isnan(key.cases[0][0][1])


@pytest.mark.parametrize(
    "message, missing",
    [
        ("the stride is 0, and 12 rows", ""),
        ("Stride (0,12)", ""),
        ("stride 10 of 12.0", "0, 12"),
        ("", "stride, 0, 12"),
    ],
)
def test_a_message_must_name_what_is_asked_for(message, missing):
    form = values.encode_outcome(Outcome(raised=Raised.of(naming(ValueError, "stride", 0, 12))))
    expected = values.decode_outcome(json.loads(json.dumps(form)))
    problem = Outcome(raised=Raised.of(ValueError(message))).differs(expected, 0, 0)
    assert (problem or "").partition("the message must name ")[2] == missing
    assert "it must raise ValueError" in Outcome(raised=Raised.of(TypeError(message))).differs(expected, 0, 0)
