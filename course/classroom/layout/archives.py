"""Zips that nobody has looked into: opened, listed and unpacked within limits."""

import contextlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from course.classroom.layout.texts import printable

DIRECTORY_BYTES = 2**20  # of a student's zip's table of contents; a class's may have 64 times as much
RATIO = 200  # unpacked to packed size; English text reaches 5, a notebook's repeated logs 50


class Trouble(Exception):
    """Something that cannot be read; the text is an Unread's reason."""


def is_zip(name: str) -> bool:
    """Whether a file's name is a zip's."""
    return name.lower().endswith(".zip")


def open_zip(path: Path, most: int = DIRECTORY_BYTES) -> ZipFile:
    """Open a zip whose table of contents has at most `most` bytes; raises Trouble."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 70_000))
            tail = stream.read()
        sizes = [0]
        for mark, form, at in ((b"PK\5\6", "<L", 12), (b"PK\6\6", "<Q", 40)):
            if (found := tail.rfind(mark)) >= 0 and len(tail) >= found + at + 8:
                sizes.append(struct.unpack_from(form, tail, found + at)[0])
        if max(size for size in sizes if size != 0xFFFFFFFF) > most:
            raise Trouble("a zip of far too many files")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError, UnicodeError) as error:
        empty = "an empty file, not a zip" if size == 0 else f"not a zip that can be read: {printable(error)}"
        raise Trouble(empty) from None
    except OSError as error:
        raise Trouble(f"cannot be read: {error.strerror}") from None


def member_names(info: ZipInfo) -> tuple[str, ...]:
    """The parts of an entry's name. A name without the UTF-8 mark is UTF-8 all the same, as macOS writes it, or DOS."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))


def blocks(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """The contents of an entry, piece by piece; raises Trouble."""
    try:
        with archive.open(info) as source:
            while block := source.read(1 << 20):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, struct.error, OSError) as error:
        raise Trouble(f"damaged in its zip: {printable(error)}") from None


def unpack(archive: ZipFile, info: ZipInfo, path: Path, limit: int, spend: Callable[[int], None], cut: bool) -> None:
    """Unpack an entry to a path. Raises Trouble.

    limit: the most bytes of it. spend: called with the size of each piece; it raises Trouble where that is too much.
    cut: a file that is larger than the limit becomes an empty one of more than that size, which takes no room, instead
    of being refused.
    """
    if info.flag_bits & 1:
        raise Trouble("encrypted: hand it in without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Trouble("compressed in an unusual way: make an ordinary zip")
    bomb = info.file_size > 2**20 and info.file_size > RATIO * max(1, info.compress_size)
    if info.file_size > limit and not cut or bomb and info.file_size <= limit:
        raise Trouble(f"it would unpack to {info.file_size / 2**20:,.0f} MB: too much for what it is")
    done = 0
    with open(path, "wb") as target:
        for block in blocks(archive, info) if info.file_size <= limit else ():
            done += len(block)
            spend(len(block))
            if done > limit:
                break
            target.write(block)
        if info.file_size > limit or done > limit:
            target.truncate(limit + 1)
