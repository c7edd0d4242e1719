"""What a sandbox hands over is judged, whatever it is."""

from helpers import class_key

from course.classroom import evidence
from course.exercises import keys, values


def test_judging_takes_anything_for_evidence(small):
    secret, public = class_key("90", b"a" * 16).exercises["90.1"], keys.load_exercise("90.1")

    def judge(handed_over):
        return evidence.judge(secret, public, handed_over)

    right = {"cases": [values.encode_outcome(outcome) for outcome in secret.expected], "public": []}
    assert judge(right).state == "passed"
    for strange in (
        None,
        1,
        [],
        "x",
        {},
        {"cases": 1},
        {"cases": right["cases"][:-1]},
        {"cases": [None] * 8},
        right | {"public": 3},
    ):
        assert judge(strange).state != "passed"
    off = [values.encode_outcome(outcome) for outcome in secret.expected]
    off[-1] = {"value": 1e9}
    verdict = judge({"cases": off, "public": []})
    assert (verdict.state, verdict.right, verdict.of) == ("wrong", 7, 8)
    nearly = [{"value": outcome.value * (1 + 1e-9)} for outcome in secret.expected]
    assert judge({"cases": nearly, "public": []}).state == "passed", "another floating-point path"


def test_a_failure_is_explained_on_a_case_that_every_learner_can_see(small):
    secret, public = class_key("90", b"a" * 16).exercises["90.1"], keys.load_exercise("90.1")

    def handed_over(function, name):
        cases, shown = ([{"value": function(*case)} for case in key.cases] for key in (secret, public))
        return {"exercise": "90.1", "name": name, "cases": cases, "public": shown}

    judged = evidence.judge(secret, public, handed_over(lambda x: 3 * x, "twice"))
    assert (judged.state, judged.right, judged.hint) == ("wrong", 0, "That is three times.")
    assert judged.public.splitlines()[1].startswith(f"  twice(x={public.cases[0][0]!r}) gave ")
    judged = evidence.judge(secret, public, handed_over(lambda x: 3 * x, "<script>"))
    assert "answer(x=" in judged.public and "script" not in judged.public
