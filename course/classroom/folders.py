"""Temporary folders that bear the number of the process that made them, so that what a killed one leaves is removed."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil

NAMED = re.compile(r"course-(?:kernels|grading)-(\d+)-\w+")


def prefix(kind: str) -> str:
    """What a folder's name begins with. kind: "kernels" or "grading"."""
    return f"course-{kind}-{os.getpid()}-"


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder as a context manager."""
    return tempfile.TemporaryDirectory(prefix=prefix("grading"))


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    for folder in Path(tempfile.gettempdir()).glob("course-*"):
        named = NAMED.fullmatch(folder.name)
        if named and not _made_by(folder, int(named[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _made_by(folder: Path, number: int) -> bool:
    """Whether the process of this number made a folder: the same number may be another one's by now."""
    try:
        return bool(psutil.Process(number).create_time() <= folder.stat().st_mtime + 1)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (psutil.Error, OSError):
        return True
