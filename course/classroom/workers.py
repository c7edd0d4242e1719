"""Workers as the grader sees them: processes that are replaced when they fail, on this machine or on a cluster's."""

import logging
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeVar

from course.classroom import processes
from course.classroom.jobs import Asked, FullJob, Job, Report
from course.classroom.sandbox import Limits

T = TypeVar("T")

GRACE_SECONDS = 60  # beyond its own limits, after which a worker is taken for stuck
RECYCLE = 100  # submissions after which a worker is replaced, so that nothing can pile up
log = logging.getLogger("course.grader")


@dataclass(frozen=True)
class Setup:
    """What a worker is started with. modules: to load ahead. sandboxed: whether its kernels are locked in."""

    modules: list[str]

    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True


def fault(reason: str) -> Report:
    """The report of a job that the grader could not do."""
    return {"status": "fault", "reason": reason, "exercises": {}, "answers": {}, "seconds": 0.0}


class Worker:
    """A worker process; replaced when it dies, hangs or has done its share."""

    def __init__(self, number: int, setup: Setup) -> None:
        self.number, self.setup = number, setup
        self.process: processes.Process | None = None
        self.done, self.closed = 0, False

    def run(self, job: FullJob) -> Report:
        """The report on one job, a dict as `worker.Job` takes it. A worker that fails is replaced, and the job tried
        once more."""
        for _ in range(2):
            report = self.attempt(job)
            if report["status"] != "fault" or self.closed:
                break
            log.warning("worker %d: %r", self.number, report["reason"])
            self.stop()
        return report

    def attempt(self, job: FullJob) -> Report:
        try:
            if self.done >= RECYCLE or self.process and not self.process.is_alive():
                self.stop()
            process = self.process or self.start()
            process.send(job)
            report: Report = process.receive(2 * job["seconds"] + GRACE_SECONDS + (0 if self.done else 60))
            self.done += 1
            return report
        except processes.Lost as error:
            return fault(f"the worker failed: {error}")

    def start(self) -> processes.Process:
        self.process = processes.Process("course.classroom.worker", {"worker": self.number, **asdict(self.setup)})
        self.done = 0
        if self.closed:  # meanwhile, by another thread
            self.process.kill()
        return self.process

    def stop(self) -> None:
        if self.process:
            self.process.close()
            self.process = None

    def kill(self) -> None:
        """End it for good, also while another thread waits for its report."""
        self.closed = True
        if process := self.process:
            process.kill()


class Pool:
    """The workers of one machine: as many as there are jobs at a time."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.lock = setup, threading.Lock()
        self.all: list[Worker] = []
        self.idle: list[Worker] = []

    def run(self, asked: Asked, job: Job) -> Report:
        """The report on one job, by a worker that has nothing to do. asked: the part of the job that a chapter's jobs
        share."""
        with self.lock:
            if not self.idle:
                self.all.append(Worker(len(self.all), self.setup))
                self.idle.append(self.all[-1])
            worker = self.idle.pop()
        try:
            return worker.run({**asked, **job})
        finally:
            with self.lock:
                self.idle.append(worker)

    def close(self) -> None:
        """End all workers, at once."""
        for worker in self.all:
            worker.kill()


class Crew:
    """Whoever does the jobs: the workers of this machine. A context manager; leaving it ends them, and what they do."""

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.pool, self.executor = Pool(setup), ThreadPoolExecutor(max(1, jobs))

    def submit(self, asked: Any, job: Job) -> Future[Report]:
        """The Future of the report on one job."""
        return self.executor.submit(self.pool.run, asked, job)

    def share(self, asked: Asked) -> Any:
        """What a chapter's jobs share, sent once to where they are done."""
        return asked

    def run(self, jobs: Iterable[tuple[T, Any, Job]]) -> Iterator[tuple[T, Report]]:
        """Yields (task, report) for each of the triples (task, asked, job), as they come."""
        futures = {self.submit(asked, job): task for task, asked, job in jobs}
        for future in as_completed(futures):
            try:
                report = future.result()
            except Exception as error:
                report = fault(f"it was lost: {type(error).__name__}: {error}")
            yield futures.pop(future), report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()
        self.executor.shutdown(cancel_futures=True)
