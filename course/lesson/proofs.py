"""`prove` and `claim`: a chapter's promises, each one deterministic line.

A proof tries an equation on many cases against something that is not the chapter's own code; a claim states an
experiment's outcome. Both print one line with a tick and no measured number, which nbval compares, and raise where
the promise is broken.
"""

from course.comparing import compare, describe_call, plain
from course.lesson.settings import full_precision, scale, seed

OMITTED = object()  # no control was thought of: None says that there can be none


class Broken(AssertionError):
    """A proof or a claim that does not hold; the message says on which case, what came out and what was expected."""


def prove(tag, mine, oracle, cases, *, name=None, rtol=1e-5, atol=1e-6):
    """Try equation `tag` on every case and print `(3.4) ✓ output size: 300 cases`.

    tag: the equation's number as in \\tag{3.4}. mine, oracle: functions of one case's arguments, which must return
    the same numbers: arrays, tensors, scalars, or tuples, lists and dicts of them. cases: iterable of tuples of
    arguments (a case that is not a tuple is a single argument). name: what is proved; else the name of `mine`.
    rtol, atol: |mine - oracle| <= atol + rtol |oracle|, for floats; whole numbers must be equal.
    Raises Broken at the first case that disagrees.
    """
    name = name or mine.__name__.replace("_", " ").strip()
    count = 0
    for case in cases:
        case = case if isinstance(case, tuple) else (case,)
        with full_precision():
            got, expected = plain(mine(*case)), plain(oracle(*case))
        if problem := compare(got, expected, rtol, atol):
            raise Broken(f"({tag}) ✗ {name}, case {count + 1}: {describe_call(mine, case)} gave {problem}")
        count += 1
    if count == 0:
        raise Broken(f"({tag}) ✗ {name}: there was no case to try")
    print(f"({tag}) ✓ {name}: {count} case{'s' if count > 1 else ''}")


def claim(tag, sentence, holds, control=OMITTED):
    """Print `claim 6.1 ✓ <sentence>` if the experiment bore it out, and its control did not; raise Broken if not.

    sentence: what is claimed, with no measured number in it. holds: a bool, or what converts to one. control: the same
    measurement where the sentence must be false, such as an untrained network, shuffled labels, a method without its
    idea; or None where a sentence has no control, with a comment that says why. Under `COURSE_SCALE` the training is
    too short to bear anything out: the line then says that it was not judged.
    """
    holds, also = bool(holds), control is not None and control is not OMITTED and bool(control)
    if scale() != 1:
        print(f"claim {tag} – not judged at COURSE_SCALE={scale():g}: {sentence}")
        return
    if not holds:
        raise Broken(f"claim {tag} ✗ not true in this run (seed {seed()}): {sentence}")
    if also:
        raise Broken(f"claim {tag} ✗ true of its control too (seed {seed()}), so it says nothing: {sentence}")
    print(f"claim {tag} ✓ {sentence}")
