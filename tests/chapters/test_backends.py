"""Definitions, proofs and checks of chapters on the other Keras backends that are installed; on TensorFlow their
notebooks run them."""

import importlib.util
import os
import subprocess
import sys

import pytest

from course.authoring import chapters
from course.authoring.plugin import PROMISES

BACKENDS = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_proofs_and_checks_hold(changed, backend, tmp_path):
    cells = [c.source for c in changed.cells if chapters.role(c) in PROMISES]
    script = tmp_path / "promises.py"
    script.write_text("\n\n".join(cells), encoding="utf-8")
    environment = os.environ | {"KERAS_BACKEND": backend, "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("✓") >= len([cell for cell in cells if cell.startswith("check(")])
