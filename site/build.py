"""`make site`: the course's website, built of the committed notebooks without executing them.

    python site/build.py [--out FOLDER] [--repository ADDRESS] [--students]

Bad input stops the build before Sphinx begins, and what is built is looked through: every link inside the site leads
somewhere, every image has its words, no page asks anything of the network. Exit status 1, and a line for each fault.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PROCESSES = 2
sys.path.insert(0, str(HERE))

from course.authoring import chapters, release  # noqa: E402
from website import built, documents, finishing, launching, refusing, sources, typesetting  # noqa: E402

FAULTS = (chapters.ChapterError, documents.DocumentError, launching.AddressError, release.ReleaseError)


class SiteError(Exception):
    """A site that cannot be made; the message has a line for each fault."""


def build(out, repository=None, students=False, say=print):
    """Build the site into a folder, in `html`. repository: a launching.Repository, or None. say: told, in words, what
    is done. Returns the folder of its pages. Raises SiteError; then the pages of an earlier build are left alone."""
    out = Path(out).resolve()
    if lack := typesetting.missing():
        raise SiteError(lack)
    say("reading the notebooks")
    _refuse(refusing.problems(chapters.sources()))
    source, downloads, html = out / "source", out / "downloads", out / "html"
    sources.write_sources(source, downloads, repository, students)
    typesetting.write_style(out / "static" / "katex")
    new = out / "html.part"
    shutil.rmtree(new, ignore_errors=True)
    say("making the pages")
    _refuse(_sphinx(source, new, downloads, out / "static"))
    for leftover in ("objects.inv", ".buildinfo", ".doctrees", "_sources"):
        path = new / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    finishing.finish(new)
    say("looking through the pages")
    _refuse(built.problems(new, source))
    shutil.rmtree(out / "jupyter_execute", ignore_errors=True)  # MyST-NB's copies of images that the pages have
    shutil.rmtree(html, ignore_errors=True)
    new.rename(html)
    return html


def _sphinx(source, out, downloads, static):
    """Run Sphinx; what it warned of, as sentences."""
    import io

    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.console import nocolor

    nocolor()
    warnings = io.StringIO()
    settings = {
        "anchors_file": str(source / "anchors.json"),
        "html_extra_path": [str(downloads)],
        "html_static_path": [str(HERE / "style"), str(static)],
    }
    try:
        app = Sphinx(
            source, HERE, out, out / ".doctrees", "html", settings, status=None, warning=warnings, parallel=PROCESSES
        )
        app.build()
    except SphinxError as error:
        return [str(error)]
    return [built.with_cell(line, source) for line in warnings.getvalue().splitlines() if line.strip()]


def _refuse(problems):
    if problems:
        raise SiteError("\n".join(problems))


def main(words=None):
    parser = argparse.ArgumentParser(description="Build the course's website.")
    parser.add_argument("--out", default=ROOT / "build" / "site", help="the folder to build in (default: build/site)")
    parser.add_argument("--repository", help="https://github.com/owner/name, for the buttons that open a lesson")
    parser.add_argument("--students", action="store_true", help="leave the solutions out")
    chosen = parser.parse_args(words)
    begun = time.perf_counter()
    address = launching.configured(ROOT / "pyproject.toml") if chosen.repository is None else chosen.repository
    try:
        html = build(chosen.out, launching.read(address), chosen.students)
    except (SiteError, *FAULTS) as error:
        sys.exit(f"the site was not built:\n{error}")
    seconds = time.perf_counter() - begun
    pages, largest = built.sizes(html)
    print(f"{html / 'index.html'}: {pages} pages in {seconds:.0f} s; the largest takes {largest / 1e6:.2f} MB to open")


if __name__ == "__main__":
    main()
