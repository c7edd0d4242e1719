"""A class of many submissions: throughput, memory, and a grader that is killed again and again.

    .venv/bin/python benchmarks/classroom.py [--chapter 03] [--students 500] [--kills 20] [--jobs 2] [--keep DIR]

Makes submissions of mixed kind (right, right in another way, each known mistake, blank, crashing, endless, hostile,
broken files) and grades them undisturbed; then again, with SIGKILL at random moments for the main process, a worker or
a sandbox, and the same command given again where the main process is gone. Holds of both that every submission has one
result and one row, that every score is what its answers are worth, and that no process and no temporary folder is left.
Prints a table. TEST_SEED repeats a run.
"""

import argparse
import csv
import json
import os
import random
import shutil
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
    "hostile": 5,
    "broken": 5,
}
WORTH = ("right", "alternative")  # the kinds of answers that score
LEFT = "sleep 98760"  # what a hostile answer leaves behind, and a number
HOSTILE = (
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
    "b = []\nwhile True: b.append(bytearray(10**7))\n",
    "while True: print('x' * 10_000)\n",
    "import os, subprocess\nsubprocess.Popen(['sleep', '98760'], start_new_session=True)\n",
    "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
    "import threading\nfor _ in range(9): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\n",
    "import course.exercises.asking as a\na.hand_over = lambda *_: print('exercise handed over')\n",
    "k = get_ipython().kernel\nwhile True: k.session.send(k.iopub_socket, 'comm_msg', {'x': 'x' * 9000})\n",
    "x = open('/tmp/x', 'wb')\nwhile True: x.write(bytes(10**6))\n",
)


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
            "hostile": [f"{first}{attack}def {name}(*args, **kwargs):\n    return 0\n" for attack in HOSTILE],
        }
    return found


def make_class(chapter, folder, students, rng, kinds=tuple(SHARES)):
    """Write the submissions; one in three students mixes kinds from exercise to exercise. Returns, by student, the kind
    and the exercises that are right."""
    names, weights, right = list(kinds), [SHARES[kind] for kind in kinds], {}
    kinds = answer_sources(chapter)
    blank = load_notebook(chapter.notebook)
    for student in range(students):
        (kind,) = rng.choices(names, weights)
        name = f"student{student:03d}"
        path = folder / name / chapter.notebook.name
        path.parent.mkdir(parents=True)
        right[name] = kind, set()
        for cell in blank.cells:
            if chapters.role(cell) == "answer":
                number = cell.metadata.course.exercise
                mixed = kind in ("right", "alternative", "mistaken") and student % 3 == 0
                of = rng.choice(("right", "alternative", "mistaken")) if mixed else kind
                # One such exercise is enough for one student.
                if kind in ("endless", "exiting", "hostile") and number != min(kinds):
                    of = "right"
                of = of if kinds[number].get(of) else "right"
                cell.source = rng.choice(kinds[number][of])
                right[name][1].update({number} if of in WORTH else ())
        text = nbformat.writes(blank)
        if kind == "broken":
            text = text[: rng.randrange(len(text))]
        path.write_text(text, encoding="utf-8")
    return right


def command(class_folder, out, jobs, seed_file):
    words = [sys.executable, "-m", "course", "grade", "--submissions", str(class_folder), "--out", str(out)]
    return [*words, "--jobs", str(jobs), "--seed-file", str(seed_file)]


class Watch(threading.Thread):
    """A process with all its children, looked at once a second: the memory of both in MiB, and which there were."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.samples, self.grader, self.seen = psutil.Process(pid), [], [], set()

    def run(self):
        while True:
            try:
                own = total = self.process.memory_info().rss
                family = self.process.children(recursive=True)
            except psutil.Error:
                return
            self.seen |= {self.process, *family}
            for child in family:
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    pass
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


def faults(out, right):
    """What is wrong with the results of a class of which is known what is right: sentences."""
    found = verdicts(out)
    with (out / "grades.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row["student_id"] for row in csv.DictReader(stream)]
    if sorted(rows) != sorted(right) or found.keys() != right.keys():
        yield f"{len(rows)} rows and {len(found)} results for {len(right)} submissions"
    for student, (kind, exercises) in right.items():
        status, rows = found.get(student, ("nothing", ()))
        scored = {number for number, _, points, *_ in rows if points}
        # Who attacks the own kernel may lose by it what else is right there.
        exact = scored == exercises or kind == "hostile" and scored < exercises
        if status != "invalid" if kind == "broken" else status != "graded" or not exact:
            yield f"{student}, {kind}: {status}, {rows}; right are {sorted(exercises)}"


def left(seen, scratch):
    """What a grader has left that ended: sentences. seen: the processes that there were. Waits for those to end."""
    deadline = time.monotonic() + 60
    while (alive := [p for p in seen if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.5)
    yield from (f"a process is left: {p}" for p in alive)
    yield from (f"a process is left: {p}" for p in psutil.process_iter() if LEFT in said(p))
    yield from (f"a folder is left: {path.name}" for path in scratch.iterdir())


def said(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def start(words, scratch):
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(scratch)}
    )
    watch = Watch(process.pid)
    watch.start()
    return process, watch


def undisturbed(words, scratch):
    """Grade once; seconds, and the processes watched meanwhile."""
    began = time.perf_counter()
    process, watch = start(words, scratch)
    if process.wait():
        sys.exit(f"the undisturbed run ended with {process.returncode}")
    return time.perf_counter() - began, watch


def disturbed(words, scratch, kills, seconds, rng):
    """Grade with SIGKILL at random moments; how often whom, and the processes that there were."""
    killed, seen = dict.fromkeys(("main process", "worker", "sandbox"), 0), set()
    process, watch = start(words, scratch)
    for _ in range(kills):
        try:
            process.wait(rng.uniform(1, 2 * seconds / kills + 10))
            break  # it is done
        except subprocess.TimeoutExpired:
            whom = rng.choice(list(killed))
            parts = {"worker": "course.classroom.worker", "sandbox": "bwrap"}
            family = [p for p in psutil.Process(process.pid).children(True) if parts.get(whom, "?") in said(p)]
            if family:
                rng.choice(family).kill()
                killed[whom] += 1
                continue
            process.kill()
            process.wait()
            killed["main process"] += 1
            seen |= watch.seen
            process, watch = start(words, scratch)
    if process.wait():
        sys.exit(f"the last run ended with {process.returncode}")
    return killed, seen | watch.seen


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
    right = make_class(chapter, folder, options.students, rng)
    scratch = work / "tmp"
    scratch.mkdir(exist_ok=True)
    out = work / "undisturbed"
    seconds, watch = undisturbed(command(folder, out, options.jobs, seed_file), scratch)
    wrong = [*faults(out, right), *left(watch.seen, scratch)]
    machine = recording.machine()["device"]
    print(f"\n{options.students} submissions of chapter {options.chapter}, {options.jobs} at a time, on {machine}\n")
    moments = [int(share * (len(watch.samples) - 1)) for share in (0.25, 0.5, 0.75, 0.95)]
    print("| | |\n|---|---|")
    print(f"| wall | {seconds:.0f} s, {seconds / options.students:.2f} s a submission |")
    for name, samples in (("all processes", watch.samples), ("the grader's main process", watch.grader)):
        near = [f"{statistics.median(samples[max(0, at - 5) : at + 6]):.0f}" for at in moments]
        print(f"| memory of {name}, MB, after a quarter, half, three quarters and at the end | {', '.join(near)} |")
    print(f"| without a kill: results that are not as they must be, and what is left | {len(wrong)} |", flush=True)
    if options.kills:
        out = work / "disturbed"
        killed, seen = disturbed(command(folder, out, options.jobs, seed_file), scratch, options.kills, seconds, rng)
        more = [*faults(out, right), *left(seen, scratch)]
        print(f"| killed | {', '.join(f'{whom} {count} times' for whom, count in killed.items())} |")
        print(f"| with kills: results that are not as they must be, and what is left | {len(more)} |")
        wrong += more
    for sentence in wrong[:20]:
        print(f"\n{sentence}")
    if not options.keep:
        shutil.rmtree(work)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
