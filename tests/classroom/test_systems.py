"""Classes as systems and people hand them over: each layout as a folder, as a zip, and as a zip in a folder."""

import random
import re
import types
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from re._constants import MAXREPEAT
from re._parser import SubPattern, parse
from zoneinfo import ZoneInfo

import pytest
from test_layout import CHAPTERS, notebook, put, zip_of, zipped

from course.classroom.layout import (
    LayoutError,
    archives,
    chapters,
    discover,
    gradescope,
    levels,
    patterns,
    reading,
    texts,
    times,
)
from course.classroom.layout.patterns import bare, is_generic
from course.exercises import cells
from course.grading import damage, submission

METADATA = """submission_11:
  :submitters:
  - :name: Jane Doe
    :sid: '301'
    :email: jane@example.edu
  :created_at: 2026-11-19 21:30:10.123 Z
submission_12:
  :submitters:
  - :name: Bo Li
    :sid: '302'
    :email: bo@example.edu
  - :name: X Six
    :sid: '306'
    :email: six@example.edu
  :created_at: 2026-11-20 09:00:00.000 Z
"""
NB = "03_convolution.ipynb"
BLACKBOARD = "Chapter 3_{}_attempt_2026-11-{}"
EXCHANGE = "{}+week 3+2026-11-{} UTC+x1y2"
# Of each layout the files, and the students with the end of the path of the file that counts.
LAYOUTS = {
    "a folder for each": ([f"anna/{NB}", f"bo li/work/deep/{NB}"], {"anna": NB, "bo li": NB}),
    "flat": ([f"anna_{NB}", f"bo li - {NB}"], {"anna": NB, "bo li": NB}),
    "flat, the chapter in front": (
        ["03_convolution_anna.ipynb", "03_convolution_bo-li.ipynb"], {"anna": "anna.ipynb", "bo-li": "bo-li.ipynb"},
    ),
    "in one folder": ([f"DL 2026/anna/{NB}", f"DL 2026/bo/{NB}"], {"anna": NB, "bo": NB}),
    "in one folder, flat": ([f"DL 2026/anna_{NB}", f"DL 2026/bo_{NB}"], {"anna": NB, "bo": NB}),
    "in a folder in a folder": ([f"course/week 3/anna/{NB}", f"course/week 3/bo/{NB}"], {"anna": NB, "bo": NB}),
    "in one folder of a class, one student": ([f"class/anna/{NB}"], {"anna": NB}),
    "in a downloaded folder": ([f"hw3-submissions/anna/hw/{NB}"], {"anna": f"hw/{NB}"}),
    "the assignment above the student": (
        ["03_convolution/anna/a.ipynb", "03_convolution/bo/b.ipynb", "06_lenet/anna/c.ipynb"],
        {"anna": "a.ipynb", "bo": "b.ipynb", ("anna", "06"): "c.ipynb"},
    ),
    "weeks above the students": (
        [f"week 3/anna/{NB}", f"week 3/bo/{NB}", "week 4/anna/06_lenet.ipynb", "week 4/bo/06_lenet.ipynb"],
        {"anna": NB, "bo": NB, ("anna", "06"): "06_lenet.ipynb", ("bo", "06"): "06_lenet.ipynb"},
    ),
    "assignments of any name above the students": (
        [f"first/anna/{NB}", f"first/bo/{NB}", "second/anna/06_lenet.ipynb", "second/bo/06_lenet.ipynb"],
        {"anna": NB, "bo": NB, ("anna", "06"): "06_lenet.ipynb", ("bo", "06"): "06_lenet.ipynb"},
    ),
    "students above weeks": (
        [f"anna/week 3/{NB}", "anna/week 4/06_lenet.ipynb", f"bo/week 3/{NB}", "bo/week 4/06_lenet.ipynb"],
        {"anna": NB, "bo": NB, ("anna", "06"): "06_lenet.ipynb", ("bo", "06"): "06_lenet.ipynb"},
    ),
    "GitHub Classroom": (
        [f"03-convolution-{who}/{name}" for who in ("janedoe", "bo-li", "x06") for name in (NB, ".git/HEAD")],
        {"janedoe": NB, "bo-li": NB, "x06": NB},
    ),
    "GitHub Classroom, outer folder": (
        [f"03-convolution-submissions/03-convolution-{who}/{NB}" for who in ("janedoe", "bo-li")],
        {"janedoe": NB, "bo-li": NB},
    ),
    "GitHub Classroom, another assignment": (
        [f"hw-three-{who}/{name}" for who in ("janedoe", "bo-li") for name in (NB, ".git/HEAD")],
        {"janedoe": NB, "bo-li": NB},
    ),
    "GitHub Classroom, one student": ([f"hw-three-submissions/hw-three-janedoe/{NB}"], {"janedoe": NB}),
    "Canvas": (
        [f"doejane_4711_99001_{NB}", "libo_LATE_4712_99002_03_convolution-1.ipynb"],
        {"doejane": NB, "libo": "-1.ipynb"},
    ),
    "Canvas, two files": (
        ["doejane_4711_99001_03_convolution.ipynb", "doejane_4711_99007_03_convolution.ipynb", f"libo_4712_99002_{NB}"],
        {"doejane": "99007_03_convolution.ipynb", "libo": NB},
    ),
    "Canvas, anonymous": (
        [f"anon_V2zRa_99001_{NB}", f"LATE_anon_9xQ1b_99002_{NB}"], {"anon_V2zRa": NB, "anon_9xQ1b": NB},
    ),
    "Canvas, zips": (["doejane_4711_99001_hw.zip", f"libo_4712_99002_{NB}"], {"doejane": NB, "libo": NB}),
    "Moodle": (
        [f"Jane Doe_101_assignsubmission_file_/{NB}", f"Bo Li_102_assignsubmission_file/{NB}"],
        {"Jane Doe": NB, "Bo Li": NB},
    ),
    "Moodle, with texts": (
        [f"Jane Doe_101_assignsubmission_file/{NB}", "Jane Doe_101_assignsubmission_onlinetext/onlinetext.html"],
        {"Jane Doe": NB},
    ),
    "Moodle, flat": ([f"Participant 7_101_assignsubmission_file_{NB}"], {"Participant 7": NB}),
    "Blackboard": (
        [BLACKBOARD.format(who, when) + end for who, when in
         (("jdoe", "18-20-00-00"), ("jdoe", "19-21-30-10"), ("b_li", "19-09-15-00")) for end in (".txt", f"_{NB}")],
        {"jdoe": f"19-21-30-10_{NB}", "b_li": NB},
    ),
    "Brightspace": (
        [f"39-25 - Jane Doe - Nov 18, 2026 926 PM/{NB}", f"39-25 - Jane Doe - Nov 19, 2026 126 AM/{NB}",
         f"40-25 - Mary-Ann Smith - Nov 19, 2026 1130 AM/{NB}", "index.html"],
        {"Jane Doe": f"126 AM/{NB}", "Mary-Ann Smith": NB},
    ),
    "Brightspace, flat": ([f"39-25 - Jane Doe- 18 November, 2026 926 PM - {NB}", "index.html"], {"Jane Doe": NB}),
    "Sakai": (
        [f"Chapter 3/{who}/Submission attachment(s)/{NB}" for who in ("Doe, Jane(jdoe)", "Li, Bo(bli)")]
        + ["Chapter 3/grades.csv", "Chapter 3/Li, Bo(bli)/comments.txt", "Chapter 3/Li, Bo(bli)/timestamp.txt"],
        {"jdoe": NB, "bli": NB},
    ),
    "Gradescope": (
        [f"assignment_9_export/submission_11/{NB}", f"assignment_9_export/submission_12/{NB}",
         "assignment_9_export/submission_metadata.yml"],
        {"Jane Doe": NB, "Bo Li": NB, "X Six": NB},
    ),
    "nbgrader": ([f"submitted/anna/week 3/{NB}", "gradebook.db", f"source/week 3/{NB}"], {"anna": NB}),
    "nbgrader's exchange": (
        [EXCHANGE.format("anna", "18 10:00:00.5") + f"/{NB}", EXCHANGE.format("anna", "19 10:00:00.5") + f"/{NB}",
         EXCHANGE.format("bo", "19 09:00:00.1") + f"/{NB}"],
        {"anna": f"-19 10:00:00.5 UTC+x1y2/{NB}", "bo": NB},
    ),
    "nbgrader's exchange, whole": (
        ["inbound/" + EXCHANGE.format(who, "18 10:00:00.5") + f"/{NB}" for who in ("anna", "bo")]
        + [f"outbound/week 3/{NB}"],
        {"anna": NB, "bo": NB},
    ),
    "nbgrader's exchange, unpacked on Windows": (
        [EXCHANGE.format("anna", "18 10_00_00.5") + f"/{NB}", EXCHANGE.format("bo", "19 09_00_00.1") + f"/{NB}"],
        {"anna": NB, "bo": NB},
    ),
}  # fmt: skip
CONTENTS = {"submission_metadata.yml": METADATA, "timestamp.txt": "20261119203010000", "hw.zip": zipped([NB])}


def text_of(path):
    name = path.rpartition("/")[2]
    if content := next((content for end, content in CONTENTS.items() if name.endswith(end)), None):
        return content
    return notebook() if name.endswith(".ipynb") else "x"


def made(folder, layout, given):
    """A layout's files: in a folder, in a zip, or in a zip in a folder."""
    for path in LAYOUTS[layout][0]:
        put(folder / "all" / path, text=text_of(path))
    if given == "folder":
        return folder / "all"
    (folder / "zip").mkdir()
    path = zip_of(folder / "all", folder / "zip" / "submissions.zip")
    return path if given == "zip" else path.parent


def read(path, tmp_path, **options):
    return discover(path, CHAPTERS, tmp_path / "workspace", **options)


@pytest.mark.parametrize("given", ["folder", "zip", "zip in a folder"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout(layout, given, tmp_path):
    found = read(made(tmp_path, layout, given), tmp_path)
    wanted = {key if isinstance(key, tuple) else (key, "03"): end for key, end in LAYOUTS[layout][1].items()}
    assert {(s.student, s.chapter) for s in found.submissions} == set(wanted)
    for one in found.submissions:
        assert one.shown.endswith(wanted[one.student, one.chapter]) and not one.problem and one.path.is_file()
    assert len(found.unread) <= 1 and all("passed over" in one.reason for one in found.unread)


def by_student(layout, tmp_path, given="folder", **options):
    return {s.student: s for s in read(made(tmp_path, layout, given), tmp_path, **options).submissions}


def test_blackboards_names_give_login_time_and_attempts(tmp_path):
    found = by_student("Blackboard", tmp_path, zone=ZoneInfo("Europe/Berlin"))
    jane = found["jdoe"]
    assert jane.submitted == datetime(2026, 11, 19, 20, 30, 10, tzinfo=UTC) and jane.timed
    assert (jane.login, jane.attempts, jane.system) == ("jdoe", 2, "Blackboard")
    assert jane.notes[0].startswith("2 attempts; the newest file was graded, not Chapter 3_jdoe_attempt_2026-11-18")
    assert (found["b_li"].login, found["b_li"].attempts, found["b_li"].notes) == ("b_li", 1, ())


def test_the_txt_of_blackboard_are_passed_over_in_one_line(tmp_path):
    (line,) = read(made(tmp_path, "Blackboard", "folder"), tmp_path).unread
    assert line.path.endswith("and 2 more") and line.reason == "passed over: Blackboard's own"


def test_what_other_systems_say(tmp_path):
    zone = timezone(timedelta(hours=1))
    jane = by_student("Brightspace", tmp_path / "b", zone=zone)["Jane Doe"]
    assert (jane.id, jane.submitted, jane.attempts) == ("39", datetime(2026, 11, 19, 1, 26, tzinfo=zone), 2)
    bo = by_student("Sakai", tmp_path / "s")["bli"]
    assert (bo.name, bo.login, bo.submitted) == ("Li, Bo", "bli", datetime(2026, 11, 19, 20, 30, 10, tzinfo=UTC))
    found = by_student("Gradescope", tmp_path / "g")
    assert (found["Bo Li"].id, found["X Six"].mail) == ("302", "six@example.edu")
    assert found["Jane Doe"].submitted == datetime(2026, 11, 19, 21, 30, 10, 123000, UTC)
    assert "handed in together with X Six" in found["Bo Li"].notes
    anna = by_student("nbgrader's exchange", tmp_path / "n")["anna"]
    assert anna.submitted == datetime(2026, 11, 19, 10, 0, 0, 500000, UTC) and anna.attempts == 2
    late = by_student("Canvas", tmp_path / "c")
    assert (late["libo"].late, late["libo"].id, late["doejane"].late) == (True, "4712", False)
    assert "LATE" in late["libo"].notes[0] and late["doejane"].notes == ()
    assert by_student("Canvas, anonymous", tmp_path / "a")["anon_9xQ1b"].late
    assert by_student("Moodle", tmp_path / "m")["Bo Li"].id == "102"
    assert by_student("GitHub Classroom", tmp_path / "h")["bo-li"].login == "bo-li"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
)


@pytest.mark.parametrize(
    "text",
    [
        "", "- 1", "{", "submission_11: 3", "submission_11: {':submitters': [3, {':name': {}}]}", "\0\xff",
        BOMB + "submission_11: {':submitters': [{':name': *y, ':sid': 7, ':email': ok@x}], ':created_at': *y}",
        "submission_11: {':submitters': [{':name': A, ':sid': " + "9" * 5000 + "}]}", "[" * 5000,
        "!!python/object/apply:os.system [touch owned]",
    ],
)  # fmt: skip
def test_any_metadata_of_gradescope_is_read_or_refused(text, tmp_path):
    put(tmp_path / "all/submission_metadata.yml", text=text)
    put(tmp_path / "all/submission_11" / NB)
    put(tmp_path / "all/submission_12" / NB)
    found = read(tmp_path / "all", tmp_path)
    assert len(found.submissions) == 2 and "submission_12" in {one.student for one in found.submissions}
    assert "does not say whose" in found.remarks[0]


# Times of a download


@pytest.mark.parametrize("given", ["folder", "zip", "zip in a folder"])
def test_the_times_of_a_download_are_none_of_handing_in(given, tmp_path):
    found = read(made(tmp_path, "Canvas", given), tmp_path)
    assert [one.timed for one in found.submissions] == [False, False]
    (remark,) = found.remarks
    assert "THE TIMES ARE THOSE OF THE DOWNLOAD from Canvas" in remark and "1 bear LATE" in remark


def class_of(tmp_path, seconds, name="{}/03_convolution.ipynb", given="folder"):
    for i, second in enumerate(seconds):
        put(tmp_path / "all" / name.format(f"s{i:02d}"), when=1_790_000_000 + second)
    path = tmp_path / "all" if given == "folder" else zip_of(tmp_path / "all", tmp_path / "class.zip")
    found = read(path, tmp_path)
    return [one.timed for one in found.submissions], found.remarks


def test_files_within_seconds_of_each_other_were_unpacked_and_others_handed_in(tmp_path):
    assert class_of(tmp_path / "1", [0, 1, 2, 30])[0] == [False] * 4
    assert class_of(tmp_path / "2", [0, 1, 2, 30], given="zip")[0] == [False] * 4
    timed, remarks = class_of(tmp_path / "3", [0, 4000, 9000, 86_400])
    assert timed == [True] * 4 and remarks == []
    assert class_of(tmp_path / "4", [0, 0, 0, 0, 5000])[0] == [False] * 4 + [True], "one was put there by hand"
    assert class_of(tmp_path / "5", [0, 3, 4000, 8000, 12_000])[0] == [True] * 5, "two who work together"
    assert class_of(tmp_path / "6", [0])[0] == [True], "alone, nothing can be told"


def test_each_chapter_has_its_own_download(tmp_path):
    for i in range(4):
        put(tmp_path / "all" / f"s{i}/03_convolution.ipynb", when=1_790_000_000 + i)
        put(tmp_path / "all" / f"s{i}/06_lenet.ipynb", when=1_790_000_000 + 9000 * i)
    found = read(tmp_path / "all", tmp_path)
    assert {one.chapter for one in found.submissions if one.timed} == {"06"} and "chapter 03" in found.remarks[0]


def test_times_that_a_system_states_stand_though_they_are_close(tmp_path):
    found = by_student("nbgrader's exchange", tmp_path)
    assert all(one.timed for one in found.values())


@pytest.mark.parametrize(
    ("names", "wanted", "rule"),
    [
        (["a/03_convolution.ipynb", "b/03_convolution.ipynb"], "b/", "the last by name"),
        (["03_convolution.ipynb", "03_convolution (2).ipynb", "03_convolution (1).ipynb"], "(2).ipynb", "of a copy"),
        (["03_convolution - Kopie.ipynb", "03_convolution.ipynb"], "Kopie.ipynb", "of a copy"),
    ],
)
def test_where_times_do_not_tell_the_rule_is_said(tmp_path, names, wanted, rule):
    for name in names:
        put(tmp_path / "all" / "anna" / name, when=1_790_000_000)
    put(tmp_path / "all" / "bo" / NB, when=1_790_000_000)
    anna, _ = read(tmp_path / "all", tmp_path).submissions
    assert anna.shown.endswith(wanted) or wanted in anna.shown
    assert "their times do not tell them apart" in anna.notes[0] and rule in anna.notes[0]


# A class or one student


AMBIGUOUS = {
    "one folder with one in it": [f"alpha/anna/{NB}"],
    "one folder with two chapters in two": [f"alpha/anna/{NB}", "alpha/bo/06_lenet.ipynb"],
    "one folder with students and work": [f"alpha/anna/{NB}", f"alpha/bo/{NB}", f"alpha/old/{NB}"],
    "work beside work": [f"notebooks/{NB}", f"solutions/{NB}", f"work/{NB}"],
    "tries": [f"try 1/{NB}", f"try 2/{NB}"],
    "the course itself": [f"notebooks/{NB}", f"solutions/{NB}", "course/cli.py", "pyproject.toml", f"work/{NB}"],
    "twins": [f"{a}/{b}/{NB}" for a in ("x one", "y two") for b in ("anna", "bo")] + ["x one/cy/06_lenet.ipynb"],
}


@pytest.mark.parametrize("given", ["folder", "zip"])
@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_may_be_a_class_or_one_student_is_refused_in_a_sentence(case, given, tmp_path):
    for path in AMBIGUOUS[case]:
        put(tmp_path / "all" / path)
    path = tmp_path / "all" if given == "folder" else zip_of(tmp_path / "all", tmp_path / "class.zip")
    with pytest.raises(LayoutError, match="cannot be told|looks like one student|is a copy of the course") as caught:
        read(path, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "paths",
    [
        [f"anna/{NB}", "anna/06_lenet.ipynb"],
        [f"anna/notebooks/{NB}", f"anna/work/{NB}"],
        [f"anna/try 1/{NB}", f"anna/try 2/{NB}"],
        [f"submitted/anna/my own/{NB}"],
        [f"anna/my_{NB}"],
    ],
)
def test_one_student_alone_is_one_student(paths, tmp_path):
    for path in paths:
        put(tmp_path / "all" / path)
    assert {one.student for one in read(tmp_path / "all", tmp_path).submissions} == {"anna"}


def test_students_may_be_numbers(tmp_path):
    for i in range(1, 31):
        put(tmp_path / "all" / f"{i:02d}" / NB)
        put(tmp_path / "all" / f"{i:02d}" / "extra" / "06_lenet.ipynb")
    assert len(read(tmp_path / "all", tmp_path).submissions) == 60


def test_in_nbgraders_tree_a_student_may_have_any_name(tmp_path):
    for path in (f"submitted/lab1/ps alpha/{NB}", f"submitted/week 3/ps alpha/{NB}", "nbgrader_config.py"):
        put(tmp_path / "all" / path)
    assert {one.student for one in read(tmp_path / "all", tmp_path).submissions} == {"lab1", "week 3"}


def test_a_students_zip_given_alone_says_who_it_is_by_its_own_name(tmp_path):
    put(tmp_path / "mallory.zip", text=zipped([f"work/{NB}"]))
    assert [one.student for one in read(tmp_path / "mallory.zip", tmp_path).submissions] == ["mallory"]
    put(tmp_path / "mallory.zip", text=zipped([f"anna/{NB}"]))
    with pytest.raises(LayoutError, match="cannot be told"):
        read(tmp_path / "mallory.zip", tmp_path)


def test_a_students_folder_cannot_speak_for_another(tmp_path):
    put(tmp_path / "all/anna" / NB)
    put(tmp_path / "all/bo" / NB)
    for forged in (
        f"Anna_101_assignsubmission_file_/{NB}", f"anna/{NB}", f"Hw_anna_attempt_2020-01-01-00-00-00_{NB}",
        f"03-convolution-anna/{NB}", f"03-convolution-bo/{NB}", f"submitted/anna/hw/{NB}", "gradebook.db",
        f"submission_11/{NB}", "submission_metadata.yml",
    ):  # fmt: skip
        put(tmp_path / "all/mallory" / forged, text=text_of(forged))
    found = read(tmp_path / "all", tmp_path)
    assert {s.student: s.shown.split("/")[0] for s in found.submissions} == {"anna": "anna", "bo": "bo"} | {
        "mallory": "mallory"
    }


def test_a_zip_of_the_class_beside_others(tmp_path):
    put(tmp_path / "all/submissions.zip", text=zipped([f"anna/{NB}", f"bo/{NB}"]), when=1_790_009_999)
    put(tmp_path / "all/anna" / NB, when=1_790_000_000)
    put(tmp_path / "all/students.csv", text="x")
    found = read(tmp_path / "all", tmp_path)
    assert {s.student: s.shown for s in found.submissions} == {
        "anna": f"anna/{NB}",
        "bo": f"submissions.zip/bo/{NB}",
    }
    assert "taken for a zip of the class" in found.remarks[0]
    assert "what lies outside the class's zip was graded" in found.submissions[0].notes[0]


def test_a_zip_beside_students_zips_speaks_for_nobody_who_is_there(tmp_path):
    put(tmp_path / "all/week 3.zip", text=zipped([f"bo/{NB}", f"cy/{NB}"]), when=1_790_009_999)
    put(tmp_path / "all/anna.zip", text=zipped([NB]))
    put(tmp_path / "all/bo.zip", text=zipped([NB]), when=1_790_000_000)
    found = {one.student: one.shown for one in read(tmp_path / "all", tmp_path).submissions}
    assert found == {"anna": f"anna.zip/{NB}", "bo": f"bo.zip/{NB}", "cy": f"week 3.zip/cy/{NB}"}


def test_two_zips_of_the_class(tmp_path):
    put(tmp_path / "all/week 3.zip", text=zipped([f"anna/{NB}", f"bo/{NB}"]))
    put(tmp_path / "all/week 4.zip", text=zipped(["anna/06_lenet.ipynb", "bo/06_lenet.ipynb"]))
    found = read(tmp_path / "all", tmp_path)
    assert {(s.student, s.chapter) for s in found.submissions} == {(a, b) for a in ("anna", "bo") for b in CHAPTERS}


def test_one_students_zip_alone_sets_neither_names_nor_dates(tmp_path):
    put(tmp_path / "all/mallory.zip", text=zipped([NB, "hw/06_lenet.ipynb"]), when=1_790_000_000)
    found = read(tmp_path / "all", tmp_path).submissions
    assert {one.student for one in found} == {"mallory"}
    assert {one.submitted.timestamp() for one in found} == {1_790_000_000}


def test_a_single_folder_named_for_chapter_and_student_says_what_to_do(tmp_path):
    put(tmp_path / "all" / f"03-convolution-janedoe/{NB}")
    put(tmp_path / "all" / f"anna/{NB}")
    (line,) = read(tmp_path / "all", tmp_path).unread
    assert "put it into a folder named for the student" in line.reason


# Names


COPIES = [
    "Copy of {}", "Copy (2) of {}", "Kopie von {}", "Copie de {}", "Copia de {}", "Cópia de {}", "Kopia {}",
    "Kopi af {}", "Копия {}", "{} (1)", "{}(1)", "{} - Copy", "{} - Copy (2)", "{} - Kopie", "{} - copie", "{} - Copia",
    "{}-Copy1", "{} copy", "{} copy 2", "{} Kopie 2", "{} - 副本", "{}的副本", "{}のコピー", "{} - コピー",
    "{} — копия", "{} - Kopya", "{}（1）", "Bản sao của {}", "Copy of Copy of {} (1)",
]  # fmt: skip


@pytest.mark.parametrize("copy", COPIES)
def test_marks_of_a_copy_belong_to_no_name(copy, tmp_path):
    for name in ("anna_03_convolution", "03_convolution_bo", "03_convolution_cy"):
        assert uncopied_twice(copy.format(name)) == name
    put(tmp_path / "all" / (copy.format("anna_03_convolution") + ".ipynb"))
    put(tmp_path / "all" / (copy.format("bo") + ".zip"), text=zipped([NB]))
    put(tmp_path / "all" / f"cy - {copy.format('03_convolution')}.ipynb")
    assert {s.student for s in read(tmp_path / "all", tmp_path).submissions} == {"anna", "bo", "cy"}


def uncopied_twice(name):
    return bare(bare(f"{name}.ipynb") + ".ipynb")


def test_names_that_are_no_copies():
    for name in ("photocopy", "copy", "anna (101)", "Kopilow_03", "copyright_03", "(1)"):
        assert bare(f"{name}.ipynb") == name


def test_words_of_work():
    for name in ("notebooks", "try 1", "week 3", "v2", "homework3", "Woche 3", "hw-final", "deep-vision-in-keras"):
        assert is_generic(name), name
    for name in ("anna", "Li", "An", "My", "Will", "x06", "17", "week 2026", "bo-li", "李雷"):
        assert not is_generic(name), name
    assert not is_generic("1" * 40 + "x")


def patterns_in(value):
    """The compiled patterns in a module, or in what stands in one."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, patterns.Pattern):
        yield from patterns_in(value.named)
    elif isinstance(value, (dict, list, tuple)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from patterns_in(one)
    elif isinstance(value, types.ModuleType):
        for name, one in vars(value).items():
            if not name.startswith("__") and not isinstance(one, types.ModuleType):
                yield from patterns_in(one)


def may_explode(tree, repeated=False):
    """Whether a parsed pattern has a repeat without an end in another such, so that it may fail in exponentially many
    ways: a possessive repeat, or an atomic group, fails in one."""
    for code, value in tree:
        name, inside = str(code), repeated
        if name in ("MAX_REPEAT", "MIN_REPEAT") and value[1] == MAXREPEAT:
            if repeated:
                return True
            inside = True
        if name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"):
            inside = False
        parts = value if isinstance(value, (list, tuple)) else [value]
        parts = [p for part in parts for p in (part if isinstance(part, list) else [part])]
        if any(may_explode(part, inside) for part in parts if isinstance(part, SubPattern)):
            return True
    return False


def test_no_name_and_no_file_takes_long():
    """By how the patterns are made, and by how long a name may be: what is left grows with a small power of 255."""
    modules = (archives, cells, chapters, damage, gradescope, levels, patterns, reading, submission, texts, times)
    found = {(p.pattern, p.flags) for module in modules for p in patterns_in(module)}
    assert len(found) > 30
    assert not [pattern for pattern, flags in found if may_explode(parse(pattern, flags))]
    for slow in (r"(a+)+$", r"(?:x*y?)*z", rb"(?:<!--.*?-->\s*)*<x", r"(?:(?:a|b+)c?){2,}d"):
        assert may_explode(parse(slow)), slow
    assert not may_explode(parse(rb"(?><!--.*?-->\s*)*+<x"))


def test_a_name_in_a_zip_is_as_long_as_on_a_disk_or_refused(tmp_path):
    path = tmp_path / "all" / "anna.zip"
    put(path, text=zipped(["_" * 9000 + ".ipynb", NB]))
    found = read(tmp_path / "all", tmp_path)
    assert [u.reason for u in found.unread] == ["too many folders inside each other, or too long a name"]
    assert [s.student for s in found.submissions] == ["anna"]


# Any tree


PARTS = (
    "anna", "bo li", "Doe, Jane(jdoe)", "week 3", "03_convolution", "06_lenet", "notebooks", "solutions", "submitted",
    "submissions", "03-convolution-anna", "03-convolution-bo", "Anna_101_assignsubmission_file_", "class", "old (1)",
    "39-25 - Bo - Nov 18, 2026 926 PM", "submission_11", "anna+hw+2026-11-19 10:00:00.5 UTC", "venv", ".git", "group 1",
    "hw_a_attempt_2026-11-18-20-00-00",
)  # fmt: skip
LEAVES = (
    "03_convolution.ipynb", "06_lenet.ipynb", "anna_03_convolution.ipynb", "03_convolution_bo.ipynb", "x.ipynb",
    "doe_LATE_4711_99001_x.ipynb", "timestamp.txt", "grades.csv", "submission_metadata.yml", "pyvenv.cfg", "index.html",
    "hw_a_attempt_2026-11-18-20-00-00.txt", "bo.zip", "Copy of 03_convolution (1).ipynb", "gradebook.db",
)  # fmt: skip


def outcome(path, tmp_path):
    """What comes of a class: who, which file, when, and what is said; or that it is refused."""
    try:
        found = read(path, tmp_path)
    except LayoutError as error:
        return re.sub(r"\S*/all|class\.zip/?", "", str(error)).partition("whether")[0]
    shown = [(s.student, s.chapter, s.shown.removeprefix("class.zip/"), s.late, s.id) for s in found.submissions]
    return shown, [u.path.removeprefix("class.zip/") for u in found.unread if u.path != "class.zip"]


def grow(rng, folder):
    """Make a random tree in a folder."""
    parts = rng.sample(PARTS, 5)
    for _ in range(rng.randint(1, 7)):
        path = folder / "/".join(rng.sample(parts, rng.randint(0, 3))) / rng.choice(LEAVES)
        chapter = rng.choice([None, None, "03", "06"])
        text = zipped([NB]) if path.suffix == ".zip" else text_of(path.name)
        put(path, text=notebook(chapter) if chapter and path.suffix == ".ipynb" else text, when=1_790_000_000)


def test_any_tree_is_read_alike_as_folder_and_as_zip(seed, tmp_path):
    rng = random.Random(seed)
    kinds, refused = Counter(), list(AMBIGUOUS.values())  # of which chance makes few
    for i in range(60 + len(refused)):
        folder = tmp_path / str(i)
        if i < len(refused):
            for path in refused[i]:
                put(folder / "all" / path)
        else:
            grow(rng, folder / "all")
        one = outcome(folder / "all", folder / "a")
        two = outcome(zip_of(folder / "all", folder / "class.zip"), folder / "b")
        assert one == two, sorted(str(p.relative_to(folder)) for p in (folder / "all").rglob("*"))
        kinds["refused" if isinstance(one, str) else "read" if one[0] else "nobody"] += 1
    assert kinds["read"] > 15 and kinds["refused"] >= len(refused), kinds
