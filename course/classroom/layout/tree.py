"""One view of files in a folder and of those in a zip, so that both are read alike."""

import itertools
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from course.classroom.layout.archives import member_names
from course.classroom.layout.texts import printable

MOST_DEPTH = 25  # folders in folders
MOST_LETTERS = 255  # of a name in a zip, as on a disk
MOST_NAMES = 200_000  # of one folder that are looked at
MOST_KEPT = 1_000  # names of one folder that are remembered while the students' folders are looked for
EPOCH = datetime.fromtimestamp(0, UTC)
SILENT = {"__MACOSX", "Thumbs.db", "desktop.ini"}
ENVIRONMENTS = {"site-packages", "node_modules", "__pycache__"}  # nothing of a student's own is in one
MARKS = {"pyvenv.cfg", "conda-meta"}  # nor in a folder that holds one of these
KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed: hand in the file itself",
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


@dataclass(eq=False)
class File:
    """A file that was found. names: below the folder that is read. inner: the time that a student's own zip gives,
    which only orders the files of that student. member: (archive, its entry), where it is not yet unpacked."""

    names: tuple[str, ...]

    when: datetime
    path: Path | None = None
    member: tuple[ZipFile, ZipInfo] | None = None
    inner: datetime = EPOCH

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def shown(self) -> str:
        return printable("/".join(self.names))


@dataclass
class Listing:
    """What stands in a folder, in the order of the names. refused: pairs of a name for people and a reason. cut:
    whether there is more. environment: whether it is one of Python's or Node's. git: whether it is a repository."""

    files: list[File] = field(default_factory=list)
    folders: "list[Folder]" = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    cut: bool = False
    environment: bool = False
    git: bool = False

    def __len__(self) -> int:
        return len(self.files) + len(self.folders) + len(self.refused)


class Folder:
    """A folder on a disk. names: below the folder that is read."""

    def __init__(self, path: Path | str, names: tuple[str, ...] = ()) -> None:
        self.path, self.names = Path(path), tuple(names)
        self._listing: Listing | None = None

    @property
    def name(self) -> str:
        return self.names[-1] if self.names else self.path.name

    @property
    def shown(self) -> str:
        return printable("/".join(self.names) or str(self.path))

    def listing(self) -> Listing:
        """Its Listing. A long one is made anew each time, so that no class fills the memory. Raises OSError."""
        if self._listing is not None:
            return self._listing
        listing = self._list()
        self._listing = listing if len(listing) <= MOST_KEPT else None
        return listing

    def forget(self) -> None:
        """Keep its Listing no longer, for it will not be asked again."""
        self._listing = None

    def _list(self) -> Listing:
        listing = Listing()
        with os.scandir(self.path) as entries:
            found = sorted(itertools.islice(entries, MOST_NAMES + 1), key=lambda e: e.name)
        listing.cut = len(found) > MOST_NAMES
        listing.environment = any(entry.name in MARKS for entry in found)
        listing.git = any(entry.name == ".git" for entry in found)
        for entry in found[:MOST_NAMES]:
            if is_silent(entry.name):
                continue
            names = (*self.names, entry.name)
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                listing.refused.append((printable("/".join(names)), f"cannot be looked at: {error.strerror}"))
                continue
            if stat.S_ISDIR(status.st_mode):
                listing.folders.append(Folder(entry.path, names))
            elif stat.S_ISREG(status.st_mode):
                listing.files.append(File(names, mtime(status), Path(entry.path)))
            else:
                reason = KINDS.get(stat.S_IFMT(status.st_mode), "not a plain file")
                listing.refused.append((printable("/".join(names)), reason))
        return listing


class ZipFolder(Folder):
    """A folder in a zip, or the zip itself, under whose name it stands."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("/".join(names), names)
        self._own = self._listing = Listing()

    def forget(self) -> None:
        """A zip's table of contents is in memory as long as the zip is open."""

    @classmethod
    def of(cls, archive: ZipFile, around: File, own: bool) -> "ZipFolder":
        """A zip as a folder. around: the File that it is. own: whether it is a student's, so that its time counts and
        those in it, which are whatever the student's computer said, do not."""
        top = cls(around.names)
        folders: dict[tuple[str, ...], ZipFolder] = {(): top}
        for info in archive.infolist():
            names = member_names(info)
            if any(is_silent(name) for name in names):
                if ".git" in names[:MOST_DEPTH] and ".." not in names:  # a repository, which is passed over
                    top._below(names[: names.index(".git")], folders)._own.git = True
                continue
            if info.is_dir():
                continue
            shown = printable("/".join((*around.names, *names)))
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            if not names or ".." in names or info.filename.startswith(("/", "\\")) or ":" in names[0][1:2]:
                top._own.refused.append((shown, "its path leads out of the zip"))
            elif len(names) > MOST_DEPTH or max(map(len, names)) > MOST_LETTERS:
                reason = "too many folders inside each other, or too long a name"
                top._own.refused.append((shown[:500], reason))
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                top._own.refused.append((shown, KINDS.get(stat.S_IFMT(mode), "not a plain file")))
            else:
                try:
                    inner = datetime(*info.date_time).astimezone()
                except (ValueError, OverflowError, OSError):  # a day that no calendar has
                    inner = around.when
                listing = top._below(names[:-1], folders)._own
                listing.environment |= names[-1] in MARKS
                when = around.when if own else inner
                listing.files.append(File((*around.names, *names), when, member=(archive, info), inner=inner))
        for folder in folders.values():
            folder._own.environment |= any(one.name in MARKS for one in folder._own.folders)
            folder._own.files.sort(key=lambda f: f.names)
            folder._own.folders.sort(key=lambda f: f.names)
        return top

    def _below(self, names: tuple[str, ...], folders: "dict[tuple[str, ...], ZipFolder]") -> "ZipFolder":
        """The folder with these names in this one, made where it is not there. folders: those that are, by names."""
        if names not in folders:
            above = self._below(names[:-1], folders)
            folders[names] = ZipFolder((*self.names, *names))
            above._own.folders.append(folders[names])
        return folders[names]


def is_silent(name: str) -> bool:
    """Whether a name is one that editors and systems leave, of which nothing is said."""
    return name.startswith(".") and name != ".." or name in SILENT


def mtime(status: os.stat_result) -> datetime:
    """The time of a file's last change, aware."""
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a file system holds times that no calendar does
        return EPOCH
