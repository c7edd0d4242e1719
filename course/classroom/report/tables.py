"""Tables of grades: nbgrader's columns, a row for each student, and what Moodle and Canvas take in."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from course.classroom import lms, rules
from course.classroom.report.words import cell, exercises, full_name
from course.classroom.results import Result

GRADES = ["assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"]
GRADES += ["raw_score", "late_submission_penalty", "score", "max_score"]
MOODLE = ["Identifier", "Full name", "Email address", "Grade", "Maximum Grade", "Last modified (grade)"]
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]


def _csv(columns: Sequence[str], rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    table = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def _who(result: Result) -> dict[str, str]:
    """What is known of a student, for a table."""
    last, first = result.get("last_name", ""), result.get("first_name", "")
    return {"last_name": cell(last), "first_name": cell(first), "email": cell(result.get("mail") or "")}


def lms_id(result: Result) -> str:
    """A student's id in the LMS, by the file that was handed in or by the roster, or ""."""
    came = lms.origin(result["file"])
    return cell(came.id if came else result.get("id") or result.get("lms_id") or "")


def grades(results: list[Result], chapters: Mapping[str, str]) -> str:
    """A row for each student and chapter: the columns of nbgrader's exporter, and one per exercise with its points."""
    rows = [
        {
            "assignment": chapters.get(r["chapter"], r["chapter"]),
            "duedate": r["deadline"],
            "timestamp": r["submitted"] if rules.timed(r) else "",
            "student_id": cell(r["student"]),
            **_who(r),
            "raw_score": r["raw"],
            "late_submission_penalty": r["penalty"],
            "score": r["score"],
            "max_score": r["max_score"],
            **{e["exercise"]: e["points"] for e in r["exercises"]},
        }
        for r in results
    ]
    return _csv([*GRADES, *exercises(results)], rows)


def wide(results: list[Result], called: Mapping[str, str]) -> str:
    """A row for each student, a column for each chapter, and their sum. called: dict from chapter to heading."""
    numbers = sorted({r["chapter"] for r in results})
    rows = []
    for student, own in _by_student(results).items():
        known = next(iter(own.values()))
        rows.append(
            {
                "student_id": cell(student),
                **_who(known),
                "login": cell(known.get("login") or ""),
                "lms_id": next(filter(None, map(lms_id, own.values())), ""),
                **{called[n]: own[n]["score"] for n in own},
                "total": round(sum(r["score"] for r in own.values()), 4),
            }
        )
    columns = ["student_id", "last_name", "first_name", "email", "login", "lms_id"]
    return _csv([*columns, *(called[n] for n in numbers), "total"], rows)


def moodle(results: list[Result]) -> str:
    """The grading worksheet of one assignment, that is one chapter."""
    return _csv(
        MOODLE,
        [
            {
                "Identifier": f"Participant {lms_id(r)}" if lms_id(r) else "",
                "Full name": cell(full_name(r) or r["student"]),
                "Email address": cell(r.get("mail") or ""),
                "Grade": r["score"],
                "Maximum Grade": r["max_score"],
                "Last modified (grade)": "-",
            }
            for r in results
        ],
    )


def canvas(results: list[Result], called: Mapping[str, str]) -> str:
    """A gradebook to import, with the row of points possible. called: dict from chapter to the assignment's name."""
    most = {called[r["chapter"]]: r["max_score"] for r in results}
    rows = [{"Student": "    Points Possible", **most}]
    for own in _by_student(results).values():
        known = next(iter(own.values()))
        last, first = known.get("last_name", ""), known.get("first_name", "")
        rows.append(
            {
                "Student": cell(f"{last}, {first}" if last else known["student"]),
                "ID": next(filter(None, map(lms_id, own.values())), ""),
                "SIS User ID": cell(known.get("number") or ""),
                "SIS Login ID": cell(known.get("login") or ""),
                "Section": cell(known.get("section") or ""),
                **{called[n]: own[n]["score"] for n in own},
            }
        )
    return _csv([*CANVAS, *sorted(most)], rows)


def _by_student(results: list[Result]) -> dict[str, dict[str, Result]]:
    """Student to {chapter: result}, those with a submission first among a student's."""
    students: dict[str, dict[str, Result]] = {}
    for r in results:
        students.setdefault(r["student"], {})[r["chapter"]] = r
    return students
