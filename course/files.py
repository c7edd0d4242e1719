"""Files that are written whole or not at all, and notebooks as text."""

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


def write(path: Path | str, text: str | bytes, mode: int = 0o666) -> None:
    """Write a text file by rename, so that no reader ever sees half of it, and none is left where it cannot be written
    to the end. text: or bytes. mode: its permissions."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # two processes do not write into each other's
    part.unlink(missing_ok=True)
    # A lone surrogate cannot be written, and becomes a question mark.
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    try:
        with open(part, "wb", opener=functools.partial(os.open, mode=mode)) as stream:
            stream.write(data)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def load_notebook(path: Path | str) -> "NotebookNode":
    """A notebook's file as an nbformat NotebookNode, version 4."""
    import nbformat

    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def notebook_text(notebook: "NotebookNode") -> str:
    """A notebook as it is written to a file."""
    import nbformat

    return f"{nbformat.writes(notebook)}\n"
