"""Formulas as HTML, typeset by KaTeX while the site is built: a page then needs no script and no network for them."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

from course.files import write

HERE = Path(__file__).resolve().parent.parent
KATEX = HERE / "node_modules" / "katex" / "dist"
INSTALL = f"npm ci --prefix {HERE.name}"


class FormulaError(Exception):
    """A formula that KaTeX does not accept; the message is KaTeX's."""


class MissingTool(Exception):
    """Node.js or KaTeX is not here; the message says what to do."""


def missing():
    """What typesetting needs and is not here, as a sentence, or ""."""
    if not shutil.which("node"):
        return "the site's formulas are typeset by KaTeX, which needs Node.js: install it (on Debian: apt install npm)"
    if not KATEX.is_dir():
        return f"KaTeX is not installed: run {INSTALL}"
    return ""


def write_style(folder):
    """Write KaTeX's style and fonts into a folder, in the one format that every browser of today reads."""
    css = (KATEX / "katex.min.css").read_text(encoding="utf-8")
    write(folder / "katex.min.css", re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"(?:woff|truetype)\"\)", "", css))
    for font in sorted((KATEX / "fonts").glob("*.woff2")):
        write(folder / "fonts" / font.name, font.read_bytes())


@functools.cache
def _process():
    """The one Node.js process that typesets: a request a line in, an answer a line out."""
    if lack := missing():
        raise MissingTool(lack)
    command = ["node", str(HERE / "website" / "typeset.mjs")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")


@functools.cache
def typeset(formula, display=False, output="htmlAndMathml"):
    """A formula in LaTeX as HTML. display: on a line of its own. output: KaTeX's, "mathml" for an e-book. Raises
    FormulaError and MissingTool."""
    process = _process()
    print(json.dumps([formula, display, output]), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline())
    if "error" in answer:
        raise FormulaError(answer["error"])
    return answer["html"]
