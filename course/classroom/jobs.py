"""What goes to a worker and what comes back, as it is in JSON: `worker` reads jobs and writes reports, `workers` and
`cluster` carry both, `runner` makes and judges them."""

from typing import Any, TypedDict


class Asked(TypedDict):
    """The part of a job that all submissions of a chapter share. key: the class's key as text, without what answers it.
    public: the learner's questions, packed, by exercise."""

    key: str
    public: dict[str, str]


class Job(TypedDict):
    """The rest of a job: one notebook. path: of the submission. exercises: those to grade. cell_seconds, seconds: time
    for one cell, and for all together."""

    path: str
    exercises: list[str]
    cell_seconds: float
    seconds: float


class FullJob(Asked, Job):
    """A job, as a worker takes it."""


class Ran(TypedDict):
    """What came of one exercise. state, message, note, seconds: as in `grading.plugin.Verdict`. evidence: what the
    check handed over, as untrusted as its sender. untouched: whether the answer is still the blank one."""

    state: str
    message: str
    note: str
    seconds: float
    evidence: Any
    untouched: bool


class RanTwice(Ran):
    """The same of the cases that everybody sees. secret: of the class's cases, or None where these were not asked."""

    secret: Ran | None


class Report(TypedDict):
    """What came of a job. status: "ran", "invalid" (the file) or "fault" (the grader). reason: why, or "". exercises:
    by number. answers: the sources that were run, by number."""

    status: str
    reason: str
    exercises: dict[str, RanTwice]
    answers: dict[str, str]
    seconds: float
