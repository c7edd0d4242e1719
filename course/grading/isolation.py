"""Keeping one answer from touching the next, inside a kernel that grades.

After the definitions have run, `snapshot` remembers their names and the settings that an answer may change by
accident; before each answer and each check, `restore` puts them back. What an answer adds of its own stays. This is
for accidents, not for attacks.
"""

import builtins
import os
import random
import sys
import warnings
from typing import Any

from IPython import get_ipython

from course.exercises import surroundings

_kept: dict[str, Any] = {}


def snapshot(namespace: dict[str, Any]) -> None:
    """Remember the names in `namespace` (the kernel's) and the process-wide settings."""
    import numpy as np

    surroundings.set_keras()
    _kept["names"] = {name: value for name, value in namespace.items() if not name.startswith("_")}
    _kept["builtins"] = dict(vars(builtins))
    _kept["state"] = _state(np)
    # Builtins are put back as soon as a cell has run: the kernel itself cannot go on for long without `len`.
    events = get_ipython().events
    if _mend_builtins not in events.callbacks["post_execute"]:
        events.register("post_execute", _mend_builtins)


def _mend_builtins() -> None:
    vars(builtins).update(_kept["builtins"])


def restore(namespace: dict[str, Any]) -> None:
    """Put back what `snapshot` remembered; a name that an answer shadowed means again what the lesson made it."""
    import numpy as np

    namespace.update(_kept["names"])
    _mend_builtins()
    state = _kept["state"]
    os.chdir(state["folder"])
    sys.path[:] = state["path"]
    sys.setrecursionlimit(state["recursion"])
    warnings.filters[:] = state["warnings"]  # type: ignore[index]  # a list, which is documented as a sequence
    random.setstate(state["random"])
    np.random.set_state(state["numpy random"])
    np.seterr(**state["numpy errors"])
    for variable in os.environ.keys() - state["environment"].keys():
        del os.environ[variable]
    os.environ.update(state["environment"])
    surroundings.set_keras()


def _state(np: Any) -> dict[str, Any]:
    return {
        "folder": os.getcwd(),
        "path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
        "warnings": list(warnings.filters),
        "random": random.getstate(),
        "numpy random": np.random.get_state(),
        "numpy errors": np.geterr(),
        "environment": dict(os.environ),
    }
