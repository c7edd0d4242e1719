"""What a site is not made of, and what is told of it: file, cell and remedy."""

import re

import nbformat
import pytest
from helpers import NAME

pytest.importorskip("pylatexenc", reason="what the site is made with is not installed: make .venv/.site-ready")
from course.authoring import chapters  # noqa: E402
from course.files import load_notebook  # noqa: E402
from website import built, launching, lessons, refusing, sources, typesetting  # noqa: E402

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def told(small, path=None, change=None):
    """What is told of the small chapter after a change of one of its notebooks."""
    if change:
        notebook = load_notebook(path)
        change(notebook)
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return refusing.problems(chapters.sources())


def cell_with(notebook, words):
    return next(cell for cell in notebook.cells if words in cell.source)


@pytest.fixture
def lesson(small, tmp_path, monkeypatch):
    """The small chapter's lesson, which a test may damage: its path."""
    import shutil

    from helpers import point_at

    shutil.copytree(small, tmp_path / "course")
    point_at(monkeypatch, tmp_path / "course")
    return tmp_path / "course" / "notebooks" / NAME


def test_a_chapter_as_it_was_built_has_nothing_to_refuse(lesson):
    assert told(lesson) == []


def test_a_missing_notebook(lesson):
    lesson.unlink()
    assert told(lesson) == [f"notebooks/{NAME} is missing; run: course build 90"]


def test_a_stale_notebook(lesson):
    def change(notebook):
        cell_with(notebook, "def add").source += "\n"

    (line,) = told(lesson, lesson, change)
    assert f"notebooks/{NAME} does not match its source (cells [" in line and line.endswith("run: course build 90")


def test_outputs_of_another_run(lesson):
    def change(notebook):
        cell_with(notebook, 'print("lesson"').outputs[0].text = "lesson 4\n"

    (line,) = told(lesson, lesson, change)
    assert re.search(rf"{NAME}, cell \w+: its output is not that of the executed chapter; run: course build 90", line)


def test_a_notebook_that_was_not_executed(lesson):
    def change(notebook):
        cell = cell_with(notebook, 'prove("90.1"')
        cell.outputs, cell.execution_count = [], None

    (line,) = told(lesson, lesson, change)
    assert re.search(rf"{NAME}, cell \w+: it was not executed; run: course build 90 --force", line)


def test_images_without_words_and_anchors_of_one_name():
    v4 = nbformat.v4
    image = v4.new_output("display_data", {"image/png": PIXEL})
    cells = [
        v4.new_markdown_cell("$$ a \\tag{3.1} $$\n\n![](picture.png)", id="first"),
        v4.new_markdown_cell("$$ b \\tag{3.1} $$", id="second"),
        v4.new_code_cell("draw()", outputs=[image], id="drawn"),
        v4.new_markdown_cell("No caption.", id="third"),
        v4.new_code_cell("draw()", outputs=[image], id="shown"),
        v4.new_markdown_cell("*Figure 3.1. A point.*", id="fourth"),
    ]
    lines = refusing.text_problems("notebooks/03_x.ipynb", cells)
    assert [line.split(":")[0] for line in lines] == [
        "notebooks/03_x.ipynb, cell first",
        "notebooks/03_x.ipynb, cell drawn",
        "notebooks/03_x.ipynb, cells first, second",
    ]
    assert "equation 3.1 is there 2 times" in lines[2]


def test_a_dead_link_is_told_with_file_and_cell(tmp_path):
    pages, source = tmp_path / "html", tmp_path / "source"
    pages.mkdir()
    source.mkdir()
    cells = [nbformat.v4.new_markdown_cell("[go](04_gone.ipynb)", id="here")]
    (source / "03_x.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)), encoding="utf-8")
    body = '<p id="a"></p><p id="a"></p><img src="https://elsewhere.org/x.png"><a href="04_gone.ipynb">go</a>'
    (pages / "03_x.html").write_text(body, encoding="utf-8")
    lines = "\n".join(built.problems(pages, source))
    assert "notebooks/03_x.ipynb, cell here: the link to 04_gone.ipynb, and there is no such file" in lines
    assert "2 elements have the id 'a'" in lines and "has no alt text" in lines
    assert "it fetches https://elsewhere.org/x.png from elsewhere" in lines


@pytest.mark.skipif(bool(typesetting.missing()), reason=typesetting.missing())
def test_a_formula_that_cannot_be_typeset():
    assert "<math" in typesetting.typeset("x^2", True)
    with pytest.raises(typesetting.FormulaError, match="Undefined control sequence"):
        typesetting.typeset(r"\nonsense")


def test_no_address_no_buttons_and_one_address_all_buttons(small):
    (entry,) = chapters.entries()
    assert "colab" not in sources.opening(entry, None, "x.whl") and launching.read("") is None
    repository = launching.read("https://github.com/someone/course/tree/next")
    row = sources.opening(entry, repository, "x.whl")
    assert "colab.research.google.com/github/someone/course/blob/gh-pages/launch/90_adding.ipynb" in row
    assert "mybinder.org/v2/gh/someone/course/next" in row and "codespaces.new/someone/course/tree/next" in row
    launched = sources.launched(load_notebook(small / "notebooks" / NAME), repository.wheel("x.whl"))
    assert (
        "%pip install -q --no-deps https://github.com/someone/course/raw/gh-pages/lessons/x.whl"
        in launched.cells[1].source
    )
    with pytest.raises(launching.AddressError, match="https://github.com/owner/name"):
        launching.read("github.com/someone")


def test_a_students_edition_has_no_way_to_the_solutions(small):
    (entry,) = chapters.entries()
    lesson, solution = load_notebook(small / "notebooks" / NAME), load_notebook(small / "solutions" / NAME)
    for students in (False, True):
        page = lessons.page(entry, lesson, solution, "", students)
        text = "\n".join(cell.source for cell in page.cells)
        assert ("solutions-90" in text) != students and "exercise 90.1 ✓ 8 cases" in text and "2 * x" not in text
