"""A class of those who attack the judge, and of broken files. And what a worker is never told."""

import dataclasses
import json

import attacks_on_judging
import pytest
from helpers import NAME, WALL, class_key, walled
from hostile import Hostile

from course.classroom import runner, workers
from course.classroom.judge import Judge
from course.exercises import keys

SECRET = b"a secret of sixteen"


@walled
class TestJudging(Hostile):
    answers, with_files = attacks_on_judging.ANSWERS, True


def test_what_answers_a_key_never_goes_to_a_worker(small):
    reference = runner.Reference(class_key("90", SECRET), keys.load("90"))
    numbers = list(reference.key.exercises)
    job = reference.asked | runner.job(small / "class" / NAME, numbers, runner.Options(small, small))
    told = keys.from_text(job["key"], "the job's key", "-")
    assert not told.solutions and not any(one.answers for one in told.exercises.values())
    text = json.dumps(job)
    for word in ("oracle", "SOLUTION", "return 2 * x", "three times", "The sign is kept", "thrice", "cumsum"):
        assert word not in text, f"{word}: of the specification, only cases and driver may go"
    for number, one in reference.key.exercises.items():
        assert one.answers not in text and reference.public.exercises[number].answers not in text
        assert told.exercises[number].cases == one.cases
    assert "answer()" in told.exercises["90.3"].driver


@walled
def test_a_reference_that_fails_its_own_test_stops_everything(small, tmp_path):
    key = class_key("90", SECRET)
    solutions = {number: source.replace("return 2 * x", "return 3 * x") for number, source in key.solutions.items()}
    reference = runner.Reference(dataclasses.replace(key, solutions=solutions), keys.load("90"))
    options = runner.Options(tmp_path, tmp_path / "out", limits=WALL)
    given = {"secret 90": reference.key, "public 90": reference.public}
    with workers.Crew(workers.Setup(["numpy"], WALL), 1) as crew, Judge(given) as judge:
        with pytest.raises(runner.GraderError, match="the reference's own answer does not pass.*nobody was graded"):
            runner.self_test(reference, crew, judge.judge, options)
