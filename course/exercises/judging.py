"""Judging: a key and an answer's outcomes in, a verdict and its explanation out."""

from collections.abc import Collection
from dataclasses import dataclass

from course.exercises.hints import absent, diagnose
from course.exercises.keys import ExerciseKey
from course.exercises.outcomes import Outcome, is_open
from course.exercises.showing import readable, shown

OPEN = "○"
PASSED = "✓"
FAILED = "✗"


@dataclass(frozen=True)
class Judgement:
    """What a key says of an answer's outcomes. state: "passed", "wrong", "crashed" or "open". right, of: cases.
    first: the position of the first case that is not right, and problem: how its outcome differs; None and "" where
    all are."""

    state: str
    right: int
    of: int
    first: int | None = None
    problem: str = ""


def judge(key: ExerciseKey, outcomes: list[Outcome]) -> Judgement:
    """The Judgement of the outcomes that `asking.ask` took down, or that claim to be such. key: an ExerciseKey."""
    count = len(key.expected)
    if is_open(outcomes):
        return Judgement("open", 0, count)
    if len(outcomes) != count:
        return Judgement("wrong", 0, count, problem="did not hand over a result for each case")
    problems = key.differences(outcomes)
    right = problems.count(None)
    if right == count:
        return Judgement("passed", count, count)
    first, problem = next((i, problem) for i, problem in enumerate(problems) if problem)
    crashed = outcomes[first].raised and not key.expected[first].raised
    return Judgement("crashed" if crashed else "wrong", right, count, first, problem)


def still_open(number: str, broken: bool = False) -> str:
    """What a learner reads of an exercise without an answer. broken: whether it begins with code to be mended."""
    what = "find what is wrong with the cell above, mend it" if broken else "write your answer in the cell above"
    return f"exercise {number} {OPEN} still open: {what} and run it"


def explain(
    key: ExerciseKey,
    judgement: Judgement,
    outcomes: list[Outcome],
    name: str,
    printed: str = "",
    hints: bool = True,
    lesson: Collection[str] = (),
) -> tuple[str, str]:
    """What a learner reads of a Judgement, and the hint in it: (text, hint or "").

    name: of the answer. printed: what it printed. hints: whether to look for one. lesson: the names that the lesson's
    definitions make, where they may be missing.
    """
    number = key.number
    if judgement.state == "passed":
        return f"exercise {number} {PASSED} {judgement.of} cases", ""
    if judgement.state == "open":
        return still_open(number), ""
    lines = [f"exercise {number} {FAILED} {judgement.right} of {judgement.of} cases right; the first that is not:"]
    if judgement.first is None:
        return f"exercise {number} {FAILED} the answer {judgement.problem}", ""
    before, call, said = shown(key, judgement.first, name)
    call, problem = [*before, *call], readable(judgement.problem)
    call = [*call, problem] if len(call) > 1 else [f"{call[0]} {problem}"]
    lines += [f"  {line}" for line in call]
    lines += [f"    where {said}"] if said else []
    raised = outcomes[judgement.first].raised
    if judgement.state == "crashed" and raised:
        lines += [f"    {line}" for line in raised.where]
    hint = absent([outcomes[judgement.first]], lesson) or (diagnose(key, outcomes) if hints else "")
    if hint:
        lines.append(f"  hint: {hint}")
    if printed:
        lines += ["  your code printed:", *(f"    {line}" for line in printed.splitlines()[:10])]
    return "\n".join(lines), hint
