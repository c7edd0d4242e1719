"""Every chapter keeps the format, and its notebooks are what its source gives."""

import re

import pytest

from course import build, chapters, exercises
from course.classroom.rules import read_rules

PREREQUISITES = {"Python", "NumPy", "school calculus"}


def test_it_teaches_before_it_needs(chapter):
    taught = set(PREREQUISITES)
    for path in chapters.sources():
        if path != chapter.path and path < chapter.path:
            taught.update(chapters.read_chapter(path).header["teaches"])
    assert not set(chapter.header["needs"]) - taught, "no earlier chapter teaches these"


def test_each_numbered_equation_is_proved_once(chapter):
    written, proved = chapters.numbered_equations(chapter), chapters.promised(chapter, "prove")
    assert sorted(written, key=_key) == sorted(set(proved), key=_key)
    assert written == [f"{int(chapter.number)}.{i + 1}" for i in range(len(written))]
    code = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
    for tag in written:
        assert f"# ({tag})" in code, f"no line of code says # ({tag})"


def test_claims_are_numbered_in_order(chapter):
    claims = chapters.promised(chapter, "claim")
    assert claims == [f"{int(chapter.number)}.{i + 1}" for i in range(len(claims))] and claims


def test_exercises_are_complete(chapter):
    specs = exercises.specifications(chapter.number)
    roles = [cell.metadata["course"] for cell in chapter.cells if cell.cell_type == "code"]
    for role in ("answer", "check"):
        assert [r["exercise"] for r in roles if r["role"] == role] == list(specs)
    assert 5 <= len(specs) <= 8 and set(chapter.points) == set(specs)
    assert all(1 <= stars <= 3 for stars in chapter.points.values())
    for spec in specs.values():
        assert len(spec.wrong_answers) >= 4 and len(spec.right_answers) >= 1, spec.number
        assert len(spec.draw_cases()) >= 8, spec.number


def test_exercises_stand_on_definitions_and_are_not_used(chapter):
    names = []
    for cell in chapter.cells:
        if cell.cell_type == "code" and cell.metadata["course"]["role"] == "answer":
            tree = [n for n in chapters.ast.parse(cell.source).body if hasattr(n, "name")]
            names.append(tree[0].name)
    assert len(set(names)) == len(names)
    for cell in chapter.cells:
        if cell.cell_type == "code" and cell.metadata["course"]["role"] not in ("answer", "check"):
            used = {n.id for n in chapters.ast.walk(chapters.ast.parse(cell.source)) if hasattr(n, "id")}
            assert not used & set(names), f"the lesson uses an exercise: {cell.source[:80]}"


def test_it_is_a_chapter_of_the_right_size(chapter):
    prose = " ".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    words = len(re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL).split())
    assert 1500 <= words <= 4500, f"{words} words"
    assert prose.count("*Figure ") >= 3
    for match in re.finditer(r"^#+ .*$", prose, re.MULTILINE):
        assert match[0].strip("# ")


def test_notebooks_match_the_source(chapter):
    assert build.differences(chapter) == []


def test_references_are_executed_and_learners_copies_blank(chapter):
    for path in (chapter.solution, chapter.notebook):
        assert path.stat().st_size < build.SIZE_LIMIT
        for cell in build.load(path).cells:
            role = cell.metadata.get("course", {}).get("role")
            blank = path == chapter.notebook and role in ("answer", "check")
            if role in ("proof", "claim", "check") and not blank:
                assert cell.execution_count and [o.output_type for o in cell.outputs] == ["stream"], cell.source
                assert all("✓" in line for line in cell.outputs[0].text.splitlines())
            if blank:
                assert not cell.outputs and cell.execution_count is None and "SOLUTION" not in cell.source
            assert not [o for o in cell.get("outputs", []) if o.output_type == "error"]


def test_index_syllabus_and_results_are_derived():
    everything = [chapters.read_chapter(path) for path in chapters.sources()]
    have = build.load(chapters.notebooks() / "index.ipynb")
    assert have == build.load_text(build.as_text(build.index_notebook(everything)))
    readme = (chapters.ROOT / "README.md").read_text(encoding="utf-8")
    assert build.readme_with_syllabus(everything, readme) == readme, "run: course build"
    assert build.results_page(everything) == build.results_path().read_text(encoding="utf-8"), "run: course build"


def test_the_rules_in_the_readme_fit_the_course(tmp_path):
    readme = (chapters.ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    path = tmp_path / "rules.toml"
    path.write_text(example, encoding="utf-8")
    read_rules(path, {c.number: c.points for c in map(chapters.read_chapter, chapters.sources())})


def _key(tag):
    return [int(part) for part in tag.split(".")]


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


def test_a_build_gives_the_same_bytes_again(small, tmp_path):
    chapter = chapters.read_chapter(small / "solutions" / "90_adding.py")
    before = chapter.solution.read_bytes(), chapter.notebook.read_bytes()
    build.build(chapter)
    assert (chapter.solution.read_bytes(), chapter.notebook.read_bytes()) == before
    assert build.differences(chapter) == []


def test_an_edit_is_noticed_and_leaves_other_ids_alone(small, tmp_path):
    source = small / "solutions" / "90_adding.py"
    text = source.read_text()
    chapter = chapters.read_chapter(source)
    try:
        source.write_text(text.replace("return a + b", "return b + a"))
        edited = chapters.read_chapter(source)
        assert len(build.differences(edited)) == 2
        ids, others = ([c.id for c in build.derive(c).cells] for c in (chapter, edited))
        assert sum(a != b for a, b in zip(ids, others)) == 1
    finally:
        source.write_text(text)


def test_a_failing_cell_stops_the_build_and_writes_nothing(small):
    source = small / "solutions" / "90_adding.py"
    text = source.read_text()
    before = source.with_suffix(".ipynb").read_bytes()
    try:
        source.write_text(text.replace("trained == 3", "trained == 4"))
        with pytest.raises(build.BuildError, match="not true in this run"):
            build.build(chapters.read_chapter(source))
        assert source.with_suffix(".ipynb").read_bytes() == before
    finally:
        source.write_text(text)


def test_blank_needs_its_markers():
    with pytest.raises(chapters.ChapterError, match="no ### BEGIN SOLUTION"):
        chapters.blank("# Exercise 1.1\ndef f(): pass")
    with pytest.raises(chapters.ChapterError, match="no ### BEGIN SOLUTION ... ### END|no ### BEGIN"):
        chapters.blank("# Exercise 1.1\ndef f():\n    ### BEGIN SOLUTION\n    pass")
