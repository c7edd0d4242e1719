"""Sections of the course's documents as pages: README, CONTRIBUTING and the records are written once, and read here."""

import re


class DocumentError(Exception):
    """A document without what a page is made of; the message names the file and what to do."""


def section(text, title, name="README.md"):
    """What stands below a heading of the second level, without the heading. Raises DocumentError."""
    found = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", _fences_kept(text))
    if not found:
        raise DocumentError(
            f"{name} has no section '## {title}', which a page of the site is made of: name it so again"
        )
    return _fences_back(found[1]).strip()


def opening(text, name="README.md"):
    """What a document begins with: below its title, up to and with the first image. Raises DocumentError."""
    found = re.search(r"(?s)\A# [^\n]*\n(.*?!\[.*?\]\(.*?\))", text)
    if not found:
        raise DocumentError(f"{name}: the landing page shows its beginning with the first image, and there is none")
    return found[1].strip()


def first_code(text, name="README.md"):
    """The first block of code in a text, with its fences. Raises DocumentError."""
    found = re.search(r"(?ms)^```.*?^```$", text)
    if not found:
        raise DocumentError(f"{name}: a page of the site shows the first block of commands, and there is none")
    return found[0]


def first_table(text, name):
    """The first table in a text. Raises DocumentError."""
    found = re.search(r"(?m)^(?:\|.*\|\n?)+", text)
    if not found:
        raise DocumentError(f"{name}: a page of the site shows its first table, and there is none")
    return found[0].strip()


def filled(path, parts):
    """A page's text with what stands in for its {{names}}. parts: dict from names to texts. Raises DocumentError."""
    text = path.read_text(encoding="utf-8")
    if unknown := set(re.findall(r"\{\{([a-z ]+)\}\}", text)) - set(parts):
        raise DocumentError(f"{path.name}: unknown names {sorted(unknown)}; known are {sorted(parts)}")
    return re.sub(r"\{\{([a-z ]+)\}\}", lambda found: parts[found[1]], text)


def relinked(text, places):
    """A text whose links to files of the checkout lead to pages. places: dict from what a link says to what it shall
    say; a link that is not in it stays."""
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    return re.sub(r"\]\(([^)\s]+)\)", lambda found: f"]({places.get(found[1], found[1])})", text)


def _fences_kept(text):
    """A text whose lines in code are no headings."""
    return re.sub(r"(?ms)^( *)```.*?^\1```", lambda block: block[0].replace("\n#", "\n\0#"), text)


def _fences_back(text):
    return text.replace("\0#", "#")
