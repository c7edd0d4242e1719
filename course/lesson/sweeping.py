"""`sweep`: a rival's best setting is looked for by `course measure --sweep`, and a lesson shows it from the record.

A sweep trains one method with many settings, which takes too long for a lesson. So in a lesson `sweep` only reads what
is recorded; it runs the settings where the environment variable `COURSE_SWEEP` names a file for what they give.
"""

import itertools
import json
import os
import time
from pathlib import Path

from course.lesson import recording, settings
from course.lesson.recording import RESULTS


def sweep(tag, values, function):
    """The recorded table of a sweep: a list of dicts, one for each setting, of the setting and what it gave.

    tag: what the sweep is called, such as "18.4"; unlike any other in the chapter. values: a dict from the name of each
    argument to the values that it takes, all of which are combined, or a list of settings, each a dict. function: is
    called with a setting as keyword arguments, trains one rival, and returns a number, which is called "value" in the
    table, or a dict of numbers. It seeds itself (`keras.utils.set_random_seed(seed())`), so that a setting gives the
    same in any order.

        table = sweep("18.4", {"rate": (1e-4, 3e-4, 1e-3), "clip": (0.01, 0.1)}, train_clipped)
        best = max(table, key=lambda row: row["modes"], default=None)

    Where nothing is recorded for these settings, it prints how to do that and returns an empty list: in a lesson it
    never trains. Raises ValueError where there is no setting, or one is there twice.
    """
    wanted = combinations(values)
    if not wanted or any(row in wanted[:i] for i, row in enumerate(wanted)):
        raise ValueError(f"sweep {tag} has {'a setting twice' if wanted else 'no setting'}: {values}")
    if target := os.environ.get("COURSE_SWEEP"):
        return run(tag, wanted, function, Path(target))
    chapter, budget = settings.chapter() or "", settings.budget_name()
    recorded = recording.load(chapter, RESULTS).get("sweeps", {}).get(tag, {})
    found = {name: record for name, record in recorded.items() if record["settings"] == plain(wanted)}
    if not found:
        why = "was recorded with other settings" if recorded else "is not recorded yet"
        print(f"sweep {tag} {why}: course measure --sweep {chapter}")
        return []
    name = budget if budget in found else next(iter(found))
    record = found[name]
    print(
        f"sweep {tag}: {len(wanted)} settings, recorded on the {name} budget, seed {record['seed']}, {record['device']}"
    )
    return [setting | result for setting, result in zip(wanted, record["results"])]


def combinations(values):
    """The settings of a sweep as a list of dicts."""
    if not isinstance(values, dict):
        return [dict(setting) for setting in values]
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())] if values else []


def plain(rows):
    """Rows as they come back from JSON."""
    return json.loads(json.dumps(rows))


def run(tag, wanted, function, path):
    """Run all settings, write what they gave into the file at `path`, and return it; ends the process where all sweeps
    that `COURSE_SWEEPS` names are done, for the rest of the chapter gives nothing to them."""
    results, seconds = [], []
    for setting in wanted:
        began = time.perf_counter()
        result = function(**setting)
        result = result if isinstance(result, dict) else {"value": result}
        results.append({name: float(value) for name, value in result.items()})
        seconds.append(round(time.perf_counter() - began, 2))
        print(f"sweep {tag}, {setting}: {results[-1]}, {seconds[-1]} s", flush=True)
    done = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if tag in done:
        raise ValueError(f"there are two sweeps {tag} in this chapter")
    done[tag] = {"settings": plain(wanted), "results": results, "seconds": seconds} | recording.machine()
    done[tag]["seed"] = settings.seed()
    path.write_text(json.dumps(done), encoding="utf-8")
    if set(os.environ.get("COURSE_SWEEPS", "").split(",")) == set(done):
        raise SystemExit(0)
    return [setting | result for setting, result in zip(wanted, results)]
