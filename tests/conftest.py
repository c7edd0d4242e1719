"""What the tests share: the choice of chapters, a small chapter without Keras, and a seed that is printed."""

import os
import random
import shutil
from pathlib import Path

import pytest
from helpers import point_at

from course.authoring import build, chapters

SMALL = Path(__file__).parent / "small"


def pytest_addoption(parser):
    parser.addoption("--chapters", default="", help='Limit the tests of chapters to these, such as "03 06".')


def pytest_generate_tests(metafunc):
    if "chapter_path" in metafunc.fixturenames:
        paths = chapters.select(metafunc.config.getoption("--chapters").split())
        metafunc.parametrize("chapter_path", paths, ids=[path.stem for path in paths])


@pytest.fixture
def chapter(chapter_path):
    return chapters.read_chapter(chapter_path)


@pytest.fixture(scope="session")
def built_small(tmp_path_factory):
    """A folder with the small chapter's source, its key and both its notebooks."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(SMALL, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        point_at(patch, folder)
        build.build(chapters.read_chapter(folder / "solutions" / "90_adding.py"))
    return folder


@pytest.fixture
def small(built_small, monkeypatch):
    """The same, as the folder that this process and its kernels take chapters from."""
    point_at(monkeypatch, built_small)
    return built_small


@pytest.fixture
def seed():
    """A seed for a random test: `TEST_SEED`, or drawn; printed, so that a failure can be repeated."""
    value = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TEST_SEED={value}")
    return value
