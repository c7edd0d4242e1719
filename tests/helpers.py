"""What more than one file of tests needs: answers to the small chapter's exercises, notebooks, keys and values; the
course as it is installed, and its lab."""

import contextlib
import json
import math
import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.parse
import urllib.request
import venv
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, start_new_kernel

from course.authoring import chapters, keying
from course.classroom import sandbox
from course.exercises import keys
from course.files import load_notebook
from course.grading import merging

ODD = "my work [2026] (ü, 图)"  # a name that patterns, addresses and encodings may trip over
COURSE = [sys.executable, "-m", "course"]
SITE = Path(sysconfig.get_path("purelib"))

NAME = "90_adding.ipynb"
SMALL_SOURCE = Path(__file__).parent / "small" / "solutions" / "90_adding.py"
TWICE = "# Exercise 90.1\ndef twice(x):\n    return x + x\n"
MEND = "# Exercise 90.2\ndef mend(x):\n    return 0 - x\n"
COUNTER = """# Exercise 90.3
class Counter:
    n = 0
    def __call__(self, step=1):
        if step < 1:
            raise ValueError
        self.n += step
        return self.n
"""
WALL = sandbox.Limits(cpu_seconds=60, memory_mb=1500, disk_mb=16, processes=64)
walled = pytest.mark.skipif(bool(sandbox.available()), reason=f"no sandbox here: {sandbox.available()}")
RIGHT = {"90.1": TWICE, "90.2": MEND, "90.3": COUNTER}


def point_at(patch, folder):
    """Have this process, and those that it starts, take chapters and keys from a folder."""
    patch.setenv("COURSE_SOLUTIONS", str(folder / "solutions"))


def answered(small, **changes):
    """The learner's notebook with right answers, but those changed: answered(small, _90_1="# Exercise 90.1 ...")."""
    notebook = load_notebook(small / "notebooks" / NAME)
    sources = RIGHT | {name[1:].replace("_", "."): source for name, source in changes.items()}
    for cell in notebook.cells:
        course = cell.metadata.get("course", {})
        if course.get("role") == "answer":
            cell.source = sources[course["exercise"]]
    return notebook


def change(lesson, more=True):
    """Make a later state of the small chapter's lesson: a changed text and, if more, a new cell. lesson: its path."""
    notebook = load_notebook(lesson)
    cell = next(cell for cell in notebook.cells if "90.1}" in cell.source)
    cell.source = "Now in other words. " + cell.source
    cell.id = merging.digest(cell.source)
    if more:
        source = "print('a new cell')"
        metadata = {"course": {"role": "lesson"}}
        notebook.cells.insert(3, nbformat.v4.new_code_cell(source, id=merging.digest(source), metadata=metadata))
    lesson.write_text(nbformat.writes(notebook), encoding="utf-8")


def clean(**more):
    """The environment of a person who has nothing of ours set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COURSE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV"))}
    return kept | more


class Installed:
    """An environment with a wheel installed and, by a .pth file, this one's other packages; nothing is downloaded."""

    def __init__(self, folder, wheel):
        venv.create(folder, with_pip=False, symlinks=True)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        site = self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        # Of a folder that is named in a .pth file its own .pth files, an editable install's, are not read.
        (Path(site) / "others.pth").write_text(f"{SITE}\n")
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*pip, wheel], check=True, capture_output=True, env=clean())

    def run(self, *words, cwd=None, **environment):
        return subprocess.run(
            words, cwd=cwd, capture_output=True, text=True, env=clean(**environment), stdin=subprocess.DEVNULL
        )

    def course(self, *words, cwd, **environment):
        return self.run(self.bin / "course", *words, cwd=cwd, **environment)

    def lessons(self, cwd):
        """The folder of the lessons that are installed."""
        code = "from course.lesson import settings; print(settings.lessons_folder())"
        return Path(self.run(self.python, "-c", code, cwd=cwd).stdout.strip())


def jupyter_places():
    """What an environment without Jupyter files of its own has to be told to find this one's: variables."""
    share = Path(sys.prefix) / "share" / "jupyter"
    return {"JUPYTER_PATH": str(share), "JUPYTERLAB_DIR": str(share / "lab")}


def listens(port):
    """Whether something answers at that port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def lab(command, log, environment, **more):
    """Start `course lab` without a display; yields its process and the address that it prints, and ends it.

    The server says its address before it listens there, so the port is waited for too.

    command: its words. log: the path of a file for what it prints. more: for Popen.
    """
    environment = {k: v for k, v in environment.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env=environment, **more
        )
    try:
        deadline, found = time.monotonic() + 90, None
        while not found and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            found = re.search(r"http://127\.0\.0\.1:\d+/lab/tree/index\.ipynb\?token=\w+", log.read_text())
        assert found, log.read_text()[-2000:]
        while not listens(urllib.parse.urlsplit(found[0]).port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        yield process, found[0]
    finally:
        process.terminate()
        process.wait(30)


def read_lab(address, path):
    """The bytes that a lab's server answers. address: as the lab prints it. path: on that server."""
    base, token = address.split("/lab/tree")[0], address.partition("?")[2]
    with urllib.request.urlopen(f"{base}/{path}{'&' if '?' in path else '?'}{token}", timeout=30) as answer:
        return answer.read()


def ask_lab(address, path):
    """The same, as JSON."""
    return json.loads(read_lab(address, path))


class Kernel:
    """A notebook's kernel, in a folder. `run` gives what a cell printed, and what it raised, in a list of messages."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(
            startup_timeout=60, kernel_name=CURRENT_ENV_KERNEL_NAME, cwd=str(folder)
        )

    def run(self, source):
        messages = []
        self.client.execute_interactive(source, output_hook=messages.append, timeout=60)
        return [(m["msg_type"], m["content"]) for m in messages]

    def said(self, source):
        return "".join(c["text"] for kind, c in self.run(source) if kind == "stream")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def key_of(cases, expected, mistakes=(), **more):
    """An ExerciseKey with these cases, expected Outcomes and Mistakes."""
    plain = {"number": "1.1", "name": "f", "points": 1, "stub": "", "check": "", "arguments": ("x",), "driver": ""}
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    packed = {"questions": keys.pack_questions(cases), "answers": keys.pack_answers(expected, mistakes)}
    return keys.ExerciseKey(**plain | tolerance | packed | more)


def class_key(number, secret):
    """A class's key, made of the chapter's source."""
    return keying.make(chapters.read_chapter(chapters.source_of(number)), secret)


def drawn_key(number, secret):
    """The same for a function that gives the secret, as `runner.grade_class` asks for it."""
    return class_key(number, secret())


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
