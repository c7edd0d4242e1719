"""Definitions, proofs and checks of every chapter on every Keras backend that is installed."""

import importlib.util
import os
import subprocess
import sys

import pytest

BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_proofs_and_checks_hold(chapter, backend, tmp_path):
    parts = ("definition", "proof", "answer", "check")
    cells = [c.source for c in chapter.cells if c.cell_type == "code" and c.metadata["course"]["role"] in parts]
    script = tmp_path / "promises.py"
    script.write_text("\n\n".join(cells), encoding="utf-8")
    environment = os.environ | {"KERAS_BACKEND": backend, "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("✓") >= len([cell for cell in cells if cell.startswith("check(")])
