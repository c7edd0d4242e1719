"""What the tests share: the choice of chapters, a small chapter without Keras, a seed that is printed, and how the
tests are spread over processes."""

import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from helpers import point_at

from course.authoring import build, chapters, plugin

SMALL = Path(__file__).parent / "small"
os.environ["COURSE_PROGRESS"] = "off"  # what tests check is no learner's progress
# A group of tests runs in one process, one after the other. Graders of classes share user ids and count processes.
SANDBOXED = ("tests/classroom/test_classroom.py", "tests/classroom/test_hostile.py")


def pytest_generate_tests(metafunc):
    """`chapter_path`: every chapter asked for. `changed_path`: those to be tried in full, see `evidence.plan`."""
    plan = plugin.plan(metafunc.config)
    asked = metafunc.config.getoption("--chapters")
    for name, paths in (
        ("chapter_path", list(plan)),
        ("changed_path", [path for path, why in plan.items() if why or asked]),
    ):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, paths, ids=[path.stem for path in paths], scope="module")


def part_of(item):
    """The part of the suite that a test belongs to: a chapter, a file that must not run beside itself, or a folder."""
    if "callspec" in dir(item):
        for name in ("chapter_path", "changed_path"):
            if name in item.callspec.params:
                return f"chapter {item.callspec.params[name].name[:2]}"
    path = item.nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        return f"notebook {Path(path).name[:2]}"
    return "sandbox" if path in SANDBOXED else path.removesuffix(".py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Group the tests by part, the longest parts first, so that no process waits for another at the end."""
    whole = {f"notebook {path.name[:2]}" for path, why in plugin.plan(config).items() if why}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(part_of(item)))
    items.sort(key=lambda item: ("sandbox" != part_of(item), part_of(item) not in whole))


def pytest_terminal_summary(terminalreporter):
    """How long each part took, summed over its tests."""
    seconds = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration") and hasattr(report, "nodeid"):
                path = report.nodeid.split("::")[0].split("@")[0]
                name = next((p for p in chapters.sources() if p.stem in report.nodeid), None)
                seconds[f"chapter {name.name[:2]}" if name else str(Path(path).parent)] += report.duration
    if seconds:
        terminalreporter.section("seconds by part")
        for part, total in sorted(seconds.items(), key=lambda pair: -pair[1]):
            terminalreporter.write_line(f"{total:7.1f}  {part}")


@pytest.fixture
def chapter(chapter_path):
    return chapters.read_chapter(chapter_path)


@pytest.fixture(scope="module")
def changed(changed_path):
    return chapters.read_chapter(changed_path)


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
