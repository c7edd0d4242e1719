"""A learner in a real browser: opens the course, works, comes back after the course has changed, and goes on."""

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import COURSE, MEND, NAME, ODD, TWICE, Installed, change, clean, jupyter_places, lab, point_at

from course.authoring import pages
from course.exercises import keys
from course.files import load_notebook
from course.grading import work
from course.lesson import settings

selenium = pytest.importorskip("selenium", reason="Selenium is not installed: pip install -e '.[dev]'")
import lab_page as page  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.skipif(bool(page.missing()), reason=page.missing())
THRICE = "# Exercise 90.1\ndef twice(x):\n    return 3 * x\n"
PANEL, RESUME = "Where are you?", "After a pause or a restart"


@pytest.fixture
def driver(tmp_path):
    with page.browser(tmp_path / "profile") as driver:
        yield driver


@dataclass(frozen=True)
class Course:
    """The course as one person has it. command: how it is called. lessons: the folder of its lessons. here: the folder
    that the person is in. work: that for the person's notebooks. environment: variables."""

    command: list
    lessons: Path
    here: Path
    work: Path
    environment: dict

    def run(self, *words):
        return subprocess.run(
            [*self.command, *words], cwd=self.here, env=self.environment, capture_output=True, text=True
        )

    def lab(self):
        """JupyterLab, as `course lab` opens it; see `helpers.lab`."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = ["lab", self.work, "--port", str(port)]
        return lab([*self.command, *words], self.here / "log", self.environment, cwd=self.here)


def checkout(tmp_path, request):
    """The small course as a checkout has it, of which nobody else's work is touched."""
    folder = tmp_path / "course"
    shutil.copytree(request.getfixturevalue("built_small"), folder)
    with pytest.MonkeyPatch.context() as patch:
        point_at(patch, folder)
        pages.write_pages()
    own = tmp_path / ODD
    variables = {"COURSE_SOLUTIONS": str(folder / "solutions"), "COURSE_WORK": str(own), "HOME": str(tmp_path)}
    return Course(COURSE, folder / "notebooks", tmp_path, own, clean(**variables))


def wheel(tmp_path, request):
    """The small course's students' edition, in an environment of its own and an empty folder."""
    installed = Installed(tmp_path / "environment", request.getfixturevalue("edition"))
    here = tmp_path / "an empty folder"
    here.mkdir()
    environment = clean(**jupyter_places(), HOME=str(tmp_path))
    return Course([installed.bin / "course"], installed.lessons(here), here, here / "work", environment)


def opened(driver, address, title, name):
    """Open the course's address, and from the index a chapter."""
    driver.get(address)
    page.at(driver, "index.ipynb")
    page.follow(driver, title)
    page.at(driver, name)


@pytest.mark.parametrize("made", [checkout, wheel], ids=["checkout", "wheel"])
def test_a_learner_goes_on_after_the_course_has_changed(made, tmp_path, request, driver):
    course = made(tmp_path, request)
    with course.lab() as (server, address):
        driver.get(address)
        page.at(driver, "index.ipynb")
        page.run(driver, PANEL)
        page.said(driver, PANEL, "0 of 3 exercises solved")
        page.follow(driver, "Adding")
        page.at(driver, NAME)
        page.run(driver, RESUME)
        page.said(driver, RESUME, "the lesson defines are here")
        page.edit(driver, 'ask("90.a"', 'ask("90.a", 4)')
        page.run(driver, 'ask("90.a"')
        assert page.said(driver, 'ask("90.a"', "✗") == "question 90.a ✗ it is not 4. Use your fingers."
        page.edit(driver, 'ask("90.a"', 'ask("90.a", 3)')
        page.run(driver, 'ask("90.a"')
        assert page.said(driver, 'ask("90.a"', "✓") == "question 90.a ✓ The sum of 1 and 2."
        assert "still open" in checked(driver, "90.1", None, "○") and not page.is_error(driver, 'check("90.1"')
        wrong = checked(driver, "90.1", THRICE, "✗").splitlines()
        assert (
            len(wrong) == 3
            and wrong[2].strip() == "hint: That is three times."
            and page.is_error(driver, 'check("90.1"')
        )
        assert checked(driver, "90.1", TWICE, "✓") == "exercise 90.1 ✓ 8 cases"
        page.save(driver)
        page.choose(driver, "File", "Shut Down", accept=True)
        assert server.wait(page.SECONDS) == 0

    change(course.lessons / NAME)
    run = course.run("update")
    assert "1 new, 1 changed; kept: your answers to 90.1, 1 cell that you changed" in run.stdout, (
        run.stdout + run.stderr
    )

    with course.lab() as (server, address):
        opened(driver, address, "Adding", NAME)
        page.cell(driver, "Now in other words.")
        page.cell(driver, "a new cell")
        page.cell(driver, "return x + x")
        page.choose(driver, "Kernel", "Restart Kernel…", accept=True)
        page.run(driver, RESUME)
        page.said(driver, RESUME, "the lesson defines are here")
        assert checked(driver, "90.2", MEND, "✓") == "exercise 90.2 ✓ 8 cases"
        page.save(driver)
        page.follow(driver, "All chapters")
        page.at(driver, "index.ipynb")
        page.run(driver, PANEL)
        panel = page.said(driver, PANEL, "2 of 3 exercises solved, 3 of 4 points.")
        assert "Next: exercise 90.3" in panel and "✓ ✓ ○" in panel
    told = course.run("status").stdout
    assert "2 of 3 exercises solved, 3 of 4 points. Next: exercise 90.3" in told, told
    assert course.run("grade").returncode == 1


def test_saving_over_an_update_loses_nothing_and_the_update_is_done_again(tmp_path, request, driver):
    course = checkout(tmp_path, request)
    with course.lab() as (_, address):
        opened(driver, address, "Adding", NAME)
        page.edit(driver, "# Exercise 90.1", TWICE)  # and it is not saved yet
        change(course.lessons / NAME)
        assert work.RELOAD in course.run("update").stdout
        page.press(driver, Keys.CONTROL, "s")
        page.click(driver, ".jp-Dialog button", "Overwrite")
        page.saved(driver)
        saved = load_notebook(course.work / NAME)
        assert any(cell.source == TWICE for cell in saved.cells)
        assert "it was as before its last update; cells of the lesson: 1 new, 1 changed" in course.run("update").stdout
        page.choose(driver, "File", "Reload Notebook from Disk")
        page.cell(driver, "Now in other words.")
        page.cell(driver, "return x + x")
        assert "nothing to do" in course.run("update").stdout


def checked(driver, number, answer, mark):
    """What the check of an exercise says, once it says it with a mark. answer: what to put into its cell first; None
    leaves it as it is."""
    if answer:
        page.edit(driver, f"# Exercise {number}", answer)
    page.run(driver, f"# Exercise {number}")
    page.run(driver, f'check("{number}"')
    return page.said(driver, f'check("{number}"', mark)


def test_chapter_3_as_a_newcomer_meets_it(tmp_path, driver):
    number, name = "3.1", "03_convolution.ipynb"
    answers = {cell.id: cell.source for cell in load_notebook(settings.ROOT / "solutions" / name).cells}
    environment = clean(HOME=str(tmp_path), COURSE_WORK=str(tmp_path / "work"))
    course = Course(COURSE, settings.lessons_folder(), tmp_path, tmp_path / "work", environment)
    with course.lab() as (_, address):
        opened(driver, address, "The convolution operation", name)
        page.run(driver, RESUME)
        page.said(driver, RESUME, "the lesson defines are here")
        page.edit(driver, 'ask("3.a"', 'ask("3.a", 15)')
        page.run(driver, 'ask("3.a"')
        page.said(driver, 'ask("3.a"', "question 3.a ✓")
        assert (
            checked(driver, number, answers["exercise-3-1"], "✓")
            == f"exercise 3.1 ✓ {keys.load(number).exercises[number].count} cases"
        )
        for words, there in (("4. ", "04_receptive_fields.ipynb"), ("3. ", name), ("2. ", "02_optimisation.ipynb")):
            page.follow(driver, words)
            page.at(driver, there)
        page.follow(driver, "All chapters")
        page.at(driver, "index.ipynb")
        page.run(driver, PANEL)
        page.said(driver, PANEL, "1 of")
    assert "Next: exercise 3.2, in 03_convolution." in course.run("status").stdout
