"""The `fsq worker` process that empties the queue, and the worker processes that are its children.

Guarantee: when the `with running(…)` block is left, in whatever way, the process has ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ending import Ending
from spool import QUEUE, Spool

HANDLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "etl.py") + ":load"
GRACE = 10.0

Process = subprocess.Popen[bytes]


@contextmanager
def running(spool: Spool, output: str, summary: str, *, workers: int, ending: Ending) -> Iterator["Supervisor"]:
    """Run `fsq worker --drain` on the flights of a root; summary is the file that it writes at its end."""
    process = None
    try:
        with ending.deferred():
            process = start(spool, output, summary, workers)
        yield Supervisor(process, summary)
    finally:
        if process is not None:
            stop(process)


def start(spool: Spool, output: str, summary: str, workers: int) -> Process:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "workqueue", "--root", spool.root, "worker"),
            *("--handler", HANDLER, "-q", QUEUE, "-n", str(workers), "--drain"),
            *("--max-attempts", "5", "--backoff", "0.2s..2s", "--summary", summary),
        ],
        env=os.environ | {"FLIGHTS_OUTPUT": os.path.abspath(output)},
        start_new_session=True,  # Ctrl-C comes to us alone; `stop` passes it on, once
    )


def stop(process: Process) -> None:
    if process.poll() is None:
        process.terminate()  # fsq ends on SIGINT just so, but Python that is still starting shows a traceback
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    process.kill()  # of what has ended: nothing
    process.wait()


class Supervisor:
    """A running `fsq worker`."""

    def __init__(self, process: Process, summary: str) -> None:
        self._process = process
        self._summary = summary

    def is_running(self) -> bool:
        return self._process.poll() is None

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return list(children(self._process.pid))

    def result(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return the exit status and the summary, which is empty if none was written."""
        status = self._process.wait()
        with suppress(FileNotFoundError), open(self._summary, encoding="utf-8") as file:
            return status, json.load(file)
        return status, {}


def children(parent: int) -> Iterator[int]:
    """Yield the process ids of a process's direct children."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and parent_of(int(name)) == parent:
            yield int(name)


def parent_of(process: int) -> int | None:
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{process}/stat", "rb") as stat:
        # PID (NAME) STATE PARENT …; a name may hold spaces and parentheses, so its last one counts.
        return int(stat.read().rpartition(b")")[2].split()[1])
    return None
