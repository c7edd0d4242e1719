"""Reading what stands in the students' folders, zips and notebooks."""

import contextlib
import itertools
import re
import tempfile
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from course.classroom.layout import owners, times
from course.classroom.layout.archives import DIRECTORY_BYTES, Trouble, is_zip, open_zip, unpack
from course.classroom.layout.chapters import LOOK, Chapters, Contents
from course.classroom.layout.choosing import Compare, choose
from course.classroom.layout.found import Found, Unread
from course.classroom.layout.levels import Item, Levels
from course.classroom.layout.owners import Candidate, Owner
from course.classroom.layout.patterns import NOTEBOOK, Named, bare, is_own, uncopied
from course.classroom.layout.texts import printable, safe_name
from course.classroom.layout.tree import ENVIRONMENTS, MOST_DEPTH, File, Folder, ZipFolder, mtime
from course.grading.submission import SIZE_LIMIT

MOST_LISTED = 20  # unread files of one student that are named; the others are counted
MOST_ZIPS = 2  # a zip of one student may hold another, and no more
STAMP = "timestamp.txt"
PACKED = re.compile(r"\.(?:rar|7z|tar|tgz|tbz2?|txz|gz|bz2|xz)$", re.IGNORECASE)
OURS = "solutions"  # the folder in which the course keeps its own answers


def discover(
    folder: Path | str,
    chapters: dict[str, str],
    workspace: Path | str,
    zone: tzinfo | None = None,
    compare: Compare | None = None,
) -> Found:
    """Find the submissions of a class.

    folder: a folder, or a zip. chapters: dict from number to stem, {"03": "03_convolution"}. workspace: a folder to
    unpack into; it must last as long as the submissions are read. zone: of the times in names that bear none; else this
    machine's. compare: as `choosing.choose` takes it. Returns a Found. Raises OSError where `folder` cannot be read or
    `workspace` not written, LayoutError where it cannot be told who the students are.
    """
    with _Reader(chapters, Path(workspace), zone) as reader:
        return reader.read(Path(folder), compare)


class _Reader(contextlib.ExitStack):
    """What `discover` knows while it reads."""

    def __init__(self, chapters: dict[str, str], workspace: Path, zone: tzinfo | None) -> None:
        super().__init__()
        self.chapters, self.workspace, self.zone = Chapters(chapters), workspace, zone
        self.unpacked: tuple[Path, itertools.count[int]] | None = None
        self.unread: list[Unread] = []
        self.candidates: list[Candidate] = []
        self.owners: list[Owner] = []
        self.doubted = 0
        self.levels = Levels(self.chapters, zone, self.class_zip, self.fetch, self.peek, self.refuse)

    def read(self, folder: Path, compare: Compare | None) -> Found:
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

    def refuse(self, shown: str, reason: str, owner: Owner | None = None) -> None:
        """List something as unread, by name while it is not one of too many."""
        if owner:
            owner.left_out.append(shown)
        if owner is None or len(owner.left_out) <= MOST_LISTED:
            self.unread.append(Unread(shown, reason))

    def class_zip(self, file: File) -> Folder | None:
        """The zip of a whole class as a Folder; None, with a reason, where it cannot be read."""
        try:
            archive = self.enter_context(open_zip(self.fetch(file), 64 * DIRECTORY_BYTES))
        except Trouble as trouble:
            self.refuse(file.shown, str(trouble))
            return None
        folder = ZipFolder.of(archive, file, own=False)
        if not len(folder.listing()):
            self.refuse(file.shown, "a zip without a file")
            return None
        return folder

    def peek(self, file: File) -> str | None:
        """The chapter that the contents of a notebook say, or None."""
        if file.path:
            return self.chapters.of_contents(file.path).chapter
        assert file.member  # a File has a path or stands in a zip
        archive, info = file.member
        with contextlib.suppress(Exception), archive.open(info) as stream:
            return self.chapters.of_text(stream.read(LOOK)).chapter
        return None

    # A student's files

    def item(self, item: Item) -> None:
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
        together = [self.owner(one, item) for one in (named, *named.with_)]
        owner = together[0]
        before = len(self.candidates)
        if isinstance(node, Folder):
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
        if len(together) > 1:
            notes = owner.notes
            for one in together:
                others = ", ".join(other.student for other in together if other is not one)
                one.notes = [*notes, f"handed in together with {others}"]
            for one in together[1:]:
                one.lost = owner.lost
                self.candidates += [replace(c, owner=one) for c in self.candidates[before:] if c.owner is owner]

    def nameless(self, node: File | Folder, chapter: str | None) -> str:
        """Why something at the top cannot be read that bears no student's name."""
        if not isinstance(node, File):
            return (
                "a folder named for a chapter, where one named for a student was expected: put it into a folder named "
                "for the student, or name it <chapter>-<student>"
            )
        kind, suffix = ("zip", ".zip") if is_zip(node.name) else ("notebook", ".ipynb")
        stem = self.chapters.stems.get(chapter or "") or next(iter(self.chapters.stems.values()), "chapter")
        return (
            f"its name does not say whose it is: name the {kind} <student>_{stem}{suffix}, or put it into a folder "
            "named for the student"
        )

    def owner(self, named: Named, item: Item) -> Owner:
        student = printable(unicodedata.normalize("NFC", named.student)).strip() or repr(item.node.name)
        owner = Owner(named, student, item.place, shown=item.node.shown, when=named.when)
        self.owners.append(owner)
        return owner

    def walk(self, folder: Folder, owner: Owner) -> Iterator[File]:
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
            most = (
                f"{owners.MOST_ENTRIES} folders, notebooks and zips"
                if owner.entries <= 0
                else f"{owners.MOST_NAMES} files"
            )
            self.cut(owner, f"{folder.shown}/", f"more than {most}; the rest is not read")
        for file in loose:
            self.loose(file, owner)

    def loose(self, file: File, owner: Owner) -> None:
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

    def cut(self, owner: Owner, shown: str, reason: str) -> None:
        """Take down that something of a student's is not read."""
        self.unread.append(Unread(shown, reason))
        owner.lost = owner.lost or reason
        owner.notes.append(f"cut short: {reason}")

    def files(self, files: list[File], owner: Owner, flat: bool = False, zips: int = 0) -> None:
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

    def notebook(self, file: File, owner: Owner, flat: bool, stamps: dict[tuple[str, ...], File]) -> None:
        if owner.notebooks == 0:
            raise Trouble(f"there are more than {owners.MOST_NOTEBOOKS} notebooks of this student")
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

    def ours(self, file: File, owner: Owner, contents: Contents) -> str:
        """How a notebook is known to be the course's own, by where it lies and what it says."""
        inside = [part.casefold() for part in file.names[len(owner.shown.split("/")) : -1]]
        if contents.reference:
            return "it is an executed reference of the course"
        return "it lies in a folder called solutions, as the course's own do" if OURS in inside else ""

    def time(self, candidate: Candidate, stamps: dict[tuple[str, ...], File]) -> None:
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

    def lost(self) -> list[tuple[Owner, str]]:
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

    def fetch(self, file: File, owner: Owner | None = None) -> Path:
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
        assert file.member  # a File has a path or stands in a zip
        unpack(*file.member, path, SIZE_LIMIT if notebook else owners.MOST_BYTES, spend, cut=notebook)
        return path


def contradiction(by_name: str | None, contents: Contents, file: File) -> str:
    """What of a notebook's name, metadata and exercises contradicts what, in words, or ""."""
    said = contents.chapter
    if by_name and said and by_name != said:
        return f"its name says {by_name}, the notebook itself says {said}: the wrong file? ({file.shown})"
    if contents.metadata and contents.lines and contents.metadata != contents.lines:
        return f"the notebook says {contents.metadata}, and its exercises are of {contents.lines} ({file.shown})"
    return ""


def _without_number(student: str, chapter: str) -> str:
    """A student's name without a chapter's number at its end."""
    student = uncopied(student)[0]
    return re.sub(rf"[\s_\-]+(?:ch|chapter)?[\s_\-]*0?{int(chapter)}$", "", student, flags=re.IGNORECASE)
