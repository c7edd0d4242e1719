"""The audit of an exercise: its mutants and the allowed forms of right answers, judged by the learner's key and by
other draws of the cases.

This runs code that loops for ever or fills the memory: `course.authoring.audit` has it done by processes of its own.
"""

import ast
import json
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypedDict

from course.exercises import asking, hints, mutants, values
from course.exercises.asking import Question
from course.exercises.faults import FORMS, Faults
from course.exercises.keys import ExerciseKey
from course.exercises.mutants import Mutant
from course.exercises.outcomes import Case, Outcome, Raised
from course.exercises.specification import Exercise

DRAWS = 20
# Of the processor's time, so that a busy machine changes no verdict.
LEAST_SECONDS = 1.0  # that a mutant has for a case; more where the solution itself is slow
PATIENCE = 30.0  # seconds for what is no call of a mutant
SLOWER = 10  # times as long as the solution's slowest case a mutant may take for one


class Endless(BaseException):
    """A mutant's time is over. No `except Exception` of an answer stops it."""


class Judged(TypedDict):
    """What became of a mutant. home: whether the learner's key accepts it. draws: how many other draws do. hint: what
    its author is told, or ""."""

    home: bool
    draws: int
    hint: str


@dataclass(frozen=True)
class Version:
    """A right answer: the solution (name "") or an alternative. source: of its definition. defined: its name.
    world: the names that it may use."""

    name: str
    source: str
    defined: str
    world: dict[str, Any]

    def make(self, tree: ast.Module) -> tuple[Any, Faults]:
        """The answer that a mutated tree defines, fresh, and its Faults."""
        faults = Faults()
        names = {**self.world, "_fault": faults}
        exec(compile(tree, "<mutant>", "exec"), names)
        return names[self.defined], faults


@dataclass
class Sheet:
    """The cases of one draw, what is expected, and a text for each case that is the same where the case is."""

    cases: list[Case]
    expected: list[Outcome]
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.texts = [json.dumps(values.encode(case)) for case in self.cases]


class Auditor:
    """Judges the mutants of one exercise. spec: its Exercise. key: the learner's ExerciseKey. versions: its right
    answers. watched: told the seconds that the next call may take, before each."""

    def __init__(
        self,
        spec: Exercise,
        key: ExerciseKey,
        versions: list[Version],
        watched: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.spec, self.key, self.versions, self.watched = spec, key, versions, watched
        self.use = Question(key.number, [], key.driver).use()
        self.home = Sheet(key.cases, key.expected)
        draws = [spec.draw_cases(seed) for seed in range(1, DRAWS + 1)]
        known = dict(zip(self.home.texts, key.expected))
        self.draws = []
        for cases in draws:
            sheet = Sheet(cases, [])
            sheet.expected = [known.get(text) or spec.expected(case) for text, case in zip(sheet.texts, cases)]
            known.update(zip(sheet.texts, sheet.expected))
            self.draws.append(sheet)
        self.seconds, slowest = PATIENCE, 0.0
        answer = versions[0].make(ast.parse(versions[0].source))[0]
        for case in self.home.cases:
            began = time.process_time()
            self.ask(answer, case)
            slowest = max(slowest, time.process_time() - began)
        self.seconds = max(LEAST_SECONDS, SLOWER * slowest)

    def planted(self) -> list[tuple[str, Version, Mutant]]:
        """All mutants of all versions: (name, Version, Mutant); that of an alternative names it."""
        return [
            (f"{version.name}: {mutant.name}" if version.name else mutant.name, version, mutant)
            for version in self.versions
            for mutant in mutants.mutants(version.source)
        ]

    def ask(self, answer: Any, case: Case) -> Outcome:
        """The Outcome of an answer on a case, within its time."""
        self.watched(self.seconds)
        signal.setitimer(signal.ITIMER_PROF, self.seconds, 0.5)  # again, where a mutant catches everything
        try:
            with warnings.catch_warnings(action="ignore"):
                return asking.run(self.use, answer, case)
        except Endless as error:  # which came just after the call
            return Outcome(raised=Raised.of(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.watched(PATIENCE)

    def judged(self, version: Version, mutant: Mutant) -> Judged | None:
        """What becomes of a mutant: None where it is none (see `faults`), else Judged."""
        try:
            answer, faults = version.make(mutant.tree)
            outcomes = []
            for case in self.home.cases:
                outcomes.append(self.ask(answer, case))
                if _endless(outcomes[-1]):
                    return {"home": False, "draws": 0, "hint": ""}
        except Exception:  # it cannot even be defined
            return {"home": False, "draws": 0, "hint": ""}
        if faults.idle:
            return None
        problems = self.key.differences(outcomes)
        failed = {text for text, problem in zip(self.home.texts, problems) if problem}
        likely = next((i for i, problem in enumerate(problems) if problem), 0)
        accepted = 0
        for sheet in self.draws:
            if not mutant.remembers and failed.intersection(sheet.texts):
                continue  # the same case is asked here
            right = self.accepts(version.make(mutant.tree)[0], sheet, 0 if mutant.remembers else likely)
            if right is None:
                break
            accepted += right
        hint = hints.diagnose(self.key, outcomes) if failed else ""
        return {"home": not failed, "draws": accepted, "hint": hint}

    def accepts(self, answer: Any, sheet: Sheet, first: int = 0) -> bool | None:
        """Whether an answer is right on all cases of a Sheet, asked from the position `first` on; None where it does
        not end."""
        order = [*range(first, len(sheet.cases)), *range(min(first, len(sheet.cases)))]
        for i in order:
            got = self.ask(answer, sheet.cases[i])
            if _endless(got):
                return None
            if got.differs(sheet.expected[i], self.spec.rtol, self.spec.atol):
                return False
        return True

    def refused_forms(self) -> list[str]:
        """The forms of right answers that are not accepted: "by_counting as lists"."""
        found = []
        for version in self.versions:
            for form in ["", *FORMS]:
                tree = mutants.with_result(version.source, form) if form else ast.parse(version.source)
                said = f"{version.name or 'the solution'}{' as ' + form.replace('_', ' ') if form else ''}"
                if form.replace("_", " ") in self.spec.forbidden:
                    continue
                for sheet in (self.home, *self.draws) if not form else (self.home, self.draws[0]):
                    if not self.accepts(version.make(tree)[0], sheet):
                        found.append(said)
                        break
        return found


def _endless(outcome: Outcome) -> bool:
    return outcome.raised is not None and outcome.raised.names[0] == Endless.__name__


def raise_endless(*_: object) -> NoReturn:
    """The handler of SIGPROF."""
    raise Endless


def versions(spec: Exercise, source: str, defined: str, world: dict[str, Any], grading: str) -> list[Version]:
    """The Versions of an exercise: the solution, and each answer under @ex.right with the names of its grading cell.

    source: of the answer cell. defined: the name that it defines. world: the names of the lesson's definitions.
    grading: the text of the grading cell.
    """
    found = [Version("", source, defined, world)]
    grading_world = getattr(spec.draw, "__globals__", {})
    for node in ast.parse(grading).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        if any(getattr(one, "attr", "") == "right" for one in node.decorator_list):
            node.decorator_list = []
            found.append(Version(node.name, ast.unparse(node), node.name, grading_world))
    return found
