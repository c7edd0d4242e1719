"""Judging what a sandbox handed over, with the class's key.

A check that runs in the sandbox hands over what the answer gave; the verdict is made here, outside. It does not matter
whether the process that handed the values over was honest: right values for secret cases can only come from a right
answer.
"""

from dataclasses import dataclass
from typing import Any

from course.exercises import judging, values
from course.exercises.hints import diagnose
from course.exercises.keys import ExerciseKey

MOST_LETTERS = 3000  # of what a learner is shown of one answer


@dataclass
class Judgement:
    """What a key says of evidence. right, of: cases. hint: of the known mistake, or "". text: what a learner is shown,
    or ""."""

    state: str
    right: int
    of: int
    hint: str = ""
    text: str = ""


def judge(key: ExerciseKey, evidence: Any) -> Judgement:
    """Judge evidence, which may be anything at all: a form that `asking.hand_over` did not make is simply not right.
    key: an ExerciseKey."""
    count = key.count
    try:
        handed_over = [values.decode_outcome(form) for form in _listed(evidence, count)]
    except values.WireError:
        return Judgement("wrong", 0, count, hint="the check handed over something that is no result")
    outcomes = key.question.measured(handed_over)
    judged = judging.judge(key, outcomes)
    if judged.state in ("passed", "open"):
        return Judgement(judged.state, judged.right, count)
    if judged.first is None:
        return Judgement("wrong", 0, count, hint="the check did not hand over a result for each case")
    name = evidence.get("name")
    name = name[:80] if isinstance(name, str) and name.isidentifier() else "answer"
    text = judging.explain(key, judged, outcomes, name, hints=False)[0][:MOST_LETTERS]
    return Judgement(judged.state, judged.right, count, diagnose(key, outcomes), text)


def _listed(evidence: Any, count: int) -> list[Any]:
    listed = evidence.get("cases") if isinstance(evidence, dict) else None
    if not isinstance(listed, list) or len(listed) > count:
        raise values.WireError("not a list of outcomes")
    return listed
