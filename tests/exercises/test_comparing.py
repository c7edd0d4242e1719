"""How two values are compared and described, which is what a proof and a check say of them."""

import numpy as np
import pytest

from course.comparing import compare, describe, describe_call


@pytest.mark.parametrize(
    "got, expected, words",
    [
        (3, 3, None),
        (np.int64(3), 3, None),
        (3.0, 3, "a float; expected the whole number 3"),
        (True, 3, "True, expected 3"),
        (True, True, None),
        (np.bool_(True), True, None),
        (1, True, "1, expected True"),
        (1.0 + 1e-9, 1.0, None),
        (float("nan"), 1.0, "nan, expected 1"),
        (float("nan"), float("nan"), None),
        ("a", "a", None),
        ("a", "b", "'a', expected 'b'"),
        (None, 1.0, "None, expected 1"),
        ([1, 2], [1, 2, 3], "2 values, expected 3"),
        ([1, 2], [1, 3], "at position 1: 2, expected 3"),
        ({"a": 1}, {"a": 2}, "at key 'a': 1, expected 2"),
        ({"b": 1}, {"a": 1}, "a dict with keys ['b'], expected ['a']"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "shape (2, 3), expected (3, 2)"),
        (np.zeros(2), 1.0, "expected the single number 1"),
        (np.array([1.0, 2.0]), np.array([1.0, 3.0]), "2 at [1], expected 3 (1 of 2 values differ)"),
        ("text", 3.0, "'text', expected 3"),
        ([[1, 2], [3]], np.zeros((2, 2)), "expected"),
    ],
)
def test_comparison(got, expected, words):
    problem = compare(got, expected)
    assert (problem is None) if words is None else words in problem


def test_calls_are_described_by_their_arguments():
    def f(x, kernel, stride=1):
        pass

    assert describe_call(f, (np.zeros((9, 9)), 3, 2)) == "f(x=array of shape (9, 9), kernel=3, stride=2)"
    assert describe(np.float32(0.5)) == "0.5"
    assert describe({"losses": [np.float64(1) / 3, np.ones(2)]}) == "{'losses': [0.333333, [1., 1.]]}"
    assert len(describe("x" * 10_000)) < 200
