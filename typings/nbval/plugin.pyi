"""What the course takes from nbval 0.11: its collector of a notebook, its items, and their error."""

from collections.abc import Iterator
from typing import Any

import nbformat as nbformat
import pytest
from nbformat import NotebookNode
from nbval.kernel import RunningKernel

class NbCellError(Exception):
    cell_num: int
    source: str
    inner_traceback: str | None
    def __init__(self, cell_num: int, msg: str, source: str, inner_traceback: str | None = None) -> None: ...

class IPyNbFile(pytest.File):
    nb: NotebookNode
    # None before `setup`, which comes before anything that uses it.
    kernel: RunningKernel
    timed_out: bool
    def setup_sanitize_files(self) -> None: ...
    def collect(self) -> Iterator[IPyNbCell]: ...

class IPyNbCell(pytest.Item):
    parent: IPyNbFile
    cell_num: int
    cell: NotebookNode
    options: dict[str, Any]
    test_outputs: list[Any]
    def __init__(
        self, name: str, parent: IPyNbFile, cell_num: int, cell: NotebookNode, options: dict[str, Any]
    ) -> None: ...
    def runtest(self) -> None: ...
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str: ...
