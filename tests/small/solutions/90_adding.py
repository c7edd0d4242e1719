# %% [raw]
# title: Adding
# part: Test
# minutes: 1
# needs: [Python]
# teaches: [adding]
# data: [none]
# sources:
#   - "Peano, The principles of arithmetic, 1889"

# %% [markdown]
# Sum: $$ s = a + b \tag{90.1} $$

# %%
import numpy as np

from course import ask, check, claim, prove


# %%
def add(a, b):
    return a + b  # (90.1)


# %%
trained = add(1, 2)
print("lesson", trained)

# %%
prove("90.1", add, np.add, [(1, 2), (3, 4)])

# %% [markdown]
# **Question 90.a.** How much is 1 and 2?

# %%
ask("90.a", 3, why="The sum of 1 and 2.", hint="Use your fingers.")

# %%
claim("90.1", "adding adds", trained == 3)

# %% [markdown]
# **Exercise 90.1 ★★** Write twice.


# %%
# Exercise 90.1
def twice(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("90.1")


@ex.cases
def _(rng):
    for _ in range(8):
        yield float(rng.normal())


@ex.oracle
def _(x):
    return x + x


@ex.wrong
def thrice(x):
    """That is three times."""
    return 3 * x


@ex.right
def by_product(x):
    return x * 2


# %%
check("90.1", twice)

# %% [markdown]
# **Exercise 90.2 ★** Mend.


# %%
# Exercise 90.2
def mend(x):
    """Minus x."""
    ### BEGIN SOLUTION
    return np.negative(x)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("90.2", start="kept")


@ex.cases
def _(rng):
    for _ in range(8):
        yield float(rng.normal())


@ex.oracle
def _(x):
    return -x


@ex.wrong
def kept(x):
    """The sign is kept."""
    y = x
    return y


# %%
check("90.2", mend)

# %% [markdown]
# **Exercise 90.3 ★** A class.


# %%
# Exercise 90.3
class Counter:
    """Counts its calls."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.count = 0
        ### END SOLUTION

    def __call__(self, step=1):
        """Adds step, at least 1, and returns the count; raises ValueError for a smaller step."""
        ### BEGIN SOLUTION
        if step < 1:
            raise ValueError(f"step is {step}; it must be at least 1")
        self.count += step
        return self.count
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("90.3")


@ex.cases
def _(rng):
    yield ([1, 2, 3],)
    yield ([1, 0],)
    yield ([2, 2],)


ex.shown_as("counter = Counter()\n[counter(step) for step in steps]")


@ex.drive
def count_all(answer, steps):
    counter = answer()
    return [counter(step) for step in steps]


@ex.oracle
def _(steps):
    if min(steps) < 1:
        raise ValueError
    import numpy as np

    return np.cumsum(steps).tolist()


@ex.wrong
def forgets():
    """The count starts again at each call."""

    return lambda step: step


# %%
check("90.3", Counter)
