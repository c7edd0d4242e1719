"""The words of a chapter's prose: how many, and which the field has another word for."""

import re

# Left, words that chapters have used for a notion of the field; right, the field's own. Whole words of prose, in any
# case; a word stands here only if it is wrong wherever it stands: "bend" does not, for strokes have bends.
FIELDS = {
    "picture": "image",
    "pictures": "images",
    "blame": "error signal",
    "blamed": "given an error signal",
    "heap": "distribution",
    "heaps": "distributions",
    "rightly": "correctly",
    "offsets and factors": "shift and scale",
    "factors and offsets": "scale and shift",
}
PRIVATE = re.compile(rf"\b({'|'.join(sorted(FIELDS, key=len, reverse=True))})\b", re.IGNORECASE)
DISPLAY = re.compile(r"\$\$.*?\$\$", re.DOTALL)
# What stands in Markdown and is no prose: fenced code, display and inline mathematics, code, addresses.
NO_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$|`[^`\n]*`|(?<!\\)\$[^$]*\$|\]\([^)\s]*\)", re.DOTALL)


def count(text: str) -> int:
    """The number of words of Markdown, display equations left out."""
    return len(DISPLAY.sub("", text).split())


def prose(text: str) -> str:
    """Markdown with all that is no prose blanked out, line by line and column by column as it was."""
    return NO_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def private(text: str) -> list[tuple[int, str, str]]:
    """The words of Markdown's prose that the field has another word for: a list of (line, from 0; word; its term)."""
    plain = prose(text)
    return [(plain.count("\n", 0, m.start()), m[0], FIELDS[m[0].lower()]) for m in PRIVATE.finditer(plain)]
