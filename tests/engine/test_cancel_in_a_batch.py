"""Cancel, and the batch that it empties: whoever finds a batch empty removes it."""

from __future__ import annotations

import os

from support.faults import FaultyFs
from workqueue import Producer
from workqueue.engine import lookup, operate
from workqueue.engine.root import Root
from workqueue.jobs.states import State


def test_a_batch_that_goes_away_at_once_does_not_fail_the_cancel(root: str) -> None:
    """A worker's supervisor was faster than the sync: the job is cancelled, and that is what its operator is told."""
    Producer(root).submit_many([0])
    fs = FaultyFs()
    opened = Root(root, fs=fs)
    [found] = lookup.scan(opened, "default", State.NEW)
    fs.restart()
    fs.before(1, lambda: os.rmdir(os.path.dirname(found.path)), verb="sync_dir")
    assert operate.cancel(opened, found) is State.NEW
    assert os.listdir(f"{root}/default/new") == []
