"""A disk that is really full, of bytes or of inodes: a submit is refused and leaves nothing, and verbs go on."""

from __future__ import annotations

import errno
import functools
import os

import pytest

from engine.aftermath import count_of, error_of, nothing_is_stuck
from engine.scenarios import HELD
from engine.submits import SUBMITS
from engine.worlds import QUICK, World
from support.clocks import FakeClock
from support.faults import paths_below
from support.mounts import SmallDisk, disk
from workqueue.engine import operate
from workqueue.engine.root import init
from workqueue.store.fs import FS

__all__ = ["disk"]

NEED_NOTHING = {"space": {"move", "link"}, "inodes": {"move"}}
"""What needs no byte, or no inode: a rename of a file that is there. A link costs as much as an inode on some systems."""
full = pytest.mark.parametrize("what", ["space", "inodes"])


@pytest.fixture
def small(disk: SmallDisk) -> World:
    """A root on a small disk that is still empty; its syncs are real."""
    path = f"{disk.path}/root"
    init(path, slots=4, fs=QUICK)
    world = World(path, FakeClock())
    world.engine = world.open(FS)
    return world


@full
@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_to_a_full_disk_is_refused_and_leaves_nothing_and_is_taken_when_there_is_room(
    disk: SmallDisk, small: World, kind: str, what: str
) -> None:
    before = small.put(b"acknowledged before", max_attempts=3)
    path = f"{disk.path}/file"
    with open(path, "wb") as file:
        file.write(b"content")
    submit = functools.partial(SUBMITS[kind], small, small.engine, path)
    if kind == "keyed, over a dead job":
        small.take(f"5-{small.put(key='k')}-0")
        submit = functools.partial(SUBMITS["keyed"], small, small.engine, path)
        os.unlink(small.at("cur", small.ls("cur")[0]))
    disk.fill(what)
    there, room = paths_below(disk.path), disk.room()
    error = error_of(submit)
    if kind in NEED_NOTHING[what]:
        assert error is None
    else:
        assert error is not None
        assert (error.errno, disk.path in str(error)) == (errno.ENOSPC, True)
        assert paths_below(disk.path) == there, "what was refused left nothing"
        assert disk.room() == room
    disk.make_room()
    told = [] if error is None else submit()
    assert len(small.jobs()) == 1 + count_of(kind)
    ran = small.drain()
    assert ran.pop(before) == b"acknowledged before"
    assert set(told) <= ran.keys()
    assert set(ran.values()) == {b"content"}
    nothing_is_stuck(small)


@pytest.mark.parametrize("room", [0, 4096, 40_960])
def test_a_submit_that_fills_the_disk_in_the_middle_of_its_write_gives_all_of_it_back(
    disk: SmallDisk, small: World, room: int
) -> None:
    disk.fill("space", but=room)
    free = disk.room()
    for submit in (
        lambda: [small.put(b"x" * 100_000, small.engine)],
        lambda: small.put_many([b"x" * 10_000] * 8, small.engine),
    ):
        error = error_of(submit)
        assert error is not None
        assert error.errno == errno.ENOSPC
        assert disk.room() == free
        assert small.jobs() == {}
        assert small.ls("tmp") == []
    assert bool(room) == (error_of(lambda: small.put(b"small", small.engine)) is None)


@full
def test_what_is_there_is_claimed_ended_and_moved_without_a_byte_or_an_inode(
    disk: SmallDisk, small: World, what: str
) -> None:
    ids = [small.put(b"%d" % number, key=f"key-{number}") for number in range(9)]
    batch = small.put_many([b"one", b"two"])
    delayed = small.put(b"later", due=small.clock.now_ms())
    disk.fill(what)
    free = disk.room()
    first, second, third, fourth, fifth, sixth = (small.take(f"5-{job_id}-0") for job_id in ids[:6])
    small.engine.add_error(first, {"message": "not recorded"})
    assert small.engine.fail(first)
    assert small.engine.defer(second, 60)
    assert small.engine.release(third)
    assert small.engine.finish(fourth)
    assert len(small.sweep(small.engine)) == len({fifth.id, sixth.id}), "dead workers' jobs are recovered"
    assert operate.hold(small.engine.root, small.find(ids[6]))
    assert small.engine.cancel(small.find(ids[7]))
    assert small.engine.retry(small.find(delayed))
    assert small.engine.retry(small.find(first.id)), "those that ended have left room for its key's link"
    assert disk.room() >= free
    assert small.drain().keys() == {*ids, *batch, delayed} - {fourth.id, ids[6], ids[7]}
    assert small.jobs() == {ids[6]: HELD}
    nothing_is_stuck(small)


@full
def test_an_init_on_a_full_disk_is_no_root_and_is_completed_when_there_is_room(disk: SmallDisk, what: str) -> None:
    disk.fill(what)
    error = error_of(lambda: init(f"{disk.path}/root", slots=2, fs=FS))
    assert error is not None
    assert error.errno == errno.ENOSPC
    assert not os.path.exists(f"{disk.path}/root/.fsq/format")
    disk.make_room()
    assert init(f"{disk.path}/root", slots=2, fs=FS)
    assert World(f"{disk.path}/root", FakeClock()).put()
