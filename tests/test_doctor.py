"""What the doctor says of machines that lack something: the cause, and what to do."""

import json
import os
import socket
import ssl
import subprocess
import threading

import pytest
import requests
from helpers import COURSE

from course import doctor
from course.classroom import sandbox


@pytest.mark.parametrize(
    "status, stderr, what, remedy",
    [
        (-4, "", "SIGILL", "AVX"),
        (-9, "", "SIGKILL", "memory runs out"),
        (-11, "Fatal Python error", "SIGSEGV", "--force-reinstall tensorflow"),
        (1, "ModuleNotFoundError: No module named 'tensorflow'", "the backend tensorflow", "pip install tensorflow"),
        (1, "ImportError: libx.so: no such file", "libx.so", "--force-reinstall tensorflow"),
        (1, "", "it said nothing", "--force-reinstall"),
    ],
)
def test_a_keras_that_does_not_start(monkeypatch, tmp_path, status, stderr, what, remedy):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = doctor.no_keras(status, stderr)
    assert found.level == "missing" and what in found.what and remedy in found.remedy, found


@pytest.mark.parametrize(
    "text, what, remedy",
    [
        ('{"backend": "jaxx"}', "there is no backend 'jaxx'", "Choose one of tensorflow, jax, torch"),
        ('{"image_data_format": "channels_first"}', "image_data_format is 'channels_first'", "delete that file"),
        ('{"floatx": "float64"', "cannot be read as JSON", "Delete it"),
    ],
)
def test_settings_of_keras_that_lessons_do_not_expect(tmp_path, text, what, remedy):
    (tmp_path / "keras.json").write_text(text)
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(tmp_path), "COURSE_OFFLINE": "1", "COLUMNS": "400"}
    run = subprocess.run([*COURSE, "doctor"], capture_output=True, text=True, env=environment)
    said = " ".join((run.stdout + run.stderr).split())
    assert what in said and remedy in said and "Traceback" not in said, said


def test_usual_settings_are_no_remark(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert list(doctor.keras_settings()) == []
    usual = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
    for settings in ({}, usual):
        (tmp_path / "keras.json").write_text(json.dumps(settings))
        assert list(doctor.keras_settings()) == []


def serve(answer):
    """A server that answers each connection with these bytes, on a port of this machine; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(answer)
            connection.close()

    threading.Thread(target=run, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def test_what_stands_between_here_and_the_network(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    here = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert doctor.reach(f"http://{here}/x").level == "fine"
    refused = doctor.reach(f"http://{serve(b'HTTP/1.1 503 No' + bytes([13, 10, 13, 10]))}/x")
    assert "answers with 503" in refused.what and "later" in refused.remedy
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = nobody.getsockname()[1]
    assert "no network" in doctor.reach(f"http://127.0.0.1:{gone}/x").what
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{gone}")
    behind = doctor.reach("http://example.invalid/x")
    assert "proxy" in behind.what and "HTTP_PROXY" in behind.what and "browser" in behind.remedy
    unknown = requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed certificate"))
    what, remedy = doctor.no_network("example.org", unknown)
    assert "certificate" in what and "REQUESTS_CA_BUNDLE" in remedy


def test_a_folder_for_temporary_files_that_cannot_be_used(tmp_path, monkeypatch):
    assert list(doctor.temporary_folder()) == []
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    (found,) = doctor.temporary_folder()
    assert "too long" in found.what and "TMPDIR" in found.remedy
    with pytest.raises(sandbox.SandboxError, match="too long for the sockets in it: set TMPDIR"):
        sandbox.ForkServer(modules=["numpy"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    (found,) = doctor.temporary_folder()
    assert found.level == "missing" and "No such file" in found.what
