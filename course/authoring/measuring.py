"""`course measure`: run a chapter's source as a plain script, once per seed, and record what it gave and took."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from course.lesson.recording import RESULTS, load


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
