"""Deep Vision in Keras: the package that the chapters import and that builds and grades them.

Importing it costs next to nothing: each name below is loaded when it is first used, and Keras only by the functions
that need it.
"""

import importlib

from course import quiet

TYPE_CHECKING = False  # as in typing, which need not be imported for it
if TYPE_CHECKING:  # for editors and type checkers, which do not run `__getattr__`
    from course.exercises.checking import check as check
    from course.exercises.helping import hint as hint
    from course.exercises.helping import solution as solution
    from course.exercises.progress import progress as progress
    from course.exercises.questions import ask as ask
    from course.exercises.resuming import resume as resume
    from course.exercises.showing import case as case
    from course.lesson import data as data
    from course.lesson import plots as plots
    from course.lesson.autodiff import gradient as gradient
    from course.lesson.models import predict as predict
    from course.lesson.models import rewinder as rewinder
    from course.lesson.proofs import claim as claim
    from course.lesson.proofs import prove as prove
    from course.lesson.recording import record as record
    from course.lesson.settings import at_once as at_once
    from course.lesson.settings import budget as budget
    from course.lesson.settings import seed as seed
    from course.lesson.settings import start as start
    from course.lesson.sweeping import sweep as sweep

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


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'course' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
