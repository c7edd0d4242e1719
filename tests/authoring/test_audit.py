"""`course audit`: what it finds in a small chapter, what it records, and mutants that do not end."""

import json
import shutil
import subprocess
import sys

import pytest
from helpers import point_at

from course.authoring import audit, build, chapters
from course.files import write

HANGING = '''
# Exercise 90.1
def twice(x):
    """Twice x."""
    ### BEGIN SOLUTION
    import os
    done = 0
    while done < 1:
        done += 1
    if done > 1:
        os._exit(1)
    return 2 * x
    ### END SOLUTION
'''


@pytest.fixture
def course(built_small, tmp_path, monkeypatch):
    """A small course of one's own, with a function that runs `course audit` in it."""
    shutil.copytree(built_small, tmp_path, dirs_exist_ok=True)
    point_at(monkeypatch, tmp_path)

    def run(*words):
        return subprocess.run([sys.executable, "-m", "course", "audit", *words], capture_output=True, text=True)

    return run


def source():
    return chapters.sources()[0]


def changed(*pairs):
    """Change the small chapter's source, and build it."""
    text = source().read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    source().write_text(text)
    build.build(chapters.read_chapter(source()))


def test_accepted_mutants_are_printed_recorded_and_known_the_next_time(course):
    result = course()
    assert result.returncode == 1 and "90_adding: 90.1, 90.2, 90.3 audited in" in result.stdout, result.stderr
    assert "  accepted: 'step < 0' for 'step < 1' in" not in result.stdout
    record = audit.load("90")
    assert list(record) == ["90.1", "90.2", "90.3"] and not record["90.1"]["survivors"]
    assert "  accepted: '0' for '1' in 'def __call__(self, step=1):'" in result.stdout  # no case leaves it out
    assert "      + def __call__(self, step=0):" in result.stdout
    assert audit.outdated(chapters.read_chapter(source())) == []
    again = course("90")
    assert again.returncode == 1 and "nothing has changed" in again.stdout
    assert "  accepted: '0' for '1' in 'def __call__(self, step=1):'" in again.stdout
    assert audit.load("90") == record


def test_only_what_has_changed_is_audited_again(course):
    text, chapter = source().read_text(), chapters.read_chapter(source())
    assert audit.outdated(chapter) == ["90.1", "90.2", "90.3"]
    write(audit.path_of("90"), json.dumps({n: {"digest": mark} for n, mark in audit.digests(chapter).items()}))
    assert audit.outdated(chapter) == [] and audit.outdated(chapter, force=True) == ["90.1", "90.2", "90.3"]
    source().write_text(
        text.replace("Adding", "Sums").replace("That is three", "It is three").replace("a + b  #", "b + a  #")
    )
    assert audit.outdated(chapters.read_chapter(source())) == ["90.1"]
    source().write_text(text.replace('"""Minus x."""\n    ### BEGIN', '"""Minus that."""\n    ### BEGIN'))
    assert audit.outdated(chapters.read_chapter(source())) == ["90.2"]


def test_a_declaration_counts_while_its_mutant_is_accepted(course):
    name = "'0' for '1' in 'def __call__(self, step=1):'"
    changed(("@ex.drive", f'ex.equivalent("{name}", "whoever counts says the step")\n\n\n@ex.drive'))
    course()
    one = audit.load("90")["90.3"]
    assert one["equivalent"] == 1 and name not in [mutant["name"] for mutant in one["survivors"]]
    before = audit.path_of("90").read_text()
    changed(
        ("yield ([1, 0],)", "yield ([1, 0],)\n    yield ([0],)"),
        ("'0' for '1' in 'def __call", "'7' for '1' in 'def __call"),
    )
    result = course()
    assert result.returncode == 2 and "is declared equivalent, and no mutant that is accepted" in result.stderr
    assert audit.path_of("90").read_text() == before


def test_mutants_that_hang_or_end_their_process_are_rejected(course):
    text = source().read_text()
    old = text[text.index("# Exercise 90.1") : text.index("    ### END SOLUTION\n") + len("    ### END SOLUTION\n")]
    changed((old, HANGING.lstrip()))
    result = course("90")
    one = audit.load("90")["90.1"]
    names = [mutant["name"] for mutant in one["survivors"]]
    assert one["mutants"] == 36, result.stdout + result.stderr
    assert "nothing in 'os._exit(1)'" in names and "always 'done > 1' in 'if done > 1:'" not in names
    assert (
        "'done >= 1' for 'done > 1' in 'if done > 1:'" not in names and "another operator in 'done += 1'" not in names
    )


def test_a_chapter_that_is_not_built_is_not_audited(course):
    source().write_text(source().read_text().replace("yield ([1, 2, 3],)", "yield ([1, 2, 4],)"))
    result = course("90")
    assert (
        result.returncode == 2 and "the key of chapter 90 is not made from its source: course build 90" in result.stderr
    )
    assert not audit.path_of("90").exists()
