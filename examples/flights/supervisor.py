"""The `fsq run` process that runs the pipeline, and the worker processes that are its children.

Guarantee: when the `with running(…)` block is left, in whatever way, the process has ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from ending import Ending
from places import Places

PIPELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "etl.py") + ":flights"
GRACE = 10.0

Process = subprocess.Popen[bytes]


@contextmanager
def running(places: Places, *, workers: int, ending: Ending) -> Iterator["Supervisor"]:
    """Run the pipeline until all is done."""
    process = None
    try:
        with ending.deferred():
            process = start(places, workers)
        yield Supervisor(process, places.summary)
    finally:
        if process is not None:
            stop(process)


def start(places: Places, workers: int, output: BinaryIO | None = None, **environment: str) -> Process:
    """Start `fsq run`; its words go to output, or where ours go."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "workqueue", "--root", places.root, "run", PIPELINE, "--drain"),
            *("-n", str(workers), "--summary", places.summary, "--html", places.run_page),
        ],
        env=os.environ | places.environment | environment,
        stdout=output,
        stderr=output,
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
    """A running `fsq run`."""

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
