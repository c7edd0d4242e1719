"""The names that learning platforms give to what students hand in, and under which they take feedback back."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

# Of a file or folder in a download. Moodle takes feedback under a name with the participant's number, Canvas under one
# with the numbers of the user and of the file that was handed in.
NAMES = {
    "moodle": re.compile(r"(?P<name>[^_/]*)_(?P<id>\d+)_assign(?:submission|feedback)_[a-z]+(?:_.*)?", re.DOTALL),
    "canvas": re.compile(
        r"(?P<name>[^_/]+(?:_LATE)?)_(?P<id>\d+|(?<=anon_)\w{5}|(?<=anon_LATE_)\w{5})_(?P<file>\d+)_(?P<rest>.+)",
        re.DOTALL | re.IGNORECASE,
    ),
}


@dataclass(frozen=True)
class Origin:
    """Where a submission came from. lms: a key of NAMES. id: the student's, as the LMS has it. prefix: with which the
    name of a feedback file must begin."""

    lms: str
    id: str
    prefix: str


def origin(path):
    """The Origin that a submission's path below the folder of a class tells of, or None."""
    for part in PurePosixPath(path).parts:
        if found := NAMES["moodle"].fullmatch(part):
            # As a feedback file: the same one uploaded twice is then known to be the same.
            return Origin("moodle", found["id"], f"{found['name']}_{found['id']}_assignfeedback_file_")
        if found := NAMES["canvas"].fullmatch(part):
            return Origin("canvas", found["id"], f"{found['name']}_{found['id']}_{found['file']}_")
    return None
