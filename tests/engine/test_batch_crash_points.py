"""Batches, cut off before each operation: all members or none, and one callback, whatever died on the way to it."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from engine.batched import ENDINGS, ON_DONE, Ending, ended_once, fresh, nothing_is_left, run_all, submit
from engine.conftest import empty
from engine.disks import Crash, CrashingFs
from engine.worlds import World, new_job
from support.clocks import FakeClock
from workqueue.engine import members, overs, recovery
from workqueue.engine.members import How

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine


def cut_off(world: World, n: int, act: Callable[[DirectoryEngine], object]) -> bool:
    """Whether it died before its n-th operation."""
    fs = CrashingFs(n)
    engine = world.open(fs)
    fs.armed = True
    try:
        act(engine)
    except Crash:
        fs.bury()
    return fs.reached


def anew(world: World) -> World:
    empty(world.path)
    world = World(world.path, FakeClock())
    fresh(world)
    return world


@pytest.mark.parametrize("name", ENDINGS)
def test_the_last_end_cut_off_anywhere_calls_back_once(world: World, name: str) -> None:
    ending, seen = ENDINGS[name], set()
    for n in itertools.count(1):
        world = anew(world)
        claim = ending.bring(world)
        reached = cut_off(world, n, lambda engine: ending.act(engine, world, claim))  # noqa: B023
        seen.add(ended_once(world, ending))
        if not reached:
            break
    assert ending.hows <= seen, "the ending was not seen"


RECOVERED = ["finish", "hand over one", "fail", "cancel"]


@pytest.mark.parametrize("name", RECOVERED)
def test_a_recovery_cut_off_anywhere_is_finished_by_the_next(world: World, name: str) -> None:
    """The end is stopped before each of its operations; its recovery before some, others each time."""
    ending, chance = ENDINGS[name], random.Random(name)
    for n in itertools.count(1):
        world = anew(world)
        claim = ending.bring(world)
        if not cut_off(world, n, lambda engine: ending.act(engine, world, claim)):  # noqa: B023
            return
        for _ in range(2):
            cut_off(world, chance.randint(1, 12), recovers)
        ended_once(world, ending)


def recovers(engine: DirectoryEngine) -> None:
    list(recovery.sweep(engine.root, engine.queues(), set()))
    list(overs.settle_all(engine.root))


def whole_batch(engine: DirectoryEngine, path: str) -> str:
    """Members of every kind: plain, many, delayed, with a key, a file."""
    many = [new_job(b"%d" % n) for n in range(3)]
    keyed = new_job(b"keyed", key="k")
    return submit(engine, *many, new_job(b"later", due=1), keyed, new_job(b"", file=path, mode="link"))


MANY = 6


def test_a_submit_cut_off_anywhere_leaves_all_members_or_none(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every other time the recovery dies, too."""
    file = tmp_path_factory.mktemp("file") / "file"
    file.write_bytes(b"content")
    chance, seen = random.Random(1), set()
    for n in itertools.count(1):
        world = anew(world)
        reached = cut_off(world, n, lambda engine: whole_batch(engine, str(file)))
        if n % 2:
            world.clock.advance(3600)
            for _ in range(2):
                cut_off(world, chance.randint(1, 12), lambda engine: list(overs.tidy(engine.root)))
        seen.add(all_or_none(world, MANY))
        assert file.read_bytes() == b"content"
        if not reached:
            break
    assert seen == {False, True}


def test_a_submit_of_few_cut_off_anywhere_leaves_all_members_or_none(world: World) -> None:
    seen = set()
    for n in itertools.count(1):
        world = anew(world)
        reached = cut_off(world, n, lambda engine: submit(engine, new_job(b"one"), new_job(b"two", key="k")))
        seen.add(all_or_none(world, 2))
        if not reached:
            break
    assert seen == {False, True}


def test_an_empty_batch_cut_off_anywhere_calls_back_or_never_was(world: World) -> None:
    seen = set()
    for n in itertools.count(1):
        world = anew(world)
        reached = cut_off(world, n, submit)
        seen.add(all_or_none(world, 0))
        if not reached:
            break
    assert seen == {False, True}


def all_or_none(world: World, count: int) -> bool:
    """Run what is there: either nothing, or all members once and the callback; whether it was all."""
    told = run_all(world)
    assert world.put(key="k") in world.drain(), "its key is free"
    if not any(told.values()):
        assert members.active(world.root) == []
        assert "batches" not in world.dot("") or world.dot("batches") in ([], ["over"])
        return False
    [payload] = told[ON_DONE]
    assert payload["total"] == payload["done"] == count
    nothing_is_left(world, payload["batch"], payload)
    return True


def test_a_member_without_a_callback_is_no_trouble(world: World) -> None:
    ending = Ending(lambda *_: None, {How.DONE})
    ending.bring(world)
    assert ended_once(world, ending) is How.DONE
