"""A learner's own folder: it is filled, found and brought up to date, and whatever happens nothing of it is lost."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from helpers import COURSE, NAME, ODD, RIGHT, answered, change, point_at

from course import files
from course.files import load_notebook
from course.grading import learner, merging, submission, work
from course.lesson import settings


@pytest.fixture
def lessons(built_small, tmp_path, monkeypatch):
    """The folder of the small chapter's lesson, of which the learner's folder is `work` beside it."""
    folder = tmp_path / "course"
    for name in ("notebooks", "keys"):
        shutil.copytree(built_small / name, folder / name)
    index = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Chapters", id=merging.digest("# Chapters"))]
    )
    for page in work.PAGES:
        (folder / "notebooks" / page).write_text(nbformat.writes(index))
    point_at(monkeypatch, folder)
    monkeypatch.chdir(tmp_path)
    return folder / "notebooks"


@pytest.fixture
def mine(lessons):
    return lessons.parent / "work"


def solve(path, **changes):
    """Write answers into a copy, as a learner saves them, with a note and a cell of the learner's own."""
    notebook = answered(path.parent.parent, **changes)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("My note: ü."))
    notebook.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path.read_bytes()


def sources(path):
    return [cell.source for cell in load_notebook(path).cells]


def holds(path):
    """Whether a copy holds all that `solve` wrote."""
    return {"My note: ü.", "mine = 1", *(source for source in RIGHT.values())} <= set(sources(path))


def test_it_is_filled_once_and_nothing_in_it_is_overwritten(lessons, mine):
    report = work.fill()
    assert report.lines == [f"put into {mine}: chapter 90"]
    assert (mine / NAME).read_bytes() == (lessons / NAME).read_bytes() and (mine / work.INDEX).exists()
    before = solve(mine / NAME)
    assert work.fill().lines == [] and (mine / NAME).read_bytes() == before
    (mine / NAME).rename(mine / "90_renamed.ipynb")
    work.fill()
    assert not (mine / NAME).exists(), "a copy under another name is a copy"


def test_an_untouched_copy_follows_the_lesson_and_one_with_work_does_not(lessons, mine):
    work.fill()
    change(lessons / NAME)
    assert [path.name for path in work.changed()] == [NAME]
    work.fill()
    assert (mine / NAME).read_bytes() == (lessons / NAME).read_bytes() and work.changed() == []
    before = solve(mine / NAME)
    change(lessons / NAME, more=False)
    work.fill()
    assert (mine / NAME).read_bytes() == before and [path.name for path in work.changed()] == [NAME]


@pytest.mark.parametrize("page", work.PAGES)
def test_a_page_follows_its_text(lessons, mine, page):
    work.fill()
    saved = load_notebook(mine / page)
    saved.metadata["saved"] = True
    (mine / page).write_text(nbformat.writes(saved))
    new = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# More", id=merging.digest("# More"))])
    (lessons / page).write_text(nbformat.writes(new))
    work.fill()
    assert sources(mine / page) == ["# More"]


def test_an_update_brings_the_new_cells_under_the_learners_and_keeps_a_backup(lessons, mine):
    work.fill()
    before = solve(mine / NAME)
    change(lessons / NAME)
    report = work.update()
    assert report.problems == [] and len(report.lines) == 2
    assert report.lines[0] == (
        "90_adding: cells of the lesson: 1 new, 1 changed; kept: your answers to 90.1, 90.2, 90.3, 2 cells of your own"
    )
    backup = Path(report.lines[1].removeprefix("as they were before: "))
    assert (backup / NAME).read_bytes() == before and backup.parent == mine / settings.KEPT / "backup"
    said = sources(mine / NAME)
    assert holds(mine / NAME) and "print('a new cell')" in said and any(s.startswith("Now in other") for s in said)
    assert said[1] == "My note: ü." and said[-1] == "mine = 1"
    assert {v.state for v in learner.grade(mine / NAME)} == {"passed"}
    now = (mine / NAME).read_bytes()
    assert work.update().lines == [] and (mine / NAME).read_bytes() == now
    change(lessons / NAME)
    work.update()
    assert len(list(backup.parent.iterdir())) == 2


def test_an_update_that_an_open_editor_has_undone_is_done_again(lessons, mine):
    work.fill()
    before = solve(mine / NAME)
    for more in (True, False):  # the second time it is the lesson's own cells alone that tell
        change(lessons / NAME, more)
        report = work.update()
        assert report.in_words()[-1] == work.RELOAD and work.changed() == []
        (mine / NAME).write_bytes(before)
        assert [path.name for path in work.changed()] == [NAME]
        report = work.update()
        assert report.lines[0].startswith("90_adding: it was as before its last update; cells of the lesson: "), report
        assert holds(mine / NAME) and any(source.startswith("Now in other") for source in sources(mine / NAME))
        assert work.update().in_words() == [] and work.changed() == []
        before = (mine / NAME).read_bytes()


def test_a_copy_that_follows_is_named(lessons, mine):
    work.fill()
    change(lessons / NAME)
    said = work.fill().in_words()
    assert said == ["new from the course, with nothing of yours in it: 90_adding", work.RELOAD]
    assert work.fill().in_words() == []


def test_only_the_chapters_asked_for(lessons, mine):
    work.fill()
    before = solve(mine / NAME)
    change(lessons / NAME)
    assert work.update(["91"]).lines == [] and (mine / NAME).read_bytes() == before


def colab(notebook):
    for i, cell in enumerate(notebook["cells"]):
        cell.pop("id", None)
        cell["metadata"] = {"id": f"c{i}"} | ({"outputId": "x"} if cell["cell_type"] == "code" else {})
    notebook["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook["nbformat_minor"] = 0


def vs_code(notebook):
    for cell in notebook["cells"]:
        cell["metadata"] = {"vscode": {"languageId": "python"}} if cell["cell_type"] == "code" else {}
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    notebook["metadata"] = {"language_info": {"name": "python"}}


def doubled(notebook):
    notebook["cells"] += json.loads(json.dumps(notebook["cells"]))


def turned(notebook):
    notebook["cells"].reverse()


def thinned(notebook):
    notebook["cells"] = [
        cell for cell in notebook["cells"] if {"".join(cell["source"])} & {"My note: ü.", "mine = 1", *RIGHT.values()}
    ]


def spoilt(notebook):
    for cell in notebook["cells"]:
        cell["id"] = "x"
        cell["metadata"] = {"tags": 3, "course": "none", "nbgrader": []}
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "pyout"}, None, {"output_type": "stream", "name": "stdout", "text": 1}]
    notebook["metadata"] = []
    notebook["cells"].append("no cell")


def old_format(notebook):
    cells = [
        {**cell, "input": cell.pop("source")} if cell["cell_type"] == "code" else cell for cell in notebook["cells"]
    ]
    notebook["worksheets"] = [{"cells": cells}]
    del notebook["cells"]
    notebook["nbformat"] = 3


@pytest.mark.parametrize("base", ["with its base", "without"])
@pytest.mark.parametrize("editor", [colab, vs_code, doubled, turned, thinned, spoilt, old_format])
def test_whatever_an_editor_did_to_it_nothing_is_lost(lessons, mine, editor, base):
    work.fill()
    solve(mine / NAME)
    notebook = json.loads((mine / NAME).read_text(encoding="utf-8"))
    editor(notebook)
    (mine / NAME).write_text(json.dumps(notebook), encoding="utf-8")
    change(lessons / NAME)
    if base == "without":
        shutil.rmtree(mine / settings.KEPT)
    report = work.update()
    assert report.problems == [] and "90_adding: " in report.lines[0], report
    assert holds(mine / NAME)
    nbformat.validate(json.loads((mine / NAME).read_text(encoding="utf-8")))
    ids = [cell.id for cell in load_notebook(mine / NAME).cells]
    lesson = [cell.id for cell in load_notebook(lessons / NAME).cells]
    assert [name for name in ids if name in lesson] == lesson and len(set(ids)) == len(ids)
    assert {v.state for v in learner.grade(mine / NAME)} == {"passed"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [', "print(1)"])
def test_a_copy_that_is_no_notebook_stays_as_it_is_and_is_named(lessons, mine, text):
    work.fill()
    (mine / NAME).write_text(text)
    change(lessons / NAME)
    report = work.update()
    assert (mine / NAME).read_text() == text and not (mine / settings.KEPT / "backup").exists()
    assert len(report.problems) == 1 and report.problems[0].startswith(
        "90_adding is not updated and stays as it was: 90"
    )
    assert "course lab" in report.problems[0] or '"cells"' in text


def test_a_key_that_cannot_be_used_is_named_and_nothing_is_written(lessons, mine):
    work.fill()
    before = solve(mine / NAME)
    change(lessons / NAME)
    (lessons.parent / "keys" / "90.json").write_text("{")
    for _ in range(2):  # the second time with answers in the lesson, which cannot be told from blanks then
        assert "keys/90.json is damaged" in work.update().problems[0] and (mine / NAME).read_bytes() == before
        (lessons / NAME).write_bytes(before)
    (mine / NAME).unlink()
    assert "keys/90.json is damaged" in work.fill().problems[0] and not (mine / NAME).exists()


def test_a_lesson_that_is_no_notebook_is_named(lessons, mine):
    (lessons / NAME).write_text("{")
    assert "90_adding is left as it is: " in work.fill().problems[0] and not (mine / NAME).exists()
    work.update()
    assert work.changed() == []


def test_a_damaged_base_is_done_without(lessons, mine):
    work.fill()
    solve(mine / NAME)
    (mine / settings.KEPT / "base" / NAME).write_text("{")
    report = work.update()
    assert report.problems == [] and holds(mine / NAME)


def test_half_a_character_is_written_as_it_was(lessons, mine):
    work.fill()
    solve(mine / NAME)
    notebook = json.loads((mine / NAME).read_text(encoding="utf-8"))
    notebook["cells"][1]["source"] = ["half \ud800 a pair"]
    (mine / NAME).write_text(json.dumps(notebook))
    change(lessons / NAME)
    assert work.update().problems == []
    assert "\\ud800 a pair" in (mine / NAME).read_text(encoding="utf-8")


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("stop", range(1, 9))
def test_a_kill_at_any_moment_loses_nothing(lessons, mine, monkeypatch, stop, within):
    """Filling writes four files and updating four; each is killed before it is in its place, or right after."""
    calls, replace = [0], os.replace

    def dies(*arguments):
        calls[0] += 1
        if calls[0] == stop and not within:
            raise KeyboardInterrupt
        replace(*arguments)
        if calls[0] == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", dies)
    before = b""
    with pytest.raises(KeyboardInterrupt):
        work.fill()
        before = solve(mine / NAME)
        change(lessons / NAME)
        work.update()
    monkeypatch.undo()
    point_at(monkeypatch, lessons.parent)
    if before:
        load_notebook(mine / NAME)
        assert before in [path.read_bytes() for path in mine.rglob(NAME)]
    else:  # killed while it was filled: the same command does the rest
        work.fill()
        solve(mine / NAME)
        change(lessons / NAME)
    assert work.update().problems == []
    assert holds(mine / NAME) and "print('a new cell')" in sources(mine / NAME) and work.changed() == []
    assert len(sources(mine / NAME)) == len(sources(lessons / NAME)) + 2
    assert not list(mine.rglob("*.part"))


def test_a_full_disk_leaves_everything_as_it_was_and_says_what_to_do(lessons, mine):
    work.fill()
    before = solve(mine / NAME)
    change(lessons / NAME)

    def small_files():  # what a full disk does to a write: an error in its middle
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    run = subprocess.run([*COURSE, "update"], capture_output=True, text=True, preexec_fn=small_files)
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    assert (
        "90_adding is not updated and stays as it was (File too large" in run.stderr
        and "run course update again" in run.stderr
    )
    assert (mine / NAME).read_bytes() == before
    assert not list(mine.rglob("*.part")) and not list(mine.rglob(f"backup/*/{NAME}"))


def test_a_folder_that_cannot_be_written_to_is_named(lessons, tmp_path):
    (tmp_path / "file").write_text("")
    run = subprocess.run([*COURSE, "lab", str(tmp_path / "file")], capture_output=True, text=True)
    assert run.returncode == 2 and "is a file: name a folder for your work" in run.stderr
    run = subprocess.run([*COURSE, "lab", str(tmp_path / "file" / "x")], capture_output=True, text=True)
    assert run.returncode == 2 and "course lab DIR" in run.stderr and "Traceback" not in run.stderr
    run = subprocess.run([*COURSE, "lab", str(lessons)], capture_output=True, text=True)
    assert run.returncode == 2 and "where the course itself is kept" in run.stderr


def test_a_copy_saved_meanwhile_is_left_alone(lessons, mine, monkeypatch):
    work.fill()
    solve(mine / NAME)
    change(lessons / NAME)
    merge = merging.merge

    def slow(*arguments):
        (mine / NAME).write_text((mine / NAME).read_text() + "\n")
        return merge(*arguments)

    monkeypatch.setattr(merging, "merge", slow)
    assert "saved by another program" in work.update().problems[0] and holds(mine / NAME)


def test_a_link_stays_one(lessons, mine, tmp_path):
    work.fill()
    (mine / NAME).rename(tmp_path / "elsewhere.ipynb")
    (mine / NAME).symlink_to(tmp_path / "elsewhere.ipynb")
    shutil.copy(tmp_path / "elsewhere.ipynb", mine.parent / "x.ipynb")
    notebook = answered(mine.parent)
    (mine / NAME).write_text(nbformat.writes(notebook))
    change(lessons / NAME)
    assert work.update().problems == [] and (mine / NAME).is_symlink()
    assert "print('a new cell')" in sources(tmp_path / "elsewhere.ipynb")


# Which copy counts


def test_of_two_copies_the_one_with_answers_counts_and_it_is_said(lessons, mine):
    assert work.find("90").path == lessons / NAME  # before there is any other
    work.fill()
    assert work.find("90") == work.Copy(mine / NAME)
    (lessons / NAME).write_bytes(solve_in(lessons))
    found = work.find("90")
    assert (
        found.path == lessons / NAME and "the one with answers counts" in found.note and "not course/work" in found.note
    )
    solve(mine / NAME, _90_1="# Exercise 90.1\ndef twice(x):\n    return 3 * x\n")
    found = work.find("90")
    assert found.path == mine / NAME and "other answers are in course/notebooks/90_adding.ipynb" in found.note
    solve(mine / NAME)
    assert work.find("90") == work.Copy(mine / NAME)
    shutil.copy(mine / NAME, mine / "final (2).ipynb")
    (mine / NAME).unlink()
    assert work.find("90").path == mine / "final (2).ipynb", "known by what is in it"


def solve_in(lessons):
    return nbformat.writes(answered(lessons.parent)).encode()


def test_a_copy_in_the_present_folder_is_found_and_strangers_are_not(lessons, tmp_path, monkeypatch):
    here = tmp_path / ODD
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "90_strange.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    assert work.find("90").path == lessons / NAME
    (here / "mine.ipynb").write_bytes(solve_in(lessons))
    assert work.find("90").path == here / "mine.ipynb"


def test_a_copy_that_cannot_be_read_is_not_passed_over(lessons, mine):
    work.fill()
    (mine / NAME).write_text("{")
    assert work.find("90").path == mine / NAME


def test_every_way_of_grading_finds_the_copy(lessons, mine):
    work.fill()
    solve(mine / NAME)
    run = subprocess.run([*COURSE, "grade", "90"], capture_output=True, text=True)
    assert run.returncode == 0 and "3 of 3 exercises right" in run.stdout, run.stderr
    pytest_ = [sys.executable, "-m", "pytest", "-p", "course.grading.collecting", "--nbval-lax", "-q"]
    for path, code in ((mine / NAME, 0), (lessons / NAME, 1)):
        run = subprocess.run([*pytest_, str(path)], capture_output=True, text=True, cwd=path.parent)
        assert run.returncode == code, run.stdout


@pytest.mark.parametrize("name", [ODD])
def test_odd_names_on_the_path(lessons, tmp_path, monkeypatch, name):
    folder = tmp_path / name / name
    monkeypatch.setenv("COURSE_WORK", str(folder))
    run = subprocess.run([*COURSE, "update"], capture_output=True, text=True)
    assert run.returncode == 0 and "chapter 90" in run.stdout, run.stderr
    (folder / NAME).write_bytes(solve_in(lessons))
    change(lessons / NAME)
    run = subprocess.run([*COURSE, "update", "--chapters", "90"], capture_output=True, text=True)
    assert run.returncode == 0 and "kept: your answers to 90.1, 90.2, 90.3" in run.stdout, run.stderr
    run = subprocess.run([*COURSE, "grade", "90"], capture_output=True, text=True)
    assert run.returncode == 0 and "3 of 3 exercises right" in run.stdout, run.stderr


def test_within_a_learners_folder_it_is_the_one(lessons, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    work.fill(folder)
    assert settings.work_folder() == lessons.parent / "work"
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    assert settings.work_folder() == folder
    monkeypatch.setenv("COURSE_WORK", "named")
    assert settings.work_folder() == folder / "deeper" / "named"


# Learners who worked in the checkout's own notebooks


@pytest.fixture
def repository(lessons):
    """The lessons in a git repository, as everybody had them."""

    def git(*words):
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=lessons.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    (lessons.parent / ".gitignore").write_text("/work/\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    return git


def test_work_done_in_the_lessons_is_moved_over_and_git_can_go_on(lessons, mine, repository):
    before = solve(lessons / NAME)
    report = work.fill()
    assert (mine / NAME).read_bytes() == before == (lessons / NAME).read_bytes()
    assert f"notebooks/{NAME} holds work of yours; it is now in {mine / NAME}" in report.lines[1]
    assert report.lines[2].endswith(f"git checkout notebooks/{NAME}")
    assert work.changed() == [], "the lesson is what git has of it"
    assert work.find("90") == work.Copy(mine / NAME)
    # Said again until it is done; then nothing is left to say.
    assert work.fill().lines == report.lines[2:]
    repository("checkout", f"notebooks/{NAME}")
    assert work.fill().lines == [] and repository("status", "--porcelain") == ""
    change(lessons / NAME)
    repository("commit", "-qam", "two")
    assert work.update().problems == [] and holds(mine / NAME) and "print('a new cell')" in sources(mine / NAME)


def test_a_lesson_that_was_only_run_is_to_be_put_back_and_a_build_is_not(lessons, mine, repository):
    notebook = load_notebook(lessons / NAME)
    for i, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.execution_count = i + 1
        cell.outputs = [nbformat.v4.new_output("stream", text="my run\n")]
    (lessons / NAME).write_text(nbformat.writes(notebook))
    report = work.fill()
    assert "chapter 90" in report.lines[0] and report.lines[-1].endswith(f"git checkout notebooks/{NAME}")
    assert not any("holds work" in line for line in report.lines)
    repository("checkout", f"notebooks/{NAME}")
    change(lessons / NAME)  # as a build does, which leaves the checks without output
    assert not any("git checkout" in line for line in work.fill().lines)


def test_without_git_the_lesson_is_what_is_not_the_learners(lessons, mine):
    before = solve(lessons / NAME)
    report = work.fill()
    assert (mine / NAME).read_bytes() == before and "holds work of yours" in report.lines[1] and len(report.lines) == 2
    base = sources(mine / settings.KEPT / "base" / NAME)
    assert not {"My note: ü.", "mine = 1", *RIGHT.values()} & set(base) and len(base) > 8
    assert work.update().lines == [] and (mine / NAME).read_bytes() == before


def test_no_command_writes_to_a_lesson_with_answers(lessons, mine):
    before = solve(lessons / NAME)
    stamp = (lessons / NAME).stat().st_mtime_ns
    for words in (["update"], ["grade", "90"], ["status"], ["build", "90"]):
        subprocess.run([*COURSE, *words], capture_output=True)
    assert ((lessons / NAME).read_bytes(), (lessons / NAME).stat().st_mtime_ns) == (before, stamp)


def test_answers_are_known_from_the_base(lessons, mine):
    """A blank cell of an earlier lesson, code to mend among them, is no answer."""
    work.fill()
    key = work.key_of(lessons / NAME)
    cells = merging.plain(submission.read_notebook(mine / NAME))
    assert merging.answers(cells, key) == merging.answers(cells, key, cells) == {}
