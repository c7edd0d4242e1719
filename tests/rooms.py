"""Which room of the course imports which, and whether it may.

    python tests/rooms.py

Prints each room with what it imports, and, where there are any, the arrows that ROOMS does not allow and the circles;
exits with 1 then. `test_rooms.py` asks the same. All imports count, those inside functions too, and so does a module
that is named in a text of its own, as `importlib` and `python -m` are told of one.
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "course"
# What each room may import besides itself. A module that lies in no folder is a room of its own.
ROOMS = {
    "comparing": (),
    "files": (),
    "quiet": (),
    "lesson": ("comparing", "files", "quiet"),
    "exercises": ("comparing", "files", "lesson.settings"),
    "grading": ("comparing", "files", "lesson.settings", "exercises"),
    "authoring": ("comparing", "files", "lesson", "exercises", "grading", "__init__"),
    "classroom": ("comparing", "files", "lesson.settings", "exercises", "grading"),
    "doctor": ("lesson", "exercises", "classroom"),
    "__init__": ("quiet", "lesson", "exercises"),  # the names that a chapter imports from `course` itself
    "cli": ("comparing", "files", "lesson", "exercises", "grading", "authoring", "classroom", "doctor"),
    "__main__": ("cli",),
}


def modules(package=PACKAGE):
    """The package's modules: dict from name, such as "course.lesson.data", to path; a package has its folder's name."""
    paths = {path: (package.name, *path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in sorted(paths.items())}


def imports(source, known):
    """The modules of `known` that a module's source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import, which this does not read"
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                if name not in known and not name.endswith(".__version__"):
                    name = node.module
                found.add(name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found.add(node.value)
    return found & set(known)


def graph(package=PACKAGE):
    """Dict from each module's name to the set of those it imports."""
    known = modules(package)
    return {name: imports(path.read_text(encoding="utf-8"), known) - {name} for name, path in known.items()}


def room(module):
    """The room that a module is in."""
    return (module.split(".") + ["__init__"])[1]


def allowed(module, other):
    """Whether a module may import another one."""
    here, there = room(module), room(other)
    return here == there or there in ROOMS[here] or other.partition(".")[2] in ROOMS[here]


def forbidden(arrows):
    """The arrows that ROOMS does not allow, as sentences."""
    pairs = sorted((one, other) for one, others in arrows.items() for other in others)
    return [f"{one} imports {other}, which it may not" for one, other in pairs if not allowed(one, other)]


def circles(arrows):
    """The modules that import themselves through others, each as the sentence that shows the way round."""
    found = []
    for start in sorted(arrows):
        ways = [[start]]
        for way in ways:  # grows while it is read: shorter ways come first
            for other in sorted(arrows[way[-1]]):
                if other == start:
                    found.append(" imports ".join([*way, start]))
                elif all(other not in known for known in ways):
                    ways.append([*way, other])
    return found


def main():
    arrows = graph()
    for name in ROOMS:
        inside = {module: others for module, others in arrows.items() if room(module) == name}
        outside = {other for others in inside.values() for other in others if room(other) != name}
        shown = {room(other) if room(other) in ROOMS[name] else other.removeprefix("course.") for other in outside}
        print(f"{name} imports {', '.join(sorted(shown)) or 'no other room'}")
        for module, others in inside.items():
            if len(inside) > 1 and others:
                print(f"    {module.split('.')[-1]:14} {', '.join(sorted(o.removeprefix('course.') for o in others))}")
    wrong = [*forbidden(arrows), *circles(arrows)]
    print("\n".join(["", *wrong]) if wrong else "\nEvery arrow is allowed, and there is no circle.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
