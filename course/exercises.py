"""Exercises: how an author specifies one, and how `check` judges an answer to it.

The specification stands in the chapter's source, in a cell tagged "grading" that reaches neither notebook:

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

A wrong answer serves twice: as a test (it must fail) and as a diagnosis (an answer that gives the same values on the
same cases has made the same mistake, and its docstring is the hint).
"""

import contextlib
import inspect
import io
import linecache
import os
import re
import textwrap
import traceback
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from course import settings
from course.comparing import compare, describe, describe_call, plain

# Where the chapters' sources are; an author of other chapters, or a test, may point elsewhere.
SOLUTIONS = Path(os.environ.get("COURSE_SOLUTIONS") or Path(__file__).resolve().parent.parent / "solutions")
PRINTED_LIMIT = 2_000  # characters of an answer's own printing that a failed check shows
WIDTH = 92  # columns that a notebook shows without breaking a line in the middle of a word
OPEN = "○"
PASSED = "✓"
FAILED = "✗"


class ExerciseError(Exception):
    """A fault of the specification or of the call of `check`, not of an answer."""


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


@dataclass(frozen=True)
class Raised:
    """An exception, as far as it is judged and shown. names: its class and the classes above it; message: its first
    line; where: the lines of the answer's own code that it passed through."""

    names: tuple
    message: str = ""
    where: tuple = ()

    @classmethod
    def of(cls, error):
        names = tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException))
        name = getattr(error, "name", None)
        text = str(name if isinstance(error, NameError) and name else error).strip()
        return cls(names, (text.splitlines() or [""])[0][:200], tuple(_where(error)))

    def __str__(self):
        said = f"name {self.message!r} is not defined" if self.names[0] == "NameError" else self.message
        return f"{self.names[0]}{': ' + said if said else ''}"


@dataclass
class Outcome:
    """What one call gave: a value (tensors as arrays), or the exception it raised."""

    value: object = None
    raised: Raised | None = None

    def differs(self, expected, rtol, atol):
        """None where this outcome is as expected, else a phrase that says how it is not."""
        if expected.raised:
            name = expected.raised.names[0]
            if self.raised and name in self.raised.names:
                return None
            return (
                f"raised {self.raised}" if self.raised else f"gave {describe(self.value)}"
            ) + f"; it must raise {name}"
        if self.raised:
            return f"raised {self.raised}"
        problem = compare(self.value, expected.value, rtol, atol)
        return f"gave {problem}" if problem else None


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
    draw: object = None
    judge: object = None
    use: object = None
    wrong_answers: list = field(default_factory=list)
    right_answers: list = field(default_factory=list)
    known: dict = field(default_factory=dict)

    def cases(self, function):
        """Decorator: function(rng) yields the cases, each a tuple of arguments."""
        self.draw = function
        return function

    def oracle(self, function):
        """Decorator: function(*case) gives the expected value, or raises what an answer must raise. A learner reads
        its arguments' names where a case failed, so each has one."""
        if any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()):
            raise ExerciseError(f"exercise {self.number}: the oracle must name each of its arguments, without a *")
        self.judge = function
        return function

    def drive(self, function):
        """Decorator: function(answer, *case) puts an answer to use; without it, answer(*case) does."""
        self.use = function
        return function

    def wrong(self, function):
        """Decorator: a plausible wrong answer; its docstring is the hint for whoever makes this mistake."""
        if not (function.__doc__ or "").strip():
            raise ExerciseError(
                f"exercise {self.number}: wrong answer {function.__name__} has no docstring to hint with"
            )
        self.wrong_answers.append(function)
        return function

    def right(self, function):
        """Decorator: a correct answer, written otherwise than the solution."""
        self.right_answers.append(function)
        return function

    def draw_cases(self, seed=0):
        """The list of cases for a seed; seed 0 is what a learner sees."""
        import numpy as np

        rng = np.random.default_rng([seed, zlib.crc32(self.number.encode())])
        cases = [case if isinstance(case, tuple) else (case,) for case in self.draw(rng)]
        if not cases:
            raise ExerciseError(f"exercise {self.number}: its generator yields no case")
        return cases

    def run(self, answer, case):
        """The Outcome of one answer on one case. The answer gets copies of the arrays, so a case cannot be changed."""
        case = tuple(_fresh(argument) for argument in case)
        try:
            return Outcome(plain(self.use(answer, *case) if self.use else answer(*case)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: an answer that calls exit() has failed, not finished
            return Outcome(raised=Raised.of(error))

    def run_wrong(self, wrong, position, case):
        """The Outcome of a known wrong answer on the case at this position for seed 0; run once, then remembered."""
        if (wrong, position) not in self.known:
            with contextlib.redirect_stdout(io.StringIO()):
                self.known[wrong, position] = self.run(wrong, case)
        return self.known[wrong, position]

    def run_all(self, answer, cases):
        """The Outcomes on all cases, or on the first only where the exercise is still open; and what was printed."""
        printed, outcomes = _Bounded(PRINTED_LIMIT), []
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            for case in cases:
                outcomes.append(self.run(answer, case))
                if is_open(outcomes):
                    break
        return outcomes, printed.text

    def expected(self, case):
        """The Outcome that an answer must have on this case."""
        try:
            return Outcome(plain(self.judge(*(_fresh(argument) for argument in case))))
        except Exception as error:
            return Outcome(raised=Raised.of(error))

    def differences(self, outcomes, expected):
        """For each case None, or how its outcome differs from the expected one."""
        return [got.differs(want, self.rtol, self.atol) for got, want in zip(outcomes, expected)]


_loading = []


def exercise(number, *, rtol=1e-5, atol=1e-6, start=None):
    """Begin the specification of an exercise, in a cell tagged "grading"; see the module's text."""
    spec = Exercise(number, rtol, atol, start)
    _loading.append(spec)
    return spec


def chapter_source(number, folder=None):
    """The path of the chapter's source, `solutions/NN_topic.py`, for a chapter or exercise number such as "3.2"."""
    folder = SOLUTIONS if folder is None else Path(folder)
    digits = str(number).split(".")[0]
    found = sorted(folder.glob(f"{int(digits):02d}_*.py")) if digits.isascii() and digits.isdigit() else []
    if len(found) != 1:
        known = ", ".join(path.stem for path in sorted(folder.glob("[0-9][0-9]_*.py"))) or "none"
        raise ExerciseError(f"there is no chapter {number!r} in {folder.name}/; the chapters are: {known}")
    return found[0]


def grading_cells(path):
    """The cells tagged "grading" of a chapter's source: a list of (number of the first line, text)."""
    text = Path(path).read_text(encoding="utf-8")
    marks = list(re.finditer(r"(?m)^# %%(.*)\n", text)) + [re.search(r"\Z", text)]
    return [
        (text.count("\n", 0, here.end()) + 1, text[here.end() : after.start()])
        for here, after in zip(marks, marks[1:])
        if re.search(r'tags=\[[^\]]*"grading"', here[1])
    ]


_specs = {}


def specifications(chapter, folder=None):
    """All exercises of a chapter, a dict from number to Exercise, in the order in which they stand."""
    path = chapter_source(chapter, folder)
    stamp = path.stat().st_mtime_ns
    if _specs.get(path, (None,))[0] != stamp:
        specs = {}
        for line, text in grading_cells(path):
            _loading.clear()
            if re.search(r"^\s*(import|from) keras", text, re.MULTILINE):
                settings.import_keras()
            # Compiled under the source's own name and lines, so that a traceback points where the author can look.
            exec(compile("\n" * (line - 1) + text, str(path), "exec"), {"__name__": f"grading_{path.stem}"})
            specs.update({spec.number: spec for spec in _loading})
        _specs[path] = stamp, specs
    return _specs[path][1]


def specification(number):
    """The Exercise with this number."""
    specs = specifications(number)
    if number not in specs:
        raise ExerciseError(f"there is no exercise {number!r}; this chapter has {', '.join(specs)}")
    return specs[number]


def check(number, answer):
    """Judge an answer to an exercise; print `exercise 3.2 ✓ 24 cases` or raise Unsolved with what is wrong.

    number: the exercise's number, such as "3.2". answer: the function or class itself, not its result.
    What the answer prints is kept out of the way, and shown only where it fails.
    """
    if questions := os.environ.get("COURSE_QUESTIONS"):  # in an instructor's sandbox: hand over, and judge outside
        from course.classroom.sealing import hand_over

        return hand_over(number, answer, questions)
    spec = specification(number)
    if not callable(answer):
        raise Unsolved(
            f"exercise {number} {FAILED} check needs the function itself, and got {describe(answer)}\n"
            f"  hint: write check({number!r}, name), without calling it",
            "wrong",
        )
    cases = spec.draw_cases()
    outcomes, printed = spec.run_all(answer, cases)
    if is_open(outcomes):
        raise Unsolved(f"exercise {number} {OPEN} still open: write your answer in the cell above and run it", "open")
    expected = [spec.expected(case) for case in cases]
    if not any(spec.differences(outcomes, expected)):
        print(f"exercise {number} {PASSED} {len(cases)} cases")
        return
    name = getattr(answer, "__name__", "answer")
    raise explain(spec, name, cases, outcomes, expected, lambda wrong, i: spec.run_wrong(wrong, i, cases[i]), printed)


def is_open(outcomes):
    """Whether an answer is still the stub that the learner was given."""
    last = outcomes[-1].raised
    return bool(last) and last.names[0] == "NotImplementedError" and not last.message


def explain(spec, name, cases, outcomes, expected, run=None, printed=""):
    """The Unsolved exception for an answer with differences: the first one in words, and a hint.

    name: of the answer. run: run(wrong_answer, i) gives a known wrong answer's Outcome on case i; None for no hint.
    """
    problems = spec.differences(outcomes, expected)
    first = next(i for i, problem in enumerate(problems) if problem)
    crashed = outcomes[first].raised and not expected[first].raised
    lines = [
        f"exercise {spec.number} {FAILED} {problems.count(None)} of {len(cases)} cases right; the first that is not:",
        f"  {describe_call(spec.judge, cases[first], name)} {problems[first]}",
    ]
    if crashed:
        lines += [f"    {line}" for line in outcomes[first].raised.where]
    hint = diagnose(spec, outcomes, expected, run) if run else ""
    if hint:
        lines.append(f"  hint: {hint}")
    if printed:
        lines += ["  your code printed:", *(f"    {line}" for line in printed.splitlines()[:10])]
    return Unsolved("\n".join(lines), "crashed" if crashed else "wrong", hint)


def diagnose(spec, outcomes, expected, run):
    """The hint for a failed answer, or "": that of the known wrong answer that behaves the same, else one drawn from
    the shape of the difference."""
    best, most = "", 0
    failing = [i for i, problem in enumerate(spec.differences(outcomes, expected)) if problem]
    for wrong in spec.wrong_answers:
        agree = 0
        for done, i in enumerate(failing, start=1):
            agree += _same(run(wrong, i), outcomes[i], spec)
            could = agree + len(failing) - done
            # A mistake made twice over agrees on some cases only; half of the failing ones is more than chance.
            if could <= most or 2 * could < len(failing):
                break  # running it on the others may take long, and could not make it the best
        else:
            best, most = " ".join(wrong.__doc__.split()), agree
            if most == len(failing):
                break
    if best:
        return best
    hints = [_general_hint(outcomes[i], expected[i], spec) for i in failing]
    # What the first case shows may be an accident of its values, so half of the cases must show the same.
    kinds = [re.sub(r"-?\d[\d.e+-]*", "#", hint) for hint in hints]
    return hints[0] if 2 * kinds.count(kinds[0]) >= len(kinds) else ""


def _same(one, other, spec):
    if one.raised or other.raised:
        return bool(one.raised and other.raised) and one.raised.names == other.raised.names
    return compare(one.value, other.value, spec.rtol, spec.atol) is None


def _general_hint(got, expected, spec):
    """A hint that knows nothing of the exercise, only the two values."""
    import numpy as np

    if got.raised:
        if got.raised.names[0] == "UnboundLocalError":
            return "a name that the function gives a value to is used before it has one"
        if "NameError" in got.raised.names:
            return f"{got.raised.message} is defined neither in the answer's own cell nor in the lesson"
        if "SystemExit" in got.raised.names:
            return "exit() and quit() end the whole program; use return"
        return ""
    if expected.raised:
        return "look at the Raises line of the docstring: some inputs must be refused"
    if got.value is None:
        return "a function without a return statement gives None"
    with contextlib.suppress(Exception):
        g, e = np.asarray(got.value, float), np.asarray(expected.value, float)
        if g.shape != e.shape:
            if g.shape == e.shape[::-1]:
                return "the axes are in reverse order"
            if sorted(g.shape) == sorted(e.shape):
                return "the sizes are right but the axes are in another order"
            return ""

        def alike(a, b):
            return np.allclose(a, b, rtol=spec.rtol, atol=spec.atol)

        if g.size and not np.isfinite(g).all() and np.isfinite(e).all():
            return "there are values that are not finite: look for a division by 0, a log of 0 or an overflow"
        if np.array_equal(g, e):
            return "the numbers are right, but not their type; whole numbers, for one, are no floats"
        if alike(g, e):
            return ""  # large whole numbers that differ by little: no words below fit
        if np.abs(e).max(initial=0) > 0:
            if alike(g, -e):
                return "every value has the wrong sign"
            if g.ndim == 2 and g.shape[0] == g.shape[1] and alike(g.T, e):
                return "the result is transposed: rows and columns are exchanged"
            for axis in range(g.ndim):
                if alike(np.flip(g, axis), e):
                    return f"the result is reversed along axis {axis}"
            if g.size > 1:
                ratio = float((g * e).sum() / (e * e).sum())
                if ratio and alike(g, ratio * e):
                    return f"every value is {ratio:.4g} times what it should be"
                if alike(g - e, (g - e).mean()):
                    return f"every value is off by {float((g - e).mean()):.4g}"
    return ""


def _where(error):
    """The lines of the learner's own code that an exception passed through, innermost last, at most three."""
    here = str(Path(__file__).resolve().parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(here)]
    own = [f for f in frames if "ipykernel" in f.filename or f.filename.startswith("<")] or frames[:1]
    if isinstance(error, SyntaxError):
        return []
    lines = []
    for frame in own[-3:]:
        code = frame.line or linecache.getline(frame.filename, frame.lineno).strip()
        lines.append(f"line {frame.lineno} of {frame.name}: {code}")
    return lines


def _fresh(argument):
    """A copy of a case's argument, as far as it is made of arrays and containers of arrays."""
    import numpy as np

    if isinstance(argument, np.ndarray):
        return argument.copy()
    if isinstance(argument, dict):
        return {key: _fresh(value) for key, value in argument.items()}
    if isinstance(argument, list):
        return [_fresh(value) for value in argument]
    if type(argument) is tuple:
        return tuple(_fresh(value) for value in argument)
    return argument


class _Bounded(io.TextIOBase):
    """A text stream that keeps the first `limit` characters and drops the rest."""

    def __init__(self, limit):
        self.limit, self.text = limit, ""

    def writable(self):
        return True

    def write(self, text):
        self.text += text[: self.limit - len(self.text)]
        return len(text)
