"""The progress line of a drain, on a terminal: done, failed, left, rate, time to go.

Jobs that tell how far they have come count in part, so that the line moves, and is right, where jobs take hours.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol, TextIO

from workqueue.jobs.durations import spoken
from workqueue.jobs.states import State
from workqueue.run.events import WIPE

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.run.crew import Crew
    from workqueue.run.summary import Summary

WIDTH = 24
MOST_SHARES = 4
"""Running jobs of which it is said how far each has come."""
MEMORY = 10.0
"""Seconds over which the rate is taken, so that the time to go follows what happens now."""


class Display(Protocol):
    """What a supervisor shows while it works."""

    interval: float
    """Seconds between two looks."""

    def look(self, crew: Crew, summary: Summary) -> None: ...
    def close(self) -> None: ...


class Rate:
    """How many a second, over the last seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []

    def of(self, now: float, count: float) -> float:
        """The rate at which the count has grown; `now` is on the monotonic clock."""
        self._seen.append((now, count))
        while self._seen[0][0] < now - MEMORY:
            self._seen.pop(0)
        first, was = self._seen[0]
        return (count - was) / (now - first) if now > first else 0.0


def bar_of(part: float, width: int) -> str:
    """A bar that is filled in part."""
    return f"{'█' * int(part * width):░<{width}}"


class Progress:
    """Draws over its own line; log lines wipe it, and the next drawing puts it back."""

    interval = 0.2

    def __init__(self, engine: DirectoryEngine, queues: tuple[str, ...], stream: TextIO) -> None:
        self._engine = engine
        self._queues = queues
        self._stream = stream
        self._clock = engine.root.clock
        self._next = self._next_count = 0.0
        self._left = 0
        self._ended_at_count = 0
        self._rate = Rate()

    def look(self, crew: Crew, summary: Summary) -> None:
        """Draw what the crew has done and does."""
        self.show(crew.counts(), summary, [run.share for run in crew.runs()])

    def show(self, counts: dict[str, int], summary: Summary, shares: list[float]) -> None:
        """Draw the line, unless it was drawn just now; `shares`: how much is done of each job that runs."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + self.interval
        failed = counts.get("failed", 0) + counts.get("corrupt", 0) + summary.failed
        ended = counts.get("done", 0) + failed + counts.get("cancelled", 0)
        self._count(now, ended)
        left = max(len(shares), self._left - (ended - self._ended_at_count))
        came = ended + sum(shares)
        rate = self._rate.of(now, came)
        bar = bar_of(came / (ended + left) if ended + left else 1.0, WIDTH)
        text = f"{bar} {counts.get('done', 0)} done, {failed} failed, {left} left"
        if rate > 0:
            text += f", {rate:.3g}/s, {spoken((ended + left - came) / rate)} to go"
        told = sorted((share for share in shares if share), reverse=True)[:MOST_SHARES]
        if told:
            text += f"; running: {', '.join(f'{100 * share:.0f} %' for share in told)}"
        self._draw(text)

    def _count(self, now: float, ended: int) -> None:
        """Count what is left, as seldom as counting it is dear."""
        if now < self._next_count:
            return
        counts = [self._engine.counts(queue) for queue in self._queues]
        self._left = sum(found[State.NEW] + found[State.CUR] + found[State.LATER] for found in counts)
        self._ended_at_count = ended
        self._next_count = now + max(1.0, 50 * (self._clock.monotonic() - now))

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"{WIPE}{text[:width]}")
        self._stream.flush()

    def close(self) -> None:
        """Wipe the line."""
        self._stream.write(WIPE)
        self._stream.flush()
