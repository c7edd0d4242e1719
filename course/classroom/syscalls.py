"""What a submission's kernel may not ask of the operating system: a seccomp filter, put on inside the sandbox.

Namespaces, limits and missing rights already take most of this away. The filter closes what they leave open: keyrings
(they outlive a submission), memory that belongs to no process (memfd, and System V's, its semaphores and messages
too), sockets that no network namespace holds back (AF_VSOCK), the requests of which a machine has a certain number for
all its programs (io_setup), and the parts of Linux where holes are found most often.
"""

import ctypes
import errno
import os
import platform

NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW... of `clone` but time's, which it does not take
SOCKETS = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what a program may open in its empty network
SOL_SOCKET, SO_SNDBUF, SO_RCVBUF = 1, 7, 8
SOMETIMES = ("clone", "socket", "setsockopt")  # what is refused with certain arguments only
# By machine: what the kernel calls it, and the numbers of those calls that differ from machine to machine.
MACHINES = {
    "x86_64": (
        0xC000003E,
        {
            "clone": 56, "socket": 41, "add_key": 248, "request_key": 249, "keyctl": 250, "memfd_create": 319,
            "shmget": 29, "semget": 64, "msgget": 68, "io_setup": 206, "setsockopt": 54, "ptrace": 101,
            "process_vm_readv": 310, "process_vm_writev": 311, "mount": 165, "umount2": 166, "pivot_root": 155,
            "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
            "open_by_handle_at": 304, "kexec_load": 246, "init_module": 175, "finit_module": 313,
            "delete_module": 176, "reboot": 169, "swapon": 167, "swapoff": 168, "quotactl": 179, "acct": 163,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "clone": 220, "socket": 198, "add_key": 217, "request_key": 218, "keyctl": 219, "memfd_create": 279,
            "shmget": 194, "semget": 190, "msgget": 186, "io_setup": 0, "setsockopt": 208, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271, "mount": 40, "umount2": 39, "pivot_root": 41,
            "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
            "open_by_handle_at": 265, "kexec_load": 104, "init_module": 105, "finit_module": 273,
            "delete_module": 106, "reboot": 142, "swapon": 224, "swapoff": 225, "quotactl": 60, "acct": 89,
        },
    ),
}  # fmt: skip
# Newer calls have one number everywhere: io_uring_*, open_tree and the mount calls after it, mount_setattr,
# pidfd_getfd, memfd_secret.
EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 438, 447)
CLONE3 = 435
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of Berkeley Packet Filter programs
NUMBER, MACHINE, ARGUMENTS = 0, 4, (16, 24, 32)  # where they stand in what a filter is shown
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int) -> None:
    """Raise OSError where a call of the C library has failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a machine of MACHINES, as a list of (code, jump if so, jump if not, value)."""
    mark, numbers = MACHINES[machine]
    refused = sorted({number for name, number in numbers.items() if name not in SOMETIMES} | {*EVERYWHERE})
    refuse = (RETURN, 0, 0, REFUSE | errno.EPERM)
    lines = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, mark), refuse]  # 32-bit programs have numbers of their own
    lines += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, 0x40000000), refuse]
    for number in refused:
        lines += [(EQUAL, 0, 1, number), refuse]
    # clone3 hides its flags behind a pointer; told that it does not exist, the C library takes clone.
    lines += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    lines += [(EQUAL, 0, 3, numbers["clone"]), (LOAD, 0, 0, ARGUMENTS[0]), (ANY_BIT, 0, 1, NEW_NAMESPACES), refuse]
    # A socket's buffer may not grow: what stands in it is nobody's memory, see `fork_server.kept_for`.
    lines += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 6, numbers["setsockopt"]), (LOAD, 0, 0, ARGUMENTS[1])]
    lines += [(EQUAL, 0, 4, SOL_SOCKET), (LOAD, 0, 0, ARGUMENTS[2]), (EQUAL, 1, 0, SO_SNDBUF), (EQUAL, 0, 1, SO_RCVBUF)]
    lines += [refuse]
    lines += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, len(SOCKETS) + 2, numbers["socket"]), (LOAD, 0, 0, ARGUMENTS[0])]
    lines += [(EQUAL, len(SOCKETS) - i, 0, family) for i, family in enumerate(SOCKETS)]
    return [*lines, (RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]


def refuse_calls() -> None:
    """Put the filter on this process and all that it will start, for good. It must have given up new privileges. Does
    nothing on a machine that MACHINES does not name or whose kernel has no filters."""
    if platform.machine() not in MACHINES:
        return
    lines = program(platform.machine())
    listed = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    made = _Program(len(lines), listed)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(made), 0, 0):
        number = ctypes.get_errno()
        if number != errno.EINVAL:
            raise OSError(number, os.strerror(number))
