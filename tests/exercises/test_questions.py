"""Short questions on the way: judged in one line that never stops a notebook."""

import dataclasses
import shutil

import numpy as np
import pytest

from course.exercises import keys, questions
from course.exercises.keys import ShortQuestion
from course.exercises.outcomes import ExerciseError

NUMBER = ShortQuestion(5, "So many fit.", "Count the places.")
FLOAT = ShortQuestion(0.125, "An eighth.", "Divide.")
SHAPE = ShortQuestion((26, 26, 8), "Two less.", "One side at a time.")
WORD = ShortQuestion("Smaller", "It shrinks.", "Look at the edge.", ("smaller", "larger"))


@pytest.mark.parametrize(
    "one, answer, said",
    [
        (NUMBER, ..., "○ put your answer in place of the three dots"),
        (NUMBER, 5, "✓ So many fit."),
        (NUMBER, 5.0, "✓ So many fit."),
        (NUMBER, np.int64(5), "✓ So many fit."),
        (NUMBER, 4, "✗ it is not 4. Count the places."),
        (NUMBER, 5.01, "✗ it is not 5.01. Count the places."),
        (NUMBER, "5", "✗ the answer is a number"),
        (NUMBER, True, "✗ the answer is a number"),
        (NUMBER, None, "✗ the answer is a number"),
        (NUMBER, float("nan"), "✗ the answer is a number"),
        (NUMBER, 10**400, "✗ the answer is a number"),
        (NUMBER, (5,), "✗ the answer is a number"),
        (FLOAT, 1 / 8, "✓ An eighth."),
        (FLOAT, 0.1255, "✓ An eighth."),
        (FLOAT, 0.13, "✗ it is not 0.13. Divide."),
        (SHAPE, (26, 26, 8), "✓ Two less."),
        (SHAPE, [26, 26, 8], "✓ Two less."),
        (SHAPE, (28, 28, 8), "✗ it is not (28, 28, 8). One side at a time."),
        (SHAPE, (26, 26), "✗ it is not (26, 26). One side at a time."),
        (SHAPE, 26, "✗ the answer is a shape, 3 whole numbers in parentheses"),
        (WORD, "smaller", "✓ It shrinks."),
        (WORD, " SMALLER ", "✓ It shrinks."),
        (WORD, "larger", "✗ it is not 'larger'. Look at the edge."),
        (WORD, "bigger", "✗ the answer is one of 'smaller', 'larger', in quotation marks"),
        (WORD, 3, "✗ the answer is one of 'smaller', 'larger', in quotation marks"),
    ],
)
def test_an_answer_gets_one_line(one, answer, said):
    assert questions.judged("9.a", one, answer) == f"question 9.a {said}"


def test_it_is_asked_of_the_key(small, tmp_path, monkeypatch, capsys):
    shutil.copytree(small / "keys", tmp_path / "keys")
    monkeypatch.setenv("COURSE_KEYS", str(tmp_path / "keys"))
    path = tmp_path / "keys" / "90.json"
    with pytest.raises(ExerciseError, match="there is no question '90.z'; this chapter has 90.a"):
        questions.ask("90.z", 3)
    questions.ask("90.a", 3)
    questions.ask("90.a")
    assert capsys.readouterr().out.splitlines() == [
        "question 90.a ✓ The sum of 1 and 2.",
        "question 90.a ○ put your answer in place of the three dots",
    ]
    path.write_text(keys.as_text(dataclasses.replace(keys.load("90"), short={})), encoding="utf-8")
    with pytest.raises(ExerciseError, match="this chapter has none"):
        questions.ask("90.a", 3)
