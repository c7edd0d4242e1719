"""A class's keys as they were sealed, beside its results: so that what was sealed once need not be again."""

import hashlib
import os
from functools import cache
from importlib import metadata
from pathlib import Path

from course.exercises import keys
from course.exercises.keys import ChapterKey
from course.files import write

PACKAGE = Path(__file__).resolve().parent.parent
LIBRARIES = ("numpy", "scipy", "keras", "tensorflow", "jax", "torch")


def stamp(source: bytes, secret: bytes) -> str:
    """What a key depends on, as a short text: the chapter's source, the class's secret (both bytes), the course's code,
    and the libraries that its oracles call."""
    return hashlib.sha256(b"\0".join((_surroundings(), hashlib.sha256(secret).digest(), source))).hexdigest()[:16]


@cache
def _surroundings() -> bytes:
    known = [os.environ.get("KERAS_BACKEND", "")]
    for name in LIBRARIES:
        try:
            known.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            known.append("")
    code = [path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))]
    return hashlib.sha256(b"\0".join([" ".join(known).encode(), *code])).digest()


def find(folder: Path | str, number: str, stamp: str = "*") -> ChapterKey | None:
    """The kept ChapterKey of a chapter that has this stamp, or any; None where there is none that is whole."""
    for path in _paths(folder, number, stamp):
        try:
            return keys.from_text(path.read_bytes(), path.name, "remove it")
        except (OSError, keys.BadKey):
            continue
    return None


def keep(folder: Path | str, key: ChapterKey, stamp: str = "") -> ChapterKey:
    """Keep a class's key in a folder of results, in place of an earlier one, for its owner's eyes only. Returns it.
    stamp: where it was sealed here."""
    text = keys.as_text(key)
    path = Path(folder) / "keys" / f"class-{key.number}-{stamp or hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if not path.exists():
        write(path, text, mode=0o600)
    for other in _paths(folder, key.number, "*"):
        if other != path:
            other.unlink(missing_ok=True)
    return key


def _paths(folder: Path | str, number: str, stamp: str) -> list[Path]:
    return sorted((Path(folder) / "keys").glob(f"class-{number}-{stamp}.json"))
