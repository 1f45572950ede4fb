"""A run that was ended by order has no bearing on the next run of its worker."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from workqueue import Job, Producer

if TYPE_CHECKING:
    from support.fsq import Fsq

GRACE = 60.0
"""Longer than any wait of these tests."""


def hang(fsq: Fsq, job: Job) -> None:
    """Every run goes on until it is ended."""
    fsq.diary.note("start", job)
    time.sleep(600)


def test_a_stop_after_a_cancel_charges_nothing(fsq: Fsq) -> None:
    """The worker's former job was cancelled; the one it has now is given back by a stop, and keeps its attempt."""
    producer = Producer(fsq.root)
    first, second = producer.submit(1), producer.submit(2)
    with fsq.work(lambda job: hang(fsq, job), grace=GRACE) as running:
        fsq.running_pid(1)
        assert first.cancel() == "cur"
        running.hears("cancelled")
        assert fsq.running_pid(2) == fsq.running_pid(1)
        running.signal(signal.SIGTERM)
        running.hears("stopping")
        running.signal(signal.SIGTERM)
        running.wait()
    assert fsq.names("new") == [f"5-{second.id}-0"]
    assert fsq.errors(second.id) == []
    assert running.summary["released"] == 1


def test_a_second_cancel_does_not_wait_for_the_first_ones_grace(fsq: Fsq) -> None:
    """The first job ended at once; the next one of the same worker is cancelled as quickly."""
    producer = Producer(fsq.root)
    refs = [producer.submit(n) for n in (1, 2)]
    with fsq.work(lambda job: hang(fsq, job), grace=GRACE) as running:
        for count, ref in enumerate(refs, 1):
            fsq.running_pid(count)
            assert ref.cancel() == "cur"
            running.hears("cancelled", count)
    assert fsq.ls() == {}
