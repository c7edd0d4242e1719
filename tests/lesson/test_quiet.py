"""`import course` costs next to nothing, and keeps TensorFlow's log out of whatever imports it then."""

import re
import subprocess
import sys

import nbformat
from nbclient import NotebookClient

FIRST = "import course\nimport keras\nimport numpy as np"
TRAIN = """model = keras.Sequential([keras.layers.Dense(1)])
model.compile(loss="mse")
model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
import sys
print("an error of Python's", file=sys.stderr)
import os
os.write(2, b"and one of C's\\n");"""


def cost():
    """Milliseconds that importing `course` takes, the interpreter's own start apart."""
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", "import course"], capture_output=True, text=True)
    return int(re.search(r"\|\s+(\d+) \| course$", run.stderr, re.MULTILINE)[1]) / 1000


def test_importing_it_takes_less_than_a_tenth_of_a_second():
    assert min(cost() for _ in range(3)) < 100


def test_nothing_of_tensorflows_log_reaches_a_notebook(monkeypatch):
    for name in ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL"):  # as in any Jupyter, not only ours
        monkeypatch.delenv(name, raising=False)
    cells = [nbformat.v4.new_code_cell(source) for source in (FIRST, TRAIN)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3").execute()
    said = [[output.get("text", "") for output in cell.outputs if output.output_type == "stream"] for cell in cells]
    assert said[0] == [] and "".join(said[1]).split("\n")[:-1] == ["an error of Python's", "and one of C's"], said


def test_who_asks_for_the_log_gets_it():
    code = "import course, sys; print(any('quiet' in repr(finder) for finder in sys.meta_path))"
    for level, hushed in (("0", "False"), ("3", "True")):
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"TF_CPP_MIN_LOG_LEVEL": level}
        )
        assert run.stdout.strip() == hushed, run.stderr
