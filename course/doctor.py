"""What a machine has that the course can use, and what to do about what is missing."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DISTRIBUTION = "deep-vision-in-keras"
BACKENDS = ("tensorflow", "jax", "torch")
KERAS_FILE = "keras.json"
NETWORK_SECONDS = 3
SIGNALS = {
    "SIGILL": "This processor lacks instructions that the package was built for (TensorFlow's needs AVX): take another "
    "machine, or another backend, KERAS_BACKEND=torch",
    "SIGKILL": "The system ends a process where memory runs out: close other programs, and try again",
}


@dataclass
class Finding:
    """One thing looked at. level: "fine", "note" (worth knowing) or "missing" (a lesson will not run). remedy: what
    to do, or ""."""

    level: str
    what: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """All findings, one after the other as they are made."""
    yield python()
    yield from packages()
    yield from device()
    yield from keras_settings()
    yield from data_sets()
    yield from network()
    yield memory()
    yield from temporary_folder()
    yield sandbox()


def python() -> Finding:
    """The interpreter's version."""
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("fine", text)
    return Finding("missing", text, "The course needs Python 3.11, 3.12 or 3.13: install one, and the course again")


def packages() -> Iterator[Finding]:
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


def device() -> Iterator[Finding]:
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
        yield no_keras(run.returncode, run.stderr)
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


def no_keras(status: int, stderr: str) -> Finding:
    """The Finding for a Keras that does not start. status: its process's, negative for a signal. stderr: what it
    said."""
    backend = os.environ.get("KERAS_BACKEND") or (kept_settings() or {}).get("backend") or "tensorflow"
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    what = f"Keras does not start with the backend {backend}: {last}"
    if status < 0:
        name = signal.Signals(-status).name
        what = f"Keras does not start with the backend {backend}: its process was ended by {name}"
        remedy = SIGNALS.get(name, f"Install it again: python -m pip install --force-reinstall {backend}")
    elif backend not in BACKENDS:
        what = f"there is no backend {backend!r}, which KERAS_BACKEND or {KERAS_FILE} asks for"
        remedy = f"Choose one of {', '.join(BACKENDS)}, or take that setting out"
    elif re.match(rf"(ModuleNotFoundError|ImportError): No module named '{backend}", last):
        what = f"the backend {backend}, which KERAS_BACKEND or {KERAS_FILE} asks for, is not installed"
        remedy = f"Run: python -m pip install {backend}, or take that setting out"
    else:
        remedy = f"Install it again: python -m pip install --force-reinstall {backend}"
    return Finding("missing", what, remedy)


def keras_home() -> Path:
    """The folder in which Keras keeps its settings and data."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"))


def kept_settings() -> dict[str, Any] | None:
    """What the user's keras.json sets: a dict, empty where there is none; None where it cannot be read."""
    path = keras_home() / KERAS_FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def keras_settings() -> Iterator[Finding]:
    """Whether the user's keras.json sets something else than Keras itself does."""
    from course.exercises.surroundings import SETTINGS

    path, found = keras_home() / KERAS_FILE, kept_settings()
    if found is None:
        yield Finding("note", f"{path} cannot be read as JSON, and Keras passes over it", "Delete it")
        return
    usual = {name: value for name, value in SETTINGS.items() if name != "dtype_policy"}
    other = [
        f"{name} is {found[name]!r}, not {value!r}" for name, value in usual.items() if found.get(name, value) != value
    ]
    if other:
        yield Finding(
            "note",
            f"{path}: {', '.join(other)}",
            "Lessons are written for Keras's own settings, which checks and grading use in any case: delete that file",
        )


def network() -> Iterator[Finding]:
    """Whether the data that are not here yet could be fetched, and what stands in the way."""
    from course.lesson import data

    for name, place in data.status().items():
        if place.kind == "download":
            yield reach(data._SPECS[name].url)


def reach(address: str) -> Finding:
    """The Finding on whether a server answers."""
    import requests

    host, problem = urlsplit(address).hostname or address, list[Exception]()

    def ask() -> None:
        try:
            requests.head(address, timeout=NETWORK_SECONDS, allow_redirects=True).raise_for_status()
        except requests.RequestException as error:
            problem.append(error)

    # In a thread, for no time-out limits how long a name is looked up.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * NETWORK_SECONDS)
    if not thread.is_alive() and not problem:
        return Finding("fine", f"network: {host} answers")
    return Finding("note", *no_network(host, problem[0] if problem else None))


def no_network(host: str, error: Any) -> tuple[str, str]:
    """(what, remedy) for a host that cannot be asked. error: of requests, or None where there was no answer at all."""
    import requests

    by_hand = "Or download the files with a browser, as README's part on data says, or copy them from another machine"
    if isinstance(error, requests.exceptions.ProxyError):
        what = f"{host} is not reached: the proxy that HTTPS_PROXY or HTTP_PROXY names does not let this through"
        return what, f"Correct or unset that variable. {by_hand}"
    if isinstance(error, requests.exceptions.SSLError):
        what = f"{host} is not reached: its certificate is not trusted here, as in a network that reads along"
        return what, f"Set REQUESTS_CA_BUNDLE to your organisation's certificate file. {by_hand}"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answers with {error.response.status_code}, and gives nothing", f"Try again later. {by_hand}"
    return f"no network: {host} does not answer", f"Lessons run on the data that come with the course. {by_hand}"


def data_sets() -> Iterator[Finding]:
    """Where each data set would come from."""
    from course.lesson import data

    for name, state in data.status().items():
        fine = state.level == "fine"
        yield Finding("fine" if fine else "note", f"{name}: {state.where}", "" if fine else "To have it: course data")


def memory() -> Finding:
    """Free memory and disk."""
    import psutil

    free, disk = psutil.virtual_memory().available / 2**30, shutil.disk_usage(os.getcwd()).free / 2**30
    text = f"{free:.1f} GB of memory and {disk:.1f} GB of disk free"
    if free < 2 or disk < 1:
        return Finding("note", text, "A chapter may need 2 GB of memory and 1 GB of disk: close other programs")
    return Finding("fine", text)


def sandbox() -> Finding:
    """Whether untrusted notebooks can be locked in."""
    from course.classroom import sandbox as walls

    if why := walls.available():
        return Finding("note", f"no sandbox for other people's notebooks (you do not need one for your own): {why}")
    return Finding("fine", "sandbox for other people's notebooks: bubblewrap")


def temporary_folder() -> Iterator[Finding]:
    """Whether temporary files can be made, under a name that is short enough."""
    folder = tempfile.gettempdir()
    try:
        tempfile.TemporaryFile().close()
    except OSError as error:
        remedy = "Set TMPDIR to a folder that can be written to"
        yield Finding("missing", f"no file can be written in {folder} ({error.strerror})", remedy)
        return
    from course.classroom import sandbox as walls

    if len(os.fsencode(folder)) > walls.LONGEST_FOLDER:
        yield Finding(
            "note",
            f"the name of the folder for temporary files, {folder}, is too long to grade a class",
            "Set TMPDIR to a folder with a short name, such as /tmp",
        )
