"""The exercises of every chapter: solutions and alternatives pass, stubs and wrong answers fail with their own hint."""

import os

import pytest

from course import chapters, exercises


@pytest.fixture(scope="module")
def worlds():
    """The names that a chapter's definitions make, by chapter."""
    return {}


def definitions(chapter, worlds):
    if chapter.number not in worlds:
        names = worlds[chapter.number] = {}
        for cell in chapter.cells:
            if cell.cell_type == "code" and cell.metadata["course"]["role"] == "definition":
                exec(compile(cell.source, chapter.path.name, "exec"), names)
    return dict(worlds[chapter.number])


def answers(chapter):
    return [c for c in chapter.cells if c.cell_type == "code" and c.metadata["course"]["role"] == "answer"]


def made_by(source, names):
    """What an answer cell defines, in a world of `names`."""
    from course.submission import defined_name

    exec(compile(source, "answer", "exec"), names)
    return names[defined_name(source)]


def test_solutions_and_alternatives_pass(chapter, worlds, capsys):
    specs = exercises.specifications(chapter.number)
    for cell in answers(chapter):
        number = cell.metadata["course"]["exercise"]
        for right in [made_by(cell.source, definitions(chapter, worlds)), *specs[number].right_answers]:
            exercises.check(number, right)
            assert f"exercise {number} ✓" in capsys.readouterr().out


def test_stubs_are_open_or_wrong(chapter, worlds):
    specs = exercises.specifications(chapter.number)
    for cell in answers(chapter):
        number = cell.metadata["course"]["exercise"]
        start = specs[number].start
        body = chapters.body_of(chapter.path, number, start) if start else None
        stub = made_by(chapters.blank(cell.source, body), definitions(chapter, worlds))
        with pytest.raises(exercises.Unsolved) as caught:
            exercises.check(number, stub)
        assert caught.value.state == ("wrong" if start else "open"), str(caught.value)


def test_wrong_answers_fail_and_are_told_their_mistake(chapter):
    for number, spec in exercises.specifications(chapter.number).items():
        for wrong in spec.wrong_answers:
            with pytest.raises(exercises.Unsolved) as caught:
                exercises.check(number, wrong)
            assert caught.value.hint == " ".join(wrong.__doc__.split()), f"{number} {wrong.__name__}: {caught.value}"


def test_checks_hold_for_other_seeds(chapter, worlds, seed):
    """For `TEST_DRAWS` seeds, one where it is not set: no drawn case may hang on how a subtraction is rounded."""
    specs = exercises.specifications(chapter.number)
    for cell in answers(chapter):
        spec = specs[cell.metadata["course"]["exercise"]]
        solution = made_by(cell.source, definitions(chapter, worlds))
        for draw in range(seed, seed + int(os.environ.get("TEST_DRAWS") or 1)):
            for case in spec.draw_cases(draw):
                wanted = spec.expected(case)
                for right in [solution, *spec.right_answers]:
                    assert not spec.run(right, case).differs(wanted, spec.rtol, spec.atol), (spec.number, draw, case)
