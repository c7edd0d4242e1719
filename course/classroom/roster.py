"""The list of a class: who belongs to it, under which names, and who has handed nothing in.

A roster is a CSV file with a line of headings, as LMSs export it: a Canvas gradebook, Moodle's participants or grading
worksheet, nbgrader's students, GitHub Classroom's roster, or a table of one's own.
"""

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from course.classroom import lms, rules
from course.classroom.layout import printable
from course.classroom.results import Result

# A heading, without capitals and all that is no letter or digit, for each thing that is known of a student.
HEADINGS = {
    "login": "login loginid username userlogin sisloginid githubusername benutzername anmeldename",
    "id": "id lmsid lmsuserid userid canvasid participant",
    "number": "sisuserid identifier studentid idnumber number matriculation matriculationnumber matrikelnummer "
    "orgdefinedid sid",
    "first_name": "first firstname givenname vorname prenom nombre",
    "last_name": "last lastname surname familyname nachname nom apellidos",
    "name": "name student fullname studentname vollstandigername nomcomplet nombrecompleto",
    "mail": "mail email emailaddress emailadresse correo adressedecourriel",
    "section": "section group groups",
}
FIELD_OF = {heading: name for name, headings in HEADINGS.items() for heading in headings.split()}
NOBODY = {"points possible", "student, test", "test student"}  # rows of a Canvas gradebook that are no student's
MOST_STUDENTS = 20_000
MOST_NAMED = 20  # in one remark


class RosterError(Exception):
    """A roster that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Person:
    """A student of the class; what is not known is "". id: the LMS's. number: the registry's. student: as results call
    this person."""

    line: int
    login: str = ""
    id: str = ""
    number: str = ""
    first_name: str = ""
    last_name: str = ""
    name: str = ""
    mail: str = ""
    section: str = ""
    student: str = ""

    @property
    def shown(self) -> str:
        """A name for people."""
        return self.name or self.key

    @property
    def key(self) -> str:
        """By what a row is known whose student handed nothing in."""
        return self.login or self.mail or self.id or self.number or self.name


@dataclass
class Roster:
    """A class's list. people: Persons. remarks: what was odd about the file, in sentences."""

    people: list[Person]
    remarks: list[str] = field(default_factory=list)


def read_roster(path: Path | str) -> Roster:
    """The Roster in a CSV file. Raises RosterError."""
    name = Path(path).name
    try:
        text = _decoded(Path(path).read_bytes())
    except OSError as error:
        raise RosterError(f"the roster {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RosterError(f"the roster {name} is not text: save the table as CSV, in UTF-8") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    if "\0" in text or first.startswith("PK"):
        raise RosterError(f"the roster {name} is no CSV file: save the table as CSV, in UTF-8")
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise RosterError(f"the roster {name} is no CSV file: {error}") from None
    start = next((i for i, row in enumerate(rows) if any(cell.strip() for cell in row)), None)
    if start is None:
        raise RosterError(f"the roster {name} is empty")
    headings = [_squashed(heading) for heading in rows[start]]
    columns = [FIELD_OF.get(heading) for heading in headings]
    if "lmsuserid" in headings and "id" in headings:  # nbgrader's own id is the login
        columns[headings.index("id")] = "login"
    if not {"login", "id", "number", "mail", "name", "last_name"} & set(columns):
        raise RosterError(
            f"the roster {name}: its first line, {printable(delimiter.join(rows[start]))[:120]!r}, has no heading that "
            "tells who a student is: write headings such as login, id, first_name, last_name, email"
        )
    roster, seen = Roster([]), dict[tuple[str, str], int]()
    for line, row in enumerate(rows[start + 1 :], start + 2):
        person = _person(line, columns, row)
        if person is None:
            continue
        again = next((seen[key] for key in _sure(person) if key in seen), None)
        if again:
            roster.remarks.append(f"the roster's line {line} is {person.shown}'s again, after line {again}: left out")
            continue
        seen.update(dict.fromkeys(_sure(person), line))
        roster.people.append(person)
        if len(roster.people) > MOST_STUDENTS:
            raise RosterError(f"the roster {name} has more than {MOST_STUDENTS:,} students")
    if not roster.people:
        raise RosterError(f"the roster {name} has headings and no student")
    return roster


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")  # a spreadsheet's, on Windows


def _person(line: int, columns: list[str | None], row: list[str]) -> Person | None:
    """The Person of a row, or None where it is nobody's."""
    known: defaultdict[str, str] = defaultdict(str)
    for column, cell in zip(columns, row):
        if column and not known[column]:
            known[column] = " ".join(cell.split())
    if not any(known.values()) or known["name"].casefold() in NOBODY:
        return None
    if found := re.fullmatch(r"Participant (\d+)", known["number"]):  # the Identifier of Moodle's grading worksheet
        known |= {"number": "", "id": found[1]}
    if not known["name"]:
        known["name"] = f"{known['first_name']} {known['last_name']}".strip()
    elif not known["last_name"]:
        known |= _parts(known["name"])
    return Person(line, **{name: known[name] for name in HEADINGS})


def _parts(name: str) -> dict[str, str]:
    """First and last name, of "Doe, Jane" or "Jane Doe"."""
    if "," in name:
        last, _, first = name.partition(",")
        return {"first_name": first.strip(), "last_name": last.strip(), "name": f"{first.strip()} {last.strip()}"}
    first, _, last = name.rpartition(" ")
    return {"first_name": first, "last_name": last}


def _squashed(text: object) -> str:
    """A text's letters and digits, without accents and capitals."""
    return "".join(c for c in unicodedata.normalize("NFKD", str(text)).casefold() if c.isalnum())


def _words(text: str) -> str:
    return " ".join(sorted(filter(None, map(_squashed, re.split(r"[^\w]+|_", unicodedata.normalize("NFC", text))))))


def _sure(person: Person) -> set[tuple[str, str]]:
    """What only one student can have."""
    named = ("login", "id", "number", "mail")
    return {(name, _squashed(getattr(person, name))) for name in named if getattr(person, name)}


def _names(person: Person) -> tuple[set[str], set[str], set[str]]:
    """By what a person may be called in a submission: sets of keys, the surest first."""
    own = [person.login, person.mail, person.number, person.id]
    squashed = {_squashed(person.first_name + person.last_name), _squashed(person.last_name + person.first_name)}
    return (
        {_squashed(text) for text in own if text},
        {_squashed(person.mail.partition("@")[0])} if "@" in person.mail else set(),
        ({_words(person.name)} if person.name else set()) | {text for text in squashed if len(text) > 3},
    )


def join(roster: Roster, results: list[Result]) -> tuple[list[Result], list[Result], list[str]]:
    """Join a class's results with its roster. Returns (results with the names, mail and ids of those on it; results of
    those who handed nothing in, for each chapter that anybody did; remarks).

    results: as they are stored. Joined is by the LMS's id, then login, mail or number, then name; and only where
    exactly one student of the roster fits.
    """
    students = defaultdict(list)
    for result in results:
        students[result["student"]].append(result)
    person_of, remarks = _match(roster, students)
    found = [result | _known(person_of.get(result["student"])) for result in results]
    handed_in = {(person_of[r["student"]].line, r["chapter"]) for r in results if r["student"] in person_of}
    called = _called(roster, person_of, students)
    absent = [
        _absent(replace(person, student=called[person.line]), chapter)
        for chapter in sorted({r["chapter"] for r in results})
        for person in roster.people
        if (person.line, chapter) not in handed_in
    ]
    return found, absent, [*roster.remarks, *remarks]


def _called(roster: Roster, person_of: dict[str, Person], students: dict[str, list[Result]]) -> dict[int, str]:
    """What the rows of each Person are called, by line: as the submissions are, where there are any."""
    called = {person.line: person.student for person in person_of.values()}
    taken = Counter(person.key for person in roster.people) + Counter(list(students))
    for person in roster.people:
        called.setdefault(person.line, person.key if taken[person.key] == 1 else f"{person.key} (line {person.line})")
    return called


def _match(roster: Roster, students: dict[str, list[Result]]) -> tuple[dict[str, Person], list[str]]:
    """The Person of each student who is on the roster, and what is to be said of the others."""
    levels: list[defaultdict[str, set[Person]]] = [defaultdict(set) for _ in range(3)]
    for person in roster.people:
        for level, keys in zip(levels, _names(person)):
            for key in keys:
                level[key].add(person)
    with_id = defaultdict(set)
    for person in roster.people:
        with_id[person.id].add(person)
    by_id = {student: _by_id(with_id, own, student) for student, own in students.items()}
    ids_hold = any(by_id.values())  # the roster's ids are the LMS's, so that other ids are other students'
    person_of, strangers, remarks = {}, [], []
    for student, own in students.items():
        fits = by_id[student]
        texts = [student, *(str(r.get(name) or "") for r in own for name in ("name", "login", "mail"))]
        keys = {*map(_squashed, texts), *map(_words, texts)} - {""}
        ids = {one for r in own if (one := _canvas_id(r))}
        for level in levels:
            fits = fits or {
                person
                for key in keys
                for person in level.get(key, ())
                if not (ids_hold and ids and person.id and person.id not in ids)
            }
        if len(fits) == 1:
            person_of[student] = replace(*fits, student=student)
        elif fits:
            names = " and ".join(sorted(person.shown for person in fits))
            remarks.append(f"{student} could be {names} of the roster: not joined with either")
        else:
            strangers.append(student)
    if strangers:
        named = ", ".join(strangers[:MOST_NAMED]) + (" ..." if len(strangers) > MOST_NAMED else "")
        remarks.append(f"{len(strangers)} who handed something in are not on the roster: {named}")
    for line, count in Counter(person.line for person in person_of.values()).items():
        if count > 1:
            same = [student for student, person in person_of.items() if person.line == line]
            remarks.append(f"{' and '.join(same)} are one student of the roster, in its line {line}")
    return person_of, remarks


def _by_id(with_id: dict[str, set[Person]], own: list[Result], student: str) -> set[Person]:
    """Who has the LMS's id of a student's submissions. That of Moodle's downloads is a number in one activity, and may
    be somebody else's in the roster: there the names must have a word in common."""
    words, fits = {*_words(student).split()}, set()
    for result in own:
        came = lms.origin(result["file"])
        known = str(result.get("id") or (came.id if came else ""))
        fits |= {
            person
            for person in with_id.get(known, ())
            if known and (_canvas_id(result) or words & {*_words(person.name).split()})
        }
    return fits


def _canvas_id(result: Result) -> str | None:
    """The id of a Canvas submission's student, or None."""
    came = lms.origin(result["file"])
    return came.id if came and came.system == "Canvas" else None


def _known(person: Person | None) -> dict[str, str]:
    """What a roster adds to a result; what it does not know stays as the result has it."""
    if person is None:
        return {}
    names = {name: getattr(person, name) for name in ("first_name", "last_name", "mail", "login", "number", "section")}
    return {name: value for name, value in (names | {"lms_id": person.id}).items() if value}


def _absent(person: Person, chapter: str) -> Result:
    """The row of a student who handed nothing in, in the form of a stored result."""
    return {
        "student": person.student,
        "chapter": chapter,
        "file": "",
        "submitted": "",
        "graded": "",
        "status": rules.MISSING,
        "reason": "nothing was handed in",
        "notes": [],
        "sandboxed": True,
        "seconds": 0.0,
        "exercises": [],
        "digests": {},
        "answers": {},
    } | _known(person)
