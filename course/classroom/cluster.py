"""A Dask cluster's machines as workers: what this machine asks of them, and what they run."""

import base64
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from course.classroom import folders
from course.classroom.jobs import Asked, Job, Report
from course.classroom.sandbox import available
from course.classroom.workers import Crew, Pool, Setup
from course.grading.submission import SIZE_LIMIT

NAME = "course-grader"


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


class Cluster(Crew):
    """Workers of a Dask cluster, on other machines. Each needs the course, and bubblewrap, installed; notebooks travel
    with their jobs, the key stays here. A job whose machine is lost is given to another."""

    def __init__(self, setup: Setup, address: str) -> None:
        try:
            from dask.distributed import Client
        except ImportError:
            raise ClusterError("--cluster needs dask.distributed: pip install -e '.[cluster]'") from None
        try:
            self.client = Client(address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"there is no Dask scheduler at {address}: {error}") from None
        self.client.register_plugin(_plugin(setup), name=NAME)
        self.executor = self.client.get_executor(pure=False, retries=2)
        self.shared: dict[int, Any] = {}

    def share(self, asked: Asked) -> Any:
        if id(asked) not in self.shared:  # as a list of one, for of a dict each value would go its own way
            self.shared[id(asked)] = self.client.scatter([asked], broadcast=True)[0]
        return self.shared[id(asked)]

    def submit(self, asked: Any, job: Job) -> Future[Report]:
        try:
            with open(job["path"], "rb") as stream:
                data = stream.read(SIZE_LIMIT + 1)  # one byte too many is refused there in words
        except OSError as error:
            future: Future[Report] = Future()
            name = Path(job["path"]).name
            reason = f"{name} cannot be read: {error.strerror}"
            future.set_result({"status": "invalid", "reason": reason, "exercises": {}, "answers": {}, "seconds": 0.0})
            return future
        return self.executor.submit(run_there, asked, job, base64.b64encode(data).decode())

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown(wait=False)
        self.client.unregister_worker_plugin(NAME)
        self.client.close()


def _plugin(setup: Setup) -> Any:
    """What keeps a pool of workers on each machine of the cluster, and ends them when the grader leaves."""
    from dask.distributed import WorkerPlugin

    class Grading(WorkerPlugin):  # type: ignore[misc]  # Dask is not looked into, for it may be missing
        def setup(self, worker: object) -> None:
            self.pool = Pool(setup)

        def teardown(self, worker: object) -> None:
            self.pool.close()

    return Grading()


def run_there(asked: Asked, job: Job, notebook: str) -> Report:
    """On a machine of the cluster: run one job with its notebook (base64); its report. Raises RuntimeError where this
    machine has no sandbox and submissions must have one, so that the scheduler tries another."""
    from dask.distributed import get_worker

    pool = get_worker().plugins[NAME].pool
    if pool.setup.sandboxed and (why := available()):
        raise RuntimeError(f"this machine cannot lock submissions in: {why}")
    with folders.temporary() as folder:
        path = Path(folder) / Path(job["path"]).name
        path.write_bytes(base64.b64decode(notebook))
        report: Report = pool.run(asked, job | {"path": str(path)})
        return report
