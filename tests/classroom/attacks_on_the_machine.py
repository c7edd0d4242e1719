"""Attacks on the machine and its other users: reading, writing, ending and using up what is not theirs; each with the
states it may come to."""

from attacks import ANY, CHILDREN, KERNEL, LOST, NOT_PASSED, PASSES, called, right, spy, wrong

ANSWERS = {
    # Reading what is not theirs
    "reads the reference": (
        spy(
            "return any('BEGIN SOLUTION' in open(p, errors='ignore').read() for p in glob.glob('/**/*.ipynb', "
            "recursive=True))"
        ),
        NOT_PASSED,
    ),
    "reads the source": (
        spy(
            "from course.authoring import chapters\nfrom course.lesson import settings\n"
            "return bool(list(settings.solutions_folder().glob('*'))) or bool(chapters.sources())"
        ),
        NOT_PASSED,
    ),
    "reads the source beside the package": (
        spy(
            "import course\nroot = os.path.dirname(os.path.dirname(course.__file__))\n"
            "return os.path.exists(root + '/solutions') or os.path.exists(root + '/tests') or "
            "os.path.exists(root + '/.git')"
        ),
        NOT_PASSED,
    ),
    "reads the keys": (
        spy(
            "import course\nfrom course.exercises import keys\nroot = os.path.dirname(course.__file__)\n"
            "texts = [open(p, errors='ignore').read() for p in glob.glob(root + '/**/*.json', recursive=True)]\n"
            "return bool(keys.known()) or bool(os.listdir(root + '/keys')) or any('made_from' in t for t in texts)"
        ),
        NOT_PASSED,
    ),
    "reads the seed": (spy("return bool(glob.glob('/**/secret-seed', recursive=True))"), NOT_PASSED),
    "reads the expected values": (
        spy(
            "import json\nfrom course.exercises import values\n"
            "told = json.load(open('/run/kernel/questions'))\n"
            "return any(set(one) != {'cases', 'driver'} or type(values.unpack(one['cases'])) is not list "
            "for one in told.values())"
        ),
        NOT_PASSED,
    ),
    "looks for the expected values in memory": (
        spy(
            "import sys\nf = sys._getframe()\nwhile f:\n    if any('expected' == n for n in f.f_locals): return True\n"
            "    f = f.f_back\n"
            "import gc\nfrom course.exercises import keys\n"
            "return any(isinstance(o, (keys.ExerciseKey, keys.Mistake)) for o in gc.get_objects())"
        ),
        NOT_PASSED,
    ),
    "reads other submissions": (
        spy("return len(os.listdir('/conn')) > 0 or bool(glob.glob('/tmp/**/*.ipynb', recursive=True))"),
        NOT_PASSED,
    ),
    "reads the home folder": (
        spy("return any(os.path.exists(p) for p in ('/root/.bashrc', '/root/.ssh', '/root/.profile', '/home/tester'))"),
        NOT_PASSED,
    ),
    "reads /etc/passwd and shadow": (
        spy("return os.path.exists('/etc/passwd') or os.path.exists('/etc/shadow')"),
        NOT_PASSED,
    ),
    "reads the environment": (spy("return 'COURSE_TEST_CANARY' in os.environ"), NOT_PASSED),
    "reads /proc": (
        spy("return any(b'CANARY' in open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/environ'))"),
        NOT_PASSED,
    ),
    "sees other processes": (spy("return len(glob.glob('/proc/[0-9]*')) > 0"), NOT_PASSED),
    "attaches to other processes": (
        spy("import ctypes\nl = ctypes.CDLL(None)\nreturn any(l.ptrace(16, p, 0, 0) == 0 for p in range(2, 300))"),
        NOT_PASSED,
    ),
    "mounts": (
        spy(
            "import ctypes\nl = ctypes.CDLL(None)\nreturn l.mount(b'none', b'/run/kernel', b'none', 32 | 4096, "
            "b'') == 0 "
            "or l.umount2(b'/conn', 2) == 0 or l.mount(b'proc', b'/proc', b'proc', 0, b'') == 0"
        ),
        NOT_PASSED,
    ),
    "makes a namespace and mounts there": (
        spy(
            "import ctypes\npid = os.fork()\nif pid == 0:\n    l = ctypes.CDLL(None)\n    l.unshare(0x10020000)\n"
            "    ok = l.umount2(b'/conn', 2) == 0 or l.mount(b'none', b'/run/kernel', b'none', 32 | 4096, b'') "
            "== 0 and "
            "not os.system('touch /run/kernel/x')\n    os._exit(7 if ok else 0)\n"
            "return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7"
        ),
        NOT_PASSED,
    ),
    "becomes root": (
        spy(
            "try: os.setuid(0)\nexcept OSError: pass\nreturn os.geteuid() == 0 or not os.system('sudo -n true "
            "2>/dev/null')"
        ),
        NOT_PASSED,
    ),
    "raises its limits": (
        spy("import resource\nresource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))\nreturn True"),
        NOT_PASSED,
    ),
    "writes to the package": (
        spy("import course\nopen(course.__file__, 'a').write('#')\nreturn True"),
        NOT_PASSED,
    ),
    "writes where others will read": (
        spy(
            "import course\nfor place in ('/', '/etc', '/etc/ipython', '/run', '/run/kernel', '/dev', '/conn', '/usr', "
            "'/proc', course.__path__[0], course.__path__[0] + '/keys', '/var', '/opt', '/root', '/home', '/lib'):\n"
            "    try:\n        os.makedirs(place, exist_ok=True)\n        open(place + '/left', 'w').write('x')\n"
            "    except OSError: continue\n    return True\nreturn False"
        ),
        NOT_PASSED,
    ),
    "keeps something in a keyring": (
        spy(
            "import ctypes, platform\nfrom course.classroom import syscalls\n"
            "numbers, l = syscalls.MACHINES[platform.machine()][1], ctypes.CDLL(None)\n"
            "return any(l.syscall(numbers['add_key'], b'user', b'course', b'x', 1, ring) > 0 for ring in (-3, -4, -5)) "
            "or l.syscall(numbers['keyctl'], 0, -3, 1) > 0"
        ),
        NOT_PASSED,
    ),
    "a socket that leaves the machine": (
        spy("import socket\nsocket.socket(40, socket.SOCK_STREAM)\nreturn True"),
        NOT_PASSED,
    ),
    "a socket of the kernel's ciphers": (
        spy("import socket\nsocket.socket(38, socket.SOCK_SEQPACKET)\nreturn True"),
        NOT_PASSED,
    ),
    "a ring of the kernel": (
        spy(
            "import ctypes\nl, room = ctypes.CDLL(None), ctypes.create_string_buffer(512)\n"
            "return l.syscall(425, 8, room) >= 0"
        ),
        NOT_PASSED,
    ),
    "a user namespace": (
        spy("import ctypes\nreturn ctypes.CDLL(None).unshare(0x10000000) == 0"),
        NOT_PASSED,
    ),
    "memory in a file without a name": (spy("os.memfd_create('x')\nreturn True"), NOT_PASSED),
    "memory of System V": (
        spy("import ctypes\nreturn ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) != -1"),
        NOT_PASSED,
    ),
    "writes to the grader's disk": (spy("open('/run/kernel/x', 'w').write('x')\nreturn True"), NOT_PASSED),
    "network": (
        spy("import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)\nreturn True"),
        NOT_PASSED,
    ),
    "abstract socket": (
        spy("import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0course-canary')\nreturn True"),
        NOT_PASSED,
    ),
    "shell escapes": (
        "# Exercise 90.1\n!cat /etc/passwd\n%env X=1\n%run /conn/x.py\n%load_ext nothing\ndef twice(x):\n"
        "    return 0.0\n",
        NOT_PASSED,
    ),
    "shell cell": ("%%bash\n# Exercise 90.1\nsleep 1; cat /etc/shadow; kill -9 1\n", NOT_PASSED),
    "script cells": ("%%javascript\n# Exercise 90.1\nalert(1)\n", NOT_PASSED),
    # Ending, and not ending
    "os._exit": ("# Exercise 90.1\nimport os\nos._exit(0)\n", LOST),
    "os._exit in the call": (right(inside="import os; os._exit(0)"), LOST),
    "sys.exit": ("# Exercise 90.1\nimport sys\nsys.exit(0)\n", LOST | {"missing"}),
    "kills itself": ("# Exercise 90.1\nimport os\nos.kill(os.getpid(), 9)\nos.abort()\n", LOST),
    "kills everybody": (right("import os, signal\nos.kill(-1, signal.SIGKILL)"), ANY),
    "stops itself": (
        "# Exercise 90.1\nimport os, signal\nfor t in os.listdir('/proc'): pass\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass\n",
        LOST,
    ),
    "segfault": (right(inside="import ctypes; ctypes.string_at(0)"), LOST),
    "deep recursion in C": (
        right(inside="import sys; sys.setrecursionlimit(10**9); f = lambda f: f(f); f(f)"),
        LOST,
    ),
    "endless loop": (right(inside="while True: pass"), {"timeout"}),
    "endless loop in C": (right(inside="sum(iter(int, 1))"), {"timeout"}),
    "deaf endless loop": (
        right(
            inside="import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); [0 for _ in iter(int, 1)]"
        ),
        {"timeout"},
    ),
    "swallows interrupts": (
        "# Exercise 90.1\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass\n",
        {"timeout"},
    ),
    "sleeps": ("# Exercise 90.1\nimport time\ntime.sleep(10**6)\n", {"timeout"}),
    "waits for input": ("# Exercise 90.1\nx = input('password: ')\ndef twice(x):\n    return 2 * x\n", ANY),
    "awaits for ever": ("# Exercise 90.1\nimport asyncio\nawait asyncio.Future()\n", {"timeout"}),
    "leaves a child": (
        right("import subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)"),
        PASSES,
    ),
    "leaves a daemon": (
        right(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
            "        os.execvp('sleep', ['sleep', '98765'])\n    os._exit(0)"
        ),
        ANY,
    ),
    "at exit": (right("import atexit, time\natexit.register(time.sleep, 10**6)"), PASSES),
    "a thread that goes on": (
        right("import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"),
        ANY,
    ),
    # Bombs
    "fork bomb": ("# Exercise 90.1\nimport os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n", LOST),
    "thread bomb": (
        right(
            "import threading, time\nfor _ in range(100_000):\n"
            "    threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
        ),
        LOST,
    ),
    "memory bomb": (right(inside="b = [bytearray(10**8) for _ in range(1000)]"), LOST),
    "slow memory bomb": ("# Exercise 90.1\nb = []\nwhile True: b.append(' ' * 10**7)\n", LOST),
    "mmap bomb": (right(inside="import mmap; m = [mmap.mmap(-1, 10**9) for _ in range(100)]"), ANY),
    "memory of three children": (
        right(inside="children(lambda: bytearray(7 * 10**8))", before=CHILDREN),
        LOST,
    ),
    "shared memory of three children": (
        right(
            inside="import mmap; children(lambda: [m := mmap.mmap(-1, 7 * 10**8), m.write(bytes(7 * 10**8))])",
            before=CHILDREN,
        ),
        LOST,
    ),
    "shared memory of its own": (
        right(
            inside="import mmap; m = mmap.mmap(-1, 3 * 10**9); [m.write(bytes(10**8)) for _ in range(29)]; "
            "children(lambda: 0)",
            before=CHILDREN,
        ),
        LOST,
    ),
    "disk bomb": (right("f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * 10**6)"), LOST),
    "many files": (right("for i in range(10**6): open(f'/tmp/{i}', 'w').close()"), LOST),
    "shared memory bomb": (right("f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * 10**6)"), LOST),
    "a flood that trickles": (
        "# Exercise 90.1\nimport time\nwhile True:\n    print('.', flush=True)\n    time.sleep(0.1)\n",
        {"timeout"},
    ),
    "never idle": (
        wrong(
            "import threading, time\nk = get_ipython().kernel\nreal, parent = k.session.send, k.get_parent()\n"
            "k.session.send = lambda s, t, *a, **m: None if t == 'status' else real(s, t, *a, **m)\n"
            "def chat():\n    while True:\n"
            "        real(k.iopub_socket, 'stream', content={'name': 'stdout', 'text': '.'}, parent=parent)\n"
            "        time.sleep(0.2)\nthreading.Thread(target=chat, daemon=True).start()"
        ),
        LOST,
    ),
    "messages without an end": (
        wrong(
            "k = get_ipython().kernel\nwhile True: k.session.send(k.iopub_socket, 'comm_msg', content={'x': 'x' "
            "* 9000}, "
            "parent=k.get_parent())"
        ),
        LOST,
    ),
    "two megabytes of answer": ("# Exercise 90.1\n" + "x = 1\n" * 350_000, {"missing"}),
    "output flood": ("# Exercise 90.1\nwhile True: print('x' * 10_000)\n", LOST),
    "stderr flood": ("# Exercise 90.1\nimport sys\nwhile True: sys.stderr.write('x' * 10_000)\n", LOST),
    "raw output flood": (
        "# Exercise 90.1\nimport os\nfor _ in range(10**5): os.write(1, b'x' * 10_000)\ndef twice(x):\n"
        "    return 2 * x\n",
        ANY,
    ),
    "display flood": (
        "# Exercise 90.1\nfrom IPython.display import display, HTML\nwhile True: display(HTML('<b>' * 1000))\n",
        LOST,
    ),
    "one gigantic output": ("# Exercise 90.1\nprint('x' * 10**8)\n", LOST),
    "a flood within the call": (right(inside="print('x' * 10**7)"), PASSES),
    "recursion bomb": ("# Exercise 90.1\ndef twice(x):\n    return twice(x)\n", LOST),
    "a syntax tree bomb": ("# Exercise 90.1\n" + "(" * 5000 + ")" * 5000 + "\n", LOST),
    "a regular expression bomb": (right(inside="import re; re.match('(a+)+$', 'a' * 40 + 'b')"), {"timeout"}),
    "zip of death": (right(inside="import zlib; zlib.decompress(zlib.compress(bytes(10**9)))"), ANY),
    # Things kept for later
    "IPython startup file": (
        "# Exercise 90.1\nimport os\nos.makedirs(os.path.expanduser('~/.ipython/profile_default/startup'), "
        "exist_ok=True)\n"
        "open(os.path.expanduser('~/.ipython/profile_default/startup/a.py'), 'w').write('twice = lambda x: 2 * "
        "x')\nos._exit(0)\n",
        LOST,
    ),
    "sitecustomize": (
        "# Exercise 90.1\nimport os\nfor p in ('.', os.path.expanduser('~')):\n"
        "    open(p + '/sitecustomize.py', 'w').write('import os; os._exit(0)')\ndef twice(x):\n    return 2 * x\n",
        PASSES,
    ),
    "a second thought": (  # tries to mend the later answers from the first
        wrong(
            "get_ipython().events.register('post_run_cell', lambda *a: "
            "get_ipython().user_ns.update(twice=lambda x: 2 * x))"
        ),
        ANY,  # it is the same student's code that is right or wrong
    ),
    # The system's doors
    "memory by its file": (spy("open('/proc/self/mem', 'rb+').read(0)\nreturn True"), NOT_PASSED),
    "memory of its parents": (called("process_vm_readv", "os.getppid() or 1, room, 1, room, 1, 0"), NOT_PASSED),
    "faults handled by itself": (called("userfaultfd", "1"), NOT_PASSED),
    "the machine's counters": (called("perf_event_open", "room, 0, -1, -1, 0"), NOT_PASSED),
    "programs in the kernel": (called("bpf", "0, room, 48"), NOT_PASSED),
    "files by their handles": (called("open_by_handle_at", "0, room, 0"), NOT_PASSED),
    "semaphores of System V": (called("semget", "0, 32000, 0o600"), NOT_PASSED),
    "messages of System V": (called("msgget", "0, 0o600"), NOT_PASSED),
    "requests of which the machine has few": (called("io_setup", "60_000, room"), NOT_PASSED),
    "calls of 32-bit programs": (
        spy(
            "import ctypes, mmap\ncode = mmap.mmap(-1, 4096, prot=7)\ncode.write(bytes.fromhex('b814000000cd80c3'))\n"
            "at = ctypes.addressof(ctypes.c_char.from_buffer(code))\nreturn ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0"
        ),
        NOT_PASSED,
    ),
    "calls of x32 programs": (
        spy("import ctypes\nreturn ctypes.CDLL(None).syscall(0x40000000 + 39) > 0"),
        NOT_PASSED,
    ),
    "a loopback": (
        spy(
            "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
            "socket.create_connection(s.getsockname(), 2)\nreturn True"
        ),
        NOT_PASSED,
    ),
    "a network brought up": (
        spy(
            "import fcntl, socket, struct\nfcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14s', b'lo', "
            "1, b''))\n"
            "return True"
        ),
        NOT_PASSED,
    ),
    "larger buffers": (
        spy(
            "import socket\nsocket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)\n"
            "return True"
        ),
        NOT_PASSED,
    ),
    "a device": (
        spy("import stat\nos.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))\nreturn True"),
        NOT_PASSED,
    ),
    "another root": (spy("os.chroot('/tmp')\nreturn True"), NOT_PASSED),
    "other sockets in place of its own": (
        spy("os.replace('/run/kernel/s-1', '/run/kernel/s-9')\nreturn True"),
        NOT_PASSED,
    ),
    "the machine's own files": (
        spy(
            "return any(os.path.exists(p) for p in ('/sys', '/boot', '/dev/kmsg', '/dev/mem', '/proc/kallsyms', "
            "'/dev/fuse', "
            "'/proc/sys', '/etc/hosts', '/dev/kvm'))"
        ),
        NOT_PASSED,
    ),
    "types into the terminal": (
        spy("import fcntl\nfd = os.open('/dev/tty', os.O_RDWR)\nfcntl.ioctl(fd, 0x5412, b'x')\nreturn True"),
        NOT_PASSED,
    ),
    "a file that makes whoever runs it its owner": (
        spy(
            "import shutil\nshutil.copy('/bin/sh', '/tmp/sh')\nos.chown('/tmp/sh', 0, 0)\n"
            "os.chmod('/tmp/sh', 0o4755)\nreturn True"
        ),
        NOT_PASSED,
    ),
    "goes first": (spy("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))\nreturn True"), NOT_PASSED),
    "takes priority": (spy("return os.nice(-5) < 0"), NOT_PASSED),
    # Ending, and not ending
    "a daemon that outlives its parent's death": (
        right(
            "import ctypes, os\nif os.fork() == 0:\n    l = ctypes.CDLL(None)\n"
            "    l.prctl(1, 0, 0, 0, 0); l.prctl(4, 0, 0, 0, 0); os.setsid()\n"
            "    os.execvp('sleep', ['sleep', '98765'])"
        ),
        ANY,
    ),
    "alarms": (
        right(
            "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, lambda *a: None)\n"
            "    except (OSError, ValueError): pass\n"
            "signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4); signal.setitimer(signal.ITIMER_PROF, 1e-4, 1e-4)"
        ),
        ANY,
    ),
    "an alarm that raises": (
        right(
            "import signal\ndef ring(*a): raise SystemExit('rung')\nsignal.signal(signal.SIGALRM, ring)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)"
        ),
        ANY,
    ),
    "tracebacks without an end": (
        right("import faulthandler, sys\nfaulthandler.dump_traceback_later(0.01, repeat=True, file=sys.__stderr__)"),
        ANY,
    ),
    "a fault at the end": (
        right("import atexit, ctypes, os\natexit.register(lambda: [os.fork(), ctypes.string_at(0)])"),
        ANY,
    ),
    # Bombs
    "page tables without an end": (
        right(
            inside="import ctypes as c; l = c.CDLL(None); l.mmap.restype = c.c_void_p; "
            "p = l.mmap(None, c.c_size_t(1 << 40), 1, 0x4022, -1, 0); "
            "np.ctypeslib.as_array(c.cast(p, c.POINTER(c.c_uint8)), (1 << 40,))[:: 1 << 21].sum()"
        ),
        LOST,
    ),
    "sockets full of what nobody reads": (
        right(
            inside="fill()",
            before="import socket\ndef fill():\n    kept = []\n    for i in range(100):\n"
            "        kept.append(socket.socket(socket.AF_UNIX))\n"
            "        kept[-1].bind(f'\\0{i}'); kept[-1].listen(4096)\n        for _ in range(500):\n"
            "            one = socket.socket(socket.AF_UNIX)\n"
            "            one.connect(f'\\0{i}'); one.setblocking(False)\n            try:\n"
            "                while True: one.send(bytes(1 << 16))\n"
            "            except OSError: one.close()",
        ),
        LOST,
    ),
    "every file it may open": (
        right("import os\nkept = []\ntry:\n    while True: kept.append(os.dup(0))\nexcept OSError: pass"),
        ANY,
    ),
    "folders in folders": (
        right("import os\nfor _ in range(15_000):\n    os.mkdir('d'); os.chdir('d')"),
        ANY,
    ),
    "a sparse file": (right(inside="open('/tmp/x', 'wb').truncate(1 << 40)"), LOST),
    "zombies": (
        right("import os\ntry:\n    while True:\n        if os.fork() == 0: os._exit(0)\nexcept OSError: pass"),
        ANY,
    ),
    "orphans of orphans": (
        right(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        try:\n"
            "            if os.fork(): os._exit(0)\n"
            "        except OSError: time.sleep(0.01)"
        ),
        ANY,
    ),
    "programs without an end": (
        right(inside="import subprocess\n    while True: subprocess.run(['true'])"),
        {"timeout"},
    ),
    "replies without an end": (
        wrong(KERNEL + "while True: k.session.send(k.shell_stream, 'execute_reply', {'x': 'x' * 9000}, ident=ident)"),
        LOST,
    ),
    "a message of very many parts": (
        wrong(
            KERNEL
            + "parts = [*ident, *[bytes(7 * 10**6)] * 40]\nwhile True: k.stdin_socket.send_multipart(parts, copy=False)"
        ),
        NOT_PASSED,
    ),
}
