"""What handlers did and when, and whether two ever ran the same job at a time.

Two independent detectors: a lock per job, which the kernel frees at the death of whoever has it, and the order of the
lines, which are appended by one write each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workqueue import Job


class Line(NamedTuple):
    """One thing that a process wrote down."""

    at: float
    """Monotonic seconds: the same clock in every process."""
    pid: int
    word: str
    job: str
    attempt: int


class Diary:
    """A file that any number of processes write to."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._where.mkdir()
        self._path = str(where / "lines")
        open(self._path, "x").close()

    def note(self, word: str, job: Job | None = None) -> None:
        """Write a line."""
        line = f"{time.monotonic():.6f} {os.getpid()} {word} {job.id if job else '-'} {job.attempt if job else 0}\n"
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def run(self, job: Job) -> Iterator[None]:
        """Write down the start and the end of a run, and hold the job's lock in between."""
        fd = os.open(str(self._where / job.id), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.note("overlap", job)
        self.note("start", job)
        try:
            yield
        finally:
            self.note("end", job)
            os.close(fd)

    def lines(self, word: str | None = None) -> list[Line]:
        """The lines so far, in the order in which they were written."""
        found = []
        with open(self._path) as file:
            for text in file:
                at, pid, what, job, attempt = text.split()
                found.append(Line(float(at), int(pid), what, job, int(attempt)))
        return [line for line in found if word in {None, line.word}]

    def count(self, word: str) -> int:
        """How many lines there are of a kind."""
        return len(self.lines(word))

    def check_no_overlap(self) -> None:
        """Fail if two processes ran one job at a time: then the earlier one wrote after the later one's start."""
        assert not self.lines("overlap")
        latest: dict[str, int] = {}
        for line in self.lines():
            if line.word == "start":
                latest[line.job] = line.pid
            if line.job in latest:
                assert line.pid == latest[line.job], f"{line} by a run that another had followed"
