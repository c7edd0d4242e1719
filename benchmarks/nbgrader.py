"""Grade one chapter's submissions with `course grade` and with `nbgrader autograde`, in turn, and print the ratio.

    COURSE_NBGRADER=.venv-nbgrader/bin/python .venv/bin/python benchmarks/nbgrader.py [--chapter 03] [--students 8]

nbgrader runs in an environment of its own that sees the same Keras (see the Makefile's target nbgrader). Its equivalent
of a submission is the chapter's notebook with only definitions, answers and checks in it: it is not made to run the
lesson's training, which `course grade` leaves out.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
from classroom import command, make_class

from course import build, chapters, results, submission


def released(chapter):
    """The solution notebook with only what grading needs."""
    notebook = build.load(chapter.solution)
    notebook.cells = [c for c in notebook.cells if submission.role(c) in ("definition", "answer", "check")]
    return notebook


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapter", default="03")
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    python = os.environ.get("COURSE_NBGRADER") or sys.exit(
        "COURSE_NBGRADER must name a Python with nbgrader: make nbgrader"
    )
    chapter = chapters.read_chapter(chapters.select([options.chapter])[0])
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        make_class(
            chapter, work / "class", options.students, random.Random(0), kinds=("right", "alternative", "mistaken")
        )
        school = work / "school"
        (school / "source" / "x").mkdir(parents=True)
        nbformat.write(released(chapter), school / "source" / "x" / chapter.notebook.name)
        for student in (work / "class").iterdir():
            (school / "submitted" / student.name / "x").mkdir(parents=True)
            notebook = build.load(student / chapter.notebook.name)
            notebook.cells = [c for c in notebook.cells if submission.role(c) in ("definition", "answer", "check")]
            nbformat.write(notebook, school / "submitted" / student.name / "x" / chapter.notebook.name)
        nbgrader = [python, "-m", "nbgrader"]
        here = ["--course-dir", str(school)]
        path = f"{Path(python).absolute().parent}{os.pathsep}{os.environ['PATH']}"  # its helpers are called by name
        run = results.timed([*nbgrader, "generate_assignment", "x", *here], school, PATH=path)
        if run.code:
            sys.exit(run.output[-3000:])
        for number in range(options.runs):
            out = work / f"out{number}"
            ours = results.timed(command(work / "class", out, 1, work / "seed"), work)
            theirs = results.timed([*nbgrader, "autograde", "x", "--force", *here], school, PATH=path)
            for one in (ours, theirs):
                if one.code:
                    sys.exit(one.output[-3000:])
            rows.append((ours.wall_seconds, theirs.wall_seconds))
            shutil.rmtree(out)
    ours, theirs = (statistics.median(column) / options.students for column in zip(*rows))
    ratio = statistics.median(theirs / ours for ours, theirs in rows)
    print(f"chapter {options.chapter}, {options.students} submissions, one at a time, {options.runs} runs in turn\n")
    print("| | s a submission (start-up, sealing and self-test included) |\n|---|---|")
    print(f"| course grade | {ours:.2f} |\n| nbgrader autograde | {theirs:.2f} |\n| nbgrader / course | {ratio:.1f} |")


if __name__ == "__main__":
    main()
