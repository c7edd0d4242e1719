"""The sandbox and its workers where something goes wrong: what is said, and that nothing is left."""

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from helpers import NAME, WALL, answered, class_key, point_at, walled

from course.classroom import folders, results, runner, sandbox, syscalls, workers
from course.exercises import keys

ALLOWED = {"x86_64": {"read": 0, "mmap": 9, "clone": 56, "execve": 59}, "aarch64": {"read": 63, "clone": 220}}


def answer_of(machine, number, *arguments, mark=None):
    """What the filter answers to a call: an interpreter of the few instructions that it is made of."""
    shown = {syscalls.NUMBER: number, syscalls.MACHINE: mark or syscalls.MACHINES[machine][0]}
    shown |= dict(zip(syscalls.ARGUMENTS, (*arguments, 0, 0, 0)))
    lines, at, value = syscalls.program(machine), 0, 0
    while True:
        code, yes, no, operand = lines[at]
        if code == syscalls.RETURN:
            return operand
        if code == syscalls.LOAD:
            value = shown[operand]
        else:
            tests = {syscalls.EQUAL: value == operand, syscalls.AT_LEAST: value >= operand}
            at += yes if (tests | {syscalls.ANY_BIT: bool(value & operand)})[code] else no
        at += 1


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_the_filter_of_system_calls_refuses_what_it_names_and_nothing_else(machine):
    refused, numbers = syscalls.REFUSE | errno.EPERM, syscalls.MACHINES[machine][1]
    for name, number in numbers.items():
        if name not in syscalls.SOMETIMES:
            assert answer_of(machine, number) == refused, name
    assert all(answer_of(machine, number) == refused for number in syscalls.EVERYWHERE)
    assert all(answer_of(machine, number) == syscalls.ALLOW for number in ALLOWED[machine].values())
    assert answer_of(machine, syscalls.CLONE3) == syscalls.REFUSE | errno.ENOSYS
    assert answer_of(machine, numbers["clone"], 0x00000100) == syscalls.ALLOW  # a thread
    assert answer_of(machine, numbers["clone"], 0x10000000) == refused  # a user namespace
    assert answer_of(machine, numbers["socket"], 1) == answer_of(machine, numbers["socket"], 16) == syscalls.ALLOW
    assert answer_of(machine, numbers["socket"], 40) == syscalls.REFUSE | errno.EAFNOSUPPORT
    for level, option, wanted in ((1, 7, refused), (1, 8, refused), (1, 2, syscalls.ALLOW), (6, 7, syscalls.ALLOW)):
        assert answer_of(machine, numbers["setsockopt"], 5, level, option) == wanted
    assert answer_of(machine, 0, mark=0x40000003) == refused  # a 32-bit program


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("bwrap: setting up uid map: Permission denied", "apparmor.d/bwrap"),
        (
            "bwrap: Creating new namespace failed: Operation not permitted",
            "kernel.apparmor_restrict_unprivileged_userns",
        ),
        ("bwrap: No space left on device", "No space left"),
    ],
)
def test_a_sandbox_that_is_denied_is_said_with_the_way_out(tmp_path, monkeypatch, said, told):
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert said in sandbox.available() and told in sandbox.available()
    assert ("apparmor" in sandbox.available()) == (told != "No space left")


@walled
def test_a_kernel_that_cannot_be_made_harms_no_other():
    with sandbox.ForkServer(modules=["numpy"], limits=WALL) as server:
        with pytest.raises(sandbox.SandboxError):
            server.ask(do="fork", slot="nowhere", limits=vars(WALL))
        kernel = sandbox.SandboxedKernel(server, {}, None)
        assert server.folder.stat().st_mode & 0o077 == 0 and kernel.folder.stat().st_mode & 0o077 == 0
        kernel.execute_silently("x = 1", 30)
        kernel.kc.execute("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        kernel.kc.execute("import ctypes; ctypes.string_at(0)")
        while kernel.is_alive():
            time.sleep(0.1)
        assert kernel.why_ended() == "it crashed (segmentation fault)"
        kernel.stop()


PAGE_TABLES = """
import ctypes, mmap
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
size = 1 << 39
at = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, 0x4022, -1, 0)
import numpy
numpy.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(ctypes.c_uint8)), (size,))[:: 1 << 21].sum()
"""
SOCKETS = """
import socket
kept = []
for number in range(10):
    kept.append(socket.socket(socket.AF_UNIX))
    kept[-1].bind(f"\\0{number}")
    kept[-1].listen(4096)
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(f"\\0{number}")
"""


@walled
@pytest.mark.parametrize("code", [PAGE_TABLES, SOCKETS], ids=["page tables", "sockets"])
def test_what_the_system_keeps_for_a_kernel_is_memory_of_its(code):
    with sandbox.ForkServer(modules=["numpy"], limits=dataclasses.replace(WALL, memory_mb=400)) as server:
        kernel = sandbox.SandboxedKernel(server, {}, None)
        kernel.kc.execute(f"{code}\nimport time; time.sleep(20)")
        while kernel.is_alive():
            with contextlib.suppress(Empty):
                message = kernel.kc.get_shell_msg(timeout=0.1)
                assert message["content"]["status"] != "ok", "it was let live"
        assert kernel.why_ended() == "it used more than 400 MB of memory"
        kernel.stop()


class Broken:
    """Workers for whom the answer to 90.2 ends the grader's own process."""

    def __init__(self):
        self.asked = []

    def share(self, asked):
        return asked

    def submit(self, asked, job):
        self.asked.append(job["exercises"])
        wrong = {"state": "wrong", "message": "-", "note": "", "seconds": 0.1, "untouched": False}
        report = {"status": "ran", "reason": "", "answers": {}, "seconds": 1.0}
        report |= {"exercises": {number: wrong for number in job["exercises"]}}
        future = Future()
        future.set_result(workers.fault("it ended") if "90.2" in job["exercises"] else report)
        return future


@pytest.mark.parametrize("to_blame", [True, False])
def test_a_submission_cannot_choose_to_be_a_fault_of_the_grader(small, monkeypatch, to_blame):
    def self_test(*_):
        if not to_blame:
            raise runner.GraderError("the self-test fails")

    monkeypatch.setattr(runner, "self_test", self_test)
    reference = runner.Reference(class_key("90", b"a" * 16), keys.load("90"))
    one = SimpleNamespace(path="x.ipynb", student="eve", chapter="90")
    options, crew = runner.Options(small, small), Broken()
    report = workers.fault("the worker failed: it ended")
    found = runner.find_the_one_to_blame(
        runner.Task(one, list(reference.key.exercises), None, ""), report, reference, crew, None, options
    )
    if not to_blame:
        assert found["status"] == "fault" and "the self-test fails" in found["reason"] and not crew.asked
        return
    assert found["status"] == "ran" and crew.asked == [["90.1"], ["90.2"], ["90.3"]]
    states = {number: (row["state"], row["message"]) for number, row in found["exercises"].items()}
    assert states == {"90.1": ("wrong", "-"), "90.2": ("crashed", runner.BLAMED), "90.3": ("wrong", "-")}


def test_what_killed_processes_have_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    with folders.temporary() as mine:
        older = tmp_path / f"course-kernels-{os.getpid()}-older"  # of another process that had our number before us
        left = [tmp_path / f"course-kernels-{gone.pid}-abc", tmp_path / f"course-grading-{gone.pid}-x_1", older]
        others = [tmp_path / name for name in ("course-work", f"course-notes-{gone.pid}-x", f"kept-{gone.pid}-x")]
        for folder in left + others:
            (folder / "slot").mkdir(parents=True)
        os.utime(older, (1e9, 1e9))
        folders.sweep()
        assert set(tmp_path.iterdir()) == {*others, Path(mine)}


def test_two_graders_do_not_share_a_folder_and_a_log_tells_the_steps(tmp_path):
    folder = results.Results(tmp_path / "out")
    with folder.taken():
        with pytest.raises(results.ResultsError, match="another grader is at work in .*--out"):
            with results.Results(tmp_path / "out").taken():
                pass
        results.log.info("a step")
    with pytest.raises(KeyboardInterrupt), folder.taken():
        raise KeyboardInterrupt
    text = (tmp_path / "out" / "grader.log").read_text()
    assert "INFO begun" in text and "a step" in text and "ERROR ended: KeyboardInterrupt" in text


def test_a_stored_result_of_another_shape_counts_as_none(tmp_path):
    folder = results.Results(tmp_path)
    whole = dict.fromkeys(results.PARTS) | {"schema": results.SCHEMA, "student": "anna"}
    folder.save(whole, "90_adding")
    assert folder.load("anna", "90_adding") == whole
    for other in (whole | {"schema": 1}, {n: v for n, v in whole.items() if n != "digests"}, [whole], "x", None):
        folder.save({"student": "anna"}, "90_adding")
        folder.path("anna", "90_adding").write_text(json.dumps(other))
        assert folder.load("anna", "90_adding") is None


@walled
def test_ctrl_c_ends_a_class_and_all_that_it_started(built_small, tmp_path, monkeypatch):
    point_at(monkeypatch, built_small)
    sleepy = "# Exercise 90.1\nimport time\ntime.sleep(500)\n"
    for student in ("anna", "ben", "cleo"):
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / NAME).write_text(nbformat.writes(answered(built_small, _90_1=sleepy)))
    words = [sys.executable, "-m", "course", "grade", "--submissions", tmp_path / "class", "--out", tmp_path / "out"]
    grader = subprocess.Popen(
        [*map(str, words), "--jobs", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log = tmp_path / "out" / "grader.log"
    while not (log.exists() and "the reference passes" in log.read_text()):
        assert grader.poll() is None, grader.stdout.read()
        time.sleep(0.2)
    mine = {p.pid for p in psutil.Process(grader.pid).children(recursive=True)}
    grader.send_signal(signal.SIGINT)
    said, _ = grader.communicate(timeout=60)
    assert grader.returncode == 2 and "Stopped. What was graded so far is kept" in said and "Traceback" not in said
    deadline = time.monotonic() + 30
    while (left := mine & set(psutil.pids())) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left
