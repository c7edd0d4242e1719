"""Executing a chapter's notebook, and saying in the author's own terms what failed."""

import copy
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from course.authoring.chapters import Chapter
from course.authoring.notebooks import COMPARED

ENVIRONMENT = {
    # What a reference is executed with. Inside pytest, ipykernel leaves the C++ log lines alone instead of putting
    # them among a cell's outputs; nbval runs there, so a reference must be made alike.
    "PYTEST_CURRENT_TEST": "course build",
    "COURSE_BUDGET": "quick",
    "COURSE_SEED": "0",
    "COURSE_PROGRESS": "off",  # an author's checks are no learner's
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Figures go into the notebook, whatever an author's shell says.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class ExecutionError(Exception):
    """A cell that fails; the message names its place in the source, the line, and what went wrong."""


def execute(
    notebook: Any, chapter: Chapter, progress: Callable[[int, int], object] | None = None, **environment: str
) -> Any:
    """Run a notebook derived from `chapter` in place, in the folder of the chapter's source; raises ExecutionError at
    the first cell that fails.

    progress: called with (cells done, all cells) after each cell. environment: further variables for the kernel.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
    )  # this environment's Python, whatever kernels a user has installed
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        allow_errors=False,
        force_raise_errors=True,
        record_timing=False,
        coalesce_streams=True,  # where a kernel cuts a text in two is a matter of timing
        resources={"metadata": {"path": str(chapter.path.parent)}},
    )
    at = {"cell": notebook.cells[0]}
    client.on_cell_start = lambda cell, cell_index, **_: at.update(cell=cell)
    if progress:
        client.on_cell_executed = lambda cell, cell_index, **_: progress(cell_index + 1, len(notebook.cells))
    metadata = copy.deepcopy(notebook.metadata)
    try:
        client.execute(env=variables(environment), stderr=subprocess.DEVNULL, cleanup_kc=True)
    except CellExecutionError as error:
        raise ExecutionError(explain(chapter, at["cell"], error)) from None
    except DeadKernelError:
        raise ExecutionError(f"{place(chapter, at['cell'])}: the Python process ended in this cell") from None
    notebook.metadata = metadata  # nbclient adds the Python version, which would differ between machines
    tidy(notebook, chapter)
    return notebook


def variables(more: dict[str, str]) -> dict[str, str]:
    """The environment that a reference is executed in."""
    return {name: value for name, value in os.environ.items() if name != "COURSE_SCALE"} | ENVIRONMENT | more


def place(chapter: Chapter, cell: Any, line: int = 1) -> str:
    """Where the line of a notebook's cell stands in the chapter's source, such as "03_convolution.py:120"."""
    for one, first in zip(chapter.cells, chapter.lines):
        if one.source == cell.source:
            return f"{chapter.path.name}:{first + line - 1}"
    return chapter.path.name


def explain(chapter: Chapter, cell: Any, error: Any) -> str:
    """What failed: the author's own line first, then the exception, then where in a library it was raised."""
    traceback = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
    frames = re.findall(r"^(?:Cell In\[\d+\], line (\d+)|File (\S+?):(\d+), in (.*))", traceback, re.MULTILINE)
    own = [int(line) for line, *_ in frames if line]
    line = own[0] if own else 1
    source = cell.source.splitlines()
    lines = [f"{place(chapter, cell, line)}: {error.ename}: {error.evalue}"]
    if own and line <= len(source):
        lines.append(f"    {source[line - 1].strip()}")
    if frames and not frames[-1][0]:
        _, file, number, where = frames[-1]
        lines.append(f"    (raised in {file}:{number}, in {where.strip()})")
    return "\n".join(lines)


def tidy(notebook: Any, chapter: Chapter) -> None:
    """Keep of the outputs what a reader should see, and verify that compared cells have a stable form."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        role = cell.metadata.get("course", {}).get("role")
        kinds = [(o.output_type, o.get("name")) for o in cell.outputs]
        if role in COMPARED and kinds != [("stream", "stdout")]:
            raise ExecutionError(
                f"{place(chapter, cell)}: a {role} must print its ✓ lines and nothing else, and printed {kinds}"
            )


def run_as_script(chapter: Chapter, **environment: str) -> None:
    """Run a chapter's source from its first line to its last, without keeping its outputs. Raises ExecutionError."""
    with tempfile.TemporaryFile() as stream:
        run = subprocess.run(
            [sys.executable, chapter.path.name],
            cwd=chapter.path.parent,
            env=variables({"MPLBACKEND": "Agg", **environment}),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        stream.seek(0)
        said = stream.read().decode("utf-8", "replace").strip()
    if run.returncode:
        lines = re.findall(rf'File ".*{re.escape(chapter.path.name)}", line (\d+)', said)
        where = f"{chapter.path.name}:{lines[0]}" if lines else chapter.path.name
        told = ", ".join(f"{name}={value}" for name, value in environment.items())
        last = said.splitlines()[-1] if said else "it ended without a word"
        raise ExecutionError(f"{where}: run with {told}: {last}")
