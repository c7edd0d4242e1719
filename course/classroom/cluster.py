"""A Dask cluster's machines as workers: what this machine asks of them, and what they run."""

import base64
import tempfile
import threading
from pathlib import Path

from course.classroom.sandbox import available
from course.classroom.workers import Worker, fault

_kept = threading.local()  # Dask may run several jobs of one process side by side, in threads
_numbers = iter(range(1000))


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


class Cluster:
    """Workers of a Dask cluster, on other machines. Each needs the course, and bubblewrap, installed; notebooks travel
    with their jobs, the key stays here. A job whose machine is lost is given to another."""

    def __init__(self, setup, address):
        try:
            from dask.distributed import Client
        except ImportError:
            raise ClusterError("--cluster needs dask.distributed: pip install -e '.[cluster]'") from None
        self.setup = setup
        try:
            self.client = Client(address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"there is no Dask scheduler at {address}: {error}") from None

    def __enter__(self):
        return self

    def run_one(self, job):
        """The report on one job, for which one waits."""
        return self.submit(job).result()

    def submit(self, job):
        notebook = base64.b64encode(Path(job["path"]).read_bytes()).decode()
        return self.client.submit(run_there, job, notebook, self.setup, pure=False, retries=2)

    def run(self, jobs):
        """Yields (task, report) for each of the pairs (task, job), as they come."""
        from dask.distributed import as_completed

        tasks = {}
        for task, job in jobs:
            tasks[self.submit(job)] = task
        with self.client.as_current():
            finished = as_completed(list(tasks))
        for future in finished:
            try:
                report = future.result()
            except Exception as error:
                report = fault(f"the cluster lost it: {type(error).__name__}: {error}")
            yield tasks.pop(future), report

    def __exit__(self, *_):
        self.client.close()


def run_there(job, notebook, setup):
    """On a machine of the cluster: run one job with its notebook (base64); its report. Raises RuntimeError where this
    machine has no sandbox and submissions must have one, so that the scheduler tries another."""
    if setup.sandboxed and (why := available()):
        raise RuntimeError(f"this machine cannot lock submissions in: {why}")
    if getattr(_kept, "setup", None) != setup:
        _kept.worker, _kept.setup = Worker(next(_numbers), setup), setup
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.ipynb"
        path.write_bytes(base64.b64decode(notebook))
        return _kept.worker.run(job | {"path": str(path)})
