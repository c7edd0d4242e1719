"""Results as JUnit XML."""

import xml.etree.ElementTree as xml
from collections.abc import Mapping

from course.classroom.report import words
from course.classroom.results import Result


def junit(results: list[Result], chapters: Mapping[str, str]) -> str:
    """A suite for each submission, a case for each exercise."""
    top = xml.Element("testsuites", name="course grade")
    for r in words.counted(words.handed_in(results)):
        name = f"{words.name(r['student'])} {chapters.get(r['chapter'], r['chapter'])}"
        broken, cases = r["status"] != "graded", [e for e in r["exercises"] if e["state"] != "ungraded"]
        suite = xml.SubElement(
            top,
            "testsuite",
            name=name,
            tests=str(len(cases) + broken),
            failures=str(sum(e["state"] != "passed" for e in cases)),
            errors=str(int(broken)),
            time=f"{r['seconds']:.2f}",
            timestamp=r["graded"],
        )
        for e in cases:
            case = xml.SubElement(suite, "testcase", classname=name, name=f"exercise {e['exercise']}")
            if e["state"] != "passed":
                first = e["message"].strip().partition("\n")[0]
                said = words.line(e["hint"] or first or words.STATES[e["state"]][1])
                failure = xml.SubElement(case, "failure", type=e["state"], message=said)
                failure.text = words.block(e["message"])
        if broken:
            case = xml.SubElement(suite, "testcase", classname=name, name="notebook")
            xml.SubElement(case, "error", type=r["status"], message=words.line(r["reason"]))
    xml.indent(top)
    return xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"
