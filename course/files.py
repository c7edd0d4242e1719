"""Files that are written whole or not at all, and notebooks as text."""

import functools
import os
from pathlib import Path


def write(path, text, mode=0o666):
    """Write a text file by rename, so that no reader ever sees half of it. mode: its permissions."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    opener = functools.partial(os.open, mode=mode)
    with open(part, "w", encoding="utf-8", errors="replace", newline="\n", opener=opener) as stream:
        stream.write(text)  # a lone surrogate cannot be written, and becomes a question mark
    os.replace(part, path)


def load_notebook(path):
    """A notebook's file as an nbformat NotebookNode, version 4."""
    import nbformat

    return nbformat.read(path, as_version=4)


def notebook_text(notebook):
    """A notebook as it is written to a file."""
    import nbformat

    return nbformat.writes(notebook) + "\n"
