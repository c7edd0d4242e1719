"""What an answer finds around it, the same in a lesson, in grading and in a class: Keras's usual settings, an empty
folder, nobody at the keyboard, and the names of its own cell and of the lesson."""

import builtins
import contextlib
import inspect
import linecache
import os
import sys
import tempfile
import types
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from course.exercises.cells import names_made

# Keras's own defaults, whatever a user's keras.json or an earlier answer says.
SETTINGS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "dtype_policy": "float32"}


def set_keras(settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give Keras these settings, or SETTINGS, where it is loaded; returns those that it had."""
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is None:
        return {}
    had = {name: getattr(config, name)() for name in SETTINGS}
    for name, value in (settings or SETTINGS).items():
        if had[name] != value:
            getattr(config, f"set_{name}")(value)
    return had


@contextlib.contextmanager
def usual() -> Iterator[None]:
    """Within it, what runs has the usual surroundings; what was there before comes back."""
    had, asking = set_keras(), builtins.input
    builtins.input = _nobody
    try:
        with _elsewhere():
            yield
    finally:
        builtins.input = asking
        set_keras(had)


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Within it, the present folder is an empty one, if one can be had: a disk may be full, or a folder gone."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder = os.getcwd()
            empty = stack.enter_context(tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True))
            os.chdir(empty)
            stack.callback(_back, folder)
        yield


def _back(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _nobody(prompt: object = "", /) -> NoReturn:
    raise RuntimeError("nobody can answer input() here: take it out, and use the arguments")


@contextlib.contextmanager
def alone(answer: object, known: Iterable[str]) -> Iterator[None]:
    """Within it, an answer sees no name that another cell of its notebook has made, as when it is graded, where its own
    cell is all that is taken. known: the names that are there all the same, such as the lesson's."""
    namespace, own = _cell_of(answer)
    hidden = {}
    if own is not None:
        for name in used_names(answer) - own - set(known):
            if name in namespace and not name.startswith("_"):
                hidden[name] = namespace.pop(name)
    try:
        yield
    finally:
        namespace.update(hidden)


def _cell_of(answer: object) -> tuple[dict[str, Any], set[str] | None]:
    """The namespace of an answer's notebook, and the names that the answer's own cell makes; ({}, None) where these
    cannot be told."""
    for function in _functions(answer):
        source = "".join(linecache.getlines(function.__code__.co_filename))
        if made := names_made(source):
            return function.__globals__, set(made)
    return {}, None


def used_names(answer: object) -> set[str]:
    """The global names that a function or class uses, and the functions that it stands on in its own cell."""
    found, queue, seen = set(), list(_functions(answer)), set()
    while queue:
        function = queue.pop()
        if function in seen:
            continue
        seen.add(function)
        names = _names(function.__code__)
        found |= names
        for name in names:
            for other in _functions(function.__globals__.get(name)):
                if other.__code__.co_filename == function.__code__.co_filename:
                    queue.append(other)
    return found


def _functions(thing: Any) -> list[types.FunctionType]:
    """The functions that a function, a decorated one, a class or an instance of one brings."""
    with contextlib.suppress(Exception):  # an answer may be an object of any behaviour
        thing = inspect.unwrap(thing)
    if inspect.isfunction(thing):
        return [thing]
    if inspect.isclass(thing):
        members = [getattr(one, "__func__", getattr(one, "fget", one)) for one in vars(thing).values()]
        return [found for one in members if not inspect.isclass(one) for found in _functions(one)]
    return []


def _names(code: types.CodeType) -> set[str]:
    """The names that a code object, and those within it, look up; attributes are among them."""
    inner = [_names(const) for const in code.co_consts if inspect.iscode(const)]
    return set(code.co_names).union(*inner)
