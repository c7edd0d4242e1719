"""What a failed check shows of a case: a call in the learner's own terms, which can be pasted and run."""

import dataclasses

import numpy as np
import pytest
from helpers import key_of, same

from course.exercises import keys
from course.exercises.asking import ask
from course.exercises.judging import explain, judge
from course.exercises.outcomes import ExerciseError, Outcome
from course.exercises.showing import case, literal, readable, shown

STUB = "# Exercise 1.1\ndef conv(image, kernel, stride=1):\n    ...\n"


@pytest.mark.parametrize(
    "value, text",
    [
        (np.array([[1.0, 2.5]]), "np.array([[1.0, 2.5]])"),
        (np.array([1, 2]), "np.array([1, 2])"),
        (np.array([255], "uint8"), 'np.array([255], dtype="uint8")'),
        (np.zeros((0, 3)), "np.zeros((0, 3))"),
        (np.float32(1.5), "np.float32(1.5)"),
        ([1, (2.5,), {"a": None}], "[1, (2.5,), {'a': None}]"),
        (float("nan"), "np.nan"),
        ([-float("inf")], "[-np.inf]"),
        ("a text", "'a text'"),
        (np.arange(40), None),
        (object(), None),
    ],
)
def test_short_values_are_shown_as_literals_to_the_last_bit(value, text):
    assert literal(value) == text
    if text:
        assert same(eval(text, {"np": np}), value)


def key(*cases, **more):
    return key_of(list(cases), [Outcome(0) for _ in cases], stub=STUB, name="conv", arguments=("x", "k", "s"), **more)


def test_short_arguments_stand_in_the_call_under_the_learners_names():
    one = key((np.array([1.0, 2.0]), np.array([1.0]), 2), (np.array([1.0]), 3.0, [1]))
    assert shown(one, 0, "conv") == ([], ["conv(np.array([1.0, 2.0]), np.array([1.0]), stride=2)"], "")
    assert shown(one, 1, "mine") == ([], ["mine(np.array([1.0]), kernel=3.0, stride=[1])"], "")


def test_long_arguments_are_fetched():
    before, call, said = shown(key((np.zeros((9, 9)), np.array([0.1 + 0.2] * 4), 2)), 0, "conv")
    assert before == ["from course import case", 'image, kernel, _ = case("1.1", 0)']
    assert call == ["conv(image, kernel, stride=2)"]
    assert said == "image is an array of shape (9, 9), kernel is [0.3, 0.3, 0.3, 0.3]"


def test_a_driver_is_not_shown():
    call = "for row in x:\n    print(conv(row, s))\n# k is {k}"
    one = key((np.zeros((3, 30)), 7, 2), driver="def drive(answer, x, k, s): return 0", call=call)
    assert shown(one, 0, "conv") == (
        ["from course import case", 'x, _, _ = case("1.1", 0)'],
        ["for row in x:", "    print(conv(row, 2))"],
        "x is an array of shape (3, 30); k is 7",
    )
    assert shown(dataclasses.replace(one, call=""), 0, "conv")[1] == ["conv(an array of shape (3, 30), 7, 2)"]


@pytest.mark.parametrize(
    "problem, words",
    [
        ("gave 3, expected 4", "gave 3, expected 4"),
        ("gave at key 'W': at position 2: 8, expected 4", "gave, in item 2 of 'W': 8, expected 4"),
        ("gave at position 0: at key 'loss': None, expected 1", "gave, in 'loss' of item 0: None, expected 1"),
        ("gave 1 at [0], expected 2 (1 of 3 values differ)", "gave 1 at [0], expected 2 (1 of 3 values differ)"),
        ("raised ValueError: at key 'x': no", "raised ValueError: at key 'x': no"),
        ("did not hand over", "did not hand over"),
    ],
)
def test_places_are_told_in_words(problem, words):
    assert readable(problem) == words


def test_the_whole_message():
    one = key((np.zeros((9, 9)), np.array([1.0]), 2))
    outcomes, _ = ask(one.question, lambda image, kernel, stride: 5)
    assert explain(one, judge(one, outcomes), outcomes, "conv")[0].splitlines() == [
        "exercise 1.1 ✗ 0 of 1 cases right; the first that is not:",
        "  from course import case",
        '  image, _, _ = case("1.1", 0)',
        "  conv(image, np.array([1.0]), stride=2)",
        "  gave 5, expected 0",
        "    where image is an array of shape (9, 9)",
    ]


def test_a_case_is_handed_out_as_a_copy(small):
    first = case("90.3", 0)
    assert first == ([1, 2, 3],)
    first[0].append(4)
    assert case("90.3", 0) == ([1, 2, 3],) == keys.load_exercise("90.3").cases[0]
    for position in (3, -1, "0"):
        with pytest.raises(ExerciseError, match="exercise 90.3 has the cases 0 to 2, and none with number"):
            case("90.3", position)
