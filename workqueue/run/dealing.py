"""Dealing: gives the names of ready jobs to the workers that are free."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workqueue.engine.dealer import Dealer
    from workqueue.run.crew import Crew
    from workqueue.run.sharing import Sharing

DEALS = (5e4, 128), (2e5, 64), (1e6, 16), (1e7, 4)
"""Nanoseconds that a job takes, and how many shorter ones are dealt at a time; longer ones singly: none waits."""


class Dealing:
    """Deals to one crew, by a rule that says whose turn it is."""

    def __init__(self, dealer: Dealer, crew: Crew, sharing: Sharing) -> None:
        self._dealer = dealer
        self._crew = crew
        self._sharing = sharing

    def deal(self) -> None:
        """Give names to the workers that are free, while there are any for them."""
        for member in self._crew.members:
            if member.is_free and not member.is_told:
                dealt = self._next()
                if dealt is None:
                    return
                member.deal(*dealt)

    def _next(self) -> tuple[str, list[str]] | None:
        ready = self._dealer.ready
        for queue in self._sharing.order(self._at_work):
            count = self._dealer.count(queue) if queue in ready else 0
            if count and (names := self._dealer.queues[queue].deal(self._count(queue, count))):
                return queue, names
        return None

    def _at_work(self) -> Counter[str]:
        """How many workers each queue has; one that is dead counts until it is buried: a child of it may still run."""
        return Counter(member.queue for member in self._crew.members if not member.is_free)

    def _count(self, queue: str, ready: int) -> int:
        """How many names to deal at a time."""
        mean = self._crew.tallies.mean_ns(queue)
        count = 1 if mean is None else next((count for below, count in DEALS if mean < below), 1)
        workers = min(len(self._crew.members), self._sharing.limit(queue) or len(self._crew.members))
        return max(1, min(count, ready // workers))
