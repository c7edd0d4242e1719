"""Judging what a sandbox handed over, with the class's key.

A check that runs in the sandbox hands over what the answer gave; the verdict is made here, outside. It does not matter
whether the process that handed the values over was honest: right values for secret cases can only come from a right
answer.
"""

from dataclasses import dataclass

from course.exercises import judging, values
from course.exercises.hints import diagnose


@dataclass
class Judgement:
    """What the key says of a submission's evidence. right, of: secret cases. hint: of the known mistake, or "".
    public: the explanation on a case that every learner can see, or ""."""

    state: str
    right: int
    of: int
    hint: str = ""
    public: str = ""


def judge(secret, public, evidence):
    """Judge evidence, which may be anything at all: a form that `asking.hand_over` did not make is simply not right.

    secret, public: the ExerciseKeys of the class and of the learner.
    """
    count = secret.count
    try:
        outcomes = [values.decode_outcome(form) for form in _listed(evidence, "cases", count)]
        shown = [values.decode_outcome(form) for form in _listed(evidence, "public", None)]
    except values.WireError:
        return Judgement("wrong", 0, count, hint="the check handed over something that is no result")
    judged = judging.judge(secret, outcomes)
    if judged.state in ("passed", "open"):
        return Judgement(judged.state, judged.right, count)
    if judged.first is None:
        return Judgement("wrong", 0, count, hint="the check did not hand over a result for each case")
    return Judgement(
        judged.state, judged.right, count, diagnose(secret, outcomes), _public_explanation(public, evidence, shown)
    )


def _listed(evidence, key, count):
    listed = evidence.get(key, []) if isinstance(evidence, dict) else []
    if not isinstance(listed, list) or len(listed) > max(count or 0, 10_000):
        raise values.WireError("not a list of outcomes")
    return listed


def _public_explanation(public, evidence, outcomes):
    judged = judging.judge(public, outcomes)
    if judged.first is None:
        return ""
    name = evidence.get("name")
    name = name if isinstance(name, str) and name.isidentifier() else "answer"
    return judging.explain(public, judged, outcomes, name, hints=False)[0]
