"""`course release`: the students' edition. Lessons, keys, the wheel and instructions; no solutions, no oracles, no
specifications."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from course.authoring import build, chapters, glossary, keying, notebooks, pages
from course.authoring.chapters import Chapter
from course.files import load_notebook, notebook_text, write
from course.lesson import settings

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
BUILD_SECONDS = 300


class ReleaseError(Exception):
    """A students' edition that cannot be made; the message says why and what to do. Nothing is left half made."""


def release(out: Path, sources: list[Path], on_event: Callable[[str], object] = lambda text: None) -> Path:
    """Make a students' edition of some chapters in a new folder, which is there whole or not at all.

    out: the folder; it must not be there, or be empty. sources: the paths of the chapters' sources. on_event: told, in
    words, what is done. Returns the path of the wheel. Raises ReleaseError, and OSError where it cannot be written.
    """
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReleaseError(f"{out} is there already, and not empty: name a new folder")
    wanted = [chapters.read_chapter(path) for path in sources]
    if not wanted:
        raise ReleaseError(f"there are no chapters in {settings.solutions_folder()}")
    if stale := [line for chapter in wanted for line in build.differences(chapter)]:
        raise ReleaseError("\n".join(stale))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as folder:
        made, tree = Path(folder) / "edition", Path(folder) / "tree"
        on_event(f"taking {', '.join(chapter.stem for chapter in wanted)}")
        write_lessons(made / "notebooks", wanted)
        for chapter in wanted:
            write(made / "keys" / f"{chapter.number}.json", keying.path_of(chapter).read_bytes())
        for name in ("LICENSE", "requirements.txt"):
            write(made / name, (settings.ROOT / name).read_bytes())
        write_tree(tree, made)
        on_event("building the wheel")
        wheel = build_wheel(tree, made)
        write(made / "README.md", instructions(wanted, wheel.name))
        if out.exists():
            out.rmdir()
        os.replace(made, out)
    return out / wheel.name


def write_lessons(folder: Path, wanted: list[Chapter]) -> None:
    """The lessons, and an index and a glossary of them, with links to no other chapter."""
    known = [entry for entry in chapters.entries() if entry.number in {chapter.number for chapter in wanted}]
    for chapter in wanted:
        lesson = notebooks.learner_notebook(load_notebook(chapter.solution), chapter)
        for cell in lesson.cells:
            if cell.id == "navigation":
                cell.source = notebooks.navigation(chapter, "index.ipynb", known)
        write(folder / chapter.notebook.name, notebook_text(lesson))
    write(folder / "index.ipynb", notebook_text(pages.index_notebook(known)))
    write(folder / glossary.PAGE, notebook_text(glossary.notebook(known)))


def write_tree(tree: Path, made: Path) -> None:
    """What the wheel is built of: the package with these keys, records and lessons only."""
    numbers = {path.stem for path in (made / "keys").iterdir()}
    for path in settings.PACKAGE.rglob("*"):
        inside = path.relative_to(settings.PACKAGE)
        code = path.suffix == ".py" or inside.parts[0] == "jupyterlab"
        record = inside.parts[0] == "results" and path.name[:2] in numbers
        if path.is_file() and "__pycache__" not in inside.parts and (code or record):
            write(tree / "course" / inside, path.read_bytes())
    shutil.copytree(made / "keys", tree / "course" / "keys")
    shutil.copytree(made / "notebooks", tree / "notebooks")
    for name in ("pyproject.toml", "LICENSE"):
        write(tree / name, (settings.ROOT / name).read_bytes())
    write(tree / "README.md", "# Deep Vision in Keras\n\nThe students' edition.\n")


def build_wheel(tree: Path, out: Path) -> Path:
    """Build the wheel of a source tree with the setuptools at hand, without the network; its path in the folder `out`.
    Raises ReleaseError."""
    try:
        run = subprocess.run(
            [sys.executable, "-c", BUILD, str(out)], cwd=tree, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ReleaseError(f"the wheel was not built within {BUILD_SECONDS} s") from None
    found = list(Path(out).glob("*.whl"))
    if run.returncode or len(found) != 1:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReleaseError(f"the wheel cannot be built ({last}): pip install 'setuptools>=77', and try again")
    return found[0]


def instructions(wanted: list[Chapter], wheel: str) -> str:
    """The README of a students' edition."""
    listed = "\n".join(f"- {int(chapter.number)}. {chapter.header['title']}" for chapter in wanted)
    return INSTRUCTIONS.format(listed=listed, wheel=wheel, first=wanted[0].number, stem=wanted[0].stem)


INSTRUCTIONS = """\
# Deep Vision in Keras

{listed}

## Begin

You need Python 3.11, 3.12 or 3.13. In this folder, on Linux or macOS (on Windows: `py` for `python3`, and
`.venv\\Scripts\\` for `.venv/bin/`):

```
python3 -m venv .venv
.venv/bin/pip install -r requirements.txt {wheel}
.venv/bin/course lab              # puts your own copies of the lessons into work/ and opens them
.venv/bin/course grade {first}         # grades your answers in work/{stem}.ipynb
```

`course status` says where you are, `course doctor` what your machine has and what to do about what is missing. When
you get a newer wheel, install it, and `course update` brings the new lessons under your answers; your notebooks are
backed up first. On Colab or Kaggle, upload the wheel beside a notebook, and run first
`%pip install deep_vision_in_keras-*.whl`.

## What is in this folder

| | |
|---|---|
| `{wheel}` | the course: lessons, keys and all that runs and grades them |
| `notebooks/` | the same lessons, to read on the web or to open one alone |
| `keys/` | the same keys, one for each chapter |
| `requirements.txt` | the versions of other packages that were tested |

There are no solutions here. A key is what checks your answers on your own machine: it holds the inputs that an answer
is tried on, **the values that a right answer gives for them**, and what known mistakes give, with the hint for each.
These values are packed, not secret: whoever unpacks a key can read them. They are no answers, and a class is graded on
other inputs, drawn with a secret.
"""
