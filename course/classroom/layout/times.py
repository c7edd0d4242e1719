"""When a notebook was handed in: what says so, and what only looks as if it did."""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from course.classroom.layout.archives import Trouble
from course.classroom.layout.chapters import ends
from course.classroom.layout.owners import Candidate
from course.classroom.layout.patterns import MINUTE

ENOUGH = 0.75  # of the students: a few files may have been put beside a download by hand


def of_stamp(path: Path, zone: tzinfo | None = None) -> datetime:
    """The time in a timestamp.txt: nbgrader's "2026-03-01 12:00:00.000000 Europe/Berlin", or Sakai's
    "20260301120000000", which is UTC. Raises Trouble."""
    try:
        text = ends(path, 200).decode()
        if text.strip().isdigit():
            return datetime.strptime(text.strip()[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).astimezone()
        day, hour, *rest = text.split()
        when = datetime.fromisoformat(f"{day} {hour}")
        if when.tzinfo is None:
            when = when.replace(tzinfo=ZoneInfo(rest[0]) if rest else zone or UTC)
        return when.astimezone()
    except (OSError, ValueError, KeyError, OverflowError):
        raise Trouble("its timestamp.txt cannot be read; the file's own time was taken") from None


def mark_packed(candidates: list[Candidate]) -> list[str]:
    """Find the times that are those of a download and not of handing in: `timed` of those candidates becomes False.

    Nearly all of a chapter's students in one folder or zip do not hand in within a minute of each other; where a
    system's downloads are known to bear such times, there need be no others. Returns sentences for the instructor.
    """
    groups: defaultdict[tuple[str, str, str], list[Candidate]] = defaultdict(list)
    packed: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        if not one.stated:
            groups[one.owner.container, one.owner.system, one.chapter].append(one)
    for (_, system, chapter), found in sorted(groups.items(), key=lambda g: (g[0][2], g[0][1])):
        packing = max(one.owner.packing for one in found)
        students = {one.owner.student for one in found}
        if math.isinf(packing):
            together = found
        else:
            together = _largest(sorted(found, key=lambda c: c.entry.when), timedelta(seconds=packing))
        many = {one.owner.student for one in together}
        if packing > MINUTE or len(many) > 1 and len(many) >= ENOUGH * len(students):
            packed[chapter, system] += together
    for found in packed.values():
        for one in found:
            one.timed = False
    return [_sentence(chapter, system, found) for (chapter, system), found in packed.items()]


def _largest(found: list[Candidate], window: timedelta) -> list[Candidate]:
    """The most candidates, in the order of their times, that lie within a window of time."""
    best: list[Candidate] = []
    first = 0
    for last, one in enumerate(found):
        while one.entry.when - found[first].entry.when > window:
            first += 1
        if last - first + 1 > len(best):
            best = found[first : last + 1]
    return best


def _sentence(chapter: str, system: str, found: list[Candidate]) -> str:
    times = [one.entry.when for one in found]
    spread = (max(times) - min(times)).total_seconds()
    late = sum(one.owner.late for one in found)
    source = f" from {system}" if system else ""
    flagged = (
        f" {late} bear LATE in their names: [late] marked_days in the rules says what that counts." if late else ""
    )
    return (
        f"chapter {chapter}: THE TIMES ARE THOSE OF THE DOWNLOAD{source}, not of handing in ({len(found)} files within "
        f"{spread:.0f} seconds of each other): nobody loses points for days.{flagged} Decide by hand who was late, or "
        "grade a copy whose files bear the times of handing in"
    )
