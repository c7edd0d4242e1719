"""`course measure`: run a chapter's source as a plain script, once per seed, and record what it gave and took.

Nothing here needs the packages that chapters are built with (jupytext, nbformat and their kin): a bare machine with a
GPU can measure.

**What a record holds.** A record is of one state: one version of a chapter's code, one machine, one set of versions and
data. It is written anew after each seed. While the state is the same, a seed takes the place of its own earlier run and
leaves the other seeds alone, so that a record can be made in several calls. The first run of another state ends the
earlier record of its budget, with all its seeds, and begins a new one. So the figures of a record belong together, it
says for which seeds they are, and a seed that failed is not in it.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course import files
from course.lesson import settings
from course.lesson.recording import RESULTS, load

TAKEN = ("wall_seconds", "cpu_seconds", "peak_memory_mb")  # what a run took: a number per seed
SPEED = ("product_ms", "loop_ms")  # how fast the machine was just before it, see `speed_now`: a number per seed
PLACE = ("backend", "device", "processor", "scale")  # what tells how long a chapter's runs last


class MeasureError(Exception):
    """A run that failed while it was measured, or a record that may not be written; the message says which and why."""


class Overrun(MeasureError):
    """A run that was stopped at its limit of time."""


@dataclass
class Measured:
    """What became of a chapter. path: its record, or None where no seed was finished. failures: a message for each run
    that failed. left: the seeds that were not run, or not to their end, for want of time."""

    path: Path | None = None
    failures: list[str] = field(default_factory=list)
    left: list[Any] = field(default_factory=list)


def measure(
    source: Path,
    budget: str,
    seeds: Sequence[int],
    on_event: Callable[[str], object] = print,
    folder: Path | None = None,
    deadline: float | None = None,
) -> Measured:
    """Run a chapter's source as a plain script, once per seed, and write its record as each seed is finished.

    source: the path of solutions/NN_topic.py. budget: "quick" or "full". seeds: one int or more. on_event: told of each
    run. folder: where the record, NN.json, is written; else course/results. deadline: the `time.monotonic()` by which
    all must be done. No run is begun that would not end by then, as far as is known (see `expected`), and one that is
    still going on then is stopped. Wall and CPU seconds and the peak memory are the whole process's, import included.
    The other budget's record stays. Returns `Measured`; raises MeasureError where `COURSE_SCALE` is set and no folder
    is given.
    """
    folder, chapter, found, lasted = place_of_records(folder), source.name[:2], Measured(), list[float]()
    for seed in seeds:
        name, left = f"{chapter} {budget}, seed {seed}", None
        if deadline:
            left = max(0.0, deadline - time.monotonic())
            needed = max(lasted) if lasted else expected(chapter, budget, folder)
            if left < needed or not left:
                on_event(
                    f"{name}: not run, for {left:.0f} s are left" + f", and it takes {needed:.0f} s" * bool(needed)
                )
                found.left.append(seed)
                continue
        speed = speed_now()
        try:
            run = run_once(source, budget, seed, left) | speed
            found.path = keep(run, budget, chapter, folder)
        except Overrun:
            on_event(f"{name}: stopped after {left:.0f} s, which was all the time that was left")
            found.left.append(seed)
            continue
        except MeasureError as error:  # the other seeds are run all the same, so that one knows how many fail
            on_event(f"{name}: failed")
            found.failures.append(str(error))
            continue
        lasted.append(run["wall_seconds"])
        on_event(f"{name}: {run['wall_seconds']:.1f} s, {run['figures']}")
    return found


def place_of_records(folder: Path | None) -> Path:
    """The folder that records go to. Raises MeasureError where none is given and `COURSE_SCALE` is set."""
    if settings.scale() != 1 and folder is None:
        raise MeasureError(
            "COURSE_SCALE is set, and what such runs give is no record: write it elsewhere, --out FOLDER"
        )
    return Path(folder or RESULTS)


def write(everything: dict[str, Any], chapter: str, folder: Path) -> Path:
    """Write the records of a chapter, whole; returns the file's path."""
    path = Path(folder) / f"{chapter}.json"
    files.write(path, json.dumps(everything, indent=1, sort_keys=True) + "\n")
    return path


def expected(chapter: str, budget: str, folder: Path) -> float:
    """How many seconds a run lasts by the longest recorded one, or 0 where none was recorded on such a machine."""
    record = load(chapter, folder).get(budget) or load(chapter, RESULTS).get(budget)
    if not record:
        return 0
    here = this_machine()
    same = all(record.get(key) == here.get(key) for key in PLACE if key in record or key == "scale")
    return max(record["wall_seconds"]) if same else 0


@functools.cache
def this_machine() -> Any:
    """`recording.machine()`, asked in a process of its own: a backend that has begun keeps most of a GPU's memory."""
    code = "import json; from course.lesson import recording; print('machine', json.dumps(recording.machine()))"
    process = timed([sys.executable, "-c", code], settings.ROOT)
    lines = [line.removeprefix("machine ") for line in process.output.splitlines() if line.startswith("machine ")]
    if not lines:
        raise MeasureError(f"this machine cannot be asked what it is:\n{process.output[-2000:]}")
    return json.loads(lines[-1])


def keep(run: dict[str, Any], budget: str, chapter: str, folder: Path) -> Path:
    """Put a run into the record of its budget (see above for what stays of an earlier one); returns the file's path.

    run: as `run_once` gives it. Raises MeasureError where it has other figures than the record's other runs.
    """
    everything = load(chapter, folder)
    state = run["machine"] | {"code": run["code"]}
    record = everything.get(budget, {})
    if any(record.get(key) != state.get(key) for key in {*state, "scale"}):
        record = state | {"seeds": [], "figures": {name: [] for name in run["figures"]}}
    if record["figures"].keys() != run["figures"].keys():
        names = [", ".join(sorted(figures)) for figures in (run["figures"], record["figures"])]
        raise MeasureError(f"chapter {chapter}, seed {run['seed']} recorded {names[0]}; the other seeds {names[1]}")
    runs = {seed: number for number, seed in enumerate(record["seeds"]) if seed != run["seed"]}
    order = sorted([*runs, run["seed"]])

    def row(values: list[Any], value: Any) -> list[Any]:
        return [value if seed == run["seed"] else values[runs[seed]] for seed in order]

    per_seed = {key: row(record.get(key), run[key]) for key in TAKEN + SPEED}
    figures = {name: row(values, run["figures"][name]) for name, values in record["figures"].items()}
    everything[budget] = record | {"seeds": order, "figures": figures} | per_seed
    return write(everything, chapter, folder)


def take(other: Path, on_event: Callable[[str], object] = print, folder: Path | None = None) -> list[Path]:
    """Put the records that another machine wrote into `other` (`--out FOLDER`) in place of this folder's, budget by
    budget. Returns the paths written. Raises MeasureError where there is none, or one is no record."""
    folder, paths = Path(folder or RESULTS), []
    for path in sorted(Path(other).glob("[0-9][0-9].json")):
        chapter, here, theirs = path.stem, load(path.stem, folder), load(path.stem, Path(other))
        sweeps = theirs.pop("sweeps", {})
        new = [(f"{chapter} {budget}", record) for budget, record in theirs.items()]
        new += [(f"{chapter} {budget}, sweep {tag}", r) for tag, sweep in sweeps.items() for budget, r in sweep.items()]
        if any("scale" in record for _, record in new):
            raise MeasureError(f"{path} was made with COURSE_SCALE, and what such runs give is no record")
        for tag, sweep in sweeps.items():
            here.setdefault("sweeps", {}).setdefault(tag, {}).update(sweep)
        paths.append(write(here | theirs, chapter, folder))
        for name, record in new:
            on_event(
                f"{name}: seeds {', '.join(map(str, record.get('seeds') or [record['seed']]))}, {record['device']}"
            )
    if not paths:
        raise MeasureError(f"there is no record NN.json in {other}")
    return paths


def digest(source: Path) -> str:
    """A digest of a chapter's code, its text left aside: of all lines that are neither empty nor comments."""
    lines = source.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line.rstrip() for line in lines if line.strip() and not line.startswith("#"))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def speed_now() -> dict[str, float]:
    """How fast the machine is at this moment: the milliseconds that a product of two float32 matrices 1024 x 1024 takes
    in NumPy (all cores) and those of 200,000 turns of a loop in Python (one core), each the best of a few. They tell a
    slow stretch of the machine from a slow chapter."""
    import numpy as np

    def loop() -> float:
        total = 0
        for i in range(200_000):
            total += i * i
        return total

    a = np.random.default_rng(0).normal(size=(1024, 1024)).astype("float32")
    return {"product_ms": fastest(lambda: a @ a), "loop_ms": fastest(loop)}


def fastest(function: Callable[[], object], times: int = 5) -> float:
    """The least milliseconds of a few calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        taken.append(1e3 * (time.perf_counter() - began))
    return round(min(taken), 2)


@dataclass
class Process:
    """A finished process: its exit code, what it printed, and what it took. peak_memory_mb: resident, in MiB. stopped:
    whether it ran into its limit of time and was killed."""

    code: int
    output: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: int
    stopped: bool = False


def timed(command: list[str], folder: Path, limit: float | None = None, **environment: str) -> Process:
    """Run a command to its end and take its time and memory, children that it waited for included. limit: the seconds
    after which it is killed, with its children."""
    stopped = threading.Event()
    with tempfile.TemporaryFile() as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
                stopped.set()

        alarm = threading.Timer(limit or 0, kill)
        alarm.daemon = True
        if limit is not None:
            alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C reaches this process only
            kill()
            raise
        finally:
            alarm.cancel()
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stream.seek(0)
        output = stream.read().decode("utf-8", "replace")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cpu = usage.ru_utime + usage.ru_stime
    return Process(process.returncode, output, round(wall, 2), round(cpu, 2), round(peak), stopped.is_set())


def run_once(source: Path, budget: str, seed: int, limit: float | None = None) -> dict[str, Any]:
    """One run of a chapter as a plain script: its seed, figures, the machine it ran on, its code's digest, time and
    memory. limit: the seconds after which it is stopped. Raises MeasureError where it fails, Overrun where it is
    stopped."""
    code = digest(source)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "run.json"
        process = run_script(source, budget, seed, limit, COURSE_RECORD=str(target))
        if not target.exists():
            raise MeasureError(f"{source.name}, budget {budget}, seed {seed} recorded nothing (it never calls record)")
        taken = {key: getattr(process, key) for key in TAKEN}
        run: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return run | taken | {"seed": seed, "code": code}


def run_script(source: Path, budget: str, seed: int, limit: float | None = None, **environment: str) -> Process:
    """Run a chapter as a plain script; returns the Process. Raises MeasureError where it fails, Overrun where it is
    stopped after `limit` seconds."""
    process = timed(
        [sys.executable, source.name],
        source.parent,
        limit,
        COURSE_BUDGET=budget,
        COURSE_SEED=str(seed),
        MPLBACKEND="Agg",
        PYTHONPATH=os.pathsep.join([str(settings.ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        TF_CPP_MIN_LOG_LEVEL="3",
        **environment,
    )
    if process.stopped:
        raise Overrun(f"{source.name}, budget {budget}, seed {seed} was stopped after {limit:.0f} s")
    if process.code != 0:
        raise MeasureError(f"{source.name}, budget {budget}, seed {seed} failed:\n{process.output[-2000:]}")
    return process


def measure_sweeps(
    source: Path,
    budget: str,
    seed: int,
    on_event: Callable[[str], object] = print,
    folder: Path | None = None,
    deadline: float | None = None,
) -> Measured:
    """Run the sweeps of a chapter with one seed (see `course.lesson.sweeping`), and record them under "sweeps", by
    sweep and budget, in NN.json. The chapter runs as far as its last sweep.

    The arguments, the errors and what is returned are those of `measure`, but for the time: nothing is known before
    about how long sweeps last. Those that were done when the time was over are kept.
    """
    folder, chapter, found = place_of_records(folder), source.name[:2], Measured()
    name, tags = f"{chapter} {budget}, seed {seed}, sweeps", sweeps_of(source)
    left = deadline and max(0.0, deadline - time.monotonic())
    if not tags:
        on_event(f"{chapter}: has no sweep")
        return found
    if deadline and not left:
        on_event(f"{name}: not run, for 0 s are left")
        return Measured(left=[seed])
    done = {}
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "sweeps.json"
        try:
            run_script(source, budget, seed, left, COURSE_SWEEP=str(target), COURSE_SWEEPS=",".join(tags))
        except Overrun:
            on_event(f"{name}: stopped after {left:.0f} s, which was all the time that was left")
            found.left.append(seed)
        except MeasureError as error:
            on_event(f"{name}: failed")
            found.failures.append(str(error))
        if target.exists():
            done = json.loads(target.read_text(encoding="utf-8"))
    for tag, record in done.items():
        on_event(f"{chapter} {budget}, sweep {tag}: {len(record['settings'])} settings, {sum(record['seconds']):.1f} s")
    if missing := [tag for tag in tags if tag not in done and not found.left and not found.failures]:
        found.failures.append(f"{source.name}: these sweeps were not reached: {', '.join(missing)}")
    if done:
        everything = load(chapter, folder)
        sweeps = everything.setdefault("sweeps", {})
        for tag, record in done.items():
            sweeps.setdefault(tag, {})[budget] = record | {"code": digest(source)}
        found.path = write(everything, chapter, folder)
    return found


def sweeps_of(source: Path) -> list[str]:
    """The tags of a chapter's sweeps, in order."""
    calls = [node for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "sweep"]
    return [ast.literal_eval(call.args[0]) for call in sorted(calls, key=lambda call: call.lineno)]
