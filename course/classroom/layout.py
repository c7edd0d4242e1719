"""Finding the submissions of a class: whose notebook, of which chapter, handed in when.

Read are, below one folder (or inside one zip):

    <student>/03_convolution.ipynb             <student>/<anything>/.../<any name>.ipynb
    <student>_03_convolution.ipynb             submitted/<student>/<assignment>/...    (nbgrader's)
    <student>.zip, with any of the student's files; a zip of the whole class; the names that Moodle and Canvas make

Names, paths, times and archives come from students. Nothing is followed that leads elsewhere, a zip's names never
become paths, and whoever writes a zip decides neither whose work it is nor when it came: that is said by the zip's
own name and time. What is not understood is listed with a reason.
"""

import contextlib
import hashlib
import itertools
import os
import re
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from course.grading.submission import SIZE_LIMIT

MOST_ENTRIES = 10_000  # files and folders of one student
MOST_NOTEBOOKS = 500  # notebooks of one student
MOST_BYTES = 200 * 2**20  # unpacked for one student
MOST_LISTED = 20  # unread files of one student that are named; the others are counted
MOST_DEPTH = 25  # folders in folders
MOST_LETTERS = 255  # of a name in a zip, as on a disk
MOST_ZIPS = 2  # a zip of one student may hold another, and no more
DIRECTORY_BYTES = 2**20  # of a student's zip's table of contents; a class's may have 64 times as much
RATIO = 200  # unpacked to packed size; English text reaches 5, a notebook's repeated logs 50
LOOK = 256 * 1024  # bytes at each end of a notebook in which its metadata are looked for
SILENT = {"__MACOSX", "Thumbs.db", "desktop.ini"}
NBGRADER = {"source", "release", "autograded", "feedback", "gradebook.db", "nbgrader_config.py"}
WRAPPERS = {"submitted", "submissions", "assignments"}
SPACES = r"[\s_\-.]+"
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)", re.DOTALL)
CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<id>\d{3,})_\d{3,}_(?P<rest>.+)", re.DOTALL)
NOTEBOOK = re.compile(r"\.ipynb(?:\.txt|\.json)?$", re.IGNORECASE)  # browsers add an ending of their own
METADATA = re.compile(rb'"course"\s*:\s*\{[^{}]*"chapter"\s*:\s*"?(\d{1,2})"?\s*[,}]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Letters of other alphabets that look like Latin ones; enough to tell a person where to look twice.
CONFUSABLE = str.maketrans("аеорсухіјѕһԁԛԝкмтвнαοριυκτνβ", "aeopcyxijshdqwkmtbhaopiuktvb")
KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed: hand in the file itself",
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


@dataclass(frozen=True)
class Submission:
    """One student's notebook of one chapter.

    chapter: its number, "03". path: the file to read, which may be broken, empty or too large. shown: its name below
    the folder that was read, for people. submitted: an aware datetime. notes: sentences about how it was found.
    """

    student: str
    chapter: str
    path: Path
    shown: str
    submitted: datetime
    notes: tuple = ()


@dataclass(frozen=True)
class Unread:
    """Something that was found and not taken for a submission. path: as shown to people. reason: in words."""

    path: str
    reason: str


def printable(text, lines=False):
    """The text with everything escaped that a terminal, or a reader's eye, would be led astray by.

    Control and format characters (escape sequences, bidirectional overrides, zero-width ones), undecodable bytes and
    all but a few combining marks in a row become \\x1b, \\u202e and the like. lines: keep line feeds and tabs.
    """
    marks, shown = 0, []
    text = str(text).replace("\r\n", "\n") if lines else str(text)
    for letter in text:
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if lines and letter in "\n\t":
            shown.append(letter)
        elif "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8, as Python keeps it in names
            shown.append(f"\\x{ord(letter) - 0xDC00:02x}")
        elif category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or marks > 4 or INVISIBLE.match(letter):
            code = ord(letter)
            shown.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
        else:
            shown.append(letter)
    return "".join(shown)


def safe_name(text):
    """A folder's name for a student or a file, good on every file system, and different for different texts.

    A plain lower-case name stays as it is; any other is tidied and gets eight digits of its hash, so that neither
    capitals, accents, reserved names nor length make two the same.
    """
    text = unicodedata.normalize("NFC", str(text))
    if re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?", text) and not RESERVED.fullmatch(text):
        if ".." not in text and not re.search(r"-[0-9a-f]{8}$", text):
            return text
    tidy = re.sub(r"[^\w-]+", "_", printable(text)).strip("_-")[:40].encode()[:120].decode(errors="ignore")
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{tidy.strip('_-').lower() or 'student'}-{digest}"


def discover(folder, chapters, workspace):
    """Find the submissions of a class.

    folder: a folder, or a zip. chapters: dict from number to stem, {"03": "03_convolution"}. workspace: a folder to
    unpack into; it must last as long as the submissions are read. Returns (list of Submission, one per student and
    chapter; list of Unread), both in order. Raises OSError where `folder` cannot be read or `workspace` not written.
    """
    with _Reader(chapters, Path(workspace)) as reader:
        return reader.read(Path(folder))


@dataclass
class _Entry:
    """A file that was found. names: below the folder that is read. inner: the time that a student's own zip gives,
    which only orders the files of that student. member: (archive, its entry), where it is not yet unpacked."""

    names: tuple
    when: datetime
    path: Path | None = None
    member: tuple | None = None
    inner: datetime = datetime.fromtimestamp(0, UTC)

    @property
    def shown(self):
        return printable("/".join(self.names))


@dataclass
class _Owner:
    """Whose the files of one folder, zip or file are, and how much of them may still be read."""

    name: str
    id: str = ""
    folder: str = ""
    rest: str = ""  # of the name, after the student's
    nbgrader: bool = False
    bytes: int = field(default_factory=lambda: MOST_BYTES)
    entries: int = field(default_factory=lambda: MOST_ENTRIES)
    notebooks: int = field(default_factory=lambda: MOST_NOTEBOOKS)
    left_out: list = field(default_factory=list)


@dataclass
class _Candidate:
    """A notebook with a chapter. weak: recognised by a number or a folder only, so that any other goes before it."""

    owner: _Owner
    chapter: str
    weak: bool
    path: Path
    entry: _Entry
    notes: list


class _Trouble(Exception):
    """Something that cannot be read; the text is an Unread's reason."""


class _Reader(contextlib.ExitStack):
    """What `discover` knows while it reads."""

    def __init__(self, chapters, workspace):
        super().__init__()
        self.chapters, self.workspace, self.unpacked = chapters, workspace, None
        self.unread, self.candidates = [], []
        self.patterns = {
            number: re.compile(
                rf"(?<![^\W_]){SPACES.join(map(re.escape, re.split(SPACES, stem)))}(?![^\W_])", re.IGNORECASE
            )
            for number, stem in chapters.items()
        }

    def read(self, folder):
        if folder.is_dir():
            items = self.folder_items(folder, (), folder.name == "submitted")
        else:
            items = self.class_zip(_Entry((folder.name,), _mtime(folder.stat()), folder))
        zips = [files for name, files, *_ in items if _is_zip(name) and isinstance(files, _Entry)]
        others = [name for name, files, *_ in items if not isinstance(files, _Entry) or NOTEBOOK.search(name)]
        nameless = [self.chapter_in(Path(entry.names[-1]).stem)[1] == "" for entry in zips]
        if folder.is_dir() and zips and not others and (len(zips) == 1 or all(nameless)):
            # Only here may what stands inside a zip say whose it is: beside other submissions, a zip is one
            # student's, and could hold a work in the name of another.
            items = [item for item in items if item[1] not in zips]
            items += [item for entry in zips for item in self.class_zip(entry)]
        for name, files, nbgrader in items:
            self.item(name, files, nbgrader)
        return self.submissions(), sorted(self.unread, key=lambda u: (u.path, u.reason))

    def refuse(self, shown, reason, owner=None):
        """List something as unread, by name while it is not one of too many."""
        if owner:
            owner.left_out.append(shown)
        if owner is None or len(owner.left_out) <= MOST_LISTED:
            self.unread.append(Unread(shown, reason))

    # What stands at the top: (name, a file's _Entry or a function that lists a folder's for an owner, nbgrader's?)

    def folder_items(self, folder, names, nbgrader):
        with os.scandir(folder) as found:
            found = sorted((entry for entry in found if not _is_silent(entry.name)), key=lambda e: e.name)
        course = not names and any(e.name == "submitted" and e.is_dir(follow_symlinks=False) for e in found)
        items = []
        for entry in found:
            below = (*names, entry.name)
            if course and entry.name == "submitted":
                items += self.folder_items(Path(entry.path), below, True)
            elif course and entry.name in NBGRADER:
                continue
            elif entry.is_dir(follow_symlinks=False):
                items.append((entry.name, lambda owner, e=entry, b=below: self.walk(e.path, b, owner), nbgrader))
            elif file := self.file(entry, below):
                items.append((entry.name, file, nbgrader))
        return items

    def class_zip(self, entry):
        """The items inside a zip that holds a whole class."""
        try:
            archive = self.enter_context(_open_zip(entry.path, 64 * DIRECTORY_BYTES))
            entries = list(self.members(archive, entry, None))
        except _Trouble as trouble:
            self.refuse(entry.shown, str(trouble))
            return []
        if not entries:
            self.refuse(entry.shown, "a zip without a file")
            return []
        depth, nbgrader = len(entry.names), False
        while True:
            tops = {e.names[depth] for e in entries}
            course = "submitted" in tops
            if course:
                entries = [e for e in entries if e.names[depth] not in NBGRADER]
                tops = {e.names[depth] for e in entries}
            top = min(tops)
            single = len(tops) == 1 and all(len(e.names) > depth + 1 for e in entries)
            if not single or not (
                top in WRAPPERS or top == Path(entry.names[-1]).stem or self.is_class(entries, depth)
            ):
                break
            nbgrader = nbgrader or course
            depth += 1
        alone = {len(e.names) for e in entries} == {depth + 1} and all(
            self.chapter_in(_bare(e.names[-1]))[1] in ("", None) for e in entries if NOTEBOOK.search(e.names[-1])
        )
        if alone and not any(_lms(_bare(e.names[-1])) or _is_zip(e.names[-1]) for e in entries):
            return [(entry.names[-1], entry, False)]  # no name of a student anywhere in it: it is one student's
        items, grouped = [], defaultdict(list)
        for e in entries:
            if len(e.names) == depth + 1:
                items.append((e.names[-1], e, nbgrader))
            else:
                grouped[e.names[depth]].append(e)
        return items + [
            (name, lambda owner, f=files: self.spend(f, owner), nbgrader) for name, files in sorted(grouped.items())
        ]

    def is_class(self, entries, depth):
        """Whether the folders in a folder are students: the same chapter lies in two of them."""
        seen = defaultdict(set)
        for entry in entries:
            chapter, student, _ = self.chapter_in(_bare(entry.names[-1]))
            if chapter and len(entry.names) > depth + 2:
                seen[chapter].add(entry.names[depth + 1])
            elif chapter and student:
                seen[chapter].add(student)
        return any(len(students) > 1 for students in seen.values())

    # A student's files

    def item(self, name, files, nbgrader):
        """Read one thing that stands at the top: a student's folder, zip or notebook."""
        is_file = isinstance(files, _Entry)
        if is_file and not NOTEBOOK.search(name) and not _is_zip(name):
            return self.refuse(files.shown, "neither a notebook (.ipynb) nor a zip")
        bare = _bare(name) if is_file else unicodedata.normalize("NFC", name)
        found = _lms(bare)
        if found:
            owner = _Owner(found["name"], found["id"], rest=found["rest"])
        else:
            chapter, student, rest = self.chapter_in(bare)
            if student == "":
                stem, kind = self.chapters[chapter], "zip" if is_file and _is_zip(name) else "notebook"
                return self.refuse(
                    files.shown if is_file else printable(name),
                    f"its name does not say whose it is: name the {kind} <student>_{stem}{Path(name).suffix}, "
                    "or put it into a folder named for the student"
                    if is_file
                    else "a folder named for a chapter, where one named for a student was expected",
                )
            owner = _Owner(student or bare, rest=rest)
        owner.name = printable(unicodedata.normalize("NFC", owner.name)).strip() or repr(name)
        owner.nbgrader = nbgrader
        if not is_file:
            owner.folder = name
            entries = list(files(owner))
            if not entries and not owner.left_out:
                self.refuse(printable(name) + "/", "a folder without a notebook")
            self.files(entries, owner)
        elif _is_zip(name):
            self.files([files], owner)
        else:
            self.files([files], owner, flat=True)
        if len(owner.left_out) > MOST_LISTED:
            self.refuse(f"{printable(name)} …", f"and {len(owner.left_out) - MOST_LISTED} more files that are not read")

    def files(self, entries, owner, flat=False, zips=0):
        """Take the notebooks of one student, and those in the student's zips."""
        stamps = {e.names[:-1]: e for e in entries if e.names[-1] == "timestamp.txt" and owner.nbgrader and not zips}
        for entry in entries:
            name = entry.names[-1]
            try:
                if NOTEBOOK.search(name):
                    self.notebook(entry, owner, flat, stamps.get(entry.names[:-1]))
                elif _is_zip(name):
                    if zips == MOST_ZIPS:
                        raise _Trouble("a zip in a zip in a zip, which is not unpacked")
                    path = self.fetch(entry, owner)
                    with _open_zip(path, DIRECTORY_BYTES) as archive:
                        inside = list(self.members(archive, replace(entry, path=path), owner))
                        if not inside and not owner.left_out:
                            self.refuse(entry.shown, "a zip without a notebook", owner)
                        self.files(inside, owner, zips=zips + 1)
                elif name != "timestamp.txt":
                    raise _Trouble("not a notebook (.ipynb)")
            except _Trouble as trouble:
                self.refuse(entry.shown, str(trouble), owner)

    def notebook(self, entry, owner, flat, stamp):
        if owner.notebooks == 0:
            raise _Trouble(f"there are more than {MOST_NOTEBOOKS} notebooks of this student")
        owner.notebooks -= 1
        path, notes = self.fetch(entry, owner), []
        named, weak = self.chapter_in(_bare(entry.names[-1]))[0], False
        chapter = named
        if not chapter and (number := _chapter_of_metadata(path)) in self.chapters:
            chapter = number
            notes.append(f"its name does not say which chapter it is; the notebook itself says {number}")
        if not chapter:
            chapter = self.number_in(owner.rest if flat and owner.rest else _bare(entry.names[-1]), flat)
            folders = (self.chapter_in(part)[0] for part in reversed(entry.names[:-1]))
            chapter, weak = chapter or next(filter(None, folders), None), True
            if not chapter:
                raise _Trouble("neither its name nor its contents say which chapter it is")
            notes.append(f"taken for chapter {chapter} by a number or a folder; name it {self.chapters[chapter]}.ipynb")
        if flat and not named and not owner.id:
            ending = rf"[\s_\-]+(?:ch|chapter)?[\s_\-]*0?{int(chapter)}$"
            owner.name = re.sub(ending, "", owner.name, flags=re.IGNORECASE)
            notes.append(f"its name does not say whose it is in a known way; the student was taken to be {owner.name}")
        if stamp:
            entry.when, problem = self.stamped(stamp, owner, entry.when)
            notes += problem
        if entry.when > datetime.now(UTC):
            notes.append("its time lies in the future")
        self.candidates.append(_Candidate(owner, chapter, weak, path, entry, notes))

    def chapter_in(self, name):
        """(chapter, what stands before it, what after), by a stem in a name; (None, None, "") without just one."""
        found = [(m.start(), m.end(), number) for number, p in self.patterns.items() for m in p.finditer(name)]
        found = [a for a in found if not any(b[0] <= a[0] and a[1] <= b[1] and a != b for b in found)]
        if len({number for *_, number in found}) != 1:
            return None, None, ""
        start, _, number = found[0]
        return number, name[:start].strip(" _-."), name[start:]

    def number_in(self, name, flat):
        """The chapter whose number a name begins with, or, where a student's name goes before it, ends with."""
        found = re.match(r"(?:ch|chapter)?[\s_\-]*(\d{1,2})(?!\d)", name, re.IGNORECASE)
        if not found and flat:
            found = re.search(r"[\s_\-](?:(?:ch|chapter)[\s_\-]*(?=\d)|(?=\d\d))(\d{1,2})$", name, re.IGNORECASE)
        number = f"{int(found[1]):02d}" if found else None
        return number if number in self.chapters else None

    def stamped(self, stamp, owner, otherwise):
        """The time in nbgrader's timestamp.txt, "2026-03-01 12:00:00.000000 Europe/Berlin", and a list of notes."""
        try:
            text = _ends(self.fetch(stamp, owner), 200).decode()
            day, hour, *zone = text.split()
            when = datetime.fromisoformat(f"{day} {hour}")
            if when.tzinfo is None:
                when = when.replace(tzinfo=ZoneInfo(zone[0]) if zone else UTC)
            return when.astimezone(), []
        except (_Trouble, OSError, ValueError, KeyError, OverflowError):
            return otherwise, ["nbgrader's timestamp.txt beside it cannot be read; the file's own time was taken"]

    # Folders and zips

    def file(self, entry, names, owner=None):
        """The _Entry of a plain file; anything else is listed."""
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            return self.refuse(printable("/".join(names)), f"cannot be looked at: {error.strerror}", owner)
        if stat.S_ISREG(status.st_mode):
            return _Entry(names, _mtime(status), Path(entry.path))
        reason = KINDS.get(stat.S_IFMT(status.st_mode), "not a plain file")
        return self.refuse(printable("/".join(names)), reason, owner)

    def walk(self, folder, names, owner):
        """The files in a folder, at any depth, as long as they are not too many."""
        waiting = [(folder, names)]
        while waiting:
            folder, names = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    found = (e for e in found if not _is_silent(e.name))
                    found = sorted(itertools.islice(found, owner.entries + 1), key=lambda e: e.name)
            except OSError as error:
                self.refuse(printable("/".join(names)) + "/", f"cannot be opened: {error.strerror}", owner)
                continue
            for entry in found:
                if owner.entries == 0:
                    self.unread.append(
                        Unread(
                            printable("/".join(names)) + "/", f"more than {MOST_ENTRIES} files; the rest is not read"
                        )
                    )
                    return
                owner.entries -= 1
                below = (*names, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if len(below) > MOST_DEPTH:
                        self.refuse(printable("/".join(below)) + "/", "too many folders inside each other", owner)
                    else:
                        if NOTEBOOK.search(entry.name):
                            self.refuse(printable("/".join(below)) + "/", "a folder with a notebook's name", owner)
                        waiting.append((entry.path, below))
                elif file := self.file(entry, below, owner):
                    yield file

    def spend(self, entries, owner):
        """The same of files that stand in the zip of a class."""
        if len(entries) > owner.entries:
            more = f"more than {MOST_ENTRIES} files; the rest is not read"
            self.unread.append(Unread(printable("/".join(entries[0].names[:-1])) + "/", more))
        return entries[: owner.entries]

    def members(self, archive, around, owner):
        """The plain files in a zip. around: the zip's own entry. owner: whose it is; None for the zip of a class, in
        which an entry's time counts, where in a student's own zip it is whatever the student's computer said."""
        count = 0
        for info in archive.infolist():
            names = _member_names(info)
            if info.is_dir() or any(_is_silent(name) for name in names):
                continue
            count += 1
            shown = printable("/".join((*around.names, *names)))
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            if owner and count > MOST_ENTRIES:
                self.refuse(around.shown, f"more than {MOST_ENTRIES} files; the rest is not read", owner)
                return
            if not names or ".." in names or info.filename.startswith(("/", "\\")) or ":" in names[0][1:2]:
                self.refuse(shown, "its path leads out of the zip", owner)
            elif len(names) > MOST_DEPTH or max(map(len, names)) > MOST_LETTERS:
                self.refuse(shown[:500], "too many folders inside each other, or too long a name", owner)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                self.refuse(shown, KINDS.get(stat.S_IFMT(mode), "not a plain file"), owner)
            else:
                try:
                    inner = datetime(*info.date_time).astimezone()
                except (ValueError, OverflowError, OSError):  # a day that no calendar has
                    inner = around.when
                when = around.when if owner else inner
                yield _Entry((*around.names, *names), when, member=(archive, info), inner=inner)

    def fetch(self, entry, owner):
        """The path of an entry's file, unpacked where it stands in a zip. What is too large becomes an empty file of
        that size, which takes no room, and which whoever reads notebooks then reports. Raises _Trouble."""
        if entry.path:
            return entry.path
        archive, info = entry.member
        name = entry.names[-1]
        if info.flag_bits & 1:
            raise _Trouble("encrypted: hand it in without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Trouble("compressed in an unusual way: make an ordinary zip")
        if self.unpacked is None:
            self.workspace.mkdir(parents=True, exist_ok=True)
            self.unpacked = Path(tempfile.mkdtemp(prefix="unpacked-", dir=self.workspace)), itertools.count(1)
        folder = self.unpacked[0] / f"{next(self.unpacked[1]):05d}"
        folder.mkdir()
        suffix = ".zip" if _is_zip(name) else ".ipynb" if NOTEBOOK.search(name) else ""
        path = folder / (safe_name(_bare(name)) + suffix)
        bomb = info.file_size > 2**20 and info.file_size > RATIO * max(1, info.compress_size)
        limit = SIZE_LIMIT if suffix == ".ipynb" else MOST_BYTES
        if info.file_size > limit and suffix != ".ipynb" or bomb and info.file_size <= limit:
            raise _Trouble(f"it would unpack to {info.file_size / 2**20:,.0f} MB: too much for what it is")
        with open(path, "wb") as target:
            done = 0
            for block in _blocks(archive, info) if info.file_size <= limit else ():
                done, owner.bytes = done + len(block), owner.bytes - len(block)
                if owner.bytes < 0:
                    raise _Trouble(f"this student's files unpack to more than {MOST_BYTES // 2**20} MB")
                if done > limit:
                    break
                target.write(block)
            if info.file_size > limit or done > limit:
                target.truncate(limit + 1)
        return path

    # Putting it together

    def submissions(self):
        """One Submission per student and chapter."""
        names = self.resolve_names()
        grouped, folders, shadowed = defaultdict(list), defaultdict(set), []
        for candidate in self.candidates:
            student = names[id(candidate.owner)]
            grouped[student, candidate.chapter].append(candidate)
            folders[student].add(candidate.owner.folder)
        alike = defaultdict(set)
        for student in folders:
            alike[unicodedata.normalize("NFKC", student).casefold().translate(CONFUSABLE)].add(student)
        lookalikes = {s: sorted(group - {s}) for group in alike.values() for s in group if len(group) > 1}
        submissions = []
        for (student, chapter), found in sorted(grouped.items(), key=lambda g: (g[0][0].casefold(), g[0])):
            strong = [c for c in found if not c.weak]
            shadowed += [c for c in found if strong and c.weak]
            found = sorted(strong or found, key=lambda c: (c.entry.when, c.entry.inner, c.entry.shown))
            newest, notes = found[-1], list(found[-1].notes)
            if len(found) > 1:
                others = [c.entry.shown for c in reversed(found[:-1])]
                more = f" and {len(others) - 5} more" if len(others) > 5 else ""
                notes.append(
                    f"handed in {len(found)} times; the newest file was graded, not {', '.join(others[:5])}{more}"
                )
            if len(own := sorted(folders[student] - {""})) > 1:
                notes.append(f"{len(own)} folders are this student's: {', '.join(map(ascii, own))}")
            if student in lookalikes:
                notes.append(f"the name looks like that of another student: {', '.join(lookalikes[student])}")
            submissions.append(
                Submission(student, chapter, newest.path, newest.entry.shown, newest.entry.when, tuple(notes))
            )
        for candidate in shadowed:
            self.refuse(candidate.entry.shown, f"another file is this student's chapter {candidate.chapter}")
        return submissions

    def resolve_names(self):
        """The name of each owner: without the number that Moodle or Canvas gave, unless two people share a name."""
        ids = defaultdict(set)
        for c in self.candidates:
            ids[c.owner.name, c.chapter].add(c.owner.id)
        shared = {name for (name, _), found in ids.items() if len(found) > 1}
        return {
            id(o): f"{o.name} ({o.id})" if o.id and o.name in shared else o.name
            for o in (c.owner for c in self.candidates)
        }


def _is_silent(name):
    return name.startswith(".") and name != ".." or name in SILENT


def _is_zip(name):
    return name.lower().endswith(".zip")


def _bare(name):
    """A file's name without its ending and without what Google Drive puts before a copy's, composed (NFC)."""
    return unicodedata.normalize("NFC", NOTEBOOK.sub("", re.sub(r"(?i)^copy of |\.zip$", "", name)))


def _lms(name):
    return MOODLE.fullmatch(name) or CANVAS.fullmatch(name)


def _mtime(status):
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a file system holds times that no calendar does
        return datetime.fromtimestamp(0, UTC)


def _ends(path, size):
    """The first and the last `size` bytes of a plain file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as stream:
        head = stream.read(size)
        at = max(size, os.fstat(stream.fileno()).st_size - size)
        stream.seek(at)
        return head + stream.read(size)


def _chapter_of_metadata(path):
    """The chapter that a notebook says it is, or None. Found by its text, for the JSON may be broken or enormous;
    inside a string the quotes would be escaped, so that no cell's text is mistaken for it."""
    try:
        found = METADATA.findall(_ends(path, LOOK).replace(b"\0", b""))  # without zeros, UTF-16 reads as well
    except OSError:
        return None
    return f"{int(found[-1]):02d}" if found else None


def _open_zip(path, most):
    """Open a zip whose table of contents has at most `most` bytes; raises _Trouble."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 70_000))
            tail = stream.read()
        sizes = [0]
        for mark, form, at in ((b"PK\5\6", "<L", 12), (b"PK\6\6", "<Q", 40)):
            if (found := tail.rfind(mark)) >= 0 and len(tail) >= found + at + 8:
                sizes.append(struct.unpack_from(form, tail, found + at)[0])
        if max(size for size in sizes if size != 0xFFFFFFFF) > most:
            raise _Trouble("a zip of far too many files")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError, UnicodeError) as error:
        empty = "an empty file, not a zip" if size == 0 else f"not a zip that can be read: {printable(error)}"
        raise _Trouble(empty) from None
    except OSError as error:
        raise _Trouble(f"cannot be read: {error.strerror}") from None


def _member_names(info):
    """The parts of an entry's name. A name without the UTF-8 mark is UTF-8 all the same, as macOS writes it, or DOS."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))


def _blocks(archive, info):
    """The contents of an entry, piece by piece; raises _Trouble."""
    try:
        with archive.open(info) as source:
            while block := source.read(1 << 20):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, struct.error, OSError) as error:
        raise _Trouble(f"damaged in its zip: {printable(error)}") from None
