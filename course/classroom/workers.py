"""Workers as the grader sees them: processes that are replaced when they die, and a crew of them on this machine."""

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from course.classroom.sandbox import Limits

GRACE_SECONDS = 60  # beyond its own limits, after which a worker is taken for stuck
RECYCLE = 100  # submissions after which a worker is replaced, so that nothing can pile up


@dataclass(frozen=True)
class Setup:
    """What a worker is started with. modules: to load ahead. sandboxed: whether its kernels are locked in."""

    modules: list
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True


class Worker:
    """A worker process, as the runner sees it; replaced when it dies, hangs or has done its share."""

    def __init__(self, number, setup):
        self.number, self.setup = number, setup
        self.process, self.done = None, 0

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.classroom.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("COURSE_DEBUG") else None,
        )
        self._send({"worker": self.number, **asdict(self.setup)})
        self.done = 0

    def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def run(self, job):
        """The report on one job. A worker that fails is replaced and the job tried once more."""
        for attempt in (1, 2):
            try:
                if self.process is None or self.process.poll() is not None or self.done >= RECYCLE:
                    self.stop()
                    self.start()
                self._send(job)
                report = self._receive(job["seconds"] + GRACE_SECONDS + (0 if self.done else 60))
                self.done += 1
                if report["status"] != "fault" or attempt == 2:
                    return report
                reason = report["reason"]
            except (OSError, ValueError) as error:
                reason = f"the worker failed: {error}"
            self.stop()
        return fault(reason)

    def _receive(self, seconds):
        deadline, data = time.monotonic() + seconds, b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise OSError(f"no report within {seconds:.0f} seconds")
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            if not more:
                raise OSError("it ended")
            data += more
        return json.loads(data)

    def stop(self):
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


class Crew:
    """Workers of this machine, a thread each to talk to it."""

    def __init__(self, setup, jobs):
        self.workers = [Worker(number, setup) for number in range(max(1, jobs))]
        self.stop, self.finished = threading.Event(), queue.Queue()

    def __enter__(self):
        return self

    def run_one(self, job):
        """The report on one job, for which one waits."""
        return self.workers[0].run(job)

    def run(self, jobs):
        """Yields (task, report) for each of the pairs (task, job), as they come."""
        waiting, count = queue.Queue(), 0
        for pair in jobs:
            waiting.put(pair)
            count += 1
        self.threads = [threading.Thread(target=self.serve, args=(w, waiting), daemon=True) for w in self.workers]
        for thread in self.threads:
            thread.start()
        for _ in range(count):
            task, report = self.finished.get()
            if isinstance(report, BaseException):
                raise report
            yield task, report

    def serve(self, worker, waiting):
        with contextlib.suppress(queue.Empty):
            while not self.stop.is_set():
                task, job = waiting.get_nowait()
                try:
                    self.finished.put((task, worker.run(job)))
                except BaseException as error:
                    self.finished.put((task, error))

    def __exit__(self, *_):
        self.stop.set()
        for thread in getattr(self, "threads", ()):
            thread.join()
        for worker in self.workers:
            worker.stop()


def fault(reason):
    """The report of a job that the grader could not do."""
    return {"status": "fault", "reason": reason, "exercises": {}, "answers": {}, "seconds": 0.0}
