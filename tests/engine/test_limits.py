"""Limits: a queue that is full refuses before anything is written."""

from __future__ import annotations

import os

import pytest

from engine.disks import FullRecordingFs
from engine.worlds import World, new_job
from workqueue.engine import operate
from workqueue.errors import QueueFull
from workqueue.jobs.states import State


def test_no_more_jobs_are_taken_than_max_jobs_and_again_some_when_there_is_room(world: World) -> None:
    engine = world.open(max_jobs=3)
    for _ in range(3):
        world.put(engine=engine)
    with pytest.raises(QueueFull, match="3 jobs wait, max_jobs is 3"):
        world.put(engine=engine)
    assert world.ls("tmp") == []
    engine.finish(world.take(world.ls("new")[0]))
    world.put(engine=engine)


def test_delayed_and_held_jobs_and_those_in_batches_count_and_running_ones_do_not(world: World) -> None:
    engine = world.open(max_jobs=4)
    world.put(engine=engine, due=4764000000000)
    operate.hold(world.root, world.find(world.put(engine=engine)))
    world.put_many([b"1", b"2"], engine)
    with pytest.raises(QueueFull):
        world.put(engine=engine)
    (batch,) = world.ls("new")
    world.take(f"{batch}/{os.listdir(world.at('new', batch))[0]}")
    world.put(engine=engine)


def test_no_more_bytes_are_taken_than_max_bytes(world: World) -> None:
    engine = world.open(max_bytes=1000)
    world.put(b"x" * 500, engine)
    with pytest.raises(QueueFull, match="max_bytes is 1000 B"):
        world.put(b"x" * 600, engine)
    world.put(b"x" * 300, engine)


def test_a_disk_with_less_free_than_min_free_takes_nothing(world: World) -> None:
    with pytest.raises(QueueFull, match="min_free"):
        world.put(engine=world.open(min_free=1 << 60))
    assert world.jobs() == {}
    world.put(engine=world.open(min_free=1))


def test_a_batch_that_would_go_over_the_limit_is_refused_whole(world: World) -> None:
    with pytest.raises(QueueFull):
        world.put_many([b"x"] * 5, world.open(max_jobs=4))
    assert world.jobs() == {}
    assert world.ls("tmp") == []


def test_a_queue_without_limits_is_never_counted(world: World) -> None:
    fs = FullRecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    world.put(engine=engine)
    assert not any(verb == "list" for verb, *_ in fs.done)


def test_the_count_is_kept_for_a_second_and_for_a_tenth_of_the_room(world: World) -> None:
    fs = FullRecordingFs()
    engine = world.open(fs, max_jobs=100)

    def listings() -> int:
        return sum(verb == "list" for verb, *_ in fs.done)

    world.put(engine=engine)
    counted = listings()
    for _ in range(9):
        world.put(engine=engine)
    assert listings() == counted
    world.put(engine=engine)
    assert listings() > counted, "the tenth of the room is used up"
    counted = listings()
    world.clock.advance(1.1)
    world.put(engine=engine)
    assert listings() > counted, "a second is over"


def test_another_producer_can_overshoot_by_no_more_than_that_tenth(world: World) -> None:
    one, other = world.open(max_jobs=50), world.open(max_jobs=50)
    for engine in (one, other) * 60:
        try:
            world.put(engine=engine, durable=False)
        except QueueFull:
            continue
    assert 50 <= world.engine.counts("default")[State.NEW] <= 55


def test_each_queue_has_its_own_room(world: World) -> None:
    world.engine.make_queue("other")
    engine = world.open(max_jobs=1)
    world.put(engine=engine)
    engine.put(new_job(queue="other"))
    with pytest.raises(QueueFull, match="'other'"):
        engine.put(new_job(queue="other"))
