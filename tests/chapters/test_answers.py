"""The exercises of chapters: solutions and alternatives pass, stubs and wrong answers fail with their own hint, and the
key is what the source gives."""

import contextlib
import io
import linecache
import os
import warnings

import pytest

from course.authoring import chapters, keying, review
from course.comparing import compare
from course.exercises import asking, checking, keys, showing
from course.exercises.cells import defined_name


def test_wrong_answers_fail_and_are_told_their_mistake(chapter):
    key = keys.load(chapter.number)
    assert [str(problem) for problem in review.exercise_problems(chapter, key)] == []


@pytest.fixture(scope="module")
def world(changed):
    """The names that a chapter's definitions make."""
    names = {}
    for source in keying.definitions(changed):
        exec(compile(source, changed.path.name, "exec"), names)
    return names


def answers(chapter):
    return {c.metadata["course"]["exercise"]: c.source for c in chapter.cells if chapters.role(c) == "answer"}


def made_by(source, names):
    """What an answer cell defines, in a world of `names`."""
    names = dict(names)
    linecache.cache["<answer>"] = len(source), None, source.splitlines(keepends=True), "<answer>"
    exec(compile(source, "<answer>", "exec"), names)
    return names[defined_name(source)]


def test_solutions_and_alternatives_pass(changed, world, capsys):
    specs = chapters.specifications(changed)
    for number, source in answers(changed).items():
        for right in [made_by(source, world), *specs[number].right_answers]:
            checking.check(number, right)
            assert f"exercise {number} ✓" in capsys.readouterr().out


def test_what_a_failed_check_shows_can_be_pasted_and_run(changed, world):
    for number, source in answers(changed).items():
        key = keys.load_exercise(number)
        for position, expected in enumerate(key.expected):
            before, call, _ = showing.shown(key, position, key.name)
            if "\n# " in key.call:  # not all of it is source
                continue
            names = {**world, key.name: made_by(source, world)}
            pasted = "\n".join(["import keras", *before, *call])
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
                try:
                    exec(pasted, names)
                    raised = ""
                except Exception as error:
                    raised = type(error).__name__
            assert raised == (expected.raised.names[0] if expected.raised else ""), (number, pasted)


def test_stubs_are_open_and_do_not_look_like_an_error(changed, world, capsys):
    for number in answers(changed):
        checking.check(number, made_by(chapters.stub(changed, number), world))
        assert capsys.readouterr().out.startswith(f"exercise {number} ○ still open: ")


def test_code_to_mend_is_wrong_once_it_is_touched(changed, world):
    for number in chapters.starts(changed):
        stub = chapters.stub(changed, number)
        at = stub.rindex("\n    return ")
        with pytest.raises(checking.Unsolved) as caught:
            checking.check(number, made_by(f"{stub[:at]}\n    touched = True{stub[at:]}", world))
        assert caught.value.state in ("wrong", "crashed"), str(caught.value)


def test_each_exercise_can_be_worked_on_after_a_restart(changed, capsys):
    """A namespace with nothing in it stands for a kernel that has just been started."""
    for number, source in answers(changed).items():
        names = {"__name__": "__main__"}
        exec("from course import check, resume", names)
        exec(f'resume("{changed.number}")', names)
        check = next(
            c.source for c in changed.cells if c.metadata.get("course") == {"role": "check", "exercise": number}
        )
        names[defined_name(source)] = made_by(source, names)
        exec(check, names)
        assert f"exercise {number} ✓" in capsys.readouterr().out


def test_the_key_is_what_the_source_gives(changed):
    stored, made = keys.load(changed.number), keying.make(changed)
    assert (stored.made_from, stored.definitions) == (made.made_from, made.definitions)
    assert list(stored.exercises) == list(made.exercises)
    for number, one in made.exercises.items():
        before = stored.exercises[number]
        assert (before.stub, before.check, before.driver) == (one.stub, one.check, one.driver)
        assert compare(before.cases, one.cases, rtol=0, atol=0) is None, number
        # What an oracle gives may differ in its last digits from machine to machine.
        assert not any(before.differences(one.expected)), number
        assert [(m.name, m.hint) for m in before.mistakes] == [(m.name, m.hint) for m in one.mistakes]


def test_checks_hold_for_other_seeds(changed, world, seed):
    """For `TEST_DRAWS` seeds, one where it is not set: no drawn case may hang on how a subtraction is rounded."""
    specs = chapters.specifications(changed)
    key = keys.load(changed.number)
    for number, source in answers(changed).items():
        spec, solution = specs[number], made_by(source, world)
        for draw in range(seed, seed + int(os.environ.get("TEST_DRAWS") or 1)):
            question = asking.Question(number, spec.draw_cases(draw), key.exercises[number].driver)
            expected = [spec.expected(case) for case in question.cases]
            for right in [solution, *spec.right_answers]:
                outcomes, _ = asking.ask(question, right)
                for got, want, case in zip(outcomes, expected, question.cases, strict=True):
                    assert not got.differs(want, spec.rtol, spec.atol), (number, draw, case)
