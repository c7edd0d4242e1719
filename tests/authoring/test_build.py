"""Building a chapter: what an edit asks for is done and nothing else, and what the tests would refuse is refused."""

import shutil
import subprocess

import pytest
from helpers import TWICE, answered, point_at

from course.authoring import build, chapters, evidence, executing, notebooks, skeleton
from course.exercises import keys
from course.files import load_notebook, notebook_text

SOURCE = "90_adding.py"
FLOATS = "        yield float(rng.normal())\n\n\n@ex.oracle\ndef _(x):\n    return x + x"


@pytest.fixture
def course(built_small, tmp_path, monkeypatch):
    """A copy of the built small chapter to edit: the path of its source."""
    shutil.copytree(built_small, tmp_path / "course")
    point_at(monkeypatch, tmp_path / "course")
    return tmp_path / "course" / "solutions" / SOURCE


def edit(source, before, after):
    text = source.read_text(encoding="utf-8")
    assert before in text
    source.write_text(text.replace(before, after), encoding="utf-8")
    return chapters.read_chapter(source)


@pytest.fixture
def ran(monkeypatch):
    """The code cells that the build executes, as they begin."""
    cells, execute = [], executing.execute

    def spy(notebook, *arguments, **more):
        cells.extend(cell.source.splitlines()[0] for cell in notebook.cells if cell.cell_type == "code")
        return execute(notebook, *arguments, **more)

    monkeypatch.setattr(executing, "execute", spy)
    return cells


def test_it_gives_the_same_bytes_again(course, ran):
    chapter = chapters.read_chapter(course)
    paths = (chapter.solution, chapter.notebook, course.parent.parent / "keys" / "90.json")
    before = [path.read_bytes() for path in paths]
    assert build.build(chapter) is False and ran == []
    assert build.build(chapter, force=True) is False and ran
    assert [path.read_bytes() for path in paths] == before and build.differences(chapter) == []


def test_an_edit_of_text_runs_nothing(course, ran):
    chapter = edit(course, "# Sum:", "# The sum:")
    assert len(build.differences(chapter)) == 2
    assert build.build(chapter) is True and ran == []
    assert build.differences(chapter) == []
    assert "lesson 3" in notebook_text(load_notebook(chapter.notebook))


def test_comments_and_docstrings_run_nothing(course, ran):
    chapter = edit(course, "    return a + b  # (90.1)", "    return a + b  # (90.1) the sum")
    build.build(chapter)
    assert ran == []


def test_an_edit_of_an_exercise_runs_its_check(course, ran):
    build.build(edit(course, "return 2 * x", "return x * 2"))
    assert [line for line in ran if "xercise" in line or "check" in line] == ["# Exercise 90.1", 'check("90.1", twice)']
    ran.clear()
    build.build(edit(course, "That is three times.", "That is thrice."))
    assert 'check("90.1", twice)' in ran and 'print("lesson", trained)' not in ran


def test_an_edit_of_a_question_asks_it_again(course, ran):
    chapter = edit(course, "Use your fingers.", "Count.")
    build.build(chapter)
    assert [line for line in ran if line.startswith(("ask", "check", "claim"))] == [
        'ask("90.a", 3, why="The sum of 1 and 2.", hint="Count.")'
    ]
    solution, learners = load_notebook(chapter.solution), load_notebook(chapter.notebook)
    (asked,) = (c for c in solution.cells if c.id == "question-90-a")
    assert asked.outputs[0].text == "question 90.a ✓ The sum of 1 and 2.\n"
    (asked,) = (c for c in learners.cells if c.id == "question-90-a")
    assert (asked.source, asked.outputs) == ('ask("90.a", ...)', []) and "fingers" not in notebook_text(learners)


def test_hints_reach_the_key_and_nothing_is_judged_otherwise(course, ran):
    before = keys.load("90").exercises["90.1"]
    build.build(edit(course, 'exercise("90.1")', 'exercise("90.1")\nex.hints("Add   it.", "To itself.")'))
    after = keys.load("90").exercises["90.1"]
    assert after.hints == ("Add it.", "To itself.") and after.digest == before.digest


def test_a_chapter_leads_on_and_back(course):
    skeleton.write_new("91_next")
    skeleton.write_new("89_before")
    cells = {c.id: c for c in notebooks.derive(chapters.read_chapter(course)).cells}
    assert cells["navigation"].source == (
        "Next: [91. Next](91_next.ipynb) · Previous: [89. Before](89_before.ipynb) · "
        "[All chapters](../notebooks/index.ipynb)"
    )
    build.build(chapters.read_chapter(course))
    learners = load_notebook(chapters.read_chapter(course).notebook)
    assert learners.cells[-1].source.endswith("· [All chapters](index.ipynb)")
    resume = next(i for i, c in enumerate(learners.cells) if c.id == "resume")
    assert learners.cells[resume].source.endswith('from course import resume\n\nresume("90")')
    assert learners.cells[resume + 1].source.startswith("**Exercise 90.1 ★★**")
    assert not learners.cells[resume].outputs and "Back after a pause" in learners.cells[0].source


def test_an_edit_of_code_runs_everything(course, ran):
    chapter = edit(course, 'print("lesson", trained)', 'print("the lesson", trained)')
    build.build(chapter)
    assert "trained = add(1, 2)" in ran and 'check("90.3", Counter)' in ran
    assert "the lesson 3" in notebook_text(load_notebook(chapter.solution))


FOLDED = '# %% tags=["aside"]\n# @title Trains it\ntrained = add(1, 2)'


def test_an_aside_is_folded_in_both_notebooks_and_nothing_is_run(course, ran):
    before = chapters.read_chapter(course)
    chapter = edit(course, "# %%\ntrained = add(1, 2)", FOLDED)
    assert evidence.digest(chapter) == evidence.digest(before)
    assert build.build(chapter) is True and ran == [] and build.differences(chapter) == []
    for path in (chapter.solution, chapter.notebook):
        cells = load_notebook(path).cells
        (cell,) = (c for c in cells if "@title" in c.source)
        assert cell.metadata == {
            "cellView": "form",
            "course": {"aside": True, "role": "lesson"},
            "jupyter": {"source_hidden": True},
            "tags": ["hide-input"],
        }
        assert cell.outputs[0].text == "lesson 3\n"
        assert [c.id for c in cells if c.id != cell.id and "jupyter" in c.metadata] == []
    build.build(edit(course, FOLDED, "# %%\ntrained = add(1, 2)"))
    assert ran == [] and "source_hidden" not in notebook_text(load_notebook(chapter.notebook))


def test_a_folded_proof_is_compared_as_before(course, ran):
    chapter = edit(course, '# %%\nprove("90.1"', '# %% tags=["aside"]\n# @title Proof of (90.1)\nprove("90.1"')
    build.build(chapter)
    (cell,) = (c for c in load_notebook(chapter.notebook).cells if "@title" in c.source)
    assert cell.metadata.tags == ["nbval-check-output", "hide-input"] and "✓" in cell.outputs[0].text and ran == []


def test_an_edit_leaves_other_ids_alone(course):
    before = chapters.read_chapter(course)
    after = edit(course, "return a + b", "return b + a")
    ids, others = ([cell.id for cell in notebooks.derive(c).cells] for c in (before, after))
    assert sum(a != b for a, b in zip(ids, others, strict=True)) == 1


def test_a_failing_cell_names_its_line_and_writes_nothing(course):
    before = course.with_suffix(".ipynb").read_bytes()
    chapter = edit(course, "trained == 3", "trained == 4")
    line = course.read_text().splitlines().index('claim("90.1", "adding adds", trained == 4)') + 1
    with pytest.raises(build.BuildError, match=rf"90_adding.py:{line}: .*not true in this run"):
        build.build(chapter)
    assert course.with_suffix(".ipynb").read_bytes() == before


def test_an_error_inside_a_library_shows_the_authors_line(course):
    chapter = edit(course, "trained = add(1, 2)", "import json\n\ntrained = add(1, 2)\njson.loads('{')")
    with pytest.raises(build.BuildError) as caught:
        build.build(chapter)
    line = course.read_text().splitlines().index("json.loads('{')") + 1
    assert f"90_adding.py:{line}: JSONDecodeError" in str(caught.value) and "json.loads('{')" in str(caught.value)


@pytest.mark.parametrize(
    "before, after, words",
    [
        ('prove("90.1"', 'prove("90.2"', r"equation \(90.1\) is not proved"),
        ('prove("90.1"', 'prove("90.2"', "proves an equation that no"),
        ("  # (90.1)", "", r"no line of code says # \(90.1\)"),
        (r"\tag{90.1}", r"\tag{90.2}", r"equation \(90.2\) should be numbered \(90.1\)"),
        ('claim("90.1"', 'claim("90.3"', "claim 90.3 should be numbered 90.1"),
        ('check("90.2", mend)', "", "exercise 90.2 is never checked"),
        ("**Exercise 90.2 ★**", "**Exercise 90.2**", "exercise 90.2 has no heading with stars"),
        ("**Exercise 90.2 ★**", "**Exercise 90.2 ★★★★**", "has 4 stars"),
        ('ex = exercise("90.2", start="kept")', "", "exercise 90.2 has no grading cell"),
        ("    return 3 * x", "    return x + x", "the wrong answer thrice passes"),
        ("    return x * 2", "    return x * 3", "the right answer by_product does not pass, 0 of 8 cases"),
        ("trained = add(1, 2)", "trained = add(1, 2)\ntwice", "the lesson uses twice"),
        ('exercise("90.2", start="kept")', 'exercise("90.2", start="gone")', "starts from 'gone'"),
        ("    ### END SOLUTION\n\n\n# %% tags", "\n\n# %% tags", "### BEGIN SOLUTION"),
        (FLOATS, "        yield object()\n\n\n@ex.oracle\ndef _(x):\n    return 1", "cannot be kept"),
        ("    return x + x", "    return unknown + x", "its oracle fails: NameError: name .unknown. is not defined"),
        ("trained = add(1, 2)", "trained = add(1, 2", "90_adding.py:26: a cell is not Python"),
        ("# needs: [Python]", "# needs: [magic]", "needs 'magic'"),
        ("**Question 90.a.**", "Question.", r"90_adding.py:36: the text above does not ask it: \*\*Question 90.a"),
        ("Question 90.a", "Question 90.b", "question 90.b has no cell: add ask"),
        ('ask("90.a"', 'ask("90.b"', "question 90.b should be numbered 90.a"),
        ("**Question 90.a.**", "**Question 90.a.** **Question 90.b.**", "90.a, 90.b stand in one cell"),
        (', hint="Use your fingers."', "", 'question 90.a says nothing to an answer: add hint="..."'),
        ('ask("90.a", 3,', 'ask("90.a", "three",', "its answer is none of its choices"),
        ('ask("90.a", 3,', 'ask("90.a", {3},', "a question on the way is one call"),
        ('ask("90.a", 3,', 'ask("90.a", add(1, 2),', "a question on the way is one call"),
        ('ask("90.a", 3,', 'print()\nask("90.a", 3,', "a question on the way is one call"),
        ('exercise("90.1")', 'exercise("90.1")\nex.hints("a", "b", "c", "d")', "ex.hints takes one to 3 texts"),
        ("# title: Adding", "# titel: Adding", "no field 'title'"),
        ('# %%\ncheck("90.1"', '# %% tags=["aside"]\ncheck("90.1"', r"90_adding.py:\d+: a cell that a learner"),
        ("# %%\n# Exercise 90.1", '# %% tags=["aside"]\n# Exercise 90.1', "a cell that a learner works in is no aside"),
        ('# %%\nask("90.a"', '# %% tags=["aside"]\nask("90.a"', "90_adding.py:36: a cell that a learner works in"),
        ("# %%\ntrained", '# %% tags=["aside"]\ntrained', "90_adding.py:26: an aside begins with a line that says"),
        ("# %%\ntrained", '# %% tags=["asides"]\ntrained', r"90_adding.py:26: unknown tags \['asides'\]; known are"),
        ("# %% [markdown]\n# Sum", '# %% [markdown] tags=["aside"]\n# Sum', "90_adding.py:12: only a code cell is"),
    ],
)  # fmt: skip
def test_what_the_tests_would_refuse_is_refused_with_file_and_line(course, before, after, words):
    files = {path: path.read_bytes() for path in course.parent.parent.rglob("*") if path.suffix in (".ipynb", ".json")}
    with pytest.raises((build.BuildError, chapters.ChapterError), match=words) as caught:
        build.build(edit(course, before, after))
    assert "90_adding.py" in str(caught.value)
    assert all(path.read_bytes() == data for path, data in files.items())


def test_a_notebook_with_answers_is_not_written_over(course):
    chapter = chapters.read_chapter(course)
    chapter.notebook.write_text(
        notebook_text(answered(course.parent.parent, _90_2="# Exercise 90.2\ndef mend(x): ..."))
    )
    before = chapter.notebook.read_bytes()
    with pytest.raises(build.BuildError, match="holds answers .exercise 90.1, 90.2, 90.3."):
        build.build(edit(course, "# Sum:", "# The sum:"))
    assert chapter.notebook.read_bytes() == before and TWICE.splitlines()[0].encode() in before


def test_what_git_has_is_written_over(course, monkeypatch):
    chapter = chapters.read_chapter(course)
    other = notebook_text(answered(course.parent.parent, _90_2="# Exercise 90.2\ndef replaced(x): ..."))
    chapter.notebook.write_text(other)
    assert build.answered(chapter)
    folder = chapter.notebook.parent
    for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -qm before"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    assert not build.answered(chapter)
    chapter.notebook.write_text(other + "\n")
    assert build.answered(chapter)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"cells": []}'])
def test_a_damaged_derived_file_is_named_and_made_anew(course, damage):
    chapter = chapters.read_chapter(course)
    chapter.solution.write_text(damage)
    (course.parent.parent / "keys" / "90.json").write_text(damage)
    found = " ".join(build.differences(chapter))
    assert "solutions/90_adding.ipynb" in found and "keys/90.json" in found and "course build 90" in found
    build.build(chapter)
    assert build.differences(chapter) == []


def test_a_chapter_that_is_no_text_is_named(course):
    course.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(chapters.ChapterError, match="90_adding.py is not in UTF-8"):
        chapters.read_chapter(course)


def test_a_new_chapter_builds_as_it_stands(course):
    path = skeleton.write_new("91_new_idea")
    said = []
    assert build.build(chapters.read_chapter(path), on_event=said.append)
    sizes = ("words", "figures", "terms")
    assert not [line for line in said if line.startswith("note") and not any(size in line for size in sizes)]
    for name, words in (("91_again", "there is a chapter 91 already"), ("9_x", "is no name"), ("92_X", "is no name")):
        with pytest.raises(chapters.ChapterError, match=words):
            skeleton.write_new(name)


def test_evidence_names_what_the_outputs_rest_on(course):
    chapter = chapters.read_chapter(course)
    assert evidence.missing(chapter, load_notebook(chapter.solution)) == ""
    assert evidence.plan([course])[course] in ("", "chosen by the commit")
    changed = edit(course, "return a + b", "return b + a")
    assert evidence.missing(changed, load_notebook(chapter.solution)) == "its code has changed"
    assert evidence.plan([course])[course] == "its code has changed"


@pytest.mark.parametrize(
    "header, words",
    [
        ("title: x", "no field 'part'"),
        ("- a", "field: value"),
        ("title: [", "not YAML"),
        ("title: x\npart: y\nminutes: long\nneeds: []\nteaches: []\ndata: []\nsources: []", "'minutes' must be a int"),
    ],
)
def test_a_bad_header_is_named(header, words):
    with pytest.raises(chapters.ChapterError, match=words):
        chapters.read_header(header, "98_x.py")


def test_blank_needs_its_markers():
    with pytest.raises(chapters.ChapterError, match="no ### BEGIN SOLUTION ... ### END"):
        chapters.blank("# Exercise 1.1\ndef f(): pass")
    with pytest.raises(chapters.ChapterError, match="no ### BEGIN SOLUTION ... ### END"):
        chapters.blank("# Exercise 1.1\ndef f():\n    ### BEGIN SOLUTION\n    pass")
