"""What a chapter's executed notebook proves, and for how long.

An executed notebook carries evidence in its metadata: a digest of all that its outputs depend on (the lesson's code,
the modules of `course.lesson` that it uses, the pinned versions of the packages that these import), and the data on
which that code was run whole. As long as the digest is the same, the claims have been run: a test need not train again
what nobody has changed. Comments, docstrings and prose are no part of it.
"""

import ast
import functools
import hashlib
import io
import re
import subprocess
import tokenize
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from course.authoring import chapters
from course.authoring.chapters import Chapter
from course.lesson import recording, settings

LESSON = ("definition", "proof", "claim", "record", "lesson")  # the roles of cells that are no exercise's
EMBEDDED = "embedded"
REAL = "real"
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml"}
AFFORDABLE = 45  # seconds on record up to which a chapter that is asked for is run whole
CHOSEN = 2  # chapters that are run whole in any case, others for each commit


def digest(chapter: Chapter) -> str:
    """SHA-256 of all that the outputs of a chapter's lesson depend on."""
    cells = [code(c.source) for c in lesson(chapter)]
    modules = used_modules(cells)
    texts = [module_code(name) for name in modules]
    packages = sorted(imported([*cells, *texts]) - {"course"} | {"tensorflow", "numpy"})
    parts = [*cells, *modules, *texts, *(f"{name} {version}" for name, version in versions(packages).items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def lesson(chapter: Chapter) -> list[Any]:
    """The code cells of a chapter that belong to no exercise."""
    return [cell for cell in chapter.cells if chapters.role(cell) in LESSON]


def data_kinds(chapter: Chapter) -> tuple[str, ...]:
    """On which kinds of data a chapter has to be run whole."""
    return (REAL, EMBEDDED) if set(chapter.header["data"]) - {"none"} else (EMBEDDED,)


def data_at_hand(chapter: Chapter) -> str:
    """The kind of data that a run of this chapter gets on this machine."""
    from course.lesson import data

    names = [name.lower().replace("-", "") for name in chapter.header["data"] if name != "none"]
    places = [data.status()[name] for name in names if name in data.NAMES]
    return REAL if places and all(place.kind in ("COURSE_DATA", "cache") for place in places) else EMBEDDED


def code(text: str) -> str:
    """Python source without comments, docstrings and blank lines: what its outputs may depend on."""
    lines = text.splitlines()
    dropped: set[int] = set()
    replaced: dict[int, str] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            # A docstring that shares its line with code is left alone.
            if ast.get_docstring(node, clean=False) is not None and text_is_alone(lines, first):
                dropped.update(range(first.lineno + 1, (first.end_lineno or first.lineno) + 1))
                replaced[first.lineno] = lines[first.lineno - 1][: first.col_offset] + "..."
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    kept = (replaced.get(n, line).rstrip() for n, line in enumerate(lines, start=1) if n not in dropped)
    return "\n".join(line for line in kept if line)


@functools.cache
def module_code(name: str) -> str:
    """`code` of a module of the course, such as "lesson/proofs"."""
    return code((settings.PACKAGE / f"{name}.py").read_text(encoding="utf-8"))


def text_is_alone(lines: list[str], node: ast.stmt) -> bool:
    """Whether nothing but this node stands on its lines."""
    before, after = (
        lines[node.lineno - 1][: node.col_offset],
        lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset :],
    )
    return not before.strip() and not after.split("#")[0].strip()


@functools.cache
def imports(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """What a source imports: (module, names taken from it) for each import statement, relative ones left out."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, tuple(alias.name for alias in node.names)))
    return found


def imported(texts: Iterable[str]) -> set[str]:
    """The names of the top-level packages that these sources import."""
    return {module.split(".")[0] for text in texts for module, _ in imports(text)}


def used_modules(texts: Iterable[str]) -> list[str]:
    """The modules of the course's lesson room that these sources use, through one another too: paths below the
    package without the suffix, such as "lesson/proofs". What judges exercises is no part of a lesson's outputs."""
    import course

    found, queue = set(), list(texts)
    while queue:
        for module, taken in imports(queue.pop()):
            if module.split(".")[0] != "course":
                continue
            for name in (module, *(f"{module}.{one}" for one in taken)):
                name = course.MODULE_OF.get(name.removeprefix("course."), name)
                path = "/".join(name.split(".")[1:])
                if path in found or path.startswith("exercises") or not (settings.PACKAGE / f"{path}.py").is_file():
                    continue
                found.add(path)
                queue.append(module_code(path))
    return sorted(found)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The pinned version of each package: a dict; what requirements.txt does not pin is taken as it is installed."""
    pins: dict[str, list[str]] = {}
    requirements = settings.ROOT / "requirements.txt"
    if requirements.exists():
        for line in requirements.read_text(encoding="utf-8").splitlines():
            if pinned := re.match(r"([\w.-]+)==(.*)$", line):  # with its marker: one line for each Python
                pins.setdefault(pinned[1].lower(), []).append(pinned[2].strip())
    found = {}
    for name in packages:
        name = DISTRIBUTIONS.get(name, name).lower()
        if name in pins:
            found[name] = ", ".join(pins[name])
        else:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue  # of the standard library, or not needed where it is missing
    return found


def of(notebook: Any) -> dict[str, Any]:
    """The evidence that an executed notebook carries: a dict with "digest", "data" (the kinds of data that the lesson
    was run whole on) and "exercises" (by number, a digest of the answer that was checked); empty where it has none."""
    found: dict[str, Any] = notebook.metadata.get("course", {}).get("evidence", {})
    return found


def missing(chapter: Chapter, notebook: Any) -> str:
    """Why the notebook's evidence does not do for this machine, in words, or ""."""
    have = of(notebook)
    if have.get("digest") != digest(chapter):
        return "its code has changed" if have else "it carries no evidence"
    kind = data_at_hand(chapter)
    return "" if kind in have["data"] else f"it was never run whole on the {kind} data"


def plan(paths: Sequence[Path], asked: Collection[str] = (), everything: bool = False) -> dict[Path, str]:
    """Which chapters to run whole, and why: a dict from the path of each source to a reason, "" for those of which
    definitions, proofs and checks will do.

    asked: the numbers that a person named. everything: whether all are to be run whole.
    """
    from course.files import load_notebook

    reasons, chosen = {}, [] if asked else by_commit(paths)
    for path in paths:
        chapter = chapters.read_chapter(path)
        if everything:
            reasons[path] = "everything is"
        elif not chapter.solution.exists():
            reasons[path] = "it is not built"
        elif why := missing(chapter, load_notebook(chapter.solution)):
            reasons[path] = why
        elif path in chosen:
            reasons[path] = "chosen by the commit"
        elif asked and (seconds := recorded_seconds(chapter.number)) is not None and seconds <= AFFORDABLE:
            reasons[path] = "asked for, and short"
        else:
            reasons[path] = ""
    return reasons


def recorded_seconds(number: str) -> float | None:
    """The median wall seconds of a chapter's recorded quick run, or None."""
    run = recording.load(number).get("quick")
    return sorted(run["wall_seconds"])[len(run["wall_seconds"]) // 2] if run else None


def by_commit(paths: Sequence[Path]) -> list[Path]:
    """The chapters that this commit chooses."""
    name = commit()
    return sorted(paths, key=lambda path: hashlib.sha256(f"{name}{path.name}".encode()).hexdigest())[:CHOSEN]


def commit() -> str:
    """The name of the commit that is checked out, or "" where there is none."""
    run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()
