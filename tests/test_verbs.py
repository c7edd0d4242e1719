"""prove, claim, check's comparison, budget, seed, gradient and record."""

import os
import subprocess
import sys

import numpy as np
import pytest

import course
from course import exercises, results, settings
from course.comparing import compare, describe, describe_call
from course.proofs import Broken, claim, prove


def test_a_proof_prints_one_line_and_counts(capsys):
    prove("3.4", np.add, lambda a, b: a + b, [(1, 2), (np.ones(3), 2.0)], name="sum")
    assert capsys.readouterr().out == "(3.4) ✓ sum: 2 cases\n"


def test_a_proof_names_the_case_that_disagrees():
    def half(x):
        return x // 2

    with pytest.raises(Broken, match=r"\(3\.4\) ✗ half, case 2: half\(x=3\) gave 1, expected 1.5"):
        prove("3.4", half, lambda x: x / 2, [2, 3])
    with pytest.raises(Broken, match="no case"):
        prove("3.4", half, half, [])


def test_a_claim_holds_or_breaks(capsys):
    claim("6.1", "it is so", np.bool_(True))
    assert capsys.readouterr().out == "claim 6.1 ✓ it is so\n"
    with pytest.raises(Broken, match="claim 6.1 ✗ not true in this run"):
        claim("6.1", "it is so", False)


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
    spec = exercises.Exercise(
        "1.1", draw=lambda rng: (n + np.array([0, 1, 4, 10**7]) for n in range(5)), judge=lambda x: x
    )
    cases = spec.draw_cases()
    with np.errstate(all="ignore"):
        outcomes = [spec.run(answer, case) for case in cases]
    hint = exercises.diagnose(spec, outcomes, [spec.expected(case) for case in cases], None)
    assert words in hint if words else hint == ""


def test_calls_are_described_by_their_arguments():
    def f(x, kernel, stride=1):
        pass

    assert describe_call(f, (np.zeros((9, 9)), 3, 2)) == "f(x=array of shape (9, 9), kernel=3, stride=2)"
    assert describe(np.float32(0.5)) == "0.5"
    assert describe({"losses": [np.float64(1) / 3, np.ones(2)]}) == "{'losses': [0.333333, [1., 1.]]}"
    assert len(describe("x" * 10_000)) < 200


def test_importing_the_course_does_not_import_keras():
    code = "import sys, course; assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="it offers .*prove"):
        course.nothing  # noqa: B018


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "²", str(2**32)])
def test_a_bad_seed_is_named(monkeypatch, text):
    monkeypatch.setenv("COURSE_SEED", text)
    with pytest.raises(settings.SettingError, match="COURSE_SEED"):
        settings.seed()


def test_budget(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "full")
    assert course.budget(quick=1, full=2) == 2
    monkeypatch.setenv("COURSE_BUDGET", "huge")
    with pytest.raises(settings.SettingError, match="'huge'; it must be one of quick, full"):
        course.budget(quick=1, full=2)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_budget_without_a_gpu_or_with_one(backend):
    pytest.importorskip(backend)
    code = "from course import settings; assert settings.budget_name() == ('full' if settings.has_gpu() else 'quick')"
    environment = {k: v for k, v in os.environ.items() if k != "COURSE_BUDGET"} | {"KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


FIT = """
import keras, numpy as np
from course import at_once
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse", steps_per_execution=at_once(4))
model.fit(np.ones((23, 2)), np.ones((23, 1)), batch_size=5, verbose=0)
assert int(model.optimizer.iterations) == 5
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_batches_at_once(backend):
    pytest.importorskip(backend)
    subprocess.run([sys.executable, "-c", FIT], check=True, env=os.environ | {"KERAS_BACKEND": backend})


MODELS = """
import keras, numpy as np
from course import predict, rewinder
layers = keras.layers
model = keras.Sequential([keras.Input((2,)), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)])
x, y = np.random.default_rng(0).normal(size=(7, 2)), np.zeros((7, 8))
model.compile(keras.optimizers.Adam(0.1), "mse")

def refused(call, words):
    try:
        call()
    except ValueError as error:
        assert words in str(error), error
    else:
        raise SystemExit(f"not refused: {words}")

refused(lambda: rewinder(model), "optimizer.build")
refused(lambda: rewinder(keras.Sequential([layers.Dense(1)])), "compile the model first")
model.optimizer.build(model.trainable_variables)
rewind, begun = rewinder(model), predict(model, x)
assert begun.shape == (7, 8) and np.array_equal(begun, predict(model, x)), "dropout must rest"
for size in (1, 3, 7, 100):
    assert np.allclose(begun, predict(model, x, size), atol=1e-6)
for _ in range(2):
    model.fit(x, y, verbose=0)
    trained = predict(model, x)
    assert not np.allclose(begun, trained) and int(model.optimizer.iterations) == 1
    rewind()
    assert np.array_equal(begun, predict(model, x))
    momenta = [v for v in model.optimizer.variables if v.ndim]
    assert momenta and not any(np.any(keras.ops.convert_to_numpy(v)) for v in momenta)
    assert int(model.optimizer.iterations) == 0
refused(lambda: predict(model, x[:0]), "(0, 2)")
refused(lambda: predict(model, x, 0), "size is 0")
model.compile("sgd", "mse")
refused(rewind, "another")
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_model_is_asked_and_begun_anew(backend):
    pytest.importorskip(backend)
    subprocess.run([sys.executable, "-c", MODELS], check=True, env=os.environ | {"KERAS_BACKEND": backend})


GRADIENT = """
import numpy as np
from keras import ops
from course import gradient
x = np.linspace(-1, 2, 7).astype("float32")
g = ops.convert_to_numpy(gradient(lambda x: ops.sum(x**3), x))
assert np.allclose(g, 3 * x**2, atol=1e-5), g
penalty = lambda x: ops.sum(gradient(lambda y: ops.sum(y**3), x) ** 2)
h = ops.convert_to_numpy(gradient(penalty, x))
assert np.allclose(h, 36 * x**3, atol=1e-3), h
assert np.allclose(ops.convert_to_numpy(gradient(lambda x: ops.sum(x * 0 + 1), x)), 0)
try:
    gradient(lambda x: x, x)
except ValueError as error:
    assert "scalar" in str(error)
else:
    raise SystemExit("a gradient of a vector was not refused")
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_gradient_and_its_gradient(backend):
    pytest.importorskip(backend)
    subprocess.run([sys.executable, "-c", GRADIENT], check=True, env=os.environ | {"KERAS_BACKEND": backend})
