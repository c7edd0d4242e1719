"""The pages as they were built: whether every link inside the site leads somewhere, every image has its words, no
address is there twice, and nothing is fetched from elsewhere."""

import json
import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}
STYLE_ADDRESS = re.compile(r"url\(\s*['\"]?([^'\")]+)")
CELL = re.compile(r"(?P<file>[^:]*\.ipynb):(?P<line>\d+): ")


class Page(HTMLParser):
    """What a page holds. links: the addresses that it leads to. fetched: those that it needs to be shown. ids: Counter.
    silent: the images without words."""

    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.ids, self.silent = [], [], Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if given.get("id"):
            self.ids[given["id"]] += 1
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in FETCHED and given.get(FETCHED[tag]) and given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(given[FETCHED[tag]])
        if tag == "img" and not given.get("alt"):
            self.silent.append(given.get("src", "?"))


@cache
def read(path):
    """A page, looked through."""
    return Page(path.read_text(encoding="utf-8"))


def problems(folder, sources):
    """What is wrong with the pages in a folder: a list of sentences. sources: the folder that they were made of."""
    read.cache_clear()
    found = []
    for path in sorted(folder.rglob("*.html")):
        page, name = read(path), path.relative_to(folder)
        found += [f"{name}: {count} elements have the id {one!r}" for one, count in page.ids.items() if count > 1]
        found += [f"{name}: the image {source} has no alt text" for source in page.silent]
        for address in page.fetched:
            if urlsplit(address).scheme not in ("", "data") or urlsplit(address).netloc:
                found.append(f"{name}: it fetches {address} from elsewhere; make it a file of the site")
            elif fault := dead(address, path, folder):
                found.append(f"{name}: it fetches {address}, {fault}")
        for address in dict.fromkeys(page.links):
            if fault := dead(address, path, folder):
                found.append(f"{origin(address, path, sources) or name}: the link to {address}, {fault}")
    for path in sorted(folder.rglob("*.css")):
        for address in STYLE_ADDRESS.findall(path.read_text(encoding="utf-8")):
            if re.match(r"(https?:)?//", address):
                found.append(f"{path.relative_to(folder)}: it fetches {address} from elsewhere")
            elif not address.startswith(("data:", "#")) and (fault := dead(address, path, folder)):
                found.append(f"{path.relative_to(folder)}: it fetches {address}, {fault}")
    return found


def dead(address, path, folder):
    """Why an address on a page leads nowhere, or "". Addresses outside the site are not asked."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(folder):
        return "and there is no such file"
    fragment = unquote(parts.fragment)
    if fragment and target.suffix == ".html" and not read(target).ids[fragment]:
        return f"and {target.name} has no place of that name"
    return ""


def origin(address, path, sources):
    """File and cell that a page's link stands in, or ""."""
    source = sources / f"{path.stem}.ipynb"
    if not source.exists():
        return ""
    target = urlsplit(address).path.rsplit("/", 1)[-1].removesuffix(".html") or address
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and (f"]({address}" in text or f"]({target}" in text):
            return f"notebooks/{source.name}, cell {cell['id']}"
    return ""


def with_cell(line, sources):
    """A line of Sphinx's with the cell named in the place of myst-nb's line, which counts 10,000 for each cell."""
    found = CELL.search(line)
    if not found or not Path(found["file"]).exists():
        return line.replace(f"{sources}/", "")
    cells = json.loads(Path(found["file"]).read_text(encoding="utf-8"))["cells"]
    number = min(max(int(found["line"]) // 10_000 - 1, 0), len(cells) - 1)
    return f"notebooks/{Path(found['file']).name}, cell {cells[number]['id']}: {line[found.end() :]}"


def sizes(folder):
    """How many pages there are, and how many bytes the heaviest takes to open, all that it fetches included."""
    weights = []
    for path in folder.glob("*.html"):
        files = {(path.parent / unquote(urlsplit(one).path)).resolve() for one in read(path).fetched}
        fonts = sum(font.stat().st_size for font in (folder / "_static" / "katex" / "fonts").iterdir())
        weights.append(path.stat().st_size + fonts + sum(one.stat().st_size for one in files if one.is_file()))
    return len(weights), max(weights)
