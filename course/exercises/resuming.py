"""`resume`: going on after a pause. The lesson's definitions, out of the chapter's key, without its training."""

import json
import linecache
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from course.exercises import keys
from course.exercises.cells import names_made
from course.exercises.keys import ChapterKey
from course.exercises.outcomes import ExerciseError
from course.lesson import settings


def resume(chapter: str | None = None, again: bool = False) -> None:
    """Run the definitions of a chapter's lesson that are not there, so that its exercises can be worked on.

    chapter: its number, such as "03"; without one, that which `start` began here, else that of the notebook. again: run
    those that are there too, in case one was changed. Nothing is trained. Raises ExerciseError, which says what to do.
    """
    namespace = sys._getframe(1).f_globals  # a notebook's cells all share one
    number = chapter or settings.chapter() or of_notebook(namespace)
    if number is None:
        raise ExerciseError('which chapter is this? Write its number: resume("03")')
    key = keys.load(number)
    began = time.perf_counter()
    made = bring_back(key, namespace, again)
    if not made:
        print(f"chapter {key.number}: the lesson's definitions are here")
        return
    print(
        f"chapter {key.number}: {made} names that the lesson defines are here again ({time.perf_counter() - began:.1f} "
        "s); what it computed or trained is not: where you need it, run those cells"
    )


def bring_back(key: ChapterKey, namespace: dict[str, Any], again: bool = False) -> int:
    """Run the definition cells of a ChapterKey in a namespace, but those of which all names are there, unless `again`.
    Returns how many names were made. Raises ExerciseError."""
    count = 0
    for position, source in enumerate(key.definitions, start=1):
        names = names_made(source)
        if not again and (all(name in namespace for name in names) if names else settings.chapter() == key.number):
            continue
        if "keras" in source:
            settings.import_keras()
        file = f"<chapter {key.number}, definition {position}>"
        # So that a traceback, and whoever asks for a function's source, finds the lines.
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        try:
            exec(compile(source, file, "exec"), namespace)
        except Exception as error:
            first = source.strip().splitlines()[0]
            raise ExerciseError(
                f"chapter {key.number}: a definition of the lesson cannot be run here, the cell that begins with "
                f"{first!r}: {type(error).__name__}: {error}. `course doctor` says what this machine lacks"
            ) from error
        count += len(names)
    return count


def of_notebook(namespace: dict[str, Any]) -> str | None:
    """The number of the chapter whose notebook this kernel runs, or None: Jupyter and VS Code say which it is, by its
    path; else the folder does, where it holds one chapter only."""
    said = [os.environ.get("JPY_SESSION_NAME"), namespace.get("__vsc_ipynb_file__")]
    for path in [Path(text) for text in said if text]:
        if found := chapter_of(path):
            return found
    there = {found for path in Path.cwd().glob("*.ipynb") if (found := chapter_of(path))}
    return there.pop() if len(there) == 1 else None


def chapter_of(path: Path) -> str | None:
    """The number of the chapter that a notebook says it is, in its metadata or by its name; or None."""
    try:
        number: str = json.loads(path.read_bytes())["metadata"]["course"]["chapter"]
        if number in keys.known():
            return number
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    named = re.match(r"(\d\d)_", path.name)
    return named[1] if named and named[1] in keys.known() else None
