"""The faults that the audit plants: which there are, what they are called, and what they do."""

import ast

import numpy as np
import pytest

from course.exercises.faults import CHANGES, FORMS, Faults
from course.exercises.mutants import mutants, with_result

MEAN = '''
# Exercise 1.1
def mean_of(x, axis=0, scale=1.0):
    """The mean along an axis. Raises ValueError for no numbers; the message names the size."""
    if x.size < 1 or axis > 1:
        raise ValueError(f"{x.size} numbers")
    total = 0
    for row in np.moveaxis(x, axis, 0):
        total += abs(row)
    return total / x.shape[axis] * scale
'''
COUNTER = """
class Counter:
    def __init__(self, start=0):
        self.counts = [start]

    def add(self, step):
        self.counts.append(step)
        return sum(self.counts)
"""


def made(tree, name, **more):
    """What a tree defines under a name, and its Faults."""
    faults = Faults()
    names = {"np": np, "_fault": faults, **more}
    exec(compile(tree, "<mutant>", "exec"), names)
    return names[name], faults


@pytest.mark.parametrize(
    "what",
    [
        "axis is always its default in 'def mean_of(x, axis=0, scale=1.0):'",
        "x is changed in place in 'def mean_of(x, axis=0, scale=1.0):'",
        "scale is always the first one in 'def mean_of(x, axis=0, scale=1.0):'",
        "never 'x.size < 1 or axis > 1' in 'if x.size < 1 or axis > 1:'",
        "'axis > 1' for 'x.size < 1 or axis > 1' in 'if x.size < 1 or axis > 1:'",
        "'x.size <= 1' for 'x.size < 1' in 'if x.size < 1 or axis > 1:'",
        "'2' for '1' in 'if x.size < 1 or axis > 1:' (2)",
        "a message that says nothing in 'raise ValueError(f'{x.size} numbers')'",
        "'np.moveaxis(x, 0, axis)' for 'np.moveaxis(x, axis, 0)' in 'for row in np.moveaxis(x, axis, 0):'",
        "only largest in 'for row in np.moveaxis(x, axis, 0):'",
        "'row' for 'abs(row)' in 'total += abs(row)'",
        "'=' alone in 'total += abs(row)'",
        "'total // x.shape[axis]' for 'total / x.shape[axis]' in 'return total / x.shape[axis] * scale'",
        "its result of complex numbers in 'def mean_of(x, axis=0, scale=1.0):'",
    ],
)
def test_each_kind_of_fault_is_planted_and_named(what):
    assert what in [mutant.name for mutant in mutants(MEAN)]


@pytest.mark.parametrize("source, name", [(MEAN, "mean_of"), (COUNTER, "Counter")])
def test_mutants_differ_from_each_other_and_from_the_answer_and_can_be_run(source, name):
    found = mutants(source)
    texts = [ast.unparse(mutant.tree) for mutant in found]
    assert len({*texts, ast.unparse(ast.parse(source))}) == len(found) + 1
    assert len({mutant.name for mutant in found}) == len(found)
    for mutant in found:
        made(mutant.tree, name)


def test_a_message_is_emptied_only_where_the_docstring_says_what_it_names():
    without = MEAN.replace("; the message names the size", "")
    assert not [m for m in mutants(without) if "message" in m.name]


def test_names_outlive_edits_elsewhere():
    longer = MEAN.replace("    total = 0\n", "    total = 0\n    unused = x + 3 < 7\n")
    assert {m.name for m in mutants(MEAN)} < {m.name for m in mutants(longer)}


def mutant(source, start):
    (found,) = [m for m in mutants(source) if m.name.startswith(start)]
    return found


def test_state_is_kept_and_shared():
    kept = mutant(MEAN, "scale is always the first one")
    function, _ = made(kept.tree, "mean_of")
    assert kept.remembers and function(np.ones(2), 0, 3.0) == 3 == function(np.ones(2), 0, 5.0)
    shared = mutant(COUNTER, "counts is shared")
    kind, _ = made(shared.tree, "Counter")
    kind().add(5)
    assert shared.remembers and kind().add(1) == 6


def test_an_argument_is_changed_in_place_where_it_can_be():
    function, faults = made(mutant(MEAN, "x is changed in place").tree, "mean_of")
    for x in (np.zeros(2), np.ones(2, bool), np.ones((1, 1), "uint8")):
        before = x.copy()
        function(x)
        assert not np.array_equal(x, before) and not faults.idle
    function, faults = made(mutant(MEAN, "scale is changed in place").tree, "mean_of")
    function(np.zeros(2))
    assert faults.idle


@pytest.mark.parametrize(
    "change, given, gives",
    [
        ("rounded", np.array([0.123]), np.array([0.12])),
        ("rounded", 2.0, None),
        ("truncated", np.array([1.5, -1.5]), np.array([1, -1])),
        ("truncated", 2.0, None),
        ("of_floats_for_whole_numbers", {"n": 3}, {"n": 3.0}),
        ("of_complex_numbers", (1.5, "text"), (1.5 + 0j, "text")),
        ("of_whole_numbers_for_truth_values", [True], [1]),
        ("of_truth_values", 3, True),
        ("truncated", ("text", None), None),
        ("with_one_axis_more", np.ones(2), np.ones((1, 2))),
        ("lists", (np.ones(2), 1), [[1.0, 1.0], 1]),
        ("tuples", [1, 2], (1, 2)),
        ("float32", 1.5, np.float32(1.5)),
        ("NumPy_scalars", True, np.True_),
    ],
)
def test_results_are_changed_in_kind(change, given, gives):
    function, faults = made(with_result("def f(x):\n    return x", change), "f")
    got = function(given)
    assert faults.idle is (gives is None)
    assert repr(got) == repr(given if gives is None else gives)


def test_a_result_is_left_where_a_function_within_returns_something():
    source = "def f(x):\n    def g():\n        return 1.5\n    return [g()]"
    assert made(with_result(source, "truncated"), "f")[0](0) == [1]


def test_tensors_are_rounded_and_made():
    from keras import ops

    function, _ = made(with_result("def f(x):\n    return x", "rounded"), "f")
    assert abs(float(function(ops.convert_to_tensor(0.126))) - 0.13) < 1e-6
    function, _ = made(with_result("def f(x):\n    return x", "Keras_tensors"), "f")
    assert ops.is_tensor(function(1.5)) and function("text") == "text"
    assert set(CHANGES).isdisjoint(FORMS)
