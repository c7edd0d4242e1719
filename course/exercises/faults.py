"""What mutants do that syntax alone cannot say: results of another type, arguments spoilt, state kept, loops cut short.

A mutant's code calls these functions by the name `_fault`. Where none of them found anything to change, as a fault of
booleans does not in an answer that gives none, the mutant is none.
"""

import ast

import numpy as np

from course.exercises.kinds import kind

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


class Faults:
    """The functions for one mutant, and what it remembers. idle: whether none of those that look for something to
    change has found it yet, or None where there is no such function in it."""

    def __init__(self):
        self.kept, self.idle = {}, None

    def __getattr__(self, name):
        if name not in CHANGES and name not in FORMS:
            raise AttributeError(name)
        return lambda result: self._walked({**CHANGES, **FORMS}[name], result)

    def _walked(self, change, value):
        """A result with a change made to each number and array in it, containers apart, and to these as a whole."""
        self.idle = self.idle is not False
        if isinstance(value, dict):
            return {key: self._walked(change, item) for key, item in value.items()}
        if type(value) in (list, tuple):
            value = type(value)(self._walked(change, item) for item in value)
        new = change(value)
        if new is NotImplemented:
            return value
        self.idle = False
        return new

    def keep(self, name, value):
        """The first value that was given under this name."""
        return self.kept.setdefault(name, value)

    def random(self, generator):
        """Chance that nobody can repeat, in place of a generator or a seed."""
        return None if isinstance(generator, int) else np.random.default_rng()

    def spoil(self, argument):
        """Change an array or list in place, or the arrays in a container, as far as it can be."""
        self.idle = self.idle is not False
        if isinstance(argument, np.ndarray) and argument.size and argument.flags.writeable:
            argument.flat[-1] = not argument.flat[-1] if argument.dtype == bool else 1 if argument.flat[-1] != 1 else 2
            self.idle = False
        elif isinstance(argument, list) and argument and not isinstance(argument[0], np.ndarray):
            argument.append(argument[0])
            self.idle = False
        elif isinstance(argument, (list, tuple, dict)):
            for item in argument.values() if isinstance(argument, dict) else argument:
                self.spoil(item)

    def only_first(self, items):
        return list(items)[:1]

    def only_last(self, items):
        return list(items)[-1:]

    def only_largest(self, items):
        return [max(items)]

    def all_but_first(self, items):
        return list(items)[1:]

    def all_but_last(self, items):
        return list(items)[:-1]


def _cast(kinds, to):
    def change(value):
        if not kind(value) or kind(value) not in kinds or not np.size(value):
            return NotImplemented
        with np.errstate(all="ignore"):
            new = np.asarray(value).astype(to)
        if (kinds, to) == ("f", int) and np.array_equal(new, value):  # whole numbers may stand for floats
            return NotImplemented
        return new if isinstance(value, np.ndarray) else new.item()

    return change


def _rounded(value):
    if kind(value) in ("f", "c"):
        new = np.round(value, 2)
        return NotImplemented if np.array_equal(new, value, equal_nan=True) else new
    if _is_tensor(value) and "float" in str(value.dtype):
        from keras import ops

        return ops.round(value * 100) / 100
    return NotImplemented


def _one_axis_more(value):
    return np.asarray(value)[None] if kind(value) else NotImplemented


def _is_tensor(value):
    """Whether a value is a tensor of numbers, and neither an array nor one of Keras's symbols."""
    like_one = hasattr(value, "shape") and hasattr(value, "dtype")
    return like_one and not kind(value) and "Keras" not in type(value).__name__


# What a result must not be, by what a mutant's name says of it: its result truncated, ...
CHANGES = {
    "rounded": _rounded,
    "truncated": _cast("f", int),
    "of_floats_for_whole_numbers": _cast("i", float),
    "of_complex_numbers": _cast("f", complex),
    "of_whole_numbers_for_truth_values": _cast("b", int),
    "of_truth_values": _cast("if", bool),
    "with_one_axis_more": _one_axis_more,
}


def _to_list(value):
    if type(value) is tuple:
        return list(value)
    return value.tolist() if isinstance(value, np.ndarray) and value.ndim else NotImplemented


def _to_tuple(value):
    return tuple(value) if type(value) is list or (kind(value) and np.ndim(value)) else NotImplemented


def _to_float32(value):
    return np.float32(value) if kind(value) == "f" else NotImplemented


def _to_scalar(value):
    return np.asarray(value)[()] if kind(value) and not np.ndim(value) else NotImplemented


def _to_tensor(value):
    if not kind(value) or not np.size(value):
        return NotImplemented
    from keras import ops

    return ops.convert_to_tensor(value)


# What a result may be all the same, by name.
FORMS = {
    "lists": _to_list,
    "tuples": _to_tuple,
    "float32": _to_float32,
    "NumPy_scalars": _to_scalar,
    "Keras_tensors": _to_tensor,
}
