"""`course new`: the skeleton of a chapter, which builds as it stands."""

import re
from pathlib import Path

from course.authoring import chapters
from course.files import write
from course.lesson import settings


def write_new(name: str) -> Path:
    """Write solutions/NN_topic.py for a name such as "08_recipes"; its path. Raises ChapterError where the name is not
    of that form, or the number is taken."""
    found = re.fullmatch(r"(\d\d)_([a-z][a-z0-9_]*)", name)
    if not found:
        raise chapters.ChapterError(f"{name!r} is no name of a chapter: two digits and a topic, such as 08_recipes")
    number, topic = found.groups()
    taken = [path.name for path in chapters.sources() if path.name.startswith(number)]
    if taken:
        raise chapters.ChapterError(
            f"there is a chapter {number} already: {settings.solutions_folder().name}/{taken[0]}"
        )
    path: Path = settings.solutions_folder() / f"{name}.py"
    text = TEMPLATE
    for key, value in {"NN": number, "N": str(int(number)), "TITLE": topic.replace("_", " ").capitalize()}.items():
        text = text.replace(f"<{key}>", value)
    write(path, text)
    return path


EXERCISE = '''
# %% [markdown]
# **Exercise <N>.<K> ★** Say in a sentence what to write; the docstring says shapes, errors and an example.


# %%
# Exercise <N>.<K>
def <NAME>(values):
    """The sum of the squares of `values`, a list of numbers; raises ValueError where it is empty.

    Example: <NAME>([1, 2]) is 5.
    """
    ### BEGIN SOLUTION
    if not values:
        raise ValueError("values is empty: there is nothing to sum")
    return sum(value**2 for value in values)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("<N>.<K>")


@ex.cases
def _(rng):
    yield ([],)  # edges by hand, in every draw; each mistake shows in two cases at least
    yield ((),)
    yield ([0.0],)
    for _ in range(8):
        yield (rng.normal(size=rng.integers(1, 6)).tolist(),)


@ex.oracle
def _(values):
    if not values:
        raise ValueError
    return float(np.dot(values, values))


@ex.wrong
def not_squared(values):
    """These are the values, not their squares."""
    if not values:
        raise ValueError
    return sum(values)


@ex.wrong
def squared_late(values):
    """That is the square of the sum: square each value first."""
    if not values:
        raise ValueError
    return sum(values) ** 2


@ex.wrong
def averaged(values):
    """That is the mean of the squares: the sum is asked for."""
    if not values:
        raise ValueError
    return sum(value**2 for value in values) / len(values)


@ex.wrong
def nothing_refused(values):
    """The sums are right; but an empty list must be refused with a ValueError."""
    return sum(value**2 for value in values)


@ex.right
def by_numpy(values):
    if len(values) == 0:
        raise ValueError("values is empty")
    return np.square(values).sum()


# %%
check("<N>.<K>", <NAME>)
'''

TEMPLATE = (
    """# %% [raw]
# title: <TITLE>
# part: II. Convolution
# minutes: 90
# needs: [Python, NumPy]
# teaches: [name each notion that later chapters may need]
# data: [MNIST]
# terms:
#   - term: mean
#     means: the sum of some numbers, divided by how many there are
#     zh: 平均值
# symbols:
#   '$\\bar{x}$': the mean of the numbers $x$
# sources:
#   - "Author, Title, year"

# %% tags=["aside"]
# @title Imports and settings
from course import budget, check, claim, data, plots, prove, record, start

import keras
import numpy as np

rng = start("<NN>")

# %% [markdown]
# Pose the question with an image: show it in the cell below, and say in a sentence what the chapter will answer.

# %% tags=["aside"]
# @title Draws figure <N>.1
digits = data.mnist()
plots.show_images(digits.x_train[:10])

# %% [markdown]
# *Figure <N>.1. What the image shows, in words.*
#
# ## An idea
#
# Question, worked number, each new term in bold, such as the **mean**, then the equation:
#
# $$\\bar{x} = \\frac{1}{n} \\sum_{i=1}^{n} x_i \\tag{<N>.1}$$


# %%
def mean(x):
    return sum(x) / len(x)  # (<N>.1)


# %%
prove("<N>.1", mean, np.mean, ((rng.normal(size=n),) for n in range(1, 50)))

# %% [markdown]
# ## An experiment
#
# What does the mathematics make you expect, and what happens?

# %%
dark, bright = (float(mean(images.ravel().astype(float))) for images in (digits.x_train[:1] * 0, digits.x_train[:1]))

# %%
claim("<N>.1", "a digit is brighter than a black image", bright > dark, control=dark > dark)

# %%
record(brightness=bright)

# %% [markdown]
# ## Exercises
"""
    + "".join(EXERCISE.replace("<K>", str(k)).replace("<NAME>", f"sum_of_squares_{k}") for k in range(1, 6))
    + """
# %% [markdown]
# ## Summary
#
# | | |
# |---|---|
# | (<N>.1) | the mean |
#
# ## References
#
# - Author, *Title*, year
"""
)
