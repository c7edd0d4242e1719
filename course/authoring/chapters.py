"""A chapter as its source says it: header, cells, and the part that each cell plays.

The source is `solutions/NN_topic.py` in jupytext's percent format; CONTRIBUTING.md tells how one is written.
"""

import ast
import hashlib
import re
import textwrap
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.exercises.cells import EXERCISE
from course.exercises.outcomes import ExerciseError
from course.exercises.questions import NUMBER
from course.exercises.specification import Exercise, collecting
from course.lesson import settings

ROOT = settings.ROOT
HEADER = {
    "title": str,
    "part": str,
    "minutes": int,
    "needs": list,
    "teaches": list,
    "data": list,
    "sources": list,
}
# What a header may have besides: the terms and the symbols that the chapter introduces.
OPTIONAL = {"terms": list, "symbols": dict}
TERM = {"term": True, "means": True, "zh": True, "symbol": False}  # the fields of a term; whether it must have them
STARS = re.compile(r"\*\*Exercise (\d+\.\d+)\s+(★+)")
TAG = re.compile(r"\\tag\{(\d+\.\d+)\}")
MARK = re.compile(r"(?m)^# %%(.*)\n")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TAGS = ("aside", "grading")  # what an author may tag a code cell with
UNFOLDED = ("answer", "check", "ask")  # the roles of cells that a learner works in, which stay open


class ChapterError(Exception):
    """A chapter source that cannot be used; the message names file and line or cell."""


@dataclass(frozen=True)
class Chapter:
    """One chapter. number: "03". stem: "03_convolution". header: see HEADER. cells: jupytext's, header left out,
    each code cell with its part in `metadata.course` ("role", for exercises "exercise", and "aside" where it is one).
    lines: for each cell, the number of its first line in the source. points: dict from exercise number to its stars.
    grading: the cells tagged "grading", which reach no notebook, each as (number of its first line, text)."""

    number: str
    stem: str
    path: Path
    digest: str
    header: dict[str, Any]
    cells: list[Any]
    lines: list[int]
    points: dict[str, int]
    grading: list[tuple[int, str]]

    @property
    def solution(self) -> Path:
        return self.path.with_suffix(".ipynb")

    @property
    def notebook(self) -> Path:
        return notebooks(self.path.parent) / f"{self.stem}.ipynb"

    def place(self, cell: Any) -> str:
        """Where a cell stands: "03_convolution.py:120"."""
        line = next((line for one, line in zip(self.cells, self.lines) if one is cell), None)
        return f"{self.path.name}:{line}" if line else self.path.name


def notebooks(folder: Path | None = None) -> Path:
    """The folder of the learners' notebooks, beside that of the sources."""
    return (folder or settings.solutions_folder()).parent / "notebooks"


def keys_folder(folder: Path | None = None) -> Path:
    """The folder of the keys that belong to a folder of sources."""
    return settings.keys_folder() if folder in (None, settings.solutions_folder()) else folder.parent / "keys"


def sources() -> list[Path]:
    """The paths of all chapter sources, in order."""
    return sorted(settings.solutions_folder().glob("[0-9][0-9]_*.py"))


def source_of(number: str) -> Path:
    """The path of a chapter's source, `solutions/NN_topic.py`, for a number such as "03", "3" or "03_convolution".
    Raises ChapterError."""
    digits, folder = str(number).split("_")[0], settings.solutions_folder()
    found = sorted(folder.glob(f"{int(digits):02d}_*.py")) if digits.isascii() and digits.isdigit() else []
    if len(found) != 1:
        known = ", ".join(path.stem for path in sources()) or "none"
        raise ChapterError(f"there is no chapter {number!r} in {folder.name}/; the chapters are: {known}")
    source: Path = found[0]
    return source


@dataclass(frozen=True)
class Entry:
    """A chapter as the pages list it. number: "03". stem: "03_convolution". header: see HEADER."""

    number: str
    stem: str
    header: dict[str, Any]


def entries() -> list[Entry]:
    """An Entry for each chapter, in order. Reads the headers only."""
    found = []
    for path in sources():
        head = re.match(r"# %% \[raw\]\n((?:#.*\n)*)", path.read_text(encoding="utf-8"))
        if not head:
            raise ChapterError(f"{path.name}:1: the first cell must be a raw cell (# %% [raw]) with the YAML header")
        text = re.sub(r"(?m)^# ?", "", head[1])
        found.append(Entry(path.stem[:2], path.stem, read_header(text, path.name)))
    return found


def select(names: Iterable[str] = ()) -> list[Path]:
    """The sources of the chapters asked for, or of all. Raises ChapterError."""
    return [source_of(name) for name in names] or sources()


def read_chapter(path: Path | str) -> Chapter:
    """Read a chapter's source; raises ChapterError where it breaks the format."""
    import jupytext

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        cells = jupytext.reads(text, fmt="py:percent").cells
    except UnicodeDecodeError as error:
        raise ChapterError(f"{path.name} is not in UTF-8 (byte {error.start}): save it so") from None
    except Exception as error:  # of jupytext, which says what it could not read
        raise ChapterError(f"{path.name} is not in jupytext's percent format: {error}") from None
    marks = [text.count("\n", 0, mark.end()) + 1 for mark in MARK.finditer(text)]
    if not cells or cells[0].cell_type != "raw":
        raise ChapterError(f"{path.name}:1: the first cell must be a raw cell (# %% [raw]) with the YAML header")
    if len(marks) != len(cells):
        raise ChapterError(
            f"{path.name}: text before the first cell, or a line that only looks like a cell's mark (# %%)"
        )
    header = read_header(cells[0].source, path.name)
    kept, lines, points = [], [], {}
    for cell, line in zip(cells[1:], marks[1:]):
        place = f"{path.name}:{line}"
        tags = tags_of(cell, place)
        if "grading" in tags:
            continue
        if cell.cell_type == "markdown":
            points.update({number: len(stars) for number, stars in STARS.findall(cell.source)})
            cell.metadata = {}
        else:
            course = part(cell.source, place)
            if "aside" in tags:
                if course["role"] in UNFOLDED:
                    raise ChapterError(f"{place}: a cell that a learner works in is no aside: take the tag away")
                course["aside"] = True
            cell.metadata = {"course": course}
        kept.append(cell)
        lines.append(line)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Chapter(path.stem[:2], path.stem, path, digest, header, kept, lines, points, grading_cells(text))


def tags_of(cell: Any, place: str) -> list[str]:
    """The tags that an author gave a cell of a source: a list, of words in TAGS. place: its file and line. Raises
    ChapterError for other words, and for text with a tag."""
    tags: list[str] = cell.metadata.get("tags", [])
    if unknown := [tag for tag in tags if tag not in TAGS]:
        raise ChapterError(f"{place}: unknown tags {unknown}; known are {list(TAGS)}")
    if tags and cell.cell_type != "code":
        raise ChapterError(f"{place}: only a code cell is tagged {tags[0]!r}; this one is {cell.cell_type}")
    return tags


def read_header(text: str, name: str) -> dict[str, Any]:
    """The YAML header as a dict of the fields of HEADER, and of OPTIONAL where they are given; raises ChapterError
    naming the field."""
    import yaml

    try:
        header = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ChapterError(f"{name}: the header is not YAML: {error}") from None
    if not isinstance(header, dict):
        raise ChapterError(f"{name}: the header must be 'field: value' lines")
    for field, kind in HEADER.items():
        if field not in header:
            raise ChapterError(f"{name}: the header has no field {field!r}")
        if not isinstance(header[field], kind) or header[field] == "":
            raise ChapterError(f"{name}: header field {field!r} must be a {kind.__name__}, not {header[field]!r}")
    if unknown := header.keys() - HEADER.keys() - OPTIONAL.keys():
        raise ChapterError(f"{name}: unknown header fields {sorted(unknown)}; known are {[*HEADER, *OPTIONAL]}")
    for field, kind in OPTIONAL.items():
        if not isinstance(header.get(field, kind()), kind):
            raise ChapterError(f"{name}: header field {field!r} must be a {kind.__name__}, not {header[field]!r}")
    for term in header.get("terms", ()):
        _read_term(term, name)
    for symbol, meaning in header.get("symbols", {}).items():
        if not _is_line(meaning) or not re.fullmatch(r"\$[^$]+\$", str(symbol)):
            said = "one of symbols is written as '$\\lambda$': what it stands for, in a line"
            raise ChapterError(f"{name}: {said}; not {symbol!r}: {meaning!r}")
    return header


def _read_term(term: Any, name: str) -> None:
    """Raise ChapterError unless an item of a header's `terms` is one."""
    if not isinstance(term, dict) or term.keys() - TERM.keys():
        raise ChapterError(
            f"{name}: one of terms has the fields {', '.join(TERM)}, symbol only where it has one: {term!r}"
        )
    for field, needed in TERM.items():
        if (needed or field in term) and not _is_line(term.get(field)):
            raise ChapterError(f"{name}: the term {term.get('term')!r} needs a line of text in {field!r}")


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and "\n" not in value.strip()


def part(source: str, name: str = "a chapter") -> dict[str, Any]:
    """The part that a code cell plays: {"role": ...}, where the role is

    "answer" and "check" (with "exercise": its number), "ask" (with "question": its number), "proof", "claim", "record",
    "definition" (imports, functions, classes and constants only) or "lesson".
    """
    if found := EXERCISE.match(source):
        return {"role": "answer", "exercise": found[1]}
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ChapterError(f"{name}: a cell is not Python: {error.msg}: {(error.text or '').strip()!r}") from None
    expressions = [s.value for s in body if isinstance(s, ast.Expr)]
    made: dict[str | None, ast.Call] = {
        _called(node): node for node in reversed(expressions) if isinstance(node, ast.Call)
    }
    if "check" in made:
        return {"role": "check", "exercise": ast.literal_eval(made["check"].args[0])}
    if "ask" in made:
        first = made["ask"].args[:1]
        if first and isinstance(first[0], ast.Constant) and NUMBER.fullmatch(str(first[0].value)):
            return {"role": "ask", "question": first[0].value}
    for verb, role in (("prove", "proof"), ("claim", "claim"), ("record", "record")):
        if verb in made:
            return {"role": role}
    return {"role": "definition" if all(map(_defines, body)) else "lesson"}


def _called(node: ast.AST | None) -> str | None:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _defines(statement: ast.stmt) -> bool:
    """Whether a top-level statement only defines: it may run in a grader that skips the lesson."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, ast.Expr):  # a docstring, or start(...) whose value is not kept
        return isinstance(statement.value, ast.Constant) or _called(statement.value) == "start"
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        constant = all(name.isupper() for name in names)
        return constant or _called(statement.value) == "start" or _is_literal(statement.value)
    return False


def _is_literal(node: Any) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def blank(source: str, start: list[str] | None = None) -> str:
    """An answer cell with its solution taken out.

    start: the lines that a "debug it" exercise begins with; else the words that nbgrader puts there too.
    Raises ChapterError where the markers do not match.
    """
    lines, inside, kept = source.splitlines(), False, []
    for line in lines:
        word = line.strip()
        if word == BEGIN:
            if inside:
                raise ChapterError(f"two {BEGIN} without {END} between them in {lines[0]!r}")
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            stub = ["# YOUR CODE HERE", "raise NotImplementedError()"] if start is None else start
            kept += [indent + text if text else "" for text in stub]
        elif word == END:
            if not inside:
                raise ChapterError(f"{END} without {BEGIN} in {lines[0]!r}")
            inside = False
        elif not inside:
            kept.append(line)
    if inside or kept == lines:
        raise ChapterError(f"no {BEGIN} ... {END} in {lines[0]!r}")
    return "\n".join(kept)


def stub(chapter: Chapter, number: str) -> str:
    """The answer cell that a learner finds: the solution taken out, and, for a "debug it" exercise, the broken code put
    in. Raises ChapterError where a marker or the code to begin with is missing."""
    answer = next(c for c in chapter.cells if role(c) == "answer" and c.metadata["course"]["exercise"] == number)
    begins = starts(chapter).get(number)
    try:
        return blank(answer.source, body_of(chapter, number, begins) if begins else None)
    except ChapterError as error:
        raise ChapterError(f"{chapter.place(answer)}: {error}") from None


def starts(chapter: Chapter) -> dict[str, str]:
    """For each "debug it" exercise, the name of the wrong answer that it begins with, read without running anything."""
    found = {}
    for _, text in chapter.grading:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _called(node) == "exercise":
                begins = next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "start"), None)
                if begins is not None:
                    found[ast.literal_eval(node.args[0])] = begins
    return found


def body_of(chapter: Chapter, number: str, name: str) -> list[str]:
    """The body of the wrong answer `name` of exercise `number`, without its docstring, as unindented lines."""
    for _, text in chapter.grading:
        if f'exercise("{number}"' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == name and len(node.body) > 1:
                lines = text.splitlines()[node.body[0].end_lineno : node.end_lineno]
                return textwrap.dedent("\n".join(lines)).strip("\n").splitlines()
    raise ChapterError(f"exercise {number} starts from {name!r}, which is no wrong answer of it")


def grading_cells(text: str) -> list[tuple[int, str]]:
    """The cells tagged "grading" of a chapter's source text: a list of (number of the first line, text)."""
    marks = [*MARK.finditer(text), *re.finditer(r"\Z", text)]
    return [
        (text.count("\n", 0, here.end()) + 1, text[here.end() : after.start()])
        for here, after in zip(marks, marks[1:])
        if re.search(r'tags=\[[^\]]*"grading"', here[1])
    ]


_specs: dict[Path, tuple[str, dict[str, Exercise]]] = {}


def specifications(chapter: Chapter) -> dict[str, Exercise]:
    """All exercises of a chapter as specified: a dict from number to Exercise, in the order in which they stand. Runs
    the grading cells, once for each state of the source. Raises ChapterError where one of them fails."""
    if _specs.get(chapter.path, (None,))[0] != chapter.digest:
        specs = {}
        for line, text in chapter.grading:
            if re.search(r"^\s*(import|from) keras", text, re.MULTILINE):
                settings.import_keras()
            with collecting() as begun:
                try:
                    # Under the source's own name and lines, so that a traceback points where the author can look.
                    code = compile("\n" * (line - 1) + text, str(chapter.path), "exec")
                    exec(code, {"__name__": f"grading_{chapter.stem}"})
                except ExerciseError as error:
                    raise ChapterError(f"{chapter.path.name}:{line}: {error}") from None
                except Exception as error:
                    raise ChapterError(
                        f"{chapter.path.name}:{_line_of(error, chapter.path) or line}: the grading cell fails: "
                        f"{type(error).__name__}: {error}"
                    ) from error
            specs.update({spec.number: spec for spec in begun})
        _specs[chapter.path] = chapter.digest, specs
    return _specs[chapter.path][1]


def _line_of(error: BaseException, path: Path) -> int | None:
    """The last line of the file at `path` that an exception passed through, or None."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return lines[-1] if lines else None


def role(cell: Any) -> str | None:
    """The part that a cell of a Chapter, or of a notebook derived from it, plays; see `part`."""
    found: str | None = cell.metadata.get("course", {}).get("role")
    return found


def is_aside(cell: Any) -> bool:
    """Whether a cell of a Chapter, or of a notebook derived from it, is folded away."""
    return bool(cell.metadata.get("course", {}).get("aside", False))


def calls(chapter: Chapter, verb: str) -> list[tuple[ast.Call, Any]]:
    """All calls of `prove`, `claim` or `check` at the top level of cells, in order: (the call's ast node, cell)."""
    found = []
    for cell in chapter.cells:
        if cell.cell_type == "code" and role(cell) != "answer":
            for statement in ast.parse(cell.source).body:
                node = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(node, ast.Call) and _called(node) == verb:
                    found.append((node, cell))
    return found


def promised(chapter: Chapter, verb: str) -> list[tuple[Any, Any]]:
    """The same calls by what they promise: (first argument, cell)."""
    return [(ast.literal_eval(call.args[0]), cell) for call, cell in calls(chapter, verb)]


def control(call: ast.Call) -> ast.expr | None:
    """The control of a call of `claim`, as an ast node, or None where it has none."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "control"]
    return next(iter([*given, *call.args[3:]]), None)


def is_constant(node: ast.AST | None) -> bool:
    """Whether an ast node is written as True, False, None, a number or a text: no measurement."""
    return isinstance(node, ast.Constant)
