"""All the files that a class's results become.

All of it is made from the stored results after `course.classroom.rules.apply`. Names, answers and messages in them
are a student's work: each is escaped for where it goes, a spreadsheet, a page, Markdown, XML or a terminal, and cut;
and a page's policy lets no script and no style run but its own. A file is written whole or not at all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from course.classroom import lms
from course.classroom.layout import Unread, safe_name
from course.classroom.report import feedback, junit, page, tables, words
from course.classroom.results import Result
from course.classroom.similarity import Pair
from course.files import write


def write_reports(
    folder: Path | str,
    results: list[Result],
    unread: Sequence[Unread] = (),
    pairs: Sequence[Pair] = (),
    *,
    chapters: Mapping[str, str],
    remarks: Sequence[str] = (),
    assignments: Mapping[str, str] | None = None,
    made: datetime | None = None,
) -> list[Path]:
    """Write the tables, report.html, results.xml, feedback/<student>/<chapter>.md and .html, and what an LMS takes in.

    folder: exists. results: dicts as `rules.apply` gives them. unread: of `layout.Unread`. pairs: of
    `similarity.Pair`. chapters: dict from number to stem. remarks: sentences for the instructor that belong to no
    submission. assignments: dict from number to what an LMS calls the chapter. made: the datetime that the page bears,
    else now. Returns the paths. Raises OSError.
    """
    folder, made = Path(folder), made or datetime.now().astimezone()
    if not folder.is_dir():
        raise FileNotFoundError(2, "No such folder", str(folder))
    results = sorted(results, key=lambda r: (r["student"].casefold(), r["student"], r["chapter"]))
    called = {r["chapter"]: chapters.get(r["chapter"], r["chapter"]) for r in results}
    called |= assignments or {}
    texts: dict[str, str | bytes] = {
        "grades.csv": tables.grades(results, chapters),
        "grades-wide.csv": tables.wide(results, called),
        "report.html": page.report(results, unread, pairs, chapters, remarks, made),
        "results.xml": junit.junit(results, chapters),
    }
    handed_in = words.counted(words.handed_in(results))
    pages = [page.feedback(result, chapters) for result in handed_in]
    for result, html in zip(handed_in, pages):
        own = f"feedback/{safe_name(result['student'])}/{chapters.get(result['chapter'], result['chapter'])}"
        texts |= {f"{own}.md": feedback.feedback(result, chapters), f"{own}.html": html}
    for (system, chapter), data in feedback.packed(pages, handed_in, chapters).items():
        texts[f"{system.lower()}/{chapters.get(chapter, chapter)}-feedback.zip"] = data
    texts |= _for_lms(results, chapters, called)
    for name, text in texts.items():
        write(folder / name, text)
    return [folder / name for name in texts]


def _for_lms(results: list[Result], chapters: Mapping[str, str], called: Mapping[str, str]) -> dict[str, str]:
    """The tables for the systems from which the class came."""
    systems = {came.system for r in results if (came := lms.origin(r["file"]))}
    texts = {}
    if "Canvas" in systems:
        texts["canvas/grades.csv"] = tables.canvas(results, called)
    if "Moodle" in systems:
        for number in sorted({r["chapter"] for r in results}):
            own = [r for r in results if r["chapter"] == number]
            texts[f"moodle/{chapters.get(number, number)}-grades.csv"] = tables.moodle(own)
    return texts
