"""`check`: a learner's answer, judged at once."""

import os
import textwrap

from course.comparing import describe
from course.exercises import asking, keys
from course.exercises.judging import FAILED, explain, judge

WIDTH = 92  # columns that a notebook shows without breaking a line in the middle of a word


class Unsolved(Exception):
    """An exercise that is not solved yet. Shown as a few plain lines; it has no traceback to read.

    state: "open" (nothing written yet), "wrong" or "crashed". hint: the hint that was given, or "".
    """

    def __init__(self, message, state, hint=""):
        super().__init__(message)
        self.state, self.hint = state, hint

    def _render_traceback_(self):  # IPython's hook for how an exception is shown
        lines = str(self).splitlines()
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ") or [line]]


def check(number, answer):
    """Judge an answer to an exercise; print `exercise 3.2 ✓ 24 cases` or raise Unsolved with what is wrong.

    number: the exercise's number, such as "3.2". answer: the function or class itself, not its result.
    What the answer prints is kept out of the way, and shown only where it fails.
    """
    if questions := os.environ.get("COURSE_QUESTIONS"):  # in an instructor's sandbox: hand over, and judge outside
        return asking.hand_over(number, answer, questions)
    key = keys.load_exercise(number)
    if not callable(answer):
        raise Unsolved(
            f"exercise {number} {FAILED} check needs the function itself, and got {describe(answer)}\n"
            f"  hint: write check({number!r}, name), without calling it",
            "wrong",
        )
    outcomes, printed = asking.ask(key.question, answer)
    judgement = judge(key, outcomes)
    text, hint = explain(key, judgement, outcomes, getattr(answer, "__name__", "answer"), printed)
    if judgement.state != "passed":
        raise Unsolved(text, judgement.state, hint)
    print(text)
