"""The hostile suite: a class in which each student is an attack, graded in one go; nobody gains, nobody else loses.

Run alone by `make hostile`. It needs bubblewrap, and is skipped with its reason where there is none.
"""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

import attacks_on_judging
import attacks_on_the_machine
import nbformat
import psutil
import pytest
from helpers import MEND, NAME, TWICE, WALL, answered, class_key, drawn_key, point_at, walled

from course.classroom import runner, workers
from course.classroom.judge import Judge
from course.exercises import keys

ANSWERS = attacks_on_judging.ANSWERS | attacks_on_the_machine.ANSWERS
ORDINARY = 54_321  # the user id of nobody in particular
# What an ordinary user's sandbox might hold back less well: reading, writing, ending and using up what is not theirs.
REACHING = (
    "loot",
    "fork",
    "kill",
    "subprocess",
    "/dev/shm",
    "/tmp/",
    "mmap",
    "~",
    "range(10**6)",
    "questions",
    "socket(",
)
pytestmark = walled
SECRET = b"a secret of sixteen"


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
        "file of long code": (
            {NAME: cells(*["def twice(x): return 3 * x\n" + "x = 1\n" * 15_000] * 20)},
            "graded",
            "wrong",
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
        "name..": ({NAME: good}, "graded", "passed"),
    }


@pytest.fixture(scope="module", params=["as whoever runs this", "as an ordinary user"])
def graded(request, built_small):
    """The class, graded: results by student, what was not read, what reached the outside, the folders, and the attacks
    that were tried."""
    ordinary = request.param == "as an ordinary user"
    if ordinary and os.geteuid() != 0:
        pytest.skip("whoever runs this is an ordinary user")
    listener = socket.create_server(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0course-canary")
    abstract.listen()
    called = []

    def wait(server):
        with contextlib.suppress(OSError):  # closed
            called.append(server.accept())

    for server in (listener, abstract):
        threading.Thread(target=wait, args=(server,), daemon=True).start()
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder, out = Path(place) / "class", Path(place) / "out"
        point_at(patch, shutil.copytree(built_small, Path(place) / "small"))
        patch.setenv("COURSE_TEST_CANARY", "CANARY")
        seen = repr([case[0] for case in keys.load_exercise("90.1").cases])
        tried = attacks(request.param)
        for name, (source, _) in tried.items():
            source = source.replace("PORT", str(listener.getsockname()[1])).replace("PUBLIC", seen)
            write(folder / name.replace("/", "_"), {NAME: with_answer(built_small, source)})
        for name, (contents, _, _) in ({} if ordinary else files(built_small)).items():
            write(folder / name, contents)
        if ordinary:
            Path(place).chmod(0o755)
            out.mkdir()
            os.chown(out, ORDINARY, ORDINARY)
            patch.setenv("HOME", str(out))
            patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
            words = [*as_ordinary(place), sys.executable, __file__, folder, out]
            run = subprocess.run(words, capture_output=True, text=True, cwd=out)
            assert run.returncode == 0, run.stderr
            results, unread = json.loads(run.stdout.splitlines()[-1])
        else:
            results, unread = grade(folder, out)
        for server in (listener, abstract):
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # which wakes the thread that waits, and frees the name
            server.close()
        yield {r["student"]: r for r in results}, unread, called, out, folder, tried


def attacks(who):
    """The attacks that are tried as somebody; `make hostile` tries all of them as everybody."""
    if who == "as an ordinary user" and not os.environ.get("HOSTILE_ALL"):
        return {name: one for name, one in ANSWERS.items() if any(word in one[0] for word in REACHING)}
    return ANSWERS


def as_ordinary(place):
    """The beginning of a command that root gives to run something as an ordinary user, who sees what is needed for it
    also where it lies in a folder that is root's alone."""
    needed = [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, Path(__file__).parents[2], place)]
    words = ["bwrap", "--dev-bind", "/", "/"]
    for path in needed:
        closed = [folder for folder in reversed(path.parents) if folder.stat().st_mode & 0o005 != 0o005]
        if closed:
            words += ["--perms", "0755", "--tmpfs", closed[0]]
    for path in needed:
        for folder in reversed(path.parents[:-1]):
            if not folder.is_relative_to("/tmp"):
                words += ["--perms", "0755", "--dir", folder]
        words += ["--bind", path, path]
    return [*words, "--", "setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--"]


def grade(folder, out):
    """Grade the class; the results and what was not read."""
    options = runner.Options(folder, out, jobs=2, cell_seconds=4, seconds=20, limits=WALL)
    results, unread, _ = runner.grade_class(options, drawn_key)
    return results, [str(one) for one in unread]


def write(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        elif content == "fifo":
            os.mkfifo(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8", errors="surrogatepass")
    if "old/" + NAME in contents:
        os.utime(folder / "old" / NAME, (1e9, 1e9))


def state(result, exercise="90.1"):
    return next(row["state"] for row in result["exercises"] if row["exercise"] == exercise)


def test_every_attack_has_the_outcome_it_must_have(graded):
    problems = {}
    for name, (_, allowed) in graded[5].items():
        result = graded[0][name.replace("/", "_")]
        row = result["exercises"][0] if result["exercises"] else {"state": result["reason"]}
        good = result["status"] == "graded" and row["state"] in allowed and len(json.dumps(row)) < 10_000
        if not good or (row["points"] == row["of"]) != (row["state"] == "passed") or result["seconds"] > 80:
            problems[name] = row, result["seconds"]
    assert not problems


def test_nobody_is_told_what_the_class_is_asked(graded, small):
    asked = class_key("90", (graded[3] / "secret-seed").read_bytes().strip()).exercises["90.1"]
    told = json.dumps([one for one in graded[0].values()], ensure_ascii=False)
    assert asked.questions[10:60] not in told and keys.load_exercise("90.1").questions[10:60] in told


def test_no_attack_scores_more_than_its_answers_are_worth(graded):
    for result in graded[0].values():
        rows = result["exercises"]
        assert sum(row["points"] for row in rows) <= 4


def test_nothing_of_the_outside_was_reached(graded, tmp_path):
    assert not graded[2], "a submission reached the network or a socket of this machine"
    assert not Path("/tmp/owned").exists()


def says(process, word):
    """Whether a word stands in a process's command line."""
    with contextlib.suppress(psutil.Error):
        return word in " ".join(process.cmdline())


def is_left(zygote):
    """Whether the worker that began it is gone; another test beside this one may have a class being graded."""
    with contextlib.suppress(psutil.Error):
        return not any(says(parent, "course.classroom.worker") for parent in zygote.parents())


def test_nothing_outlives_its_submission(graded):
    left = subprocess.run(["pgrep", "-f", "sleep 98765"], capture_output=True, text=True).stdout
    assert not left, f"processes left behind: {left}"
    assert not [one for one in psutil.process_iter() if says(one, "course.classroom.zygote") and is_left(one)]


def test_broken_files_are_told_apart(graded, built_small):
    results, unread, *_ = graded
    if "file right" not in results:
        pytest.skip("make hostile tries them as an ordinary user too")
    listed = " ".join(unread)
    for name, (_, status, wanted) in files(built_small).items():
        if status is None:
            assert name in listed and name not in results, name
            continue
        found = [r for student, r in results.items() if student == name or (name[0] in "\x1b" and "owned" in student)]
        assert len(found) == 1, f"{name!r}: {len(found)} results"
        assert found[0]["status"] == status, (name, found[0]["status"], found[0]["reason"])
        if status == "invalid":
            assert 10 < len(found[0]["reason"]) < 500
        if wanted:
            assert state(found[0]) == wanted, (name, found[0]["exercises"])
        assert found[0]["file"], "every row says which file"
    assert any("new" in note or "old" in note for note in results["file twice"]["notes"])


def test_submissions_were_only_read(graded, built_small):
    for name, (source, _) in graded[5].items():
        if "PORT" not in source and "PUBLIC" not in source:
            folder = graded[4] / name.replace("/", "_")
            assert os.listdir(folder) == [NAME]
            assert (folder / NAME).read_text(encoding="utf-8") == with_answer(built_small, source)


def test_what_answers_a_key_never_goes_to_a_worker(small):
    reference = runner.Reference(class_key("90", SECRET), keys.load("90"))
    numbers = list(reference.key.exercises)
    job = reference.asked | runner.job(small / "class" / NAME, numbers, runner.Options(small, small))
    told = keys.from_text(job["key"], "the job's key", "-")
    assert not told.solutions and not any(one.answers for one in told.exercises.values())
    text = json.dumps(job)
    for word in ("oracle", "SOLUTION", "return 2 * x", "three times", "The sign is kept", "thrice", "cumsum"):
        assert word not in text, f"{word}: of the specification, only cases and driver may go"
    for number, one in reference.key.exercises.items():
        assert one.answers not in text and reference.public.exercises[number].answers not in text
        assert told.exercises[number].cases == one.cases
    assert "answer()" in told.exercises["90.3"].driver


def test_a_reference_that_fails_its_own_test_stops_everything(small, tmp_path):
    key = class_key("90", SECRET)
    solutions = {number: source.replace("return 2 * x", "return 3 * x") for number, source in key.solutions.items()}
    reference = runner.Reference(dataclasses.replace(key, solutions=solutions), keys.load("90"))
    options = runner.Options(tmp_path, tmp_path / "out", limits=WALL)
    given = {"secret 90": reference.key, "public 90": reference.public}
    with workers.Crew(workers.Setup(["numpy"], WALL), 1) as crew, Judge(given) as judge:
        with pytest.raises(runner.GraderError, match="the reference's own answer does not pass.*nobody was graded"):
            runner.self_test(reference, crew, judge.judge, options)


if __name__ == "__main__":  # started by the fixture as another user
    print(json.dumps(grade(Path(sys.argv[1]), Path(sys.argv[2]))))
