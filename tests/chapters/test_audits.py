"""The recorded audits are of the exercises as they are, and found nothing."""

from course.authoring import audit


def test_its_audit_is_of_these_exercises(chapter):
    assert audit.outdated(chapter) == [], f"run: course audit {chapter.number}"


def test_no_mutant_is_accepted(chapter):
    accepted = {number: one["survivors"] for number, one in audit.load(chapter.number).items() if one["survivors"]}
    assert accepted == {}, f"run: course audit {chapter.number}"


def test_right_answers_pass_in_all_forms(chapter):
    refused = {number: one["forms"] for number, one in audit.load(chapter.number).items() if one["forms"]}
    assert refused == {}
