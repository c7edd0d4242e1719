"""What a sandbox hands over is judged, whatever it is."""

import dataclasses

import pytest
from helpers import class_key

from course.classroom import evidence
from course.classroom.judge import TOO_MUCH, Judge
from course.exercises import asking, keys, values
from course.exercises.outcomes import Outcome


def forms(key):
    return [values.encode_outcome(outcome) for outcome in key.expected]


def test_judging_takes_anything_for_evidence(small):
    key = class_key("90", b"a" * 16).exercises["90.1"]
    right = forms(key)
    assert evidence.judge(key, {"cases": right}).state == "passed"
    for strange in (
        None,
        1,
        [],
        "x",
        {},
        {"cases": 1},
        {"cases": right[:-1]},
        {"cases": [None] * 8},
        {"cases": right * 2},
    ):
        assert evidence.judge(key, strange).state == "wrong"
    verdict = evidence.judge(key, {"cases": right[:-1] + [{"value": 1e9}]})
    assert (verdict.state, verdict.right, verdict.of) == ("wrong", 7, 8)
    nearly = [{"value": outcome.value * (1 + 1e-9)} for outcome in key.expected]
    assert evidence.judge(key, {"cases": nearly}).state == "passed", "another floating-point path"


def test_a_failure_is_explained(small):
    key = keys.load_exercise("90.1")

    def handed_over(function, name):
        return {"exercise": "90.1", "name": name, "cases": [{"value": function(*case)} for case in key.cases]}

    judged = evidence.judge(key, handed_over(lambda x: 3 * x, "twice"))
    assert (judged.state, judged.right, judged.hint) == ("wrong", 0, "That is three times.")
    assert judged.text.splitlines()[1].startswith(f"  twice(x={key.cases[0][0]!r}) gave ")
    for name in ("<script>", "x" * 10_000, 7):
        text = evidence.judge(key, handed_over(lambda x: 3 * x, name)).text
        assert "script" not in text and len(text) < 500


def test_whatever_breaks_the_judge_is_wrong_and_the_next_answer_is_judged(small, monkeypatch):
    key = keys.load("90")
    monkeypatch.setattr("course.classroom.judge.SECONDS", 2)
    with Judge({"public 90": key}) as judge:
        right = {"cases": forms(key.exercises["90.1"])}
        assert judge.judge("public 90", "90.1", right).state == "passed"
        first = judge.process
        for strange in ("x" * 10_000_000, right | {"cases": [right] * 8}):
            assert judge.judge("public 90", "90.1", strange).state == "wrong"
        first.process.send_signal(19)  # as if it hung
        judged = judge.judge("public 90", "90.1", right)
        assert (judged.state, judged.hint) == ("wrong", TOO_MUCH)
        assert judge.judge("public 90", "90.1", right).state == "passed" and judge.process is not first


def test_a_property_is_measured_outside_of_what_the_answer_gave(small):
    """What says of itself that it is even is no even number."""
    driver = "def measure(given, n):\n    return {'even': given % 2 == 0, 'above': given > n}"
    cases, right = [(1,), (2,), (7,)], [Outcome({"even": True, "above": True})] * 3
    key = dataclasses.replace(
        keys.load_exercise("90.1"),
        driver=driver,
        questions=keys.pack_questions(cases),
        answers=keys.pack_answers(right, []),
    )
    home, _ = asking.ask(key.question, lambda n: 2 * n)
    assert home == right and asking.ask(key.question, lambda n: 2 * n, raw=True)[0][0].value == 2
    assert evidence.judge(key, {"cases": [{"value": 2}, {"value": 4}, {"value": 14}]}).state == "passed"
    assert evidence.judge(key, {"cases": [{"value": 2}, {"value": 2}, {"value": 14}]}).right == 2
    assert evidence.judge(key, {"cases": [values.encode_outcome(one) for one in right]}).state == "crashed"


LARGE = {
    "an empty array": {"array": "", "dtype": "<f8", "shape": [300_000_000, 0]},
    "many dimensions": {"array": "AAAAAAAAAAA=", "dtype": "<f8", "shape": [1] * 60},
    "many values": [0] * 300_000,
    "many keys": {"dict": [[n, 0] for n in range(20_000)]},
    "keys of one hash": {"dict": [[{"int": str(n * (2**61 - 1))}, 0] for n in range(3)]},
    "tuples of one hash": {"dict": [[{"tuple": [{"int": str(n * (2**61 - 1))}]}, 0] for n in range(3)]},
    "many digits": {"int": "9" * 1000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_value_that_is_too_large_is_refused(name):
    with pytest.raises(values.WireError):
        values.decode(LARGE[name])
