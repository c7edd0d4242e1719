"""The oldest and the newest versions that pyproject.toml allows, on each Python that the course runs on, and an
imitation of Colab: each set up anew, one after the other, with a lesson run from end to end.

    python tests/matrix.py [3.11-lowest 3.13-newest colab ...]

Needs uv, and the Pythons; one that is not here is told. Writes what it found to docs/matrix.md, of which it keeps what
it did not try this time. Exit status 1 where anything failed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "matrix.md"
LESSON = "03_convolution"
PYTHONS = ("3.11", "3.12", "3.13")
COLAB = "colab"
NAMES = [*(f"{python}-{which}" for python in PYTHONS for which in ("lowest", "newest")), COLAB]
SHOWN = ("tensorflow", "keras", "numpy", "scipy", "matplotlib", "ipykernel", "nbval")
MINUTES = 30
INTRODUCTION = """\
# Versions that were tried

`make matrix` sets up an environment for each row, runs chapter 3 in it as a script (every proof and claim, embedded
data), and grades its answers by nbval. "lowest" are the oldest versions of direct dependencies that `pyproject.toml`
allows and that have a wheel for that Python, "newest" the newest. Colab is imitated by its Python and its versions of
what a lesson imports (`tests/colab.txt`): the wheel is installed there without dependencies, and the lesson's notebook,
all that there is besides, is executed.
"""
# Executes the notebook alone, in its own folder, as Colab does; what an open exercise's check raises is meant to.
EXECUTE = """
import nbclient, nbformat, sys
nbclient.NotebookClient(nbformat.read(sys.argv[1], 4), kernel_name="python3", timeout=900).execute()
"""


class Failed(Exception):
    """A step that failed; the message says which, with the last line that it printed."""


def run(what, *words, cwd=ROOT, **variables):
    """Run a command to its end; its output. Raises Failed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COURSE_", "PYTHON", "VIRTUAL_ENV"))}
    environment |= {"COURSE_DATA": "embedded", "COURSE_BUDGET": "quick", "COURSE_PROGRESS": "off"} | variables
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=MINUTES * 60,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: not done after {MINUTES} minutes") from None
    if done.returncode < 0:
        raise Failed(f"{what}: ended from outside, by signal {-done.returncode}")
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Failed(f"{what}: {lines[-1] if lines else 'no message'}")
    return done.stdout


def environment(folder, python, requirements):
    """A new environment in a folder with what a file of requirements lists; the path of its Python."""
    run("making an environment", "uv", "venv", "-q", "--no-python-downloads", "--python", python, "--seed", folder)
    inside = folder / "bin" / "python"
    run("installing", "uv", "pip", "install", "-q", "--python", inside, "-r", requirements)
    return inside


def try_range(folder, python, which):
    """Versions at one end of the ranges: the environment's Python, and what was done."""
    pins, resolution = folder / "pins.txt", "lowest-direct" if which == "lowest" else "highest"
    run("resolving", "uv", "pip", "compile", "-q", "--resolution", resolution, "--python-version", python,
        "--only-binary", ":all:", "pyproject.toml", "-o", pins)  # fmt: skip
    inside = environment(folder / "env", python, pins)
    run("installing the course", "uv", "pip", "install", "-q", "--python", inside, "--no-deps", "-e", ROOT)
    run("the lesson as a script", inside, f"solutions/{LESSON}.py")
    solved = f"solutions/{LESSON}.ipynb"
    said = run("grading", inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", solved)
    return inside, f"ran; {re.findall(r'[0-9]+ passed', said)[-1]} of its checks"


def try_colab(folder):
    """The wheel and a lone notebook among Colab's versions: the environment's Python, and what was done."""
    inside = environment(folder / "env", "3.12", ROOT / "tests" / "colab.txt")
    before = run("listing", inside, "-m", "pip", "freeze")
    run("building the wheel", sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    run("installing the wheel", inside, "-m", "pip", "install", "-q", "--no-deps", wheel)
    after = run("listing", inside, "-m", "pip", "freeze")
    changed = {line for line in set(after.splitlines()) ^ set(before.splitlines()) if "deep" not in line}
    if changed:
        raise Failed(f"installing the wheel: it changed {', '.join(sorted(changed))}")
    alone = folder / "alone"
    alone.mkdir()
    shutil.copy(ROOT / "notebooks" / f"{LESSON}.ipynb", alone)
    run("the notebook alone", inside, "-c", EXECUTE, f"{LESSON}.ipynb", cwd=alone)
    return inside, "ran; no version was changed"


def row(name):
    """Try one environment: the row of the table, and whether all went well."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        folder, begun = Path(folder), time.monotonic()
        python = "3.12" if name == COLAB else name.split("-")[0]
        inside, versions, well = folder / "env" / "bin" / "python", {}, False
        try:
            inside, found = try_colab(folder) if name == COLAB else try_range(folder, python, name.split("-")[1])
            well = True
        except Failed as error:
            found = str(error).replace("|", "/")
        if inside.exists():
            listed = json.loads(run("listing", "uv", "pip", "list", "-q", "--python", inside, "--format", "json"))
            versions = {one["name"]: one["version"] for one in listed}
        shown = [versions.get(package, "–") for package in SHOWN]
        seconds = time.monotonic() - begun
    return f"| {name} | {' | '.join(shown)} | {seconds:.0f} | {'✓' if well else '✗'} {found} |", well


def main(names):
    if unknown := set(names) - set(NAMES):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    if not shutil.which("uv"):
        sys.exit("the matrix needs uv: pip install uv")
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    rows = {name: line for line in old.splitlines() if (name := line.strip("| ").split(" ")[0]) in NAMES}
    all_well = True
    for name in names or NAMES:
        rows[name], well = row(name)
        all_well &= well
        print(rows[name], flush=True)
        head = f"| | {' | '.join(SHOWN)} | seconds | found |\n{'|---' * (len(SHOWN) + 3)}|"
        lines = "\n".join(rows[name] for name in NAMES if name in rows)
        PAGE.write_text(f"{INTRODUCTION}\n{head}\n{lines}\n", encoding="utf-8")
    sys.exit(not all_well)


if __name__ == "__main__":
    main(sys.argv[1:])
