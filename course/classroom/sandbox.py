"""The sandbox: a fork server in bubblewrap, and kernels forked from it, as the grader sees them."""

import json
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from course.classroom import folders
from course.grading.plugin import WatchedKernel

PACKAGE = Path(__file__).resolve().parent.parent
FIRST_UID = 61_000  # the grader that runs as root drops to one of these, a worker each
MESSAGE_BYTES = 8_000_000  # one message from a kernel; more is cut off with the connection
QUEUE = 100  # messages that wait to be read
START_SECONDS = 60
LONGEST_FOLDER = 107 - len("/course-kernels-4194304-12345678/1000000/s-5")  # a socket's path has at most 107 characters
DENIED = (
    ". This system keeps ordinary programs from making user namespaces, as Ubuntu does from 23.10 on (AppArmor). Give "
    "bubblewrap the right: write a profile /etc/apparmor.d/bwrap that holds 'abi <abi/4.0>, include <tunables/global> "
    "profile bwrap /usr/bin/bwrap flags=(unconfined) { userns, }' and run sudo systemctl reload apparmor. Only where "
    "there is no AppArmor, or that is not enough: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or "
    "kernel.unprivileged_userns_clone=1 on Debian, which give it to every program"
)


class SandboxError(Exception):
    """The sandbox cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds of processor time, MiB of memory beyond code (RLIMIT_DATA: TensorFlow
    reserves address space that it never uses) and of temporary files, processes and threads."""

    cpu_seconds: int = 300
    memory_mb: int = 2500
    disk_mb: int = 64
    processes: int = 256


def available() -> str | None:
    """None where submissions can be locked in, else why not, in words."""
    if not sys.platform.startswith("linux"):
        return "the sandbox needs Linux (on macOS and Windows: run the grader in a Linux virtual machine)"
    command = shutil.which("bwrap")
    if not command:
        return "bubblewrap is not installed (sudo apt install bubblewrap, or sudo dnf install bubblewrap)"
    tried = subprocess.run([command, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    if tried.returncode:
        said = tried.stderr.strip()
        denied = re.search(r"uid map|user namespace|Operation not permitted|Permission denied", said)
        return f"bubblewrap is here but cannot make a sandbox: {said[:200]}{DENIED if denied else ''}"
    return None


def command(connections: Path, worker: int, modules: Sequence[str]) -> list[str]:
    """The command that starts a fork server: bubblewrap, and as root also setpriv to be root no longer."""
    venv, base = Path(sys.prefix), Path(sys.base_prefix)
    python = [str(venv / "bin" / "python"), "-I", "-m", "course.classroom.fork_server", "sandboxed", *modules]
    words = [
        shutil.which("bwrap") or "bwrap",
        "--die-with-parent",
        "--new-session",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-net",
    ]
    words += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--clearenv"]
    if os.geteuid() == 0:
        uid = str(FIRST_UID + worker)
        drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--bounding-set=-all"]
        python = [*drop, "--inh-caps=-all", "--no-new-privs", *python]
    else:
        words += ["--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts"):
        words += ["--ro-bind-try", name, name]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]
    words += ["--dir", "/run/home", "--dir", "/run/kernel"]
    for folder in dict.fromkeys((base, venv, PACKAGE)):
        if not str(folder).startswith("/usr/"):
            for parent in reversed(folder.parents[:-1]):  # made by bubblewrap for its owner only, if not asked for
                words += ["--dir", str(parent)]
            words += ["--ro-bind", str(folder), str(folder)]
    # Of the course only the package goes in, and of that not the keys: the chapters' sources beside it hold the oracles
    # and the answers, and a key what is expected.
    words += ["--tmpfs", str(PACKAGE / "keys")]
    words += ["--bind", str(connections), "/conn", "--chdir", "/tmp"]
    # What the user owns would be writable, and there for the next submission: bubblewrap's own folders most of all.
    for folder in (PACKAGE / "keys", Path("/dev"), Path("/")):
        words += ["--remount-ro", str(folder)]
    for name, value in environment().items():
        words += ["--setenv", name, value]
    return words + ["--", *python]


def environment() -> dict[str, str]:
    """All that a kernel finds in its environment: nothing of the grader's own."""
    return {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "COURSE_BUDGET": "quick",
        "COURSE_SOLUTIONS": "/nonexistent/solutions",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_CURRENT_TEST": "course",  # keeps ipykernel from mixing C++ log lines into a cell's output
    }


class ForkServer:
    """A running fork server, as the grader talks to it. A context manager; leaving it ends every kernel."""

    def __init__(
        self, worker: int = 0, modules: Sequence[str] = ("keras",), limits: Limits | None = None, sandboxed: bool = True
    ) -> None:
        self.limits = limits or Limits()
        folders.sweep()
        if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
            raise SandboxError(
                f"the name of the folder for temporary files, {tempfile.gettempdir()}, is too long for the sockets in "
                "it: set TMPDIR to a folder with a short name, such as /tmp"
            )
        self.folder = Path(tempfile.mkdtemp(prefix=folders.prefix("kernels")))
        self.slots = 0
        self.owner = FIRST_UID + worker if os.geteuid() == 0 else None
        if self.owner:  # mkdtemp's folder is its owner's alone
            os.chown(self.folder, self.owner, self.owner)
        self.sandboxed, self.log = sandboxed, tempfile.TemporaryFile()
        if sandboxed:
            words = command(self.folder, worker, modules)
        else:
            if self.owner:
                raise SandboxError("without a sandbox, nobody's notebook is run as root")
            words = [sys.executable, "-I", "-m", "course.classroom.fork_server", "open", *modules]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,
            env=environment(),
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        try:
            there = self._answer(START_SECONDS)["package"]
        except SandboxError as error:
            self.close()
            if "No module named 'course" in str(error):
                raise SandboxError(self._another_copy("none")) from None
            raise
        if Path(there) != PACKAGE:
            self.close()
            raise SandboxError(self._another_copy(there))

    def _another_copy(self, there: str) -> str:
        return (
            f"the sandbox's Python ({sys.prefix}) sees another copy of the course ({there}) than the grader "
            f"({PACKAGE}): install this one for it: {sys.executable} -m pip install --no-deps -e {PACKAGE.parent}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the fork server with every kernel, and remove its folder."""
        self.process.kill()
        self.process.wait()
        for stream in (self.input, self.output, self.log):
            stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and return its answer. Raises SandboxError where the fork server is gone or refuses."""
        try:
            self.input.write(json.dumps(request).encode() + b"\n")
            self.input.flush()
        except OSError:
            raise SandboxError(f"the sandbox ended: {self._last_words()}") from None
        return self._answer(60)

    def _answer(self, seconds: float) -> dict[str, Any]:
        ready, _, _ = select.select([self.output], [], [], seconds)
        line = self.output.readline() if ready else b""
        if not line:
            raise SandboxError(f"the sandbox {'ended' if ready else 'does not answer'}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SandboxError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace").strip()[-500:] or "without a word"

    def slot(self, questions: dict[str, Any]) -> Path:
        """A new folder that one kernel will see as /run/kernel, with the questions in it. Returns its path."""
        self.slots += 1
        folder = self.folder / str(self.slots)
        folder.mkdir(mode=0o700)
        (folder / "questions").write_text(json.dumps(questions), encoding="utf-8")
        return folder


class SandboxedKernel(WatchedKernel):
    """nbval's kernel, forked in the sandbox. Has the same methods."""

    km: "_Remote"

    def __init__(self, server: ForkServer, questions: dict[str, Any], limit: int | None) -> None:
        self.prepare(limit)
        self.server, self.folder = server, server.slot(questions)
        run = "/run/kernel" if server.sandboxed else str(self.folder)
        inside: dict[str, Any] = {"ip": f"{run}/s", "transport": "ipc", "key": secrets.token_hex(16).encode()}
        outside = inside | {"ip": str(self.folder / "s")}
        numbers: dict[str, Any] = dict(
            zip(("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"), range(1, 6))
        )
        write_connection_file(str(self.folder / "kernel.json"), **inside, **numbers)
        if server.owner:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, server.owner, server.owner)
        self.km = _Remote(server, self.folder.name if server.sandboxed else str(self.folder))
        self.kc = client = BlockingKernelClient()
        client.load_connection_info(outside | numbers)  # type: ignore[arg-type]  # a TypedDict of all that there may be
        client.context.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        client.context.setsockopt(zmq.RCVHWM, QUEUE)
        client.context.setsockopt(zmq.LINGER, 0)  # never wait to deliver something to a kernel that is gone
        client.start_channels(stdin=False, control=False, hb=False)  # what nobody reads would fill the memory
        try:
            client.wait_for_ready(timeout=START_SECONDS)
            self._ensure_iopub_up()
        except BaseException:
            self.stop()
            raise

    def why_ended(self) -> str:
        return self.km.why or super().why_ended()

    def stop(self) -> None:
        self.kc.stop_channels()
        self.km.shutdown_kernel()
        del self.km
        shutil.rmtree(self.folder, ignore_errors=True)


class _Remote:
    """The part of a KernelManager that nbval uses, for a kernel that the fork server has forked."""

    why = ""  # it is no longer alive, where that is known

    def __init__(self, server: ForkServer, slot: str) -> None:
        self.server = server
        self.pid = server.ask(do="fork", slot=slot, limits=asdict(server.limits))["pid"]

    def is_alive(self) -> bool:
        told = self.server.ask(do="alive", pid=self.pid)
        self.why = told.get("why", "")
        return bool(told["alive"])

    def interrupt_kernel(self) -> None:
        self.server.ask(do="interrupt", pid=self.pid)

    def shutdown_kernel(self, now: bool = True) -> None:
        self.server.ask(do="kill", pid=self.pid)
