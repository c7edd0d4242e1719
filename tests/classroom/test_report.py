"""What people get to see of a class: complete, in order, and harmless whatever the students wrote."""

import csv
import errno
import io
import os
import re
import tomllib
import xml.etree.ElementTree as xml
import zipfile
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from course import files
from course.classroom import lms, rules
from course.classroom.layout import Unread, safe_name
from course.classroom.report import feedback, junit, page, tables, words, writing
from course.classroom.similarity import Pair

CHAPTERS = {"03": "03_convolution", "06": "06_lenet"}
STARS = {"03": {"3.1": 1, "3.2": 2, "3.10": 3}, "06": {"6.1": 2}}
RULES = rules.Rules(
    STARS,
    {"03": datetime(2026, 3, 1, 12, tzinfo=UTC)},
    0.1,
    0.5,
    {("ben", "3.2"): rules.Override("ben", "3.2", 1.5, "Right by the *lecture's* convention.")},
)
EVIL = "<script>alert(1)</script>"
HOSTILE = [
    EVIL,
    '"><img src=x onerror=alert(1)>',
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "x;=1+1",
    "＝1+1",
    "\x1b]0;owned\x07\x1b[2J",
    "anna\u202efdp.exe",
    "a\ud800b\udcff",
    "`</pre>` ``` ~~~",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png) www.evil.example",
    "]]><!-- --> &lt; &amp;",
    "a\nb\n# heading",
    "x" * 5000,
    "../../etc/passwd",
    "محمد رضا",
]


def exercise(number, state="passed", **changes):
    of = STARS["03" if number.startswith("3") else "06"][number]
    known = {"exercise": number, "state": state, "right": 24 if state == "passed" else 9, "cases": 24, "of": of}
    known |= {"points": of if state == "passed" else 0, "hint": "", "message": "", "note": ""}
    return known | changes


def result(student="anna", chapter="03", exercises=None, **changes):
    known = {
        "student": student,
        "chapter": chapter,
        "file": f"{student}/{CHAPTERS[chapter]}.ipynb",
        "submitted": "2026-03-01T10:00:00+00:00",
        "graded": "2026-03-02T10:00:00+00:00",
        "status": "graded",
        "reason": "",
        "notes": [],
        "sandboxed": True,
        "seconds": 3.21,
        "exercises": [exercise(n) for n in STARS[chapter]] if exercises is None else exercises,
        "digests": {},
        "answers": {},
    }
    return rules.apply(RULES, known | changes)


def hostile_class():
    """A class in which every text that a student has a hand in is hostile."""
    results = []
    for i, text in enumerate(HOSTILE):
        states = ["wrong", "crashed", "timeout"][i % 3], ["open", "missing", "wrong"][i % 3]
        exercises = [
            exercise("3.1", states[0], hint=text, message=f"{text}\n  {text}", note=text),
            exercise("3.2", states[1], message=text),
            exercise("3.10", note=text),
        ]
        answers = {"3.1": f"def f(): return {text!r}\n{text}"}
        results.append(result(text, exercises=exercises, file=f"{text}/{text}.ipynb", notes=[text], answers=answers))
        results.append(result(text, "06", [], status=["invalid", "fault"][i % 2], reason=text, notes=[text] * 3))
    unread = [Unread(text, text) for text in HOSTILE]
    pairs = [Pair(a, b, "3.1", 0.91, 30) for a, b in zip(HOSTILE, HOSTILE[1:])]
    return results, unread, pairs


def absent(student="nora", chapter="03", **more):
    """The row of a student who handed nothing in."""
    return result(student, chapter, [], status="missing", submitted="", file="", reason="nothing was handed in", **more)


def whole(results, unread=(), pairs=(), remarks=()):
    return page.report(results, unread, pairs, CHAPTERS, remarks, datetime(2026, 3, 2, tzinfo=UTC))


class Reader(HTMLParser):
    """Checks that elements nest, and keeps tags, attributes and text."""

    VOID = {"meta", "br", "input", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    def attributes_of_first(self):
        """Those of the first element: a list of (name, value)."""
        first = self.tags[0]
        return [(name, value) for tag, name, value in self.attributes if tag == first]


def rows_of(results):
    return list(csv.DictReader(io.StringIO(tables.grades(results, CHAPTERS))))


# The table


def test_grades_csv():
    late = result("ben", submitted="2026-03-02T13:00:00+00:00", exercises=[exercise("3.1", "wrong"), exercise("3.10")])
    rows = rows_of([result(), late, result("ben", "06")])
    nbgraders = (
        "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,late_submission_penalty,score"
    )
    assert ",".join(rows[0]) == f"{nbgraders},max_score,3.1,3.2,3.10,6.1"
    assert list(rows[0].values())[:4] == [
        "03_convolution",
        "2026-03-01T12:00:00+00:00",
        "2026-03-01T10:00:00+00:00",
        "anna",
    ]
    ben = rows[1]
    assert [ben[k] for k in ("3.1", "3.2", "3.10", "6.1")] == ["0", "1.5", "3", ""]
    assert [ben[k] for k in ("raw_score", "late_submission_penalty", "score", "max_score")] == [
        "4.5",
        "0.9",
        "3.6",
        "6",
    ]
    assert rows[2]["6.1"] == "2" and rows[2]["3.1"] == ""


def test_no_cell_becomes_a_formula():
    results, _, _ = hostile_class()
    text = tables.grades(results, CHAPTERS)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(results) and all(None not in row for row in rows)
    for row in rows:
        student = row["student_id"]
        assert not re.match(r"\s*[=+\-@\t\r＝]", student) and student.isprintable()
        for part in re.split(r"[;,|]", student):  # a spreadsheet may take these for separators
            assert not re.match(r"\s*[=+@]", part)
    assert words.cell("Anne-Marie O'Hara + Co") == "Anne-Marie O'Hara + Co" and words.cell("=1") == "'=1"


NAMED = {"first_name": "Jane", "last_name": "Doe", "mail": "jane@uni.example", "login": "jdoe", "number": "S1"}
CAME = {  # from an LMS, under its names
    "canvas": ("doejane_LATE_4711_99001_03_convolution-1.ipynb", "doejane_LATE_4711_99001_03_convolution.html"),
    "moodle": (
        "Jane Doe_4711_assignsubmission_file_/my work/03.ipynb",
        "Jane Doe_4711_assignfeedback_file_03_convolution.html",
    ),
}


def table_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_names_and_mails_of_the_roster_are_filled_in_and_who_is_missing_is_a_row():
    rows = rows_of([result("doejane", **NAMED), absent()])
    assert [rows[0][k] for k in ("student_id", "last_name", "first_name", "email")] == [
        "doejane", "Doe", "Jane", "jane@uni.example",
    ]  # fmt: skip
    assert [rows[1][k] for k in ("student_id", "timestamp", "score", "max_score", "3.1")] == ["nora", "", "0", "6", "0"]


def test_the_wide_table_has_a_row_for_each_student():
    results = [result("doejane", lms_id="4711", **NAMED), result("doejane", "06"), absent(), result("=ben", "06")]
    rows = table_of(tables.wide(results, {"03": "Folding", "06": "06_lenet"}))
    assert list(rows[0]) == [
        "student_id", "last_name", "first_name", "email", "login", "lms_id", "Folding", "06_lenet", "total",
    ]  # fmt: skip
    assert list(rows[0].values()) == ["doejane", "Doe", "Jane", "jane@uni.example", "jdoe", "4711", "6", "2", "8"]
    assert [list(row.values())[-3:] for row in rows[1:]] == [["0", "", "0"], ["", "2", "2"]]
    assert rows[2]["student_id"] == "'=ben"


def test_moodles_worksheet_has_the_participants_numbers():
    results = [result("Jane Doe", file=CAME["moodle"][0], **NAMED), absent(lms_id="4712", first_name="Nora")]
    rows = table_of(tables.moodle(results))
    assert list(rows[0].values()) == ["Participant 4711", "Jane Doe", "jane@uni.example", "6", "6", "-"]
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(rows[0]), "what Moodle's import asks for"
    assert (rows[1]["Identifier"], rows[1]["Full name"], rows[1]["Grade"]) == ("Participant 4712", "Nora", "0")


def test_canvas_gradebook_has_its_ids_and_the_points_possible():
    results = [result("doejane", file=f"s.zip/{CAME['canvas'][0]}", section="A", **NAMED), absent(lms_id="4712")]
    rows = table_of(tables.canvas(results, {"03": "Folding (77)"}))
    assert list(rows[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Folding (77)"]
    assert rows[0]["Student"] == "    Points Possible" and rows[0]["Folding (77)"] == "6"
    assert list(rows[1].values()) == ["Doe, Jane", "4711", "S1", "jdoe", "A", "6"]
    assert list(rows[2].values()) == ["nora", "4712", "", "", "", "0"]


ORIGINS = {
    "s.zip/doejane_4711_99001_03_convolution.ipynb": ("Canvas", "4711", "doejane_4711_99001_"),
    "doejane_LATE_4711_99001_my_own_name.ipynb": ("Canvas", "4711", "doejane_LATE_4711_99001_"),
    "anon_x7Yz9_99001_03.ipynb": ("Canvas", "anon_x7Yz9", "anon_x7Yz9_99001_"),
    "LATE_anon_x7Yz9_99001_03.ipynb": ("Canvas", "anon_x7Yz9", "LATE_anon_x7Yz9_99001_"),
    "Jane Doe_4711_assignsubmission_file/03.ipynb": ("Moodle", "4711", "Jane Doe_4711_assignfeedback_file_"),
    "Jane Doe_4711_assignsubmission_file_03.ipynb": ("Moodle", "4711", "Jane Doe_4711_assignfeedback_file_"),
    "Participant 12_4711_assignsubmission_file_/a.ipynb": (
        "Moodle", "4711", "Participant 12_4711_assignfeedback_file_",
    ),
    "anna_03_convolution.ipynb": None,
    "anna/03_convolution.ipynb": None,
    "": None,
}  # fmt: skip


@pytest.mark.parametrize("path", ORIGINS)
def test_where_a_submission_came_from(path):
    came = lms.origin(path)
    assert (came and (came.system, came.id, came.prefix)) == ORIGINS[path]


# Feedback


@pytest.mark.parametrize("system", CAME)
def test_feedback_is_packed_under_the_names_that_an_upload_wants(tmp_path, system):
    file, member = CAME[system]
    paths = write(tmp_path, [result("doejane", file=file, **NAMED), result("ben"), absent()])
    zipped = tmp_path / system / "03_convolution-feedback.zip"
    assert zipped in paths and not (tmp_path / ({*CAME} - {system}).pop()).exists()
    with zipfile.ZipFile(zipped) as archive:
        assert archive.namelist() == [member], "whose file did not come from there has no name that it would take"
        assert archive.read(member) == (tmp_path / "feedback/doejane/03_convolution.html").read_bytes()
    before = zipped.read_bytes()
    write(tmp_path, [result("doejane", file=file, **NAMED)])
    assert zipped.read_bytes() == before
    assert len(list((tmp_path / system).iterdir())) == 2 and not (tmp_path / "feedback" / "nora").exists()


def test_no_name_in_an_upload_leads_elsewhere():
    files = [
        "..\\..\\x_4711_assignsubmission_file_/a.ipynb",
        ".x\x00:_4711_99001_03.ipynb",
        "~a_4711_99001_\ud800.ipynb",
    ]
    packs = feedback.packed(["x"] * 3, [result(str(i), file=file) for i, file in enumerate(files)], CHAPTERS)
    members = [name for data in packs.values() for name in zipfile.ZipFile(io.BytesIO(data)).namelist()]
    assert len(members) == 3
    for member in members:
        assert re.fullmatch(r"[^\\/:\x00]*_4711_\w+_03_convolution\.html", member) and member[0] not in ".~"


def test_feedback_as_a_page_shows_the_answer_with_its_verdict():
    exercises = [exercise("3.1", "wrong", hint="Add one.", message="size(5) gave 2"), exercise("3.2"), exercise("3.10")]
    own = result("ben", exercises=exercises, notes=["SECRET"], digests={"3.1": "SECRET"})
    own["answers"] = {"3.1": "def size(n):\n    return n < 2", "3.10": None}
    text = page.feedback(own, CHAPTERS)
    read = Reader(text)
    for said in ("Add one.", "size(5) gave 2", "def size(n):\n    return n < 2", "9 of 24 hidden cases", "4.5 of 6"):
        assert said in read.text, said
    assert "SECRET" not in text and "script-src 'none'" in text and "<script" not in text
    fault = page.feedback(result(exercises=[], status="fault", reason="/srv/grader/worker.py died"), CHAPTERS)
    assert "srv" not in fault and "not of your answers" in fault
    broken = Reader(page.feedback(result(exercises=[], status="invalid", reason="it is empty"), CHAPTERS))
    assert "could not be graded: it is empty" in " ".join(broken.text.split()) and "Exercise" not in broken.text


def test_feedback_as_a_page_is_sealed():
    for r in hostile_class()[0]:
        sealed(page.feedback(r, CHAPTERS), scripts=0)


def test_feedback_says_what_is_needed_and_no_more():
    exercises = [
        exercise("3.1", "wrong", hint="Add one.", message="size(5, 3) gave 2, expected 3", note="two cells"),
        exercise("3.2", "crashed", message="ZeroDivisionError\n    line 3"),
        exercise("3.10", message="exercise 3.10 ✓ 24 cases"),
    ]
    secret = {
        "digests": {"3.1": "SECRET"},
        "notes": ["looks like that of another student: SECRET"],
        "answers": {"3.1": "SECRET"},
    }
    late = result("ben", exercises=exercises, submitted="2026-03-01T12:00:01+00:00", **secret)
    text = feedback.feedback(late, CHAPTERS)
    assert "SECRET" not in text and "✓ 24 cases" not in text
    for said in (
        "4.05 of 6",
        "1 day begun",
        "0.45 of 4.5 points less",
        "9 of 24 hidden cases",
        "Add one.",
        "gave 2, expected 3",
    ):
        assert said in text
    assert "## Exercise 3.2 ! crashed: 1.5 of 2" in text and "Right by the \\*lecture's\\* convention" in text
    assert "## Exercise 3.10 ✓ right: 3 of 3" in text and "Note: two cells" in text


def test_feedback_of_what_was_not_graded():
    text = feedback.feedback(result(exercises=[], status="invalid", reason="it is empty"), CHAPTERS)
    assert "could not be graded:** it is empty" in text and "Exercise" not in text and "0 of 6" in text
    fault = feedback.feedback(result(exercises=[], status="fault", reason="/srv/grader/worker.py died"), CHAPTERS)
    assert "srv" not in fault and "not of your answers" in fault


def test_feedback_is_plain_markdown_whatever_is_in_it():
    mistune = pytest.importorskip("markdown_it")
    for r in hostile_class()[0]:
        text = feedback.feedback(r, CHAPTERS)
        html = mistune.MarkdownIt("gfm-like", {"linkify": False}).render(text)
        read = Reader(html)
        assert not {"script", "img", "a"} & set(read.tags)
        assert len([t for t in read.tags if t == "h1"]) == 1
        assert "\x1b" not in text and "\u202e" not in text


# JUnit


def test_junit():
    exercises = [exercise("3.1", "wrong", hint="Add one."), exercise("3.2", "timeout"), exercise("3.10")]
    results = [result(exercises=exercises), result("ben", exercises=[], status="fault", reason="the worker died")]
    top = xml.fromstring(junit.junit(results, CHAPTERS))
    anna, ben = top.findall("testsuite")
    assert (anna.get("name"), anna.get("tests"), anna.get("failures"), anna.get("errors")) == (
        "anna 03_convolution",
        "3",
        "2",
        "0",
    )
    assert (
        anna.find("testcase/failure").get("message") == "Add one."
        and anna.find("testcase/failure").get("type") == "wrong"
    )
    assert (ben.get("tests"), ben.get("errors")) == ("1", "1") and ben.find("testcase/error").get("type") == "fault"


def test_junit_is_xml_whatever_is_in_it():
    results, _, _ = hostile_class()
    top = xml.fromstring(junit.junit(results, CHAPTERS).encode())
    assert len(top) == len(results) and not list(top.iter("script"))


# The page


def test_the_page_says_it_all():
    wrong = [exercise("3.1", "wrong", hint="Add one."), exercise("3.2", "open"), exercise("3.10", "missing")]
    results = [result(f"s{i}", exercises=wrong) for i in range(7)] + [
        result("ben"),
        result("cleo", "06", [], status="invalid", reason="half written"),
        result("dora", "06", submitted="2026-03-03T00:00:00+00:00", notes=["handed in 2 times"]),
    ]
    results[0]["answers"] = results[1]["answers"] = {"3.1": "def alike(): ..."}
    text = whole(results, [Unread("x/y.pdf", "not a notebook")], [Pair("s0", "s1", "3.1", 0.93, 40)], ["nobody is ana"])
    read = Reader(text)
    for said in (
        "03_convolution",
        "Add one.",
        "half written",
        "x/y.pdf",
        "handed in 2 times",
        "nobody is ana",
        "def alike()",
    ):
        assert said in read.text
    assert "Right by the *lecture's* convention." in read.text and "93\u202f%" in read.text
    assert "NOT SANDBOXED" not in read.text
    labels = [value for tag, name, value in read.attributes if tag == "svg" and name == "aria-label"]
    assert "exercise 3.1: 1 right, 7 wrong" in labels and "exercise 6.1: 1 right, 1 not graded" in labels
    assert labels.index("exercise 3.2: 1 right, 7 still open") < labels.index(
        "exercise 3.10: 1 right, 7 no answer found"
    )
    assert re.search(r'<span class="count">7</span>.*?Add one\.', text, re.DOTALL)


def test_a_missing_sandbox_is_said_loudly():
    text = whole([result(), result("ben", sandboxed=False)])
    assert "NOT SANDBOXED" in text and "1 of 2 results" in text and 'role="alert"' in text


def sealed(text, scripts):
    """Hold that a page runs and loads nothing but its own, and shows nothing that leads an eye astray. Returns it,
    read."""
    read = Reader(text)
    assert read.tags.count("script") == scripts
    assert not {"img", "iframe", "link", "object", "base", "form"} & set(read.tags)
    policy = next(v for _, k, v in read.attributes if k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert page.digest(style) in policy
    if scripts:
        assert page.digest(re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]) in policy
    for tag, name, value in read.attributes:
        assert not name.startswith("on") and name not in ("style", "src", "srcset", "action"), (tag, name)
        if name == "href":
            assert re.fullmatch(r"#[\w-]+", value)
    assert "url(" not in style and "@import" not in style and "http" not in style
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    return read


def test_the_page_is_sealed():
    results, unread, pairs = hostile_class()
    read = sealed(whole(results, unread, pairs, HOSTILE), scripts=1)
    for student in (EVIL, "محمد رضا"):
        assert student in read.text


def test_headings_go_down_one_level_at_a_time():
    results, unread, pairs = hostile_class()
    for text in (whole([*results, absent()], unread, pairs, HOSTILE), page.feedback(results[0], CHAPTERS)):
        levels = [int(tag[1]) for tag in Reader(text).tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(below <= above + 1 for above, below in zip(levels, levels[1:]))


def test_each_answer_stands_beside_its_verdict_with_what_an_override_needs():
    exercises = [exercise("3.1", "wrong", hint="Add one."), exercise("3.2"), exercise("3.10", "missing")]
    own = result('Zoë "Z" Li', exercises=exercises)
    own["answers"] = {"3.1": "def nearly(): ...", "3.2": "def right(): ...", "3.10": None}
    text = whole([own])
    blocks = re.findall(r'<article class="exercise (\w+)" id="([\w-]+)"(.*?)>(.*?)</article>', text, re.DOTALL)
    assert [(state, key) for state, key, *_ in blocks] == [
        ("wrong", "s0-3-1"), ("passed", "s0-3-2"), ("missing", "s0-3-10"),
    ]  # fmt: skip
    assert "Add one." in blocks[0][3] and "def nearly(): ..." in blocks[0][3] and "def right(): ..." in blocks[1][3]
    known = dict(Reader(f"<i{blocks[0][2]}></i>").attributes_of_first())
    assert (known["data-exercise"], known["data-of"], known["data-points"]) == ("3.1", "1", "0")
    assert tomllib.loads(f"student = {known['data-student']}")["student"] == own["student"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_can_be_written_in_the_rules_as_the_page_writes_it(tmp_path, name):
    own = result(name)
    written = re.search(r'data-student="(.*?)"', whole([own]))[1]
    toml = Reader(f'<i data-student="{written}"></i>').attributes_of_first()[0][1]
    file = tmp_path / "rules.toml"
    file.write_text(f'[[override]]\nstudent = {toml}\nexercise = "3.1"\npoints = 0.5\nreason = "so"\n')
    assert rules.apply(rules.read_rules(file, STARS), own)["exercises"][0]["points"] == 0.5


def test_means_are_over_the_class():
    text = whole([result(), absent(), absent("otto")])
    figures = {word: re.sub("<.*?>", "", figure) for word, figure in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)}
    assert (figures["students"], figures["submission"], figures["missing"]) == ("3", "1", "2")
    assert figures["of all points"] == figures["of exercises right"] == "33\u202f%"
    assert "Means are over the whole class" in text and "Means are over" not in whole([result()])


def test_texts_are_cut_wherever_they_are_shown(tmp_path):
    long = "x" * 50_000
    exercises = [exercise("3.1", "wrong", hint=long, message=long, note=long), exercise("3.2", "crashed", message=long)]
    own = result(long, exercises=exercises, notes=[long], file=f"{long}/{long}.ipynb", reason=long, name=long)
    own["answers"] = {"3.1": long}
    own["exercises"][0]["override"] = long
    broken = result(long, "06", [], status="invalid", reason=long)
    texts = [p.read_text() for p in write(tmp_path, [own, broken], unread=[Unread(long, long)], remarks=[long])]
    assert len(texts) == 8
    for text in texts:
        assert max(map(len, re.findall("x+", text))) <= words.MOST_SOURCE
    tables_only = [p.read_text() for p in tmp_path.glob("*.csv")]
    assert all("x" * (words.MOST_ID + 1) not in text for text in tables_only)
    assert "x" * (words.MOST_LINE + 1) not in re.sub(
        "<pre.*?</pre>", "", (tmp_path / "report.html").read_text(), flags=re.S
    )


def test_two_long_names_that_begin_alike_still_differ():
    assert (
        words.name("a" * 200 + "1") != words.name("a" * 200 + "2") and len(words.name("a" * 10_000)) <= words.MOST_NAME
    )


def test_ids_are_unique_and_links_lead_somewhere():
    results, unread, pairs = hostile_class()
    read = Reader(whole(results, unread, pairs))
    ids = [value for _, name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for _, name, v in read.attributes if name == "href"} <= set(ids)


def test_tables_have_captions_and_headings():
    results, unread, pairs = hostile_class()
    read = Reader(whole(results, unread, pairs))
    assert read.tags.count("table") == read.tags.count("caption") == read.tags.count("thead")
    assert all(value in ("row", "col") for tag, name, value in read.attributes if tag == "th" and name == "scope")


def test_an_empty_class():
    assert "Nothing was handed in" in Reader(whole([])).text
    assert "x/y.pdf" in Reader(whole([], [Unread("x/y.pdf", "odd")])).text
    assert rows_of([]) == [] and len(xml.fromstring(junit.junit([], CHAPTERS))) == 0


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast(which):
    themes = [
        dict(re.findall(r"--([\w-]+):\s*(#\w+)", block))
        for block in re.findall(r":root\s*\{(.*?)\}", page.text_of("style.css"), re.DOTALL)
    ]
    theme = {
        k: v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:]) for k, v in (themes[0] | themes[which]).items()
    }
    on = [("on", state) for state in ("passed", "wrong", "crashed", "timeout", "missing")] + [("on-open", "open")]
    on += [(ink, paper) for ink in ("ink", "soft", "accent", "bad") for paper in ("page", "card", "banner")]
    for ink, paper in on:
        light, dark = sorted((luminance(theme[ink]), luminance(theme[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


# Files


def write(folder, results, **more):
    return writing.write_reports(folder, results, chapters=CHAPTERS, made=datetime(2026, 3, 2, tzinfo=UTC), **more)


def test_the_files(tmp_path):
    results, unread, pairs = hostile_class()
    paths = write(tmp_path, results, unread=unread, pairs=pairs, remarks=HOSTILE)
    on_disk = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert on_disk == set(paths) and len(paths) == 4 + 2 * len(results)
    assert (tmp_path / "feedback" / safe_name(EVIL) / "03_convolution.md").exists()
    assert all(p.read_text(encoding="utf-8") for p in paths)
    before = {p: p.read_bytes() for p in paths}
    assert {
        p: p.read_bytes() for p in write(tmp_path, results[::-1], unread=unread, pairs=pairs, remarks=HOSTILE)
    } == before


def test_a_vanished_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "gone", [result()])
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, [result()])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, [result("ben")])
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_crashes_are_grouped_by_their_exception():
    crashes = ["size(5) raised IndexError: list index out of range", "size(5) raised KeyError: 3", "no name"]
    crashed = [result(f"s{i}", exercises=[exercise("3.1", "crashed", message=m)]) for i, m in enumerate(crashes)]
    text = Reader(whole(crashed)).text
    assert all(said in text for said in ("crashed with IndexError", "crashed with KeyError"))
