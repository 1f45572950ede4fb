"""Real workers and kill -9 of anything while batches end: each calls back once, and its numbers add up."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from support.processes import descendants, until
from workqueue import Job, Producer
from workqueue.engine.root import make_queue
from workqueue.store.fs import FS

if TYPE_CHECKING:
    from support.fsq import Fsq, Working

BATCHES, MEMBERS = 24, 6


def grow(job: Job) -> None:
    """A member adds one now and then."""
    if job.payload == 0:
        assert job.batch is not None
        job.batch.submit(1, queue="default", max_attempts=1000)


def kill_one(running: Working, chance: random.Random) -> None:
    victims = descendants(running.pid)
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)


def test_batches_under_kills_call_back_once_each(fsq: Fsq) -> None:
    make_queue(fsq.root, "publish", FS)
    producer = Producer(fsq.root)
    ids = []
    for _ in range(BATCHES):
        with producer.batch(on_done="publish") as batch:
            batch.submit_many(range(MEMBERS), max_attempts=1000)
        ids.append(batch.id)
    chance = random.Random(5)
    running = fsq.work(grow, processes=4)
    kills = 0
    while fsq.ls() != {} and kills < 100:
        time.sleep(chance.uniform(0.002, 0.01))
        kills += 1
        if kills % 20:
            kill_one(running, chance)
        else:
            running.kill()
            running = fsq.work(grow, processes=4)
    running.kill()
    fsq.drain(grow, queues=["default"], processes=2)
    until(lambda: fsq.ls() == {}, "all members end")
    seen: Counter[str] = Counter()

    def note(job: Job) -> None:
        fsq.diary.note("start", job)
        assert job.payload["done"] == job.payload["total"] == MEMBERS + 1

    called = fsq.drain(note, queues=["publish"], keep_done="1h")
    assert (called.summary["done"], called.summary["failed"], called.summary["retried"]) == (BATCHES, 0, 0)
    seen.update(line.job for line in fsq.diary.lines("start"))
    assert set(seen.values()) == {1}
    for batch_id in ids:
        found = producer.batch_ref(batch_id).counts()
        assert found.ended
        assert found.callback in seen
