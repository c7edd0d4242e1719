"""What one student reads of one chapter, as Markdown, and the files that an LMS takes back."""

import io
import re
import zipfile
from collections.abc import Mapping

from course.classroom import lms, rules
from course.classroom.report import words
from course.classroom.report.words import line, markdown, name
from course.classroom.results import Result

PACKED = (1980, 1, 1, 0, 0, 0)  # the time of all that is packed, so that equal feedback makes an equal file


def feedback(result: Result, chapters: Mapping[str, str]) -> str:
    """The feedback as Markdown. It says nothing of a hidden case but how many were right."""
    title = chapters.get(result["chapter"], result["chapter"])
    handed_in = f", handed in {words.when(result['submitted'])}" if rules.timed(result) else ""
    lines = [
        f"# {title}: {result['score']:g} of {result['max_score']:g} points",
        f"{markdown(words.student(result))}, {markdown(name(result['file']))}{handed_in}.",
    ]
    if result["late_days"]:
        lines.append(f"**Late.** {words.late(result)}.")
    if result["extension"] and result["deadline"]:
        lines.append(f"More time was given, until {words.when(result['deadline'])}.")
    if result["status"] == "invalid":
        lines.append(f"**This notebook could not be graded:** {markdown(line(result['reason']))}")
    if result["status"] == "fault":
        lines.append("**This notebook was not graded yet**, through a fault of the grader, not of your answers.")
    for e in result["exercises"]:
        if e["state"] == "ungraded" and not e["override"]:
            continue
        sign, word = words.STATES[e["state"]]
        lines.append(f"## Exercise {e['exercise']} {sign} {word}: {e['points']:g} of {e['of']:g}")
        if e["state"] in ("wrong", "crashed") and e["cases"]:
            lines.append(f"{e['right']} of {e['cases']} hidden cases right.")
        if e["override"]:
            lines.append(f"**Points given by a person:** {markdown(line(e['override']))}")
        if e["hint"] and e["state"] != "passed":
            lines.append(f"**Hint:** {markdown(line(e['hint']))}")
        if e["message"] and e["state"] not in ("passed", "open"):
            text = words.block(e["message"])
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            lines.append(f"{fence}text\n{text}\n{fence}")
        if e["note"]:
            lines.append(f"Note: {markdown(line(e['note']))}")
    return "\n\n".join(lines) + "\n"


def packed(pages: list[str], results: list[Result], chapters: Mapping[str, str]) -> dict[tuple[str, str], bytes]:
    """Zips of feedback under the names that an LMS's upload wants: dict from (system, chapter) to bytes.

    pages: the feedback of each result, as HTML. Only of what came under that system's names.
    """
    members: dict[tuple[str, str], dict[str, str]] = {}
    for result, page in zip(results, pages):
        if came := lms.origin(result["file"]):
            title = chapters.get(result["chapter"], result["chapter"])
            own = members.setdefault((came.system, result["chapter"]), {})
            own[_member(f"{came.prefix}{title}.html")] = page
    return {key: _zip(own) for key, own in members.items()}


def _member(text: str) -> str:
    """A name within a zip that leads nowhere."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\ud800-\udfff]', "-", text).lstrip(".~")


def _zip(members: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in sorted(members.items()):
            info = zipfile.ZipInfo(member, PACKED)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text.encode("utf-8", "replace"))
    return stream.getvalue()
