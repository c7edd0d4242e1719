"""What a public project says of itself agrees with what it is: versions, commands, forms, skips."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import course
from course.lesson import settings

ROOT = settings.ROOT
PAPERS = ("README", "CONTRIBUTING", "CHANGELOG", "RELEASING", "SECURITY", "CODE_OF_CONDUCT")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def test_one_version_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(cited["version"]) == course.__version__
    headings = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == "Unreleased" or headings[0] == course.__version__


def targets():
    return set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [*(ROOT / f"{name}.md" for name in PAPERS), *WORKFLOWS], ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(path):
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|run: |^    )make ([a-z]+)", text, re.MULTILINE))
    assert named <= targets()


@pytest.mark.parametrize("name", PAPERS)
def test_every_file_that_a_paper_links_to_exists(name):
    for link in re.findall(r"\]\(([^)#\s]+)\)", (ROOT / f"{name}.md").read_text(encoding="utf-8")):
        assert link.startswith("https://") or (ROOT / link).exists(), link


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_every_issue_form_asks_in_fields_that_have_names(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"] and form["body"]
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "dropdown") and part["attributes"]["label"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_workflow_may_only_read_and_ends(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            assert "secrets." not in str(step) and ("uses" in step) != ("run" in step)


@pytest.mark.parametrize("promised, status", [("no such reason", 0), ("sandbox|Chromium", 1)])
def test_a_part_that_is_promised_may_not_be_skipped(tmp_path, promised, status):
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n\ndef test_a(): pytest.skip('no sandbox here')\n\ndef test_b(): pass\n")
    words = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "--promised", promised, test]
    # The option is of tests/conftest.py, which is read because it is named.
    words += ["-p", "course.authoring.plugin", "-p", "conftest"]
    run = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert run.returncode == status, run.stdout + run.stderr
    assert ("promised, and skipped all the same: Skipped: no sandbox here" in run.stdout) == bool(status)
