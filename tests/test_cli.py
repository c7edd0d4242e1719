"""The command as a person types it: the lab's address, the doctor, and one clear line for each wrong word."""

import os
import socket
import subprocess
import urllib.request

import pytest
from helpers import COURSE, SMALL_SOURCE, ask_lab, lab, read_lab


def run(*words, **environment):
    return subprocess.run([*COURSE, *words], capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.parametrize(
    "words, said",
    [
        (["grade", "99"], "there is no chapter '99'"),
        (["grade", "nowhere/03_x.ipynb"], "there is no file"),
        (["grade"], "no chapter holds an answer yet"),
        (["update", "--chapters", "99"], "there is no chapter '99'"),
        (["build", "x"], "there is no chapter 'x'"),
        (["key", "x", "--seed-file", "/nowhere/seed", "--out", "/nowhere"], "there is no chapter 'x'"),
        (["measure", "03", "--budget", "huge"], "there is no budget 'huge'"),
        (["measure", "03", "--seeds", "a-b"], "write a range such as 0-4"),
        (["measure", "03", "--seeds", "4-0"], "write a range such as 0-4"),
    ],
)
def test_a_wrong_word_gives_one_clear_line(words, said):
    result = run(*words, COURSE_WORK="/nowhere")
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) <= 3


def test_an_unknown_data_set_is_named():
    result = run("data", "imagenet")
    assert result.returncode == 1 and "there is no data set 'imagenet'" in result.stderr


def test_a_review_counts_and_names_and_says_by_its_status_whether_all_is_well():
    result = run("review", "03", COURSE_SOLUTIONS=str(SMALL_SOURCE.parent))
    assert result.returncode == 2 and "there is no chapter '03'" in result.stderr
    result = run("review", "90", COURSE_SOLUTIONS=str(SMALL_SOURCE.parent))
    assert result.returncode == 1 and result.stdout.startswith("90 words "), result.stdout + result.stderr
    assert (
        "first image not built" in result.stdout and "\n  90_adding.py:39: claim 90.1 has no control" in result.stdout
    )


def test_the_doctor_says_what_is_here():
    result = run("doctor", COURSE_OFFLINE="1")
    for words in ("Python 3.", "Keras", "mnist", "cifar10", "sandbox", "memory"):
        assert words in result.stdout, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["work", "my work [2026] (ü, 图)"])
def test_the_lab_prints_its_address_with_the_port_taken_and_no_display(tmp_path, name):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        command = [*COURSE, "lab", str(tmp_path / name), "--port", str(port)]
        with lab(command, tmp_path / "log", os.environ) as (_, address):
            assert f":{port}/" not in address
            with urllib.request.urlopen(address, timeout=30) as page:
                assert page.status == 200
            tracker = ask_lab(address, "lab/api/settings/@jupyterlab/notebook-extension:tracker")
            cell = tracker["schema"]["properties"]["codeCellConfig"]["default"]
            assert cell["lineWrap"], "long lines of code are to wrap"
            style = read_lab(address, "custom/custom.css")
            assert b"word-break: normal" in style, "long lines of output are to wrap between words"
            assert ask_lab(address, "api/contents/index.ipynb?content=0")["writable"]
            assert (tmp_path / name / "03_convolution.ipynb").exists()
