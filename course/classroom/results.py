"""The folder that a class's results stand in: a file for each student and chapter, a lock, and the grader's log."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from course.classroom.layout import safe_name
from course.files import write

Result = dict[str, Any]  # a stored result: what PARTS names, and what `layout.Submission.described` says
Row = dict[str, Any]  # of one exercise in it, see `runner.verdicts`

SCHEMA = 2  # of a stored result; one of another shape counts as none, and is graded again
PARTS = {
    "schema",
    "student",
    "chapter",
    "file",
    "submitted",
    "status",
    "reason",
    "notes",
    "exercises",
    "digests",
    "answers",
}
log = logging.getLogger("course.grader")


class ResultsError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class Results:
    """The folder of results. Everything is written whole, by rename."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, student: str, stem: str) -> Path:
        return self.folder / "results" / safe_name(student) / f"{stem}.json"

    def load(self, student: str, stem: str) -> Result | None:
        """The stored result, or None where there is none, or none of this shape."""
        return _read(self.path(student, stem))

    def every(self) -> dict[tuple[str, str], Result]:
        """All stored results, by student and chapter: also of earlier runs, of other students or other chapters."""
        found = filter(None, map(_read, sorted(self.folder.glob("results/*/*.json"))))
        return {(result["student"], result["chapter"]): result for result in found}

    def save(self, result: Result, stem: str) -> None:
        """Store a result; an earlier one goes to history."""
        if not self.folder.is_dir():
            raise ResultsError(
                f"the output folder {self.folder} has vanished; put it back, and run the same command again"
            )
        path = self.path(result["student"], stem)
        if path.exists():
            kept = self.folder / "history" / path.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            count = len(list(kept.glob(f"{stem}.*.json"))) + 1
            shutil.copy2(path, kept / f"{stem}.{count}.json")
        write(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Holds the folder for one grader, which writes its steps to grader.log there. Raises ResultsError where
        another one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as lock:
            if not _locked(lock):
                raise ResultsError(
                    f"another grader is at work in {self.folder}: wait until it is done, or give this one another --out"
                )
            handler = logging.FileHandler(self.folder / "grader.log", encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            log.addHandler(handler)
            log.setLevel(logging.INFO)
            log.propagate = False
            try:
                log.info("begun, process %d", os.getpid())
                yield
                log.info("done")
            except BaseException as error:
                log.error("ended: %s: %s", type(error).__name__, error)
                raise
            finally:
                log.removeHandler(handler)
                handler.close()


def _read(path: Path) -> Result | None:
    """A stored result, or None where there is none, or none of this shape."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(result, dict) and result.get("schema") == SCHEMA and result.keys() >= PARTS
    return result if whole else None


def _locked(stream: IO[str]) -> bool:
    """Take the lock of an open file, which the system gives back when this process ends, however it does."""
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
