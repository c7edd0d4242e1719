"""A class of many submissions: throughput, memory, and a grader that is killed again and again.

    .venv/bin/python benchmarks/classroom.py [--chapter 03] [--students 500] [--kills 20] [--jobs 2] [--keep DIR]

Makes submissions of mixed kind (right, right in another way, each known mistake, blank, crashing, endless, broken
files), grades them undisturbed, then again with the grader killed by SIGKILL at random moments and resumed each time,
and holds that every submission has exactly one result, equal to that of the undisturbed run. Prints a table. TEST_SEED
repeats a run.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil

from course.authoring import chapters, keying
from course.exercises.cells import defined_name
from course.files import load_notebook
from course.lesson import recording

SHARES = {
    "right": 30,
    "alternative": 15,
    "mistaken": 30,
    "blank": 8,
    "crashing": 8,
    "endless": 2,
    "exiting": 2,
    "broken": 5,
}


def answer_sources(chapter):
    """By exercise: sources of the right answers, the wrong answers and the blank cell."""
    cells = {c.metadata["course"]["exercise"]: c.source for c in chapter.cells if chapters.role(c) == "answer"}
    found = {}
    for number, source in cells.items():
        name = defined_name(source)
        text = next(t for _, t in chapter.grading if f'exercise("{number}"' in t)
        first = f"# Exercise {number}\n"
        found[number] = {
            "right": [f"{source}\nmine = True\n"],  # the reference as it is would count for nothing
            "alternative": [first + s for s in keying.standalone(text, "right", lambda node, name=name: name)],
            "mistaken": [first + s for s in keying.standalone(text, "wrong", lambda node, name=name: name)],
            "blank": [chapters.stub(chapter, number)],
            "crashing": [first + f"def {name}(*args, **kwargs):\n    return [][len(args)]\n"],
            "endless": [first + f"def {name}(*args, **kwargs):\n    while True:\n        pass\n"],
            "exiting": [first + "import os\nos._exit(1)\n"],
        }
    return found


def make_class(chapter, folder, students, rng, kinds=tuple(SHARES)):
    """Write the submissions; one in three students mixes kinds from exercise to exercise."""
    names, weights = list(kinds), [SHARES[kind] for kind in kinds]
    kinds = answer_sources(chapter)
    blank = load_notebook(chapter.notebook)
    for student in range(students):
        (kind,) = rng.choices(names, weights)
        path = folder / f"student{student:03d}" / chapter.notebook.name
        path.parent.mkdir(parents=True)
        for cell in blank.cells:
            if chapters.role(cell) == "answer":
                mixed = kind in ("right", "alternative", "mistaken") and student % 3 == 0
                of = rng.choice(("right", "alternative", "mistaken")) if mixed else kind
                first = cell.metadata.course.exercise == min(kinds)
                if kind in ("endless", "exiting") and not first:  # one such exercise is enough for one student
                    of = "right"
                cell.source = rng.choice(
                    kinds[cell.metadata.course.exercise].get(of, kinds[cell.metadata.course.exercise]["right"])
                )
        text = nbformat.writes(blank)
        path.write_text(text[: rng.randrange(len(text))] if kind == "broken" else text, encoding="utf-8")


def command(class_folder, out, jobs, seed_file):
    words = [sys.executable, "-m", "course", "grade", "--submissions", str(class_folder), "--out", str(out)]
    return [*words, "--jobs", str(jobs), "--seed-file", str(seed_file)]


class MemoryWatch(threading.Thread):
    """The memory of a process with all its children, in MiB, once a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.samples, self.grader = psutil.Process(pid), [], []

    def run(self):
        while True:
            try:
                own = self.process.memory_info().rss
                total = own
                for child in self.process.children(recursive=True):
                    try:
                        total += child.memory_info().rss
                    except psutil.Error:
                        pass
            except psutil.Error:
                return
            self.grader.append(own / 2**20)
            self.samples.append(total / 2**20)
            time.sleep(1)


def verdicts(out):
    """What was decided, by student: all that must not depend on when or how often the grader ran."""
    found = {}
    for path in (out / "results").rglob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["student"] in found:
            sys.exit(f"two results for {result['student']}")
        rows = [(e["exercise"], e["state"], e["points"], e["right"], e["hint"]) for e in result["exercises"]]
        found[result["student"]] = (result["status"], tuple(rows))
    return found


def undisturbed(folder, out, jobs, seed_file):
    """Grade once; seconds, and the memory watched meanwhile."""
    began = time.perf_counter()
    process = subprocess.Popen(command(folder, out, jobs, seed_file), stdout=subprocess.DEVNULL)
    watch = MemoryWatch(process.pid)
    watch.start()
    if process.wait():
        sys.exit(f"the undisturbed run ended with {process.returncode}")
    return time.perf_counter() - began, watch


def disturbed(folder, out, jobs, seed_file, kills, seconds, rng):
    """Grade with SIGKILL at random moments; how often it was killed before the end."""
    done = 0
    for _ in range(kills):
        process = subprocess.Popen(
            command(folder, out, jobs, seed_file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(1, 2 * seconds / kills + 10))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
    final = subprocess.run(command(folder, out, jobs, seed_file), stdout=subprocess.DEVNULL)
    if final.returncode:
        sys.exit(f"the last run ended with {final.returncode}")
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapter", default="03")
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="leave the class and both results in this folder")
    options = parser.parse_args()
    seed = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(2**32))
    rng = random.Random(seed)
    print(f"TEST_SEED={seed}", flush=True)
    (source,) = chapters.select([options.chapter])
    chapter = chapters.read_chapter(source)
    work = options.keep or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    folder, seed_file = work / "class", work / "secret-seed"
    make_class(chapter, folder, options.students, rng)
    seconds, watch = undisturbed(folder, work / "undisturbed", options.jobs, seed_file)
    expected = verdicts(work / "undisturbed")
    if len(expected) != options.students:
        sys.exit(f"{len(expected)} results for {options.students} submissions")
    machine = recording.machine()["device"]
    print(f"\n{options.students} submissions of chapter {options.chapter}, {options.jobs} at a time, on {machine}\n")
    third = len(watch.samples) // 3
    early, late = statistics.median(watch.samples[third : 2 * third]), statistics.median(watch.samples[2 * third :])
    grader = [statistics.median(watch.grader[third : 2 * third]), statistics.median(watch.grader[2 * third :])]
    print("| | |\n|---|---|")
    print(f"| wall | {seconds:.0f} s, {options.students / seconds * 60:.0f} submissions a minute |")
    print(f"| memory of all processes, second and last third (medians) | {early:.0f} and {late:.0f} MB |")
    print(f"| memory of the grader's main process, likewise | {grader[0]:.0f} and {grader[1]:.0f} MB |", flush=True)
    if options.kills:
        killed = disturbed(folder, work / "disturbed", options.jobs, seed_file, options.kills, seconds, rng)
        again = verdicts(work / "disturbed")
        different = {s for s in expected.keys() | again.keys() if expected.get(s) != again.get(s)}
        print(f"| killed and resumed | {killed} times |")
        print(f"| results that differ from the undisturbed run | {len(different)} of {len(expected)} |")
        for student in sorted(different)[:5]:
            print(f"\n{student}: {expected.get(student)}\n  then: {again.get(student)}")
        if different:
            sys.exit(1)
    if not options.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
