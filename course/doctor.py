"""What a machine has that the course can use, and what to do about what is missing."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass

DISTRIBUTION = "deep-vision-in-keras"


@dataclass
class Finding:
    """One thing looked at. level: "fine", "note" (worth knowing) or "missing" (a lesson will not run). remedy: what
    to do, or ""."""

    level: str
    what: str
    remedy: str = ""


def examine():
    """All findings, one after the other as they are made."""
    yield python()
    yield from packages()
    yield from device()
    yield from data_sets()
    yield memory()
    yield sandbox()


def python():
    """The interpreter's version."""
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("fine", text)
    return Finding("missing", text, "The course needs Python 3.11, 3.12 or 3.13: install one, and the course again")


def packages():
    """Whether the packages that the course needs are there: in a checkout in the tested versions, which
    requirements.txt pins, and in an installed course in the range that its metadata asks for."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    from course.lesson import settings

    pins = settings.ROOT / "requirements.txt"
    pinned = settings.in_checkout() and pins.exists()
    if pinned:
        lines = [line for line in pins.read_text(encoding="utf-8").splitlines() if "==" in line and line[0] != "#"]
        again = "python -m pip install -r requirements.txt"
    else:
        try:
            lines = requires(DISTRIBUTION) or []
        except PackageNotFoundError:
            yield Finding("note", "the course is not installed as a package, so its needs are not known", "use pip")
            return
        again = f"python -m pip install --force-reinstall {DISTRIBUTION.replace('-', '_')}-*.whl"
    absent, other = [], []
    for wanted in map(Requirement, lines):
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(wanted.name)
        except PackageNotFoundError:
            absent.append(wanted.name)
            continue
        if not wanted.specifier.contains(have, prereleases=True):
            other.append(f"{wanted.name} {have} ({'tested' if pinned else 'needed'}: {wanted.specifier})")
    if absent:
        yield Finding("missing", f"not installed: {', '.join(absent)}", f"run: {again}")
    elif other:
        yield Finding("note", f"versions that were not tested: {', '.join(other)}")
    else:
        yield Finding("fine", "all packages in the tested versions" if pinned else "all packages that the course needs")


def device():
    """Keras, its backend, and the processor that it will compute on."""
    code = (
        "import keras; from course.lesson import recording; b = keras.backend.backend(); "
        "print('found', keras.__version__, b, recording.device_name(b), sep='|')"
    )
    # In a process of its own: a broken TensorFlow may end the process it is imported in.
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("found|")), None)
    if line is None:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        yield Finding(
            "missing", f"Keras does not start with backend {backend}: {last}", f"install it again, or {backend}"
        )
        return
    _, keras, backend, name = line.split("|")
    yield Finding("fine", f"Keras {keras} on {backend}")
    if "CPU" in name:
        remedy = ""
        if shutil.which("nvidia-smi"):
            remedy = "There is an NVIDIA driver, but no GPU support: run: python -m pip install 'tensorflow[and-cuda]'"
        yield Finding("note", f"no GPU; {name}: chapters run on the quick budget", remedy)
    else:
        yield Finding("fine", f"{name}: chapters run on the full budget")


def data_sets():
    """Where each data set would come from."""
    from course.lesson import data

    for name, state in data.status().items():
        fine = state.level == "fine"
        yield Finding("fine" if fine else "note", f"{name}: {state.where}", "" if fine else "To have it: course data")


def memory():
    """Free memory and disk."""
    import psutil

    free, disk = psutil.virtual_memory().available / 2**30, shutil.disk_usage(os.getcwd()).free / 2**30
    text = f"{free:.1f} GB of memory and {disk:.1f} GB of disk free"
    if free < 2 or disk < 1:
        return Finding("note", text, "A chapter may need 2 GB of memory and 1 GB of disk: close other programs")
    return Finding("fine", text)


def sandbox():
    """Whether untrusted notebooks can be locked in."""
    command = shutil.which("bwrap")
    if not command:
        return Finding(
            "note",
            "no sandbox for other people's notebooks (you do not need one for your own)",
            "To have one: sudo apt install bubblewrap (Debian, Ubuntu), sudo dnf install bubblewrap (Fedora)",
        )
    tried = subprocess.run([command, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    if tried.returncode:
        return Finding("note", f"bubblewrap is here but cannot make a sandbox: {tried.stderr.strip()[:200]}")
    return Finding("fine", "sandbox for other people's notebooks: bubblewrap")
