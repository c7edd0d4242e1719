"""The recorded audits are of the exercises as they are, and found nothing but what is known."""

import pytest

from course.authoring import audit

# How many mutants of a chapter's exercises are still accepted; a number may only fall. To be deleted when all are 0.
ACCEPTED = {
}


def test_its_audit_is_of_these_exercises(chapter):
    assert audit.outdated(chapter) == [], f"run: course audit {chapter.number}"


def test_no_more_mutants_are_accepted_than_are_known(chapter):
    accepted = [mutant for one in audit.load(chapter.number).values() for mutant in one["survivors"]]
    assert len(accepted) <= ACCEPTED.get(chapter.number, 0), f"run: course audit {chapter.number}"


def test_right_answers_pass_in_all_forms(chapter):
    refused = {number: one["forms"] for number, one in audit.load(chapter.number).items() if one["forms"]}
    assert refused == {}


@pytest.mark.parametrize("number", ACCEPTED)
def test_the_ceiling_has_no_room(number):
    """Whoever has fewer mutants accepted lowers the ceiling."""
    accepted = sum(len(one["survivors"]) for one in audit.load(number).values())
    assert accepted == ACCEPTED[number]
