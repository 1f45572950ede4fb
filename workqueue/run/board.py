"""The board: a page of memory that a worker writes and its supervisor reads, so that limits and statistics cost no
system call a job.

**Invariant**: only the worker writes; every field is one aligned 8-byte word. `run` changes before anything else of a
new run is written and is odd while one goes on, so a supervisor that stops the worker first can tell for certain
whether the run it means is still going on.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workqueue.engine.journal_buffer import JournalBuffer

SIZE = 4096
TEXT = 2048
COUNTS = ("done", "failed", "retried", "snoozed", "corrupt", "lost", "cancelled", "released", "rejects", "attempts")
DONE, FAILED, RETRIED, SNOOZED, CORRUPT, LOST, CANCELLED, RELEASED, REJECTS, JOBS = range(len(COUNTS))
BUSY_NS, RUN, STARTED_NS, LIMIT_NS, LENGTH, SHARE, SPAN_NS = range(len(COUNTS), len(COUNTS) + 7)
MILLION = 1_000_000


class Running(NamedTuple):
    """A run in progress, as its supervisor sees it."""

    run: int
    started_ns: int
    limit_ns: int
    """When the run's time is up; 0: never. Monotonic nanoseconds, as is `started_ns`."""
    queue: str
    id: str
    share: float = 0.0
    """How much of the job is done, from 0 to 1, as far as its handler tells."""
    span_ns: int = 0
    """How long the run, or one element of an array, may take."""


class Board:
    """One worker's page."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, SIZE)
        self.words = memoryview(self._map)[:1024].cast("q")
        self.journal: JournalBuffer | None = None
        """What the worker has told, and is not on the disk yet."""

    def start(self, queue: str, job_id: str, limit: float | None) -> None:
        """Begin a run."""
        words = self.words
        words[RUN] += 1
        now = time.monotonic_ns()
        words[STARTED_NS] = now
        words[SPAN_NS] = int(limit * 1e9) if limit else 0
        words[LIMIT_NS] = now + words[SPAN_NS] if limit else 0
        words[SHARE] = 0
        text = f"{job_id}{queue}".encode()
        words[LENGTH] = len(text)
        self._map[TEXT : TEXT + len(text)] = text

    def next_element(self) -> None:
        """Let the time limit begin anew: it holds for each element of an array."""
        words = self.words
        if words[SPAN_NS]:
            words[LIMIT_NS] = time.monotonic_ns() + words[SPAN_NS]

    def end(self) -> None:
        """End the run."""
        words = self.words
        words[RUN] += 1
        words[JOBS] += 1
        words[BUSY_NS] += time.monotonic_ns() - words[STARTED_NS]

    def seconds(self) -> float:
        """How long the run has gone on."""
        return (time.monotonic_ns() - self.words[STARTED_NS]) / 1e9

    def count(self, field: int, by: int = 1) -> None:
        """Add one, or more."""
        self.words[field] += by

    def share(self, share: float) -> None:
        """Show how much of the job is done."""
        self.words[SHARE] = int(min(max(share, 0.0), 1.0) * MILLION)

    def running(self) -> Running | None:
        """The run that goes on; None if there is none."""
        words = self.words
        run = words[RUN]
        if not run & 1:
            return None
        text = os.fsdecode(self._map[TEXT : TEXT + words[LENGTH]])
        share = words[SHARE] / MILLION
        found = Running(run, words[STARTED_NS], words[LIMIT_NS], text[26:], text[:26], share, words[SPAN_NS])
        return found if words[RUN] == run else None

    def limit(self) -> int:
        """When the last run's time is or was up; 0: never."""
        return self.words[LIMIT_NS]

    def is_in(self, run: int) -> bool:
        """Whether this very run goes on; certain only while the worker is stopped."""
        return self.words[RUN] == run

    def mean_ns(self) -> float | None:
        """How long a job takes; None before the first has ended."""
        jobs = self.words[JOBS]
        return self.words[BUSY_NS] / jobs if jobs else None

    def counts(self) -> dict[str, int]:
        """The worker's statistics."""
        return dict(zip(COUNTS, self.words[: len(COUNTS)], strict=True))

    def close(self) -> None:
        """Give the page back."""
        self.words.release()
        self._map.close()
        if self.journal is not None:
            self.journal.close()
