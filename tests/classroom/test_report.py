"""What people get to see of a class: complete, in order, and harmless whatever the students wrote."""

import csv
import errno
import io
import os
import re
import xml.etree.ElementTree as xml
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from course import files
from course.classroom import rules
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


# Feedback


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


def test_the_page_is_sealed():
    results, unread, pairs = hostile_class()
    text = whole(results, unread, pairs, HOSTILE)
    read = Reader(text)
    assert read.tags.count("script") == 1 and not {"img", "iframe", "link", "object", "base", "form"} & set(read.tags)
    policy = next(v for _, k, v in read.attributes if k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    script, style = (re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1] for tag in ("script", "style"))
    assert page.digest(script) in policy and page.digest(style) in policy
    for tag, name, value in read.attributes:
        assert not name.startswith("on") and name not in ("style", "src", "srcset", "action"), (tag, name)
        if name == "href":
            assert re.fullmatch(r"#[\w-]+", value)
    assert "url(" not in style and "@import" not in style and "http" not in style
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    for student in (EVIL, "محمد رضا"):
        assert student in read.text


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
