"""Attacks on the judge: on what asks, what is handed over and what is said of it; each with the states it may have."""

from attacks import ANY, KERNEL, LOST, MIME, NOT_PASSED, PASSES, handing, right, sending, wrong

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
            "k = get_ipython().kernel\nfor _ in range(9): k.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', "
            "b'', b'\\xff'])"
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
    # Values with a will of their own
    "a float that is an array when asked": (
        wrong(
            "class F(float):\n    __array__ = lambda s, *a, **k: np.array(2.0)\n    __float__ = lambda s: 2.0"
        ).replace("3 * x", "F(3 * x)"),
        NOT_PASSED,
    ),
    "a whole number whose text is another": (
        wrong("class I(int):\n    __str__ = __repr__ = lambda s: '1' * 400\n    __abs__ = lambda s: 2**60").replace(
            "3 * x", "I(3)"
        ),
        NOT_PASSED,
    ),
    "a text that is a form": (
        wrong(
            "class S(str):\n    __iter__ = lambda s: iter('{}')\n    encode = lambda *a: b'{\"value\": 1.0}'"
        ).replace("3 * x", 'S(\'{"float": "inf"}\')'),
        NOT_PASSED,
    ),
    "a dict whose items change": (
        wrong("class D(dict):\n    def items(s):\n        while True: yield (s, s)").replace("3 * x", "D(a=1)"),
        NOT_PASSED,
    ),
    "a list whose length lies": (
        wrong(
            "class L(list):\n    __len__ = lambda s: -1\n    __iter__ = lambda s: iter([[]] * 9)\n"
            "    __class__ = property(lambda s: float)"
        ).replace("3 * x", "L()"),
        NOT_PASSED,
    ),
    "an array that overrides its methods": (
        wrong(
            "class A(np.ndarray):\n    dtype = np.dtype('f8')\n    shape = property(lambda s: (-1,))\n"
            "    copy = astype = newbyteorder = lambda s, *a: s\n    tobytes = lambda s, *a: b'\\xff' * 8"
        ).replace("3 * x", "np.zeros(()).view(A)"),
        NOT_PASSED,
    ),
    "an object that says it is a number": (
        wrong(
            "class N:\n    __class__ = property(lambda s: float)\n    __float__ = lambda s: 1.0\n"
            "    __index__ = lambda s: 1"
        ).replace("3 * x", "N()"),
        NOT_PASSED,
    ),
    "an interface that points anywhere": (
        wrong(
            "class P:\n    shape, dtype = (1000,), 'f8'\n"
            "    __array_interface__ = {'shape': (1000,), 'typestr': '<f8', 'data': (4096, True), 'version': 3}"
        ).replace("3 * x", "P()"),
        NOT_PASSED,
    ),
    "a number that is another at each reading": (
        wrong(
            "import numbers, random\nclass T(numbers.Real):\n    __abstractmethods__ = frozenset()\n"
            "    __getattribute__ = lambda s, n: random.random() if n != '__class__' else T\n"
            "T.__abstractmethods__ = frozenset()"
        ).replace("3 * x", "object.__new__(T)"),
        NOT_PASSED,
    ),
    "a NaN with a message": (
        wrong("").replace("3 * x", "np.array([0x7ff8dead0000beef], dtype='u8').view('f8')[0]"),
        NOT_PASSED,
    ),
    "a record": (wrong("").replace("3 * x", "np.array([(2 * x,)], dtype=[('f8', 'f8')])"), NOT_PASSED),
    "bytes of a number": (wrong("").replace("3 * x", "np.float64(2 * x).view('V8')"), NOT_PASSED),
    "a time": (wrong("").replace("3 * x", "np.array(['2026-01-01'], dtype='M8[ns]')"), NOT_PASSED),
    "an array of objects that compare equal": (
        wrong("class E:\n    __eq__ = lambda *a: True\n    __float__ = lambda s: 1.0").replace(
            "3 * x", "np.array([E()], dtype=object)"
        ),
        NOT_PASSED,
    ),
    "a view of memory": (wrong("").replace("3 * x", "memoryview(np.array([2 * x]))"), NOT_PASSED),
    "an array of another byte order": (right().replace("2 * x", "np.array(2 * x, dtype='>f8')"), PASSES),
    "a generator that fails late": (
        wrong("def g():\n    yield 1.0\n    raise SystemExit").replace("3 * x", "g()"),
        NOT_PASSED,
    ),
    "a coroutine": ("# Exercise 90.1\nasync def twice(x):\n    return 2 * x\n", NOT_PASSED),
    "pickling hooks": (
        wrong(
            "import os\nclass P(float):\n    __reduce__ = __reduce_ex__ = lambda s, *a: (os.system, ('touch "
            "/tmp/owned',))\n"
            "    __getstate__ = __copy__ = __deepcopy__ = lambda s, *a: os.system('touch /tmp/owned')"
        ).replace("3 * x", "P(3 * x)"),
        NOT_PASSED,
    ),
    "an attribute that never comes": (
        wrong("class O:\n    def __getattr__(s, n):\n        while True: pass").replace("3 * x", "O()"),
        LOST,
    ),
    "an answer that is no function": (
        "# Exercise 90.1\nclass Twice:\n    @property\n    def __name__(s): raise SystemExit\n"
        "    def __call__(s, x): return 3 * x\ntwice = Twice()\n",
        NOT_PASSED,
    ),
    # Exceptions with a will of their own
    "an exception whose class has no end of a name": (
        wrong(
            "class M(type):\n    __name__ = property(lambda c: 'x' * 10**6)\nclass X(Exception, metaclass=M): pass"
        ).replace("return 3 * x", "raise X"),
        LOST,
    ),
    "an exception that cannot be told": (
        wrong(
            "class X(Exception):\n    def __str__(s):\n        while True: pass\n    name = property(__str__)"
        ).replace("return 3 * x", "raise X"),
        LOST,
    ),
    "an interrupt of its own": (wrong("").replace("return 3 * x", "raise KeyboardInterrupt"), LOST),
    "a generator's end": (wrong("").replace("return 3 * x", "raise GeneratorExit"), LOST),
    "a name that turns the line around": (
        wrong("")
        .replace("return 3 * x", "raise ValueError('\\u202e\\u2066\\x1b[2J\\r' * 9)")
        .replace("def twice", "class ﬁ(Exception): pass\ndef twice"),
        LOST,
    ),
    "a debugger": (right(inside="breakpoint()"), ANY),
    # The questions, and who asks them
    "asks itself easier questions": (
        wrong(
            "from course.exercises import asking\nreal = asking.Question.__init__\n"
            "def easier(self, number, cases, driver=''): real(self, number, [(0.0,)] * 8, driver)\n"
            "asking.Question.__init__ = easier"
        ),
        NOT_PASSED,
    ),
    "patched copies": (
        wrong(
            "from course.exercises import asking, outcomes\nimport course.comparing as c\n"
            "c.plain = asking.plain = lambda v: 1.0\nasking.run = lambda *a: outcomes.Outcome(1.0)"
        ),
        NOT_PASSED,
    ),
    "a trace that changes what was found": (
        wrong(
            "import sys, ctypes\ndef spy(frame, event, arg):\n"
            "    if frame.f_code.co_name == 'run' and event == 'return':\n"
            "        frame.f_locals['outcome'] = None\n"
            "        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))\n    return spy\n"
            "sys.settrace(spy); sys.setprofile(lambda *a: None)"
        ),
        NOT_PASSED,
    ),
    "changes the questions in memory": (
        wrong("import gc").replace(
            "return 3 * x",
            "for o in gc.get_objects():\n        if type(o).__name__ == 'Question': object.__setattr__(o, "
            "'cases', [])\n"
            "    return 0.0",
        ),
        NOT_PASSED,
    ),
    "rewrites the code of the check": (
        wrong(
            "import course.exercises.asking as a\n"
            "def hand_over(number, answer, path): print(f'exercise {number} handed over')\n"
            "a.hand_over.__code__ = hand_over.__code__"
        ),
        NOT_PASSED,
    ),
    "leaves a mark for its next kernel": (
        "# Exercise 90.1\nimport os, socket\nplaces = [p + '/mark' for p in ('/tmp', '/dev/shm', '/run/home', "
        "'/run', '/var/tmp')]\n"
        "def twice(x):\n    return 2 * x\nif not any(map(os.path.exists, places)):\n    for place in places:\n"
        "        try: open(place, 'w').close()\n        except OSError: pass\n    os._exit(0)\n",
        LOST,
    ),
    "a daemon that waits for its next kernel": (
        "# Exercise 90.1\nimport os, socket, time\ns = socket.socket(socket.AF_UNIX)\ntry:\n"
        "    s.connect('\\0course-mark')\n"
        "except OSError:\n    if os.fork() == 0:\n        os.setsid()\n"
        "        s.bind('\\0course-mark'); s.listen()\n        time.sleep(98765)\n"
        "    time.sleep(0.2)\n    os._exit(0)\ndef twice(x):\n    return 2 * x\n",
        LOST,
    ),
    # Messages that nobody asked for
    "evidence without an end": (
        wrong(
            "import threading, time\nfrom IPython.display import display\n"
            f"one = dict(raw=True, metadata={{{MIME!r}: {{'cases': [{{'value': 1.0}}] * 8}}}})\n"
            "def go():\n    while True:\n        display({'text/plain': 'exercise 90.1 handed over'}, **one)\n"
            "        time.sleep(0.02)\n"
            "threading.Thread(target=go, daemon=True).start()"
        ),
        NOT_PASSED,
    ),
    "evidence before the check's": (
        wrong(
            "from IPython.display import display\nget_ipython().events.register('pre_run_cell', lambda i: "
            f"display({{'text/plain': 'exercise 90.1 handed over'}}, raw=True, metadata={{{MIME!r}: {{'cases': []}}}}))"
        ),
        NOT_PASSED,
    ),
    "evidence in a result": (
        sending(
            "execute_result",
            f"{{'data': {{'text/plain': 'exercise 90.1 handed over'}}, 'metadata': {{{MIME!r}: {{'cases': True}}}}}}",
        ),
        NOT_PASSED,
    ),
    "evidence of another exercise": (
        handing("{'value': 1.0}").replace("'cases':", "'exercise': '90.2', 'points': 99, 'name': 'x' * 999, 'cases':"),
        NOT_PASSED,
    ),
    "an evidence as long as may be": (handing("{'value': 'x' * 900_000}"), NOT_PASSED),
    "cleared output": (right(inside="from IPython.display import clear_output; clear_output(True)"), ANY),
    "comm messages": (
        wrong(
            "from comm import create_comm\nfor i in range(50): create_comm('jupyter.widget', data={'x': [i] * "
            "99}).close()"
        ),
        NOT_PASSED,
    ),
    "asks for a password": (
        wrong(
            KERNEL + "for _ in range(9): k.session.send(k.stdin_socket, 'input_request', "
            "{'prompt': 'sudo: ', 'password': True}, ident=ident)"
        ),
        NOT_PASSED,
    ),
    "forged replies": (
        wrong(
            KERNEL + "for t in ('execute_reply', 'kernel_info_reply', 'shutdown_reply'):\n"
            "    for c in ({'status': 'ok', 'payload': [{'source': 'ask_exit'}]}, [1], 'x', {'status': 'error', "
            "'evalue': 'x' * 10**6}):\n"
            "        k.session.send(k.shell_stream, t, c, parent=k.get_parent(), ident=ident)"
        ),
        NOT_PASSED,
    ),
    "messages with headers of no kind": (
        wrong(
            "k = get_ipython().kernel\nimport json\ns = k.session\n"
            "for h in (b'[]', b'7', b'{}', b'null', b'[' * 900 + b']' * 900):\n"
            "    for p in (b'[]', b'{\"msg_id\": []}', json.dumps(k.get_parent()['header'], default=str).encode()):\n"
            "        parts = [h, p, b'{}', b'{}']\n"
            "        k.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', s.sign(parts), *parts])"
        ),
        NOT_PASSED,
    ),
    "buffers of a message": (
        wrong(
            "k = get_ipython().kernel\nwhile True: k.session.send(k.iopub_socket, 'comm_msg', content={}, "
            "parent=k.get_parent(), buffers=[bytes(7 * 10**6)] * 9)"
        ),
        LOST,
    ),
    "a header of very many dates": (
        sending("stream", "{'name': 'stdout', 'text': 'x'}").replace(
            "content=",
            "header={'msg_id': '1', 'msg_type': 'stream', 'date': '2026-01-01T00:00:00' + '0' * 200_000}, content=",
        ),
        NOT_PASSED,
    ),
    "a traceback that takes long to read": (
        sending("error", "{'ename': 'X', 'evalue': 'y', 'traceback': ['Cell In[' * 110_000]}"),
        LOST,
    ),
    "an output of very many lines": (
        wrong(
            "import course.exercises.asking as a\nfrom IPython.display import display\n"
            "a.hand_over = lambda *_: display({'text/plain': 'exercise 90.1 handed ower\\n' * 30_000}, raw=True)"
        ),
        NOT_PASSED,
    ),
    "an output of backspaces": (wrong("print('x' * 400_000 + '\\b' * 400_000 + '\\r' * 9)"), NOT_PASSED),
    "threads that go on printing": (
        right(
            "import threading, time\ndef go():\n    while True:\n        print('exercise 90.1 handed over')\n"
            "        time.sleep(0.01)\n"
            "threading.Thread(target=go, daemon=True).start()"
        ),
        ANY,
    ),
    "an answer nested as deeply as Python reads": (right(f"y = lambda: {'-' * 1100}1"), ANY),
    "a chain of very many attributes": (f"# Exercise 90.1\ndef twice(x):\n    return x{'.real' * 1200}\n", NOT_PASSED),
    "a name that every cell has": (wrong(f"foo = [{'twice, ' * 12_000}]"), NOT_PASSED),
}
