"""What the tests of grading share: a learner's own folder."""

import pytest
from helpers import ODD

from course.exercises import progress
from course.lesson import settings


@pytest.fixture
def folder(small, tmp_path, monkeypatch):
    """A learner's own folder, with nothing in it yet; beside what lies there, progress is kept."""
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setattr(progress, "_session", {})
    path = tmp_path / ODD
    (path / settings.KEPT).mkdir(parents=True)
    return path
