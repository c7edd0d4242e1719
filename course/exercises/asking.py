"""Asking: running an answer on an exercise's questions, and taking down what it gave."""

import contextlib
import io
import json
from dataclasses import dataclass

from course.comparing import plain
from course.exercises import values
from course.exercises.outcomes import DRIVER, ChangedArgument, Outcome, Raised, is_open
from course.lesson import settings

MIME = "application/vnd.course.evidence+json"
PRINTED_LIMIT = 2_000  # characters of an answer's own printing that a failed check shows


@dataclass(frozen=True)
class Question:
    """What an answer is asked. number: the exercise's. cases: tuples of arguments. driver: the source of a function
    `drive(answer, *case)` that puts the answer to use and gives what to judge, or "" where answer(*case) does."""

    number: str
    cases: list
    driver: str = ""

    def use(self):
        """The function (answer, *case) that puts an answer to use."""
        if not self.driver:
            return lambda answer, *case: answer(*case)
        names = {"__name__": "driver"}
        exec(compile(self.driver, DRIVER, "exec"), names)
        return names["drive"]


def ask(question, answer):
    """Run an answer on all cases, or on the first only where the exercise is still open.

    Returns (list of Outcomes, what the answer printed, cut short).
    """
    use, printed, outcomes = question.use(), _Bounded(PRINTED_LIMIT), []
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        for case in question.cases:
            outcomes.append(run(use, answer, case))
            if is_open(outcomes):
                break
    return outcomes, printed.text


def run(use, answer, case):
    """The Outcome of an answer on one case. The answer gets copies of the arrays, so a case cannot be changed; where it
    changes those, that is its outcome."""
    given = tuple(fresh(argument) for argument in case)
    try:
        with settings.full_precision():
            outcome = Outcome(plain(use(answer, *given)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer that calls exit() has failed, not finished
        outcome = Outcome(raised=Raised.of(error))
    return outcome if _untouched(given, case) else Outcome(raised=Raised.of(ChangedArgument()))


def hand_over(number, answer, path):
    """In an instructor's sandbox: ask, and emit what the answer gave as display metadata, which nbval does not compare;
    the verdict is made outside. path: of the questions, by exercise."""
    from IPython.display import display

    with open(path, encoding="utf-8") as stream:
        asked = json.load(stream)[number]
    outcomes, _ = ask(Question(number, values.decode(values.unpack(asked["cases"])), asked["driver"]), answer)
    given = [values.encode_outcome(outcome) for outcome in outcomes]
    evidence = {"exercise": number, "name": str(getattr(answer, "__name__", "answer"))[:80], "cases": given}
    display({"text/plain": f"exercise {number} handed over"}, raw=True, metadata={MIME: evidence})


def fresh(argument):
    """A copy of a case's argument, as far as it is made of arrays and containers of arrays."""
    import numpy as np

    if isinstance(argument, np.ndarray):
        return argument.copy()
    if isinstance(argument, dict):
        return {key: fresh(value) for key, value in argument.items()}
    if isinstance(argument, list):
        return [fresh(value) for value in argument]
    if type(argument) is tuple:
        return tuple(fresh(value) for value in argument)
    return argument


def _untouched(now, before):
    """Whether arrays and containers of arrays are as they were, to the last bit."""
    import numpy as np

    if isinstance(before, np.ndarray):
        same = isinstance(now, np.ndarray) and now.shape == before.shape and now.dtype == before.dtype
        return same and now.tobytes() == before.tobytes()
    if isinstance(before, dict):
        return list(now) == list(before) and all(_untouched(now[key], before[key]) for key in before)
    if isinstance(before, (list, tuple)):
        return len(now) == len(before) and all(map(_untouched, now, before))
    return now is before or now == before or now != now


class _Bounded(io.TextIOBase):
    """A text stream that keeps the first `limit` characters and drops the rest."""

    def __init__(self, limit):
        self.limit, self.text = limit, ""

    def writable(self):
        return True

    def write(self, text):
        self.text += text[: self.limit - len(self.text)]
        return len(text)
