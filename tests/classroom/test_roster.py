"""The list of a class: read as LMSs write it, and joined with what was handed in only where there is no doubt."""

import pytest

from course.classroom import roster, rules
from course.classroom.roster import RosterError, join, read_roster

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Convolution (77)\n    Points Possible,,,,,16\n"
    '"Doe, Jane",4711,S1,jdoe,A,\n"Li, Bo",4712,S2,bli,B,12\n"Student, Test",9,,,A,\n'
)
ROSTERS = {  # the same two students, as different systems write them
    "Canvas's gradebook": CANVAS,
    "Moodle's participants": "First name,Surname,ID number,Email address,Groups\n"
    "Jane,Doe,S1,jdoe@uni.example,A\nBo,Li,S2,bli@uni.example,\n",
    "Moodle's worksheet": "Identifier,Full name,Email address,Status,Grade\n"
    "Participant 4711,Jane Doe,jdoe@uni.example,Submitted,-\nParticipant 4712,Bo Li,bli@uni.example,,-\n",
    "nbgrader's": "id,last_name,first_name,email,lms_user_id\n"
    "jdoe,Doe,Jane,jd@x.example,4711\nbli,Li,Bo,b@x.example,4712\n",
    "GitHub Classroom's": '"identifier","github_username","github_id","name"\n'
    '"S1","jdoe","1","Jane Doe"\n"S2","bli","2","Bo Li"\n',
    "a spreadsheet's": "\ufeffVorname;Nachname;Matrikelnummer;E-Mail-Adresse\nJane;Doe;S1;jdoe@uni.example\n"
    "Bo;Li;S2;bli@uni.example\n",
    "by tabs": "\nlogin\tname\njdoe\tJane Doe\nbli\tBo Li\n\t\n",
}


def listed(tmp_path, text):
    path = tmp_path / "students.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_roster(path)


def result(student, chapter="03", file="", **more):
    known = {"student": student, "chapter": chapter, "file": file or f"{student}/03_convolution.ipynb"}
    return known | {"submitted": "2026-03-01T10:00:00+00:00", "status": "graded", "exercises": [], "notes": []} | more


@pytest.mark.parametrize("kind", ROSTERS)
@pytest.mark.parametrize("names", [("jdoe", "bli"), ("Jane Doe", "Bo Li"), ("Doe, Jane", "LI Bo")])
def test_every_kind_of_roster_finds_its_students(tmp_path, kind, names):
    found = listed(tmp_path, ROSTERS[kind])
    assert [(p.first_name, p.last_name) for p in found.people] == [("Jane", "Doe"), ("Bo", "Li")]
    results, absent, remarks = join(found, [result(name) for name in names])
    assert [(r["first_name"], r["last_name"]) for r in results] == [("Jane", "Doe"), ("Bo", "Li")]
    assert absent == [] and remarks == []
    if kind in ("Canvas's gradebook", "Moodle's worksheet", "nbgrader's"):
        assert [r["lms_id"] for r in results] == ["4711", "4712"]


def test_names_without_their_accents_and_as_canvas_writes_them(tmp_path):
    found = listed(
        tmp_path, "first_name,last_name,email\nZoë,Müller-Núñez,z@x.example\nJane,Doe,j@x.example\n".encode("cp1252")
    )
    results, _, remarks = join(found, [result("mullernunezzoe"), result("doejane")])
    assert [r["mail"] for r in results] == ["z@x.example", "j@x.example"] and remarks == []


def test_who_handed_nothing_in_is_a_row_for_each_chapter_that_anybody_did(tmp_path):
    found = listed(tmp_path, CANVAS)
    results, absent, remarks = join(found, [result("jdoe"), result("jdoe", "06"), result("bli")])
    assert [(r["student"], r["chapter"], r["status"]) for r in absent] == [("bli", "06", rules.MISSING)]
    assert absent[0]["last_name"] == "Li" and absent[0]["lms_id"] == "4712" and remarks == []
    ruled = rules.apply(rules.Rules({"06": {"6.1": 2}}), absent[0])
    assert (ruled["score"], ruled["max_score"], ruled["exercises"][0]["state"]) == (0, 2, "absent")
    _, absent, _ = join(found, [result("x")])
    assert [r["student"] for r in absent] == ["jdoe", "bli"], "by their logins, where nobody knows them otherwise"


def test_two_of_one_name_are_told_apart_by_their_ids_or_not_at_all(tmp_path):
    text = "Student,ID,SIS Login ID\n" + "".join(f'"Wang, Wei",{i},w{i}\n' for i in (4011, 4012))
    found = listed(tmp_path, text)
    results, _, remarks = join(found, [result("wangwei", file="s.zip/wangwei_4012_900_03_convolution.ipynb")])
    assert results[0]["login"] == "w4012" and remarks == []
    results, absent, remarks = join(found, [result("Wang Wei")])
    assert "last_name" not in results[0] and len(absent) == 2
    assert remarks == ["Wang Wei could be Wei Wang and Wei Wang of the roster: not joined with either"]


def test_an_id_that_is_another_students_joins_nobody(tmp_path):
    found = listed(tmp_path, "Student,ID\n" + '"Doe, Jane",4011\n"Li, Bo",4012\n')
    # Canvas's id is somebody else's, of the same name.
    files = ("s.zip/doejane_4099_901_x.ipynb", "s.zip/libo_4012_902_x.ipynb")
    results, absent, remarks = join(found, [result("doejane", file=files[0]), result("libo", file=files[1])])
    assert "last_name" not in results[0] and [r["student"] for r in absent] == ["4011"]
    assert remarks == ["1 who handed something in are not on the roster: doejane"]
    # Moodle's is a number within one activity.
    moodle = "m.zip/Jane Doe_4012_assignsubmission_file_/03.ipynb"
    results, _, _ = join(found, [result("Jane Doe", file=moodle)])
    assert results[0]["last_name"] == "Doe"


def test_strangers_and_doubles_are_told(tmp_path):
    found = listed(tmp_path, "login,name\njdoe,Jane Doe\njdoe,Jane Again\n")
    assert len(found.people) == 1
    _, _, remarks = join(found, [result("jdoe"), result("Jane Doe"), result("eve")])
    assert remarks == [
        "the roster's line 3 is Jane Again's again, after line 2: left out",
        "1 who handed something in are not on the roster: eve",
        "jdoe and Jane Doe are one student of the roster, in its line 2",
    ]


def test_rows_of_two_without_login_and_with_one_name_stay_two(tmp_path):
    found = listed(tmp_path, "name\nWei Wang\nWei Wang\n")
    _, absent, _ = join(found, [result("eve")])
    assert len({r["student"] for r in absent}) == 2


WRONG = {
    "empty": ("\n \n", "is empty"),
    "headings alone": ("login,email\n", "no student"),
    "no headings": ("jdoe,Jane\nbli,Bo\n", "has no heading that tells who a student is"),
    "a workbook": (b"PK\x03\x04\x14\x00\x06\x00\x9d\x81", "save the table as CSV"),
    "zeros": (b"login\n\0\0\0", "save the table as CSV"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_roster_is_explained(tmp_path, kind):
    text, words = WRONG[kind]
    with pytest.raises(RosterError) as caught:
        listed(tmp_path, text)
    assert words in str(caught.value) and "students.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_roster(tmp_path):
    with pytest.raises(RosterError, match=r"none\.csv cannot be read: No such file"):
        read_roster(tmp_path / "none.csv")


def test_a_roster_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(roster, "MOST_STUDENTS", 3)
    with pytest.raises(RosterError, match="more than 3 students"):
        listed(tmp_path, "login\n" + "".join(f"s{i}\n" for i in range(9)))
