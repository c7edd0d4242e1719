"""Processes that serve requests, lines of JSON on their standard input, and answer each with a line on their
standard output."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Self


class Lost(Exception):
    """The process ended, fell silent or said something else than JSON; the message says which."""


class Process:
    """One such process, a module of this package that is run as a program; a context manager.

    It is in a process group of its own, so that Ctrl+C in a terminal reaches the grader alone, which then ends it.
    """

    def __init__(self, module: str, setup: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("COURSE_DEBUG") else None,
            start_new_session=True,
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        self.send(setup)

    def send(self, message: Any) -> None:
        """Send a message; raises Lost."""
        try:
            self.input.write(json.dumps(message).encode() + b"\n")
            self.input.flush()
        except OSError:
            raise Lost("it ended") from None

    def receive(self, seconds: float) -> Any:
        """The next message that it sends; raises Lost where there is none in time."""
        deadline = time.monotonic() + seconds
        data: list[bytes] = []
        while not data or not data[-1].endswith(b"\n"):
            ready, _, _ = select.select([self.output], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise Lost(f"no answer within {seconds:.0f} seconds")
            data.append(os.read(self.output.fileno(), 1 << 20))
            if not data[-1]:
                raise Lost("it ended")
        try:
            return json.loads(b"".join(data))
        except ValueError:
            raise Lost("it sent something that is no message") from None

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def close(self, timeout: float = 5) -> None:
        """End it: its input ends, and where it does not end within `timeout` seconds, it is killed."""
        with contextlib.suppress(OSError):
            self.input.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self.output.close()

    def kill(self) -> None:
        """End it at once. May be called by another thread while one waits for its answer."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def messages() -> Iterator[Any]:
    """In such a process: the messages that come, one by one, until there will be no more."""
    for line in sys.stdin:
        yield json.loads(line)


def answerer() -> Callable[[Any], None]:
    """In such a process: a function that sends a message. From now on nothing that this process or a library prints may
    be taken for one."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def answer(message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    return answer
