"""Which of several files of one student and chapter counts, and what is said of that."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from course.classroom.layout.archives import is_zip
from course.classroom.layout.found import Submission
from course.classroom.layout.owners import Candidate, Owner
from course.classroom.layout.patterns import NOTEBOOK, uncopied
from course.classroom.layout.texts import look
from course.classroom.layout.tree import EPOCH


class Comparison(Protocol):
    """What a comparison with the course's own tells, see `ours.Compared`."""

    ours: str
    blank: bool
    notes: list[str]


Compare = Callable[[str, str, Path], Comparison]  # of a student's notebook, of a chapter, at a path
Rank = tuple[Any, ...]  # by which files are sorted: a place for each of RULES

MOST_NAMED = 5  # other files that are named in a note
NOTHING_OF_THEIRS = "nothing of the student's own was handed in"
# Why a file counts and not the next best one, by the place in their ranks that tells them apart.
RULES = (
    "the course's own does not count",
    "what lies outside the class's zip was graded",
    "the newest file with answers was graded",
    "the file that says which chapter it is was graded",
    "the file whose name and contents agree was graded",
    "the newest file was graded",
    "their times do not tell them apart: the one with the highest number was graded",
    "their times do not tell them apart: the newest by the times in the zip was graded",
    "their times do not tell them apart: the one with the highest number of a copy was graded",
    "their times do not tell them apart: the last by name was graded",
)


def choose(
    candidates: list[Candidate], lost: list[tuple[Owner, str]], compare: Compare | None = None
) -> tuple[list[Submission], list[tuple[str, str]]]:
    """One Submission for each student and chapter, in order, and pairs of a name and a reason for what gave way.

    candidates: Candidates. lost: pairs of an Owner of whom nothing could be read and a chapter. compare: called with a
    student, a chapter and a path, gives an `ours.Compared`.
    """
    names = _names(candidates, lost)
    grouped, owners = defaultdict(list), defaultdict(set)
    for one in candidates:
        grouped[names[id(one.owner)], one.chapter].append(one)
        owners[names[id(one.owner)]].add(one.owner)
    gone = defaultdict(list)
    for owner, chapter in lost:
        gone[names[id(owner)], chapter].append(owner)
        owners[names[id(owner)]].add(owner)
    alike = _alike(owners)
    submissions: list[Submission] = []
    beaten: list[tuple[str, str]] = []
    for student, chapter in sorted({*grouped, *gone}, key=lambda key: (key[0].casefold(), key)):
        found = grouped[student, chapter]
        if not found:
            owner = gone[student, chapter][0]
            submissions.append(_lost(student, chapter, owner))
            continue
        ranks = {id(one): _rank(one, student, compare) for one in found}
        found.sort(key=lambda one: ranks[id(one)])
        best, notes = found[-1], []
        beaten += _beaten(found, ranks)
        theirs = [one for one in found if not one.ours and (best.weak or not one.weak)]
        notes += best.notes + best.owner.notes
        notes += [one.wrong for one in theirs if one.wrong]
        if len(theirs) > 1:
            notes.append(_several(theirs, ranks))
        folders = sorted({owner.folder for owner in owners[student] if not owner.system} - {""})
        if len(folders) > 1:
            notes.append(f"{len(folders)} folders are this student's: {', '.join(map(ascii, folders))}")
        if student in alike:
            notes.append(f"the name looks like that of another student: {', '.join(alike[student])}")
        notes += [f"something else of this student's could not be read: {o.lost}" for o in gone[student, chapter]]
        if best.owner.late:
            notes.append("its name says LATE: it was handed in after the deadline of the system that it comes from")
        submissions.append(_submission(student, best, notes, len(theirs)))
    return submissions, beaten


def _rank(one: Candidate, student: str, compare: Compare | None) -> Rank:
    """What to sort by: the last counts. Its places are those of RULES."""
    blank = False
    if compare:
        compared = compare(student, one.chapter, one.path)
        one.ours, blank = one.ours or compared.ours, compared.blank
        one.notes += compared.notes
    stem = NOTEBOOK.sub("", one.entry.name[:-4] if is_zip(one.entry.name) else one.entry.name)
    return (
        not one.ours,
        not one.owner.place.beside,
        not blank,
        not one.weak,
        not one.wrong,
        one.entry.when if one.timed else EPOCH,
        one.owner.named.order,
        one.entry.inner,
        uncopied(stem)[1],
        one.entry.shown,
    )


def _several(theirs: list[Candidate], ranks: dict[int, Rank]) -> str:
    """A sentence on how many files there were, and by which rule one counts."""
    best, second = ranks[id(theirs[-1])], ranks[id(theirs[-2])]
    rule = next(rule for rule, a, b in zip(RULES, best, second) if a != b or rule is RULES[-1])
    others = [one.entry.shown for one in reversed(theirs[:-1])]
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    many = f"{len(theirs)} attempts" if theirs[-1].stated else f"handed in {len(theirs)} times"
    return f"{many}; {rule}, not {', '.join(others[:MOST_NAMED])}{more}"


def _beaten(found: list[Candidate], ranks: dict[int, Rank]) -> Iterator[tuple[str, str]]:
    """What is listed of the files that gave way because they are the course's own or say too little."""
    ours = [one for one in found[:-1] if one.ours]
    if ours:
        more = f" and {len(ours) - 1} more" if len(ours) > 1 else ""
        yield f"{ours[0].entry.shown}{more}", f"passed over: {ours[0].ours}"
    for one in found[:-1]:
        if one.weak and not found[-1].weak and not one.ours:
            yield one.entry.shown, f"another file is this student's chapter {one.chapter}"


def _submission(student: str, best: Candidate, notes: list[str], attempts: int) -> Submission:
    owner = best.owner
    return Submission(
        student,
        best.chapter,
        best.path,
        best.entry.shown,
        best.entry.when,
        tuple(dict.fromkeys(notes)),
        problem=f"{NOTHING_OF_THEIRS}: {best.ours}" if best.ours else "",
        system=owner.system,
        name=owner.named.name,
        login=owner.named.login,
        id=owner.named.id,
        mail=owner.named.mail,
        attempts=max(1, attempts),
        late=owner.late,
        timed=best.timed,
    )


def _lost(student: str, chapter: str, owner: Owner) -> Submission:
    """The row of a student of whom nothing could be read."""
    named = owner.named
    return Submission(
        student,
        chapter,
        Path(),
        owner.shown,
        owner.when or EPOCH,
        tuple(dict.fromkeys(owner.notes)),
        problem=f"no notebook of this student's could be read: {owner.lost}",
        system=owner.system,
        name=named.name,
        login=named.login,
        id=named.id,
        mail=named.mail,
        late=owner.late,
        timed=owner.when is not None,
    )


def _names(candidates: list[Candidate], lost: list[tuple[Owner, str]]) -> dict[int, str]:
    """The name of each owner, by its identity: without the number that a system gave, unless two people share one."""
    ids, owners = defaultdict(set), {}
    for owner, chapter in [*((one.owner, one.chapter) for one in candidates), *lost]:
        ids[owner.student, chapter].add(owner.named.id)
        owners[id(owner)] = owner
    shared = {name for (name, _), found in ids.items() if len(found) > 1}
    return {
        key: f"{o.student} ({o.named.id})"
        if o.named.id and o.student in shared and o.named.id != o.student
        else o.student
        for key, o in owners.items()
    }


def _alike(students: Iterable[str]) -> dict[str, list[str]]:
    """Dict from a student to those whose names look like theirs."""
    groups = defaultdict(set)
    for student in students:
        groups[look(uncopied(student)[0])].add(student)
    return {s: sorted(group - {s}) for group in groups.values() for s in group if len(group) > 1}
