"""Keeping the log of TensorFlow's C++ part out of the lessons.

TensorFlow writes to stderr while it is imported, before any setting of its own can tell it not to, and a notebook
catches those lines and shows them in red. So stderr is closed for the time of that import, once `course` is imported.
Who sets `TF_CPP_MIN_LOG_LEVEL` to anything below 3 wants to see the log, and sees it.
"""

import contextlib
import importlib.util
import os
import sys

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
NOISY = "tensorflow"


@contextlib.contextmanager
def hushed():
    """What is written to the process's stderr within goes nowhere; in Jupyter, Python's own is another stream, and
    stays."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


class _Loader:
    """A module's own loader, hushed."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        with _hushed_if_possible():
            self.loader.exec_module(module)


class _Finder:
    """Finds TensorFlow once, and has it loaded hushed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != NOISY:
            return None
        sys.meta_path.remove(_Finder)
        spec = importlib.util.find_spec(name)
        if spec and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)
        return spec


@contextlib.contextmanager
def _hushed_if_possible():
    """`hushed`, and nothing at all where this process has no stderr to close (as under pythonw)."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stack.enter_context(hushed())
        yield


def begin():
    """From now on TensorFlow logs nothing below a fatal error, and its import nothing at all."""
    if os.environ.setdefault(LEVEL, "3") == "3" and NOISY not in sys.modules and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
