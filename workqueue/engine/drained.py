"""Drained: whether a queue has anything left to be run. Asks the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine import lookup, manifest
from workqueue.jobs import names

if TYPE_CHECKING:
    from workqueue.engine.queue_dealer import QueueDealer
    from workqueue.engine.root import Root


def is_drained(root: Root, dealer: QueueDealer) -> bool:
    """Whether nothing of a queue is ready, running or waiting for another attempt."""
    # In the order in which jobs move: one that is deferred or recovered meanwhile is seen at least once.
    if not dealer.is_empty() or root.fs.list(root.space(dealer.queue, "cur")):
        return False
    if any(manifest.queue_of(root, run) == dealer.queue for run in manifest.runs(root)):
        return False
    return nothing_to_retry(root, dealer.queue) and dealer.is_empty()


def nothing_to_retry(root: Root, queue: str) -> bool:
    """Whether no job waits for another attempt; one submitted for a later time is not waited for."""
    for text in lookup.entries(root, queue, "later"):
        name = names.parse(text.rpartition("/")[2])
        if name is not None and name.attempt > 0:
            return False
    return True
