"""What is found in a class's folder."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


class LayoutError(ValueError):
    """A folder or zip whose students cannot be told; the message says why, and what to do."""


@dataclass(frozen=True)
class Submission:
    """One student's notebook of one chapter.

    chapter: its number, "03". path: the file to read, which may be broken, empty or too large. shown: its name below
    the folder that was read, for people. submitted: an aware datetime. notes: sentences about how it was found, each
    a reason to look at it. problem: why there is nothing to grade, or "".

    What the system that it was handed in to says, where it does: system: which; name, login, id, mail: the student's;
    attempts: how many there were; late: that it came late. timed: whether `submitted` is when it was handed in, and
    not when a download was packed.
    """

    student: str
    chapter: str
    path: Path
    shown: str
    submitted: datetime
    notes: tuple[str, ...] = ()
    problem: str = ""
    system: str = ""
    name: str = ""
    login: str = ""
    id: str = ""
    mail: str = ""
    attempts: int = 1
    late: bool = False
    timed: bool = True

    def described(self) -> dict[str, Any]:
        """What of it a stored result holds, as plain data."""
        return {
            "student": self.student,
            "chapter": self.chapter,
            "file": self.shown,
            "submitted": self.submitted.isoformat(),
            "notes": list(self.notes),
            **{name: getattr(self, name) for name in KEPT},
        }


KEPT = ("system", "name", "login", "id", "mail", "attempts", "late", "timed")


@dataclass(frozen=True)
class Unread:
    """Something that was found and not taken for a submission. path: as shown to people. reason: in words."""

    path: str
    reason: str


@dataclass
class Found:
    """submissions: one for each student and chapter. unread: what was not taken for one. remarks: sentences for the
    instructor that hold for the class. All in order."""

    submissions: list[Submission] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
