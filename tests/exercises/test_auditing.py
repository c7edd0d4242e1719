"""What becomes of an exercise's mutants and of the forms of its right answers."""

import ast
import signal

import numpy as np
import pytest
from helpers import key_of

from course.exercises import auditing, specification
from course.exercises.keys import Mistake
from course.exercises.mutants import mutants
from course.exercises.outcomes import Outcome

SOURCE = '''
def first(x, least=1):
    """The first `least` numbers of x, as floats; raises ValueError where there are fewer."""
    if len(x) < least:
        raise ValueError("fewer")
    while least > 90:
        pass
    return x[:least] / 1
'''


@pytest.fixture
def auditor(monkeypatch):
    """An Auditor of one exercise, of which only the other draws ask for `least` = 2, and only some for too many."""
    spec = specification.Exercise("1.1")

    @spec.cases
    def _(rng):
        yield np.array([0.5, 2.0, 3.0]), 1
        for _ in range(3):
            yield rng.normal(size=3), 1 if draws == [0] else int(rng.integers(1, 3))
        if rng.integers(3) == 0 or draws == [0]:
            yield np.array([1.0]), 4

    @spec.oracle
    def _(x, least):
        if least > len(x):
            raise ValueError
        return np.array(x[:least], float)

    draws = [0]
    cases = spec.draw_cases(0)
    draws.append(1)
    key = key_of(cases, [spec.expected(case) for case in cases], [Mistake("last", "that", [Outcome(0.0)] * len(cases))])
    monkeypatch.setattr(auditing, "LEAST_SECONDS", 0.2)
    before = signal.signal(signal.SIGPROF, auditing.raise_endless)
    yield auditing.Auditor(spec, key, [auditing.Version("", SOURCE, "first", {"np": np})])
    signal.signal(signal.SIGPROF, before)


def verdict(auditor, start):
    (found,) = [m for m in mutants(SOURCE) if m.name.startswith(start)]
    return auditor.judged(auditor.versions[0], found)


def test_a_mutant_is_judged_at_home_and_by_other_draws(auditor):
    assert verdict(auditor, "'x[:least] // 1' for") == {"home": False, "draws": 0, "hint": ""}
    assert verdict(auditor, "'2' for '1' in 'return x") == {
        "home": False,
        "draws": 0,
        "hint": "every value is 0.5 times what it should be",
    }
    assert verdict(auditor, "'91' for '90'") == {"home": True, "draws": 20, "hint": ""}
    ignored = verdict(auditor, "'len(x) <= least' for")
    assert ignored["home"] and ignored["draws"] == 20
    assert verdict(auditor, "its result of whole numbers for truth values") is None
    dropped = verdict(auditor, "never 'len(x) < least'")
    assert not dropped["home"] and 0 < dropped["draws"] < 20


def test_a_mutant_that_does_not_end_is_rejected(auditor):
    assert verdict(auditor, "'least >= 90' for") == {"home": True, "draws": 20, "hint": ""}
    endless = ast.parse(SOURCE.replace("least > 90", "least"))
    found = next(m for m in mutants(SOURCE))
    forever = type(found)("forever", endless, "", "", False)
    assert auditor.judged(auditor.versions[0], forever) == {"home": False, "draws": 0, "hint": ""}
    assert not auditor.accepts(auditor.versions[0].make(endless)[0], auditor.home)


def test_forms_that_are_refused_are_named_unless_they_are_forbidden(auditor):
    import keras  # noqa: F401  # else its import counts as the answer's time

    assert auditor.refused_forms() == []
    auditor.versions.append(auditing.Version("tight", "def tight(x, least):\n    return x[:least]", "tight", {}))
    assert auditor.refused_forms()[:2] == ["tight", "tight as lists"]
    auditor.spec.forbids("lists", "an array is asked for")
    assert "tight as lists" not in auditor.refused_forms()
    with pytest.raises(specification.ExerciseError, match="needs one reason"):
        auditor.spec.forbids("lists", "again")
