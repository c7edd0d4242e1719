"""What a call of an answer gave: a value, or the exception it raised."""

import linecache
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from course.comparing import compare, describe
from course.exercises.kinds import wrong_kind

Case = tuple[Any, ...]  # the arguments of one call

PACKAGE = Path(__file__).resolve().parent.parent
DRIVER = "the check's own code"  # the file name under which a driver is compiled: never shown to a learner

KERAS_ADDED = re.compile(
    r"Exception encountered when calling [^\n]*\n\n\x1b\[1m(.*)\x1b\[0m\n\nArguments received", re.S
)


class ExerciseError(Exception):
    """A fault of a specification, of a key or of the call of `check`, not of an answer."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook for how an exception is shown
        return str(self).splitlines()


class ChangedArgument(Exception):
    """Stands for the result of an answer that changed an argument in place."""


@dataclass(frozen=True)
class Raised:
    """An exception, as far as it is judged and shown. names: its class and the classes above it; message: its first
    line; where: the lines of the answer's own code that it passed through. words: of an expected one, what the message
    of an answer's must name, see `specification.naming`."""

    names: tuple[str, ...]

    message: str = ""
    where: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Self:
        names = tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException))
        name = getattr(error, "name", None)
        text = said(name if isinstance(error, NameError) and name else error).strip()
        return cls(names, (text.splitlines() or [""])[0][:200], tuple(_where(error)), getattr(error, "must_name", ()))

    def unnamed(self, words: Iterable[str]) -> list[str]:
        """Those of the words that the message does not name: numbers as such, texts in either case."""
        numbers = re.findall(r"\d+(?:\.\d+)?", self.message)
        return [w for w in words if w not in numbers and (w.isdecimal() or w.lower() not in self.message.lower())]

    def __str__(self) -> str:
        said = f"name {self.message!r} is not defined" if self.names[0] == "NameError" else self.message
        return f"{self.names[0]}{': ' + said if said else ''}"


@dataclass(frozen=True)
class Outcome:
    """What one call gave: a value (tensors as arrays), or the exception it raised."""

    value: Any = None
    raised: Raised | None = None

    def differs(self, expected: "Outcome", rtol: float, atol: float) -> str | None:
        """None where this outcome is as expected, else a phrase that says how it is not."""
        if self.raised and self.raised.names[0] == ChangedArgument.__name__:
            return "changed an argument in place, which must stay as it is: work on a copy"
        if expected.raised:
            name = expected.raised.names[0]
            if self.raised and name in self.raised.names:
                missing = self.raised.unnamed(expected.raised.words)
                return f"raised {self.raised}; the message must name {', '.join(missing)}" if missing else None
            return (
                f"raised {self.raised}" if self.raised else f"gave {describe(self.value)}"
            ) + f"; it must raise {name}"
        if self.raised:
            return f"raised {self.raised}"
        problem = wrong_kind(self.value, expected.value) or compare(self.value, expected.value, rtol, atol)
        return f"gave {problem}" if problem else None


def said(error: object) -> str:
    """The text of an exception; of one that Keras passed on from a layer's `call`, what stood in it before Keras added
    the layer's name above it and the arguments below."""
    text = str(error)
    while wrapped := KERAS_ADDED.match(text):
        text = wrapped[1]
    return text


def is_open(outcomes: list[Outcome]) -> bool:
    """Whether an answer is still the stub that the learner was given."""
    last = outcomes[-1].raised if outcomes else None
    return last is not None and last.names[0] == "NotImplementedError" and not last.message


def _where(error: BaseException) -> list[str]:
    """The lines of the learner's own code that an exception passed through, innermost last, at most three."""
    if isinstance(error, SyntaxError):
        return []
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(str(PACKAGE)) and frame.filename != DRIVER
    ]
    own = [f for f in frames if "ipykernel" in f.filename or f.filename.startswith("<")] or frames[:1]
    lines = []
    for frame in own[-3:]:
        code = frame.line or linecache.getline(frame.filename, frame.lineno or 0).strip()
        lines.append(f"line {frame.lineno} of {frame.name}: {code}")
    return lines
