"""Values as JSON: what crosses comes out as it was, and all else is refused."""

import json
import math

import numpy as np
import pytest

from course.exercises import values
from course.exercises.outcomes import Outcome


def every_kind(rng):
    """A value of every kind that a case or an outcome may have."""
    arrays = [rng.normal(size=(2, 3)), rng.integers(0, 9, (4,), dtype="uint8"), rng.random((2, 2)) < 0.5]
    arrays += [np.float32(1.5), np.bool_(True), np.int64(-7), np.array(2.0), np.array(True), np.zeros((0, 3))]
    arrays += [rng.normal(size=3).astype(">f4"), rng.normal(size=2) + 1j, np.complex64(1j), np.array([np.nan, -np.inf])]
    numbers = [True, False, 3, -(2**80), 2**53, 2**53 - 1, 10**400, 0.1, -0.0, math.nan, math.inf, -math.inf]
    numbers += [1 + 2j, complex(math.nan, -math.inf), 5e-324]
    others = [
        None,
        "",
        "ü\ud800\n",
        [1, [2.5, "x"]],
        (),
        (1, (2,)),
        [(), []],
        {},
        {"a": 1, 2: [3]},
        {(1, "b"): {1.5: ()}},
    ]
    return [*arrays, *numbers, *others, {(0, 1): np.ones(2), None: [math.nan, 1j]}]


def same(one, other):
    """Whether two values are of one type, shape and content, to the last bit and down to the items of containers."""
    if isinstance(one, (np.ndarray, np.generic)):
        kinds = [(type(x) if x.ndim else "scalar", x.shape, x.dtype.newbyteorder("<")) for x in (one, other)]
        return kinds[0] == kinds[1] and np.array_equal(one, other, equal_nan=True)
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return repr(one) == repr(other)  # NaN, and the sign of 0


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
