"""Asking: running an answer on an exercise's questions, and taking down what it gave."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from course.comparing import plain
from course.exercises import surroundings, values
from course.exercises.outcomes import DRIVER, Case, ChangedArgument, Outcome, Raised, is_open
from course.lesson import settings

MIME = "application/vnd.course.evidence+json"
PRINTED_LIMIT = 2_000  # characters of an answer's own printing that a failed check shows


@dataclass(frozen=True)
class Question:
    """What an answer is asked. number: the exercise's. cases: tuples of arguments.

    driver: source that puts the answer to use, or "" where answer(*case) is what is judged. In it a function
    `drive(answer, *case)` gives what the answer returned, and a function `measure(given, *case)` what is judged of
    that; each may be missing. An instructor's sandbox runs the first only, so that whoever forges what it hands over
    must forge a right answer."""

    number: str
    cases: list[Case]

    driver: str = ""

    def use(self, raw: bool = False) -> Callable[..., Any]:
        """The function (answer, *case) that gives what is judged; raw: what is handed over of it."""
        drive, measure = self._functions()
        return drive if raw else lambda answer, *case: measure(plain(drive(answer, *case)), *case)

    def measured(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Of the Outcomes of what was handed over those that are judged."""
        _, measure = self._functions()
        return [
            outcome if outcome.raised else run(measure, outcome.value, case)
            for outcome, case in zip(outcomes, self.cases)
        ]

    def _functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        names: dict[str, Any] = {"__name__": "driver"}
        exec(compile(self.driver, DRIVER, "exec"), names)
        return names.get("drive", _call), names.get("measure", _as_it_is)


def _call(answer: Any, *case: Any) -> Any:
    return answer(*case)


def _as_it_is(given: Any, *case: Any) -> Any:
    return given


def ask(question: Question, answer: Any, raw: bool = False) -> tuple[list[Outcome], str]:
    """Run an answer on all cases, or on the first only where the exercise is still open. raw: as in `Question.use`.

    Returns (list of Outcomes, what the answer printed, cut short).
    """
    use, printed, outcomes = question.use(raw), _Bounded(PRINTED_LIMIT), []
    quiet = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    with surroundings.usual(), quiet[0], quiet[1]:
        for case in question.cases:
            outcomes.append(run(use, answer, case))
            if is_open(outcomes):
                break
    return outcomes, printed.text


def run(use: Callable[..., Any], answer: Any, case: Case) -> Outcome:
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


def hand_over(number: str, answer: Any, path: str) -> None:
    """In an instructor's sandbox: ask, and emit what the answer gave as display metadata, which nbval does not compare;
    the verdict is made outside. path: of the questions, by exercise."""
    from IPython.display import display

    with open(path, encoding="utf-8") as stream:
        asked = json.load(stream)[number]
    outcomes, _ = ask(Question(number, values.decode(values.unpack(asked["cases"])), asked["driver"]), answer, raw=True)
    given = [values.encode_outcome(outcome) for outcome in outcomes]
    evidence = {"exercise": number, "name": str(getattr(answer, "__name__", "answer"))[:80], "cases": given}
    display({"text/plain": f"exercise {number} handed over"}, raw=True, metadata={MIME: evidence})


def fresh(argument: Any) -> Any:
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


def _untouched(now: Any, before: Any) -> bool:
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

    def __init__(self, limit: int) -> None:
        self.limit, self.text = limit, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text[: self.limit - len(self.text)]
        return len(text)
