"""Bringing new lessons under what a learner wrote: nothing is lost, and the lesson is whole.

The rule is tried on small notebooks made by hand, and then on hundreds that are made by chance: a lesson, a later state
of it, and a learner's copy with cells written, changed, moved, deleted, doubled, and without ids.
"""

import copy
import random

import nbformat
import pytest
from helpers import key_of

from course.exercises.keys import ChapterKey
from course.grading import merging, submission

STUB = """# Exercise 90.{n}
def answer{n}(x):
    \'\'\'What {n} asks.\'\'\'
    # YOUR CODE HERE
    raise NotImplementedError()"""


def text(source, kind="markdown", **more):
    """A cell of the lesson as the build makes it: its id is a digest of its text."""
    cell = {"cell_type": kind, "id": merging.digest(source), "metadata": {}, "source": source}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None, "metadata": {"course": {"role": "lesson"}}}
    return cell | more


def code(source, *printed):
    outputs = [{"output_type": "stream", "name": "stdout", "text": line} for line in printed]
    return text(source, "code", outputs=outputs)


def exercise(n, stub=None):
    """The cells of an exercise: its text, the blank answer and the check."""
    number = f"90.{n}"
    answer = code(stub or STUB.format(n=n)) | {"id": f"exercise-90-{n}"}
    answer["metadata"] = {"course": {"role": "answer", "exercise": number}}
    check = code(f'check("{number}", answer{n})') | {"id": f"check-90-{n}"}
    check["metadata"] = {"course": {"role": "check", "exercise": number}, "tags": ["raises-exception"]}
    return [text(f"**Exercise {number} ★** Write {n}."), answer, check]


def key_for(cells):
    found = {}
    for cell in cells:
        course = cell["metadata"].get("course", {})
        if course.get("role") == "answer":
            n = course["exercise"].split(".")[1]
            found[course["exercise"]] = key_of(
                [], [], number=course["exercise"], name=f"answer{n}", stub=cell["source"]
            )
    return ChapterKey("90", "90_small", "", [], found)


LESSON = [
    text("# Adding"),
    code("import numpy", "hello"),
    text("A sum of two numbers."),
    code("total = 1 + 1\nprint(total)", "2\n"),
]
LESSON += [*exercise(1), *exercise(2), text("The end.")]
OWN = {"cell_type": "code", "id": "abcd1234", "metadata": {}, "source": "mine = 1", "outputs": [], "execution_count": 3}
NOTE = {"cell_type": "markdown", "id": "n0te", "metadata": {}, "source": "I see."}
ANSWER = "# Exercise 90.1\ndef answer1(x):\n    return x"


def learner(*changes, base=LESSON):
    """A copy of the lesson with changes: (id or position, cell or new text)."""
    cells = copy.deepcopy(base)
    for at, new in changes:
        i = at if isinstance(at, int) else next(i for i, cell in enumerate(cells) if cell["id"] == at)
        if isinstance(new, str):
            cells[i]["source"] = new
        else:
            cells.insert(i + 1, copy.deepcopy(new))
    return cells


def merged(mine, new, base=LESSON):
    before = copy.deepcopy([base, mine, new])
    found = merging.merge(base, mine, new, key_for(new), {"mine": 1}, {"course": {"chapter": "90"}})
    assert [base, mine, new] == before, "what it is given is not changed"
    nbformat.validate(found.notebook)
    ids = [cell["id"] for cell in found.notebook["cells"]]
    assert len(set(ids)) == len(ids) and found.notebook["metadata"] == {"mine": 1, "course": {"chapter": "90"}}
    return found


def sources(found):
    return [cell["source"] for cell in found.notebook["cells"]]


NEW = copy.deepcopy(LESSON)
NEW[2] = text("A sum of two numbers, and more.")
NEW.insert(4, code("difference = 2 - 1"))
del NEW[-1]


def test_an_untouched_copy_becomes_the_new_lesson():
    found = merged(learner(), NEW)
    assert found.notebook["cells"] == NEW
    assert (found.new, found.changed, found.gone) == (1, 1, 1) and not (found.answers or found.own or found.edited)


@pytest.mark.parametrize("base", [LESSON, None])
def test_answers_notes_and_own_cells_stay_where_they_were(base):
    mine = learner(("exercise-90-1", ANSWER), (3, OWN), (0, NOTE))
    found = merged(mine, NEW, base)
    said = sources(found)
    assert said[:2] == ["# Adding", "I see."] and said[said.index("mine = 1") - 1] == LESSON[3]["source"]
    assert ANSWER in said and STUB.format(n=1) not in said and STUB.format(n=2) in said
    assert found.answers == ["90.1"] and found.own == 2
    assert [cell for cell in found.notebook["cells"] if cell["source"] not in ("mine = 1", "I see.", ANSWER)] == [
        cell for cell in NEW if cell["id"] != "exercise-90-1"
    ]
    again = merging.merge(
        NEW, merging.plain(found.notebook), NEW, key_for(NEW), {"mine": 1}, {"course": {"chapter": "90"}}
    )
    assert again.notebook == found.notebook, "a second time changes nothing"


def test_a_changed_cell_stays_changed_where_the_lesson_has_not_changed_it():
    found = merged(learner((3, "total = 1 + 2\nprint(total)")), NEW)
    assert "total = 1 + 2\nprint(total)" in sources(found) and LESSON[3]["source"] not in sources(found)
    assert (found.edited, found.both) == (1, 0)


def test_a_cell_that_both_changed_stands_twice_the_lessons_below():
    new = learner()
    new[3] = code("total = 1 + 1\nprint(total, 'is the sum')")
    found = merged(learner((3, "total = 1 + 2\nprint(total)")), new)
    said = sources(found)
    at = said.index("total = 1 + 2\nprint(total)")
    assert said[at - 1] == merging.BOTH and said[at + 1] == new[3]["source"] and found.both == 1


def test_what_the_learner_changed_and_the_lesson_dropped_is_kept():
    found = merged(learner((len(LESSON) - 1, "The end, and what I learnt.")), NEW)
    assert sources(found)[-1] == "The end, and what I learnt." and found.own == 1


def test_moved_deleted_and_emptied_cells_of_the_lesson_are_back():
    mine = learner(("exercise-90-1", ANSWER))
    mine.insert(0, mine.pop(5))
    del mine[2]
    mine[3]["source"] = ""
    assert [c["source"] for c in merged(mine, NEW).notebook["cells"]] == [
        ANSWER if cell["id"] == "exercise-90-1" else cell["source"] for cell in NEW
    ]


def test_a_changed_exercise_keeps_its_answer_and_says_so():
    new = learner(("exercise-90-1", STUB.format(n=1).replace("asks", "asks now")))
    found = merged(learner(("exercise-90-1", ANSWER)), new)
    said = sources(found)
    at = said.index(ANSWER)
    assert "exercise 90.1 since you answered it" in said[at - 1] and "What 1 asks now." in said[at - 1]
    assert found.asked == ["90.1"]
    # The next change replaces the note; one that the learner wrote in stays.
    newer = learner(("exercise-90-1", STUB.format(n=1).replace("asks", "asks today")))
    later = merged(merging.plain(found.notebook), newer, new)
    assert sum("since you answered" in source for source in sources(later)) == 1
    mine = merging.plain(found.notebook)
    mine[at - 1]["source"] += "\n\nmy remark"
    assert sum("since you answered" in source for source in sources(merged(mine, newer, new))) == 2


@pytest.mark.parametrize("base", [LESSON, None])
@pytest.mark.parametrize("blank", [STUB.format(n=1), STUB.format(n=1) + "\n", "# Exercise 90.1", ""])
def test_a_blank_answer_gets_the_new_blank(base, blank):
    new = learner(("exercise-90-1", STUB.format(n=1).replace("asks", "asks now")))
    assert merged(learner(("exercise-90-1", blank)), new, base).notebook["cells"] == new


def test_a_thought_in_a_blank_answer_is_not_lost():
    thought = STUB.format(n=1).replace("# YOUR", "# use a cumulative sum?\n    # YOUR")
    new = learner(("exercise-90-1", STUB.format(n=1).replace("asks", "asks now")))
    for base in (LESSON, None):
        assert thought in sources(merged(learner(("exercise-90-1", thought)), new, base))


def test_outputs_of_the_learner_stay_with_unchanged_code_and_those_of_the_lesson_go():
    mine, new = learner((1, OWN)), learner()
    mine[3 + 1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["2", "\n"]}]  # as it came
    mine[1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "my run"}]
    new[1]["outputs"] = new[3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "new run"}]
    cells = merged(mine, new).notebook["cells"]
    assert [cells[i]["outputs"][0]["text"] for i in (1, 4)] == ["my run", "new run"]


def test_of_several_answers_the_one_that_was_graded_still_is():
    for where in (0, 3, len(LESSON)):
        for sources_ in ([ANSWER, "# Exercise 90.1\ndef answer1(x):\n    return 2"], [ANSWER, STUB.format(n=1)]):
            mine = learner(("exercise-90-1", sources_[0]))
            mine.insert(where, code(sources_[1]) | {"id": "exercise-90-1"})
            key = key_for(LESSON)
            before = submission.find_answers([submission.as_read(c) for c in mine], key.exercises)["90.1"].source
            found = merged(mine, NEW)
            cells = [submission.as_read(c) for c in found.notebook["cells"]]
            assert submission.find_answers(cells, key.exercises)["90.1"].source == before
            assert all(source in sources(found) for source in sources_ if source != STUB.format(n=1))


def test_two_exercises_in_one_cell_stay_together():
    both = ANSWER + "\n\n# Exercise 90.2\ndef answer2(x):\n    return -x"
    mine = learner(("exercise-90-1", both))
    del mine[[cell["id"] for cell in mine].index("exercise-90-2")]
    found = merged(mine, NEW)
    assert both in sources(found) and STUB.format(n=2) not in sources(found)


def test_a_split_answer_stays_in_its_order():
    mine = learner(("exercise-90-1", "# Exercise 90.1\ndef answer1(x):"))
    mine.insert(6, dict(OWN, source="    return x"))
    said = sources(merged(mine, NEW))
    assert said[said.index("# Exercise 90.1\ndef answer1(x):") + 1] == "    return x"


@pytest.mark.parametrize("base", [LESSON, None])
def test_a_notebook_without_ids_as_colab_saves_it(base):
    mine = learner(("exercise-90-1", ANSWER), (3, OWN))
    for i, cell in enumerate(mine):
        cell["id"], cell["metadata"] = "", {"id": f"colab{i}", "outputId": "x"}
    found = merged(mine, NEW, base)
    said = sources(found)
    assert [s for s in said if s in [c["source"] for c in NEW]] == [
        c["source"] for c in NEW if c["id"] != "exercise-90-1"
    ]
    assert ANSWER in said and "mine = 1" in said
    assert said.index("A sum of two numbers, and more.") - said.index("# Adding") in (2, 3)
    if base is None:  # what the lesson said before might be the learner's: above what it says now
        assert said.index("A sum of two numbers.") == said.index("A sum of two numbers, and more.") - 1
    if base:
        assert found.own == 1  # without a base, cells that the lesson no longer has might be anybody's, and stay


def test_what_breaks_the_format_is_left_out_and_the_text_kept():
    mine = learner(("exercise-90-1", ANSWER), (3, OWN))
    mine[4]["outputs"] = [{"output_type": "nonsense"}, {"output_type": "stream", "name": "stdout", "text": "kept"}]
    mine[4]["metadata"] = {"tags": "no list", "collapsed": "perhaps"}
    cell = next(c for c in merged(mine, NEW).notebook["cells"] if c["source"] == "mine = 1")
    assert [output["text"] for output in cell["outputs"]] == ["kept"] and cell["metadata"] == {}


def test_what_is_written_is_known():
    assert merging.written(LESSON, key_for(LESSON)) == merging.written(NEW, key_for(NEW)) == []
    mine = learner(("exercise-90-1", ANSWER), (2, "A sum!"), (0, NOTE))
    assert [mine[i]["source"] for i in merging.written(mine, key_for(LESSON))] == ["I see.", "A sum!", ANSWER]
    assert merging.written(mine, key_for(LESSON), LESSON) == merging.written(mine, key_for(LESSON))
    assert merging.answers(mine, key_for(LESSON)) == {"90.1": ANSWER}


def random_lesson(rng):
    words = [f"Sentence {i} about {rng.random():.6f} things that matter." for i in range(rng.randint(3, 8))]
    lines = [f"value_{i} = compute({rng.random():.6f})\nprint(value_{i})" for i in range(rng.randint(2, 6))]
    cells = [text(word) for word in words] + [code(line, f"{rng.random()}") for line in lines]
    rng.shuffle(cells)
    return cells + [cell for n in range(1, rng.randint(2, 5)) for cell in exercise(n)]


def later_lesson(lesson, rng):
    cells = copy.deepcopy(lesson)
    for _ in range(rng.randint(0, 5)):
        i = rng.randrange(len(cells))
        course = cells[i]["metadata"].get("course", {})
        if course.get("role") == "answer":
            cells[i]["source"] = cells[i]["source"].replace("asks", f"asks {rng.random():.3f}")
        elif course.get("role") == "check":
            continue
        elif rng.random() < 0.3:
            del cells[i]
        elif rng.random() < 0.5:
            source = cells[i]["source"] + f"\n# {rng.random():.3f}"
            cells[i] = cells[i] | {"source": source, "id": merging.digest(source)}
        else:
            cells.insert(i, code(f"fresh({rng.random():.6f})"))
    return cells


def learners_copy(lesson, rng):
    """The copy, and the texts that the learner wrote."""
    cells, wrote = copy.deepcopy(lesson), []

    def write(cell, source):
        cell["source"] = source
        wrote.append(source)

    for _ in range(rng.randint(0, 10)):
        i, what = rng.randrange(len(cells)), rng.random()
        mark = f"{rng.random():.9f}"
        old = cells[i]["source"]
        if old in wrote:
            continue
        if cells[i]["metadata"].get("course", {}).get("role") == "answer":
            write(cells[i], old.split("'''")[0] + f"return x + {mark}")
        elif what < 0.2:
            write(cells[i], old + f"\n# mine {mark}")
        elif what < 0.5:
            cells.insert(i + 1, dict(rng.choice((OWN, NOTE)), id=mark[2:], source=f"own {mark}"))
            wrote.append(f"own {mark}")
        elif what < 0.6:
            del cells[i]
        elif what < 0.7:
            cells.insert(rng.randrange(len(cells)), cells.pop(i))
        elif what < 0.8:
            cells.insert(
                rng.randrange(len(cells)), dict(copy.deepcopy(cells[i]), id=rng.choice((cells[i]["id"], mark[2:])))
            )
        elif what < 0.9:
            cells[i]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": mark}]
            cells[i]["cell_type"] = "code"
    if rng.random() < 0.3:
        for cell in cells:
            cell["id"], cell["metadata"] = "", {}
    return merging.plain({"cells": cells}), wrote


def test_a_title_is_the_lessons_as_it_is_and_as_it_was():
    begins = "# 3. Convolution\n\n*Part II. Images · about 90 minutes · MNIST*\n\n"
    now = begins + "<details><summary>What you need</summary>\n\n- **You need:** x.\n- Run it.\n\n</details>"
    before = begins + "**You need:** x. **You will meet:** y.\n\nRun a cell with Shift+Enter. More."
    for source, whose in ((now, True), (before, True), (begins + "My own.", False)):
        cells = merging.plain({"cells": [{"cell_type": "markdown", "id": "title", "source": source}]})
        assert (merging.written(cells) == []) == whose


@pytest.mark.parametrize("part", range(2))
def test_by_chance_nothing_is_lost_and_the_lesson_is_whole(seed, part):
    rng = random.Random(seed + part)
    for _ in range(60):
        base = random_lesson(rng)
        new = later_lesson(base, rng)
        mine, wrote = learners_copy(base, rng)
        for known in (base, None, random_lesson(rng)):
            found = merged(mine, new, known)
            said = [source.strip() for source in sources(found)]
            assert all(source.strip() in said for source in wrote)
            # The lesson's cells are there in order, but those in whose place a learner's version stands.
            ids = [cell["id"] for cell in found.notebook["cells"]]
            assert [name for name in ids if name in {cell["id"] for cell in new}] == [cell["id"] for cell in new]
            again = merging.merge(new, merging.plain(found.notebook), new, key_for(new))
            assert [c["source"] for c in again.notebook["cells"]] == sources(found), "a second time changes nothing"
