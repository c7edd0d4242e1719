"""`record` shows a run beside the recorded ones; `measure` makes the recorded ones."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def load(chapter, folder=RESULTS):
    """The recorded runs of a chapter: a dict from budget to record, empty where none was measured yet."""
    path = folder / f"{chapter}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def summary(values, digits=4):
    """`0.9871 ± 0.0006` for one number per seed; a single number without the spread."""
    mean = f"{statistics.fmean(values):.{digits}g}"
    return f"{mean} ± {float(f'{statistics.stdev(values):.1g}'):g}" if len(values) > 1 else mean


def record(*, paper=None, **figures):
    """Print this run's figures beside the recorded quick and full runs and the paper's.

    figures: name=number, such as test_accuracy=0.987. paper: dict from a figure's name to the number that the
    chapter's paper reports. A name's underscores are printed as spaces.
    """
    from course import settings

    paper = paper or {}
    figures = {name: float(value) for name, value in figures.items()}
    recorded = load(settings.chapter() or "")
    columns = {"this run": {name: f"{value:.4g}" for name, value in figures.items()}}
    notes = []
    for budget in settings.BUDGETS:
        if run := recorded.get(budget):
            columns[f"recorded, {budget}"] = {n: summary(v) for n, v in run["figures"].items() if n in figures}
            seeds = run["seeds"]
            notes.append(
                f"recorded, {budget}: {len(seeds)} seed{'s' * (len(seeds) > 1)}, {run['device']}, {run['data']}"
            )
    if paper:
        columns["paper"] = {name: f"{value:.4g}" for name, value in paper.items()}
    widest = max(len(name) for name in figures)
    widths = {head: max(len(head), *(len(column.get(n, "–")) for n in figures)) for head, column in columns.items()}
    print("  ".join([" " * widest, *(head.rjust(widths[head]) for head in columns)]))
    for name in figures:
        cells = (column.get(name, "–").rjust(widths[head]) for head, column in columns.items())
        print("  ".join([name.replace("_", " ").ljust(widest), *cells]))
    for note in notes:
        print(note)
    if target := os.environ.get("COURSE_RECORD"):
        path = Path(target)
        kept = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else {}
        path.write_text(json.dumps({"figures": kept | figures, "machine": machine()}), encoding="utf-8")


def measure(source, budget, seeds, say=print):
    """Run a chapter's source as a plain script, once per seed, and write `results/NN.json`.

    source: the path of solutions/NN_topic.py. budget: "quick" or "full". seeds: one int or more. say: told of each
    run. Wall and CPU seconds and the peak memory are the whole process's, import included. A budget's earlier record
    is replaced; the other budget's stays. Where a run fails, the other seeds are run all the same, so that one knows
    how many fail; then nothing is written, and MeasureError holds every failure.
    """
    chapter, runs, failures = source.name[:2], [], []
    for seed in seeds:
        try:
            run = run_once(source, budget, seed)
        except MeasureError as error:
            failures.append(str(error))
            say(f"{chapter} {budget}, seed {seed}: failed")
            continue
        runs.append(run)
        say(f"{chapter} {budget}, seed {seed}: {run['wall_seconds']:.1f} s, {run['figures']}")
    if failures:
        share = f"{len(failures)} of {len(failures) + len(runs)} runs failed"
        raise MeasureError("\n".join([*failures, f"{source.name}: {share}; results/{chapter}.json is as it was"]))
    everything = load(chapter)
    everything[budget] = {
        **runs[0]["machine"],
        "seeds": list(seeds),
        "figures": {name: [run["figures"][name] for run in runs] for name in runs[0]["figures"]},
        **{key: [run[key] for run in runs] for key in ("wall_seconds", "cpu_seconds", "peak_memory_mb")},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{chapter}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, path)
    return path


class MeasureError(Exception):
    """A run that failed while it was measured; the message holds the end of what it printed."""


@dataclass
class Process:
    """A finished process: its exit code, what it printed, and what it took. peak_memory_mb: resident, in MiB."""

    code: int
    output: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: int


def timed(command, folder, **environment):
    """Run a command to its end and take its time and memory, children that it waited for included."""
    with tempfile.TemporaryFile() as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stream.seek(0)
        output = stream.read().decode("utf-8", "replace")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cpu = usage.ru_utime + usage.ru_stime
    return Process(process.returncode, output, round(wall, 2), round(cpu, 2), round(peak))


def run_once(source, budget, seed):
    """One run of a chapter as a plain script: its figures, the machine it ran on, time and memory; raises
    MeasureError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "run.json"
        process = timed(
            [sys.executable, source.name],
            source.parent,
            COURSE_BUDGET=budget,
            COURSE_SEED=str(seed),
            COURSE_RECORD=str(target),
            MPLBACKEND="Agg",
            TF_CPP_MIN_LOG_LEVEL="3",
        )
        if process.code != 0 or not target.exists():
            why = "failed" if process.code else "recorded nothing (it never calls record)"
            raise MeasureError(f"{source.name}, budget {budget}, seed {seed} {why}:\n{process.output[-2000:]}")
        taken = {key: getattr(process, key) for key in ("wall_seconds", "cpu_seconds", "peak_memory_mb")}
        return json.loads(target.read_text(encoding="utf-8")) | taken


def machine():
    """What a figure was measured with: backend, device, versions and the data sets that were loaded."""
    import platform
    from importlib.metadata import version

    from course import data, settings

    settings.import_keras()
    import keras

    backend = keras.backend.backend()
    return {
        "backend": backend,
        "device": device_name(backend),
        "data": ", ".join(data.loaded()) or "none",
        "versions": {name: version(name) for name in ("keras", backend, "numpy")}
        | {"python": platform.python_version()},
    }


def device_name(backend):
    """The GPU's name, or how many CPU cores this process may use."""
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else ""
    elif backend == "jax":
        import jax

        first = jax.devices()[0]
        name = first.device_kind if first.platform != "cpu" else ""
    else:
        import torch

        name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    if name:
        return name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores"
