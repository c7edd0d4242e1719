"""Finding submissions: every layout, and every way to be broken, hostile or in disguise."""

import io
import json
import os
import random
import struct
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from course.classroom.layout import Unread, discover, owners, printable, reading, safe_name, texts
from course.grading.submission import SIZE_LIMIT, BadNotebook, read_cells

CHAPTERS = {"03": "03_convolution", "06": "06_lenet"}


def notebook(chapter=None, lines=None, **course):
    """A notebook as text. chapter: what its metadata say; lines: the chapter of which it has an exercise."""
    metadata = {"course": {"chapter": chapter, **course, "header": {"title": "x"}}} if chapter else {}
    cells = [{"cell_type": "code", "source": f"# Exercise {int(lines)}.1\npass", "metadata": {}}] if lines else []
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def put(path, text=None, when=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(notebook() if text is None else text, encoding="utf-8")
    if when:
        os.utime(path, (when, when))
    return path


def zipped(files, **options):
    """A zip as bytes. files: names (or ZipInfo) to contents; a name alone gets a notebook."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", options.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        for name in files:
            content = files[name] if isinstance(files, dict) else notebook()
            archive.writestr(name, content)
    return stream.getvalue()


def zip_of(folder, path):
    """A zip of what is in a folder, with its files' times."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


class Class:
    """A folder of submissions, and what is found in it."""

    def __init__(self, tmp_path):
        self.folder, self.workspace = tmp_path / "class", tmp_path / "workspace"
        self.folder.mkdir()

    def put(self, *names, **options):
        for name in names:
            put(self.folder / name, **options)
        return self

    def read(self, folder=None, chapters=CHAPTERS, **options):
        all_of_it = discover(folder or self.folder, chapters, self.workspace, **options)
        self.unread, self.remarks = all_of_it.unread, all_of_it.remarks
        self.found = [s for s in all_of_it.submissions if not s.problem]
        self.problems = {s.student: s.problem for s in all_of_it.submissions if s.problem}
        for submission in all_of_it.submissions:
            assert submission.problem or submission.path.is_file()
            assert submission.submitted.tzinfo and printable(submission.student) == submission.student
        return {(s.student, s.chapter): s.shown for s in self.found}

    def reasons(self):
        return {u.path: u.reason for u in self.unread}

    def notes(self):
        return " ".join(note for s in self.found for note in s.notes)


@pytest.fixture
def group(tmp_path):
    return Class(tmp_path)


# Layouts


def test_a_folder_per_student(group):
    group.put("anna/03_convolution.ipynb", "anna/work/deep/06_lenet.ipynb", "ben/03_convolution.ipynb")
    assert group.read() == {
        ("anna", "03"): "anna/03_convolution.ipynb",
        ("anna", "06"): "anna/work/deep/06_lenet.ipynb",
        ("ben", "03"): "ben/03_convolution.ipynb",
    }
    assert group.unread == [] and group.notes() == ""


def test_flat_files(group):
    group.put("anna_03_convolution.ipynb", "Ben O'Hara - 06_lenet.ipynb", "李雷_03_convolution(1).ipynb")
    group.put("Copy of cleo_06_lenet.ipynb")
    assert set(group.read()) == {("anna", "03"), ("Ben O'Hara", "06"), ("李雷", "03"), ("cleo", "06")}
    assert group.unread == []


@pytest.mark.parametrize("given", ["the course", "submitted/"])
def test_nbgrader(group, given):
    group.put("submitted/anna/03_convolution/problem1.ipynb", "submitted/ben/week_3/03_convolution.ipynb")
    group.put("submitted/anna/03_convolution/timestamp.txt", text="2026-03-01 12:30:00.123456 Europe/Berlin")
    group.put("submitted/ben/week_3/timestamp.txt", text="2026-03-01 12:30:00 UTC\n")
    group.put("source/03_convolution/03_convolution.ipynb", "autograded/anna/03_convolution/problem1.ipynb")
    group.put("gradebook.db", "nbgrader_config.py", text="c = get_config()")
    folder = group.folder / "submitted" if given == "submitted/" else group.folder
    assert set(group.read(folder=folder)) == {("anna", "03"), ("ben", "03")}
    assert group.unread == []
    anna, ben = group.found
    assert anna.submitted == datetime(2026, 3, 1, 11, 30, 0, 123456, UTC)
    assert ben.submitted == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert anna.timed and all("which a student can write" in " ".join(one.notes) for one in group.found)


def test_a_timestamp_counts_only_where_nbgrader_made_the_tree(group):
    group.put("submitted/anna/hw/03_convolution.ipynb", "submitted/ben/hw/03_convolution.ipynb", when=1_700_000_000)
    group.put("submitted/anna/hw/timestamp.txt", text="2020-01-01 12:00:00 UTC")
    group.read()
    assert [s.submitted.timestamp() for s in group.found] == [1_700_000_000] * 2
    assert "1 timestamp.txt" in group.remarks[-1] and "not believed" in group.remarks[-1]


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-03-01 12:00:00 ../../etc/passwd", "2026-13-41 99:00 UTC", "\0" * 9999]
)
def test_a_broken_timestamp_falls_back_to_the_files_time(group, text):
    group.put("submitted/anna/hw/03_convolution.ipynb", when=1_700_000_000)
    group.put("submitted/anna/hw/timestamp.txt", "gradebook.db", text=text)
    group.read()
    assert group.found[0].submitted.timestamp() == 1_700_000_000
    assert "timestamp.txt cannot be read" in group.notes()


def test_a_students_own_timestamp_is_not_believed(group):
    group.put("anna/hw/03_convolution.ipynb", when=1_700_000_000).put(
        "anna/hw/timestamp.txt", text="2020-01-01 00:00:00"
    )
    group.put(
        "ben.zip",
        text=zipped({"03_convolution.ipynb": notebook(), "timestamp.txt": "2020-01-01 00:00:00"}),
        when=1_700_000_000,
    )
    group.read()
    assert [s.submitted.timestamp() for s in group.found] == [1_700_000_000] * 2


def test_a_zip_per_student(group):
    group.put("anna.zip", text=zipped(["03_convolution.ipynb", "hw/06_lenet.ipynb"]))
    group.put("ben_03_convolution.zip", text=zipped(["03_convolution.ipynb"])).put("cleo/03_convolution.ipynb")
    group.put("dora/mine.zip", text=zipped(["x/03_convolution.ipynb"]))
    assert group.read() == {
        ("anna", "03"): "anna.zip/03_convolution.ipynb",
        ("anna", "06"): "anna.zip/hw/06_lenet.ipynb",
        ("ben", "03"): "ben_03_convolution.zip/03_convolution.ipynb",
        ("cleo", "03"): "cleo/03_convolution.ipynb",
        ("dora", "03"): "dora/mine.zip/x/03_convolution.ipynb",
    }
    assert group.unread == []
    assert all(read_cells(s.path) == [] for s in group.found)


CLASS_ZIPS = {
    "folders": ["anna/03_convolution.ipynb", "ben/x/03_convolution.ipynb"],
    "flat": ["anna_03_convolution.ipynb", "ben_03_convolution.ipynb"],
    "wrapped": ["class/anna/03_convolution.ipynb", "class/ben/03_convolution.ipynb"],
    "wrapped otherwise": ["week 3/anna/03_convolution.ipynb", "week 3/ben/03_convolution.ipynb"],
    "wrapped flat": ["week 3/anna_03_convolution.ipynb", "week 3/ben_03_convolution.ipynb"],
    "nbgrader": ["submitted/anna/03_convolution/a.ipynb", "submitted/ben/03_convolution/a.ipynb"],
    "nbgrader's course": [
        "course/submitted/anna/03_convolution/a.ipynb",
        "course/submitted/ben/03_convolution/a.ipynb",
        "course/source/03_convolution/a.ipynb",
    ],
}


@pytest.mark.parametrize("kind", CLASS_ZIPS)
@pytest.mark.parametrize("given", ["in the folder", "itself"])
def test_a_zip_of_a_class(group, kind, given):
    name = "course.zip" if "course" in kind else "class.zip"
    group.put(name, text=zipped(CLASS_ZIPS[kind]))
    found = group.read(folder=None if given == "in the folder" else group.folder / name)
    assert set(found) == {("anna", "03"), ("ben", "03")}
    assert group.unread == []


def test_a_zip_of_a_class_with_zips_and_one_per_chapter(group):
    inner = zipped(["03_convolution.ipynb"])
    group.put("03_convolution.zip", text=zipped({"anna.zip": inner, "ben/hw.zip": inner}))
    group.put("06_lenet.zip", text=zipped(["anna/06_lenet.ipynb"]))
    assert set(group.read()) == {("anna", "03"), ("ben", "03"), ("anna", "06")}
    assert group.unread == []


def test_two_people_of_one_name_stay_apart_and_one_in_two_chapters_together(group):
    group.put("Anna Smith_101_assignsubmission_file_/03_convolution.ipynb")
    group.put("Anna Smith_202_assignsubmission_file_06_lenet.ipynb")
    group.put("Bo Li_103_assignsubmission_file_/03_convolution.ipynb")
    group.put("Bo Li_104_assignsubmission_file_/03_convolution.ipynb")
    found = {("Anna Smith", "03"), ("Anna Smith", "06"), ("Bo Li (103)", "03"), ("Bo Li (104)", "03")}
    assert set(group.read()) == found and group.unread == []


# Which chapter


NAMES = {
    "03_convolution (1).ipynb": "03",
    "03_convolution-final.ipynb": "03",
    "03_convolution-Copy1.ipynb": "03",
    "Copy of 03_Convolution.ipynb": "03",
    "03-convolution v2.IPYNB": "03",
    "03 convolution.ipynb.txt": "03",
    "my_06_lenet_03.ipynb": "06",
    "03.ipynb": "03",
    "3_conv.ipynb": "03",
    "chapter 6.ipynb": "06",
    "103_convolution.ipynb": None,
    "03_convolutions.ipynb": "03",
    "my convolutions.ipynb": None,
    "33.ipynb": None,
    "homework.ipynb": None,
    "03_convolution and 06_lenet.ipynb": "03",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_chapter_by_its_name(group, name):
    group.put(f"anna/{name}")
    found = group.read()
    assert [chapter for _, chapter in found] == ([NAMES[name]] if NAMES[name] else [])
    if NAMES[name] is None:
        assert "which chapter" in group.reasons()[f"anna/{name}"]


def test_the_chapter_by_the_notebook_itself(group):
    inner = json.loads(notebook("06"))
    inner["cells"] += [{"cell_type": "code", "source": '"course": {"chapter": "03"}', "outputs": ["x" * 900_000]}]
    group.put("anna/homework.ipynb", text=json.dumps(inner))
    group.put("ben/homework.ipynb", text=json.dumps(inner, indent=1).encode("utf-16"))
    group.put("cleo/homework.ipynb", text=json.dumps(inner)[:-9])
    group.put("dora/homework.ipynb", text=json.dumps({"metadata": inner["metadata"], "cells": inner["cells"]}))
    group.put("emil.ipynb", "fay_06.ipynb", text=json.dumps(inner))
    names = ["anna", "ben", "cleo", "dora", "emil", "fay"]
    assert list(group.read()) == [(name, "06") for name in names]
    assert group.notes().count("the notebook itself says 06") == 6
    assert "taken to be fay" in group.notes()


def test_a_stem_within_another(group):
    group.put("anna/03_convolution_more.ipynb", "ben/03_convolution.ipynb")
    found = group.read(chapters={"03": "03_convolution", "04": "03_convolution_more"})
    assert set(found) == {("anna", "04"), ("ben", "03")}


def test_a_notebook_known_by_its_folder_gives_way(group):
    group.put("anna/03_convolution/03_convolution.ipynb", when=1_700_000_000)
    group.put("anna/03_convolution/scratch.ipynb", "ben/03_convolution/scratch.ipynb", when=1_700_000_999)
    assert group.read()["anna", "03"].endswith("03_convolution/03_convolution.ipynb")
    assert "another file" in group.reasons()["anna/03_convolution/scratch.ipynb"]
    assert "folder" in group.notes()


# Late, broken, odd


def test_the_newest_wins_and_says_so(group):
    for i in range(8):
        group.put(f"anna/try {i}/03_convolution.ipynb", when=1_700_000_000 + (i * 5) % 8)
    assert group.read()["anna", "03"] == "anna/try 3/03_convolution.ipynb"
    assert "handed in 8 times" in group.notes() and "anna/try 6/03" in group.notes() and "and 2 more" in group.notes()


def test_folder_flat_and_zip_of_one_student_compete(group):
    group.put("anna/03_convolution.ipynb", when=1_700_000_000).put("anna_03_convolution.ipynb", when=1_700_000_002)
    group.put("anna.zip", text=zipped(["03_convolution.ipynb"]), when=1_700_000_001)
    assert group.read() == {("anna", "03"): "anna_03_convolution.ipynb"}


def test_within_a_students_zip_the_newest_entry_wins(group):
    old, new = (zipfile.ZipInfo(f"{n}/03_convolution.ipynb", (2026, 1, n, 0, 0, 0)) for n in (1, 2))
    group.put("anna.zip", text=zipped({new: "new", old: "old"}), when=1_700_000_000).put("ben/03_convolution.ipynb")
    group.read()
    assert group.found[0].path.read_text() == "new"
    assert group.found[0].submitted.timestamp() == 1_700_000_000


def test_broken_files_keep_their_row(group):
    group.put("anna/03_convolution.ipynb", text="").put("ben/03_convolution.ipynb", text=b"\0\xff\xfe" * 99)
    with open(put(group.folder / "cleo/03_convolution.ipynb"), "wb") as stream:
        stream.truncate(SIZE_LIMIT + 1)
    put(group.folder / "dora/03_convolution.ipynb").chmod(0)
    assert len(group.read()) == 4
    for submission in group.found[:3]:
        with pytest.raises(BadNotebook):
            read_cells(submission.path)
    assert group.unread == []


def test_what_is_not_understood_is_listed(group):
    group.put("readme.txt", "03_convolution.ipynb", "anna/data.csv", "anna/03_convolution.ipynb", "06_lenet/x.ipynb")
    (group.folder / "ben").mkdir()
    (group.folder / "cleo" / "03_convolution.ipynb").mkdir(parents=True)
    assert set(group.read()) == {("anna", "03")}
    reasons = group.reasons()
    assert set(reasons) == {
        "readme.txt",
        "03_convolution.ipynb",
        "anna/data.csv",
        "06_lenet",
        "ben/",
        "cleo/03_convolution.ipynb/",
    }
    assert (
        "whose it is" in reasons["03_convolution.ipynb"]
        and "<student>_03_convolution" in reasons["03_convolution.ipynb"]
    )
    assert "folder" in reasons["cleo/03_convolution.ipynb/"]


def test_who_hands_in_something_else_for_a_notebook_is_a_row(group):
    group.put("anna/03_convolution.html", "ben_06_lenet.py", "cleo/work.rar", "dan/03_convolution.ipynb", text="x")
    group.put("Eve_101_assignsubmission_file_hw.7z", "fay/data.csv", "dan/03_convolution.html", text="x")
    assert set(group.read()) == {("dan", "03")} and group.notes() == ""
    assert set(group.problems) == {"anna", "ben", "cleo", "Eve"}
    assert "03_convolution.html: not a notebook" in group.problems["anna"] and "ordinary zip" in group.problems["cleo"]


def test_what_editors_and_systems_leave_is_passed_over(group):
    group.put("anna/.ipynb_checkpoints/03_convolution-checkpoint.ipynb", "__MACOSX/anna/._03_convolution.ipynb")
    group.put(
        ".DS_Store", "anna/.DS_Store", "anna/Thumbs.db", "anna/._03_convolution.ipynb", "anna/03_convolution.ipynb"
    )
    assert group.read() == {("anna", "03"): "anna/03_convolution.ipynb"} and group.unread == []


def test_nothing_is_followed(group, tmp_path):
    secret = put(tmp_path / "secret" / "03_convolution.ipynb")
    group.put("anna/06_lenet.ipynb")
    (group.folder / "anna" / "03_convolution.ipynb").symlink_to(secret)
    (group.folder / "ben").symlink_to(secret.parent)
    (group.folder / "cleo").mkdir()
    (group.folder / "cleo" / "all").symlink_to("/")
    os.mkfifo(group.folder / "cleo" / "03_convolution.ipynb")
    (group.folder / "dora_03_convolution.ipynb").symlink_to("/dev/zero")
    assert set(group.read()) == {("anna", "06")}
    reasons = group.reasons()
    assert "pipe" in reasons.pop("cleo/03_convolution.ipynb")
    assert set(reasons) == {"anna/03_convolution.ipynb", "ben", "cleo/all", "dora_03_convolution.ipynb"}
    assert all("symbolic link" in reason for reason in reasons.values())


def test_times_that_no_calendar_has(group, monkeypatch):
    group.put("anna/03_convolution.ipynb", when=2**40).put("ben/03_convolution.ipynb", when=-(2**36))
    group.put("cleo/03_convolution.ipynb", when=4_000_000_000)
    group.read()
    assert len(group.found) == 3 and "in the future" in " ".join(group.found[2].notes)


def test_who_is_cut_short_is_a_row_and_what_counts_is_read_first(group, monkeypatch):
    monkeypatch.setattr(owners, "MOST_ENTRIES", 50)
    for i in range(80):
        group.put(f"anna/{i:03d}.txt", text="").put(f"anna/{i:03d}/x.csv", text="")
        group.put(f"zoe/a/{i:03d}/x.csv", text="")
    group.put("anna/03_convolution.ipynb", "cleo/03_convolution.ipynb", "zoe/a/b/c/03_convolution.ipynb")
    for i in range(300):
        group.put(f"ida/{i:03d}.csv", text="")
    group.put("ida/work/03_convolution.ipynb")
    put(group.folder / "ben" / "/".join("d" * 40) / "03_convolution.ipynb")
    assert set(group.read()) == {("anna", "03"), ("cleo", "03"), ("ida", "03")}
    assert set(group.problems) == {"zoe"} and "more than 50 folders" in group.problems["zoe"]
    assert "cut short: more than 50 folders" in " ".join(group.found[0].notes)
    listed = [u for u in group.unread if u.path.startswith("ida")]
    assert len(listed) == reading.MOST_LISTED + 1 and "and 280 more files" in " ".join(u.reason for u in listed)
    assert any("too many folders" in u.reason for u in group.unread)


def test_environments_are_passed_over_in_one_line(group):
    for i in range(40):
        group.put(f"anna/env/lib/python3.11/site-packages/p{i}/m.py", text="")
        group.put(f"anna/node_modules/p{i}/03_convolution.ipynb", f"anna/conda/pkgs/p{i}/03_convolution.ipynb")
    group.put("anna/env/pyvenv.cfg", "anna/conda/conda-meta/history", text="")
    group.put("anna/work/03_convolution.ipynb", "ben/03_convolution.ipynb")
    found = {("anna", "03"): "anna/work/03_convolution.ipynb", ("ben", "03"): "ben/03_convolution.ipynb"}
    assert group.read() == found
    assert group.reasons() == {"anna/conda/ and 2 more": "passed over: an environment, nothing of a student's own"}
    zipped_class = zip_of(group.folder, group.folder.parent / "class.zip")
    assert {key: shown.removeprefix("class.zip/") for key, shown in group.read(zipped_class).items()} == found
    assert list(group.reasons()) == ["class.zip/anna/conda/ and 2 more"]


def test_no_such_folder(tmp_path):
    with pytest.raises(OSError):
        discover(tmp_path / "nowhere", CHAPTERS, tmp_path / "w")


# Zips that mean harm


def test_a_students_zip_cannot_speak_for_another(group):
    forged = ["ben/03_convolution.ipynb", "anna_03_convolution.ipynb", "submitted/cleo/hw/03_convolution.ipynb"]
    group.put("mallory.zip", text=zipped(forged)).put("ben/03_convolution.ipynb", "anna_03_convolution.ipynb")
    found = group.read()
    assert {student for student, _ in found} == {"anna", "ben", "mallory"}
    assert found["ben", "03"] == "ben/03_convolution.ipynb" and found["anna", "03"] == "anna_03_convolution.ipynb"


def test_a_zip_without_a_name_beside_others(group):
    group.put("03_convolution.zip", text=zipped(["ben/03_convolution.ipynb"])).put("ben/03_convolution.ipynb")
    assert group.read() == {("ben", "03"): "ben/03_convolution.ipynb"}
    assert "<student>_03_convolution.zip" in group.reasons()["03_convolution.zip"]


def test_paths_that_lead_out(group, tmp_path):
    names = ["../03_convolution.ipynb", "a/../../03_convolution.ipynb", "/tmp/03_convolution.ipynb"]
    names += [
        "x" * 60_000 + "/03_convolution.ipynb",
        "C:\\03_convolution.ipynb",
        "..\\03_convolution.ipynb",
        "good\\03_convolution.ipynb",
    ]
    group.put("anna.zip", text=zipped(names)).put("ben/03_convolution.ipynb")
    before = {p for p in tmp_path.rglob("*")}
    assert group.read()["anna", "03"] == "anna.zip/good/03_convolution.ipynb"
    assert [u.reason for u in group.unread].count("its path leads out of the zip") == 5
    assert len(group.unread) == 6 and all(len(u.path) < 600 for u in group.unread)
    assert all(group.workspace in p.parents or p == group.workspace for p in {*tmp_path.rglob("*")} - before)


def test_links_in_a_zip(group):
    link = zipfile.ZipInfo("03_convolution.ipynb")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    group.put("anna.zip", text=zipped({link: "/etc/passwd"})).put("ben/03_convolution.ipynb")
    assert set(group.read()) == {("ben", "03")}
    assert "symbolic link" in group.reasons()["anna.zip/03_convolution.ipynb"]


def test_bombs(group):
    zeros = bytes(30 * 2**20)
    group.put("anna.zip", text=zipped({"03_convolution.ipynb": zeros, "06_lenet.ipynb": notebook()}))
    group.put("ben.zip", text=zipped({"inner.zip": zipped({"03_convolution.ipynb": zeros})}))
    group.put("cleo.zip", text=zipped({"03_convolution.ipynb": bytes(SIZE_LIMIT + 5)}))
    layers = zipped(["03_convolution.ipynb"])
    for _ in range(4):
        layers = zipped({"again.zip": layers})
    group.put("dora.zip", text=layers).put("emil/03_convolution.ipynb")
    assert set(group.read()) == {("anna", "06"), ("cleo", "03"), ("emil", "03")}
    with pytest.raises(BadNotebook, match="larger than"):
        read_cells(group.found[1].path)
    used = sum(f.stat().st_blocks * 512 for f in group.workspace.rglob("*") if f.is_file())
    assert used < 2**20
    assert "30 MB" in group.reasons()["anna.zip/03_convolution.ipynb"]
    assert "zip in a zip" in " ".join(group.reasons().values())


def test_a_students_files_together_have_a_limit(group, monkeypatch, seed):
    monkeypatch.setattr(owners, "MOST_BYTES", 2**20)
    monkeypatch.setattr(owners, "MOST_NOTEBOOKS", 5)
    rng = random.Random(seed)
    group.put("anna.zip", text=zipped({f"{i}/03_convolution.ipynb": rng.randbytes(300_000) for i in range(5)}))
    for i in range(8):
        group.put(f"ben/{i}/03_convolution.ipynb")
    group.put("cleo.zip", text=zipped(["03_convolution.ipynb"]))
    assert set(group.read()) == {("anna", "03"), ("ben", "03"), ("cleo", "03")}
    assert sum("unpack to more" in u.reason for u in group.unread) == 2
    assert sum("notebooks of this student" in u.reason for u in group.unread) == 3


def test_a_lying_header(group):
    data = bytearray(zipped({"03_convolution.ipynb": bytes(5000)}, compression=zipfile.ZIP_STORED))
    at = data.rfind(b"PK\1\2")
    struct.pack_into("<LL", data, at + 20, 100, 100)  # the table of contents claims 100 bytes
    group.put("anna.zip", text=bytes(data)).put("ben/03_convolution.ipynb")
    assert set(group.read()) == {("ben", "03")}
    assert "damaged" in group.reasons()["anna.zip/03_convolution.ipynb"]


def test_a_table_of_contents_that_would_fill_the_memory(group):
    data = bytearray(zipped(["03_convolution.ipynb"]))
    struct.pack_into("<L", data, data.rfind(b"PK\5\6") + 12, 500 * 2**20)
    group.put("anna.zip", text=bytes(data)).put("ben/03_convolution.ipynb")
    group.read()
    assert "far too many" in group.reasons()["anna.zip"]


def test_zips_that_cannot_be_read(group):
    good = zipped(["03_convolution.ipynb"])
    encrypted = bytearray(good)
    encrypted[encrypted.rfind(b"PK\1\2") + 8] |= 1
    strange = bytearray(good)
    strange[strange.rfind(b"PK\1\2") + 10] = 14  # LZMA, whose reader allocates what the file asks for
    broken = bytearray(zipped({"03_convolution.ipynb": os.urandom(3000)}))
    broken[1000:1010] = b"\0" * 10
    cases = {"empty": b"", "text": b"hello", "half": good[: len(good) // 2], "encrypted": encrypted, "lzma": strange}
    cases |= {"broken": broken, "none": zipped([])}
    for name, data in cases.items():
        group.put(f"{name}.zip", text=bytes(data))
    group.put("zoe/03_convolution.ipynb")
    assert set(group.read()) == {("zoe", "03")}
    reasons = {path.partition(".")[0]: reason for path, reason in group.reasons().items()}
    assert set(reasons) == set(cases)
    assert "password" in reasons["encrypted"] and "empty" in reasons["empty"] and "damaged" in reasons["broken"]


def test_a_single_bad_zip_is_listed(group):
    group.put("class.zip", text=b"PK nonsense")
    assert group.read() == {} and len(group.unread) == 1
    group.put("class.zip", text=zipped([]))
    assert group.read() == {} and len(group.unread) == 1


def test_any_bytes_for_a_zip(group, seed):
    rng = random.Random(seed)
    good = zipped(["anna/03_convolution.ipynb", "b/06_lenet.ipynb", "c.txt"])
    group.put("zoe/03_convolution.ipynb")
    for i in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        group.put(f"s{i}.zip", text=bytes(data[: rng.choice([len(data), rng.randrange(len(data))])]))
    found = group.read()
    told = {u.path.partition("/")[0] for u in group.unread} | {shown.partition("/")[0] for shown in found.values()}
    assert told == {*os.listdir(group.folder)}


def test_names_in_other_encodings(group):
    utf8 = zipped({"Zoë/03_convolution.ipynb": notebook(), "Bo/03_convolution.ipynb": notebook()})
    unmarked = bytearray(utf8)  # macOS writes UTF-8 without saying so
    for mark, offset in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        unmarked[unmarked.find(mark) + offset] &= ~0x08
    group.put("class.zip", text=bytes(unmarked))
    assert set(group.read()) == {("Zoë", "03"), ("Bo", "03")}
    dos = utf8.replace("Zoë".encode(), b"Zo\x89\x81")
    dos = bytearray(dos)
    for mark, offset in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        dos[dos.find(mark) + offset] &= ~0x08
    group.put("class.zip", text=bytes(dos))
    assert len(group.read()) == 2


def test_strange_times_in_a_zip(group):
    data = bytearray(zipped(["anna/03_convolution.ipynb", "ben/03_convolution.ipynb"]))
    for mark, offset in ((b"PK\3\4", 10), (b"PK\1\2", 12)):
        struct.pack_into("<HH", data, data.find(mark) + offset, 0xFFFF, 0xFFFF)
    group.put("class.zip", text=bytes(data), when=1_700_000_000)
    group.read()
    assert group.found[0].submitted.timestamp() == 1_700_000_000


def test_a_class_zips_times_count(group):
    info = zipfile.ZipInfo("anna/03_convolution.ipynb", (2026, 3, 1, 12, 0, 0))
    group.put("class.zip", text=zipped({info: notebook(), "ben/03_convolution.ipynb": notebook()}))
    group.read()
    assert group.found[0].submitted == datetime(2026, 3, 1, 12).astimezone()


# Names


def test_one_student_in_two_spellings(group):
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    group.put(f"{composed}/03_convolution.ipynb", when=1_700_000_000)
    group.put(f"{decomposed}/03_convolution.ipynb", when=1_700_000_005)
    assert list(group.read()) == [(composed, "03")]
    assert "2 folders are this student's" in group.notes() and "handed in 2 times" in group.notes()


def test_names_that_look_alike_stay_apart_and_are_pointed_out(group):
    names = ["anna", "аnna", "ann\u200ba", "Anna", "ben"]  # the second with a Cyrillic а
    for name in names:
        group.put(f"{name}/03_convolution.ipynb")
    assert len(group.read()) == 5
    notes = {s.student: " ".join(s.notes) for s in group.found}
    assert (
        "looks like that of another" in notes["anna"]
        and "looks like" in notes["аnna"]
        and "looks like" in notes["Anna"]
    )
    assert notes["ben"] == "" and "ann\\u200ba" in notes


HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "a\u202eipynb.exe",
    "a\nb",
    "\x85\x9b31m",
    "x\u2066y",
    "tab\there",
    "e" + "\u0301" * 30,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_harmlessly(group, name):
    group.put(f"{name}/03_convolution.ipynb", f"{name}/{name}.txt")
    group.read()
    assert len(group.found) == 1
    for text in (group.found[0].student, group.found[0].shown, group.unread[0].path):
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text)
        assert "\\" in text and text.encode()


def test_a_name_that_is_no_text(group):
    folder = os.fsencode(group.folder) + b"/ann\xff"
    os.mkdir(folder)
    with open(folder + b"/03_convolution.ipynb", "w") as stream:
        stream.write(notebook())
    assert list(group.read()) == [("ann\\xff", "03")]


def test_printable():
    assert printable("José Ñ 李 👍") == "José Ñ 李 👍"
    assert printable("a\nb\tc") == "a\\x0ab\\x09c" and printable("a\r\nb\tc", lines=True) == "a\nb\tc"
    assert printable("\ud800\udcff\U000e0041") == "\\ud800\\xff\\U000e0041"
    assert printable(printable("\x1b[0m")) == printable("\x1b[0m")


@pytest.mark.parametrize("name", ["anna", "anna.smith-2", "7", "a_b"])
def test_plain_names_are_safe_as_they_are(name):
    assert safe_name(name) == name


def test_safe_names(seed):
    rng = random.Random(seed)
    names = ["", ".", "..", "con", "CON", "nul.txt", "a/b", "a\\b", "Anna", "anna", "ANNA", "Zoë", "a" * 300, "李" * 90]
    names += [
        "a" * 299,
        ".hidden",
        "-rf",
        "x..",
        "a..b",
        "anna ",
        "\x00",
        "\udcff",
        "аnna",
        *HOSTILE,
        "~",
        "$HOME",
        "`id`",
    ]
    names += ["".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(1, 50))) for _ in range(500)]
    names = sorted({unicodedata.normalize("NFC", name) for name in names})
    safe = [safe_name(name) for name in names]
    assert len({unicodedata.normalize("NFD", s).casefold() for s in safe}) == len(names)
    for name in safe:
        assert len(name.encode()) < 200 and name not in (".", "..") and ".." not in name
        assert not set(name) & set('/\\:*?"<>|\0 ') and name[0] not in ".-~" and name[-1] not in ". "
        assert not texts.RESERVED.fullmatch(name) and name.isprintable()
    assert safe_name(safe_name("Anna")) != safe_name("Anna")  # nobody can take the name made for another


def test_many_students_quickly(group):
    for i in range(500):
        group.put(f"s{i:03d}/03_convolution.ipynb")
    began = datetime.now()
    assert len(group.read()) == 500
    assert datetime.now() - began < timedelta(seconds=3)
    assert isinstance(group.unread, list) and not any(isinstance(s, Unread) for s in group.found)
