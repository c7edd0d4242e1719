"""A chapter's key: what it keeps, and the one sentence that a key gets which cannot be used."""

import dataclasses
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import class_key, every_kind, key_of, same

from course.exercises import keys, values
from course.exercises.checking import check
from course.exercises.outcomes import Outcome, Raised


def test_a_key_keeps_values_of_every_kind(seed):
    wanted = every_kind(np.random.default_rng(seed))
    cases = [(value, [value]) for value in wanted]
    error = Raised(("KeyError", "Exception"), "'ü'", ("line 1 of f: {}[0]",))
    expected = [Outcome(value) for value in wanted[:-1]] + [Outcome(raised=error)]
    mistakes = [
        keys.Mistake("right", "It is right after all.", expected),
        keys.Mistake("shifted", "By one.", expected[1:] + expected[:1]),
        keys.Mistake("strange", "No number.", [Outcome(object())] * len(cases)),
    ]
    one = key_of(cases, expected, mistakes, arguments=("x", "y"), hints=("First.", "Then."))
    short = {
        "1.a": keys.ShortQuestion(5, "So it is.", "Count."),
        "1.b": keys.ShortQuestion((2, 3)),
        "1.c": keys.ShortQuestion("up", choices=("up", "down")),
    }
    chapter = keys.ChapterKey("01", "01_x", "a digest", ["import math"], {"1.1": one}, {"1.1": "# ü"}, "X", short)
    again = keys.from_text(keys.as_text(chapter), "01.json", "-")
    key = again.exercises["1.1"]
    assert again == chapter and key.digest == one.digest
    assert key.count == len(cases) and same(key.cases, cases) and same(key.question.cases, cases)
    assert [(m.name, m.hint) for m in key.mistakes] == [(m.name, m.hint) for m in mistakes]
    for kept, put in [(key.expected, expected), *((key.mistakes[i].outcomes, mistakes[i].outcomes) for i in (0, 1))]:
        assert [outcome.raised for outcome in kept] == [outcome.raised for outcome in put]
        assert all(same(a.value, b.value) for a, b in zip(kept, put, strict=True))
    assert {repr(outcome.value) for outcome in key.mistakes[2].outcomes} == {"an object of type object"}


def test_what_is_no_plain_data_can_be_neither_asked_nor_expected():
    with pytest.raises(values.WireError):
        keys.pack_questions([({1, 2},)])
    with pytest.raises(values.WireError):
        keys.pack_answers([Outcome({1, 2})], [])


def test_questions_alone_hold_nothing_that_answers_them(small):
    key = class_key("90", b"a" * 16)
    asked = key.questions_only()
    assert not asked.solutions and asked.made_from == key.made_from and asked.definitions == key.definitions
    assert all(one.answers == "" for one in asked.exercises.values())
    unpacked = [values.unpack(one.questions) for one in asked.exercises.values()]
    text = keys.as_text(asked) + json.dumps(unpacked)
    for word in ("return 2 * x", "three times", "thrice", "sign is kept", "starts again", "forgets", "cumsum"):
        assert word not in text
    for outcome in key.exercises["90.1"].expected:
        assert repr(outcome.value) not in text
    assert [asked.exercises[number].cases for number in key.exercises] == [one.cases for one in key.exercises.values()]


@pytest.fixture
def key_file(small, tmp_path, monkeypatch):
    """The small chapter's key, to be damaged at will."""
    shutil.copytree(small / "keys", tmp_path / "keys")
    monkeypatch.setenv("COURSE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys" / "90.json"


def refused(words):
    """Hold that `check` says one sentence: what is wrong with which file, and the remedy."""
    with pytest.raises(keys.BadKey) as caught:
        check("90.1", lambda x: 2 * x)
    (said,) = caught.value._render_traceback_()
    remedy = "install the course again, or, where solutions/ is at hand, run: course build 90"
    assert words in said and said.endswith(f": {remedy}")


DAMAGED = {
    "empty": lambda text: "",
    "begun": lambda text: text[:1],
    "cut in the first line": lambda text: text[:10],
    "cut in the middle": lambda text: text[: len(text) // 2],
    "cut at the end": lambda text: text[:-3],
    "not text": lambda text: b"\x80\xff" + text.encode(),
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
    "nothing": lambda text: "null",
    "deep": lambda text: "[" * 100_000,
    "merged by hand": lambda text: text.replace("{", "<<<<<<< HEAD\n{", 1),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_key_is_one_sentence(key_file, name):
    damaged = DAMAGED[name](key_file.read_text(encoding="utf-8"))
    key_file.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    refused("keys/90.json is damaged")


def needed(kind):
    """The fields that a key's part must have."""
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing]


FIELDS = [*needed(keys.ChapterKey), *(f"90.2 {name}" for name in needed(keys.ExerciseKey))]


@pytest.mark.parametrize("field", ["format", *FIELDS])
def test_a_key_that_lacks_a_part_is_one_sentence(key_file, field):
    form = json.loads(key_file.read_text(encoding="utf-8"))
    number, _, name = field.rpartition(" ")
    del (form["exercises"][number] if number else form)[name]
    key_file.write_text(json.dumps(form), encoding="utf-8")
    refused("keys/90.json is damaged")


def test_a_key_of_another_format_says_so(key_file):
    form = json.loads(key_file.read_text(encoding="utf-8"))
    key_file.write_text(json.dumps(form | {"format": keys.FORMAT + 1, "news": 1}), encoding="utf-8")
    refused(f"keys/90.json was made by another version of the course (format {keys.FORMAT + 1}, not {keys.FORMAT})")


@pytest.mark.parametrize(
    "number, said",
    [
        ("90.9", "there is no exercise '90.9'; this chapter has 90.1, 90.2, 90.3"),
        (90.1, "there is no exercise 90.1; this chapter has 90.1, 90.2, 90.3"),
        ("89.1", "there is no chapter '89.1' with a key in keys/; there are: 90"),
        ("", "there is no chapter '' with a key in keys/; there are: 90"),
        ("²", "there is no chapter '²' with a key in keys/; there are: 90"),
    ],
)
def test_an_unknown_number_is_one_sentence(key_file, number, said):
    with pytest.raises(keys.BadKey) as caught:
        check(number, lambda x: 2 * x)
    assert str(caught.value) == said


def test_a_missing_key_is_one_sentence(key_file):
    key_file.unlink()
    refused(f"there are no keys in {key_file.parent}")
    key_file.mkdir()
    refused(f"{key_file} cannot be read (Is a directory)")


def test_a_key_that_was_made_anew_is_read_anew(key_file, capsys):
    check("90.1", lambda x: 2 * x)
    key = keys.load("90")
    renamed = {"90.7": replace(key.exercises["90.1"], number="90.7")}
    key_file.write_text(keys.as_text(replace(key, exercises=renamed)), encoding="utf-8")
    check("90.7", lambda x: 2 * x)
    assert capsys.readouterr().out == "exercise 90.1 ✓ 8 cases\nexercise 90.7 ✓ 8 cases\n"
