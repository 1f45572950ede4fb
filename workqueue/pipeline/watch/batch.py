"""What is taken together: few enough files that a signal is obeyed soon, and no more than the queue has room for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from workqueue.errors import QueueFull
from workqueue.pipeline.watch.ledger import JOB

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.pipeline.watch.intake import Wanted
    from workqueue.pipeline.watch.scan import Found

BATCH, BATCH_BYTES = 256, 64 << 20


def first_of(ready: Iterable[Found]) -> list[Found]:
    """The first files, up to a batch's number and size; one at least."""
    batch: list[Found] = []
    size = 0
    for found in islice(ready, BATCH):
        size += found.sign.size
        if batch and size > BATCH_BYTES:
            break
        batch.append(found)
    return batch


def fitting(engine: DirectoryEngine, queue: str, wanted: list[Wanted]) -> list[Wanted]:
    """As many of them as the queue's limits allow now; raises QueueFull if that is none."""
    count = len(wanted)
    while count:
        jobs = [each for each in wanted[:count] if each.verdict == JOB]
        try:
            engine.check_room(queue, len(jobs), sum(each.found.sign.size for each in jobs))
            break
        except QueueFull:
            if count == 1:
                raise
            count //= 2
    return wanted[:count]
