"""`record` shows a run beside the recorded ones, which `course measure` makes."""

import contextlib
import json
import os
import statistics
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
RESULTS = Path(__file__).resolve().parent.parent / "results"


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
    from course.lesson import settings

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


def machine():
    """What a figure was measured with: backend, device, versions and the data sets that were loaded."""
    import platform
    from importlib.metadata import version

    from course.lesson import data, settings

    settings.import_keras()
    import keras

    backend = keras.backend.backend()
    here = {
        "backend": backend,
        "device": device_name(backend),
        "processor": processor_name(),
        "data": ", ".join(data.loaded()) or "none",
        "versions": {name: version(name) for name in ("keras", backend, "numpy")}
        | {"python": platform.python_version()},
    }
    return here if settings.scale() == 1 else here | {"scale": settings.scale()}


def processor_name():
    """The processor's model in its maker's words, or, where the system does not say, what kind it is."""
    import platform
    import subprocess

    if CPUINFO.exists():
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if models:
            return models[0]
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError):
            asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
            if asked.stdout.strip():
                return asked.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


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
