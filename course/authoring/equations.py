"""How wide an equation is on a page, estimated from its LaTeX.

Measured against what JupyterLab's MathJax drew of 168 equations of the chapters: no width is wrong by more than 13 %,
and of the 47 equations that did not fit a window of 1024 pixels `ROOM` finds 46, and none that did fit.
"""

import re

EM = 17.6  # pixels
LABEL = 126  # pixels that an equation's number takes, with the room that keeps the equation in the middle
ROOM = 550  # pixels for a text in JupyterLab's window of 1024, beside its list of files
TOKEN = re.compile(r"\\([a-zA-Z]+|.)|([{}^_&])|\s+|(.)", re.DOTALL)
SPACES = {"quad": 1, "qquad": 2, ",": 0.17, ";": 0.28, ":": 0.22, "!": -0.17, " ": 0.3, "enspace": 0.5}
FRACTIONS = {"frac": 1, "dfrac": 1, "tfrac": 0.7, "binom": 1}
WORDS = ("text", "textrm", "mathrm", "mathsf", "mathit", "operatorname")  # set letter by letter
LETTERS = 0.46  # em a letter of a word
DECORATIONS = (
    "hat", "tilde", "bar", "vec", "dot", "mathbb", "mathbf", "mathcal", "mathfrak", "boldsymbol", "phantom",
    "overline", "underline", "widehat", "widetilde", "sqrt",
)  # fmt: skip
BRACES = ("underbrace", "overbrace", "underset", "overset", "stackrel")
LIMITS = {"sum": 1.45, "prod": 1.3, "max": 1.9, "min": 1.8, "lim": 1.6, "inf": 1.5, "sup": 1.6}  # limits stand below
FUNCTIONS = ("log", "exp", "sin", "cos", "tan", "tanh", "arg", "det", "ln", "dim", "ker", "deg", "Pr")
NOTHING = (
    "left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg", "biggl", "biggr", "Biggl", "Biggr",
    "limits", "nolimits", "displaystyle", "textstyle", "scriptstyle", "nonumber", "hline",
)  # fmt: skip
RELATIONS = {
    "implies": 2.2, "iff": 2.2, "Longrightarrow": 2.2, "longrightarrow": 2.2, "mid": 0.83, "in": 1.2, "prime": 0.3,
    **dict.fromkeys(("cdot", "times", "pm", "mp", "star", "ast", "odot", "circ", "cup", "cap", "otimes"), 1.1),
    **dict.fromkeys(("cdots", "dots", "ldots"), 1.3),
    **dict.fromkeys((
        "le", "ge", "ne", "leq", "geq", "neq", "approx", "sim", "to", "mapsto", "gets", "equiv", "propto", "ll", "gg",
        "Rightarrow", "rightarrow", "Leftarrow", "leftarrow", "parallel", "subset", "subseteq",
    ), 1.4),
}  # fmt: skip
SIGNS = {**dict.fromkeys("=<>", 1.33), **dict.fromkeys("+-*", 1.2), **dict.fromkeys(",;", 0.44)}
SIGNS |= dict.fromkeys("()[]|!.:'/", 0.39) | dict.fromkeys("0123456789", 0.5)
SCRIPT = 0.7  # how much smaller an index is


def pixels(latex: str) -> float:
    """About how many pixels a display equation needs in JupyterLab, its number with it. latex: without the $$."""
    body, numbered = re.subn(r"\\tag\{[^}]*\}", "", latex)
    return EM * width(body) + LABEL * bool(numbered)


def width(latex: str) -> float:
    """About how many em a formula takes, the widest of its lines if there are several."""
    tokens = [found[0] for found in TOKEN.finditer(latex) if found[0].strip() or found[0].startswith("\\")]
    return _table(tokens)


def _table(tokens: list[str], gap: float = 0) -> float:
    """The width of rows, cut at \\\\, of cells, cut at &: each column is as wide as its widest cell."""
    columns: dict[int, float] = {}
    for row in _cut(tokens, "\\\\"):
        for at, cell in enumerate(_cut(row, "&")):
            columns[at] = max(columns.get(at, 0), _line(cell))
    return sum(columns.values()) + gap * (len(columns) - 1)


def _cut(tokens: list[str], at: str) -> list[list[str]]:
    """The lists between tokens `at` that stand in no group and in no environment."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in ("{", "\\begin")) - (token in ("}", "\\end"))
        if token == at and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _line(tokens: list[str]) -> float:
    """The width of one line of tokens."""
    total, at = 0.0, 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        name = token[1:] if token.startswith("\\") else None
        if token in "^_":
            scripts, at = _scripts(tokens, at - 1)
            total += scripts
        elif name is None:
            total += SIGNS.get(token, 0 if token in "{}&" else 0.75 if token.isupper() else 0.53)
        elif name in FRACTIONS:
            above, at = _group(tokens, at)
            below, at = _group(tokens, at)
            total += FRACTIONS[name] * max(_line(above), _line(below)) + (0.8 if name == "binom" else 0.25)
        elif name in BRACES:
            under, at = _group(tokens, at)
            scripts, at = _scripts(tokens, at)
            total += max(_line(under), scripts)
        elif name in WORDS:
            word, at = _group(tokens, at)
            letters = sum(len(one.lstrip("\\")) for one in word if one not in "{}")
            total += LETTERS * letters * (1.15 if name == "text" else 1)  # a blank is no token
        elif name in DECORATIONS:
            under, at = _group(tokens, at)
            total += _line(under) + 0.9 * (name == "sqrt")
        elif name in LIMITS:
            scripts, at = _scripts(tokens, at)
            total += max(LIMITS[name], scripts) + 0.17
        elif name == "begin":
            kind, at = _group(tokens, at)
            inside, at = _environment(tokens, at)
            cases = "".join(kind) == "cases"
            total += _table(inside, gap=1.0 if cases else 0.3) + 0.9 * cases
        elif name not in NOTHING:
            total += SPACES.get(name, RELATIONS.get(name, 0.5 * len(name) + 0.17 if name in FUNCTIONS else 0.58))
    return total


def _group(tokens: list[str], at: int) -> tuple[list[str], int]:
    """What a command is given from position `at`: ({...} without braces, or one token, or a command with what it is
    given itself; the position behind it)."""
    if at >= len(tokens):
        return [], at
    if tokens[at] != "{":
        name = tokens[at][1:]
        if tokens[at].startswith("\\") and (name in WORDS or name in DECORATIONS):
            inside, end = _group(tokens, at + 1)
            return [tokens[at], "{", *inside, "}"], end
        return [tokens[at]], at + 1
    depth = 0
    for end in range(at, len(tokens)):
        depth += (tokens[end] == "{") - (tokens[end] == "}")
        if depth == 0:
            return tokens[at + 1 : end], end + 1
    return tokens[at + 1 :], len(tokens)


def _environment(tokens: list[str], at: int) -> tuple[list[str], int]:
    """What stands between \\begin{...}, whose end is at position `at`, and its \\end{...}, and the position behind."""
    depth = 1
    for end in range(at, len(tokens)):
        depth += (tokens[end] == "\\begin") - (tokens[end] == "\\end")
        if depth == 0:
            return tokens[at:end], _group(tokens, end + 1)[1]
    return tokens[at:], len(tokens)


def _scripts(tokens: list[str], at: int) -> tuple[float, int]:
    """The width of the indices and exponents from position `at`, one above the other, and the position behind them."""
    widest, seen = 0.0, set()
    while at < len(tokens) and tokens[at] in "^_" and tokens[at] not in seen:
        seen.add(tokens[at])
        inside, at = _group(tokens, at + 1)
        widest = max(widest, SCRIPT * _line(inside))
    return widest, at
