"""Deep Vision in Keras: the package that the chapters import and that builds and grades them.

Importing it costs next to nothing: each name below is loaded when it is first used, and Keras only by the functions
that need it.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "start": "course.settings",
    "budget": "course.settings",
    "at_once": "course.settings",
    "seed": "course.settings",
    "prove": "course.proofs",
    "claim": "course.proofs",
    "check": "course.exercises",
    "gradient": "course.autodiff",
    "predict": "course.models",
    "rewinder": "course.models",
    "record": "course.results",
}
_MODULES = ("data", "plots")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"course.{name}")
    raise AttributeError(f"module 'course' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
