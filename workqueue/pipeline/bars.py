"""The display of a pipeline's run on a terminal: a bar a stage, below the log lines.

After each drawing the cursor stands on the empty line above the bars. So a line that any process writes, a worker's log
or a handler's print, comes above them: log lines first wipe what is below, and the next drawing follows behind.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from workqueue.jobs.durations import spoken
from workqueue.jobs.states import State
from workqueue.run.events import WIPE
from workqueue.run.progress import Rate, bar_of

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.run.crew import Crew
    from workqueue.run.summary import Summary

WAITS = (State.NEW, State.LATER, State.CUR)
WIDEST_NAME, WIDEST_BAR = 24, 40
COLUMNS = (("waiting", 9), ("running", 9), ("done", 9), ("failed", 8), ("rejected", 10), ("per s", 8), ("to go", 9))
RECOUNT = 0.5
"""Seconds between two counts of what waits, at least; and 50 times what one takes."""


@dataclass(slots=True)
class Row:
    """A stage, as it is shown."""

    queue: str
    figures: dict[str, int] = field(default_factory=dict)
    running: int = 0
    share: float = 0.0
    """How much of the running jobs is done, added up."""
    counted: int = 0
    """Jobs that had not ended when they were last counted; and how many had, of this run's."""
    ended_then: int = 0
    rate: Rate = field(default_factory=Rate)
    per_second: float = 0.0

    @property
    def failed(self) -> int:
        """Jobs that came into failed/ or corrupt/."""
        return self.figures.get("failed", 0) + self.figures.get("corrupt", 0)

    @property
    def ended(self) -> int:
        """Jobs that have come to their end."""
        return self.figures.get("done", 0) + self.failed + self.figures.get("cancelled", 0)

    @property
    def left(self) -> int:
        """Jobs that have not."""
        return max(self.running, self.counted - (self.ended - self.ended_then))

    def cells(self) -> list[str]:
        """What stands behind the bar."""
        to_go = (self.left - self.share) / self.per_second if self.per_second > 0 else None
        numbers = (self.left - self.running, self.running, self.figures.get("done", 0), self.failed)
        return [
            *(f"{number:,}" for number in (*numbers, self.figures.get("rejects", 0))),
            f"{self.per_second:.3g}" if self.per_second > 0 else "–",
            spoken(to_go) if self.left and to_go is not None else "–",
        ]

    def bar(self, width: int) -> str:
        """How much of the jobs that are known of is done."""
        known = self.ended + self.left
        return bar_of((self.ended + self.share) / known if known else 0.0, width)


class Bars:
    """Draws the stages of one run."""

    interval = 0.2

    def __init__(self, engine: DirectoryEngine, queues: tuple[str, ...], stream: TextIO) -> None:
        self._engine = engine
        self._stream = stream
        self._clock = engine.root.clock
        self._rows = [Row(queue) for queue in queues]
        self._next = self._next_count = 0.0

    def look(self, crew: Crew, summary: Summary) -> None:  # noqa: ARG002 - the tallies have it by stage
        """Draw what each stage has done and does, unless it was drawn just now."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + self.interval
        runs = crew.runs()
        for row in self._rows:
            row.figures = crew.tallies.of(row.queue, crew.members)
            row.running = sum(member.queue == row.queue and not member.is_free for member in crew.members)
            row.share = sum(run.share for run in runs if run.queue == row.queue)
        self._count(now)
        for row in self._rows:
            row.per_second = row.rate.of(now, row.ended + row.share)
        self._draw()

    def _count(self, now: float) -> None:
        """Count what is left, as seldom as counting it is dear."""
        if now < self._next_count:
            return
        for row in self._rows:
            counts = self._engine.counts(row.queue)
            row.counted, row.ended_then = sum(counts[state] for state in WAITS), row.ended
        self._next_count = now + max(RECOUNT, 50 * (self._clock.monotonic() - now))

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        lines = self._lines(size.columns - 1)
        most = max(1, size.lines - 2)
        if len(lines) > most:
            lines = [*lines[: most - 1], f"… and {len(lines) - most + 1} more stages"]
        self._stream.write(f"{WIPE}\n" + "\n".join(lines) + f"\r\x1b[{len(lines)}A")
        self._stream.flush()

    def _lines(self, width: int) -> list[str]:
        """The heading, and a line a stage; none is longer than the terminal is wide: it could not be drawn over."""
        name = min(WIDEST_NAME, max(len(row.queue) for row in self._rows))
        bar = max(4, min(WIDEST_BAR, width - name - 1 - sum(size for _, size in COLUMNS)))
        heading = "".join(f"{column:>{size}}" for column, size in COLUMNS)
        lines = [f"{'':{name + 1 + bar}}{heading}"]
        for row in self._rows:
            cells = "".join(f"{cell:>{size}}" for cell, (_, size) in zip(row.cells(), COLUMNS, strict=True))
            lines.append(f"{row.queue[:name]:{name}} {row.bar(bar)}{cells}")
        return [line[:width] for line in lines]

    def close(self) -> None:
        """Wipe the bars."""
        self._stream.write(WIPE)
        self._stream.flush()
