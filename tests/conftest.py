"""What the tests share: the choice of chapters, a small chapter without Keras, a seed that is printed, and how long
each part took."""

import os
import random
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from helpers import point_at

from course.authoring import build, chapters, plugin, release

pytest.register_assert_rewrite("hostile")
SMALL = Path(__file__).parent / "small"
os.environ["COURSE_PROGRESS"] = "off"  # what tests check is no learner's progress


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


def pytest_addoption(parser):
    parser.addoption("--promised", default="", help="Fail where a test is skipped for a reason that this regex finds.")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """A machine that promises a part, such as the sandbox, fails where that part was skipped."""
    reporter, promised = session.config.pluginmanager.get_plugin("terminalreporter"), session.config.option.promised
    if reporter is not None and promised:
        reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])}
        broken = sorted(reason for reason in reasons if re.search(promised, reason))
        session.config.broken_promises = broken
        if broken and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """What was skipped though it was promised, and how long each part took, summed over its tests."""
    for reason in getattr(config, "broken_promises", []):
        terminalreporter.write_line(f"promised, and skipped all the same: {reason}", red=True)
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


@pytest.fixture(scope="session")
def edition(built_small, tmp_path_factory):
    """The wheel of the students' edition of the small chapter, whose answers need no Keras."""
    with pytest.MonkeyPatch.context() as patch:
        point_at(patch, built_small)
        return release.release(tmp_path_factory.mktemp("edition") / "out", chapters.sources())


@pytest.fixture
def seed():
    """A seed for a random test: `TEST_SEED`, or drawn; printed, so that a failure can be repeated."""
    value = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TEST_SEED={value}")
    return value
