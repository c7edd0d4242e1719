"""Deep Vision in Keras: the package that the chapters import and that builds and grades them.

Importing it costs next to nothing: each name below is loaded when it is first used, and Keras only by the functions
that need it.
"""

import importlib

from course import quiet

__version__ = "0.2.0"

_HOME = {
    "start": "course.lesson.settings",
    "budget": "course.lesson.settings",
    "at_once": "course.lesson.settings",
    "seed": "course.lesson.settings",
    "prove": "course.lesson.proofs",
    "claim": "course.lesson.proofs",
    "check": "course.exercises.checking",
    "case": "course.exercises.showing",
    "ask": "course.exercises.questions",
    "hint": "course.exercises.helping",
    "solution": "course.exercises.helping",
    "resume": "course.exercises.resuming",
    "progress": "course.exercises.progress",
    "gradient": "course.lesson.autodiff",
    "predict": "course.lesson.models",
    "rewinder": "course.lesson.models",
    "record": "course.lesson.recording",
    "sweep": "course.lesson.sweeping",
}
_MODULES = {"data": "course.lesson.data", "plots": "course.lesson.plots"}

MODULE_OF = {**_HOME, **_MODULES}  # where each name that a chapter imports comes from

__all__ = [*_HOME, *_MODULES]

quiet.begin()  # before Keras is imported, whoever imports it, and however Jupyter was started


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'course' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
