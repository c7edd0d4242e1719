"""The course as an installed package, in an environment of its own and an empty folder, without a checkout."""

import shutil
import zipfile

import nbformat
import pytest
from helpers import NAME, Installed, answered, ask_lab, change, clean, jupyter_places, lab

from course.authoring import release
from course.files import load_notebook
from course.lesson import settings

ROOT = settings.ROOT


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The wheel of the repository as it is, as `pip wheel .` makes it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("course", "notebooks", "solutions", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, tree / name)
    return release.build_wheel(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(edition, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("environment") / "with space", edition)


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "an empty folder [ü]"
    folder.mkdir()
    return folder


def test_the_wheel_holds_all_that_learners_need_and_no_solution(whole):
    with zipfile.ZipFile(whole) as archive:
        inside = set(archive.namelist())
        entry_points = archive.read(next(name for name in inside if name.endswith("entry_points.txt"))).decode()
    wanted = {f"course/{path.relative_to(ROOT / 'course')}" for path in (ROOT / "course").rglob("*") if path.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name and not name.endswith(".part")}
    # What the audits found quotes lines of solutions.
    wanted = {name for name in wanted if not name.startswith("course/results/audit/")}
    wanted |= {f"course/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert wanted <= inside
    others = {name for name in inside - wanted if ".dist-info/" not in name}
    assert others == set()
    assert "course.grading.collecting" in entry_points and "course = course.cli:main" in entry_points


def test_all_of_it_in_an_empty_folder(installed, built_small, empty):
    assert "your own copies of the lessons" in installed.course("lab", "--help", cwd=empty).stdout
    run = installed.course("grade", "90", cwd=empty)
    assert run.returncode == 2 and "run course lab, which puts one there" in run.stderr and not list(empty.iterdir())
    run = installed.course("update", cwd=empty)
    assert run.returncode == 0 and "chapter 90" in run.stdout, run.stderr
    copy = empty / "work" / NAME
    assert copy.exists() and (empty / "work" / "index.ipynb").exists()
    run = installed.course("grade", "90", cwd=empty)
    assert run.returncode == 1 and "0 of 3 exercises right" in run.stdout, run.stderr
    copy.write_text(nbformat.writes(answered(built_small)), encoding="utf-8")
    for folder in (empty, empty / "work"):
        run = installed.course("grade", "90", cwd=folder)
        assert run.returncode == 0 and "3 of 3 exercises right" in run.stdout, run.stderr
    assert installed.course("grade", cwd=empty).returncode == 0
    assert "3 of 3 exercises solved" in installed.course("status", cwd=empty).stdout
    assert "nothing to do" in installed.course("update", cwd=empty).stdout


def test_a_newer_wheel_brings_its_lessons_under_the_answers(installed, edition, built_small, empty, tmp_path):
    own = Installed(tmp_path / "own", edition)
    own.course("update", cwd=empty)
    (empty / "work" / NAME).write_text(nbformat.writes(answered(built_small)), encoding="utf-8")
    change(own.lessons(empty) / NAME)
    run = own.course("update", cwd=empty)
    assert run.returncode == 0 and "kept: your answers to 90.1, 90.2, 90.3" in run.stdout, run.stderr
    assert "Now in other words." in (empty / "work" / NAME).read_text(encoding="utf-8")
    assert own.course("grade", "90", cwd=empty).returncode == 0


KERNEL = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}}).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text") or output.get("evalue") or "")
"""


def test_a_lone_notebook_runs_checks_and_is_graded(installed, built_small, empty):
    path = empty / "copied from somewhere.ipynb"
    path.write_text(nbformat.writes(answered(built_small)), encoding="utf-8")
    run = installed.run(installed.python, "-c", KERNEL, path, empty, cwd=empty, **jupyter_places())
    assert run.returncode == 0, run.stderr
    for said in ("(90.1) ✓", "claim 90.1 ✓", "exercise 90.1 ✓", "exercise 90.2 ✓", "exercise 90.3 ✓"):
        assert said in run.stdout
    run = installed.course("grade", path.name, cwd=empty)
    assert run.returncode == 0 and "3 of 3 exercises right" in run.stdout, run.stderr


def test_plain_pytest_finds_the_plugin_and_leaves_others_alone(installed, built_small, empty):
    (empty / "mine.ipynb").write_text(nbformat.writes(answered(built_small)), encoding="utf-8")
    shutil.copy(built_small / "notebooks" / NAME, empty / "90_blank.ipynb")
    code = nbformat.v4.new_code_cell("# Exercise 90.1\nprint(1 + 1)")
    (empty / "90_stranger.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[code])))
    pytest_ = [installed.python, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    run = installed.run(*pytest_, "--nbval-lax", "mine.ipynb", cwd=empty)
    assert run.returncode == 0 and "exercise 90.3 check PASSED" in run.stdout, run.stdout
    run = installed.run(*pytest_, "--nbval-lax", "90_blank.ipynb", cwd=empty)
    assert run.returncode == 1 and "exercise 90.1 check FAILED" in run.stdout, run.stdout
    run = installed.run(*pytest_, "--nbval-lax", "90_stranger.ipynb", cwd=empty)
    assert run.returncode == 0 and "1 passed" in run.stdout and "exercise" not in run.stdout, run.stdout
    # Asked for a second and a third time, as a checkout's conftest.py does, it is still there once.
    (empty / "conftest.py").write_text('pytest_plugins = ["course.grading.collecting"]\n')
    run = installed.run(*pytest_, "--nbval-lax", "-p", "course.grading.collecting", "mine.ipynb", cwd=empty)
    assert run.returncode == 0 and run.stdout.count("exercise 90.3 check PASSED") == 1, run.stdout + run.stderr
    (empty / "test_other.py").write_text(
        "import sys\n\ndef test():\n"
        "    assert 'course.grading.collecting' in sys.modules\n"
        "    assert not {'course.grading.plugin', 'course.exercises.keys', 'numpy', 'keras'} & set(sys.modules)\n"
    )
    run = installed.run(*pytest_, "test_other.py", cwd=empty)
    assert run.returncode == 0, run.stdout


def test_the_doctor_and_the_authors_commands(installed, empty):
    run = installed.course("doctor", cwd=empty, COURSE_OFFLINE="1")
    assert "Traceback" not in run.stderr and "all packages that the course needs" in run.stdout, run.stdout + run.stderr
    for words in (["build"], ["build", "90"], ["new", "91_more"], ["measure", "90"], ["release", "out"]):
        run = installed.course(*words, cwd=empty)
        assert run.returncode == 2 and f"course {words[0]} works on the chapters' sources" in run.stderr, run.stderr
        assert "in a checkout" in run.stderr and len(run.stderr.splitlines()) <= 2
    assert not list(empty.iterdir())


def test_the_lab_opens_in_an_empty_folder(installed, empty, tmp_path):
    command, environment = [installed.bin / "course", "lab"], clean(**jupyter_places(), HOME=str(tmp_path))
    with lab(command, tmp_path / "log", environment, cwd=empty) as (_, address):
        names = {one["name"] for one in ask_lab(address, "api/contents")["content"]}
        assert names == {NAME, "index.ipynb", "glossary.ipynb"} and (empty / "work" / NAME).exists()


def test_a_chapter_of_the_course_is_graded_without_a_checkout(whole, empty, tmp_path):
    """Chapter 03, with its own answers, from the wheel of the repository."""
    installed = Installed(tmp_path / "environment", whole)
    assert installed.course("update", cwd=empty).returncode == 0
    source = next((ROOT / "solutions").glob("03_*.ipynb"))
    answers = {
        cell.metadata.course.exercise: cell.source
        for cell in load_notebook(source).cells
        if cell.metadata.get("course", {}).get("role") == "answer"
    }
    copy = empty / "work" / source.name
    notebook = load_notebook(copy)
    for cell in notebook.cells:
        if cell.metadata.get("course", {}).get("role") == "answer":
            cell.source = answers[cell.metadata.course.exercise]
    copy.write_text(nbformat.writes(notebook), encoding="utf-8")
    run = installed.course("grade", "03", cwd=empty)
    assert run.returncode == 0 and f"{len(answers)} of {len(answers)} exercises right" in run.stdout, run.stderr
