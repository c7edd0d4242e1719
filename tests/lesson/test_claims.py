"""A claim holds for the experiment, and not for its control."""

import numpy as np
import pytest

from course.lesson.proofs import Broken, claim


@pytest.mark.parametrize("control", [{}, {"control": None}, {"control": False}, {"control": np.bool_(False)}])
def test_a_claim_prints_the_same_line_whatever_its_control(control, capsys):
    claim("6.1", "it is so", np.bool_(True), **control)
    assert capsys.readouterr().out == "claim 6.1 ✓ it is so\n"


@pytest.mark.parametrize("control", [True, np.bool_(True), 1, np.float32(0.5)])
def test_a_claim_breaks_where_its_control_holds_too(control, capsys):
    with pytest.raises(Broken, match=r"claim 6.1 ✗ true of its control too \(seed 0\), so it says nothing: it is so"):
        claim("6.1", "it is so", True, control=control)
    assert capsys.readouterr().out == ""


def test_what_is_false_is_said_before_what_its_control_is():
    with pytest.raises(Broken, match="not true in this run"):
        claim("6.1", "it is so", False, control=True)


def test_a_control_that_is_no_bool_is_not_taken_for_one():
    with pytest.raises(ValueError, match="ambiguous"):
        claim("6.1", "it is so", True, control=np.ones(2))
