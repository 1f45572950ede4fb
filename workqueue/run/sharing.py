"""Sharing: which queue gets the next free worker.

    FirstNamed    the first queue that has work: `fsq worker`
    Shares        by each stage's own workers and limit, later stages first: `fsq run`

An order of queues is all that a rule gives; whether a queue has work, the dealing finds out. It is asked anew for each
free worker, so workers go where the work is, and nobody is taken away from a job that runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Sharing(Protocol):
    """A rule for free workers."""

    def order(self, at_work: Callable[[], Mapping[str, int]]) -> Iterable[str]:
        """The queues that may have one more worker, the most urgent first; `at_work` counts those that they have."""

    def limit(self, queue: str) -> int | None:
        """How many workers the queue may have at most."""


class FirstNamed:
    """Queues named first are served first."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = queues

    def order(self, at_work: Callable[[], Mapping[str, int]]) -> Iterable[str]:  # noqa: ARG002 - whoever works where
        """The queues as they were named."""
        return self._queues

    def limit(self, queue: str) -> int | None:  # noqa: ARG002 - of any queue
        """There is none."""
        return None


class Share(NamedTuple):
    """What a stage has of the workers."""

    queue: str
    workers: int = 0
    """So many are kept for it while it has work."""
    limit: int | None = None
    """Never more than these."""


class Shares:
    """Each stage its own workers first; then whoever has work. Of equals the later stage: begun work is finished first.

    **Invariant**: no queue is ever named that has as many workers as its limit.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        self._latest_first = tuple(reversed(shares))
        self._limits = {share.queue: share.limit for share in shares}

    def order(self, at_work: Callable[[], Mapping[str, int]]) -> Iterable[str]:
        """The stages short of their own workers, then the others below their limit."""
        busy = at_work()
        open_ = [share for share in self._latest_first if share.limit is None or busy.get(share.queue, 0) < share.limit]
        return [share.queue for share in sorted(open_, key=lambda share: busy.get(share.queue, 0) >= share.workers)]

    def limit(self, queue: str) -> int | None:
        """What the stage says."""
        return self._limits[queue]
