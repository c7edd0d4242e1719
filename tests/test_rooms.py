"""The rooms of the course import each other in the directions that `rooms.py` lists, and no two modules each other."""

import subprocess
import sys

import pytest
import rooms


def test_every_arrow_is_allowed_and_there_is_no_circle():
    arrows = rooms.graph()
    assert rooms.forbidden(arrows) == [] and rooms.circles(arrows) == []
    assert {rooms.room(module) for module in arrows} == set(rooms.ROOMS)


def test_learning_and_grading_need_no_author():
    code = (
        "import sys, course; from course import check, prove, record; import course.grading.learner\n"
        "import course.classroom.command, course.classroom.worker\n"
        "assert not [name for name in sys.modules if name.startswith('course.authoring')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "sources, said",
    [
        ({"comparing": "def f():\n    from course.lesson import settings"},
         ["course.comparing imports course.lesson.settings, which it may not"]),
        ({"exercises/keys": "from course.lesson import data"},
         ["course.exercises.keys imports course.lesson.data, which it may not"]),
        ({"exercises/keys": "import course.lesson.settings as s"}, []),
        ({"grading/learner": "import importlib\nimportlib.import_module('course.cli')"},
         ["course.grading.learner imports course.cli, which it may not"]),
        ({"classroom/runner": "from course import check", "__init__": ""},
         ["course.classroom.runner imports course, which it may not"]),
        ({"classroom/runner": "from course import __version__", "__init__": ""}, []),
        ({"lesson/a": "from course.lesson.b import x", "lesson/b": "def f():\n    from course.lesson import c",
          "lesson/c": "import course.lesson.a"},
         ["course.lesson.a imports course.lesson.b imports course.lesson.c imports course.lesson.a",
          "course.lesson.b imports course.lesson.c imports course.lesson.a imports course.lesson.b",
          "course.lesson.c imports course.lesson.a imports course.lesson.b imports course.lesson.c"]),
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_named(tmp_path, sources, said):
    package = tmp_path / "course"
    for name in ("lesson/settings", "lesson/data", "lesson/__init__", "cli"):
        sources = {name: ""} | sources
    for name, source in sources.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    arrows = rooms.graph(package)
    assert [*rooms.forbidden(arrows), *rooms.circles(arrows)] == said
