"""Reading what stands in the students' folders, zips and notebooks."""

import contextlib
import itertools
import re
import tempfile
import unicodedata
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from course.classroom.layout import times
from course.classroom.layout.archives import DIRECTORY_BYTES, Trouble, is_zip, open_zip, unpack
from course.classroom.layout.chapters import LOOK, Chapters
from course.classroom.layout.choosing import choose
from course.classroom.layout.found import Found, Unread
from course.classroom.layout.levels import Levels, Place
from course.classroom.layout.patterns import MINUTE, NOTEBOOK, Named, bare, is_own, uncopied
from course.classroom.layout.texts import printable, safe_name
from course.classroom.layout.tree import ENVIRONMENTS, MOST_DEPTH, File, Folder, ZipFolder, mtime
from course.grading.submission import SIZE_LIMIT

MOST_ENTRIES = 10_000  # folders, notebooks and zips of one student
MOST_NAMES = 200_000  # files of any kind of one student
MOST_NOTEBOOKS = 500  # notebooks of one student
MOST_BYTES = 200 * 2**20  # unpacked for one student
MOST_LISTED = 20  # unread files of one student that are named; the others are counted
MOST_ZIPS = 2  # a zip of one student may hold another, and no more
STAMP = "timestamp.txt"
PACKED = re.compile(r"\.(?:rar|7z|tar|tgz|tbz2?|txz|gz|bz2|xz)$", re.IGNORECASE)
OURS = "solutions"  # the folder in which the course keeps its own answers


def discover(folder, chapters, workspace, zone=None, compare=None):
    """Find the submissions of a class.

    folder: a folder, or a zip. chapters: dict from number to stem, {"03": "03_convolution"}. workspace: a folder to
    unpack into; it must last as long as the submissions are read. zone: of the times in names that bear none; else this
    machine's. compare: as `choosing.choose` takes it. Returns a Found. Raises OSError where `folder` cannot be read or
    `workspace` not written, LayoutError where it cannot be told who the students are.
    """
    with _Reader(chapters, Path(workspace), zone) as reader:
        return reader.read(Path(folder), compare)


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
    left_out: list = field(default_factory=list)
    environments: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    lost: str = ""
    chapter: str | None = None
    own: bool = False
    when: datetime | None = None

    def spend(self, size):
        """Take down what was unpacked. Raises Trouble where that is too much."""
        self.bytes -= size
        if self.bytes < 0:
            raise Trouble(f"this student's files unpack to more than {MOST_BYTES // 2**20} MB")

    @property
    def system(self):
        return self.named.system

    @property
    def packing(self):
        return self.named.pattern.packing if self.named.pattern else MINUTE

    @property
    def late(self):
        return self.named.late

    @property
    def container(self):
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
    notes: list
    weak: bool = False
    wrong: str = ""
    ours: str = ""
    stated: bool = False
    timed: bool = True


class _Reader(contextlib.ExitStack):
    """What `discover` knows while it reads."""

    def __init__(self, chapters, workspace, zone):
        super().__init__()
        self.chapters, self.workspace, self.zone, self.unpacked = Chapters(chapters), workspace, zone, None
        self.unread, self.candidates, self.owners, self.doubted = [], [], [], 0
        self.levels = Levels(self.chapters, zone, self.class_zip, self.fetch, self.peek, self.refuse)

    def read(self, folder, compare):
        root = Folder(folder) if folder.is_dir() else File((folder.name,), mtime(folder.stat()), folder)
        for item in self.levels.items(root):
            self.item(item)
        remarks = self.levels.remarks + times.mark_packed(self.candidates)
        if self.doubted:
            remarks.append(
                f"{self.doubted} {STAMP} beside notebooks are not believed, for students can write them: only in the "
                "course's folder of nbgrader (gradebook.db or nbgrader_config.py beside submitted/) do they count"
            )
        submissions, beaten = choose(self.candidates, self.lost(), compare)
        for shown, reason in beaten:
            self.refuse(shown, reason)
        for system, names in self.levels.passed.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            self.unread.append(Unread(f"{names[0]}{more}", f"passed over: {system}'s own"))
        unread = sorted(self.unread, key=lambda u: (u.path, u.reason))
        return Found(submissions, unread, remarks)

    def refuse(self, shown, reason, owner=None):
        """List something as unread, by name while it is not one of too many."""
        if owner:
            owner.left_out.append(shown)
        if owner is None or len(owner.left_out) <= MOST_LISTED:
            self.unread.append(Unread(shown, reason))

    def class_zip(self, file):
        """The zip of a whole class as a Folder; None, with a reason, where it cannot be read."""
        try:
            archive = self.enter_context(open_zip(self.fetch(file), 64 * DIRECTORY_BYTES))
        except Trouble as trouble:
            return self.refuse(file.shown, str(trouble))
        folder = ZipFolder.of(archive, file, own=False)
        if not len(folder.listing()):
            return self.refuse(file.shown, "a zip without a file")
        return folder

    def peek(self, file):
        """The chapter that the contents of a notebook say, or None."""
        if file.path:
            return self.chapters.of_contents(file.path).chapter
        archive, info = file.member
        with contextlib.suppress(Exception), archive.open(info) as stream:
            return self.chapters.of_text(stream.read(LOOK)).chapter
        return None

    # A student's files

    def item(self, item):
        """Read one student's folder, zip or notebook."""
        node, name = item.node, item.node.name
        is_file = isinstance(node, File)
        text = bare(name) if is_file else unicodedata.normalize("NFC", name)
        named = item.named
        if not named:
            chapter, student, _ = self.chapters.in_name(text)
            if student == "" or is_file and is_zip(name) and self.levels.is_nobody(text):
                return self.refuse(node.shown, self.nameless(node, chapter))
            named = Named("", None, name=student or text)
        owners = [self.owner(one, item) for one in (named, *named.with_)]
        owner = owners[0]
        before = len(self.candidates)
        if not is_file:
            owner.folder = name
            files = list(self.walk(node, owner))
            if not (files or owner.left_out or owner.environments or owner.own):
                self.refuse(f"{node.shown}/", "a folder without a notebook")
            self.files(files, owner)
        else:
            self.files([node], owner, flat=not is_zip(name))
        if len(owner.left_out) > MOST_LISTED:
            self.refuse(f"{node.shown} …", f"and {len(owner.left_out) - MOST_LISTED} more files that are not read")
        if owner.environments:
            owner.environments.sort()
            more = f" and {len(owner.environments) - 1} more" if len(owner.environments) > 1 else ""
            self.refuse(f"{owner.environments[0]}/{more}", "passed over: an environment, nothing of a student's own")
        if len(owners) > 1:
            notes = owner.notes
            for one in owners:
                others = ", ".join(other.student for other in owners if other is not one)
                one.notes = [*notes, f"handed in together with {others}"]
            for one in owners[1:]:
                one.lost = owner.lost
                self.candidates += [replace(c, owner=one) for c in self.candidates[before:] if c.owner is owner]

    def nameless(self, node, chapter):
        """Why something at the top cannot be read that bears no student's name."""
        if not isinstance(node, File):
            return (
                "a folder named for a chapter, where one named for a student was expected: put it into a folder named "
                "for the student, or name it <chapter>-<student>"
            )
        kind, suffix = ("zip", ".zip") if is_zip(node.name) else ("notebook", ".ipynb")
        stem = self.chapters.stems.get(chapter) or next(iter(self.chapters.stems.values()), "chapter")
        return (
            f"its name does not say whose it is: name the {kind} <student>_{stem}{suffix}, or put it into a folder "
            "named for the student"
        )

    def owner(self, named, item):
        student = printable(unicodedata.normalize("NFC", named.student)).strip() or repr(item.node.name)
        owner = Owner(named, student, item.place, shown=item.node.shown, when=named.when)
        self.owners.append(owner)
        return owner

    def walk(self, folder, owner):
        """The notebooks, zips and time stamps in a folder, at any depth, those near the top first, as long as they are
        not too many. What is neither is listed, and uses up nothing."""
        waiting, loose = deque([folder]), []
        while waiting and owner.entries:
            folder = waiting.popleft()
            try:
                listing = folder.listing()
                folder.forget()
            except OSError as error:
                self.refuse(f"{folder.shown}/", f"cannot be opened: {error.strerror}", owner)
                continue
            if listing.environment:
                owner.environments.append(folder.shown)
                continue
            owner.names -= len(listing)
            for shown, reason in listing.refused:
                self.refuse(shown, reason, owner)
            for file in listing.files:
                if not (NOTEBOOK.search(file.name) or is_zip(file.name) or file.name == STAMP):
                    loose.append(file)
                elif owner.entries:
                    owner.entries -= 1
                    yield file
            for inner in listing.folders:
                if inner.name in ENVIRONMENTS:
                    owner.environments.append(inner.shown)
                elif len(inner.names) > MOST_DEPTH:
                    self.refuse(f"{inner.shown}/", "too many folders inside each other", owner)
                elif owner.entries:
                    owner.entries -= 1
                    waiting.append(inner)
                    if NOTEBOOK.search(inner.name):
                        self.refuse(f"{inner.shown}/", "a folder with a notebook's name", owner)
            if owner.names <= 0 or listing.cut:
                break
        if waiting or not owner.entries or owner.names <= 0:
            most = f"{MOST_ENTRIES} folders, notebooks and zips" if owner.entries <= 0 else f"{MOST_NAMES} files"
            self.cut(owner, f"{folder.shown}/", f"more than {most}; the rest is not read")
        for file in loose:
            self.loose(file, owner)

    def loose(self, file, owner):
        """List a file that is no notebook. One that stands for a notebook shall not be passed over: a page or a script
        made of it, or an archive that is no zip."""
        if is_own(file.name, {owner.system}):
            owner.own = True
            return self.levels.passed[owner.system].append(file.shown)
        chapter, packed = self.chapters.in_name(file.name)[0], PACKED.search(file.name)
        reason = "packed, and not as a zip: make an ordinary zip" if packed else "not a notebook (.ipynb)"
        if chapter or packed:
            owner.lost, owner.chapter = owner.lost or f"{file.name}: {reason}", owner.chapter or chapter
        self.refuse(file.shown, reason, owner)

    def cut(self, owner, shown, reason):
        """Take down that something of a student's is not read."""
        self.unread.append(Unread(shown, reason))
        owner.lost = owner.lost or reason
        owner.notes.append(f"cut short: {reason}")

    def files(self, files, owner, flat=False, zips=0):
        """Take the notebooks of one student, and those in the student's zips."""
        stamps = {file.names[:-1]: file for file in files if file.name == STAMP and not zips}
        for file in files:
            try:
                if NOTEBOOK.search(file.name):
                    self.notebook(file, owner, flat, stamps)
                elif is_zip(file.name):
                    if zips == MOST_ZIPS:
                        raise Trouble("a zip in a zip in a zip, which is not unpacked")
                    path = self.fetch(file, owner)
                    with open_zip(path) as archive:
                        folder = ZipFolder.of(archive, replace(file, path=path), own=True)
                        inside = list(self.walk(folder, owner))
                        if not inside and not owner.left_out:
                            self.refuse(file.shown, "a zip without a notebook", owner)
                        self.files(inside, owner, zips=zips + 1)
                elif file.name != STAMP:
                    self.loose(file, owner)
            except Trouble as trouble:
                owner.lost = owner.lost or f"{file.name}: {trouble}"
                owner.chapter = owner.chapter or self.chapters.in_name(file.name)[0]
                self.refuse(file.shown, str(trouble), owner)

    def notebook(self, file, owner, flat, stamps):
        if owner.notebooks == 0:
            raise Trouble(f"there are more than {MOST_NOTEBOOKS} notebooks of this student")
        owner.notebooks -= 1
        path, notes = self.fetch(file, owner), []
        contents, name = self.chapters.of_contents(path), bare(file.name)
        by_name, before, _ = self.chapters.in_name(name)
        chapter, weak = contents.chapter or by_name, False
        if not chapter:
            by_number = self.chapters.number_in(owner.named.rest if flat and owner.named.rest else name, flat)
            folders = (self.chapters.in_name(part)[0] for part in reversed(file.names[:-1]))
            assignment = self.chapters.of_folder(owner.named.assignment) if owner.named.assignment else None
            chapter = by_number or next(filter(None, folders), None) or owner.place.hint or assignment
            weak = True
            if not chapter:
                raise Trouble("neither its name nor its contents say which chapter it is")
            notes.append(
                f"taken for chapter {chapter} by a number or a folder; name it {self.chapters.stems[chapter]}.ipynb"
            )
        elif not by_name:
            notes.append(f"its name does not say which chapter it is; the notebook itself says {chapter}")
        if flat and not by_name and not owner.named.pattern:
            owner.student = _without_number(owner.student, chapter)
            notes.append(
                f"its name does not say whose it is in a known way; the student was taken to be {owner.student}"
            )
        wrong = contradiction(by_name, contents, file)
        candidate = Candidate(owner, chapter, path, file, notes, weak, wrong, ours=self.ours(file, owner, contents))
        self.time(candidate, stamps)
        if candidate.entry.when > datetime.now(UTC):
            notes.append("its time lies in the future")
        self.candidates.append(candidate)

    def ours(self, file, owner, contents):
        """How a notebook is known to be the course's own, by where it lies and what it says."""
        inside = [part.casefold() for part in file.names[len(owner.shown.split("/")) : -1]]
        if contents.reference:
            return "it is an executed reference of the course"
        return "it lies in a folder called solutions, as the course's own do" if OURS in inside else ""

    def time(self, candidate, stamps):
        """Give a candidate the time that its system states, where there is one that counts."""
        owner, file = candidate.owner, candidate.entry
        when = owner.when
        sakai = owner.system == "Sakai" and next(iter(sorted(stamps.items(), key=lambda s: len(s[0]))), (0, None))[1]
        stamp = sakai or owner.place.nbgrader and stamps.get(file.names[:-1])
        if stamp:
            try:
                when = times.of_stamp(self.fetch(stamp, owner), self.zone)
                if not sakai:
                    candidate.notes.append(f"its time is that of nbgrader's {STAMP}, which a student can write")
            except Trouble as trouble:
                candidate.notes.append(str(trouble))
        elif owner.place.settled and not owner.system and stamps.get(file.names[:-1]):
            self.doubted += 1
        if when:
            candidate.entry = replace(file, when=when)
            candidate.stated = True

    def lost(self):
        """The owners of whom nothing could be read, and who shall not vanish: pairs of one and a chapter."""
        read = {id(c.owner) for c in self.candidates}
        common = Counter(c.chapter for c in self.candidates).most_common(1)
        otherwise = common[0][0] if common else next(iter(self.chapters.stems), None)
        found = []
        for owner in self.owners:
            if owner.lost and id(owner) not in read and otherwise:
                said = self.chapters.in_name(owner.named.rest)[0] or self.chapters.in_name(owner.shown)[0]
                found.append((owner, owner.chapter or owner.place.hint or said or otherwise))
        return found

    def fetch(self, file, owner=None):
        """The path of a file's contents, unpacked where it stands in a zip. A notebook that is too large becomes an
        empty file of that size, which takes no room, and which whoever reads notebooks then reports. Raises Trouble."""
        if file.path:
            return file.path
        if self.unpacked is None:
            self.workspace.mkdir(parents=True, exist_ok=True)
            self.unpacked = Path(tempfile.mkdtemp(prefix="unpacked-", dir=self.workspace)), itertools.count(1)
        folder = self.unpacked[0] / f"{next(self.unpacked[1]):05d}"
        folder.mkdir()
        notebook = bool(NOTEBOOK.search(file.name))
        suffix = ".zip" if is_zip(file.name) else ".ipynb" if notebook else ""
        path = folder / (safe_name(bare(file.name)) + suffix)
        spend = owner.spend if owner else lambda _: None
        unpack(*file.member, path, SIZE_LIMIT if notebook else MOST_BYTES, spend, cut=notebook)
        return path


def contradiction(by_name, contents, file):
    """What of a notebook's name, metadata and exercises contradicts what, in words, or ""."""
    said = contents.chapter
    if by_name and said and by_name != said:
        return f"its name says {by_name}, the notebook itself says {said}: the wrong file? ({file.shown})"
    if contents.metadata and contents.lines and contents.metadata != contents.lines:
        return f"the notebook says {contents.metadata}, and its exercises are of {contents.lines} ({file.shown})"
    return ""


def _without_number(student, chapter):
    """A student's name without a chapter's number at its end."""
    student = uncopied(student)[0]
    return re.sub(rf"[\s_\-]+(?:ch|chapter)?[\s_\-]*0?{int(chapter)}$", "", student, flags=re.IGNORECASE)
