"""How an author specifies an exercise; the build makes the chapter's key of it (`course.exercises.keys`).

The specification stands in the chapter's source, in a cell tagged "grading" that reaches neither notebook, and only
the build reads it:

    from course.exercises import exercise

    ex = exercise("3.1")

    @ex.cases
    def _(rng):                        # yields one tuple of arguments per case, drawn with a numpy Generator
        for _ in range(24):
            yield int(rng.integers(5, 30)), int(rng.integers(1, 6))

    @ex.oracle
    def _(n, k): ...                   # the expected value, not by the chapter's own code; may raise

    @ex.wrong
    def no_plus_one(n, k):
        "The count of jumps is one less than the count of places: add the place where the kernel starts."
        return n - k

    @ex.right
    def by_counting(n, k): ...         # a correct answer written quite differently

    ex.hints("Where can the kernel start?", "...")   # up to three, from a nudge to the idea, for whoever asks

A wrong answer serves twice: as a test (it must fail) and as a diagnosis (an answer that gives the same values on the
same cases has made the same mistake, and its docstring is the hint).
"""

import ast
import contextlib
import inspect
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeVar

from course.comparing import plain
from course.exercises.asking import fresh
from course.exercises.outcomes import Case, ExerciseError, Outcome, Raised

MOST_HINTS = 3
F = TypeVar("F", bound=FunctionType)
E = TypeVar("E", bound=Exception)


@dataclass
class Exercise:
    """One exercise's specification; see the module's text.

    number: "3.2". rtol, atol: tolerance for floats, as in `course.comparing.compare`. start: the name of the wrong
    answer whose body a "debug it" exercise begins with, instead of an empty one.
    """

    number: str
    rtol: float = 1e-5
    atol: float = 1e-6
    start: str | None = None
    draw: Callable[..., Iterable[Any]] | None = None
    judge: Callable[..., Any] | None = None
    use: Callable[..., Any] | None = None
    wrong_answers: list[Any] = field(default_factory=list)
    right_answers: list[Any] = field(default_factory=list)
    steps: tuple[str, ...] = ()
    equivalents: dict[str, str] = field(default_factory=dict)
    forbidden: dict[str, str] = field(default_factory=dict)
    call: str = ""

    def shown_as(self, call: str, where: str = "") -> None:
        """Say what a learner is shown of a case that failed, where a driver puts the answer to use.

        call: Python source to be pasted, in the learner's own terms, in which the oracle's arguments stand by their
        names. where: what has to be said besides, in words, with {names} of arguments.
        """
        try:
            names = {node.id for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Name)}
        except SyntaxError as error:
            raise ExerciseError(f"exercise {self.number}: {call!r} is not Python: {error.msg}") from None
        if not names:
            raise ExerciseError(f"exercise {self.number}: {call!r} calls nothing")
        self.call = ast.unparse(ast.parse(call)) + (f"\n# {where}" if where else "")

    def equivalent(self, mutant: str, reason: str) -> None:
        """Say that a mutant which every check accepts is no fault, and why. mutant: its name, as `course audit` prints
        it; the audit refuses one that is rejected, or that there is not."""
        self._declare(self.equivalents, mutant, reason)

    def forbids(self, form: str, reason: str) -> None:
        """Say that a result may not have a form that results may have else, and why: "lists", "tuples", "float32",
        "NumPy scalars" or "Keras tensors". The docstring must say so too."""
        self._declare(self.forbidden, form, reason)

    def _declare(self, kept: dict[str, str], name: str, reason: str) -> None:
        if not reason.strip() or name in kept:
            raise ExerciseError(f"exercise {self.number}: {name!r} needs one reason, in words")
        kept[name] = reason

    def hints(self, *texts: str) -> None:
        """Help for whoever asks for it, one text after the other: at most three, from a nudge to the idea."""
        if not 1 <= len(texts) <= MOST_HINTS or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ExerciseError(f"exercise {self.number}: ex.hints takes one to {MOST_HINTS} texts")
        self.steps = tuple(" ".join(text.split()) for text in texts)

    def cases(self, function: F) -> F:
        """Decorator: function(rng) yields the cases, each a tuple of arguments."""
        self.draw = function
        return function

    def oracle(self, function: F) -> F:
        """Decorator: function(*case) gives the expected value, or raises what an answer must raise. A learner reads
        its arguments' names where a case failed, so each has one."""
        if any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()):
            raise ExerciseError(f"exercise {self.number}: the oracle must name each of its arguments, without a *")
        self.judge = function
        return function

    def drive(self, function: F) -> F:
        """Decorator: function(answer, *case) puts an answer to use; without it, answer(*case) does."""
        self.use = function
        return function

    def measure(self, function: F) -> F:
        """Decorator: function(given, *case) gives what is judged of what the answer or the driver handed over. Where a
        class is graded it runs outside the sandbox, so that a property can be judged (what a layer computes, whether
        two parts are disjoint) of which "True" alone would be easy to forge."""
        return function

    def wrong(self, function: F) -> F:
        """Decorator: a plausible wrong answer; its docstring is the hint for whoever makes this mistake."""
        if not (function.__doc__ or "").strip():
            raise ExerciseError(
                f"exercise {self.number}: wrong answer {function.__name__} has no docstring to hint with"
            )
        self.wrong_answers.append(function)
        return function

    def right(self, function: F) -> F:
        """Decorator: a correct answer, written otherwise than the solution."""
        self.right_answers.append(function)
        return function

    def draw_cases(self, seed: int = 0) -> list[Case]:
        """The list of cases for a seed; seed 0 is what a learner sees."""
        import numpy as np

        if self.draw is None or self.judge is None:
            missing = "cases" if self.draw is None else "oracle"
            raise ExerciseError(f"exercise {self.number}: its grading cell has no function under @ex.{missing}")
        rng = np.random.default_rng([seed, zlib.crc32(self.number.encode())])
        cases = [case if isinstance(case, tuple) else (case,) for case in self.draw(rng)]
        if not cases:
            raise ExerciseError(f"exercise {self.number}: its generator yields no case")
        return cases

    def expected(self, case: Case) -> Outcome:
        """The Outcome that an answer must have on this case."""
        try:
            return Outcome(plain(self._oracle()(*(fresh(argument) for argument in case))))
        except (NameError, ImportError) as error:  # a slip in the oracle, and nothing that an answer must raise
            raise ExerciseError(f"exercise {self.number}: its oracle fails: {type(error).__name__}: {error}") from error
        except Exception as error:
            return Outcome(raised=Raised.of(error))

    def _oracle(self) -> Callable[..., Any]:
        if self.judge is None:
            raise ExerciseError(f"exercise {self.number}: its grading cell has no function under @ex.oracle")
        return self.judge

    def arguments(self) -> tuple[str, ...]:
        """The names of a case's arguments."""
        return tuple(inspect.signature(self._oracle()).parameters)


def naming(kind: type[E], *words: object) -> E:
    """The error that an oracle raises where the message of an answer's must name something. kind: its class. words:
    texts, or whole numbers of at least 0, each of which the message must name."""
    error = kind(", ".join(map(str, words)))
    setattr(error, "must_name", tuple(map(str, words)))  # noqa: B010 - it is no attribute of any class
    return error


_collected: list[Exercise] | None = None


@contextlib.contextmanager
def collecting() -> Iterator[list[Exercise]]:
    """A list that receives, in order, each Exercise begun within the `with` block."""
    global _collected
    before, _collected = _collected, []
    try:
        yield _collected
    finally:
        _collected = before


def exercise(number: str, *, rtol: float = 1e-5, atol: float = 1e-6, start: str | None = None) -> Exercise:
    """Begin the specification of an exercise, in a cell tagged "grading"; see the module's text."""
    spec = Exercise(number, rtol, atol, start)
    if _collected is not None:
        _collected.append(spec)
    return spec
