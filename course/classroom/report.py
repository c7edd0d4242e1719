"""What a class's results become for people: a table of grades, one page to look at, feedback for each student, JUnit.

All of it is made from the stored results after `course.classroom.rules.apply`. Names, answers and messages in them
are a student's work: each is escaped for where it goes, a spreadsheet, a page, Markdown, XML or a terminal, and the
page's policy lets no script and no style run but its own. A file is written whole or not at all.
"""

import base64
import contextlib
import csv
import hashlib
import io
import os
import re
import xml.etree.ElementTree as xml
from collections import Counter, defaultdict
from datetime import datetime
from html import escape
from pathlib import Path

from course.classroom.layout import printable, safe_name

STATES = {  # in the order of the bars: a sign, so that nothing depends on colour, and what it means
    "passed": ("✓", "right"),
    "wrong": ("✗", "wrong"),
    "crashed": ("!", "crashed"),
    "timeout": ("∞", "did not end in time"),
    "open": ("○", "still open"),
    "missing": ("?", "no answer found"),
    "ungraded": ("–", "not graded"),
}
COLUMNS = ["assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"]
COLUMNS += ["raw_score", "late_submission_penalty", "score", "max_score"]
ASKING = ("not graded", "unread file", "unread files")  # figures that lead to what a person should look at
MOST_MESSAGE = 4_000  # characters of a message that are shown
MOST_SOURCE = 8_000  # characters of an answer that is shown beside one like it
MOST_ALIKE = 100  # pairs of students whose answers are shown side by side
MOST_HINTS = 5  # mistakes of one exercise that are shown before the others are folded away


def write_reports(folder, results, unread=(), pairs=(), *, chapters, remarks=(), made=None):
    """Write grades.csv, report.html, results.xml and feedback/<student>/<chapter>.md.

    folder: exists. results: dicts as `rules.apply` gives them. unread: of `layout.Unread`. pairs: of
    `similarity.Pair`. chapters: dict from number to stem. remarks: sentences for the instructor that belong to no
    submission. made: the datetime that the page bears, else now. Returns the paths. Raises OSError.
    """
    folder, results = Path(folder), _in_order(results)
    made = made or datetime.now().astimezone()
    texts = {
        folder / "grades.csv": grades_csv(results, chapters),
        folder / "report.html": report_html(results, unread, pairs, chapters, remarks, made),
        folder / "results.xml": junit(results, chapters),
    }
    for result in results:
        own = folder / "feedback" / safe_name(result["student"])
        texts[own / f"{_stem(result, chapters)}.md"] = feedback(result, chapters)
    for path, text in texts.items():
        for parent in [p for p in reversed(path.parents) if folder in p.parents]:
            parent.mkdir(exist_ok=True)
        _write(path, text)
    return list(texts)


def _write(path, text):
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _in_order(results):
    return sorted(results, key=lambda r: (r["student"].casefold(), r["student"], r["chapter"]))


def _stem(result, chapters):
    return chapters.get(result["chapter"], result["chapter"])


def _line(text, most=MOST_MESSAGE):
    """A student's text as one harmless line."""
    return printable(" ".join(str(text)[:most].split()))


def _exercises(results):
    """All exercises, in the order in which they stand."""
    numbers = {e["exercise"] for r in results for e in r["exercises"]}
    return sorted(numbers, key=lambda n: [int(part) if part.isdigit() else 0 for part in n.split(".")])


# The table of grades


def grades_csv(results, chapters):
    """A CSV text with the columns of nbgrader's exporter, and one per exercise with its points."""
    numbers, stream = _exercises(results), io.StringIO()
    table = csv.DictWriter(stream, [*COLUMNS, *numbers], restval="", lineterminator="\n")
    table.writeheader()
    for r in results:
        row = {
            "assignment": _stem(r, chapters),
            "duedate": r["deadline"],
            "timestamp": r["submitted"],
            "student_id": cell(r["student"]),
            "raw_score": r["raw"],
            "late_submission_penalty": r["penalty"],
            "score": r["score"],
            "max_score": r["max_score"],
        }
        table.writerow(row | {e["exercise"]: e["points"] for e in r["exercises"]})
    return stream.getvalue()


def cell(text):
    """A student's text for a spreadsheet, which must not take it, nor what follows a separator in it, for a formula."""
    text = printable(text)
    text = re.sub(r"([;,|\"']\s*)(?=[=+\-@＝＋－＠﹣﹢﹦﹫])", r"\1'", text)
    return f"'{text}" if re.match(r"\s*[=+\-@＝＋－＠﹣﹢﹦﹫\t\r]", text) else text


# Feedback


def feedback(result, chapters):
    """What one student reads of one chapter, as Markdown. It says nothing of a hidden case but how many were right."""
    lines = [
        f"# {_stem(result, chapters)}: {result['score']:g} of {result['max_score']:g} points",
        f"{markdown(result['student'])}, {markdown(result['file'])}, handed in {_time(result['submitted'])}.",
    ]
    if result["late_days"]:
        lines.append(f"**Late.** {late(result)}.")
    if result["status"] == "invalid":
        lines.append(f"**This notebook could not be graded:** {markdown(result['reason'])}")
    if result["status"] == "fault":
        lines.append("**This notebook was not graded yet**, through a fault of the grader, not of your answers.")
    for e in result["exercises"]:
        if e["state"] == "ungraded" and not e["override"]:
            continue
        sign, word = STATES[e["state"]]
        lines.append(f"## Exercise {e['exercise']} {sign} {word}: {e['points']:g} of {e['of']:g}")
        if e["state"] in ("wrong", "crashed") and e["cases"]:
            lines.append(f"{e['right']} of {e['cases']} hidden cases right.")
        if e["override"]:
            lines.append(f"**Points given by a person:** {markdown(e['override'])}")
        if e["hint"] and e["state"] != "passed":
            lines.append(f"**Hint:** {markdown(e['hint'])}")
        if e["message"] and e["state"] not in ("passed", "open"):
            text = _clip(e["message"], MOST_MESSAGE)
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            lines.append(f"{fence}text\n{text}\n{fence}")
        if e["note"]:
            lines.append(f"Note: {markdown(e['note'])}")
    return "\n\n".join(lines) + "\n"


def markdown(text):
    """A student's text in one line of Markdown, in which it means only itself."""
    return re.sub(r"([\\`*_\[\]<>#|~&$:@!])|(?<=\bwww)(\.)", r"\\\g<0>", _line(text))


def late(result):
    """How late, and what it costs, in words."""
    days = result["late_days"]
    since = f"{days} {'day' if days == 1 else 'days'} begun after {_time(result['deadline'])}"
    return f"{since}: {result['penalty']:g} of {result['raw']:g} points less"


def _time(text):
    """An ISO time, to the minute, with its zone."""
    when = datetime.fromisoformat(text)
    return f"{when:%Y-%m-%d %H:%M %Z}".strip()


def _clip(text, most):
    text = printable(text[:most], lines=True).strip("\n")
    return text if len(text) < most else f"{text} …"


# JUnit


def junit(results, chapters):
    """The results as JUnit XML: a suite per student and chapter, a case per exercise."""
    top = xml.Element("testsuites", name="course grade")
    for r in results:
        name = f"{printable(r['student'])} {_stem(r, chapters)}"
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
                said = _line(e["hint"] or e["message"].strip().partition("\n")[0] or STATES[e["state"]][1])
                xml.SubElement(case, "failure", type=e["state"], message=said).text = _clip(e["message"], MOST_MESSAGE)
        if broken:
            case = xml.SubElement(suite, "testcase", classname=name, name="notebook")
            xml.SubElement(case, "error", type=r["status"], message=_line(r["reason"]))
    xml.indent(top)
    return xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


# The page


def report_html(results, unread, pairs, chapters, remarks, made):
    """The whole page. It needs no network, and no script to be read."""
    numbers = sorted({r["chapter"] for r in results})
    students = defaultdict(dict)
    for r in results:
        students[r["student"]][r["chapter"]] = r
    ids = {student: f"s{i}" for i, student in enumerate(students)}
    sections = [
        ("grades", "Grades", len(students), _grades(students, numbers, chapters, ids)),
        ("exercises", "Exercises", None, _distributions(results, numbers, chapters)),
        ("mistakes", "Mistakes", None, _mistakes(results, ids)),
        ("look", "For you to look at", None, _look(results, unread, pairs, remarks, ids)),
        ("feedback", "Feedback", None, _feedback(students, chapters, ids)),
    ]
    sections = [section for section in sections if section[3]]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{content}</section>' for key, title, _, content in sections)
    policy = (
        f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>Grades, {made:%Y-%m-%d}</title><style>{STYLE}</style></head>\n<body>"
        f"<header><h1>Deep Vision in Keras: grades</h1><p>{made:%A, %d %B %Y, %H:%M}. {_listed(numbers, chapters)}</p>"
        f"{_banner(results)}{_figures(results, students, unread)}</header><nav>{links}</nav>\n<main>{body}</main>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _digest(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _h(text):
    """A student's text for the page, in one line."""
    return escape(_line(text))


def _name(student):
    return f"<bdi>{escape(printable(student))}</bdi>"


def _plural(count, word):
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _sign(state, title=""):
    sign, word = STATES[state]
    return f'<span class="sign {state}" title="{escape(title or word)}" aria-hidden="true">{sign}</span>'


def _listed(numbers, chapters):
    return escape(", ".join(chapters.get(n, n) for n in numbers)) + "." if numbers else "Nothing was handed in."


def _banner(results):
    bare = [r for r in results if not r["sandboxed"]]
    if not bare:
        return ""
    return (
        f'<p class="banner" role="alert"><strong>NOT SANDBOXED</strong> {len(bare):,} of {len(results):,} results were '
        "made without a sandbox: the students' code could reach this machine's files, its network, and the grader "
        "itself. Grade again on a machine with bubblewrap before you rely on them.</p>"
    )


def _figures(results, students, unread):
    exercises = [e for r in results for e in r["exercises"]]
    most = sum(r["max_score"] for r in results)
    right = sum(e["state"] == "passed" for e in exercises)
    broken = sum(r["status"] != "graded" for r in results)
    figures = [
        (f"{len(students):,}", "student" if len(students) == 1 else "students"),
        (f"{len(results):,}", "submission" if len(results) == 1 else "submissions"),
        (_share(sum(r["score"] for r in results), most), "of all points"),
        (_share(right, len(exercises)), "of exercises right"),
        (f"{sum(r['late_days'] > 0 for r in results):,}", "late"),
        (f"{broken:,}", "not graded"),
        (f"{len(unread):,}", "unread file" if len(unread) == 1 else "unread files"),
    ]
    boxes = ""
    for value, word in figures:
        asking = word in ASKING and value != "0"
        boxes += f"<div><dt>{word}</dt><dd>{f'<a href=#look>{value}</a>' if asking else value}</dd></div>"
    return f"<dl>{boxes}</dl>"


def _share(part, whole):
    return f"{100 * part / whole:.0f}\u202f%" if whole else "–"


def _grades(students, numbers, chapters, ids):
    """The table of students and chapters."""
    most = {n: next(r["max_score"] for own in students.values() for k, r in own.items() if k == n) for n in numbers}
    heads = "".join(
        f'<th scope="col" aria-sort="none"><button>{escape(chapters.get(n, n))}</button></th>' for n in numbers
    )
    total = '<th scope="col" aria-sort="none" class="num"><button>total</button></th>' if len(numbers) > 1 else ""
    rows = []
    for student, own in students.items():
        cells = "".join(_grade(own.get(n), ids[student]) for n in numbers)
        score = sum(r["score"] for r in own.values())
        if total:
            cells += f'<td class="num" data-v="{score}"><b>{score:g}</b> / {sum(most.values()):g}</td>'
        rows.append(f'<tr><th scope="row"><a href="#{ids[student]}">{_name(student)}</a></th>{cells}</tr>')
    return (
        f"{_legend()}<p><label>Show only students whose name has "
        '<input id="filter" type="search" autocomplete="off"></label></p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Grades"><table id="table">'
        "<caption>Points of each student and chapter, with a sign per exercise. A heading sorts the table.</caption>"
        f'<thead><tr><th scope="col" aria-sort="ascending"><button>student</button></th>{heads}{total}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _legend():
    return '<p class="legend">' + "".join(f"<span>{_sign(s)} {word}</span>" for s, (_, word) in STATES.items()) + "</p>"


def _grade(result, key):
    if result is None:
        return '<td data-v="-1"><span class="faint">nothing handed in</span></td>'
    points = f"<b>{result['score']:g}</b> / {result['max_score']:g}"
    marks = ""
    if result["late_days"]:
        marks += f'<span class="mark" title="{_h(late(result))}">{_plural(result["late_days"], "day")} late</span>'
    if any(e["override"] for e in result["exercises"]):
        marks += '<span class="mark" title="points given by a person">by hand</span>'
    if not result["sandboxed"]:
        marks += '<span class="mark bad">not sandboxed</span>'
    if result["status"] != "graded":
        word = "cannot be graded" if result["status"] == "invalid" else "fault of the grader"
        marks += (
            f'<a class="mark bad" href="#{key}-{escape(result["chapter"])}" title="{_h(result["reason"])}">{word}</a>'
        )
        strip = ""
    else:
        signs = "".join(_sign(e["state"], f"{e['exercise']} {STATES[e['state']][1]}") for e in result["exercises"])
        right = sum(e["state"] == "passed" for e in result["exercises"])
        strip = (
            f'<span class="strip">{signs}</span><span class="unseen">{right} of {len(result["exercises"])} right</span>'
        )
    return f'<td data-v="{result["score"]}"><span class="points">{points}</span>{strip}{marks}</td>'


def _distributions(results, numbers, chapters):
    """Per chapter a bar for each exercise: how many of the submissions got where."""
    blocks = []
    for number in numbers:
        of_chapter = [r for r in results if r["chapter"] == number]
        counts = {
            n: Counter(e["state"] for r in of_chapter for e in r["exercises"] if e["exercise"] == n)
            for n in _exercises(of_chapter)
        }
        bars = "".join(
            f'<tr><th scope="row">{escape(n)}</th><td class="bar">{_bar(n, count)}</td>'
            f'<td class="num">{_share(count["passed"], count.total())}</td></tr>'
            for n, count in counts.items()
        )
        present = [s for s in STATES if any(count[s] for count in counts.values())]
        heads = "".join(f'<th scope="col" class="num">{_sign(s)} {STATES[s][1]}</th>' for s in present)
        rows = "".join(
            f'<tr><th scope="row">{escape(n)}</th>'
            + "".join(f'<td class="num">{count[s] or "·"}</td>' for s in present)
            + "</tr>"
            for n, count in counts.items()
        )
        blocks.append(
            f"<h3>{escape(chapters.get(number, number))}</h3>"
            f"<table class='bars'><caption>How {_plural(len(of_chapter), 'submission')} came out, by exercise</caption>"
            f'<thead><tr><th scope="col">exercise</th><th scope="col">submissions</th>'
            f'<th scope="col" class="num">right</th></tr></thead><tbody>{bars}</tbody></table>'
            f"<details><summary>The same in numbers</summary><table><caption class='unseen'>Submissions by exercise "
            f'and outcome</caption><thead><tr><th scope="col">exercise</th>{heads}</tr></thead><tbody>{rows}</tbody>'
            "</table></details>"
        )
    return _legend() + "".join(blocks) if blocks else ""


def _bar(exercise, count):
    """A stacked bar as SVG, 700 by 22 units; every part wide enough bears its sign and number."""
    wide, whole, x, parts = 700, count.total(), 0.0, []
    for state, (sign, word) in STATES.items():
        if not count[state]:
            continue
        width = wide * count[state] / whole
        label = f"{sign} {count[state]}" if width > 34 else sign if width > 14 else ""
        parts.append(
            f'<g class="{state}"><title>{count[state]} {word}</title>'
            f'<rect x="{x:.1f}" y="0" width="{max(width - 2, 1):.1f}" height="22" rx="3"/>'
            f'<text x="{x + width / 2 - 1:.1f}" y="15.5" text-anchor="middle">{label}</text></g>'
        )
        x += width
    said = ", ".join(f"{count[s]} {word}" for s, (_, word) in STATES.items() if count[s])
    label = f"exercise {escape(exercise)}: {said}"
    return f'<svg viewBox="0 0 {wide} 22" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _mistakes(results, ids):
    """Per exercise the wrong answers, grouped by the hint they hit, the most common first."""
    groups = defaultdict(lambda: defaultdict(list))
    for r in results:
        for e in r["exercises"]:
            if e["state"] in ("wrong", "crashed", "timeout"):
                groups[e["exercise"]][e["hint"] or _unhinted(e)].append(r["student"])
    blocks = []
    for exercise in (n for n in _exercises(results) if n in groups):
        ranked = sorted(groups[exercise].items(), key=lambda g: (g[0] == "", -len(g[1]), g[0]))
        most = max(len(who) for _, who in ranked)
        items = [
            f'<li><span class="count">{len(who)}</span><svg class="small" viewBox="0 0 100 8" aria-hidden="true">'
            f'<rect class="wrong" width="{100 * len(who) / most:.1f}" height="8" rx="2"/></svg>'
            f"<div>{_h(hint) if hint else '<i>no known mistake</i>'}<details><summary>"
            f"{_plural(len(who), 'student')}</summary><p>{', '.join(_link(s, ids) for s in who)}</p></details>"
            "</div></li>"
            for hint, who in ranked
        ]
        more = items[MOST_HINTS:]
        rest = f"<details><summary>{len(more)} more</summary><ol>{''.join(more)}</ol></details>" if more else ""
        blocks.append(f"<h3>Exercise {escape(exercise)}</h3><ol class='hints'>{''.join(items[:MOST_HINTS])}</ol>{rest}")
    return "".join(blocks)


def _unhinted(row):
    """What to call a wrong answer that hit no hint: how it crashed or hung, or ""."""
    if row["state"] == "wrong":
        return ""
    raised = re.search(r"\) raised (\w+)", row["message"]) if row["state"] == "crashed" else None
    return STATES[row["state"]][1] + (f" with {raised[1]}" if raised else "")


def _link(student, ids):
    return f'<a href="#{ids[student]}">{_name(student)}</a>' if student in ids else _name(student)


def _look(results, unread, pairs, remarks, ids):
    """What needs a person: what was not graded or read, what a person changed, what is odd, what is alike."""
    broken = [
        (
            _link(r["student"], ids),
            escape(r["chapter"]),
            "file" if r["status"] == "invalid" else "grader",
            _h(r["reason"]),
        )
        for r in results
        if r["status"] != "graded"
    ]
    changed = [
        (_link(r["student"], ids), escape(e["exercise"]), f"{e['points']:g} of {e['of']:g}", _h(e["override"]))
        for r in results
        for e in r["exercises"]
        if e["override"]
    ]
    noted = [
        (_link(r["student"], ids), escape(r["chapter"]), "<br>".join(map(_h, r["notes"])))
        for r in results
        if r["notes"]
    ]
    return (
        "".join(f"<p>{_h(remark)}</p>" for remark in remarks)
        + _table("Not graded", ("student", "chapter", "whose fault", "reason"), broken)
        + _table(
            "Files that were not read", ("file", "reason"), [(f"<bdi>{_h(u.path)}</bdi>", _h(u.reason)) for u in unread]
        )
        + _table("Points given by a person", ("student", "exercise", "points", "reason"), changed)
        + _table("Notes on submissions", ("student", "chapter", "note"), noted)
        + _alike(results, pairs, ids)
    )


def _table(title, heads, rows):
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return (
        f"<details open><summary><h3>{title} <span class='faint'>{len(rows):,}</span></h3></summary><table>"
        f"<caption class='unseen'>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</details>"
    )


def _alike(results, pairs, ids):
    """Pairs of students with answers that are alike, those with the most such answers first."""
    if not pairs:
        return ""
    sources, by_students = {}, defaultdict(list)
    for r in results:
        sources.update({(r["student"], n): s for n, s in r.get("answers", {}).items() if isinstance(s, str)})
    for pair in pairs:
        by_students[pair.first, pair.second].append(pair)
    ranked = sorted(by_students.items(), key=lambda g: (-sum(p.similarity for p in g[1]), g[0]))
    blocks = []
    for (first, second), own in ranked[:MOST_ALIKE]:
        said = ", ".join(f"{escape(p.exercise)} ({100 * p.similarity:.0f}\u202f%)" for p in own)
        answers = "".join(
            f"<h4>Exercise {escape(p.exercise)}: {100 * p.similarity:.0f}\u202f% of {p.compared} parts that few others "
            'have</h4><div class="beside">'
            + "".join(
                f"<figure><figcaption>{_link(s, ids)}</figcaption>"
                f"<pre>{escape(_clip(sources.get((s, p.exercise), ''), MOST_SOURCE))}</pre></figure>"
                for s in (first, second)
            )
            + "</div>"
            for p in own
        )
        blocks.append(f"<details><summary>{_name(first)} and {_name(second)}: {said}</summary>{answers}</details>")
    more = len(ranked) - MOST_ALIKE
    return (
        f"<details open><summary><h3>Answers that are alike <span class='faint'>{len(ranked):,}</span></h3></summary>"
        "<p>Beyond what the exercise and most of the class have in common, by their syntax. This proves nothing: it "
        "says where to look, and no point depends on it.</p>"
        + "".join(blocks)
        + (f"<p>And {_plural(more, 'pair')} less alike.</p>" if more > 0 else "")
        + "</details>"
    )


def _feedback(students, chapters, ids):
    """Each student's results, folded."""
    blocks = []
    for student, own in students.items():
        scores = ", ".join(f"{escape(n)}: {r['score']:g}/{r['max_score']:g}" for n, r in own.items())
        inner = "".join(_chapter(r, chapters, f"{ids[student]}-{n}") for n, r in own.items())
        blocks.append(
            f'<details id="{ids[student]}" class="student"><summary>{_name(student)} '
            f'<span class="faint">{scores}</span></summary>{inner}</details>'
        )
    return "".join(blocks)


def _chapter(r, chapters, key):
    rows = []
    for e in r["exercises"]:
        said = []
        if e["override"]:
            said.append(f"<p><b>Points given by a person:</b> {_h(e['override'])}</p>")
        if e["state"] != "passed":
            said.append(f"<p><b>Hint:</b> {_h(e['hint'])}</p>" if e["hint"] else "")
            said.append(
                f"<pre>{escape(_clip(e['message'], MOST_MESSAGE))}</pre>"
                if e["message"] and e["state"] != "open"
                else ""
            )
        said.append(f"<p>Note: {_h(e['note'])}</p>" if e["note"] else "")
        cases = f"{e['right']} of {e['cases']}" if e["cases"] else ""
        rows.append(
            f'<tr><th scope="row">{escape(e["exercise"])}</th><td>{_sign(e["state"])} {STATES[e["state"]][1]}</td>'
            f'<td class="num">{cases}</td><td class="num">{e["points"]:g} of {e["of"]:g}</td>'
            f"<td>{''.join(said)}</td></tr>"
        )
    notes = [f"<p class='bad'><b>Not graded:</b> {_h(r['reason'])}</p>"] if r["status"] != "graded" else []
    notes += [f"<p>{escape(late(r))}.</p>"] if r["late_days"] else []
    notes += [f"<p>{_h(note)}</p>" for note in r["notes"]]
    return (
        f'<h4 id="{escape(key)}">{escape(_stem(r, chapters))}: {r["score"]:g} of {r["max_score"]:g}</h4>'
        f'<p class="faint"><bdi>{_h(r["file"])}</bdi>, handed in {_time(r["submitted"])}, '
        f"graded in {r['seconds']:.1f} s</p>"
        f"{''.join(notes)}<table><caption class='unseen'>Exercises</caption><thead><tr>"
        '<th scope="col">exercise</th><th scope="col">outcome</th><th scope="col" class="num">hidden cases right</th>'
        '<th scope="col" class="num">points</th><th scope="col">what was said</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


STYLE = """
:root{--page:#fbfbf9;--card:#fff;--ink:#1b1f24;--soft:#57606a;--line:#dcdfe3;--accent:#0b5cad;--bad:#a8200d;
--passed:#0a6b4d;--wrong:#b8460b;--crashed:#8a2f6b;--timeout:#6b4e00;--open:#e2e5e9;--missing:#59636e;--ungraded:#fff;
--on:#fff;--on-open:#1b1f24;--banner:#fff1ee}
@media (prefers-color-scheme:dark){:root{--page:#14171a;--card:#1c2024;--ink:#e8eaed;--soft:#a3acb6;--line:#363c43;
--accent:#7cb8f5;--bad:#ff9d8a;--passed:#4cc79b;--wrong:#f2a25c;--crashed:#e3a0cf;--timeout:#e0c46c;--open:#3a4149;
--missing:#98a2ad;--ungraded:#1c2024;--on:#101214;--on-open:#e8eaed;--banner:#3a1a14}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:72rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:0}h2{font-size:1.3rem;margin:2.75rem 0 .75rem;padding-bottom:.3rem;
border-bottom:2px solid var(--line)}h3{font-size:1.05rem;margin:1.4rem 0 .4rem}h4{font-size:1rem;margin:1.2rem 0 .2rem}
header>p{color:var(--soft);margin:.3rem 0 1rem}p{margin:.4rem 0}a{color:var(--accent)}
header>p.banner{border:2px solid var(--bad);border-left-width:10px;background:var(--banner);color:var(--ink);
padding:.7rem 1rem;border-radius:6px}.banner strong{color:var(--bad);font-size:1.1em;margin-right:.4em}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.6rem;margin:1rem 0}
dl>div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.55rem .8rem;display:flex;
flex-direction:column-reverse}dd{margin:0;font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums}
dt{color:var(--soft);font-size:.85rem}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.3rem;margin:1rem 0 0}
table{border-collapse:collapse;width:100%;background:var(--card);font-size:.93rem}
caption{text-align:left;color:var(--soft);font-size:.85rem;padding:.3rem 0 .4rem}
th,td{padding:.38rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
overflow-wrap:anywhere}thead th{font-size:.85rem;white-space:nowrap;overflow-wrap:normal}tbody th{font-weight:500}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th button{all:unset;cursor:pointer;color:var(--accent);font-weight:650}th button:focus-visible,.scroll:focus-visible,
summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
.scroll{overflow:auto;max-height:75vh;border:1px solid var(--line);border-radius:8px;background:var(--card)}
.scroll caption{padding-left:.7rem}.scroll thead th{position:sticky;top:0;background:var(--card);z-index:2;
box-shadow:0 1px 0 var(--line)}.scroll tbody tr:last-child>*{border-bottom:0}
.scroll tbody th{min-width:9rem;position:sticky;left:0;background:var(--card);z-index:1}
.scroll td{white-space:nowrap}.points{display:inline-block;min-width:5.2rem;font-variant-numeric:tabular-nums}
.strip{display:inline-flex;gap:2px;margin-right:.6rem}
.sign{display:inline-block;width:1.35em;height:1.35em;line-height:1.35em;font-size:.82rem;text-align:center;
border-radius:3px;font-weight:700;color:var(--on);border:1px solid transparent;box-sizing:content-box}
.sign.passed{background:var(--passed)}.sign.wrong{background:var(--wrong)}.sign.crashed{background:var(--crashed)}
.sign.timeout{background:var(--timeout)}.sign.missing{background:var(--missing)}
.sign.open{background:var(--open);color:var(--on-open)}
.sign.ungraded{background:var(--ungraded);color:var(--ink);border:1px dashed var(--soft)}
svg{display:block;width:100%;height:auto}svg text{font:600 12.5px system-ui,sans-serif;fill:var(--on)}
svg .passed{fill:var(--passed)}svg .wrong{fill:var(--wrong)}svg .crashed{fill:var(--crashed)}
svg .timeout{fill:var(--timeout)}svg .missing{fill:var(--missing)}svg .open{fill:var(--open)}
svg .ungraded rect{fill:var(--ungraded);stroke:var(--soft);stroke-dasharray:3 2}
svg .open text,svg .ungraded text{fill:var(--on-open)}
.bars{background:none}.bars td,.bars th{border:0;padding:.16rem .5rem;vertical-align:middle}
.bars th:first-child{padding-left:0;white-space:nowrap;width:4.5rem}.bars .bar{width:auto}.bars .num{width:5rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.88rem;color:var(--soft)}
.mark{display:inline-block;border:1px solid var(--line);border-radius:99px;padding:0 .55em;font-size:.8rem;
color:var(--soft);margin-right:.3rem}.bad{color:var(--bad)}.mark.bad{border-color:var(--bad)}.faint{color:var(--soft)}
span.faint{font-weight:400;font-size:.9em}
input{font:inherit;padding:.2rem .5rem;border:1px solid var(--soft);border-radius:6px;background:var(--card);
color:var(--ink)}
details{margin:.35rem 0}summary{cursor:pointer;overflow-wrap:anywhere}
summary h3{display:inline-block;margin:.9rem 0 .3rem}
details.student{border:1px solid var(--line);border-radius:8px;background:var(--card);padding:.45rem .8rem}
details.student>summary{font-weight:600}
ol.hints,details>ol{list-style:none;padding:0;margin:.3rem 0}ol>li{display:grid;
grid-template-columns:2.2rem 6rem 1fr;gap:.7rem;padding:.3rem 0;align-items:start}
.count{font-weight:650;text-align:right;font-variant-numeric:tabular-nums}svg.small{margin-top:.5rem}
li details{margin:0;font-size:.87rem;color:var(--soft)}
pre{margin:.3rem 0;padding:.6rem .8rem;background:var(--page);border:1px solid var(--line);border-radius:6px;
font:.84rem/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;
overflow-wrap:anywhere;max-height:28rem;overflow:auto}
.beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.8rem}figure{margin:0;min-width:0}
figcaption{font-size:.88rem}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--accent:#000;--bad:#900;--passed:#0a6b4d;
--wrong:#b8460b;--crashed:#8a2f6b;--timeout:#6b4e00;--open:#e2e5e9;--missing:#59636e;--ungraded:#fff;--on:#fff;
--on-open:#000;--banner:#fff}body{max-width:none;padding:0;font-size:10.5pt}nav,label{display:none}
.scroll{max-height:none;overflow:visible;border:0}.scroll th{position:static!important}pre{max-height:none}
a{text-decoration:none}
tr,li,h2,h3,svg{break-inside:avoid}h2,h3,h4{break-after:avoid}.sign,rect{print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""

SCRIPT = """
"use strict";
const table = document.getElementById("table"), filter = document.getElementById("filter");
if (table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.firstElementChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === (i ? "descending" : "ascending") ? -1 : 1;
    heads.forEach((h) => h.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", (sign === 1) === (i > 0) ? "descending" : "ascending");
    const by = i ? (a, b) => b.cells[i].dataset.v - a.cells[i].dataset.v
                 : (a, b) => a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    body.append(...[...body.rows].sort((a, b) => sign * by(a, b)));
  }));
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    const hide = (element, name) => { element.hidden = !name.toLowerCase().includes(wanted); };
    for (const row of body.rows) hide(row, row.cells[0].textContent);
    for (const own of document.querySelectorAll("details.student")) hide(own, own.querySelector("bdi").textContent);
  });
}
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
"""
