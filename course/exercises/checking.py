"""`check`: a learner's answer, judged at once."""

import itertools
import os
import textwrap
from typing import Any

from course.comparing import describe
from course.exercises import asking, keys, progress, surroundings
from course.exercises.cells import is_stub
from course.exercises.judging import FAILED, explain, judge, still_open
from course.exercises.keys import ExerciseKey

WIDTH = 92  # columns that a notebook shows without breaking a line in the middle of a word


class Unsolved(Exception):
    """An exercise that is not solved yet. Shown as a few plain lines; it has no traceback to read.

    state: "wrong", "crashed", or, for nbgrader, "open". hint: the hint that was given, or "".
    """

    def __init__(self, message: str, state: str, hint: str = "") -> None:
        super().__init__(message)
        self.state, self.hint = state, hint

    def _render_traceback_(self) -> list[str]:  # IPython's hook for how an exception is shown
        lines = str(self).splitlines()
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ") or [line]]


def check(number: str, answer: object) -> None:
    """Judge an answer to an exercise; print `exercise 3.2 ✓ 24 cases`, or a line that says that it is still open, or
    raise Unsolved with what is wrong.

    number: the exercise's number, such as "3.2". answer: the function or class itself, not its result.
    What the answer prints is kept out of the way, and shown only where it fails.
    """
    if questions := os.environ.get("COURSE_QUESTIONS"):  # in an instructor's sandbox: hand over, and judge outside
        asking.hand_over(number, answer, questions)
        return
    key = keys.load_exercise(number)
    if not callable(answer):
        raise Unsolved(
            f"exercise {number} {FAILED} check needs the function itself, and got {describe(answer)}\n"
            f"  hint: write check({number!r}, name), without calling it",
            "wrong",
        )
    state, text, hint = verdict(key, answer)
    if progress.in_notebook():
        progress.record(key, state)
    # To nbgrader, a check that raises nothing is a right answer.
    if state not in ("passed", "open") or (state == "open" and "NBGRADER_EXECUTION" in os.environ):
        raise Unsolved(text, state, hint)
    print(text)


def verdict(key: ExerciseKey, answer: Any) -> tuple[str, str, str]:
    """(state, text, hint) of an answer: "passed", "open", "wrong" or "crashed", what its author reads, and the hint in
    it or "". key: the ExerciseKey."""
    if is_stub(answer, key.name, key.stub):
        return "open", still_open(key.number, broken="NotImplementedError" not in key.stub), ""
    chapter = keys.load(key.number)
    earlier = itertools.takewhile(lambda one: one.number != key.number, chapter.exercises.values())
    with surroundings.alone(answer, chapter.names | {one.name for one in earlier}):
        outcomes, printed = asking.ask(key.question, answer)
    judgement = judge(key, outcomes)
    text, hint = explain(key, judgement, outcomes, getattr(answer, "__name__", "answer"), printed, lesson=chapter.names)
    return judgement.state, text, hint
