"""What Sphinx is taught for this course: formulas by KaTeX, the ✓ of a proof beside its equation, links between the
numbered things of the lessons."""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

from website.typesetting import FormulaError, MissingTool, typeset

TAG = re.compile(r"\s*\\tag\{(\d+\.\d+)\}\s*")
PROOF = re.compile(r"\((\d+\.\d+)\) ✓ (.*)")
CLAIM = re.compile(r"claim (\d+\.\d+) ✓ (.*)")
CASES = re.compile(r"([\d,]+ cases)$")
CAPTION = re.compile(r"Figure (\d+\.\d+)\.")
MENTION = re.compile(
    r"\((?P<equation>\d+\.\d+)\)"
    r"|(?P<kind>[Ee]xercise|[Ff]igure|[Cc]laim) (?P<number>\d+\.\d+)"
    r"|[Cc]hapter (?P<chapter>\d+)"
)
# Where a number is no mention, or a link would stand in another one.
UNLINKED = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def setup(app):
    app.add_config_value("anchors_file", "", "env")
    app.add_node(nodes.math_block, override=True, html=(visit_display, None), epub=(visit_display, None))
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.connect("doctree-read", number)
    return {"parallel_read_safe": True}


def visit_inline(self, node):
    self.body.append(f'<span class="math">{_html(self, node, node.astext(), False)}</span>')
    raise nodes.SkipNode


def visit_display(self, node):
    """An equation, its number, and the ✓ of its proof with the way to it."""
    formula = _html(self, node, node.astext(), True)
    number = node.get("course_number")
    beside = ""
    if number:
        proof = node.get("course_proof")
        mark = f'<a class="proved" href="#proof-{_dashed(number)}">✓ {proof}</a>' if proof else ""
        beside = f'<span class="number"><a href="#equation-{_dashed(number)}">({number})</a>{mark}</span>'
    anchor = f' id="equation-{_dashed(number)}"' if number else ""
    self.body.append(f'<div class="equation"{anchor}><div class="formula">{formula}</div>{beside}</div>\n')
    raise nodes.SkipNode


def _html(translator, node, formula, display):
    output = "mathml" if translator.builder.name == "epub" else "htmlAndMathml"
    try:
        return typeset(formula, display, output)
    except FormulaError as error:
        raise ExtensionError(f"{place(node)}: KaTeX cannot typeset {formula.strip()!r}: {error}") from None
    except MissingTool as error:
        raise ExtensionError(str(error)) from None


def place(node):
    """File and cell of a node, or file and line. myst-nb counts 10,000 lines for each cell of a notebook."""
    source, line = Path(node.source or "?"), node.line or 0
    if source.suffix != ".ipynb":
        return f"{source.name}:{line}"
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    number = min(max(line // 10_000 - 1, 0), len(cells) - 1)
    return f"notebooks/{source.name}, cell {cells[number]['id']}"


def number(app, doctree):
    """Give equations, proofs, claims and figures their addresses, and link what mentions them."""
    if not app.config.anchors_file:
        return
    anchors = json.loads(Path(app.config.anchors_file).read_text(encoding="utf-8"))
    proved = _number_printed(doctree)
    for node in doctree.findall(nodes.math_block):
        if found := TAG.search(node.astext()):
            node["course_number"] = found[1]
            node["course_proof"] = proved.get(found[1])
            bare = TAG.sub("", node.astext())
            node[:] = [nodes.Text(bare)]
    for paragraph in doctree.findall(nodes.paragraph):
        if found := CAPTION.match(paragraph.astext()):
            paragraph["classes"].append("figure-caption")
            paragraph["ids"].append(f"figure-{_dashed(found[1])}")
    for text in list(doctree.findall(nodes.Text)):
        _link_mentions(text, anchors, app.env.docname)


def _number_printed(doctree):
    """Turn the lines that proofs and claims have printed into elements with an address. Returns what each proof tried:
    dict from the equation's number to a text such as "200 cases"."""
    proved = {}
    for block in list(doctree.findall(nodes.literal_block)):
        lines = block.astext().splitlines()
        if not lines or not all(PROOF.fullmatch(line) or CLAIM.fullmatch(line) for line in lines):
            continue
        made = nodes.container(classes=["verdicts"])
        for line in lines:
            if found := PROOF.fullmatch(line):
                cases = CASES.search(found[2])
                proved[found[1]] = cases[1] if cases else found[2]
                made += _verdict(
                    f"proof-{_dashed(found[1])}", f"#equation-{_dashed(found[1])}", f"({found[1]})", found[2]
                )
            elif found := CLAIM.fullmatch(line):
                name = f"claim-{_dashed(found[1])}"
                made += _verdict(name, f"#{name}", f"claim {found[1]}", found[2])
        block.replace_self(made)
    return proved


def _verdict(name, address, label, words):
    line = nodes.paragraph("", "", ids=[name], classes=["verdict"])
    line += nodes.reference("", label, refuri=address, internal=True)
    line += [nodes.Text(" "), nodes.inline("", "✓", classes=["tick"]), nodes.Text(f" {words}")]
    return line


def _link_mentions(text, anchors, docname):
    """Replace a text by itself with links from "(3.4)", "figure 3.1", "exercise 3.2" and "chapter 3"."""
    parent = text.parent
    while parent is not None:
        if isinstance(parent, UNLINKED) or "verdict" in getattr(parent, "attributes", {}).get("classes", ()):
            return
        parent = parent.parent
    said, parts, at = text.astext(), [], 0
    for found in MENTION.finditer(said):
        kind = "equation" if found["equation"] else "chapter" if found["chapter"] else found["kind"].lower()
        numeral = found["equation"] or found["chapter"] or found["number"]
        page = anchors.get(f"{kind} {numeral}")
        begins = at == 0 and kind == "figure" and found.start() == 0  # a caption's own number
        if page is None or begins or (kind == "chapter" and page == docname):
            continue
        fragment = "" if kind == "chapter" else f"#{kind}-{_dashed(numeral)}"
        address = fragment if page == docname and fragment else f"{page}.html{fragment}"
        parts += [nodes.Text(said[at : found.start()]), nodes.reference("", found[0], refuri=address, internal=True)]
        at = found.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(said[at:])])


def _dashed(numeral):
    return numeral.replace(".", "-")
