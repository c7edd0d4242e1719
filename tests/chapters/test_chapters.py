"""Every chapter keeps the format, and its notebooks, its key and the pages are what the sources give."""

import re

from course.authoring import build, chapters, glossary, pages, review
from course.classroom.rules import read_rules
from course.files import load_notebook, notebook_text
from course.lesson import settings


def test_it_keeps_the_format(chapter):
    assert [str(problem) for problem in review.problems(chapter)] == []
    opening = review.opening_problems(chapter, load_notebook(chapter.solution))
    assert [str(problem) for problem in opening] == []


def test_its_files_match_the_source(chapter):
    assert build.differences(chapter) == []


def test_references_are_executed_and_learners_copies_blank(chapter):
    for path in (chapter.solution, chapter.notebook):
        assert path.stat().st_size < build.SIZE_LIMIT
        for cell in load_notebook(path).cells:
            role = chapters.role(cell)
            blank = path == chapter.notebook and role in ("answer", "check", "ask")
            if role in ("proof", "claim", "check", "ask") and not blank:
                assert cell.execution_count and [o.output_type for o in cell.outputs] == ["stream"], cell.source
                assert all("✓" in line for line in cell.outputs[0].text.splitlines())
            if blank:
                assert not cell.outputs and cell.execution_count is None and "SOLUTION" not in cell.source
            assert not [o for o in cell.get("outputs", []) if o.output_type == "error"]


def test_headings_say_something(chapter):
    prose = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    assert all(line.strip("# ") for line in re.findall(r"^#+ .*$", prose, re.MULTILINE))


def test_index_glossary_syllabus_and_results_are_derived():
    entries = chapters.entries()
    have = (chapters.notebooks() / "index.ipynb").read_text(encoding="utf-8")
    assert have == notebook_text(pages.index_notebook(entries)), "run: course build"
    have = (chapters.notebooks() / glossary.PAGE).read_text(encoding="utf-8")
    assert have == notebook_text(glossary.notebook(entries)), "run: course build"
    readme = (settings.ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.derived_readme(entries, readme) == readme, "run: course build"
    assert pages.results_page(entries) == pages.results_path().read_text(encoding="utf-8"), "run: course build"


def test_the_rules_in_the_readme_fit_the_course(tmp_path):
    readme = (settings.ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    path = tmp_path / "rules.toml"
    path.write_text(example, encoding="utf-8")
    read_rules(path, {c.number: c.points for c in map(chapters.read_chapter, chapters.sources())})
