"""Measure on this machine: `import course`, a build after an edit of text, the sizes of notebooks and keys, grading a
chapter, the quick run of each chapter, and, with --tests, the tests of one chapter and all of them. Prints tables.

    .venv/bin/python benchmarks/speed.py [03 06 ...] [--runs 5] [--tests]

Grading is set against executing the same cells with nbclient, as whole processes in turn (A B A B ...), and the ratio
is taken pair by pair, so that a machine whose speed drifts does not matter.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat

from course.authoring import chapters, measuring
from course.exercises import keys
from course.files import load_notebook
from course.grading import submission
from course.lesson import recording, settings

NBCLIENT = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", timeout=None).execute()
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--skip-chapters", action="store_true", help="do not run the chapters themselves")
    parser.add_argument("--tests", action="store_true", help="time make test too, which takes minutes")
    options = parser.parse_args()
    sources = chapters.select(options.chapters)
    machine = recording.machine()
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['device']}; {versions}\n")
    import_time(options.runs)
    text_edit(sources[0], options.runs)
    sizes(sources)
    grading(sources, options.runs)
    if options.tests:
        test_times(sources[0])
    if not options.skip_chapters:
        quick_runs(sources)


def import_time(runs):
    """`import course` against a bare interpreter."""
    pairs = [
        [measuring.timed([sys.executable, "-c", code], ".").wall_seconds for code in ("import course", "pass")]
        for _ in range(runs)
    ]
    extra = statistics.median(a - b for a, b in pairs)
    print(f"`import course` adds {extra:.2f} s to a bare interpreter (median of {runs}; at most 0.1)\n")


def text_edit(source, runs):
    """`course build` of a chapter after an edit of its text, in a copy of the course's files."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "solutions"
        shutil.copytree(source.parent, copy)
        shutil.copytree(chapters.notebooks(), Path(folder) / "notebooks")
        shutil.copytree(settings.keys_folder(), Path(folder) / "keys")
        seconds = []
        for number in range(runs):
            text = (copy / source.name).read_text(encoding="utf-8")
            (copy / source.name).write_text(f"{text}\n# %% [markdown]\n# Text {number}.\n", encoding="utf-8")
            command = [sys.executable, "-m", "course", "build", source.name[:2]]
            run = measuring.timed(command, folder, COURSE_SOLUTIONS=str(copy))
            if run.code or "executing" in run.output:
                sys.exit(f"course build after an edit of text failed or ran the chapter:\n{run.output[-2000:]}")
            seconds.append(run.wall_seconds)
    median = statistics.median(seconds)
    print(f"`course build {source.name[:2]}` after an edit of text: {median:.1f} s (median of {runs}; at most 5)\n")


def sizes(sources):
    """What the derived files of each chapter weigh."""
    print("| kB | solution notebook | learner's notebook | key |")
    print("|---|---|---|---|")
    for source in sources:
        paths = (
            source.with_suffix(".ipynb"),
            chapters.notebooks() / f"{source.stem}.ipynb",
            settings.keys_folder() / f"{source.stem[:2]}.json",
        )
        print(f"| {source.stem} | {' | '.join(f'{path.stat().st_size / 1000:.0f}' for path in paths)} |")
    print()


def test_times(source):
    """`make test` for one chapter, and for all."""
    for target in (f"CHAPTERS={source.name[:2]}", "CHAPTERS="):
        run = measuring.timed(["make", "test", target], settings.ROOT)
        last = run.output.strip().splitlines()[-1]
        print(f"`make test {target}`: {run.wall_seconds:.0f} s ({last})")
    print()


def grading(sources, runs):
    """Grading the solved chapter by `course grade` and by plain pytest, against nbclient on the same cells."""
    print(f"| grading, s (median of {runs}) | nbclient | course grade | ratio | pytest --nbval-lax | ratio |")
    print("|---|---|---|---|---|---|")
    for source in sources:
        reference = load_notebook(source.with_suffix(".ipynb"))
        with tempfile.TemporaryDirectory() as folder:
            solved, same = Path(folder) / source.with_suffix(".ipynb").name, Path(folder) / "cells.ipynb"
            nbformat.write(reference, solved)
            assembly = submission.assemble(keys.load(source.stem[:2]), submission.read_cells(solved))
            nbformat.write(assembly.notebook, same)
            commands = (
                [sys.executable, "-c", NBCLIENT, str(same)],
                [sys.executable, "-m", "course", "grade", str(solved)],
                [sys.executable, "-m", "pytest", "-q", "-p", "course.grading.plugin", "--nbval-lax", str(solved)],
            )
            seconds = []
            for _ in range(runs):
                seconds.append([])
                for command in commands:
                    process = measuring.timed(command, folder)
                    if process.code:
                        sys.exit(f"{' '.join(command[:5])} failed on {source.stem}:\n{process.output[-2000:]}")
                    seconds[-1].append(process.wall_seconds)
        client, grade, plain = (statistics.median(column) for column in zip(*seconds))
        ratios = [statistics.median(row[i] / row[0] for row in seconds) for i in (1, 2)]
        print(f"| {source.stem} | {client:.1f} | {grade:.1f} | {ratios[0]:.2f} | {plain:.1f} | {ratios[1]:.2f} |")
    print()


def quick_runs(sources):
    """Each chapter's source as a plain script on the quick budget, seed 0."""
    print("| quick run | wall, s | CPU, s | peak memory, MB | data |")
    print("|---|---|---|---|---|")
    for source in sources:
        run = measuring.run_once(source, "quick", 0)
        wall, cpu, memory = run["wall_seconds"], run["cpu_seconds"], run["peak_memory_mb"]
        print(f"| {source.stem} | {wall:.0f} | {cpu:.0f} | {memory} | {run['machine']['data']} |")


if __name__ == "__main__":
    main()
