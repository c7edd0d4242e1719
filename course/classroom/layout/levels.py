"""Which folders are a class's, which an assignment's and which a student's.

One rule stands above the others: what lies in a student's folder or zip never says whose it is. Where it cannot be
told which is which, nobody is graded, and a LayoutError says what to do.
"""

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from course.classroom.layout import gradescope
from course.classroom.layout.archives import Trouble, is_zip
from course.classroom.layout.chapters import Chapters
from course.classroom.layout.found import LayoutError
from course.classroom.layout.patterns import (
    NOBODY,
    NOTEBOOK,
    Named,
    Pattern,
    bare,
    is_class,
    is_generic,
    is_own,
    read_names,
)
from course.classroom.layout.texts import printable
from course.classroom.layout.tree import ENVIRONMENTS, File, Folder, Listing

NBGRADER = {"source", "release", "autograded", "feedback", "gradebook.db", "nbgrader_config.py"}
EXCHANGE = {"outbound", "feedback"}  # what nbgrader's exchange has beside inbound/
CHECKOUT = {"notebooks", "solutions", "course"}
METADATA = ("submission_metadata.yml", "submission_metadata.yaml")
GITHUB = Pattern("GitHub Classroom", None, packing=math.inf)  # files bear the time of the clone
PLAIN = Pattern("", None)
SHORT = re.compile(r"\d{1,2}")  # after a chapter's name this is a copy's or a version's number
MOST_PEEKED = 400  # names that are looked at to find out what kind of folder it is
PEEK_DEPTH = 4


@dataclass(frozen=True)
class Place:
    """Where something stands. container: the folder or zip whose times were made together. hint: the chapter that a
    folder above is named for. nbgrader: whether it is a tree that nbgrader made. settled: whether what stands here is
    known to be students'."""

    container: str = ""
    hint: str | None = None
    nbgrader: bool = False
    settled: bool = False
    beside: bool = False


@dataclass(frozen=True)
class Item:
    """One student's folder, zip or notebook. named: what its name says, or None."""

    node: File | Folder

    place: Place
    named: Named | None = None


class Levels:
    """Goes down from the folder that was given to the students' own.

    chapters: Chapters. zone: of times that bear none. open_zip: gives a class's zip as a Folder, or None where it
    cannot be read; fetch: the path of a File's contents; peek: the chapter that a File's contents say; refuse: takes a
    name and a reason.
    """

    def __init__(
        self,
        chapters: Chapters,
        zone: tzinfo | None,
        open_zip: Callable[[File], Folder | None],
        fetch: Callable[[File], Path],
        peek: Callable[[File], str | None],
        refuse: Callable[[str, str], None],
    ) -> None:
        self.chapters, self.zone, self.open_zip, self.fetch, self.peek = chapters, zone, open_zip, fetch, peek
        self.refuse = refuse
        self.passed: defaultdict[str, list[str]] = defaultdict(list)  # by system, the names of files that are its own
        self.remarks: list[str] = []
        self._named: dict[int, tuple[Folder, dict[str, Named]]] = {}

    def items(self, root: File | Folder) -> list[Item]:
        """The Items in a folder or a zip's Folder. Raises OSError and LayoutError."""
        if isinstance(root, File):
            folder = self.open_zip(root)
            if folder is None:
                return []
            if not is_class(title(folder)) and self.kind(folder, Place()) == "student":
                return [Item(root, Place())]
            return self.level(folder, Place(root.shown))
        place = Place()
        if root.path.name == "submitted":
            beside = root.path.absolute().parent
            place = Place(nbgrader=any((beside / name).exists() for name in NBGRADER), settled=True)
        return self.level(root, place)

    def level(self, folder: Folder, place: Place) -> list[Item]:
        """The Items in a folder that holds students, or assignments with students in them."""
        listing = folder.listing()
        for shown, reason in listing.refused:
            self.refuse(shown, reason)
        folders = [f for f in listing.folders if f.name not in ENVIRONMENTS]
        files = listing.files
        names = {one.name for one in folders} | {one.name for one in files}
        if names >= CHECKOUT:
            raise LayoutError(
                f"{folder.shown} is a copy of the course, not a folder of submissions: give the folder in which the "
                "students' folders or files are"
            )
        items = []
        for inner in folders:
            if inner.name == "submitted":
                items = self.level(inner, replace(place, nbgrader=bool(names & NBGRADER), settled=True))
                folders = [f for f in folders if f is not inner and f.name not in NBGRADER]
                files = [f for f in files if f.name not in NBGRADER]
            elif inner.name == "inbound" and names & EXCHANGE and self.in_systems_form(inner):
                items = self.level(inner, place)
                folders = [f for f in folders if f is not inner and f.name not in EXCHANGE]
        named = self.named(folder, folders, files)
        systems = {one.system for one in named.values()}
        notebooks, zips = [], []
        for file in files:
            if is_own(file.name, systems) or file.name in METADATA:
                self.passed[next(iter(systems), "Gradescope")].append(file.shown)
            elif NOTEBOOK.search(file.name):
                notebooks.append(file)
            elif is_zip(file.name):
                zips.append(file)
            elif file.name in named or self.chapters.in_name(file.name)[1]:
                notebooks.append(file)  # which it is not; its student shall be told so
            else:
                self.refuse(file.shown, "neither a notebook (.ipynb) nor a zip")
        if len(folders) == 1 and not (notebooks or zips or named or items or place.settled):
            if self.kind(folders[0], place) == "class":
                return items + self.level(folders[0], self.inside(folders[0], place))
        assignments = self.assignments(folder, folders, named, place)
        for one in folders:
            if one in assignments:
                items += self.level(one, self.inside(one, place))
            else:
                items.append(Item(one, place, named.get(one.name)))
        items += [Item(one, place, named.get(one.name)) for one in notebooks]
        students = [one for one in zips if one.name in named or not self.is_nameless(one)]
        others = bool(items) or len(zips) > 1 and bool(students)
        for file in zips:  # the last, for what else there is decides what they are
            items += self.zip(file, place, named.get(file.name), zips, others)
        return items

    def inside(self, folder: Folder, place: Place) -> Place:
        """The Place of what stands in a class's or an assignment's folder."""
        return replace(place, hint=self.chapters.of_folder(title(folder)) or place.hint)

    def named(self, folder: Folder, folders: list[Folder], files: list[File]) -> dict[str, Named]:
        """What names in a folder say: dict from a name to its Named."""
        if id(folder) not in self._named:
            self._named[id(folder)] = folder, self._read_names(folder, folders, files)
        return self._named[id(folder)][1]

    def _read_names(self, folder: Folder, folders: list[Folder], files: list[File]) -> dict[str, Named]:
        named = read_names([(f.name, False) for f in folders] + [(f.name, True) for f in files], self.zone)
        for file in files:
            if file.name in METADATA:
                named |= self.gradescope(file, folders)
        return named or self.prefixed(folder, folders, files)

    def gradescope(self, file: File, folders: list[Folder]) -> dict[str, Named]:
        """What the file of a Gradescope export says of the folders beside it."""
        known = {}
        try:
            known = gradescope.read_metadata(self.fetch(file))
        except Trouble as trouble:
            self.refuse(file.shown, str(trouble))
        found = {f.name: known.get(f.name) or gradescope.unknown(f.name) for f in folders}
        if nameless := [name for name, one in found.items() if one and one.name == name]:
            named = ", ".join(map(printable, nameless[:3]))
            self.remarks.append(
                f"{file.shown} does not say whose {len(nameless)} folders are ({named}): they are listed under the "
                "folders' names"
            )
        return {name: one for name, one in found.items() if one}

    def prefixed(self, above: Folder, folders: list[Folder], files: list[File]) -> dict[str, Named]:
        """<assignment>-<student>, where two or more begin alike, or where GitHub's tool made the folder above."""
        nodes: dict[str, File | Folder] = {f.name: f for f in folders}
        nodes |= {f.name: f for f in files if NOTEBOOK.search(f.name) or is_zip(f.name)}
        outer = title(above).casefold()
        groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for name, node in nodes.items():
            text = bare(name) if isinstance(node, File) else unicodedata.normalize("NFC", name)
            number, before, after = self.chapters.in_name(text)
            student = after.strip(" _-.")
            if number and not before and student and not is_generic(student) and not SHORT.fullmatch(student):
                groups[text[: len(text) - len(after)].casefold()][name] = student
        found: dict[str, Named] = {}
        for prefix, students in groups.items():
            cloned = outer.startswith(prefix) and outer.endswith("submissions")
            if cloned or len(set(students.values())) > 1:
                found |= {name: self._repository(nodes[name], who, cloned) for name, who in students.items()}
        if found:
            return found
        text = os.path.commonprefix([f.name for f in folders])
        prefix = text[: text.rfind("-") + 1]
        cloned = bool(prefix) and outer == f"{prefix}submissions".casefold()
        if prefix and (cloned or len(folders) > 1 and all(_listing(f).git for f in folders)):
            return {f.name: self._repository(f, f.name[len(prefix) :], cloned) for f in folders}
        return {}

    def _repository(self, node: File | Folder, student: str, cloned: bool) -> Named:
        git = cloned or isinstance(node, Folder) and _listing(node).git
        student = student.removesuffix("-main").removesuffix("-master") if git else student
        return Named(GITHUB.system, GITHUB, login=student) if git else Named("", PLAIN, name=student)

    # What kind of folder it is

    def kind(self, folder: Folder, place: Place) -> Literal["class", "student"]:
        """ "class" or "student": what a folder is that stands alone, by what is in it. Raises LayoutError where it may
        be either."""
        listing, name = _listing(folder), title(folder)
        if name == "submitted" or any(one.name == "submitted" and _listing(one).folders for one in listing.folders):
            return "class"
        if self.named(folder, listing.folders, listing.files):
            return "class"
        flat, loose = self.flat(listing.files)
        zips = [file for file in listing.files if is_zip(file.name)]
        people = [one for one in listing.folders if not self.is_work(one.name) and self.first_notebook(one)]
        work = [one for one in listing.folders if self.is_work(one.name) and self.first_notebook(one)]
        if is_class(name) or self.chapters.of_folder(name):
            students = people or flat or zips or any(self.kind(one, place) == "class" for one in work)
            return "class" if students else "student"
        if len(flat) > 1 and not loose:
            return "class"
        if flat or loose:
            return "student"
        if zips and not people and not work:
            many = len(zips) > 1 and not any(self.is_work(bare(file.name)) for file in zips)
            return "class" if many or all(self.is_nameless(file) for file in zips) else "student"
        if any(self.holds_class(one) for one in work):
            return "class"
        if not people:
            return "student"
        if self.holds_class(folder) and not work:
            return "class"
        if len(people) == 1 and self.holds_class(people[0]):
            return "class"
        inside = ", ".join(printable(one.name) for one in (*people, *work)[:4])
        raise LayoutError(
            f"it cannot be told whether {folder.shown} is a class or one student: there is nothing beside it, and in "
            f"it are {inside}. If these are students, grade {printable(name)} by itself (unpacked, where it is a zip); "
            "if it is one student's, put it into a folder called submitted and give that folder"
        )

    def is_work(self, name: str) -> bool:
        """Whether a folder's name says what is in it and not whose it is."""
        return is_generic(name) or self.chapters.of_folder(name) is not None

    def is_nobody(self, name: str) -> bool:
        """Whether a name can be no student's, nor a group's."""
        return self.is_work(name) or is_generic(name, NOBODY)

    def is_nameless(self, file: File) -> bool:
        """Whether a zip's name says nothing of a student."""
        name = bare(file.name)
        return is_class(name) or self.chapters.in_name(name)[1] == ""

    def flat(self, files: list[File]) -> tuple[set[str], bool]:
        """The students in the names of notebooks, and whether there are notebooks that name none."""
        found = [self.chapters.in_name(bare(f.name)) for f in files if NOTEBOOK.search(f.name)]
        students = {before for number, before, _ in found if number and before and not is_generic(before)}
        return students, any(not before or is_generic(before) for _, before, _ in found)

    def holds_class(self, folder: Folder) -> bool:
        """Whether the same chapter lies in two of a folder's folders that may be students'."""
        seen: defaultdict[str | None, int] = defaultdict(int)
        for one in _listing(folder).folders[:MOST_PEEKED]:
            if not self.is_work(one.name) and (file := self.first_notebook(one)):
                chapter = self.chapter_of(file)
                seen[chapter] += 1
                if chapter and seen[chapter] > 1:
                    return True
        return len(self.flat(_listing(folder).files)[0]) > 1

    def chapter_of(self, file: File) -> str | None:
        """The chapter of a notebook by its name, or else by its contents; None where neither says."""
        return self.chapters.in_name(bare(file.name))[0] or self.peek(file)

    def first_notebook(self, folder: Folder) -> File | None:
        """A notebook in a folder, near the top; None where a short look finds none."""
        level, seen = [folder], 0
        for _ in range(PEEK_DEPTH):
            below = []
            for one in level:
                listing = _listing(one)
                if listing.environment:
                    continue
                for file in listing.files:
                    if NOTEBOOK.search(file.name) or is_zip(file.name):
                        return file
                below += [f for f in listing.folders if f.name not in ENVIRONMENTS]
                seen += len(listing)
                if seen > MOST_PEEKED:
                    return None
            level = below
        return None

    def assignments(self, above: Folder, folders: list[Folder], named: dict[str, Named], place: Place) -> set[Folder]:
        """Those of the folders beside each other in which students are, and which are not students' themselves."""
        if named or not folders or place.nbgrader:
            return set()
        found = {one for one in folders if self.is_assignment(one)}
        others = [one for one in folders if one not in found]
        if not others or place.settled:
            return found
        if len(others) > 1 and all(self.in_systems_form(one) for one in others):
            return set(folders)
        twins = [self.people(one) for one in others]
        shared = {name for names in twins for name in names if sum(name in one for one in twins) > 1}
        if len(others) > 1 and len(shared) > 1 and all(len(names) > 1 for names in twins):
            chapters = [set(names.values()) for names in twins]
            if all(len(one) == 1 for one in chapters):
                return set(folders)
            if any(len(one) < len(names) for one, names in zip(chapters, twins)):
                raise LayoutError(
                    f"it cannot be told whether the folders in {above.shown} are students or assignments: in each are "
                    f"{', '.join(map(printable, sorted(shared)[:3]))}. Give one of them alone, or name the assignments "
                    "for their chapters"
                )
        if not found and all(self.is_work(one.name) and not self.chapters.of_folder(one.name) for one in folders):
            if any(self.first_notebook(one) for one in folders):
                raise LayoutError(
                    f"{above.shown} looks like one student's folder, for in it are "
                    f"{', '.join(printable(one.name) for one in folders[:4])}: give the folder above it, in which each "
                    "student has a folder"
                )
        return found

    def is_assignment(self, folder: Folder) -> bool:
        """Whether a folder is named for work and holds students."""
        if not self.is_work(folder.name):
            return False
        flat, loose = self.flat(_listing(folder).files)
        return not loose and bool(flat or self.people(folder) or self.in_systems_form(folder))

    def in_systems_form(self, folder: Folder) -> bool:
        """Whether the names in a folder are such as a system gives."""
        listing = _listing(folder)
        return bool(self.named(folder, listing.folders, listing.files))

    def people(self, folder: Folder) -> dict[str, str | None]:
        """The folders in a folder that may be students': dict from name to the chapter of a notebook there."""
        found = {}
        for one in _listing(folder).folders[:MOST_PEEKED]:
            if not self.is_work(one.name) and (file := self.first_notebook(one)):
                found[one.name] = self.chapter_of(file)
        return found

    # Zips

    def zip(self, file: File, place: Place, named: Named | None, zips: list[File], others: bool) -> list[Item]:
        """The Items of a zip: itself, where it is a student's, or those in it, where it is the class's. Beside other
        submissions a zip is one student's, and could hold a work in the name of another: there it is the class's only
        by its name and form, and even then counts for less than what lies outside."""
        if named or not self.is_nameless(file) and (others or len(zips) > 1):
            return [Item(file, place, named)]
        folder = self.open_zip(file)
        if folder is None:
            return []
        inner = replace(self.inside(folder, place), container=file.shown, beside=others)
        if not others:
            return self.level(folder, inner) if self.kind(folder, place) == "class" else [Item(file, place)]
        if not self.in_systems_form(folder) and not self.holds_class(folder):
            return [Item(file, place)]
        self.remarks.append(
            f"{file.shown} was taken for a zip of the class, by its name; for a student who is in it and outside, what "
            "lies outside counts"
        )
        return self.level(folder, inner)


def title(folder: File | Folder) -> str:
    """A folder's name, or a zip's without its ending."""
    return folder.name[:-4] if is_zip(folder.name) else folder.name


def _listing(folder: Folder) -> Listing:
    try:
        return folder.listing()
    except OSError:  # who reads it says so
        return Listing()
