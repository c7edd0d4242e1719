"""Putting an exercise back: the blank answer cell again in a learner's notebook, and what was there kept beside it."""

import json
import time
from pathlib import Path
from typing import Any, NoReturn

from course.exercises import keys, progress
from course.exercises.cells import EXERCISE, defines, untouched
from course.exercises.keys import ExerciseKey
from course.files import write
from course.grading import damage, submission


class ResetError(Exception):
    """An exercise that cannot be put back; the message says why and what to do. Nothing was changed."""


def reset(path: Path | str, number: str) -> Path | None:
    """Put an exercise's blank cell back into a learner's notebook, which is replaced by rename.

    path: the notebook. number: such as "3.2". An answer cell that is gone, or was made a Markdown cell, comes back, and
    so does its check. Returns the path of the file that holds what was there, or None where there was no answer.
    Raises ResetError.
    """
    path = Path(path)

    def damaged(sentence: str) -> NoReturn:
        raise ResetError(f"{path.name} is damaged and stays as it is: {sentence}. Mend it, or {damage.AGAIN}")

    try:
        key = keys.load_exercise(number)
        submission.read_cells(path, damaged)  # says in words what is wrong with a file that is no notebook
    except (keys.BadKey, submission.BadNotebook) as error:
        raise ResetError(str(error)) from None
    notebook = damage.parse(path.read_bytes())
    if "cells" not in notebook:
        raise ResetError(f"{path.name} is in an old format (nbformat 3): open it in Jupyter, save it, and try again")
    cells = notebook["cells"]
    mine = _answers(cells, key)
    had = [text for i in mine if not untouched(text := submission.as_read(cells[i])[1], key.stub)]
    kept = _keep(path, number, had) if had else None
    taken = {cell.get("id") for i, cell in enumerate(cells) if isinstance(cell, dict) and i not in mine}
    answer = cells[mine[0]] if mine else _cell(number, "answer", taken)
    _make_code(answer, key.stub)
    for i in reversed(mine):
        del cells[i]
    checks = [i for i, cell in enumerate(cells) if _is_check(cell, number)]
    at = mine[0] if mine else checks[0] if checks else len(cells)
    for i in checks:  # what is written there stays; what it said is true no longer
        cells[i] |= {"outputs": [], "execution_count": None}
    cells.insert(at, answer)
    if not checks:
        check = _cell(number, "check", taken)
        _make_code(check, key.check)
        cells.insert(at + 1, check)
    _number_of_format(notebook)
    try:
        write(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ResetError(f"{path} cannot be written ({error.strerror}); it is as it was") from None
    progress.record(key, "open", progress.place(path.parent))
    return kept


def _answers(cells: list[Any], key: ExerciseKey) -> list[int]:
    """The positions of the cells that are an exercise's answer: the code cells that begin with its line; else one that
    holds it; else the one with its id; else a Markdown cell that was one of these. Notes that name it are none."""
    number = key.number
    read = [(i, *submission.as_read(cell)) for i, cell in enumerate(cells) if isinstance(cell, dict)]
    code = [(i, source, ids) for i, kind, source, ids in read if kind == "code"]
    marked = [(i, source) for i, source, _ in code if any(found[1] == number for found in EXERCISE.finditer(source))]
    return (
        [i for i, source in marked if _begins(source, number)]
        or [i for i, _ in marked][:1]
        or [i for i, _, ids in code if submission.cell_id(number) in ids][:1]
        or [i for i, kind, text, _ in read if kind != "code" and _begins(text, number) and defines(text, key.name)][:1]
    )


def _begins(source: str, number: str) -> bool:
    """Whether a cell's source begins with an exercise's line."""
    found = EXERCISE.match(source.lstrip())
    return found is not None and found[1] == number


def _is_check(cell: Any, number: str) -> bool:
    """Whether a cell checks an exercise."""
    kind, source, _ = submission.as_read(cell) if isinstance(cell, dict) else ("", "", ())
    return kind == "code" and f'check("{number}"' in source


def _cell(number: str, role: str, taken: set[Any]) -> dict[str, Any]:
    """A new cell for an exercise. taken: the ids of the other cells."""
    metadata: dict[str, Any] = {"course": {"role": role, "exercise": number}}
    if role == "check":
        metadata["tags"] = ["nbval-check-output", "raises-exception"]
    name = submission.cell_id(number, "exercise" if role == "answer" else role)
    return {"id": name if name not in taken else f"{name}-again", "metadata": metadata}


def _make_code(cell: dict[str, Any], source: str) -> None:
    """Have a cell hold this code, and no output."""
    cell |= {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}
    cell.pop("attachments", None)  # of a Markdown cell


def _number_of_format(notebook: dict[str, Any]) -> None:
    """Cells may have ids from nbformat 4.5 on: take those of ours out of an older notebook."""
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        for cell in notebook["cells"]:
            if isinstance(cell, dict):
                cell.pop("id", None)


def _keep(path: Path, number: str, sources: list[str]) -> Path:
    """Write what an exercise's cells held to a dated file beside the progress; its path. Raises ResetError."""
    place = progress.place(path.parent)
    folder = (place.parent if place else path.parent) / "backup"
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    names = (f"{number}-{stamp}{f'-{n}' if n else ''}.py" for n in range(100))
    kept = next((folder / name for name in names if not (folder / name).exists()), None)
    try:
        if kept is None:
            raise FileExistsError("there are a hundred of this second")
        write(kept, "\n\n\n".join(source.rstrip("\n") for source in sources) + "\n")
    except OSError as error:
        why = getattr(error, "strerror", None) or error
        raise ResetError(
            f"what is there now cannot be kept in {folder} ({why}), so exercise {number} is left as it is"
        ) from None
    return kept
