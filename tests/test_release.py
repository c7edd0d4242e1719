"""The students' edition: what is in it, and that no line of a solution is."""

import ast
import io
import json
import re
import subprocess
import sys
import zipfile

import pytest

from course.authoring import build, chapters, release
from course.exercises import keys, values

# What counts as a line of a solution: one of SHORT characters and more ("return x", "else:" and "count += 1" are
# anybody's) that learners are not given word for word in a lesson, a blank answer or code to mend.
SHORT = 16


def given(sources):
    """The lines that learners are given anyway: of the lessons, of the answer cells around a solution, of the code that
    they are to mend, and of what puts an answer to use, which a key holds."""
    lines = set()
    for chapter in map(chapters.read_chapter, sources):
        for one in keys.load(chapter.number).exercises.values():
            lines.update(line.strip() for line in one.driver.splitlines())
        for cell in chapter.cells:
            answer = chapters.role(cell) == "answer"
            text = chapters.stub(chapter, cell.metadata["course"]["exercise"]) if answer else cell.source
            lines.update(line.strip() for line in text.splitlines())
    return lines


def telling(text, short=SHORT):
    """The lines of some code that would tell something: of so many characters and more, without comments."""
    lines = {line.strip() for line in text.splitlines()}
    return {line for line in lines if len(line) >= short and not line.startswith(("#", '"""'))}


def solution_lines(chapter):
    """The telling lines between BEGIN and END SOLUTION, by exercise."""
    found = {}
    for cell in chapter.cells:
        if chapters.role(cell) == "answer":
            inside = re.search(rf"{chapters.BEGIN}\n(.*?)\n *{chapters.END}", cell.source, re.DOTALL)[1]
            found[cell.metadata["course"]["exercise"]] = telling(inside)
    return found


def oracle_lines(chapter):
    """The telling lines of the oracles and of what draws the cases, by the line in the source where each begins."""
    found = {}
    for line, text in chapter.grading:
        for node in ast.walk(ast.parse(text)):
            marks = [ast.unparse(mark) for mark in getattr(node, "decorator_list", ())]
            if "ex.oracle" in marks or "ex.cases" in marks:
                found[line + node.lineno] = telling("\n".join(text.splitlines()[node.lineno : node.end_lineno]), 20)
    return found


def texts(data, name):
    """All that a file of the edition says, as texts: of a notebook each cell and output, of a key each part unpacked,
    of the wheel each file in it."""
    if name.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for inner in archive.namelist():
                yield from texts(archive.read(inner), inner)
        return
    text = data.decode()
    yield text
    if name.endswith(".ipynb"):
        for cell in json.loads(text)["cells"]:
            yield "".join(cell["source"])
            for output in cell.get("outputs", []):
                yield json.dumps(output, ensure_ascii=False)
    elif re.search(r"keys/\d\d\.json$", name):
        key = keys.from_text(text, name, "")
        yield from key.definitions
        assert not key.solutions
        for one in key.exercises.values():
            yield from (one.stub, one.check, one.driver)
            yield from said(values.unpack(one.questions))
            yield from said(values.unpack(one.answers))


def said(form):
    """The texts in a form of plain data."""
    if isinstance(form, str):
        yield form
    elif isinstance(form, dict):
        for pair in form.items():
            yield from said(pair)
    elif isinstance(form, (list, tuple)):
        for item in form:
            yield from said(item)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def held(files):
    """The lines of all that the files say."""
    return {line.strip() for name, data in files.items() for text in texts(data, name) for line in text.splitlines()}


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """The students' edition of every chapter, as the repository has them."""
    out = tmp_path_factory.mktemp("release") / "for students [2026] ü"
    release.release(out, chapters.sources())
    return out


def test_no_line_of_a_solution_or_of_an_oracle_is_in_it(edition):
    lines, known = held(files_of(edition)), given(chapters.sources())
    assert lines, "nothing was read"
    for path in chapters.sources():
        chapter = chapters.read_chapter(path)
        assert any(solution_lines(chapter).values()) and oracle_lines(chapter), path
        for found in (solution_lines(chapter), oracle_lines(chapter)):
            for where, code in found.items():
                assert not (code - known) & lines, (path.name, where)


def test_no_source_is_in_it(edition):
    files = files_of(edition)
    wheel = next(data for name, data in files.items() if name.endswith(".whl"))
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        inside = archive.namelist()
    assert not [name for name in [*files, *inside] if "solutions" in name or re.search(r"(^|/)\d\d_\w+\.py$", name)]
    lines = held({name: data for name, data in files.items() if not name.endswith(".whl")})
    assert not [line for line in lines if line.startswith("@ex.") or chapters.BEGIN in line]


def test_an_edition_of_one_chapter_holds_nothing_of_another(small, tmp_path):
    wheel = release.release(tmp_path / "out", chapters.sources())
    files = files_of(tmp_path / "out")
    names = {name for name in files if not name.endswith(".whl")}
    assert names == {"LICENSE", "README.md", "requirements.txt", "keys/90.json", "notebooks/90_adding.ipynb",
                     "notebooks/index.ipynb", "notebooks/glossary.ipynb"}  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith(("course/keys", "course/notebooks"))}
        pages = {"course/notebooks/index.ipynb", "course/notebooks/glossary.ipynb"}
        assert inside == {"course/keys/90.json", "course/notebooks/90_adding.ipynb", *pages}
    said = files["README.md"].decode()
    assert "values that a right answer gives" in said and wheel.name in said and "course grade 90" in said
    assert "2 * x" not in held(files) and files["keys/90.json"] == (small / "keys" / "90.json").read_bytes()


def test_the_test_would_see_a_solution(small, tmp_path):
    chapter = chapters.read_chapter(chapters.sources()[0])
    solution = (small / "solutions" / "90_adding.ipynb").read_bytes()
    wanted = {line for lines in solution_lines(chapter).values() for line in lines} - given(chapters.sources())
    assert wanted and wanted <= held({"90_adding.ipynb": solution})


def test_what_is_stale_or_in_the_way_is_refused_and_nothing_is_left(small, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(release.ReleaseError, match="not empty: name a new folder"):
        release.release(tmp_path / "full", chapters.sources())
    monkeypatch.setattr(build, "differences", lambda chapter: ["notebooks/90 does not match; run: course build 90"])
    with pytest.raises(release.ReleaseError, match="run: course build 90"):
        release.release(tmp_path / "new", chapters.sources())
    monkeypatch.setattr(build, "differences", lambda chapter: [])
    monkeypatch.setattr(release, "BUILD", "raise ImportError('no setuptools')")
    with pytest.raises(release.ReleaseError, match="cannot be built .*no setuptools.*: pip install"):
        release.release(tmp_path / "new", chapters.sources())
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_the_command(small, tmp_path):
    command = [sys.executable, "-m", "course", "release", str(tmp_path / "out"), "--chapters"]
    run = subprocess.run([*command, "91"], capture_output=True, text=True)
    assert run.returncode == 2 and "there is no chapter '91'" in run.stderr
    run = subprocess.run([*command, "90"], capture_output=True, text=True)
    assert run.returncode == 0 and "its README.md tells students how to begin" in run.stdout, run.stderr
    run = subprocess.run([*command, "90"], capture_output=True, text=True)
    assert run.returncode == 2 and "not empty" in run.stderr and "Traceback" not in run.stderr
