"""Values as JSON: what crosses comes out as it was, and all else is refused."""

import json

import numpy as np
import pytest
from helpers import every_kind, same

from course.exercises import values
from course.exercises.outcomes import Outcome


def test_values_cross_unchanged_and_packed_too(seed):
    for value in every_kind(np.random.default_rng(seed)):
        form = values.encode(value)
        assert same(value, values.decode(values.read(json.dumps(form)))), value
        assert same(value, values.decode(values.unpack(values.pack(form)))), value


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), np.array(["a"]), np.array([None]), lambda: 1, 1j.__add__])
def test_other_kinds_cannot_cross(value):
    with pytest.raises(values.WireError):
        values.encode([value])
    assert values.encode_outcome(Outcome(value)).keys() == {"strange"}


@pytest.mark.parametrize("text", ["", "x", "AAAA", "eJwDAAAAAAE=", "ü", values.pack({"a": 1})[:-4]])
def test_what_is_not_packed_is_refused(text):
    with pytest.raises(values.WireError):
        values.unpack(text)


@pytest.mark.parametrize(
    "form",
    [
        {"array": "AAAA", "dtype": "|O", "shape": [1]},
        {"array": "AAAA", "dtype": "<f8", "shape": [10**12]},
        {"array": "AAAA", "dtype": "<f8", "shape": [-1]},
        {"array": "!", "dtype": "<f8", "shape": []},
        {"array": "AAAA", "dtype": "nonsense", "shape": []},
        {"array": "AAAA", "dtype": "(1,f8", "shape": [1]},
        {"array": "", "dtype": "<f8", "shape": [0, 10**30]},
        {"float": "1e5"},
        {"int": "x"},
        {"int": "9" * 5000},
        {"complex": [{"int": "9" * 900}, 0]},
        {"complex": [[], 0]},
        {"tuple": 3},
        {"dict": [[[1], 2]]},
        {"object": 1},
        {},
        [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]],
    ],
)
def test_what_is_no_value_is_refused(form):
    with pytest.raises(values.WireError):
        values.decode(form)


def test_a_forged_outcome_is_refused():
    for form in (None, 3, {}, {"value": 1, "extra": 2}, {"raised": [], "message": "", "where": []}, {"raised": "x"}):
        with pytest.raises(values.WireError):
            values.decode_outcome(form)
