"""Broken and hostile files, of the small chapter."""

import io
import json
import stat
import warnings
import zipfile
from pathlib import Path

import nbformat
from helpers import MEND, NAME, TWICE, answered


def with_answer(small, source):
    return nbformat.writes(answered(small, _90_1=source))


def cells(*sources, **more):
    """A notebook's text from raw cells, as no editor would write it."""
    made = [{"cell_type": "code", "source": s, "metadata": {}, "outputs": []} | more for s in sources]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def zipped(*entries):
    """A zip's bytes, of pairs of a name, or a ZipInfo, and a content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two entries of one name
        for name, content in entries:
            archive.writestr(name, content)
    return stream.getvalue()


def link(name):
    """A zip's entry that is a link."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def merged(count):
    """A notebook with the marks of a merge, in which a cell's source is a number."""
    sides = "\n=======\n".join(f'"execution_count": {count + i}' for i in range(2))
    text = f'"source": 7,\n<<<<<<< a\n{sides}\n>>>>>>> b\n'
    return f'{{"cells": [{{"cell_type": "code", {text}}}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'


def locked(data):
    """The bytes of a zip, with its entries marked as encrypted."""
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.index(mark) + at
        data = data[:place] + bytes([data[place] | 1]) + data[place + 1 :]
    return data


def files(small):
    """Broken and hostile files: name -> (what is in the student's folder, status, state of exercise 90.1 or None)."""
    good = with_answer(small, TWICE)
    blank = (small / "notebooks" / NAME).read_text(encoding="utf-8")
    solved = (small / "solutions" / NAME).read_text(encoding="utf-8")
    forged = json.loads(blank)
    for cell, real in zip(forged["cells"], json.loads(solved)["cells"]):
        if "outputs" in cell:
            cell["outputs"], cell["execution_count"] = real["outputs"], 1
    kernel = json.loads(good)
    kernel["metadata"]["kernelspec"] = {"name": "evil", "display_name": "evil", "argv": ["touch", "/tmp/owned"]}
    evil_py = "import os\nos._exit(0)\nraise SystemExit('owned')\n"
    huge = {"cells": [], "metadata": {"x": "x" * (51 * 2**20)}, "nbformat": 4, "nbformat_minor": 5}
    return {
        "file right": ({NAME: good}, "graded", "passed"),
        "file blank": ({NAME: blank}, "graded", "open"),
        "file forged outputs": ({NAME: json.dumps(forged)}, "graded", "open"),
        "file hostile kernelspec": ({NAME: json.dumps(kernel)}, "graded", "passed"),
        "file empty": ({NAME: ""}, "invalid", None),
        "file binary": ({NAME: b"\x00\xff\xfe\x80" * 1000}, "invalid", None),
        "file half": ({NAME: good[: len(good) // 2]}, "invalid", None),
        "file huge": ({NAME: json.dumps(huge)}, "invalid", None),
        "file deep": ({NAME: '{"cells":' + "[" * 200_000}, "invalid", None),
        "file list": ({NAME: "[]"}, "invalid", None),
        "file cells a dict": ({NAME: '{"cells": {"a": 1}}'}, "invalid", None),
        "file cells are numbers": ({NAME: '{"cells": [1, null, [2], {"cell_type": 7}]}'}, "graded", "missing"),
        "file sources are numbers": ({NAME: cells(7, None, {"a": 1})}, "graded", "missing"),
        "file metadata a list": ({NAME: cells(TWICE, metadata=[1])}, "graded", "passed"),
        "file NaN": ({NAME: cells(TWICE, execution_count=float("nan"))}, "graded", "passed"),
        "file same ids": ({NAME: cells(TWICE, MEND, id="exercise-90-1")}, "graded", "passed"),
        "file null bytes": ({NAME: cells("# Exercise 90.1\n\0def twice(x): return 2 * x")}, "graded", "crashed"),
        "file lone surrogate": ({NAME: cells("# Exercise 90.1\nx = '\ud800'\n" + TWICE)}, "graded", None),
        "file Cyrillic marker": (
            {NAME: cells("# \u0415xercise 90.1\ndef tw\u0456ce(x): return 2*x")},
            "graded",
            "missing",
        ),
        "file full-width digits": ({NAME: cells("# Exercise \uff19\uff10.\uff11\nx = 1")}, "graded", "missing"),
        "file one-dot leader": ({NAME: cells("# Exercise 90\u20241\nx = 1")}, "graded", "missing"),
        "file marker in a text": ({NAME: cells('x = """\n# Exercise 90.1\n"""')}, "graded", "missing"),
        "file a million cells": ({NAME: cells(*["x = 1"] * 20_000)}, "graded", "missing"),
        "file conftest beside": (
            {NAME: good, "conftest.py": evil_py, "pytest.ini": "[pytest]\naddopts = --co"},
            "graded",
            "passed",
        ),
        "file sitecustomize beside": (
            {
                NAME: good,
                "sitecustomize.py": evil_py,
                "evil.pth": "import os; os._exit(0)",
                "course.py": evil_py,
                "numpy.py": evil_py,
            },
            "graded",
            "passed",
        ),
        "file link": ({NAME: Path(small / "solutions" / NAME)}, None, None),
        "file link to a folder": ({"deep": Path(small / "solutions")}, None, None),
        "file fifo": ({NAME: "fifo"}, None, None),
        "file renamed": ({"final (2).ipynb": good}, "graded", "passed"),
        "file twice": ({"old/" + NAME: blank, "new/" + NAME: good}, "graded", "passed"),
        "file of comments": ({NAME: "<!---->" * 600 + "<x>"}, "invalid", None),
        "file of marks of a merge": ({NAME: "<<<<<<< a\n" * 100_000}, "invalid", None),
        "file of all marks of a merge": ({NAME: ("<<<<<<<\n" + "|||||||\n=======\n" * 99) * 99}, "invalid", None),
        "file merged": ({NAME: merged(3)}, "graded", "missing"),
        "file of thousands of digits": ({NAME: cells(f"# Exercise {'9' * 5000}.1\nx = 1")}, "graded", "missing"),
        "file of all exercises": (
            {NAME: cells("".join(f"# Exercise {i}.1\n" for i in range(30_000)))},
            "graded",
            "missing",
        ),
        # Wrong, or on a busy machine too slow; never right.
        "file of long code": (
            {NAME: cells(*["def twice(x): return 3 * x\n" + "x = 1\n" * 15_000] * 20)},
            "graded",
            ("wrong", "timeout"),
        ),
        "file soft hyphen": ({NAME: cells("# Exer\u00adcise 90.1\ndef tw\u00adice(x): pass")}, "graded", "missing"),
        "file form feeds": ({NAME: cells(TWICE.replace("def", "\fdef"), MEND)}, "graded", "passed"),
        "file keys twice": ({NAME: '{"cells": [7], "metadata": 1, ' + good.lstrip()[1:]}, "graded", "passed"),
        "file long id": ({NAME: cells(TWICE, id="x" * 2_000_000)}, "graded", "passed"),
        "file nested metadata": ({NAME: cells(TWICE, metadata=eval("[" * 80 + "]" * 80))}, "graded", "passed"),
        "file many outputs": ({NAME: cells(TWICE, outputs=[[]] * 1_000_000)}, "graded", "passed"),
        "file UTF-16": ({NAME: good.encode("utf-16")}, "graded", "passed"),
        "file two byte order marks": ({NAME: "\ufeff\ufeff" + good}, "invalid", None),
        "zip leads out": (
            {"a.zip": zipped(("../../../../tmp/owned", "x"), ("/tmp/owned", "x"), (NAME, good))},
            "graded",
            "passed",
        ),
        "zip one name twice": ({"a.zip": zipped((NAME, good), (NAME, blank))}, "graded", "passed"),
        "zip names alike": (
            {"a.zip": zipped((NAME.upper(), blank), (NAME, good), ("90_Adding.IPYNB", blank))},
            "graded",
            "passed",
        ),
        "zip devices": (
            {"a.zip": zipped(("CON.ipynb", good), ("aux/NUL", "x"), ("C:\\x\\y.txt", "x"))},
            "graded",
            "passed",
        ),
        "zip links": (
            {"a.zip": zipped((link("etc"), "/etc"), (link(f"x/{NAME}"), str(small)), (NAME, good))},
            "graded",
            "passed",
        ),
        "zip locked": ({f"{NAME}.zip": locked(zipped((NAME, good)))}, "invalid", None),
        "zip of zeros": ({f"{NAME}.zip": zipped((NAME, bytes(45 * 2**20)))}, "invalid", None),
        "<img src=x onerror=alert(1)>": ({NAME: good}, "graded", "passed"),
        "=HYPERLINK(1)": ({NAME: good}, "graded", "passed"),
        "\x1b]0;owned\x07": ({NAME: good}, "graded", "passed"),
        "log": ({f"{NAME[:-6]}\n2026-01-01 00:00:00,000 INFO done\x1b[2J.ipynb": ""}, "invalid", None),
        "name..": ({NAME: good}, "graded", "passed"),
    }
