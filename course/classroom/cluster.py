"""What a machine of a Dask cluster runs: the same worker as at home, kept from job to job."""

import base64
import tempfile
import threading
from pathlib import Path

from course.classroom.runner import Options, Worker
from course.classroom.sandbox import Limits, available

_kept = threading.local()  # Dask may run several jobs of one process side by side, in threads
_numbers = iter(range(1000))


def run_there(job, files, setup):
    """Run one job whose files travel with it; its report. Raises RuntimeError where this machine has no sandbox and
    submissions must have one, so that the scheduler tries another."""
    if setup["sandboxed"] and (why := available()):
        raise RuntimeError(f"this machine cannot lock submissions in: {why}")
    if getattr(_kept, "setup", None) != setup:
        options = Options(Path(), Path(), limits=Limits(**setup["limits"]), sandboxed=setup["sandboxed"])
        _kept.worker, _kept.setup = Worker(next(_numbers), setup["modules"], options), setup
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder) / f"{name}.ipynb"
            path.write_bytes(base64.b64decode(data))
            job = job | {name: str(path)}
        return _kept.worker.run(job)
