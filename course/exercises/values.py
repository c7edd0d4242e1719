"""Values as JSON: numbers, texts, arrays, and containers of them. Nothing else.

So they stand in a key, and so they cross the sandbox's wall. What comes out of the sandbox was written by somebody's
answer: it is data of the kinds below, and not too much of it, or it is refused; decoding it runs no code. Arrays travel
as base64 of their bytes with shape and type.
"""

import base64
import json
import math
import re
import zlib
from typing import Any, NoReturn

import numpy as np

from course.exercises.outcomes import Outcome, Raised

ARRAY_KINDS = "biufc"
ARRAY_TYPE = re.compile(f"[<|][{ARRAY_KINDS}][0-9]{{1,2}}")  # NumPy runs a parser on what a type's name may hold
MOST_DEPTH = 20
MOST_NODES = 200_000  # numbers, texts, arrays and containers in one value; an array counts as one
MOST_DIMENSIONS = 32
MOST_SIZE = 50_000_000  # numbers in an array; of a shape with a zero in it, the product of the others
MOST_DIGITS = 1000
MOST_KEYS = 10_000  # of a dict


class WireError(ValueError):
    """A value that cannot cross, or a text that is not what `encode` makes."""


def encode(value: Any, depth: int = 0) -> Any:
    """A JSON-able form of a plain value (see `course.comparing.plain`); raises WireError for other kinds."""
    if depth > MOST_DEPTH:
        raise WireError("containers nested too deeply")
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.kind not in ARRAY_KINDS:
            raise WireError(f"an array of {array.dtype} holds no numbers")
        array = array.astype(array.dtype.newbyteorder("<"))
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {"array": data, "dtype": array.dtype.str, "shape": list(np.shape(value))}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": str(value)} if abs(value) >= 2**53 else value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item, depth + 1) for item in value]}
    if isinstance(value, list):
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    raise WireError(f"a {type(value).__name__} is no number, text, array or container of them")


def decode(form: Any) -> Any:
    """The value that `encode` made `form` of; raises WireError for anything else, and for what is too large."""
    return _Decoder().value(form, 0)


class _Decoder:
    """Decodes one value, and counts what it is made of."""

    def __init__(self) -> None:
        self.nodes = 0

    def value(self, form: Any, depth: int) -> Any:
        self.nodes += 1
        if depth > MOST_DEPTH:
            raise WireError("containers nested too deeply")
        if self.nodes > MOST_NODES:
            raise WireError(f"more than {MOST_NODES:,} values")
        if form is None or isinstance(form, (bool, str, int, float)):
            return form
        if isinstance(form, list):
            return self.items(form, depth)
        try:
            match form:
                case {"array": str(data), "dtype": str(name), "shape": list(shape)} if len(form) == 3:
                    return _array(data, name, shape)
                case {"int": str(text)} if len(form) == 1 and len(text) < MOST_DIGITS:
                    return int(text)
                case {"float": "nan" | "inf" | "-inf" as text} if len(form) == 1:
                    return float(text)
                case {"complex": [real, imaginary]} if len(form) == 1:
                    return complex(self.value(real, depth + 1), self.value(imaginary, depth + 1))
                case {"tuple": list(items)} if len(form) == 1:
                    return tuple(self.items(items, depth))
                case {"dict": list(pairs)} if len(form) == 1 and len(pairs) <= MOST_KEYS:
                    return {self.key(k, depth): self.value(v, depth + 1) for k, v in pairs}
        except WireError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise WireError(str(error)[:200]) from None
        raise WireError("not a value of the wire format")

    def items(self, forms: list[Any], depth: int) -> list[Any]:
        return [self.value(item, depth + 1) for item in forms]

    def key(self, form: Any, depth: int) -> Any:
        """A dict's key: a plain value, or a tuple of such. Python hashes whole numbers alike that differ by a multiple
        of 2**61 - 1, which makes a dict of such numbers slow: none above what JSON knows is one here."""
        match form:
            case {"tuple": list(items)} if len(form) == 1:
                plain = items
            case _:
                plain = [form]
        if any(isinstance(item, (list, dict)) for item in plain):
            raise WireError("not a key: texts, numbers and tuples of them are")
        return self.value(form, depth + 1)


def _array(data: str, name: str, shape: list[int]) -> Any:
    if not ARRAY_TYPE.fullmatch(name) or not all(type(n) is int and n >= 0 for n in shape):
        raise WireError("not an array of numbers")
    if len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > MOST_SIZE:
        raise WireError("an array that is too large")
    array = np.frombuffer(base64.b64decode(data, validate=True), np.dtype(name)).reshape(shape).copy()
    return array if shape else array[()]


def encode_outcome(outcome: Outcome) -> dict[str, Any]:
    """An Outcome as JSON-able form; one whose value cannot cross becomes a note of its type."""
    if outcome.raised:
        raised = outcome.raised
        form = {"raised": list(raised.names), "message": raised.message, "where": raised.where}
        return form | ({"words": list(raised.words)} if raised.words else {})
    try:
        return {"value": encode(outcome.value)}
    except (WireError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):  # of a value with a will
        return {"strange": type(outcome.value).__name__[:80]}


class Strange:
    """Stands for a value that could not cross; equal to nothing that is expected."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"an object of type {self.kind}"


def decode_outcome(form: Any) -> Outcome:
    """The Outcome that `encode_outcome` made `form` of; raises WireError for anything else."""
    match form:
        case {"value": value} if len(form) == 1:
            return Outcome(decode(value))
        case {"strange": str(kind)} if len(form) == 1:
            return Outcome(Strange(kind[:80]))
        case {"raised": [str(), *_] as names, "message": str(message), "where": list(where)} if len(form) <= 4:
            words = form.get("words", [])
            texts = isinstance(words, list) and all(isinstance(text, str) for text in [*names, *where, *words])
            if texts and len(names) < 50 and form.keys() <= {"raised", "message", "where", "words"}:
                lines = tuple(line[:200] for line in where[:3])
                return Outcome(raised=Raised(tuple(name[:80] for name in names), message[:200], lines, tuple(words)))
    raise WireError("not an outcome")


def read(text: str | bytes) -> Any:
    """JSON text to form; raises WireError. A number that JSON does not know (NaN, Infinity) is refused."""

    def refuse(name: str) -> NoReturn:
        raise WireError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except WireError:
        raise
    except (ValueError, RecursionError) as error:
        raise WireError(str(error)[:200]) from None


def pack(form: Any) -> str:
    """A JSON-able form as a short text: compressed, in base64."""
    text = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(errors="surrogatepass"), 9)).decode()


def unpack(text: str) -> Any:
    """The form that `pack` made `text` of; raises WireError for anything else. Only for texts of our own: what a
    short text may hold has no bound."""
    try:
        return read(zlib.decompress(base64.b64decode(text, validate=True)))
    except (zlib.error, ValueError, TypeError) as error:
        raise WireError(str(error)[:200]) from None
