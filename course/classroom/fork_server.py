"""Inside the sandbox: a process that has Keras loaded and forks a kernel for each submission.

Loading TensorFlow takes seconds, a fork milliseconds. Each kernel gets namespaces of its own (user, mount, process,
IPC, host name, and a network in which not even the loopback is up), an empty temporary folder and home, limits, and no
capability; it sees no other process, and dies with all it started when its first process is killed. Nothing that it can
write to is there for the next one. The fork server only ever imports: no operation runs in it, so that its threads'
state may be forked.

It is told what to do in lines of JSON on its standard input, and answers each with one line on its standard output:

    {"do": "fork", "slot": "7", "limits": {...}}   ->  {"pid": 12}
    {"do": "alive", "pid": 12}                     ->  {"alive": true}, or {"alive": false, "why": "..."}
    {"do": "interrupt" or "kill", "pid": 12}       ->  {"done": true}
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

from course.classroom.syscalls import call, libc, refuse_calls

CONNECTIONS = "/conn"  # a folder per slot, shared with the grader; a kernel sees only its own, as RUN
RUN = "/run/kernel"
HOME = "/run/home"
NEW_NAMESPACES = 0x7C020000  # NEWNS, UTS, IPC, USER, PID, NET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
START_SECONDS = 30
SOCKET_KIB = 300  # at most in a socket's buffers, as Linux makes them
WATCH_SECONDS = 0.1  # between two looks at the memory of the kernels
WHY: dict[int, str] = {  # what a learner is told of the signal that ended a kernel
    signal.SIGXCPU: "its processor time is used up",
    signal.SIGSEGV: "it crashed (segmentation fault)",
    signal.SIGABRT: "it crashed (abort)",
    signal.SIGBUS: "it crashed (bus error)",
}


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    call(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def enter_namespaces(slot: str, limits: dict[str, int]) -> None:
    """Give this process, and those it forks, namespaces and folders of their own. For a process with one thread."""
    uid, gid = os.getuid(), os.getgid()
    call(libc.unshare(NEW_NAMESPACES))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as stream:
            stream.write(text)
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)
    _mount(f"{CONNECTIONS}/{slot}", RUN, "none", MS_BIND)
    _mount("tmpfs", CONNECTIONS, "tmpfs", MS_RDONLY, "size=4k")
    for folder in (HOME, "/tmp", "/dev/shm"):
        if any(path.startswith(f"{folder}/") for path in (sys.prefix, sys.base_prefix, __file__)):
            # The course itself is below it: nothing new is mounted over it, but nothing can be left in it either.
            _mount("none", folder, "none", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
            continue
        _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={limits['disk_mb']}m,mode=0700,nr_inodes=20k")
    # Of /proc only what libraries ask for to count processors and memory: a new one would show this sandbox's mounts
    # and command line, and is not permitted everywhere.
    kept = {name: open(f"/proc/{name}").read() for name in ("cpuinfo", "meminfo", "stat")}
    _mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m")
    for name, text in kept.items():
        with open(f"/proc/{name}", "w") as stream:
            stream.write(text)
    os.mkdir("/proc/self")
    os.symlink(os.path.realpath(sys.executable), "/proc/self/exe")  # TensorFlow looks where it lives ...
    with open("/proc/self/cmdline", "w") as stream:
        stream.write(f"{sys.executable}\0")  # ... and under which name
    _mount("none", "/proc", "none", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def memory_of(kernel: int, most: float) -> float:
    """MiB that a kernel and all that it started use, with what they share among them counted once; the kernel's own
    libraries are not counted. Where `most` cannot be reached, the answer is a larger number that costs less to find."""
    processes, pages = family(kernel), 0
    kept = kept_for(processes)
    for pid in processes:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as stream:
            pages += int(stream.read().split()[1])
    if (resident := kept + pages * resource.getpagesize() / 2**20) <= most:
        return resident
    kib = 0
    for pid in processes:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as stream:
            found = dict(line.split()[:2] for line in stream if line.endswith("kB\n"))
            kib += sum(int(found.get(name, 0)) for name in ("Pss_Anon:", "Pss_Shmem:", "SwapPss:"))
    return kept + kib / 1024


def kept_for(processes: list[int]) -> float:
    """MiB that the system keeps for processes, and counts to none of them: page tables, which a terabyte needs of which
    nothing was ever written, and sockets, also those that were closed before anybody read what was sent through them.
    The first process is the first one in its network."""
    kib = 0
    for pid in processes:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as stream:
            kib += sum(int(line.split()[1]) for line in stream if line.startswith("VmPTE:"))
    with contextlib.suppress(OSError), open(f"/proc/{processes[0]}/net/protocols") as stream:
        kib += SOCKET_KIB * sum(int(line.split()[2]) for line in stream if not line.startswith("protocol"))
    return kib / 1024


def family(first: int) -> list[int]:
    """The process ids of a process and of all that it started; the first one of a process namespace is also parent to
    whatever lost its own."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as stream:
            parent = int(stream.read().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = [first]
    for pid in found:
        found += children.get(pid, ())
    return found


def set_limits(limits: dict[str, int], sandboxed: bool) -> None:
    """Set this process's limits, for good. Outside of a user namespace the number of processes counts all that the
    user runs, and is left alone."""
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # the first one says why, the second one ends it
    wanted = {
        "RLIMIT_DATA": limits["memory_mb"] * 2**20,
        "RLIMIT_FSIZE": limits["disk_mb"] * 2**20,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if sandboxed:
        wanted["RLIMIT_NPROC"] = limits["processes"]
    for name, value in wanted.items():
        if hasattr(resource, name):  # macOS has not all of them
            resource.setrlimit(getattr(resource, name), (value, value))


def give_up_rights() -> None:
    """Drop every capability, for good. Threads started later inherit this."""
    call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    call(libc.capset(header, (ctypes.c_uint32 * 6)()))


def start_kernel(connection_file: str) -> None:
    """Become an IPython kernel; does not return."""
    from ipykernel.kernelapp import IPKernelApp

    arguments = ["-f", connection_file, "--HistoryManager.enabled=False", "--IPKernelApp.log_level=50"]
    app = IPKernelApp.instance()
    app.initialize(arguments)
    app.start()
    os._exit(0)


def close_everything() -> None:
    """Leave the forked process nothing of the fork server's: standard streams to nowhere, all other files closed."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, 4096)
    sys.stdin, sys.stdout, sys.stderr = (open(n, mode) for n, mode in ((0, "r"), (1, "w"), (2, "w")))


def fork_kernel(slot: str, limits: dict[str, int], sandboxed: bool) -> tuple[int, int]:
    """Fork a supervisor, the first process of new namespaces, and, in these, the kernel. Returns (supervisor's pid,
    kernel's pid as seen from here). Raises OSError where the kernel does not start.

    sandboxed: whether this process is in bubblewrap. Without, the kernel gets limits, but no namespaces, and slot
    is the path of its folder.
    """
    reading, writing = os.pipe()
    supervisor = os.fork()
    if supervisor:
        os.close(writing)
        with os.fdopen(reading) as stream:
            told = stream.read()
        if not told.startswith("pid "):
            os.waitpid(supervisor, 0)
            raise OSError(told or "the kernel could not be started")
        return supervisor, int(told[4:])
    kernel = None
    try:
        run, home = (RUN, HOME) if sandboxed else (slot, f"{slot}/home")
        if sandboxed:
            enter_namespaces(slot, limits)
        else:
            os.mkdir(home)
        kernel = os.fork()
        if kernel == 0:
            os.setsid()
            os.chdir(home)
            os.environ.update(
                HOME=home, TMPDIR=home, IPYTHONDIR=f"{home}/.ipython", COURSE_QUESTIONS=f"{run}/questions"
            )
            close_everything()
            set_limits(limits, sandboxed)
            if sandboxed:
                call(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
                give_up_rights()
                refuse_calls()
            start_kernel(f"{run}/kernel.json")
        # The kernel makes its sockets in RUN; then nothing more may be written there, for RUN is the grader's disk.
        # The supervisor does this, being the one that still has the right to.
        deadline = time.monotonic() + START_SECONDS
        while sum(name.startswith("s-") for name in os.listdir(run)) < 5:
            if os.waitpid(kernel, os.WNOHANG)[0] or time.monotonic() > deadline:
                raise OSError("the kernel ended before it began")
            time.sleep(0.005)
        if sandboxed:
            _mount("none", RUN, "none", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
        os.write(writing, f"pid {kernel}".encode())
        close_everything()
        _, status = os.waitpid(kernel, 0)
        os._exit(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    except BaseException as error:
        if kernel:
            os.kill(kernel, signal.SIGKILL)
        os.write(writing, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(1)  # whatever happened: a forked process must not go on as the fork server


def main(sandboxed: bool, modules: list[str]) -> None:
    """Import the modules, report it, and handle requests until the standard input ends."""
    for name in modules:
        importlib.import_module(name)
    import ipykernel.ipkernel  # noqa: F401
    import ipykernel.kernelapp  # noqa: F401
    import matplotlib.pyplot  # noqa: F401

    kernels = Kernels(sandboxed)
    reply({"ready": True, "package": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))})
    while True:
        while not select.select([0], [], [], WATCH_SECONDS if kernels.running else 1.0)[0]:
            kernels.look_after()
        line = sys.stdin.buffer.raw.readline()  # type: ignore[union-attr]  # of what is buffered, select tells nothing
        if not line:
            break
        kernels.look_after()
        try:
            reply(kernels.handle(json.loads(line)))
        except OSError as error:
            reply({"error": str(error)})
    for kernel in list(kernels.running):
        kernels.end(kernel)


class Kernels:
    """The kernels of a fork server. running: by kernel's pid, (its supervisor's pid, its limits). ended: by pid,
    why it did."""

    def __init__(self, sandboxed: bool) -> None:
        self.sandboxed = sandboxed
        self.running: dict[int, tuple[int, dict[str, int]]] = {}
        self.ended: dict[int, str] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request says, and return the answer to it."""
        if request["do"] == "fork":
            supervisor, kernel = fork_kernel(request["slot"], request["limits"], self.sandboxed)
            self.running[kernel] = supervisor, request["limits"]
            self.ended.clear()  # asked for no more: a worker has one kernel at a time
            return {"pid": kernel}
        pid = request["pid"]
        alive = pid in self.running
        if request["do"] == "alive":
            return {"alive": alive} if alive else {"alive": False, "why": self.ended.get(pid, "")}
        if request["do"] == "kill":
            self.end(pid)
        elif alive:
            _signal(pid, signal.SIGINT)
        return {"done": True}

    def look_after(self) -> None:
        """Forget the kernels that have ended, and end those that use too much memory."""
        for kernel, (supervisor, limits) in list(self.running.items()):
            ended, status = os.waitpid(supervisor, os.WNOHANG)
            if ended:
                del self.running[kernel]
                self.ended[kernel] = WHY.get(os.waitstatus_to_exitcode(status), "")
            elif self.sandboxed and memory_of(kernel, limits["memory_mb"]) > limits["memory_mb"]:
                self.end(kernel)
                self.ended[kernel] = f"it used more than {limits['memory_mb']} MB of memory"

    def end(self, kernel: int) -> None:
        """Kill a kernel, and with it all that it started."""
        if kernel in self.running:
            _signal(kernel, signal.SIGKILL)
            os.waitpid(self.running.pop(kernel)[0], 0)


def _signal(kernel: int, number: int) -> None:
    """Send a signal to a kernel, which may have ended a moment ago."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(kernel, number)


def reply(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1] == "sandboxed", sys.argv[2:])
