"""Last touches to the pages, where the theme leaves something to wish for readers with a keyboard or a screen reader,
or with a slow line."""

import re

from PIL import Image

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
IMAGE = re.compile(r'<img (?=[^>]*?src="([^":]+\.png)")')


def finish(folder):
    """Rewrite the pages in a folder."""
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        for pattern, words in CHANGES:
            text = re.sub(pattern, words, text)
        path.write_text(with_room_for_images(text, folder), encoding="utf-8")


def with_room_for_images(text, folder):
    """A page's text in which each image has its size, so that nothing moves when it comes, and all but the first wait
    until they are scrolled to. folder: what their addresses are relative to."""
    first = True

    def sized(found):
        nonlocal first
        lazy, first = "" if first else 'loading="lazy" ', False
        with Image.open(folder / found[1]) as image:
            return f'<img {lazy}width="{image.width}" height="{image.height}" '

    return IMAGE.sub(sized, text)
