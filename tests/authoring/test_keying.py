"""Making keys of a chapter's source: what is drawn, what is kept, and what is refused."""

import builtins
import inspect
import shutil

import pytest
from helpers import SMALL_SOURCE, class_key, point_at

from course.authoring import build, chapters, keying
from course.comparing import compare, plain
from course.exercises import keys
from course.exercises.outcomes import ExerciseError

SECRET = b"0123456789abcdef"


def test_an_answer_of_a_grading_cell_stands_alone():
    text = """
from course.exercises import exercise
import math
ex = exercise("1.1")
BASE = 1
def helper(n):
    return n * BASE
def other():
    return secret
@ex.right
def by_recursion(n):
    return helper(1) if n < 2 else math.prod([n, by_recursion(n - 1)])
"""
    (source,) = keying.standalone(text, "right", lambda node: "factorial")
    names = {}
    exec(source, names)
    assert names["factorial"](5) == 120 and "other" not in names and "exercise" not in source


def test_the_secret_changes_the_cases(small):
    one, two, public = class_key("90", b"a" * 16), class_key("90", b"b" * 16), keys.load("90")
    for number in ("90.1", "90.2"):  # the cases of 90.3 are not drawn
        questions = {key.exercises[number].questions for key in (one, two, public)}
        digests = {key.exercises[number].digest for key in (one, two, public)}
        assert len(questions) == len(digests) == 3
    assert keys.as_text(one) == keys.as_text(class_key("90", b"a" * 16)), "one secret, one key"
    assert one.made_from == two.made_from == public.made_from
    assert "return 2 * x" in one.solutions["90.1"] and not public.solutions


def test_a_lesson_s_functions_count_as_definitions_where_they_stand_on_nothing_else(tmp_path):
    mixed = """trained = add(1, 2)
LIMIT = 3


@staticmethod
def scaled(x, factor=FACTOR):
    def inner(y):
        return len([y for y in x]) * y * factor
    return inner(add(x, 0))


class Pair:
    first = scaled
    def sum(self):
        return outer(self)


def outer(pair):
    return scaled(pair.first) if pair else outer(None)


def near(x):
    return x < LIMIT


def nearer(x):
    return near(x)


def again(x):
    return 1
print("lesson", trained)


# %%
FACTOR = 2


# %%
def again(x):
    return 2
print(again(1))
"""
    text = SMALL_SOURCE.read_text(encoding="utf-8")
    path = tmp_path / SMALL_SOURCE.name
    path.write_text(text.replace('trained = add(1, 2)\nprint("lesson", trained)\n', mixed, 1), encoding="utf-8")
    cells = keying.definitions(chapters.read_chapter(path))
    assert [source.split("(")[0].splitlines()[-1] for source in cells[2:6]] == [
        "def scaled",
        "    def sum",
        "def outer",
        "FACTOR = 2",
    ]
    assert not [name for name in ("near", "again", "trained =") for source in cells if name in source]


@pytest.mark.parametrize(
    "source, needed",
    [
        ("def f(x, n=COUNT):\n    return g(x) + n", {"COUNT", "g"}),
        (
            "@wrap\nclass A(B):\n    size: int = 3\n    def f(self):\n        return super().f() + self.size",
            {"wrap", "B"},
        ),
        ("def f(x):\n    import numpy as np\n    return f(np.sum([y for y in x]))", set()),
        ("def f(x):\n    global total\n    total = x\n    return total", {"total"}),
        ("def f():\n    def g():\n        return lambda: h(f)\n    return g", {"h"}),
    ],
)
def test_what_a_definition_needs_of_what_is_around_it(source, needed):
    assert keying.needed_names(source) - set(dir(builtins)) == needed


def test_every_case_of_every_chapter_can_be_kept(chapter):
    specs = chapters.specifications(chapter)
    for number, key in keying.make(chapter, SECRET).exercises.items():
        cases = specs[number].draw_cases(keying._seed(SECRET, number))
        assert len(key.cases) == key.count == len(cases)
        for kept, case in zip(key.cases, cases):
            assert compare(plain(kept), plain(case), rtol=0, atol=0) is None, number
            left_out = list(inspect.signature(specs[number].judge).parameters.values())[len(case) :]
            assert len(key.arguments) == len(case) + len(left_out), number
            assert all(one.default is not one.empty for one in left_out), number


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("yield float(rng.normal())", "yield object()", "exercise 90.1: a case or an outcome cannot be kept: a object"),
        ("return x + x", "return {x}", "exercise 90.1: a case or an outcome cannot be kept: a set is no number"),
        ("return x + x", "return 1 / 0", None),
        ('"""That is three times."""', "", r"90_adding.py:\d+: exercise 90.1: wrong answer thrice has no docstring"),
        ("def _(x):\n    return x + x", "def _(*x):\n    return x[0]", "must name each of its arguments"),
        ('check("90.1", twice)', "", "exercise 90.1 needs a heading with stars, an answer cell .*, and a check"),
        ("    for _ in range(8):\n        yield float(rng.normal())\n\n\n@ex.oracle\ndef _(x):\n    return x + x",
         "    yield from ()\n\n\n@ex.oracle\ndef _(x):\n    return x + x", "90.1: its generator yields no case"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(small, tmp_path, old, new, words):
    source = tmp_path / "90_adding.py"
    text = (small / "solutions" / source.name).read_text()
    assert old in text
    source.write_text(text.replace(old, new, 1))
    if words is None:  # an oracle may raise: then an answer must
        expected = keying.make(chapters.read_chapter(source)).exercises["90.1"].expected
        assert {outcome.raised.names[0] for outcome in expected} == {"ZeroDivisionError"}
        return
    with pytest.raises((chapters.ChapterError, ExerciseError), match=words):
        keying.make(chapters.read_chapter(source))


def test_a_key_changes_with_what_it_is_made_from_and_with_nothing_else(small, tmp_path):
    source = tmp_path / "90_adding.py"
    text = (small / "solutions" / source.name).read_text()

    def made_from(*change):
        source.write_text(text.replace(*change))
        return keying.made_from(chapters.read_chapter(source))

    before = made_from("", "")
    for change in (
        ("return a + b", "return b + a"),
        ("return 2 * x", "return x * 2"),
        ("That is three times.", "Three times."),
        ("★★", "★"),
        ('check("90.1", twice)', 'check("90.1", twice)  # now'),
    ):
        assert made_from(*change) != before, change
    for change in (("# Sum:", "# The sum:"), ("trained = add(1, 2)", "trained = add(2, 1)")):
        assert made_from(*change) == before, change


def test_a_key_that_is_stale_missing_or_damaged_is_named(built_small, tmp_path, monkeypatch):
    shutil.copytree(built_small, tmp_path, dirs_exist_ok=True)
    point_at(monkeypatch, tmp_path)
    source = tmp_path / "solutions" / "90_adding.py"
    key = tmp_path / "keys" / "90.json"

    def named():
        return [line for line in build.differences(chapters.read_chapter(source)) if "keys/90.json" in line]

    assert named() == []
    source.write_text(source.read_text().replace("That is three times.", "Three times."))
    assert named() == ["keys/90.json is not made from this source; run: course build 90"]
    key.write_text(key.read_text()[:-100])
    (said,) = named()
    assert said.startswith("keys/90.json is damaged") and said.endswith("run: course build 90")
    key.unlink()
    assert named() == ["keys/90.json is missing; run: course build 90"]
