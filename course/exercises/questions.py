"""`ask`: a short question on the way, answered in a cell, judged at once, that counts for nothing.

In a chapter's source the call holds the right answer, and what to say to it; the build leaves the learner three dots in
place of all that, and puts it into the key:

    ask("3.a", 5, why="It can stand at 0, 1, 2, 3 and 4.", hint="Count the places where it fits.")
"""

import re
from typing import Any

from course.comparing import compare, describe, plain
from course.exercises import keys
from course.exercises.judging import FAILED, OPEN, PASSED
from course.exercises.keys import ShortQuestion
from course.exercises.outcomes import ExerciseError

NUMBER = re.compile(r"\d+\.[a-z]")


def ask(number: str, answer: Any = ..., why: str = "", hint: str = "", choices: tuple[str, ...] = ()) -> None:
    """Say whether the answer to a short question is right: in one line, which never stops the notebook.

    number: the question's, such as "3.a". answer: a number, a shape as a tuple, or a word. why, hint, choices: only an
    author writes these, see the module's text.
    """
    short = keys.load(number).short
    if number not in short:
        raise ExerciseError(f"there is no question {number!r}; this chapter has {', '.join(short) or 'none'}")
    print(judged(number, short[number], plain(answer)))


def judged(number: str, one: ShortQuestion, answer: Any) -> str:
    """The line that an answer to a ShortQuestion gets."""
    if answer is ...:
        return f"question {number} {OPEN} put your answer in place of the three dots"
    if problem := kind_problem(one, answer):
        return f"question {number} {FAILED} {problem}"
    if right(one, answer):
        return f"question {number} {PASSED} {one.why}".rstrip()
    return f"question {number} {FAILED} it is not {describe(answer)}. {one.hint}".rstrip()


def kind_problem(one: ShortQuestion, answer: Any) -> str:
    """What is amiss with an answer that is not even of the right kind, in words, or ""."""
    wanted = one.answer
    if isinstance(wanted, str):
        words = f"the answer is one of {', '.join(map(repr, one.choices))}" if one.choices else "the answer is a word"
        known = isinstance(answer, str) and (
            not one.choices or answer.strip().casefold() in map(str.casefold, one.choices)
        )
        return "" if known else f"{words}, in quotation marks"
    if isinstance(wanted, tuple):
        size = len(wanted)
        fits = isinstance(answer, (tuple, list)) and all(_is_number(item) for item in answer)
        return "" if fits else f"the answer is a shape, {size} whole number{'s' * (size > 1)} in parentheses"
    return "" if _is_number(answer) else "the answer is a number"


def right(one: ShortQuestion, answer: Any) -> bool:
    """Whether an answer of the right kind is the right one."""
    wanted = one.answer
    if isinstance(wanted, str):
        return bool(answer.strip().casefold() == wanted.casefold())
    if isinstance(wanted, tuple):
        return len(answer) == len(wanted) and all(a == w for a, w in zip(answer, wanted))
    return compare(float(answer), float(wanted), rtol=0.01, atol=0 if wanted else 1e-9) is None and (
        not isinstance(wanted, int) or answer == wanted
    )


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, (bool, str, bytes)) and bool(float(value) == value)
    except (TypeError, ValueError, OverflowError):
        return False
