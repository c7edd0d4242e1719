"""Evidence: what changes a digest and what does not, and which chapters are run whole."""

import ast

import pytest

from course.authoring import evidence

MODULE = '''"""A module."""

import os  # for paths


class Empty(ValueError):
    """Only a docstring."""


def f(x):
    """Says what it does.

    At length.
    """
    # a comment
    text = """not a docstring # nor a comment"""
    return x, text
'''


def test_code_is_what_outputs_may_depend_on():
    code = evidence.code(MODULE)
    ast.parse(code)
    assert "Says" not in code and "# a comment" not in code and "# for paths" not in code
    assert "not a docstring # nor a comment" in code
    assert code == evidence.code(MODULE.replace("At length", "In short").replace("# a comment", "# another\n    # one"))


@pytest.mark.parametrize(
    "before, after", [("return x, text", "return text, x"), ("import os", "import sys"), ("nor a", "or a")]
)
def test_any_other_edit_shows(before, after):
    assert before in MODULE and evidence.code(MODULE) != evidence.code(MODULE.replace(before, after))


def test_the_modules_that_a_chapter_uses():
    assert evidence.used_modules(["from course import check"]) == []
    assert evidence.used_modules(["import numpy"]) == []
    proofs = evidence.used_modules(["from course import prove"])
    assert "lesson/proofs" in proofs and "comparing" in proofs and "lesson/data" not in proofs
    assert "lesson/shapes10" in evidence.used_modules(["from course import data"])


def test_versions_are_the_pinned_ones():
    found = evidence.versions(["keras", "sklearn", "numpy", "math"])
    assert set(found) == {"keras", "scikit-learn", "numpy"} and found["keras"].count(".") == 2


def test_plan(monkeypatch):
    from course.authoring import chapters

    paths = chapters.sources()
    monkeypatch.setattr(evidence, "missing", lambda chapter, notebook: "it changed" if chapter.number == "03" else "")
    plan = evidence.plan(paths)
    chosen = [path.name[:2] for path, why in plan.items() if why == "chosen by the commit"]
    assert plan[paths[2]] == "it changed" and len(chosen) in (1, 2)
    assert set(evidence.plan(paths, everything=True).values()) == {"everything is"}
    asked = [path for path in paths if path.name[:2] in ("01", "18")]
    monkeypatch.setattr(evidence, "recorded_seconds", lambda number: {"01": 10, "18": 120}[number])
    assert list(evidence.plan(asked, ["01", "18"]).values()) == ["asked for, and short", ""]
