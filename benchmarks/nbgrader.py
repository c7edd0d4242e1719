"""Grade one chapter's submissions with `course grade` and with `nbgrader autograde`, in turn, and print the ratio.

    COURSE_NBGRADER=.venv-nbgrader/bin/python .venv/bin/python benchmarks/nbgrader.py [--chapter 03] [--students 12]

nbgrader runs in an environment of its own that sees the same Keras (the Makefile's target nbgrader makes it). Its
equivalent of a submission is the chapter's notebook with only definitions, answers and checks in it: it is not made to
run the lesson's training, which `course grade` leaves out. Both grade one submission at a time; grading one submission
alone gives the start-up, grading them all the time that each further one takes.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from classroom import command, make_class

from course.authoring import chapters, keying
from course.authoring.measuring import timed
from course.exercises import keys
from course.exercises.asking import ask
from course.exercises.cells import defined_name
from course.files import load_notebook
from course.lesson import recording


def released(chapter):
    """The solution notebook with only what grading needs."""
    notebook = load_notebook(chapter.solution)
    notebook.cells = [c for c in notebook.cells if chapters.role(c) in ("definition", "answer", "check")]
    return notebook


def own_seconds(chapter, notebooks):
    """Seconds that the answers themselves take on the cases, a submission: executed here, after the definitions."""
    secret, public = keying.make(chapter, b"the secret of a benchmark"), keys.load(chapter.number)
    questions = {number: [key.exercises[number].question for key in (secret, public)] for number in secret.exercises}
    names = {"__name__": "definitions"}
    exec("\n".join(secret.definitions), names)
    took = []
    for path in notebooks:
        began = time.perf_counter()
        for cell in load_notebook(path).cells:
            if chapters.role(cell) == "answer":
                exec(cell.source, names)
                for question in questions[cell.metadata.course.exercise]:
                    ask(question, names[defined_name(cell.source)])
        took.append(time.perf_counter() - began)
    return statistics.mean(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapter", default="03")
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not (python := os.environ.get("COURSE_NBGRADER")):
        sys.exit("COURSE_NBGRADER must name a Python with nbgrader; `make nbgrader` makes .venv-nbgrader/bin/python")
    python = str(Path(python).absolute())  # it is started in another folder
    chapter = chapters.read_chapter(chapters.select([options.chapter])[0])
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        make_class(
            chapter, work / "all", options.students, random.Random(0), kinds=("right", "alternative", "mistaken")
        )
        names = sorted(folder.name for folder in (work / "all").iterdir())
        shutil.copytree(work / "all" / names[0], work / "one" / names[0])
        school = work / "school"
        (school / "source" / "x").mkdir(parents=True)
        nbformat.write(released(chapter), school / "source" / "x" / chapter.notebook.name)
        for name in names:
            (school / "submitted" / name / "x").mkdir(parents=True)
            notebook = load_notebook(work / "all" / name / chapter.notebook.name)
            notebook.cells = [c for c in notebook.cells if chapters.role(c) in ("definition", "answer", "check")]
            nbformat.write(notebook, school / "submitted" / name / "x" / chapter.notebook.name)
        path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"  # its helpers are called by name

        def nbgrader(*words):
            run = timed([python, "-m", "nbgrader", *words, "--course-dir", str(school)], school, PATH=path)
            return run.wall_seconds if not run.code else sys.exit(run.output[-3000:])

        def course(folder):
            shutil.rmtree(work / "out", ignore_errors=True)
            run = timed(command(work / folder, work / "out", 1, work / "seed"), work)
            return run.wall_seconds if not run.code else sys.exit(run.output[-3000:])

        nbgrader("generate_assignment", "x")
        rows = []
        for _ in range(options.runs):
            autograde = ("autograde", "x", "--force")
            times = [course("one"), nbgrader(*autograde, "--student", names[0]), course("all"), nbgrader(*autograde)]
            rows.append(times)
        own = own_seconds(chapter, [work / "all" / name / chapter.notebook.name for name in names])
    further = [[(row[2 + i] - row[i]) / (options.students - 1) for row in rows] for i in (0, 1)]
    first = [statistics.median(row[i] for row in rows) for i in (0, 1)]
    ours, theirs = map(statistics.median, further)
    machine = recording.machine()["device"]
    print(f"chapter {options.chapter}, {options.students} submissions, {options.runs} runs in turn, on {machine}\n")
    print("| | first submission, start-up included, s | each further one, s |\n|---|---|---|")
    print(f"| course grade | {first[0]:.1f} | {ours:.2f} |")
    print(f"| nbgrader autograde | {first[1]:.1f} | {theirs:.2f} |")
    print(f"| the answers themselves | | {own:.2f} |\n")
    ratio = statistics.median(row[3] / row[2] for row in rows)
    print(f"nbgrader / course: {ratio:.1f} for the class, {theirs / ours:.1f} for each further submission")
    print(f"course grade beyond the students' own code: {ours - own:.2f} s a submission (at most 1.0)")


if __name__ == "__main__":
    main()
