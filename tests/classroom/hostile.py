"""The hostile suite: a class in which each student is an attack, graded in one go; nobody gains, nobody else loses.

Run alone by `make hostile`. It needs bubblewrap, and is skipped with its reason where there is none. There are two
classes, in two files, for two processes to grade.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import drawing
import psutil
import pytest
from broken_files import files, with_answer
from helpers import NAME, WALL, class_key, drawn_key, point_at

from course.classroom import runner
from course.exercises import keys

ORDINARY = 54_321  # the user id of nobody in particular
SLEEP = 98_000_000 + os.getpid()  # seconds for which the processes of this class sleep: what they are known by
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


@dataclass
class Graded:
    """A class of attackers, graded. results: by student. unread: what was not read. called: who reached the outside.
    out, folder: of the results, and of the class. tried: the attacks, as they were handed in, and the states each may
    have. broken: the files beside them."""

    results: dict
    unread: list
    called: list
    out: Path
    folder: Path
    tried: dict
    broken: dict


class Hostile:
    """The tests of a class. answers: the attacks in it. with_files: whether the broken files are in it too."""

    answers, with_files = {}, False

    @pytest.fixture(scope="class", params=["as whoever runs this", "as an ordinary user"])
    @classmethod
    def graded(cls, request, built_small):
        """The class, graded."""
        ordinary = request.param == "as an ordinary user"
        if ordinary and os.geteuid() != 0:
            pytest.skip("whoever runs this is an ordinary user")
        listener = socket.create_server(("127.0.0.1", 0))
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0course-canary-{os.getpid()}")
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
            own = {
                "PORT": listener.getsockname()[1],
                "PUBLIC": seen,
                "-canary": f"-canary-{os.getpid()}",
                "98765": SLEEP,
            }
            tried = {}
            for name, (source, allowed) in attacks(cls.answers, request.param).items():
                for word, value in own.items():
                    source = source.replace(word, str(value))
                tried[name] = source, allowed
                write(folder / name.replace("/", "_"), {NAME: with_answer(built_small, source)})
            broken = files(built_small) if cls.with_files and not ordinary else {}
            for name, (contents, _, _) in broken.items():
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
            yield Graded({r["student"]: r for r in results}, unread, called, out, folder, tried, broken)

    def test_every_attack_has_the_outcome_it_must_have(self, graded):
        problems = {}
        for name, (_, allowed) in graded.tried.items():
            result = graded.results[name.replace("/", "_")]
            row = result["exercises"][0] if result["exercises"] else {"state": result["reason"]}
            good = result["status"] == "graded" and row["state"] in allowed and len(json.dumps(row)) < 10_000
            if not good or (row["points"] == row["of"]) != (row["state"] == "passed") or result["seconds"] > 80:
                problems[name] = row, result["seconds"]
        assert not problems

    def test_nobody_is_told_what_the_class_is_asked(self, graded, small):
        asked = class_key("90", (graded.out / "secret-seed").read_bytes().strip()).exercises["90.1"]
        told = json.dumps([one for one in graded.results.values()], ensure_ascii=False)
        assert asked.questions[10:60] not in told
        if "tells the questions" in graded.tried:
            assert keys.load_exercise("90.1").questions[10:60] in told

    def test_no_attack_scores_more_than_its_answers_are_worth(self, graded):
        for result in graded.results.values():
            rows = result["exercises"]
            assert sum(row["points"] for row in rows) <= 4

    def test_nothing_of_the_outside_was_reached(self, graded):
        assert not graded.called, "a submission reached the network or a socket of this machine"
        assert not Path("/tmp/owned").exists()

    def test_nothing_outlives_its_submission(self, graded):
        left = subprocess.run(["pgrep", "-f", f"sleep {SLEEP}"], capture_output=True, text=True).stdout
        assert not left, f"processes left behind: {left}"
        assert not [one for one in psutil.process_iter() if says(one, "course.classroom.fork_server") and is_left(one)]

    def test_broken_files_are_told_apart(self, graded):
        results, listed = graded.results, " ".join(graded.unread)
        if not graded.broken:
            pytest.skip("there are none in this class")
        for name, (_, status, wanted) in graded.broken.items():
            if status is None:
                assert name in listed and name not in results, name
                continue
            found = [
                r for student, r in results.items() if student == name or (name[0] in "\x1b" and "owned" in student)
            ]
            assert len(found) == 1, f"{name!r}: {len(found)} results"
            assert found[0]["status"] == status, (name, found[0]["status"], found[0]["reason"])
            if status == "invalid":
                assert 10 < len(found[0]["reason"]) < 500
            if wanted:
                allowed = (wanted,) if isinstance(wanted, str) else wanted
                assert state(found[0]) in allowed, (name, found[0]["exercises"])
            assert found[0]["file"], "every row says which file"
        log = (graded.out / "grader.log").read_text(encoding="utf-8")
        assert "\x1b" not in log and "\n2026-01-01" not in log, "a file's name has written in it"
        assert any("new" in note or "old" in note for note in results["file twice"]["notes"])

    def test_submissions_were_only_read(self, graded, built_small):
        for name, (source, _) in graded.tried.items():
            folder = graded.folder / name.replace("/", "_")
            assert os.listdir(folder) == [NAME]
            assert (folder / NAME).read_text(encoding="utf-8") == with_answer(built_small, source)


def attacks(answers, who):
    """The attacks that are tried as somebody; `make hostile` tries all of them as everybody."""
    if who == "as an ordinary user" and not os.environ.get("HOSTILE_ALL"):
        answers = {name: one for name, one in answers.items() if any(word in one[0] for word in REACHING)}
    return drawing.to_try(answers)


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


def says(process, word):
    """Whether a word stands in a process's command line."""
    with contextlib.suppress(psutil.Error):
        return word in " ".join(process.cmdline())


def is_left(server):
    """Whether the worker that began it is gone; another test beside this one may have a class being graded."""
    with contextlib.suppress(psutil.Error):
        return not any(says(parent, "course.classroom.worker") for parent in server.parents())


if __name__ == "__main__":  # started by the fixture as another user
    print(json.dumps(grade(Path(sys.argv[1]), Path(sys.argv[2]))))
