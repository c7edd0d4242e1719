"""Hostile and broken submissions of the small chapter, each with the outcome it must have.

ANSWERS: what stands in the cell of exercise 90.1 (the others are right), and the states that exercise may come to. An
attack that reads what it must not returns the right value if it succeeds, so that success would show as "passed".
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

ANSWERS = {
    # The checker, the comparison and everything between
    "patched check": (
        wrong("import course.exercises.checking as c\nc.check = lambda *a: print('exercise 90.1 ✓ 8 cases')"),
        NOT_PASSED,
    ),
    "shadowed check": (wrong("check = lambda *a: print('exercise 90.1 handed over')"), NOT_PASSED),
    "patched course": (wrong("import course\ncourse.check = print"), NOT_PASSED),
    "fake exercises module": (
        wrong("import sys, types\nsys.modules['course.exercises'] = types.ModuleType('x')"),
        NOT_PASSED,
    ),
    "patched hand over": (wrong("import course.exercises.asking as a\na.hand_over = lambda *a: None"), NOT_PASSED),
    "patched encoding": (
        wrong("import course.exercises.values as v\nv.encode_outcome = lambda o: {'value': True}"),
        NOT_PASSED,
    ),
    "patched outcome": (
        wrong(
            "import course.exercises.outcomes as o\no.Outcome.differs = lambda *a: None\no.compare = lambda *a: None"
        ),
        NOT_PASSED,
    ),
    "patched judge": (
        wrong(
            "from course.exercises import checking, judging\n"
            "judging.judge = checking.judge = lambda *a: judging.Judgement('passed', 8, 8)"
        ),
        NOT_PASSED,
    ),
    "judges itself, with a key of its own": (
        wrong(
            "import os, course.exercises.checking as c\nclass E(dict):\n    get = lambda *a: None\n"
            "os.environ = E(os.environ)\nk, o = c.keys, c.asking.Outcome(3.0)\n"
            "one = k.ExerciseKey('90.1', 'twice', 2, '', '', ('x',), 1, 1, '', k.pack_questions([(1.0,)] * 8), "
            "k.pack_answers([o] * 8, []))\nk.load = lambda n: k.ChapterKey('90', '90_adding', '', [], {'90.1': one})"
        ),
        NOT_PASSED,
    ),
    "patched isclose": (wrong("np.isclose = np.allclose = np.array_equal = lambda *a, **k: True"), NOT_PASSED),
    "patched display": (wrong("import IPython.display as d\nd.display = lambda *a, **k: None"), NOT_PASSED),
    "patched print": (wrong("import builtins\nbuiltins.print = lambda *a, **k: None"), NOT_PASSED),
    "patched equality": (wrong("import builtins\nbuiltins.isinstance = lambda *a: True"), NOT_PASSED),
    "patched json": (wrong("import json\njson.load = lambda *a: {}"), NOT_PASSED),
    "no asserts": (wrong("import sys\nsys.flags = None\n__debug__ if True else 0"), NOT_PASSED),
    "import hook": (
        wrong(
            "import sys\nclass H:\n    def find_spec(self, n, p=None, t=None):\n"
            "        if n.startswith('course'): raise ImportError\nsys.meta_path.insert(0, H())\n"
            "for m in [m for m in sys.modules if m.startswith('course')]: del sys.modules[m]"
        ),
        NOT_PASSED,
    ),
    "AST transformer": (
        wrong(
            "import ast\nclass T(ast.NodeTransformer):\n    def visit_Call(self, n):\n"
            "        return ast.parse('print(\"exercise 90.1 handed over\")').body[0].value\n"
            "get_ipython().ast_transformers.append(T())"
        ),
        NOT_PASSED,
    ),
    "input transformer": (
        wrong(
            "get_ipython().input_transformers_post.append(lambda lines: ['print(\"exercise 90.1 handed over\")\\n'])"
        ),
        NOT_PASSED,
    ),
    "silent showtraceback": (
        wrong("get_ipython().showtraceback = lambda *a, **k: None\nget_ipython()._showtraceback = lambda *a: None"),
        NOT_PASSED,
    ),
    "custom exception handler": (
        wrong("get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)"),
        NOT_PASSED,
    ),
    "pre-run hook": (
        wrong("get_ipython().events.register('pre_run_cell', lambda i: setattr(i, 'raw_cell', 'pass'))"),
        NOT_PASSED,
    ),
    "patched run_cell": (wrong("get_ipython().run_cell = lambda *a, **k: None"), NOT_PASSED),
    "patched publisher": (wrong("get_ipython().display_pub.publish = lambda *a, **k: None"), NOT_PASSED),
    "malformed messages": (
        wrong(
            "k = get_ipython().kernel\nfor c in ({}, {'name': 1}, {'data': 3}, {'execution_state': []}):\n"
            "    for t in ('stream', 'display_data', 'execute_result', 'error', 'status', 'nonsense'):\n"
            "        k.session.send(k.iopub_socket, t, content=c, parent=k.get_parent())"
        ),
        NOT_PASSED,
    ),
    "messages that are no JSON": (
        wrong(
            "k = get_ipython().kernel\nfor _ in range(9): k.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', b'', b'\\xff'])"
        ),
        NOT_PASSED,
    ),
    "an early idle": (
        wrong(
            "k = get_ipython().kernel\nk.session.send(k.iopub_socket, 'status', content={'execution_state': 'idle'}, "
            "parent=k.get_parent())"
        ),
        NOT_PASSED,
    ),
    "%reset": (wrong("get_ipython().run_line_magic('reset', '-f')"), NOT_PASSED),
    "NBVAL_SKIP": ("# Exercise 90.1\n# NBVAL_SKIP\ndef twice(x):\n    return 3 * x\n", NOT_PASSED),
    "NBVAL_IGNORE_OUTPUT": (
        "# Exercise 90.1\n# NBVAL_IGNORE_OUTPUT\n# NBVAL_RAISES_EXCEPTION\ntwice = 1\n",
        NOT_PASSED,
    ),
    # Forged evidence
    "forged line": (wrong("print('exercise 90.1 handed over')\nprint('exercise 90.1 ✓ 8 cases')"), NOT_PASSED),
    "forged evidence": (
        wrong(
            "from IPython.display import display\n"
            f"display({{'text/plain': 'exercise 90.1 handed over'}}, raw=True, metadata={{{MIME!r}: "
            "{'exercise': '90.1', 'name': 'twice', 'cases': [{'value': 1.0}] * 8, 'public': []}})"
        ),
        NOT_PASSED,
    ),
    "evidence that says passed": (
        wrong(
            "import course.exercises.asking as a\nfrom IPython.display import display\n"
            f"a.hand_over = lambda n, f, p: display({{'text/plain': f'exercise {{n}} handed over'}}, raw=True, "
            f"metadata={{{MIME!r}: {{'state': 'passed', 'points': 99, 'cases': True}}}})"
        ),
        NOT_PASSED,
    ),
    "strange evidence": (
        wrong(
            "import course.exercises.asking as a\nfrom IPython.display import display\n"
            f"a.hand_over = lambda n, f, p: display({{'text/plain': f'exercise {{n}} handed over'}}, raw=True, "
            f"metadata={{{MIME!r}: {{'cases': [{{'value': {{'array': 'AAAA', 'dtype': '|O', 'shape': [-1]}}}}] * 8}}}})"
        ),
        NOT_PASSED,
    ),
    "evidence that no number can hold": (
        wrong(
            "import course.exercises.asking as a\nfrom IPython.display import display\n"
            f"a.hand_over = lambda n, f, p: display({{'text/plain': f'exercise {{n}} handed over'}}, raw=True, "
            f"metadata={{{MIME!r}: {{'cases': [{{'value': {{'complex': [{{'int': '9' * 900}}, 0]}}}}] * 8}}}})"
        ),
        NOT_PASSED,
    ),
    "a long text among empty ones": (
        handing("{'value': ['x' * 300_000] + [''] * 100_000}"),
        NOT_PASSED,
    ),
    "an empty array of enormous shape": (
        handing("{'value': {'array': '', 'dtype': '<f8', 'shape': [300_000_000, 0]}}"),
        NOT_PASSED,
    ),
    "an empty array of enormous shape, returned": (
        wrong("").replace("3 * x", "np.zeros((300_000_000, 0))"),
        NOT_PASSED,
    ),
    "an array of sixty dimensions": (
        handing("{'value': {'array': 'AAAAAAAAAAA=', 'dtype': '<f8', 'shape': [1] * 60}}"),
        NOT_PASSED,
    ),
    "whole numbers of one hash": (
        handing("{'value': {'dict': [[{'int': str(k * (2**61 - 1))}, 0] for k in range(20_000)]}}"),
        NOT_PASSED,
    ),
    "tuples of one hash": (
        handing("{'value': {'dict': [[{'tuple': [{'int': str(k * (2**61 - 1))}]}, 0] for k in range(9_000)]}}"),
        NOT_PASSED,
    ),
    "a dict of very many keys": (
        handing("{'value': {'dict': [[k, 0] for k in range(60_000)]}}"),
        NOT_PASSED,
    ),
    "very many numbers": (handing("{'value': [0] * 300_000}"), NOT_PASSED),
    "containers in containers": (handing("v", "v = 1\nfor _ in range(900): v = [v]"), NOT_PASSED),
    "containers in containers, returned": (
        wrong("v = 1\nfor _ in range(900): v = [v]").replace("3 * x", "v"),
        NOT_PASSED,
    ),
    "a number of 5,000 digits": (
        handing("{'value': 10**5000}", "import sys; sys.set_int_max_str_digits(0)"),
        NOT_PASSED,
    ),
    "an exception with a name of a megabyte": (
        handing("{'raised': ['x' * 500_000] * 1, 'message': 'y' * 300_000, 'where': ['z' * 100_000]}"),
        NOT_PASSED,
    ),
    "an exception with very many names": (
        handing("{'raised': ['x'] * 90_000, 'message': '', 'where': []}"),
        NOT_PASSED,
    ),
    "a name of a megabyte": (
        wrong("").replace("return 3 * x", "return 3 * x\ntwice.__name__ = twice.__qualname__ = 'x' * 900_000"),
        NOT_PASSED,
    ),
    "an error whose text is a number": (
        sending("error", "{'ename': 1, 'evalue': 5, 'traceback': 7}"),
        NOT_PASSED,
    ),
    "an error without anything": (sending("error", "{}"), NOT_PASSED),
    "an error whose lines are numbers": (
        sending("error", "{'ename': 'Unsolved', 'evalue': ['x'], 'traceback': [1, None, {}]}"),
        NOT_PASSED,
    ),
    "a result that is a list": (sending("execute_result", "{'data': [1], 'metadata': 5}"), NOT_PASSED),
    "a display without an end": (sending("update_display_data", "{'data': None}"), NOT_PASSED),
    "a content that is nested": (
        sending("stream", "{'name': 'stdout', 'text': eval('[' * 90 + ']' * 90)}"),
        NOT_PASSED,
    ),
    "tells the questions": (
        "# Exercise 90.1\nq = open('/run/kernel/questions').read()\n"
        "def twice(x):\n    raise ValueError(q[q.find('cases'):][:180])\n",
        {"crashed"},
    ),
    "tells the questions as its value": (
        "# Exercise 90.1\nq = open('/run/kernel/questions').read()\n"
        "def twice(x):\n    return q[q.find('cases'):][:180]\n",
        {"wrong"},
    ),
    "tells the questions by its cell": (
        "# Exercise 90.1\nq = open('/run/kernel/questions').read()\nraise ValueError(q[q.find('cases'):][:180])\n",
        LOST,
    ),
    "right for the public cases": (
        "# Exercise 90.1\ndef twice(x):\n    return 2 * x if x in PUBLIC else 0.0\n",
        {"wrong"},
    ),
    "equal to everything": (
        wrong("class E(float):\n    __eq__ = __le__ = __ge__ = lambda *a: True\n    __hash__ = None").replace(
            "3 * x", "E(3 * x)"
        ),
        NOT_PASSED,
    ),
    "an array equal to everything": (
        wrong("class A(np.ndarray):\n    __eq__ = lambda *a: True").replace("3 * x", "np.zeros(1).view(A)"),
        NOT_PASSED,
    ),
    "an object that answers everything": (
        wrong(
            "class O:\n    shape, dtype = (), 'float64'\n    def __getattr__(s, n): return lambda *a, **k: s\n"
            "    def __array__(s, *a, **k): return np.array(1.0)"
        ).replace("3 * x", "O()"),
        NOT_PASSED,
    ),
    "a pickle": (wrong("import pickle").replace("3 * x", "pickle.dumps(print)"), NOT_PASSED),
    "an evil repr": (
        wrong("class R:\n    def __repr__(s): raise SystemExit\n    __str__ = __repr__").replace("3 * x", "R()"),
        NOT_PASSED,
    ),
    "a list that holds itself": (wrong("a = []\na.append(a)").replace("3 * x", "a"), NOT_PASSED),
    "an endless generator": (wrong("import itertools").replace("3 * x", "itertools.count()"), NOT_PASSED),
    "a gigantic array": (wrong("").replace("3 * x", "np.zeros((5000, 5000))"), NOT_PASSED),
    "a gigantic number": (wrong("").replace("3 * x", "10 ** 5000"), NOT_PASSED),
    "an exception with an evil text": (
        wrong(
            "class X(Exception):\n    def __str__(s): return '<script>alert(1)</script>\\x1b]0;owned\\x07' * 99"
        ).replace("return 3 * x", "raise X()"),
        LOST,
    ),
    # Reading what is not theirs
    "reads the reference": (
        spy(
            "return any('BEGIN SOLUTION' in open(p, errors='ignore').read() for p in glob.glob('/**/*.ipynb', recursive=True))"
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
            "return os.path.exists(root + '/solutions') or os.path.exists(root + '/tests') or os.path.exists(root + '/.git')"
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
            "import ctypes\nl = ctypes.CDLL(None)\nreturn l.mount(b'none', b'/run/kernel', b'none', 32 | 4096, b'') == 0 "
            "or l.umount2(b'/conn', 2) == 0 or l.mount(b'proc', b'/proc', b'proc', 0, b'') == 0"
        ),
        NOT_PASSED,
    ),
    "makes a namespace and mounts there": (
        spy(
            "import ctypes\npid = os.fork()\nif pid == 0:\n    l = ctypes.CDLL(None)\n    l.unshare(0x10020000)\n"
            "    ok = l.umount2(b'/conn', 2) == 0 or l.mount(b'none', b'/run/kernel', b'none', 32 | 4096, b'') == 0 and "
            "not os.system('touch /run/kernel/x')\n    os._exit(7 if ok else 0)\n"
            "return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7"
        ),
        NOT_PASSED,
    ),
    "becomes root": (
        spy(
            "try: os.setuid(0)\nexcept OSError: pass\nreturn os.geteuid() == 0 or not os.system('sudo -n true 2>/dev/null')"
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
            "import ctypes\nl, room = ctypes.CDLL(None), ctypes.create_string_buffer(512)\nreturn l.syscall(425, 8, room) >= 0"
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
        "# Exercise 90.1\n!cat /etc/passwd\n%env X=1\n%run /conn/x.py\n%load_ext nothing\ndef twice(x):\n    return 0.0\n",
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
        "# Exercise 90.1\nimport os, signal\nfor t in os.listdir('/proc'): pass\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass\n",
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
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.execvp('sleep', ['sleep', '98765'])\n    os._exit(0)"
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
            "import threading, time\nfor _ in range(100_000):\n    threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
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
            inside="import mmap; m = mmap.mmap(-1, 3 * 10**9); [m.write(bytes(10**8)) for _ in range(29)]; children(lambda: 0)",
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
            "k = get_ipython().kernel\nwhile True: k.session.send(k.iopub_socket, 'comm_msg', content={'x': 'x' * 9000}, "
            "parent=k.get_parent())"
        ),
        LOST,
    ),
    "two megabytes of answer": ("# Exercise 90.1\n" + "x = 1\n" * 350_000, {"missing"}),
    "output flood": ("# Exercise 90.1\nwhile True: print('x' * 10_000)\n", LOST),
    "stderr flood": ("# Exercise 90.1\nimport sys\nwhile True: sys.stderr.write('x' * 10_000)\n", LOST),
    "raw output flood": (
        "# Exercise 90.1\nimport os\nfor _ in range(10**5): os.write(1, b'x' * 10_000)\ndef twice(x):\n    return 2 * x\n",
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
        "# Exercise 90.1\nimport os\nos.makedirs(os.path.expanduser('~/.ipython/profile_default/startup'), exist_ok=True)\n"
        "open(os.path.expanduser('~/.ipython/profile_default/startup/a.py'), 'w').write('twice = lambda x: 2 * x')\nos._exit(0)\n",
        LOST,
    ),
    "sitecustomize": (
        "# Exercise 90.1\nimport os\nfor p in ('.', os.path.expanduser('~')):\n"
        "    open(p + '/sitecustomize.py', 'w').write('import os; os._exit(0)')\ndef twice(x):\n    return 2 * x\n",
        PASSES,
    ),
    "a second thought": (  # tries to mend the later answers from the first
        wrong(
            "get_ipython().events.register('post_run_cell', lambda *a: get_ipython().user_ns.update(twice=lambda x: 2 * x))"
        ),
        ANY,  # it is the same student's code that is right or wrong
    ),
}
