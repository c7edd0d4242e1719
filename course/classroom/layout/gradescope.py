"""Who handed in what, by the file that a Gradescope export has beside the students' folders."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from course.classroom.layout.archives import Trouble
from course.classroom.layout.patterns import MINUTE, Named, Pattern

MOST_BYTES = 50 * 2**20
PATTERN = Pattern("Gradescope", None, packing=MINUTE)


def read_metadata(path: Path) -> dict[str, Named]:
    """Dict from a folder's name, "submission_123", to its Named; of several people, the others in its `with_`. Raises
    Trouble."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Trouble("too large to be read")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        table = yaml.load(path.read_bytes(), loader)
    except (OSError, yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        raise Trouble(f"cannot be read, so that it is not known who handed in what ({type(error).__name__})") from None
    found = {}
    for folder, about in (table if isinstance(table, dict) else {}).items():
        if isinstance(about, dict) and (people := list(_people(about.get(":submitters"), _when(about)))):
            first, *others = people
            found[str(folder)] = Named(**vars(first) | {"with_": tuple(others)})
    return found


def unknown(folder: str) -> Named | None:
    """The Named of an export's folder of which nothing is known; None of another folder."""
    number = re.fullmatch(r"submission_(\d+)", folder)
    return Named("Gradescope", PATTERN, name=folder, id=number[1]) if number else None


def _people(listed: Any, when: datetime | None) -> Iterator[Named]:
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            name, number, mail = (_text(one.get(key)) for key in (":name", ":sid", ":email"))
            if name or mail:
                yield Named("Gradescope", PATTERN, name=name or mail, id=number, mail=mail, when=when)


def _text(value: Any) -> str:
    """A name or a number as a short text; anything else, which may be of any size, as none."""
    return str(value).strip()[:200] if isinstance(value, (str, int)) else ""


def _when(about: dict[str, Any]) -> datetime | None:
    when = about.get(":created_at")
    if not isinstance(when, (str, datetime)):
        return None
    try:
        when = datetime.fromisoformat(str(when).replace(" Z", "+00:00").replace(" UTC", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone()
    except (ValueError, OverflowError):
        return None
