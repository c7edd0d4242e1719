"""Running pytest with nbval, and nothing of a user's pytest, on one notebook."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = ["nbval.plugin", "no:cacheprovider", "no:unraisableexception", "no:threadexception"]
ARGUMENTS = ["-q", "--nbval-lax", "--noconftest", "-c", os.devnull, *(f"-p{name}" for name in PLUGINS)]


def run(collector: object, *more: str, prefix: str = "course-") -> str:
    """Run what a plugin collects, in this process; returns what pytest printed.

    collector: a pytest plugin whose `pytest_collect_file` makes the notebook. more: further arguments. prefix: of a
    temporary folder's name. Settings of the user (PYTEST_ADDOPTS and its like, plugins that are installed, a pytest.ini
    or conftest.py) change nothing.
    """
    noise = io.StringIO()
    with _own_settings(), tempfile.TemporaryDirectory(prefix=prefix) as folder:
        # pytest reads brackets and :: in a name as something else, so it gets a file of our own by name.
        stand_in = Path(folder) / "notebook.ipynb"
        stand_in.write_text("{}")
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            pytest.main([*ARGUMENTS, *more, "--rootdir", folder, str(stand_in)], plugins=[collector])
    return noise.getvalue()


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """Within it, pytest finds no variable of the user's, and loads no plugin that it is not told of."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(kept)
