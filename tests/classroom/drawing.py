"""Which attacks a run of the tests tries.

All of them take minutes, and say the same as long as nobody changes the code that they attack. So `make hostile` tries
all of them as everybody and, where all held, records what was tried and the code that held; the usual tests try what is
not on that record, and of the rest a part that the commit chooses.
"""

import hashlib
import json
import os
import random
import sys
from pathlib import Path

from course.authoring import evidence
from course.lesson import settings

RECORD = Path(__file__).with_name("held.json")
ATTACKED = ("classroom/**/*.py", "grading/*.py", "exercises/*.py", "files.py", "comparing.py")  # in the package
PART = 6  # one in so many


def attacked():
    """SHA-256 of the code that is attacked, comments and docstrings apart."""
    paths = [path for name in ATTACKED for path in sorted(settings.PACKAGE.glob(name))]
    texts = [f"{path.name}\n{evidence.code(path.read_text(encoding='utf-8'))}" for path in paths]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def digest(attack):
    """SHA-256 of an attack: (source, the states it may have)."""
    return hashlib.sha256(repr(attack).encode()).hexdigest()


def held():
    """The digests, by name, of the attacks that are on record as held by the code of today."""
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return kept["attacks"] if kept.get("attacked") == attacked() else {}


def drawn(answers, held, commit):
    """The attacks of `answers` that are not held, and a part of the others, another one for each commit."""
    chosen = random.Random(commit)
    lucky = {name for name in sorted(answers) if chosen.randrange(PART) == 0}
    return {name: one for name, one in answers.items() if name in lucky or held.get(name) != digest(one)}


def to_try(answers):
    """The attacks of `answers` that this run tries."""
    return answers if os.environ.get("HOSTILE_ALL") else drawn(answers, held(), evidence.commit())


def record(*classes):
    """Write down that the attacks of these classes held against the code of today."""
    attacks = {name: digest(one) for answers in classes for name, one in sorted(answers.items())}
    RECORD.write_text(json.dumps({"attacked": attacked(), "attacks": attacks}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":  # by `make hostile`, after all attacks were tried and held
    import attacks_on_judging
    import attacks_on_the_machine

    record(attacks_on_judging.ANSWERS, attacks_on_the_machine.ANSWERS)
    print(f"{RECORD.name}: all attacks held", file=sys.stderr)
