"""The systems that take grades and feedback back: what they know a student by, and what feedback must be called."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from course.classroom.layout.patterns import PATTERNS

SYSTEMS = ("Moodle", "Canvas")


@dataclass(frozen=True)
class Origin:
    """Where a submission came from. system: one of SYSTEMS. id: the student's, as it has it. prefix: with which the
    name of a feedback file must begin."""

    system: str
    id: str
    prefix: str


def origin(path: str) -> Origin | None:
    """The Origin that a submission's path below the folder of a class tells of, or None."""
    for part in PurePosixPath(path).parts:
        for pattern in PATTERNS:
            if pattern.system in SYSTEMS and pattern.named and (found := pattern.named.fullmatch(part)):
                return Origin(pattern.system, found["id"], _prefix(pattern.system, part, found))
    return None


def _prefix(system: str, part: str, found: re.Match[str]) -> str:
    if system == "Moodle":  # as a feedback file: the same one uploaded twice is then known to be the same
        return f"{found['name']}_{found['id']}_assignfeedback_file_"
    return part[: found.start("rest")]  # Canvas wants the number of the file that was handed in
