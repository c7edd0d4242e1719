"""Files that are called notebooks and are damaged or something else: read where that is safe, and named for it."""

import codecs
import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

AGAIN = (
    "take an older one from .ipynb_checkpoints/ or .course/backup/ beside it, or move it away, have `course lab` make "
    "a fresh copy, and put your answers in it"
)
LOOK = 4096  # bytes at a file's start by which it is known for something else
# What a file begins with that is no notebook, what it is, and what to do.
OTHERS = (
    (rb"PK\x03\x04", "a zip or an Office document, not a notebook", "unpack it, and hand in the .ipynb in it"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "a packed file, not a notebook", "unpack it, and hand in the .ipynb"),
    (rb"%PDF", "a PDF, not a notebook", "hand in the .ipynb that it was made from"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8", "a picture, not a notebook", "hand in the .ipynb itself"),
    (rb"\xd0\xcf\x11\xe0|\{\\rtf", "an Office document, not a notebook", "hand in the .ipynb itself"),
    (
        rb"(?:<\?xml[^>]*>\s*)?(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body|svg|div|script)\b",
        "a saved web page, not a notebook",
        "download the file itself: in Jupyter and Colab by File > Download, on GitHub by the button Raw",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the notebook", "run git lfs pull, and hand that in"),
    (rb"bplist00|<\?xml[^>]*>\s*<!DOCTYPE plist", "a placeholder of a cloud folder", "open it there, and download it"),
    (rb"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows, not the notebook", "hand in the file that it leads to"),
    (rb"#!.*python|# %%|import \w|from \w+ import|def \w+\(|# Exercise", "a Python script", "hand in the .ipynb"),
)
MARK = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)
# The lines of a conflict: where one stands, and where the text goes on after it. "both" is what the sides share.
MARKS = (
    (re.compile(r"<{7}(?: .*)?"), "both", "ours"),
    (re.compile(r"\|{7}(?: .*)?"), "ours", "base"),
    (re.compile(r"={7}"), "ours base", "theirs"),
    (re.compile(r">{7}(?: .*)?"), "theirs", "both"),
)


class Damaged(ValueError):
    """What is wrong with a file's contents and what to do: the end of a sentence that begins with the file's name."""


def parse(data: bytes, note: Callable[[str], None] = lambda sentence: None) -> Any:
    """The JSON in a notebook's bytes. note: called with a sentence where something was wrong and it could be read all
    the same. Raises Damaged."""
    if not data.strip(b" \t\r\n"):
        raise Damaged(f"is empty: {AGAIN}")
    if not data.strip(b"\0 \t\r\n"):
        raise Damaged(
            f"holds nothing but zeros ({len(data):,} bytes), as a crash or a full disk leaves: its contents are lost: "
            f"{AGAIN}"
        )
    start = data[:LOOK].removeprefix(codecs.BOM_UTF8).lstrip()
    for mark, what, do in OTHERS:
        if re.match(mark, start, re.IGNORECASE | re.DOTALL):
            raise Damaged(f"is {what}: {do}")
    text = _decoded(data)
    if zeros := len(text) - len(text.rstrip("\0")):
        text = text.rstrip("\0")
        note(f"after its end come {zeros:,} zeros, as a crash leaves; they were passed over")
    if "\0" in text:
        raise Damaged(
            f"has zeros in the middle, from character {text.index(chr(0)):,} on, as a crash or a full disk leaves: a "
            f"part of it is lost: {AGAIN}"
        )
    if MARK.search(text):
        return _merged(text, note)
    return _json(text, note)


def _decoded(data: bytes) -> str:
    """The text of a file's bytes, in UTF-8 or UTF-16."""
    encoding = "utf-8-sig"
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    elif data[:1] == b"{" and data[1:2] == b"\0":
        encoding = "utf-16-le"
    elif data[:2] == b"\0{":
        encoding = "utf-16-be"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Damaged(
            f"is not in UTF-8 (byte {error.start} is {data[error.start]:#04x}): save it from Jupyter, or with your "
            "editor's encoding set to UTF-8"
        ) from None


def _json(text: str, note: Callable[[str], None]) -> Any:
    try:
        raw, end = json.JSONDecoder().raw_decode(text, len(text) - len(text.lstrip()))
        rest, line = text[end:].strip(), text.count("\n", 0, end) + 1
        if rest and not (isinstance(raw, dict) and raw.keys() >= {"cells", "nbformat"}):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        half = "it ends in the middle, as if it were half written" if ends else error.msg
        raise Damaged(f"is not a notebook: no JSON at line {error.lineno} ({half}): {AGAIN}") from None
    except RecursionError:
        raise Damaged(f"is not a notebook: its JSON is nested too deeply: {AGAIN}") from None
    except ValueError:  # a number of more digits than Python reads
        raise Damaged(f"is not a notebook: it holds a number of thousands of digits: {AGAIN}") from None
    if _is_notebook(rest):
        raise Damaged(
            f"holds two notebooks: after the end of the first, in line {line}, comes another. Keep the one that is "
            f"yours, or {AGAIN}"
        )
    if rest:
        note(
            f"after its end, in line {line}, come {len(rest):,} characters of an older, longer state of it; they were "
            "passed over"
        )
    return raw


def _is_notebook(text: str) -> bool:
    """Whether a text begins with another notebook, as the end of an older state does not."""
    return text.startswith("{") and '"cells"' in text


def _merged(text: str, note: Callable[[str], None]) -> Any:
    """The notebook in a text with the marks of a merge that git left to a person: where both sides have the same cells,
    apart from outputs and counts, it does not matter which."""
    text = text.replace("\r\n", "\n")
    first = MARK.search(text)
    line = text.count("\n", 0, first.start() if first else 0) + 1
    sides = []
    with contextlib.suppress(Damaged):
        sides = [_json(side, lambda _: None) for side in _sides(text)]
    if sides and _cells(sides[0]) == _cells(sides[1]) is not None:
        note(f"it holds the marks of a merge by git (line {line}), whose sides differ in outputs only; it was read")
        return sides[0]
    raise Damaged(
        f"holds the marks of a merge that git could not do (<<<<<<<, =======, >>>>>>>, the first in line {line}): keep "
        "one side of each, and take the marks out; or git checkout --ours FILE, and put in what is missing"
    )


def _sides(text: str) -> tuple[str, ...]:
    """The two texts between which a merge was to choose; none where its marks do not belong together. In one pass, for
    there may be very many marks."""
    kept: dict[str, list[str]] = {"ours": [], "theirs": []}
    now = "both"
    for line in text.split("\n"):
        for mark, before, after in MARKS:
            if mark.fullmatch(line):
                if now in before.split():
                    now = after
                    break
                if MARK.match(line):
                    return ()
        else:
            for side, lines in kept.items():
                if now in (side, "both"):
                    lines.append(line)
    return tuple("\n".join(lines) for lines in kept.values()) if now == "both" else ()


def _cells(raw: Any) -> list[tuple[Any, Any]] | None:
    """What counts of a notebook's cells; None where there are none."""
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(cells, list):
        return None
    return [(c.get("cell_type"), _source(c.get("source"))) for c in cells if isinstance(c, dict)]


def _source(source: Any) -> Any:
    """A cell's text, whatever stands there for it: a text, or a list of its lines."""
    return "".join(map(str, source)) if isinstance(source, (str, list)) else source
