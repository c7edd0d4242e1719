"""The sealed reference: what a class is asked, with a secret seed, and what a right answer gives.

Two halves. The *questions* (the secret cases, and the code that puts an answer to use) go into the sandbox with a
submission; the *key* (the expected outcomes, and those of the known wrong answers) never does. A check that runs in
the sandbox hands over what the answer gave; the verdict is made outside, with the key. It does not matter whether the
process that handed the values over was honest: right values for secret cases can only come from a right answer.
"""

import ast
import hashlib
import json
from dataclasses import dataclass

from course import exercises
from course.classroom import wire
from course.exercises import Exercise

MIME = "application/vnd.course.evidence+json"
PUBLIC = 0  # the seed of the cases that a learner sees


@dataclass
class Sealed:
    """One exercise, sealed. cases, expected: for the secret seed; wrong: by the known wrong answer's name, its
    outcomes on those cases. public, public_expected: the cases that a learner sees. questions: the JSON-able half for
    the sandbox. digest: of all that a verdict rests on. All is computed here once, and nothing again for a submission.
    """

    spec: Exercise
    cases: list
    expected: list
    wrong: dict
    public: list
    public_expected: list
    questions: dict
    digest: str


def seal(chapter_source, secret):
    """Seal every exercise of a chapter. secret: bytes. Returns a dict from exercise number to Sealed.

    Runs the chapter's own oracles, which are trusted. Raises ExerciseError for a case that cannot cross the wall.
    """
    number = chapter_source.name[:2]
    cells = {spec.number: text for spec, text in _spec_cells(chapter_source)}
    return {
        name: _seal_one(spec, cells[name], secret)
        for name, spec in exercises.specifications(number, chapter_source.parent).items()
    }


def _spec_cells(source):
    specs = exercises.specifications(source.name[:2], source.parent)
    for _, text in exercises.grading_cells(source):
        for spec in specs.values():
            if f'exercise("{spec.number}"' in text:
                yield spec, text


def _seal_one(spec, text, secret):
    seed = int.from_bytes(hashlib.sha256(secret + spec.number.encode()).digest()[:8], "big") | 1
    cases, public = spec.draw_cases(seed), spec.draw_cases(PUBLIC)
    try:
        questions = {
            "cases": [wire.encode(case) for case in cases],
            "public": [wire.encode(case) for case in public],
            "driver": driver_source(text),
        }
    except wire.WireError as error:
        raise exercises.ExerciseError(f"exercise {spec.number}: a case cannot be sealed: {error}") from None
    basis = json.dumps([text, questions, spec.number, hashlib.sha256(secret).hexdigest()], sort_keys=True)
    return Sealed(
        spec,
        cases,
        [spec.expected(case) for case in cases],
        {wrong.__name__: [spec.run(wrong, case) for case in cases] for wrong in spec.wrong_answers},
        public,
        [spec.expected(case) for case in public],
        questions,
        hashlib.sha256(basis.encode()).hexdigest(),
    )


def driver_source(text):
    """Of a grading cell, only the code that puts an answer to use: the function under `.drive`, and what it needs.

    Cases, oracle, wrong and right answers stay behind. Returns "" where an answer is simply called.
    """
    return next(iter(standalone(text, "drive", lambda node: "drive")), "")


def standalone(text, decorator, rename):
    """The functions of a grading cell under a decorator, each as source that stands alone: with the cell's imports and
    those of its helpers and constants that it needs. rename: gives a function's new name for its ast node."""
    body = ast.parse(text).body
    defined = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            defined[node.name] = node
        elif isinstance(node, ast.Assign) and not _is_exercise(node.value):
            defined.update({n.id: node for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)})
    imports = [
        n for n in body if isinstance(n, (ast.Import, ast.ImportFrom)) and "course.exercises" not in ast.unparse(n)
    ]
    sources = []
    for chosen in body:
        if decorator not in map(_attribute, getattr(chosen, "decorator_list", ())):
            continue
        needed, queue = set(), [chosen]
        while queue:
            for name in {n.id for n in ast.walk(queue.pop()) if isinstance(n, ast.Name)} & defined.keys() - needed:
                needed.add(name)
                queue.append(defined[name])
        own, chosen.name, chosen.decorator_list = chosen.name, rename(chosen), []
        for node in ast.walk(chosen):  # a function that calls itself
            if isinstance(node, ast.Name) and node.id == own:
                node.id = chosen.name
        kept = imports + [node for node in body if any(defined[name] is node for name in needed)] + [chosen]
        sources.append("\n".join(ast.unparse(node) for node in kept))
    return sources


def _attribute(node):
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_exercise(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exercise"


def hand_over(number, answer, path):
    """In the sandbox: run an answer on the sealed cases and emit what it gave, as display metadata that nbval does
    not compare. path: of the questions."""
    from IPython.display import display

    with open(path, encoding="utf-8") as stream:
        questions = json.load(stream)[number]
    spec = Exercise(number)
    if questions["driver"]:
        names = {"__name__": "driver"}
        exec(compile(questions["driver"], "the check's own code", "exec"), names)
        spec.use = names["drive"]
    evidence = {"exercise": number, "name": str(getattr(answer, "__name__", "answer"))[:80]}
    for kind in ("cases", "public"):
        cases = [wire.decode(form) for form in questions[kind]]
        outcomes, _ = spec.run_all(answer, cases)
        evidence[kind] = [wire.encode_outcome(outcome) for outcome in outcomes]
        if exercises.is_open(outcomes):
            break
    display({"text/plain": f"exercise {number} handed over"}, raw=True, metadata={MIME: evidence})


@dataclass
class Judgement:
    """What the key says of a submission's evidence. right, of: secret cases. hint: of the known mistake, or "".
    public: the explanation on a case that every learner can see, or ""."""

    state: str
    right: int
    of: int
    hint: str = ""
    public: str = ""


def judge(sealed, evidence):
    """Judge evidence, which may be anything at all: a form that `hand_over` did not make is simply not right."""
    count = len(sealed.cases)
    try:
        outcomes = [wire.decode_outcome(form) for form in _listed(evidence, "cases", count)]
        public = [wire.decode_outcome(form) for form in _listed(evidence, "public", None)]
    except wire.WireError:
        return Judgement("wrong", 0, count, hint="the check handed over something that is no result")
    if outcomes and exercises.is_open(outcomes):
        return Judgement("open", 0, count)
    if len(outcomes) != count:
        return Judgement("wrong", 0, count, hint="the check did not hand over a result for each case")
    spec = sealed.spec
    problems = spec.differences(outcomes, sealed.expected)
    right = problems.count(None)
    if right == count:
        return Judgement("passed", count, count)
    first = next(i for i, problem in enumerate(problems) if problem)
    state = "crashed" if outcomes[first].raised and not sealed.expected[first].raised else "wrong"
    hint = exercises.diagnose(spec, outcomes, sealed.expected, lambda wrong, i: sealed.wrong[wrong.__name__][i])
    return Judgement(state, right, count, hint, _public_explanation(sealed, evidence, public))


def _listed(evidence, key, count):
    listed = evidence.get(key, []) if isinstance(evidence, dict) else []
    if not isinstance(listed, list) or len(listed) > max(count or 0, 10_000):
        raise wire.WireError("not a list of outcomes")
    return listed


def _public_explanation(sealed, evidence, outcomes):
    cases, expected = sealed.public, sealed.public_expected
    if len(outcomes) != len(cases) or not any(sealed.spec.differences(outcomes, expected)):
        return ""
    name = evidence.get("name")
    name = name if isinstance(name, str) and name.isidentifier() else "answer"
    return str(exercises.explain(sealed.spec, name, cases, outcomes, expected))
