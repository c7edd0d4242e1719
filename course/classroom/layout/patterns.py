"""How learning management systems, browsers and people name what students hand in: tables, and what they mean."""

import contextlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

NOTEBOOK = re.compile(r"\.ipynb(?:\.txt|\.json)?$", re.IGNORECASE)  # browsers add an ending of their own
MINUTE = 60.0


@dataclass(frozen=True)
class Pattern:
    """How a system names the folder or the file of one student. named: what it calls the student (name, login, id),
    and, in groups of the same names, the assignment, late, order (a number that grows with each file), time, and rest,
    the name under which the student handed it in. times: how the time is written. packing: within how many seconds of
    each other the files' times are those of a download; always, where that is infinite."""

    system: str
    named: re.Pattern[str] | None
    times: tuple[str, ...] = ()
    packing: float = MINUTE
    folders: bool = True
    files: bool = True


def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


PATTERNS = (
    Pattern("Moodle", _compiled(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)")),
    Pattern(
        "Blackboard",
        _compiled(r"(?P<assignment>.+)_(?P<login>[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<rest>.+))?"),
        ("%Y-%m-%d-%H-%M-%S",),
    ),
    Pattern(
        "Brightspace",
        _compiled(
            r"(?P<id>\d+)-\d+ ?- ?(?P<name>.+?) ?- ?"
            r"(?P<time>(?:\w+\.? \d{1,2},?|\d{1,2}\.? \w+\.?,?) \d{4},? \d{1,2}[:._]?\d\d(?: ?[AaPp]\.?[Mm]\.?)?)"
            r"(?: ?- ?(?P<rest>.+))?"
        ),
        ("%b %d %Y %I:%M %p", "%B %d %Y %I:%M %p", "%d %b %Y %I:%M %p", "%d %B %Y %I:%M %p")
        + ("%b %d %Y %H:%M", "%B %d %Y %H:%M", "%d %b %Y %H:%M", "%d %B %Y %H:%M"),
    ),
    # It packs on demand, as a stream, which may take a while; an anonymous student has an id of letters.
    Pattern(
        "Canvas",
        _compiled(r"(?P<name>[^_].*?)(?P<late>_LATE)?_(?P<id>\d{3,})_(?P<order>\d{3,})_(?P<rest>.+)"),
        packing=60 * MINUTE,
        folders=False,
    ),
    Pattern(
        "Canvas",
        _compiled(r"(?P<late>LATE_)?(?P<id>anon_[A-Za-z0-9]+)_(?P<order>\d+)_(?P<rest>.+)"),
        packing=60 * MINUTE,
        folders=False,
    ),
    Pattern(
        "nbgrader",
        _compiled(
            r"(?P<login>[^+]+)\+(?P<assignment>.+)\+"
            r"(?P<time>\d{4}-\d\d-\d\d[ _]\d\d[:_]\d\d[:_]\d\d(?:\.\d+)?[ _]\w+(?:/\w+)?)(?:\+(?P<rest>\w+))?"
        ),
        ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"),
    ),
    Pattern("Sakai", _compiled(r"(?P<name>[^()]+, [^()]+?) ?\((?P<login>[^()\s]+)\)"), files=False),
)
# What systems put beside the students' files, of which one line is said. A student's own folder has some of them too.
OWN = {
    "Moodle": re.compile(r"onlinetext\.html|.*_assignsubmission_(?!file)[a-z]+_?(?:.*\.html)?"),
    "Blackboard": re.compile(r".+_attempt_\d{4}(?:-\d\d){5}\.txt"),
    "Brightspace": re.compile(r"index\.html"),
    "Canvas": re.compile(r".*_(?:\d{3,}|anon_\w+)_(?:text|link)\.html"),
    "Sakai": re.compile(
        r"grades\.(?:csv|xlsx?)|timestamp\.txt|comments\.txt|feedbackText\.html|.*submissionText\.html"
    ),
    "Gradescope": re.compile(r"submission_metadata\.ya?ml"),
    "nbgrader": re.compile(r"timestamp\.txt"),
    "GitHub Classroom": re.compile(r"classroom_roster\.csv|grades\.csv|README\.md|\.?gitignore"),
}

# "Copy of x", "x - Copy (2)", "x (1)", "x-Copy1", as browsers, Jupyter, Google Drive, macOS and Windows write them.
COPY = (
    "copy|kopie|copie|copia|cópia|kopia|kopio|kopi|kopija|kopya|kópia|másolat|salinan|bản sao|koopia|koopie"
    "|копия|копія|копие|αντίγραφο|コピー|副本|拷贝|複本|복사본|사본|สำเนา|نسخة|עותק"
)
OF = r"(?:\s*\(\d+\))?(?:\s+(?:of|von|van|de|di|do|da|av|af|pliku|file|файла|z|của|από|من|של))?"
COPY_OF = re.compile(rf"(?:{COPY}){OF}[\s_]+", re.IGNORECASE)
COPY_OF_AT_END = re.compile(rf"(?:[\s_\-–—]+(?:{COPY}){OF}){{1,9}}$", re.IGNORECASE)
COPIED = re.compile(
    rf"(?:[\s_]*[-–—]?[\s_]*(?<=[\s_–—-])(?:{COPY})[\s_]*(?P<nth>\d{{0,2}})"
    r"|[\s_]*[(（](?P<count>\d{1,2})[)）]|[\s_]*(?:のコピー|的副本|의 사본))$",
    re.IGNORECASE,
)

# Words of names that say what is in a folder and not whose it is; and of those that are given to a class.
WORK = set(
    "notebook notebooks solution solutions solved work src source sources code python course lesson lessons "
    "exercise exercises homework homeworks hw assignment assignments ps problem problems set sets lab labs week "
    "weeks wk chapter chapters ch part parts task tasks unit units module modules try tries attempt attempts "
    "version versions v final draft drafts old new backup backups archive copy copies submission submissions "
    "submitted file files document documents desktop download downloads misc temp tmp data project projects hand in "
    "upload uploads deep vision keras and the of attachment attachments feedback test tests doc docs result results "
    "output image images figure figures main master abgabe abgaben übung übungen uebung uebungen blatt woche "
    "kapitel aufgabe aufgaben lösung lösungen loesung loesungen tarea tareas entrega entregas ejercicio ejercicios "
    "semana semaine devoir devoirs rendu rendus tp td compiti settimana opgave opgaver uke vecka inlämning "
    "inlämningar 作业 提交 課題 提出".split()
)
NOBODY = WORK | set(
    "class classes classroom cohort inbound student students studierende klasse klassen kurs clase classe bulk all "
    "everything alle export gradebook".split()
)
CLASS = NOBODY | set("group groups section sections tutorial tutorials gruppe gruppen grupo grupos groupe team".split())
# A whole class's download, by the name that a system gives its zip or, unpacked, its folder.
DOWNLOAD = re.compile(
    r"submissions|.*[\s_-]submissions|gradebook_.+|.*bulk[_ ]?download|.+ Download .+ \d{4} .+|assignment_\d+_export",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """What a name says. when: an aware datetime, or None. rest: of the name, as the student gave it."""

    system: str
    pattern: Pattern | None
    name: str = ""
    login: str = ""
    id: str = ""
    mail: str = ""
    when: datetime | None = None
    late: bool = False
    order: int = 0
    rest: str = ""
    assignment: str = ""
    with_: "tuple[Named, ...]" = ()  # others who handed it in together with this student, each a Named

    @property
    def student(self) -> str:
        """What the student is called in the results."""
        return self.login or self.name or self.id


def bare(name: str) -> str:
    """A file's name without its ending and without the marks of a copy, composed (NFC)."""
    return uncopied(unicodedata.normalize("NFC", NOTEBOOK.sub("", re.sub(r"(?i)\.zip$", "", name))))[0]


def uncopied(name: str) -> tuple[str, int]:
    """A name without the marks of a copy, and the copy's number: 0 where it is none."""
    number = 0
    while (found := COPY_OF.match(name)) and found.end() < len(name):
        name = name[found.end() :]
    while found := COPIED.search(name):
        if not name[: found.start()].strip(" _-."):
            break
        number = max(number, int(found["count"] or found["nth"] or 1))
        name = name[: found.start()]
    return name, number


def is_generic(name: str, words: Collection[str] = WORK) -> bool:
    """Whether a folder's name says what is in it and not whose it is: by its words, beside which numbers of two digits
    may stand."""
    parts = re.findall(r"[^\W\d_]+|\d+", unicodedata.normalize("NFC", name).casefold())
    said = [part for part in parts if not (part.isdigit() and len(part) < 3)]
    return bool(said) and all(part in words for part in said)


def is_class(name: str) -> bool:
    """Whether a folder's or a zip's name is one that a whole class's gets."""
    return is_generic(name, CLASS) or bool(DOWNLOAD.fullmatch(name))


def is_own(name: str, systems: Iterable[str]) -> bool:
    """Whether a file is one that one of these systems puts beside the students'."""
    return any(OWN[system].fullmatch(name) for system in systems if system in OWN)


def read_names(names: Iterable[tuple[str, bool]], zone: tzinfo | None = None) -> dict[str, Named]:
    """What names say that stand beside each other: dict from each that a system gave to its Named.

    names: pairs of a name and whether it is a file's. zone: of times that bear none, else this machine's.
    """
    found = {}
    for name, is_file in names:
        text = unicodedata.normalize("NFC", NOTEBOOK.sub("", re.sub(r"(?i)\.zip$", "", name)) if is_file else name)
        for pattern in PATTERNS:
            match = pattern.named.fullmatch(text) if pattern.named else None
            if match and (pattern.files if is_file else pattern.folders):
                said: dict[str, Any] = {key: value or "" for key, value in match.groupdict().items()}
                said["late"], said["order"] = bool(said.get("late")), int(said.get("order") or 0)
                when = _time(said.pop("time", ""), pattern.times, zone)
                found[name] = Named(pattern.system, pattern, when=when, **said)
                break
    return _with_whole_logins(found)


def _with_whole_logins(found: dict[str, Named]) -> dict[str, Named]:
    """Blackboard parts by _ what may hold one: of what stands before the logins, the shortest is the assignment."""
    assignments = defaultdict(set)
    for named in found.values():
        assignments[named.system].add(named.assignment)
    whole = {}
    for name, named in found.items():
        short = [a for a in assignments[named.system] if a and named.assignment.startswith(f"{a}_")]
        if short and named.system == "Blackboard":
            assignment = min(short, key=len)
            login = f"{named.assignment[len(assignment) + 1 :]}_{named.login}"
            named = replace(named, assignment=assignment, login=login)
        whole[name] = named
    return whole


def _time(text: str, formats: Sequence[str], zone: tzinfo | None) -> datetime | None:
    """The aware datetime of a text in one of these formats, or None. A zone's name may follow it."""
    words = text.replace("_", " " if ":" in text else ":").replace(",", "").split()
    if text.count("_") and ":" not in text:  # a system that has no colon in names: 2026-11-19_21_30_10_UTC
        words = re.sub(r"(\d\d)[ _](\d\d)[_](\d\d)[_](\d\d)", r"\1 \2:\3:\4", text).replace("_", " ").split()
    if words and "/" in words[-1] or words and words[-1] in ("UTC", "GMT"):
        with contextlib.suppress(KeyError, ValueError, OSError):
            zone = UTC if words[-1] in ("UTC", "GMT") else ZoneInfo(words[-1])
        words = words[:-1]
    # 926 PM is 9:26, which strptime would take for something else
    clean = re.sub(r"\b(\d{1,2})[:._]?(\d\d)(?=(?: ?[AP]M)?$)", r"\1:\2", " ".join(words).upper().replace(".M.", "M"))
    for form in formats:
        for one in (clean, " ".join(words)):
            with contextlib.suppress(ValueError, OverflowError):
                when = datetime.strptime(one, form)
                return when.replace(tzinfo=zone) if zone else when.astimezone()
    return None
