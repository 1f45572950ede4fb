"""Tallies: what came of each queue's jobs, added up as the workers go from one deal to the next.

A worker is dealt names of one queue at a time, so what its board has counted since its last deal belongs to that queue:
the figures cost no system call and nothing per job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine.protocol import Corrupted, Recovered
from workqueue.jobs.states import State
from workqueue.run import board as b

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.protocol import Settled
    from workqueue.run.crew import Member

WORDS = b.BUSY_NS + 1
"""The words of a board that only ever grow: its counts, and the time in handlers."""
ENDS = {State.DONE: b.DONE, State.FAILED: b.FAILED, State.CORRUPT: b.CORRUPT, None: b.CANCELLED}
"""What is counted of a dead worker's claim, by the state in which it ends; None: its cancel had been ordered."""


class Tallies:
    """Figures of each queue."""

    def __init__(self) -> None:
        self._of: dict[str, list[int]] = {}

    def take(self, member: Member) -> int:
        """Count for its queue what a worker has done since the last time; returns how many claims it has lost."""
        now = member.board.words[:WORDS].tolist()
        figures = since(member.counted, now)
        if member.queue:
            self._add(member.queue, figures)
        member.counted = now
        return figures[b.LOST]

    def _add(self, queue: str, figures: list[int]) -> None:
        known = self._of.get(queue)
        self._of[queue] = figures if known is None else [a + b for a, b in zip(known, figures, strict=True)]

    def recovered(self, found: Settled | str) -> None:
        """Count what became of a dead worker's claim, where that was its job's end."""
        if isinstance(found, str) or (isinstance(found, Recovered) and found.released):
            return
        state = State.CORRUPT if isinstance(found, Corrupted) else found.state
        field = ENDS.get(state)
        if field is not None:
            self._add(found.queue, [int(index == field) for index in range(WORDS)])

    def mean_ns(self, queue: str) -> float | None:
        """How long a job of this queue takes; None before the first has ended."""
        known = self._of.get(queue)
        return known[b.BUSY_NS] / known[b.JOBS] if known is not None and known[b.JOBS] else None

    def of(self, queue: str, members: Iterable[Member]) -> dict[str, int]:
        """The queue's figures up to now, with what its workers have done since their last deal."""
        total = self._of.get(queue, [0] * WORDS)
        for member in members:
            if member.queue == queue:
                now = member.board.words[:WORDS].tolist()
                total = [a + b for a, b in zip(total, since(member.counted, now), strict=True)]
        return dict(zip(b.COUNTS, total, strict=False))


def since(before: list[int], now: list[int]) -> list[int]:
    """What has been added."""
    return [after - count for count, after in zip(before, now, strict=True)]
