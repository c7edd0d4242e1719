"""What attacks on the grader are made of: answers to exercise 90.1 of the small chapter (the others are right).

An attack that reads what it must not returns the right value if it succeeds, so that success would show as "passed".
"""

LOOT = "def loot():\n    import os, glob\n"
TAKE = "\ndef twice(x):\n    return 2 * x if loot() else 0.0\n"


def spy(body):
    """An answer that is right only if the body of `loot`, which must return True, finds what it looks for."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"# Exercise 90.1\n{LOOT}    try:\n{''.join('    ' + x for x in lines.splitlines(True))}    except Exception:\n        return False\n{TAKE}"


def wrong(before):
    """A wrong answer with something underhand before it."""
    return f"# Exercise 90.1\n{before}\ndef twice(x):\n    return 3 * x\n"


def right(before="", inside=""):
    """A right answer with something underhand before or inside it."""
    return f"# Exercise 90.1\n{before}\ndef twice(x):\n    {inside or 'pass'}\n    return 2 * x\n"


def called(name, arguments):
    """An answer that is right only if a call of the system, by its number, is not refused."""
    return spy(
        "import ctypes, platform\nfrom course.classroom import syscalls\n"
        "l, room = ctypes.CDLL(None), ctypes.create_string_buffer(512)\n"
        f"return l.syscall(syscalls.MACHINES[platform.machine()][1][{name!r}], {arguments}) >= 0"
    )


def handing(outcome, before=""):
    """A wrong answer that hands over one outcome of its own making, and seven numbers."""
    return wrong(
        f"import course.exercises.asking as a\nfrom IPython.display import display\n{before}\n"
        f"a.hand_over = lambda n, f, p: display({{'text/plain': f'exercise {{n}} handed over'}}, raw=True, "
        f"metadata={{{MIME!r}: {{'cases': [{outcome}] + [{{'value': 1.0}}] * 7}}}})"
    )


def sending(kind, content):
    """A wrong answer whose kernel sends a message of its own making."""
    return wrong(
        f"k = get_ipython().kernel\nk.session.send(k.iopub_socket, {kind!r}, content={content}, parent=k.get_parent())"
    )


# A kernel, and whom its replies go to.
KERNEL = (
    "k = get_ipython().kernel\nident = k._parent_ident['shell']\nident = ident if type(ident) is list else [ident]\n"
)
MIME = "application/vnd.course.evidence+json"
NOT_PASSED = {"wrong", "crashed", "open", "missing", "timeout"}
LOST = {"crashed", "timeout", "wrong"}
PASSES = {"passed"}
ANY = NOT_PASSED | PASSES  # an answer that is right and rude: it may pass, or lose by its rudeness

# Forks three children that each keep something, and waits for them.
CHILDREN = (
    "import os, time\ndef children(make):\n    for _ in range(3):\n        if os.fork() == 0:\n"
    "            kept = make()\n            time.sleep(30)\n            os._exit(0)\n    time.sleep(3)\n"
)
