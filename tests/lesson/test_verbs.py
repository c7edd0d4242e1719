"""prove, claim, budget, seed, gradient, and what else a lesson is given to work with."""

import os
import subprocess
import sys

import numpy as np
import pytest

import course
from course.lesson import settings
from course.lesson.proofs import Broken, claim, prove


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
    code = "from course.lesson.settings import *; assert budget_name() == ('full' if has_gpu() else 'quick')"
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


PRECISION = """
import numpy as np, keras
from course import prove
from course.lesson.settings import full_precision
backend = keras.backend.backend()
def switches():
    if backend == "tensorflow":
        import tensorflow as tf
        return [tf.config.experimental.tensor_float_32_execution_enabled()]
    if backend == "torch":
        import torch
        return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
    import jax
    jax.default_backend = lambda: "gpu"  # as on a machine that has one
    return [jax.config.jax_default_matmul_precision != "highest"]
before, seen = switches(), []
prove("1.1", lambda x: seen.append(switches()) or x, lambda x: x, [1.0])
assert seen == [[False] * len(before)] and any(before), (before, seen)
try:
    with full_precision():
        raise ZeroDivisionError
except ZeroDivisionError:
    assert switches() == before
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_proofs_are_made_in_full_precision_on_a_gpu_too(backend):
    pytest.importorskip(backend)
    subprocess.run([sys.executable, "-c", PRECISION], check=True, env=os.environ | {"KERAS_BACKEND": backend})
