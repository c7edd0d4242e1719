"""The terms and symbols that the chapters' headers define, brought together: a page that no author writes.

A header's `terms` are what the chapter introduces, each with a line that says what it means and with the Chinese term;
its `symbols` are what its mathematics introduces. A term's own symbol is listed as one that stands for the term.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from course.authoring.chapters import Entry
from course.authoring.notebooks import KERNELSPEC, unique_id

PAGE = "glossary.ipynb"
LEAST = 8  # terms of a chapter
HAN = re.compile(r"[\u3400-\u9fff]")
INTRODUCTION = """\
# Glossary and notation

Each term stands under its first letter, with its symbol where it has one, the chapter that introduces it, and its name
in Chinese. To find a word on this page, in English or Chinese, click into it and press **Ctrl+F** (⌘F on a Mac); the
list of contents at JupyterLab's left edge leads to a letter. [All chapters](index.ipynb)"""


def terms(entries: list[Entry]) -> list[tuple[dict[str, Any], Entry]]:
    """What the chapters define: a list of (term, a dict as in the header; Entry). entries: from `chapters.entries`."""
    return [(term, entry) for entry in entries for term in entry.header.get("terms", ())]


def symbols(entries: list[Entry]) -> list[tuple[str, str, Entry]]:
    """What the symbols stand for: a list of (symbol, meaning, Entry)."""
    found = []
    for entry in entries:
        found += [(symbol, meaning, entry) for symbol, meaning in entry.header.get("symbols", {}).items()]
        found += [(t["symbol"], t["term"], entry) for t in entry.header.get("terms", ()) if "symbol" in t]
    return found


def tokens(latex: str) -> list[str]:
    """The commands and characters of a formula, without what makes no difference: dollar signs, braces and blanks."""
    return re.findall(r"\\[a-zA-Z]+|\\.|[^\s${}]", latex)


def holds(formula: list[str], symbol: str) -> bool:
    """Whether a symbol stands in a formula, given as tokens. A \\cdot in the symbol stands for anything."""
    at = 0
    for part in " ".join(tokens(symbol)).split(r"\cdot"):
        wanted = part.split()
        starts = range(at, len(formula) - len(wanted) + 1)
        found = next((start + len(wanted) for start in starts if formula[start : start + len(wanted)] == wanted), None)
        if found is None:
            return False
        at = found
    return True


def clashes(entries: list[Entry], number: str) -> list[str]:
    """What a chapter defines and another one does too: sentences. number: the chapter's. Two chapters may list a symbol
    if it means the same in both."""
    found = []
    own = [entry for entry in entries if entry.number == number]
    for term, _ in terms(own):
        for other, entry in terms(entries):
            if other is not term and other["term"].casefold() == term["term"].casefold():
                found.append(
                    f"the term {term['term']!r} is defined in {entry.stem}.py too: only where it is first used"
                )
    for symbol, meaning, here in symbols(own):
        for sign, elsewhere, entry in symbols(entries):
            if tokens(sign) == tokens(symbol) and elsewhere != meaning:
                place = "here too" if entry.number == here.number else f"in {entry.stem}.py"
                found.append(f"{symbol} is {meaning!r} and, {place}, {elsewhere!r}: a symbol has one meaning")
    return found


def pattern(term: str) -> str:
    """A regular expression for a term in prose, in any case, over the end of a line too, in the singular or plural."""
    words = [re.escape(word) for word in term.split()]
    last = words[-1]
    words[-1] = rf"{last[:-1]}(?:y|ies)" if last.endswith("y") else rf"{last}(?:s|es)?"
    return r"(?<!\w)" + r"\s+".join(words) + r"(?!\w)"


def notebook(entries: list[Entry]) -> Any:
    """The page: introduction, notation, and a cell of terms for each letter."""
    import nbformat.v4 as v4

    texts = [INTRODUCTION, notation(entries)] if symbols(entries) else [INTRODUCTION]
    letters = defaultdict(list)
    for term, entry in sorted(terms(entries), key=lambda pair: pair[0]["term"].casefold()):
        first = term["term"][0].upper()
        letters[first if first.isalpha() else "0–9"].append((term, entry))
    for letter in sorted(letters):
        rows = [
            [f"**{t['term']}**", t.get("symbol", ""), t["means"], t["zh"], link(e)] for t, e in letters[letter]
        ]  # fmt: skip
        texts.append(f"## {letter}\n\n" + table(["term", "symbol", "meaning", "中文", "chapter"], rows))
    cells = [v4.new_markdown_cell(text, id=unique_id(text, set())) for text in texts]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def notation(entries: list[Entry]) -> str:
    """The table of all symbols: each with what it stands for and the first chapter that says so."""
    rows: dict[tuple[str, str], list[str]] = {}
    for symbol, meaning, entry in symbols(entries):
        rows.setdefault(("".join(tokens(symbol)), meaning), [symbol, meaning, link(entry)])
    order = sorted(rows, key=lambda key: (re.sub("[^a-z]", "", key[0].lower()), key))
    return "## Notation\n\n" + table(["symbol", "stands for", "chapter"], [rows[key] for key in order])


def link(entry: Entry) -> str:
    """A link to a chapter, by its number."""
    return f"[{int(entry.number)}]({entry.stem}.ipynb)"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that a table can hold: a bar would end the cell, in mathematics too."""
    parts = re.split(r"(\$[^$]*\$)", " ".join(text.split()))
    for at, part in enumerate(parts):
        if at % 2:
            parts[at] = part.replace("\\|", r"\Vert ").replace("|", r"\vert ")
        else:
            parts[at] = part.replace("|", "\\|")
    return "".join(parts)
