"""Building a chapter: key and both notebooks from its source, with no more work than what has changed asks for.

An edit of text alone runs nothing; an edit of an exercise makes the key anew and runs its check; an edit of code
executes the whole chapter, on the data at hand and on the embedded default.
"""

import copy
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from course.authoring import chapters, evidence, executing, figures, keying, notebooks, review
from course.authoring.chapters import Chapter
from course.exercises import keys
from course.exercises.judging import PASSED
from course.exercises.keys import ChapterKey, ExerciseKey, ShortQuestion
from course.exercises.outcomes import ExerciseError
from course.files import load_notebook, notebook_text, write
from course.grading import submission, work

SIZE_LIMIT = 700_000  # bytes of a committed notebook
FAULTS = (chapters.ChapterError, executing.ExecutionError, ExerciseError)


class BuildError(Exception):
    """A chapter that cannot be built; the message names file and line, and what to do."""


def build(
    chapter: Chapter,
    progress: Callable[[int, int], object] | None = None,
    on_event: Callable[[str], object] = lambda text: None,
    force: bool = False,
) -> bool:
    """Bring a chapter's key and notebooks up to its source; where anything fails, nothing is written.

    progress: called with (cells done, all cells) while the chapter is executed. on_event: told, in words, what is done
    and what is worth knowing. force: make and execute everything anew. Returns whether anything was written.
    """
    _refuse(review.problems(chapter), on_event)
    try:
        old = None if force else _load(chapter)
        key = None if force else _stored_key(chapter)
        if key is None:
            _refuse_answers(chapter)
            on_event("making its key")
            key = keying.make(chapter)
            _refuse([*review.exercise_problems(chapter, key), *review.right_answer_problems(chapter, key)], on_event)
        with tempfile.TemporaryDirectory() as folder:
            # Checks read the new key, which is put into its place only when all is well.
            write(Path(folder) / f"{chapter.number}.json", keys.as_text(key))
            solution = _executed(chapter, key, old, progress, on_event, folder)
        _refuse(review.opening_problems(chapter, solution), on_event)
    except FAULTS as error:
        raise BuildError(str(error)) from None
    learner = notebooks.learner_notebook(solution, chapter)
    texts = {
        chapter.solution: notebook_text(solution),
        chapter.notebook: notebook_text(learner),
        keying.path_of(chapter): keys.as_text(key),
    }
    for path, text in texts.items():
        if path.suffix == ".ipynb" and len(text.encode()) > SIZE_LIMIT:
            size = len(text.encode()) / 1000
            raise BuildError(f"{path.name} would have {size:.0f} kB; at most {SIZE_LIMIT / 1000:.0f}: fewer figures")
    texts = {path: text for path, text in texts.items() if _read(path) != text}
    if chapter.notebook in texts:
        _refuse_answers(chapter)
    for path, text in texts.items():
        write(path, text)
    return bool(texts)


def _refuse(problems: Iterable[review.Problem], on_event: Callable[[str], object]) -> None:
    """Raise BuildError for the problems that count; tell the others."""
    problems = list(problems)
    counting = [problem for problem in problems if review.strict() or not problem.size]
    if counting:
        raise BuildError("\n".join(map(str, counting)))
    for problem in problems:
        on_event(f"note: {problem}")


def _executed(
    chapter: Chapter,
    key: ChapterKey,
    old: Any,
    progress: Callable[[int, int], object] | None,
    on_event: Callable[[str], object],
    key_folder: str,
) -> Any:
    """The chapter's solution notebook with outputs and evidence: old outputs where they are still true."""
    notebook, proof = notebooks.derive(chapter), evidence.of(old) if old else {}
    digests = {n: exercise_digest(notebook, one) for n, one in key.exercises.items()}
    digests |= {n: question_digest(notebook, n, one) for n, one in key.short.items()}
    kinds, here = set(proof.get("data", ())), evidence.data_at_hand(chapter)
    lesson_digest = evidence.digest(chapter)
    if proof.get("digest") == lesson_digest:
        _take_outputs(notebook, old, evidence.LESSON)
        changed = [n for n in digests if digests[n] != proof["exercises"].get(n)]
        _take_outputs(notebook, old, ("answer", "check", "ask"), set(digests) - set(changed))
        if changed:
            on_event(f"checking exercise {', '.join(changed)}")
            _run_exercises(notebook, chapter, changed, key_folder)
        _number(notebook)
    else:
        _refuse_answers(chapter)  # before the minutes that it takes
        on_event(f"executing it on the {here} data")
        executing.execute(notebook, chapter, progress, COURSE_KEYS=key_folder)
        figures.lighten(notebook)
        kinds = {here}
    for cell in notebook.cells:
        if chapters.role(cell) == "resume":  # what it says is of this run alone
            cell.outputs = []
        if chapters.role(cell) == "ask" and not any(PASSED in output.get("text", "") for output in cell.outputs):
            place = executing.place(chapter, cell)
            raise BuildError(f"{place}: the answer in this cell is not the one in the key: build it with --force")
    for kind in evidence.data_kinds(chapter):
        if kind not in kinds and kind in (here, evidence.EMBEDDED):
            on_event(f"running it on the {kind} data")
            extra = {"COURSE_DATA": "embedded"} if kind == evidence.EMBEDDED else {}
            executing.run_as_script(chapter, COURSE_KEYS=key_folder, **extra)
            kinds.add(kind)
    notebook.metadata.course["evidence"] = {"data": sorted(kinds), "digest": lesson_digest, "exercises": digests}
    return notebook


def exercise_digest(notebook: Any, one: ExerciseKey) -> str:
    """SHA-256 of what the check of an exercise in this solution notebook rests on, the definitions apart."""
    cells = [c.source for c in notebook.cells if c.metadata.get("course", {}).get("exercise") == one.number]
    return hashlib.sha256("\0".join([*cells, one.digest]).encode()).hexdigest()


def question_digest(notebook: Any, number: str, one: ShortQuestion) -> str:
    """SHA-256 of what a question on the way rests on, in this solution notebook. one: the ShortQuestion."""
    cells = [c.source for c in notebook.cells if c.metadata.get("course", {}).get("question") == number]
    return hashlib.sha256("\0".join([*cells, repr(one)]).encode()).hexdigest()


def number_of(cell: Any) -> str | None:
    """The number of the exercise, or of the question on the way, that a cell belongs to, or None."""
    course = cell.metadata.get("course", {})
    found: str | None = course.get("exercise") or course.get("question")
    return found


def _take_outputs(notebook: Any, old: Any, roles: Collection[str], exercises: Collection[str] | None = None) -> None:
    """Copy the outputs of the old notebook's cells of these roles, and of these exercises, in order."""

    def chosen(one: Any) -> list[Any]:
        return [c for c in one.cells if chapters.role(c) in roles and (exercises is None or number_of(c) in exercises)]

    for cell, before in zip(chosen(notebook), chosen(old), strict=True):
        cell.outputs = copy.deepcopy(before.outputs)


def _run_exercises(notebook: Any, chapter: Chapter, numbers: list[str], key_folder: str) -> None:
    """Execute the definitions, and of these exercises answers and checks, and keep the checks' outputs."""
    part = copy.deepcopy(notebook)
    part.cells = [c for c in part.cells if chapters.role(c) == "definition" or number_of(c) in numbers]
    executing.execute(part, chapter, COURSE_KEYS=key_folder)
    outputs = {c.id: c.outputs for c in part.cells if chapters.role(c) in ("answer", "check", "ask")}
    for cell in notebook.cells:
        if cell.id in outputs:
            cell.outputs = outputs[cell.id]


def _number(notebook: Any) -> None:
    """Number the code cells as an execution from the first to the last does."""
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def differences(chapter: Chapter) -> list[str]:
    """Where the committed files are not what the source gives: a list of sentences, empty where all is well."""
    solution, again = notebooks.derive(chapter), f"run: course build {chapter.number}"
    found = []
    for path, wanted in (
        (chapter.solution, solution),
        (chapter.notebook, notebooks.learner_notebook(solution, chapter)),
    ):
        name = f"{path.parent.name}/{path.name}"
        if not path.exists():
            found.append(f"{name} is missing; {again}")
            continue
        try:
            have, want = notebooks.without_outputs(load_notebook(path)), notebooks.without_outputs(wanted)
        except Exception as error:  # nbformat's and JSON's own, of many kinds
            found.append(f"{name} is no notebook ({type(error).__name__}); {again}")
            continue
        if have != want:
            ids = [a["id"] for a, b in zip(have["cells"], want["cells"]) if a != b][:3]
            found.append(f"{name} does not match its source (cells {ids}); {again}")
    path = keying.path_of(chapter)
    try:
        if keys.from_text(path.read_bytes(), f"keys/{path.name}", again).made_from != keying.made_from(chapter):
            found.append(f"keys/{path.name} is not made from this source; {again}")
    except FileNotFoundError:
        found.append(f"keys/{path.name} is missing; {again}")
    except keys.BadKey as error:
        found.append(str(error))
    return found


def _refuse_answers(chapter: Chapter) -> None:
    """Raise BuildError where the learner's notebook, which is to be replaced, holds answers."""
    if numbers := answered(chapter):
        raise BuildError(
            f"{chapter.notebook.parent.name}/{chapter.notebook.name} holds answers (exercise {', '.join(numbers)}); "
            "building would put blank cells in their place: save the notebook under another name first"
        )


def answered(chapter: Chapter) -> list[str]:
    """The exercises of which the learner's notebook in notebooks/ holds an answer of somebody's that git does not."""
    key = _stored_key(chapter, stale=True)
    if not chapter.notebook.exists() or key is None:
        return []
    # The stored key may be newer than the notebook, of an exercise that has been replaced, as after a merge.
    if chapter.notebook.read_bytes() == work.committed_bytes(chapter.notebook):
        return []
    try:
        answers = submission.find_answers(submission.read_cells(chapter.notebook), key.exercises)
    except submission.BadNotebook:
        return []
    now = {number: chapters.stub(chapter, number).strip() for number in chapter.points}
    return [
        number
        for number, answer in answers.items()
        if answer.source and answer.source.strip() not in (key.exercises[number].stub.strip(), now.get(number))
    ]


def _stored_key(chapter: Chapter, stale: bool = False) -> ChapterKey | None:
    """The chapter's key as it is stored, or None where there is none, or, unless `stale`, an old one."""
    try:
        key = keys.from_text(keying.path_of(chapter).read_bytes(), "the key", "")
    except (OSError, UnicodeDecodeError, keys.BadKey):
        return None
    return key if stale or key.made_from == keying.made_from(chapter) else None


def _load(chapter: Chapter) -> Any:
    """The chapter's executed notebook as it is stored, or None."""
    try:
        return load_notebook(chapter.solution)
    except Exception:  # missing, or damaged in one of many ways: it is made anew
        return None


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if os.path.exists(path) else None
