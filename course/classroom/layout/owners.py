"""A student's notebooks as they are read, and whose they are."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from course.classroom.layout.archives import Trouble
from course.classroom.layout.levels import Place
from course.classroom.layout.patterns import MINUTE, Named
from course.classroom.layout.tree import File

MOST_ENTRIES = 10_000  # folders, notebooks and zips of one student
MOST_NAMES = 200_000  # files of any kind of one student
MOST_NOTEBOOKS = 500  # notebooks of one student
MOST_BYTES = 200 * 2**20  # unpacked for one student


@dataclass(eq=False)
class Owner:
    """Whose the files of one folder, zip or file are, and how much of them may still be read. folder: its name, of a
    folder. lost: why something of it could not be read, or ""."""

    named: Named
    student: str
    place: Place
    folder: str = ""
    shown: str = ""
    bytes: int = field(default_factory=lambda: MOST_BYTES)
    entries: int = field(default_factory=lambda: MOST_ENTRIES)
    names: int = field(default_factory=lambda: MOST_NAMES)
    notebooks: int = field(default_factory=lambda: MOST_NOTEBOOKS)
    left_out: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost: str = ""
    chapter: str | None = None
    own: bool = False
    when: datetime | None = None

    def spend(self, size: int) -> None:
        """Take down what was unpacked. Raises Trouble where that is too much."""
        self.bytes -= size
        if self.bytes < 0:
            raise Trouble(f"this student's files unpack to more than {MOST_BYTES // 2**20} MB")

    @property
    def system(self) -> str:
        return self.named.system

    @property
    def packing(self) -> float:
        return self.named.pattern.packing if self.named.pattern else MINUTE

    @property
    def late(self) -> bool:
        return self.named.late

    @property
    def container(self) -> str:
        return self.place.container


@dataclass(eq=False)
class Candidate:
    """A notebook with a chapter. weak: recognised by a number or a folder only, so that any other goes before it.
    wrong: what contradicts what, or "". ours: how it is known to be the course's own, or "". stated: whether its time
    was stated by the system that it was handed in to. timed: whether that is the time of handing in."""

    owner: Owner
    chapter: str
    path: Path
    entry: File
    notes: list[str]

    weak: bool = False
    wrong: str = ""
    ours: str = ""
    stated: bool = False
    timed: bool = True
