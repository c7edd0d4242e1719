"""Deriving both notebooks of a chapter, the index and the syllabus from the chapters' sources."""

import copy
import hashlib
import json
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from course.authoring import chapters, keying
from course.exercises import keys
from course.files import load_notebook, notebook_text, write
from course.lesson import recording, settings

SIZE_LIMIT = 1.5 * 2**20  # bytes of a committed notebook
EXECUTION = {
    # What a reference is executed with. Inside pytest, ipykernel leaves the C++ log lines alone instead of putting
    # them among a cell's outputs; nbval runs there, so a reference must be made alike.
    "PYTEST_CURRENT_TEST": "course build",
    "COURSE_BUDGET": "quick",
    "COURSE_SEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Figures go into the notebook, whatever an author's shell says.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


class BuildError(Exception):
    """A chapter that cannot be built; the message names the chapter and the cell."""


def derive(chapter):
    """The chapter's solution notebook, not executed.

    Cell ids depend on a cell's own text only, so that an edit elsewhere leaves them alone.
    """
    import nbformat.v4 as v4

    numbers = {number for _, text in chapter.grading for number in re.findall(r'exercise\(\s*"(\d+\.\d+)"', text)}
    cells = [v4.new_markdown_cell(title_cell(chapter), id="title")]
    taken = set()
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            cells.append(v4.new_markdown_cell(cell.source, id=_id(cell.source, taken)))
            continue
        course = dict(cell.metadata["course"])
        role, number = course["role"], course.get("exercise")
        metadata = {"course": course}
        name = f"{'exercise' if role == 'answer' else role}-{number.replace('.', '-')}" if number else None
        if number:
            if number not in numbers or number not in chapter.points:
                raise BuildError(f"{chapter.path.name}: exercise {number} lacks a grading cell or a heading with stars")
            metadata["nbgrader"] = _nbgrader(name, role, chapter.points[number])
        if role in ("proof", "claim", "check"):
            metadata["tags"] = ["nbval-check-output"] + ["raises-exception"] * (role == "check")
        cells.append(v4.new_code_cell(cell.source, metadata=metadata, id=name or _id(cell.source, taken)))
    metadata = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        "course": {"chapter": chapter.number, "header": chapter.header, "source_sha256": chapter.digest},
    }
    return v4.new_notebook(cells=cells, metadata=metadata)


def learner_notebook(solution, chapter):
    """What a learner opens: answers blanked, checks without output, the lesson's outputs kept."""
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        course = cell.metadata.get("course", {})
        if course.get("role") == "answer":
            cell.source = chapters.stub(chapter, course["exercise"])
        if course.get("role") in ("answer", "check"):
            cell.outputs, cell.execution_count = [], None
    return notebook


def title_cell(chapter):
    """The Markdown that the header becomes."""
    h = chapter.header
    return (
        f"# {int(chapter.number)}. {h['title']}\n\n"
        f"*Part {h['part']} · about {h['minutes']} minutes · {', '.join(h['data'])}*\n\n"
        f"**You need:** {', '.join(h['needs'])}. **You will meet:** {', '.join(h['teaches'])}.\n\n"
        "Run a cell with Shift+Enter. The outputs you see were made on a laptop; running a cell replaces them. "
        "The exercises come last, and each has a check below it. "
        f"To have them all graded, save, and type `make grade CHAPTER={chapter.number}` in a terminal."
    )


def execute(notebook, folder, progress=None, **environment):
    """Run a notebook in place, with `folder` as working folder; raises BuildError at the first cell that fails.

    progress: called with (cells done, all cells) after each cell. environment: further variables for the kernel.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
    )  # this environment's Python, whatever kernels a user has installed
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        allow_errors=False,
        force_raise_errors=True,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    if progress:
        client.on_cell_executed = lambda cell, cell_index, **_: progress(cell_index + 1, len(notebook.cells))
    metadata = copy.deepcopy(notebook.metadata)
    try:
        client.execute(env=os.environ | EXECUTION | environment, stderr=subprocess.DEVNULL)
    except (CellExecutionError, DeadKernelError) as error:
        raise BuildError(f"{notebook.metadata.course.chapter}: {_tail(str(error))}") from None
    notebook.metadata = metadata  # nbclient adds the Python version, which would differ between machines
    _tidy(notebook)
    return notebook


def _tidy(notebook):
    """Keep of the outputs what a reader should see, and hold that compared cells have a stable form."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                continue
            if output.output_type == "stream" and outputs and outputs[-1].output_type == "stream":
                outputs[-1].text += output.text  # where a kernel cuts a text in two is a matter of timing
            else:
                outputs.append(output)
        cell.outputs = outputs
        role = cell.metadata.get("course", {}).get("role")
        kinds = [(o.output_type, o.get("name")) for o in cell.outputs]
        if role in ("proof", "claim", "check") and kinds != [("stream", "stdout")]:
            raise BuildError(f"a {role} must print its ✓ lines and nothing else, and printed {kinds}:\n{cell.source}")


def differences(chapter):
    """Where the committed notebooks are not what the source gives: a list of sentences, empty where all is well."""
    solution = derive(chapter)
    found = []
    for path, wanted in ((chapter.solution, solution), (chapter.notebook, learner_notebook(solution, chapter))):
        name = f"{path.parent.name}/{path.name}"
        if not path.exists():
            found.append(f"{name} is missing; run: course build {chapter.number}")
            continue
        have, want = _without_outputs(load_notebook(path)), _without_outputs(wanted)
        if have != want:
            ids = [a["id"] for a, b in zip(have["cells"], want["cells"]) if a != b][:3]
            found.append(f"{name} does not match its source (cells {ids}); run: course build {chapter.number}")
    path = keying.path_of(chapter)
    try:
        key = keys.from_text(path.read_text(encoding="utf-8"), path.name, f"run: course build {chapter.number}")
        if key.made_from != keying.made_from(chapter):
            found.append(f"the key {path.name} is not made from this source; run: course build {chapter.number}")
    except FileNotFoundError:
        found.append(f"the key {path.name} is missing; run: course build {chapter.number}")
    except keys.BadKey as error:
        found.append(str(error))
    return found


def _without_outputs(notebook):
    plain = json.loads(json.dumps(notebook))
    for cell in plain["cells"]:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    return plain


def build(chapter, progress=None):
    """Make a chapter's key, execute it, and write key and both notebooks; where anything fails, nothing is written."""
    key = keys.as_text(keying.make(chapter))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / f"{chapter.number}.json", key)
        solution = execute(derive(chapter), chapter.path.parent, progress, COURSE_KEYS=folder)
    save(solution, chapter.solution)
    save(learner_notebook(solution, chapter), chapter.notebook)
    write(keying.path_of(chapter), key)


def save(notebook, path):
    """Write a notebook by rename; raises BuildError where it is too heavy for the web."""
    text = notebook_text(notebook)
    if len(text.encode()) > SIZE_LIMIT:
        raise BuildError(f"{path.name} would have {len(text.encode()) / 2**20:.1f} MB; the limit is 1.5: fewer figures")
    write(path, text)


def syllabus(all_chapters, link):
    """The table of chapters as Markdown; `link` gives a chapter's address."""
    lines = ["| | chapter | you will meet | data | minutes |", "|---|---|---|---|---|"]
    for c in all_chapters:
        h = c.header
        teaches = ", ".join(h["teaches"])
        lines.append(
            f"| {c.number} | [{h['title']}]({link(c)}) | {teaches} | {', '.join(h['data'])} | {h['minutes']} |"
        )
    return "\n".join(lines)


def index_notebook(all_chapters):
    """The notebook that JupyterLab opens at: `solutions/index.md`, a cell per `---`, with the table of chapters."""
    import nbformat.v4 as v4

    text = (settings.solutions_folder() / "index.md").read_text(encoding="utf-8")
    table = syllabus(all_chapters, lambda c: c.notebook.name)
    texts = [t.strip().replace("{{syllabus}}", table) for t in re.split(r"(?m)^---$", text)]
    cells = [v4.new_markdown_cell(t, id=_id(t, set())) for t in texts]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def readme_with_syllabus(all_chapters, text):
    """README's text with the table of chapters between its two markers made anew."""
    table = syllabus(all_chapters, lambda c: f"notebooks/{c.notebook.name}")
    new, count = re.subn(
        r"(<!-- syllabus[^>]*-->\n).*?(\n<!-- end of syllabus -->)",
        lambda m: m[1] + table + m[2],
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise BuildError("README.md must hold one pair of <!-- syllabus ... --> and <!-- end of syllabus -->")
    return new


def results_page(all_chapters):
    """`docs/results.md`: what the recorded runs of the chapters cost, and their figures, as Markdown."""
    costs = [
        "| chapter | budget | on | data | seeds | wall, s | CPU, s | memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    parts = []
    for chapter in all_chapters:
        recorded = recording.load(chapter.number)
        title = f"{chapter.number} {chapter.header['title']}"
        budgets = [budget for budget in settings.BUDGETS if budget in recorded]
        for budget in budgets:
            run = recorded[budget]
            wall, cpu = (f"{statistics.median(run[key]):.0f}" for key in ("wall_seconds", "cpu_seconds"))
            on = f"{run['device']}, {run['backend']} {run['versions'][run['backend']]}"
            seeds, memory = len(run["seeds"]), max(run["peak_memory_mb"])
            costs.append(f"| {title} | {budget} | {on} | {run['data']} | {seeds} | {wall} | {cpu} | {memory:,} |")
        if budgets:
            names = dict.fromkeys(name for budget in budgets for name in recorded[budget]["figures"])
            lines = [f"| {title} | {' | '.join(budgets)} |", "|---" * (1 + len(budgets)) + "|"]
            for name in names:
                found = [recorded[budget]["figures"].get(name) for budget in budgets]
                shown = [recording.summary(values) if values else "–" for values in found]
                lines.append(f"| {name.replace('_', ' ')} | {' | '.join(shown)} |")
            parts.append("\n".join(lines))
    text = (
        "# Recorded runs\n\nEach chapter is run as a plain script, once per seed, by `course measure`. The times are "
        "medians over the seeds and hold the import of Keras and all training; the memory is the largest. A figure is "
        "the mean over the seeds ± their standard deviation. Made by `course build` from `course/results/`."
    )
    return "\n\n".join([text, "\n".join(costs), *parts]) + "\n"


def results_path():
    """Where `results_page` goes."""
    return chapters.ROOT / "docs" / "results.md"


def build_index(all_chapters):
    """Write the index notebook, the README's syllabus and the page of recorded runs."""
    save(index_notebook(all_chapters), chapters.notebooks() / "index.ipynb")
    readme = chapters.ROOT / "README.md"
    write(readme, readme_with_syllabus(all_chapters, readme.read_text(encoding="utf-8")))
    write(results_path(), results_page(all_chapters))


def _id(source, taken):
    base = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()[:10]
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def _nbgrader(name, role, points):
    metadata = {
        "grade": role == "check",
        "grade_id": name,
        "locked": role == "check",
        "schema_version": 3,
        "solution": role == "answer",
        "task": False,
    }
    return metadata | ({"points": points} if role == "check" else {})


def _tail(text, lines=25):
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[-lines:])
