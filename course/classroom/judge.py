"""Judging in a process of its own: what a sandbox handed over may be made to break whoever looks at it.

The process holds the class's keys, and has limits on memory and time. Whatever breaks it is wrong, and the next answer
meets a new one.
"""

import dataclasses
import resource
from typing import Any, Self

from course.classroom import processes
from course.classroom.evidence import Judgement, judge
from course.exercises import keys
from course.exercises.keys import ChapterKey

SECONDS = 30  # to judge one answer, which takes milliseconds
START_SECONDS = 60
MEMORY_MB = 1500
TOO_MUCH = "what it gave could not be judged: it is too large, or would take too long to compare"


class Judge:
    """Judges answers with some ChapterKeys, a dict from whatever names them. A context manager."""

    def __init__(self, given: dict[str, ChapterKey]) -> None:
        self.keys = given
        self.process: processes.Process | None = None
        self.setup = {name: keys.as_text(key) for name, key in given.items()}

    def judge(self, name: str, number: str, evidence: Any) -> Judgement:
        """The Judgement on one answer's evidence, which may be anything at all. name: the key's; number: the
        exercise's."""
        try:
            if self.process is None:
                self.process = processes.Process(__name__, self.setup)
                self.process.receive(START_SECONDS)
            self.process.send([name, number, evidence])
            return Judgement(**self.process.receive(SECONDS))
        except processes.Lost:
            self.close()
            return Judgement("wrong", 0, self.keys[name].exercises[number].count, hint=TOO_MUCH)

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.close()
            self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """Serve requests from the standard input: the first message holds the keys, each further one is a key's name, an
    exercise's number and what was handed over."""
    answer, told = processes.answerer(), processes.messages()
    given = {name: keys.from_text(text, "the grader's key", "grade again") for name, text in next(told).items()}
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB * 2**20, MEMORY_MB * 2**20))
    answer({"ready": True})
    for name, number, evidence in told:
        key = given[name].exercises[number]
        try:
            judged = judge(key, evidence)
        except Exception:  # MemoryError, RecursionError and whatever else a value can be made to raise
            judged = Judgement("wrong", 0, key.count, hint=TOO_MUCH)
        answer(dataclasses.asdict(judged))


if __name__ == "__main__":
    main()
