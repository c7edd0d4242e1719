"""Workers as the grader sees them: processes that are replaced when they fail, on this machine or on a cluster's."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field

from course.classroom import processes
from course.classroom.sandbox import Limits

GRACE_SECONDS = 60  # beyond its own limits, after which a worker is taken for stuck
RECYCLE = 100  # submissions after which a worker is replaced, so that nothing can pile up
log = logging.getLogger("course.grader")


@dataclass(frozen=True)
class Setup:
    """What a worker is started with. modules: to load ahead. sandboxed: whether its kernels are locked in."""

    modules: list
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True


def fault(reason):
    """The report of a job that the grader could not do."""
    return {"status": "fault", "reason": reason, "exercises": {}, "answers": {}, "seconds": 0.0}


class Worker:
    """A worker process; replaced when it dies, hangs or has done its share."""

    def __init__(self, number, setup):
        self.number, self.setup = number, setup
        self.process, self.done, self.closed = None, 0, False

    def run(self, job):
        """The report on one job, a dict as `worker.Job` takes it. A worker that fails is replaced, and the job tried
        once more."""
        for _ in range(2):
            report = self.attempt(job)
            if report["status"] != "fault" or self.closed:
                break
            log.warning("worker %d: %r", self.number, report["reason"])
            self.stop()
        return report

    def attempt(self, job):
        try:
            if self.done >= RECYCLE or self.process and not self.process.is_alive():
                self.stop()
            if self.process is None:
                self.start()
            self.process.send(job)
            report = self.process.receive(2 * job["seconds"] + GRACE_SECONDS + (0 if self.done else 60))
            self.done += 1
            return report
        except processes.Lost as error:
            return fault(f"the worker failed: {error}")

    def start(self):
        self.process = processes.Process("course.classroom.worker", {"worker": self.number, **asdict(self.setup)})
        self.done = 0
        if self.closed:  # meanwhile, by another thread
            self.process.kill()

    def stop(self):
        if self.process:
            self.process.close()
            self.process = None

    def kill(self):
        """End it for good, also while another thread waits for its report."""
        self.closed = True
        if process := self.process:
            process.kill()


class Pool:
    """The workers of one machine: as many as there are jobs at a time."""

    def __init__(self, setup):
        self.setup, self.all, self.idle, self.lock = setup, [], [], threading.Lock()

    def run(self, asked, job):
        """The report on one job, by a worker that has nothing to do. asked: the part of the job that a chapter's jobs
        share."""
        with self.lock:
            if not self.idle:
                self.all.append(Worker(len(self.all), self.setup))
                self.idle.append(self.all[-1])
            worker = self.idle.pop()
        try:
            return worker.run(asked | job)
        finally:
            with self.lock:
                self.idle.append(worker)

    def close(self):
        """End all workers, at once."""
        for worker in self.all:
            worker.kill()


class Crew:
    """Whoever does the jobs: the workers of this machine. A context manager; leaving it ends them, and what they do."""

    def __init__(self, setup, jobs):
        self.pool, self.executor = Pool(setup), ThreadPoolExecutor(max(1, jobs))

    def submit(self, asked, job):
        """The Future of the report on one job."""
        return self.executor.submit(self.pool.run, asked, job)

    def share(self, asked):
        """What a chapter's jobs share, sent once to where they are done."""
        return asked

    def run(self, jobs):
        """Yields (task, report) for each of the triples (task, asked, job), as they come."""
        futures = {self.submit(asked, job): task for task, asked, job in jobs}
        for future in as_completed(futures):
            try:
                report = future.result()
            except Exception as error:
                report = fault(f"it was lost: {type(error).__name__}: {error}")
            yield futures.pop(future), report

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.close()
        self.executor.shutdown(cancel_futures=True)
