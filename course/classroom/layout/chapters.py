"""Which chapter a notebook is of: by what is in it, else by its name, else by a number or a folder."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from course.classroom.layout.patterns import COPY_OF, COPY_OF_AT_END, is_generic, uncopied

LOOK = 2**21  # bytes at each end of a notebook that are looked at
SPACES = r"[\s_\-.]+"
METADATA = re.compile(rb'"course"\s*:\s*\{[^{}]*"chapter"\s*:\s*"?(\d{1,2})"?\s*[,}]')
# Only an executed reference carries this.
EVIDENCE = re.compile(rb'"course"\s*:\s*\{\s*"chapter"\s*:\s*"?\d{1,2}"?\s*,\s*"evidence"\s*:\s*\{')
EXERCISE = re.compile(rb'(?:"|\\n)[ \t]*#[ \t]*exercise[ \t]+(\d{1,2})\.\d{1,2}\b', re.IGNORECASE)


@dataclass(frozen=True)
class Contents:
    """What a notebook says it is: the chapter by its metadata and by its exercises' lines, or None; and whether it
    bears the evidence of an executed reference."""

    metadata: str | None = None
    lines: str | None = None
    reference: bool = False

    @property
    def chapter(self) -> str | None:
        return self.metadata or self.lines


class Chapters:
    """The chapters of a course, a dict from number to stem, {"03": "03_convolution"}, and how to tell them."""

    def __init__(self, stems: dict[str, str]) -> None:
        self.stems = stems
        self.patterns = {
            number: re.compile(
                rf"(?<![^\W_]){SPACES.join(map(re.escape, re.split(SPACES, stem)))}(?![^\W_])", re.IGNORECASE
            )
            for number, stem in stems.items()
        }

    def in_name(self, name: str) -> tuple[str | None, str | None, str]:
        """(chapter, what stands before it, what after), by a stem in a name; (None, None, "") without just one."""
        found = [(m.start(), m.end(), number) for number, p in self.patterns.items() for m in p.finditer(name)]
        found = [a for a in found if not any(b[0] <= a[0] and a[1] <= b[1] and a != b for b in found)]
        if len({number for *_, number in found}) != 1:
            return None, None, ""
        start, end, number = found[0]
        before = name[:start].strip(" _-.")
        before = "" if COPY_OF.fullmatch(f"{before} ") else COPY_OF_AT_END.sub("", before)
        return number, uncopied(before)[0].strip(" _-."), name[end:]

    def number_in(self, name: str, flat: bool = False) -> str | None:
        """The chapter whose number a name begins with, or, where a student's name goes before it, ends with."""
        found = re.match(r"(?:ch|chapter|kapitel)?[\s_\-]*(\d{1,2})(?!\d)", name, re.IGNORECASE)
        if not found and flat:
            found = re.search(r"[\s_\-](?:(?:ch|chapter)[\s_\-]*(?=\d)|(?=\d\d))(\d{1,2})$", name, re.IGNORECASE)
        number = f"{int(found[1]):02d}" if found else None
        return number if number in self.stems else None

    def of_folder(self, name: str) -> str | None:
        """The chapter that a folder is named for, and nothing else: its stem, or "Chapter 3"."""
        number, before, after = self.in_name(name)
        after = uncopied(after)[0].strip(" _-.")
        if number and not before and (not after or after.isdigit() or is_generic(after)):
            return number
        return self.number_in(name) if re.fullmatch(r"(?i)(?:ch|chapter|kapitel)?[\s_\-]*\d{1,2}", name) else None

    def of_contents(self, path: Path) -> Contents:
        """The Contents of a notebook at a path."""
        try:
            return self.of_text(ends(path, LOOK))
        except OSError:
            return Contents()

    def of_text(self, text: bytes) -> Contents:
        """The Contents of a notebook's bytes. Found by its text, for the JSON may be broken or enormous; inside a
        string the quotes would be escaped, so that no cell's text is mistaken for metadata."""
        text = text.replace(b"\0", b"")  # without zeros, UTF-16 reads as well
        said = [number for number in map(_number, METADATA.findall(text)) if number in self.stems]
        lines = Counter(number for number in map(_number, EXERCISE.findall(text)) if number in self.stems)
        return Contents(
            said[-1] if said else None, lines.most_common(1)[0][0] if lines else None, bool(EVIDENCE.search(text))
        )


def _number(found: bytes) -> str:
    return f"{int(found):02d}"


def ends(path: Path, size: int) -> bytes:
    """The first and the last `size` bytes of a plain file. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as stream:
        head = stream.read(size)
        at = max(size, os.fstat(stream.fileno()).st_size - size)
        stream.seek(at)
        return head + stream.read(size)
