"""Last touches to the pages, where the theme leaves something to wish for readers with a keyboard or a screen reader,
or with a slow line."""

import re

CHANGES = (
    # A part's name in the sidebar is a heading, of the level below the page's title.
    (r'<p class="caption" role="heading">', r'<p class="caption" role="heading" aria-level="2">'),
    # Two landmarks of one kind need names to be told apart.
    (r'<aside class="sidebar-drawer">', r'<aside class="sidebar-drawer" aria-label="The course">'),
    (r'<aside class="toc-drawer">', r'<aside class="toc-drawer" aria-label="On this page">'),
    # The words on an aside's button are its name.
    (r'<summary aria-label="[^"]*">', r"<summary>"),
    # What scrolls sideways by itself must be reached with the keyboard.
    (r"<pre>", r'<pre tabindex="0">'),
    (r'<div class="table-wrapper', r'<div tabindex="0" class="table-wrapper'),
    # The glossary's Chinese is read as such.
    (r"<p>([\u3400-\u9fff][^<]*)</p>", r'<p lang="zh">\1</p>'),
)
IMAGE = re.compile(r"<img ")


def finish(folder):
    """Rewrite the pages in a folder."""
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        for pattern, words in CHANGES:
            text = re.sub(pattern, words, text)
        first = IMAGE.search(text)
        if first:  # what is further down waits until it is scrolled to
            rest = IMAGE.sub('<img loading="lazy" ', text[first.end() :])
            text = text[: first.end()] + rest
        path.write_text(text, encoding="utf-8")
