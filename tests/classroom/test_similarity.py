"""Answers that are alike: copies in every disguise are found, what the exercise forces is not, no source does harm."""

import random

import pytest

from course.classroom import similarity
from course.classroom.similarity import similar_pairs

ORIGINAL = '''
def conv2d(x, kernel, stride=1):
    """Strided convolution."""
    rows, cols = x.shape
    k, l = kernel.shape
    top = max((-(-rows // stride) - 1) * stride + k - rows, 0) // 2
    grid = np.zeros((rows + k, cols + l))
    grid[top:top + rows, :cols] = x
    out = []
    for i in range(0, rows, stride):
        line = []
        for j in range(0, cols, stride):
            patch = grid[i:i + k, j:j + l]
            line.append(float((patch * kernel).sum()))
        out.append(line)
    if not out:
        raise ValueError(f"no place for a kernel of {k} by {l}")
    return np.array(out)
'''
REFERENCE = """
def conv2d(x, kernel, stride=1):
    windows = sliding_window_view(np.pad(x, padding(x.shape, kernel.shape, stride)), kernel.shape)
    return np.einsum("ijkl,kl->ij", windows[::stride, ::stride], kernel)
"""
OTHER = """
def conv2d(x, kernel, stride=1):
    def at(i, j):
        total = 0.0
        for (a, b), weight in np.ndenumerate(kernel):
            u, v = i * stride + a - kernel.shape[0] // 2, j * stride + b - kernel.shape[1] // 2
            if 0 <= u < x.shape[0] and 0 <= v < x.shape[1]:
                total += weight * x[u, v]
        return total
    height, width = (-(-n // stride) for n in x.shape)
    return np.fromfunction(np.vectorize(at), (height, width), dtype=int)
"""


def renamed(text, **names):
    for old, new in names.items():
        text = __import__("re").sub(rf"\b{old}\b", new, text)
    return text


DISGUISES = {
    "untouched": ORIGINAL,
    "names": renamed(ORIGINAL, x="image", kernel="w", rows="h", cols="width", grid="canvas", out="sum", patch="p"),
    "constants and docstring": ORIGINAL.replace("Strided convolution.", "My own work!").replace("no place", "oh"),
    "comments and format": ORIGINAL.replace("    out = []", "\n    # here we go\n\n    out = [ ]   # a list"),
    "annotations": ORIGINAL.replace("x, kernel, stride=1", "x: object, kernel: list, stride: int = 1").replace(
        "out = []", "out: list = []"
    ),
    "order": ORIGINAL.replace("    out = []\n", "").replace("    k, l", "    out = []\n    k, l"),
    "operands": ORIGINAL.replace("rows + k, cols + l", "k + rows, l + cols").replace(
        "patch * kernel", "kernel * patch"
    ),
    "imports": "import numpy as n\n" + renamed(ORIGINAL, np="n"),
    "padded": ORIGINAL
    + "\ndef unused(a, b):\n"
    + "".join(f"    v{i} = [a, {i}, (b, {i}) , b[{i}]]\n" for i in range(60)),
    "a magic": "%matplotlib inline\n!ls\n" + ORIGINAL,
    "an escape that warns": ORIGINAL.replace("Strided", r"\d \S"),
}


def own_work(rng, number):
    """A source that nobody else has, of about the same kind."""
    lines = [f"def conv2d(x, kernel, stride={number}):"]
    for i in range(rng.randint(8, 16)):
        calls = [rng.choice(["sum", "pad", "dot", "mean", "roll", "flip", "stack", "clip", "where"]) for _ in range(3)]
        lines.append(
            f"    v{i} = np.{calls[0]}(x[{rng.choice(['i', ':', '1:', '::2'])}], np.{calls[1]}(kernel.{calls[2]}(), "
            f"{rng.choice(['axis=0', 'axis=(0, 1)', '-x', 'x @ x', 'x ** 2 - 1', 'kernel / 2'])}))"
        )
        if rng.random() < 0.4:
            lines.append(f"    for i in {rng.choice(['range(3)', 'x', 'zip(x, kernel)'])}: v{i} {rng.choice('+-*')}= i")
    return "\n".join([*lines, "    return v0"])


def pairs(answers, references=None, note=lambda sentence: None):
    results = [{"student": s, "chapter": "03", "answers": {"3.4": a}} for s, a in answers.items()]
    return similar_pairs(results, {"3.4": REFERENCE} if references is None else references, note)


@pytest.mark.parametrize("kind", DISGUISES)
@pytest.mark.parametrize("class_size", [0, 30])
def test_a_copy_in_disguise(kind, class_size, seed, recwarn):
    rng = random.Random(seed)
    others = {f"s{i}": own_work(rng, i) for i in range(class_size)}
    found = pairs(others | {"anna": ORIGINAL, "ben": DISGUISES[kind], "cleo": OTHER})
    assert [(p.first, p.second, p.exercise) for p in found] == [("anna", "ben", "3.4")]
    assert 0.75 <= found[0].similarity <= 1 and found[0].compared >= similarity.LEAST_PARTS
    assert not recwarn.list


def test_own_work_is_not_listed(seed):
    rng = random.Random(seed)
    assert pairs({f"s{i}": own_work(rng, i) for i in range(60)} | {"anna": ORIGINAL, "ben": OTHER}) == []


def test_what_the_reference_and_the_stub_have_is_forced():
    assert pairs({"anna": ORIGINAL, "ben": DISGUISES["names"]}, {"3.4": [OTHER, ORIGINAL]}) == []
    assert len(pairs({"anna": ORIGINAL, "ben": DISGUISES["names"]}, {})) == 1
    notes = []
    assert len(pairs({"anna": ORIGINAL, "ben": ORIGINAL}, {"3.4": ["def", OTHER]}, notes.append)) == 1
    assert notes == ["exercise 3.4: not compared with others, it is not Python: reference 1"]


def test_what_many_wrote_is_nobodys(seed):
    rng = random.Random(seed)
    others = {f"s{i}": own_work(rng, i) for i in range(20)}
    assert pairs(others | {f"t{i}": ORIGINAL for i in range(10)}) == []
    assert len(pairs(others | {f"t{i}": ORIGINAL for i in range(4)})) == 6


def test_part_of_an_answer_copied(seed):
    rng = random.Random(seed)
    start, end = ORIGINAL.split("    out = []\n")
    mixed = (
        start + "    out = [[np.vdot(grid[i][j], kernel) for j in range(cols)] for i in range(rows)]\n    return out"
    )
    others = {f"s{i}": own_work(rng, i) for i in range(20)}
    found = pairs(others | {"anna": ORIGINAL, "ben": mixed})
    assert [(p.first, p.second) for p in found] == [("anna", "ben")] and 0.6 <= found[0].similarity < 1


@pytest.mark.parametrize("answer", ["def f(n, k):\n    return n - k + 1", "", "pass", "# nothing", "x = 1\ny = 2"])
def test_short_answers_are_never_listed(answer):
    assert pairs({"anna": answer, "ben": answer}, {}) == []


def test_one_student_in_two_chapters_is_no_pair():
    results = [{"student": "anna", "chapter": c, "answers": {f"{c}.1": ORIGINAL}} for c in "36"]
    assert similar_pairs(results, {}) == []


def test_no_answers():
    results = [{"student": s, "chapter": "03", "answers": {"3.4": None}} for s in "ab"]
    assert (
        similar_pairs(results, {}) == []
        and similar_pairs([{"student": "a", "answers": {}}, {"student": "b"}], {}) == []
    )


HOSTILE = {
    "huge": "x = 1\n" * 100_000,
    "many nodes": "x = 1\n" * 10_000,
    "deep brackets": "(" * 50_000,
    "deep lists": "[" * 150 + "]" * 150,
    "deep minus": "-" * 50_000 + "1",
    "long sum": "x = " + "+".join(["1"] * 30_000),
    "long attribute": "x" + ".a" * 40_000,
    "deep indentation": "\n".join(" " * i + "if x:" for i in range(300)),
    "syntax": "def f(:",
    "null bytes": "x = 1\0",
    "surrogates": "x = '\ud800'",
    "huge number": "x = " + "9" * 90_000,
    "many decorators": "@x\n" * 5000 + "def f(): pass",
    "f-strings": "f'" + "{x}" * 20_000 + "'",
    "no text": 7,
    "bytes": b"x = 1",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_sources_are_named(kind):
    notes = []
    found = pairs({"anna": ORIGINAL, "ben": ORIGINAL, "mallory": HOSTILE[kind], "moe": HOSTILE[kind]}, {}, notes.append)
    assert [(p.first, p.second) for p in found if p.first == "anna"] == [("anna", "ben")]
    assert all("not compared" in note and note.endswith(": mallory, moe") for note in notes)
    if kind not in ("deep lists", "long sum", "long attribute", "many decorators"):
        assert len(notes) == 1


def test_few_pairs_of_a_class_of_500_are_looked_at_closely(seed, monkeypatch):
    looked_at, candidates = [], similarity._candidates

    def counted(distinct):
        looked_at.append(candidates(distinct))
        return looked_at[-1]

    monkeypatch.setattr(similarity, "_candidates", counted)
    rng = random.Random(seed)
    results = []
    for i in range(500):
        answers = {f"3.{e}": own_work(rng, i) for e in range(1, 4)}
        if i % 25 == 0:
            answers["3.1"] = renamed(ORIGINAL, grid=f"g{i}")
        if i % 100 == 1:
            answers["3.2"] = OTHER
        results.append({"student": f"s{i}", "chapter": "03", "answers": answers})
    found = similar_pairs(results, {f"3.{e}": REFERENCE for e in range(1, 4)})
    print([len(pairs) for pairs in looked_at])
    assert len(looked_at) == 3 and all(len(pairs) < 0.05 * 500 * 499 / 2 for pairs in looked_at)
    assert len(found) == 20 * 19 // 2 + 5 * 4 // 2 and {p.exercise for p in found} == {"3.1", "3.2"}


def test_the_list_has_an_end(seed):
    rng = random.Random(seed)
    others = {f"s{i}": own_work(rng, i) for i in range(200)}
    notes = []
    assert len(pairs(others | {f"t{i}": ORIGINAL for i in range(40)}, note=notes.append)) == similarity.MOST_PAIRS
    assert "780 pairs" in notes[0]


def test_the_same_answers_give_the_same_list(seed):
    rng = random.Random(seed)
    answers = {f"s{i}": own_work(rng, i % 17) for i in range(40)} | {"anna": ORIGINAL, "ben": DISGUISES["order"]}
    shuffled = dict(rng.sample(sorted(answers.items()), len(answers)))
    assert pairs(answers) == pairs(shuffled)
