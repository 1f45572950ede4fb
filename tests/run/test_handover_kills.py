"""Real workers that hand over, and kill -9 of anything: each child comes once, and each output is whole."""

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
    from pathlib import Path

    from support.fsq import Fsq, Working

JOBS = 40
CHILDREN = 3


def hand_over(job: Job, out: Path) -> None:
    """A stage of a pipeline: an output, rejected records, and children for the next one."""
    with job.output(out / f"{job.payload}.txt", "w") as file:
        file.write(f"{job.payload}\n" * 100)
    for n in range(CHILDREN):
        job.submit([job.payload, n], queue="load")
    job.reject(job.payload, "every job rejects one")


def kill_one(running: Working, chance: random.Random) -> None:
    victims = descendants(running.pid)
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)


def test_a_stage_under_kills_hands_every_child_over_once(fsq: Fsq, tmp_path: Path) -> None:
    """Workers are killed every few milliseconds, and their supervisor now and then."""
    make_queue(fsq.root, "load", FS)
    out = tmp_path / "out"
    out.mkdir()
    Producer(fsq.root).submit_many(range(JOBS), max_attempts=1000, durable=False)
    chance = random.Random(3)

    def handle(job: Job) -> None:
        hand_over(job, out)

    running = fsq.work(handle, processes=4)
    kills = 0
    while fsq.ls() != {} and kills < 150:
        time.sleep(chance.uniform(0.004, 0.02))
        kills += 1
        if kills % 20:
            kill_one(running, chance)
        else:
            running.kill()
            running = fsq.work(handle, processes=4)
    with running:
        until(lambda: fsq.ls() == {} and not os.listdir(f"{fsq.root}/.fsq/commit"), f"all ends after {kills} kills")
    came: Counter[str] = Counter()
    fsq.drain(lambda job: fsq.diary.note("start", job), queues=["load"])
    came = Counter(line.job for line in fsq.diary.lines("start"))
    assert len(came) == JOBS * CHILDREN
    assert set(came.values()) == {1}
    assert sorted(os.listdir(out)) == sorted(f"{n}.txt" for n in range(JOBS)), "no temporary file is left"
    assert all((out / f"{n}.txt").read_text() == f"{n}\n" * 100 for n in range(JOBS))
    assert len(os.listdir(f"{fsq.root}/default/rejected")) == JOBS


def test_what_cannot_be_published_waits_and_a_drain_waits_for_it(fsq: Fsq, tmp_path: Path) -> None:
    """A directory stands in its place: nothing is lost, it says so, and goes on when the way is free."""
    Producer(fsq.root).submit(0)
    place = str(tmp_path / "out")

    def handle(job: Job) -> None:
        with job.output(place, "w") as file:
            file.write("whole")
        os.mkdir(place)

    with fsq.work(handle, drain=True) as running:
        trouble = running.hears("trouble")
        assert "not all in its place" in str(trouble["text"])
        assert not running.has_ended()
        assert fsq.ls() == {"done": 1}
        os.rmdir(place)
        assert running.wait() == 0
    with open(place) as file:
        assert file.read() == "whole"
    assert fsq.ls() == {}
    assert os.listdir(f"{fsq.root}/.fsq/commit") == []
