"""The dealer of a supervisor: of all the queues that it serves, those named first served first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine import drained, overs
from workqueue.engine.queue_dealer import RESCAN, QueueDealer

if TYPE_CHECKING:
    from workqueue.engine.root import Root


class Dealer:
    """The dealers of several queues, the first served first.

    **Invariant**: a queue that is not in `ready` has no ready name, and one that is not in `_more` gets none but by a
    listing that is due, or by being told: so they cost a turn nothing.
    """

    def __init__(self, root: Root, queues: list[str]) -> None:
        self._root = root
        self.rescan = RESCAN
        """Seconds between listings at least; less where there are no wake-ups."""
        self.queues = {queue: QueueDealer(root, queue) for queue in queues}
        self.ready: dict[str, None] = {}
        """The queues that may have ready names; a dict, for its order is the same each time."""
        self._more: dict[str, None] = {}
        self._next_listing = 0.0

    def __len__(self) -> int:
        """How many names are known to be ready; of a large backlog, or of batches, only the first."""
        return sum(len(self.queues[queue]) for queue in self.ready)

    def count(self, queue: str) -> int:
        """How many names of a queue are known to be ready; where there are none it is not asked again."""
        if not (count := len(self.queues[queue])):
            self.ready.pop(queue, None)
        return count

    def add(self, queue: str, text: str) -> None:
        """Learn of a name in new/."""
        self.ready[queue] = self._more[queue] = None
        self.queues[queue].add(text)

    def add_later(self, queue: str, text: str) -> None:
        """Learn of a name in later/."""
        self.ready[queue] = self._more[queue] = None
        self.queues[queue].add_later(text)

    def settle(self, queue: str, texts: list[str], lost: int = 0) -> None:
        """Learn that dealt names were claimed, `lost` of them by another."""
        if texts:
            self.queues[queue].settle(texts)
        if lost:
            self.ready[queue] = self._more[queue] = None
            self.queues[queue].lose(lost, len(texts))

    def give_back(self, queue: str, texts: list[str]) -> None:
        """Take names back that their worker never claimed."""
        self.ready[queue] = self._more[queue] = None
        self.queues[queue].give_back(texts)

    def skip(self, queue: str, text: str, inode: int) -> None:
        """Leave a name that cannot be renamed alone."""
        self.queues[queue].skip(text, inode)

    def refresh(self, *, now: bool = False) -> None:
        """List what is to be listed again, and promote what is due."""
        is_due = now or self._root.clock.monotonic() >= self._next_listing
        self._more = dict.fromkeys(self.queues if is_due else self._more)
        for queue in self._more:
            self.ready[queue] = None
            self.queues[queue].refresh(self.rescan, now=now)
            self.queues[queue].promote()
        if is_due:
            self._next_listing = min(dealer.next_listing for dealer in self.queues.values())
        self._more = dict.fromkeys(queue for queue in self._more if self.queues[queue].has_more())

    def deal(self, count: int) -> tuple[str, list[str]] | None:
        """The next names of the first queue that has any."""
        for dealer in self.queues.values():
            dealt = dealer.deal(count)
            if dealt:
                return dealer.queue, dealt
        return None

    def next_due(self) -> float | None:
        """Seconds until the first delayed job of all is due."""
        due = [when for queue in self._more if (when := self.queues[queue].next_due()) is not None]
        return min(due, default=None)

    def is_drained(self) -> bool:
        """Whether nothing is ready, running or waiting for another attempt, nor a callback to come; asks the disk."""
        return self._are_drained() and overs.come_to_rest(self._root, self.queues) and self._are_drained()

    def _are_drained(self) -> bool:
        self._next_listing = 0.0  # what each look finds is known to the next turn only if that looks at all of them
        return all(drained.is_drained(self._root, dealer) for dealer in self.queues.values())
