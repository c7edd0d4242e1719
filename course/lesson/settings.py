"""What a run is asked to be: its chapter, its seed, its budget."""

import contextlib
import os
import sys
import warnings
from pathlib import Path

from course import quiet

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent
BUDGETS = ("quick", "full")
KEPT = ".course"  # the folder in a learner's folder in which the course keeps what it needs; see `grading.work`

_chapter = None


class SettingError(ValueError):
    """An environment variable or argument that the course cannot use; the message says which and what it may be."""


def seed():
    """The seed of this run: `COURSE_SEED`, or 0. A whole number from 0 to 2**32 - 1."""
    text = os.environ.get("COURSE_SEED", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= 2**32:
        raise SettingError(f"COURSE_SEED is {text!r}; it must be a whole number from 0 to {2**32 - 1}, such as 0")
    return int(text)


def solutions_folder():
    """Where the chapters' sources are: `COURSE_SOLUTIONS`, for the author of another course, or this course's own."""
    return Path(os.environ.get("COURSE_SOLUTIONS") or PACKAGE.parent / "solutions")


def keys_folder():
    """Where the chapters' keys are: `COURSE_KEYS`; or, where `COURSE_SOLUTIONS` is set, `keys/` beside it; or in this
    package."""
    if folder := os.environ.get("COURSE_KEYS"):
        return Path(folder)
    return solutions_folder().parent / "keys" if os.environ.get("COURSE_SOLUTIONS") else PACKAGE / "keys"


def in_checkout():
    """Whether this package is that of a checkout of the course, with lessons beside it, and not an installed one."""
    return (ROOT / "notebooks").is_dir() and (ROOT / "pyproject.toml").is_file()


def lessons_folder():
    """Where the lessons are that learners get copies of: `notebooks/` beside the folder that `COURSE_SOLUTIONS` names,
    or else this course's own, in a checkout beside the package and in an installed course within it."""
    if os.environ.get("COURSE_SOLUTIONS"):
        return solutions_folder().parent / "notebooks"
    return (ROOT if in_checkout() else PACKAGE) / "notebooks"


def work_folder():
    """The learner's own folder, an absolute path, which need not be there yet: `COURSE_WORK`; or the folder that this
    process is in, or one above it, where that is a learner's; or `work/`, in a checkout beside the lessons and for an
    installed course in the present folder."""
    if folder := os.environ.get("COURSE_WORK"):
        return Path(folder).absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / KEPT).is_dir():
            return folder
    beside = os.environ.get("COURSE_SOLUTIONS") or in_checkout()
    return (lessons_folder().parent.absolute() if beside else here) / "work"


def has_gpu():
    """Whether the Keras backend in use sees a GPU (or TPU)."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    return False


def budget_name():
    """`COURSE_BUDGET`, "quick" or "full"; where it is not set, "full" on a machine with a GPU and else "quick"."""
    name = os.environ.get("COURSE_BUDGET", "")
    if not name:
        return "full" if has_gpu() else "quick"
    if name not in BUDGETS:
        raise SettingError(f"COURSE_BUDGET is {name!r}; it must be one of {', '.join(BUDGETS)}, or not set")
    return name


def scale():
    """`COURSE_SCALE`, a number above 0 and at most 1 that shortens the work of either budget; 1 where it is not set."""
    text = os.environ.get("COURSE_SCALE") or "1"
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number <= 1:
        raise SettingError(f"COURSE_SCALE is {text!r}; it must be a number above 0 and at most 1, such as 0.001")
    return number


def budget(quick, full, least=None):
    """Return `quick` on a laptop's budget and `full` on a GPU's (see `budget_name`).

    least: given where both are whole numbers that say how much work there is (examples, epochs, steps), and not how
    something is made (widths, learning rates, the size of a batch). `COURSE_SCALE=0.001` leaves a thousandth of the
    work, and `least` at the least, so that an author can try each line of the full budget on a machine without a GPU:
    `budget(quick=4000, full=60_000, least=500)`. Without `COURSE_SCALE` it changes nothing.
    """
    value = {"quick": quick, "full": full}[budget_name()]
    if least is None or scale() == 1:
        return value
    return min(value, max(least, round(scale() * value)))


@contextlib.contextmanager
def full_precision():
    """Within it, products of float32 numbers keep all their digits on a GPU too. By default backends round the factors
    there to 11 binary digits (TF32), which is enough for training and not for comparing with an oracle."""
    keras = sys.modules.get("keras")
    backend = keras.backend.backend() if keras else ""
    if backend == "jax":
        import jax

        # On a CPU nothing is rounded, and another setting would make JAX compile everything once more.
        with jax.default_matmul_precision("highest") if jax.default_backend() != "cpu" else contextlib.nullcontext():
            yield
    elif backend == "tensorflow":
        import tensorflow as tf

        before = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)
    elif backend == "torch":
        import torch

        switches = torch.backends.cuda.matmul, torch.backends.cudnn
        before = [switch.allow_tf32 for switch in switches]
        try:
            for switch in switches:
                switch.allow_tf32 = False
            yield
        finally:
            for switch, value in zip(switches, before):
                switch.allow_tf32 = value
    else:
        yield


def at_once(steps):
    """How many batches `compile(steps_per_execution=...)` may take in one call, which saves the time between them:
    `steps`, and 1 on PyTorch, for Keras can do no more there."""
    import keras

    return 1 if keras.backend.backend() == "torch" else steps


def import_keras():
    """Import Keras without the log lines that TensorFlow's C++ part writes to stderr before it can be told not to."""
    if "keras" in sys.modules:
        return
    with quiet.hushed():
        import keras  # noqa: F401


def start(chapter):
    """Begin a chapter: seed Python, NumPy and the Keras backend, set the figure style.

    chapter: its number as a string, such as "03". Returns a `numpy.random.Generator` with the run's seed, for the
    chapter's own draws.
    """
    global _chapter
    import keras
    import numpy as np

    from course.lesson import plots

    _chapter = chapter
    warnings.filterwarnings("ignore", message="TensorFlow GPU support is not available on native Windows")
    keras.utils.set_random_seed(seed())
    plots.use_style()
    return np.random.default_rng(seed())


def chapter():
    """The number of the chapter that `start` began, or None."""
    return _chapter
