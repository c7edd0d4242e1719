"""A learner's progress: what is kept, beside whom it is kept, and that nothing that happens to the file costs any."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from course.exercises import checking, keys, progress
from course.lesson import settings


@pytest.fixture
def place(small, tmp_path, monkeypatch):
    """The path of a progress file that is not there yet."""
    path = tmp_path / "own" / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    monkeypatch.setattr(progress, "_session", {})
    return path


def record(**states):
    for name, state in states.items():
        progress.record(keys.load_exercise(name[1:].replace("_", ".")), state)


def kinds():
    (standing,) = progress.standings()
    return [row.kind for row in standing.rows]


def test_it_keeps_the_last_verdict_of_each_exercise(place):
    assert kinds() == ["open", "open", "open"]
    record(_90_1="passed", _90_2="crashed", _90_3="open")
    assert kinds() == ["solved", "wrong", "open"]
    (standing,) = progress.standings()
    assert (standing.title, standing.stem, standing.points) == ("Adding", "90_adding", (2, 4))
    first = progress.read()["90.1"]
    record(_90_1="wrong")
    assert kinds() == ["wrong", "wrong", "open"] and progress.read()["90.1"].passed == first.passed != ""
    assert json.loads(place.read_text())["exercises"].keys() == {"90.1", "90.2", "90.3"}
    assert not list(place.parent.glob("*.part"))


def test_what_comes_next_is_in_the_chapter_worked_on_last(place):
    row = progress.Row
    new, old = (progress.Entry(at=at) for at in ("2026-02", "2026-01"))
    chapters = [
        progress.Standing("01", "One", "01_one", [row("1.1", "open", 1, progress.Entry())]),
        progress.Standing("02", "Two", "02_two", [row("2.1", "solved", 1, new), row("2.2", "wrong", 2, old)]),
        progress.Standing("03", "Three", "03_three", [row("3.1", "open", 1, progress.Entry())]),
    ]
    assert progress.sum_up(chapters) == (
        "1 of 4 exercises solved, 1 of 5 points.",
        "exercise 2.2, which is not right yet, in 02_two",
    )
    chapters[1].rows[1] = row("2.2", "solved", 2, old)
    assert progress.sum_up(chapters)[1] == "exercise 3.1, in 03_three"
    assert "Next: exercise 3.1, in [Three](03_three.ipynb)." in progress.as_markdown(chapters)
    chapters[2].rows[0] = row("3.1", "solved", 1, old)
    assert progress.sum_up(chapters)[1] == "exercise 1.1, in 01_one"
    chapters[0].rows[0] = row("1.1", "again", 1, old)
    assert progress.sum_up(chapters)[1] == "exercise 1.1, which has changed since you solved it, in 01_one"
    chapters[0].rows[0] = row("1.1", "solved", 1, old)
    assert progress.sum_up(chapters)[1] == "" and "All solved!" in progress.as_markdown(chapters)
    assert "| 02 | [Two](02_two.ipynb) | ✓ ✓ | 2 of 2 | 3 of 3 |" in progress.as_markdown(chapters)


def test_an_exercise_that_was_changed_asks_for_another_look(place):
    record(_90_1="passed", _90_2="passed")
    form = json.loads(place.read_text())
    form["exercises"]["90.1"]["asked"] = "another"
    place.write_text(json.dumps(form))
    progress._session.clear()
    assert kinds() == ["again", "solved", "open"]
    assert progress.standings()[0].points == (1, 4)


def test_a_deleted_file_costs_what_this_kernel_did_not_see(place):
    record(_90_1="passed")
    place.unlink()
    record(_90_2="wrong")
    assert kinds() == ["solved", "wrong", "open"]
    place.unlink()
    progress._session.clear()
    assert kinds() == ["open", "open", "open"]


DAMAGED = {
    "empty": "",
    "half": '{"format": 1, "exercises": {"90.1"',
    "a list": "[]",
    "deep": "[" * 100_000,
    "another format": '{"format": 7, "exercises": {}}',
    "no entries": '{"format": 1, "exercises": 3}',
    "a strange entry": '{"format": 1, "exercises": {"90.1": {"state": 3}}}',
    "an unknown field": '{"format": 1, "exercises": {"90.1": {"mood": "good"}}}',
    "huge": " " * (progress.SIZE_LIMIT + 1),
    "no text": b"\x80\xff",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_set_aside_and_begun_anew(place, name):
    place.parent.mkdir()
    data = DAMAGED[name] if isinstance(DAMAGED[name], bytes) else DAMAGED[name].encode()
    place.write_bytes(data)
    assert kinds() == ["open", "open", "open"] and place.read_bytes() == data, "reading changes nothing"
    record(_90_1="passed")
    assert kinds() == ["solved", "open", "open"]
    (aside,) = place.parent.glob("progress.damaged-*.json")
    assert aside.read_bytes() == data and json.loads(place.read_text())["format"] == 1


@pytest.mark.parametrize("fault", ["a file in the way", "full disk", "a folder in its place", "switched off"])
def test_where_it_cannot_be_kept_learning_goes_on(place, monkeypatch, fault):
    if fault == "a file in the way":
        place.parent.write_text("")
    elif fault == "a folder in its place":
        place.mkdir(parents=True)
    elif fault == "switched off":
        monkeypatch.setenv("COURSE_PROGRESS", "off")
    else:
        record(_90_1="passed")

        def full(path, text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(progress, "write", full)
    assert progress.record(keys.load_exercise("90.2"), "passed") is False
    record(_90_2="wrong")
    assert kinds()[1] == "wrong" and progress.problem.startswith("progress is not kept")
    if fault == "full disk":
        assert json.loads(place.read_text())["exercises"].keys() == {"90.1"}, "the old file is whole"


def test_a_folder_that_is_read_only(place, monkeypatch):
    place.parent.mkdir()
    place.parent.chmod(0o555)
    try:
        if os.access(place.parent, os.W_OK):
            pytest.skip("the superuser may write anywhere")
        assert progress.record(keys.load_exercise("90.1"), "passed") is False
        assert kinds() == ["solved", "open", "open"]
    finally:
        place.parent.chmod(0o755)


def test_kernels_that_write_at_once_lose_nothing(place):
    code = """
import sys
from dataclasses import replace
from course.exercises import keys, progress
one = keys.load_exercise("90.1")
for i in range(40):
    assert progress.record(replace(one, number=f"{sys.argv[1]}.{i}"), "passed")
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in (1, 2, 3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(progress.read()) == 120


def test_it_lies_beside_the_work(small, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS")
    name = progress.NAME
    own = tmp_path / "My Kurs [ü]"
    (own / settings.KEPT).mkdir(parents=True)
    (own / "deeper").mkdir()
    for folder in (own, own / "deeper"):
        assert progress.place(folder) == own / settings.KEPT / name
        monkeypatch.chdir(folder)
        assert progress.place() == own / settings.KEPT / name
    monkeypatch.chdir(tmp_path)
    assert progress.place() == small / "work" / settings.KEPT / name
    assert progress.place(small / "notebooks") == small / "work" / settings.KEPT / name
    assert progress.place(small / "solutions") is None, "an author's checks are no progress"
    monkeypatch.setattr(settings, "in_checkout", lambda: False)
    monkeypatch.delenv("COURSE_SOLUTIONS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert progress.place() == tmp_path / "data" / "deep-vision-in-keras" / name


def test_a_key_that_cannot_be_used_hides_no_other_chapter(place, tmp_path, monkeypatch):
    shutil.copytree(settings.keys_folder(), tmp_path / "keys")
    (tmp_path / "keys" / "89.json").write_text("{")
    monkeypatch.setenv("COURSE_KEYS", str(tmp_path / "keys"))
    broken, whole = progress.standings()
    assert broken.title.startswith("keys/89.json is damaged") and not broken.rows and len(whole.rows) == 3
    assert "0 of 3 exercises solved" in progress.as_markdown([broken, whole])


def test_only_a_notebooks_kernel_records(place, capsys):
    checking.check("90.1", lambda x: 2 * x)
    assert not place.exists() and capsys.readouterr().out == "exercise 90.1 ✓ 8 cases\n"


def test_without_a_notebook_the_table_is_text(place, capsys):
    progress.progress()
    assert "0 of 3 exercises solved, 0 of 4 points." in capsys.readouterr().out
