"""A chapter's key: what its exercises ask, and what answers them. All that learning and grading need to judge.

The build makes a key of the specifications in the chapter's source (`course.authoring.keying`): the questions (cases,
and the code that puts an answer to use), the expected outcomes, and the outcomes of every known wrong answer with its
hint; also the lesson's definitions and the blank answer cells, so that a notebook can be graded with nothing else at
hand. The learner's key, drawn with seed 0, ships with the course as `keys/NN.json`. A class's key is the same thing
drawn with a secret, and also holds the reference's answers, for the grader's self-test; it stays with the instructor.

A key is data: JSON, in which the cases and outcomes of an exercise are one packed text each (see `values.pack`).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from course.exercises import values
from course.exercises.asking import Question
from course.exercises.cells import names_made
from course.exercises.outcomes import Case, ExerciseError, Outcome
from course.lesson import settings

FORMAT = 1  # of the file; another one cannot be read


class BadKey(ExerciseError):
    """A key that cannot be used; the message names the file and says what to do. problem: the message without the
    remedy, for who has another one."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer. hint: what its author is told. outcomes: what it gives, for each case."""

    name: str
    hint: str
    outcomes: list[Outcome]


@dataclass(frozen=True)
class ExerciseKey:
    """One exercise, as it is asked and judged.

    number: "3.2". name: of the function or class to write. points: to reach. stub: the blank answer cell. check: the
    cell that checks it. arguments: the names of a case's arguments. rtol, atol: tolerance for floats. driver: as in
    `asking.Question`. questions, answers: packed, see `pack_questions` and `pack_answers`. hints: what the author says
    to whoever asks for help, one step after the other. call: what a learner is shown of a case, see
    `course.exercises.showing`, or "".
    """

    number: str
    name: str
    points: int
    stub: str
    check: str
    arguments: tuple[str, ...]

    rtol: float
    atol: float
    driver: str
    questions: str
    answers: str
    hints: tuple[str, ...] = ()
    call: str = ""

    @cached_property
    def cases(self) -> list[Case]:
        """The cases, each a tuple of arguments."""
        cases: list[Case] = values.decode(values.unpack(self.questions))
        return cases

    @cached_property
    def count(self) -> int:
        """How many cases there are."""
        return len(values.unpack(self.questions))

    @cached_property
    def question(self) -> Question:
        """What an answer is asked."""
        return Question(self.number, self.cases, self.driver)

    @cached_property
    def _answers(self) -> Any:
        return values.unpack(self.answers)

    @cached_property
    def expected(self) -> list[Outcome]:
        """The Outcome that a right answer has, for each case."""
        return [values.decode_outcome(form) for form in self._answers["expected"]]

    @cached_property
    def mistakes(self) -> list[Mistake]:
        """The known wrong answers, a list of Mistakes."""
        pool = [values.decode_outcome(form) for form in self._answers["pool"]]
        return [
            Mistake(
                name, hint, [self.expected[i] if place is None else pool[place] for i, place in enumerate(outcomes)]
            )
            for name, hint, outcomes in self._answers["mistakes"]
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of all that a verdict rests on, the definitions apart."""
        parts = {name: value for name, value in vars_of(self).items() if name not in ("hints", "call")}
        return hashlib.sha256(json.dumps([FORMAT, parts]).encode()).hexdigest()

    def differences(self, outcomes: list[Outcome]) -> list[str | None]:
        """For each outcome None, or how it differs from the expected one."""
        return [got.differs(want, self.rtol, self.atol) for got, want in zip(outcomes, self.expected)]


@dataclass(frozen=True)
class ShortQuestion:
    """A short question on the way, see `course.exercises.questions`. answer: a whole number, a float, a text or a tuple
    of whole numbers. why: what whoever is right reads; hint: what whoever is not reads. choices: of which a text is
    one, or ()."""

    answer: Any
    why: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChapterKey:
    """A chapter's key. number: "03". stem: "03_convolution". made_from: digest of what it was made from, see
    `authoring.keying`. definitions: the sources of the lesson's definition cells. exercises: ExerciseKeys by number.
    solutions: in a class's key, the reference's answer cells by number; else empty. title: the chapter's. short: the
    ShortQuestions on the way, by number, such as "3.a"."""

    number: str
    stem: str
    made_from: str
    definitions: list[str]
    exercises: dict[str, ExerciseKey]
    solutions: dict[str, str] = field(default_factory=dict)
    title: str = ""
    short: dict[str, ShortQuestion] = field(default_factory=dict)

    @cached_property
    def names(self) -> set[str]:
        """The names that the lesson's definitions make."""
        return {name for source in self.definitions for name in names_made(source)}

    def questions_only(self) -> "ChapterKey":
        """The same without what answers it: all that a worker and a sandbox need."""
        exercises = {number: replace(one, answers="") for number, one in self.exercises.items()}
        return replace(self, exercises=exercises, solutions={}, short={})


def title(key: ChapterKey) -> str:
    """What a chapter is called where it is listed. key: its ChapterKey."""
    return key.title or key.stem.partition("_")[2].replace("_", " ").capitalize()


def vars_of(key: ExerciseKey | ShortQuestion) -> dict[str, Any]:
    """The fields of an ExerciseKey, or of a ShortQuestion, as they are stored."""
    return {name: getattr(key, name) for name in key.__dataclass_fields__}


def pack_questions(cases: Iterable[Case]) -> str:
    """The packed text of a list of cases. Raises WireError where a case is not plain data."""
    return values.pack(values.encode(list(cases)))


def pack_answers(expected: list[Outcome], mistakes: list[Mistake]) -> str:
    """The packed text of the expected outcomes and the Mistakes. An outcome that several mistakes share is stored once,
    and one that is the expected one not again. Raises WireError where an expected value is not plain data."""
    pool: list[Any] = []
    places: dict[str, int] = {}

    def place(outcome: Outcome, right: Outcome) -> int | None:
        form = values.encode_outcome(outcome)
        text = json.dumps(form)
        if text == json.dumps(values.encode_outcome(right)):
            return None
        if text not in places:
            places[text] = len(pool)
            pool.append(form)
        return places[text]

    listed = [[m.name, m.hint, [place(o, right) for o, right in zip(m.outcomes, expected)]] for m in mistakes]
    for outcome in expected:
        values.encode(outcome.value)  # an answer's value may be one that cannot cross, an expected one may not
    return values.pack({"expected": [values.encode_outcome(o) for o in expected], "mistakes": listed, "pool": pool})


def as_text(key: ChapterKey) -> str:
    """A ChapterKey as the text of its file."""
    exercises = {number: vars_of(one) for number, one in key.exercises.items()}
    short = {number: vars_of(one) | {"answer": values.encode(one.answer)} for number, one in key.short.items()}
    fields = {name: getattr(key, name) for name in key.__dataclass_fields__}
    form = {"format": FORMAT, **fields, "exercises": exercises, "short": short}
    return json.dumps({**form, "sha256": checksum(form)}, indent=1, ensure_ascii=False) + "\n"


def checksum(form: dict[str, Any]) -> str:
    """SHA-256 of a key's form, by which its file tells whether it is as it was written."""
    return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()


def from_text(text: str | bytes, name: str, remedy: str) -> ChapterKey:
    """The ChapterKey that `as_text` made a text of, given as text or as its bytes. Raises BadKey, which names the file
    and ends with the remedy."""
    try:
        form = json.loads(text)
        whole = form.pop("sha256", None) == checksum(form)
        version = form.pop("format")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise BadKey(f"{name} is damaged, it is no whole key", remedy) from None
    if version != FORMAT:
        raise BadKey(f"{name} was made by another version of the course (format {version}, not {FORMAT})", remedy)
    if not whole:
        raise BadKey(f"{name} is damaged, it is not as it was written", remedy)
    try:
        exercises = {
            number: ExerciseKey(**one | {"arguments": tuple(one["arguments"]), "hints": tuple(one.get("hints", ()))})
            for number, one in form.pop("exercises").items()
        }
        short = {
            number: ShortQuestion(
                **one | {"answer": values.decode(one["answer"]), "choices": tuple(one.get("choices", ()))}
            )
            for number, one in form.pop("short", {}).items()
        }
        return ChapterKey(exercises=exercises, short=short, **form)
    except (TypeError, KeyError, AttributeError, values.WireError):
        raise BadKey(f"{name} is damaged, a part of the key is missing", remedy) from None


def known() -> list[str]:
    """The numbers of the chapters that have a key, in order."""
    return sorted(path.stem for path in settings.keys_folder().glob("[0-9][0-9].json"))


_loaded: dict[Path, tuple[Any, ChapterKey]] = {}


def load(number: str) -> ChapterKey:
    """The learner's ChapterKey of a chapter. number: "03", "3", or an exercise's, "3.2". Raises BadKey."""
    digits = str(number).split(".")[0]
    chapter = f"{int(digits):02d}" if digits.isascii() and digits.isdigit() else digits
    path = settings.keys_folder() / f"{chapter}.json"
    remedy = f"install the course again, or, where solutions/ is at hand, run: course build {chapter}"
    try:
        stamp = path.stat().st_mtime_ns
        if _loaded.get(path, (None,))[0] != stamp:
            _loaded[path] = (
                stamp,
                from_text(path.read_bytes(), f"{path.parent.name}/{path.name}", remedy),
            )
    except FileNotFoundError:
        there = ", ".join(known())
        if not there:
            raise BadKey(f"there are no keys in {path.parent}", remedy) from None
        raise BadKey(f"there is no chapter {number!r} with a key in {path.parent.name}/; there are: {there}") from None
    except OSError as error:
        raise BadKey(f"{path} cannot be read ({error.strerror})", remedy) from None
    return _loaded[path][1]


def load_exercise(number: str) -> ExerciseKey:
    """The learner's ExerciseKey with this number. Raises BadKey."""
    chapter = load(number)
    if number not in chapter.exercises:
        raise BadKey(f"there is no exercise {number!r}; this chapter has {', '.join(chapter.exercises)}")
    return chapter.exercises[number]
