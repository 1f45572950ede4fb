"""Slots: the kernel's lock tells who lives; no clock and no process id does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.children import Child, rest, rest_for_ever, until
from workqueue.engine import slots
from workqueue.engine.root import PAGE
from workqueue.engine.sessions import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.worlds import World


def is_free(world: World, number: int) -> bool:
    slot = slots.try_lock(world.root, number)
    if slot is None:
        return False
    slot.close()
    return True


def holding(world: World, number: int) -> Callable[[Callable[[str], None]], None]:
    """A worker that has its slot, and waits."""

    def run(tell: Callable[[str], None]) -> None:
        slot = slots.try_lock(world.root, number)
        assert slot is not None
        slot.sign()
        tell("locked")
        rest_for_ever()

    return run


def test_each_owner_gets_the_first_slot_that_is_free_and_none_when_all_are_in_use(world: World) -> None:
    had = [slots.acquire(world.root) for _ in range(8)]
    assert [slot.number for slot in had if slot] == list(range(8))
    assert slots.acquire(world.root) is None
    assert had[5] is not None
    had[5].close()
    again = slots.acquire(world.root)
    assert again is not None
    assert again.number == 5
    for slot in (*had[:5], *had[6:], again):
        assert slot is not None
        slot.close()


def test_a_slot_that_was_lost_is_nobodys_and_is_made_anew(world: World) -> None:
    """A root restored without it has claims that name it: they must be anybody's to recover."""
    slot = slots.try_lock(world.root, 99)
    assert slot is not None
    assert slot.former() is None
    assert slots.try_lock(world.root, 99) is None
    slot.close()


def test_a_taken_slot_leaves_no_descriptor_with_who_tried(world: World) -> None:
    slot = slots.try_lock(world.root, 0)
    assert slot is not None
    before = os.listdir("/proc/self/fd")
    assert slots.try_lock(world.root, 0) is None
    assert len(os.listdir("/proc/self/fd")) == len(before)
    slot.close()


def test_a_stopped_owner_keeps_its_slot_and_a_killed_one_loses_it(world: World) -> None:
    with Child(holding(world, 2)) as worker:
        worker.hear()
        worker.stop()
        assert not is_free(world, 2)
        worker.kill()
        assert is_free(world, 2)


def test_a_slot_is_free_while_its_dead_owner_is_a_zombie(world: World) -> None:
    with Child(holding(world, 2)) as worker:
        worker.hear()
        os.kill(worker.pid, 9)
        until(lambda: (found := process(worker.pid)) and found.state == "Z", "the worker is a zombie")
        assert is_free(world, 2)


def test_the_lock_is_held_while_the_supervisor_or_the_worker_lives(world: World) -> None:
    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    with Child(rest) as worker:
        worker.hear()
        slot.close()
        assert not is_free(world, 2), "the worker's copy holds it"
    assert is_free(world, 2)

    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    with Child(rest) as worker:
        worker.hear()
        worker.kill()
        assert not is_free(world, 2), "the supervisor's copy holds it"
    slot.close()
    assert is_free(world, 2)


def test_a_handler_that_closes_every_descriptor_does_not_free_its_slot(world: World) -> None:
    slot = slots.try_lock(world.root, 2)
    assert slot is not None

    def close_all(tell: Callable[[str], None]) -> None:
        os.close(slot.fd)
        tell("closed")
        rest_for_ever()

    with Child(close_all) as worker:
        worker.hear()
        assert not is_free(world, 2)
    slot.close()


def test_what_a_worker_forks_does_not_hold_its_slot(world: World) -> None:
    def worker(tell: Callable[[str], None]) -> None:
        slot = slots.try_lock(world.root, 2)
        assert slot is not None
        slot.keep_from_children()
        daemon = os.fork()
        if daemon == 0:
            os.setsid()
            tell(str(os.getpid()))
            rest_for_ever()
        rest_for_ever()

    with Child(worker) as child:
        daemon = int(child.hear())
        assert not is_free(world, 2)
        child.kill()
        try:
            assert is_free(world, 2)
            assert process(daemon) is not None, "the daemon lives, and holds nothing"
        finally:
            os.kill(daemon, 9)


def test_what_a_worker_executes_does_not_inherit_its_slot(world: World) -> None:
    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    assert not os.get_inheritable(slot.fd)
    slot.close()


def test_the_owner_is_written_down_in_place_and_blanked_when_it_leaves_in_order(world: World) -> None:
    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    assert slot.former() is None
    inode = os.stat(world.root.dot("workers", "2")).st_ino
    slot.sign()
    found = slots.read(world.root, 2)
    me = process(os.getpid())
    assert found is not None
    assert me is not None
    assert (found.pid, found.start, found.since) == (os.getpid(), me.start, world.clock.now_ms())
    slot.clear()
    assert slots.read(world.root, 2) is None
    status = os.stat(world.root.dot("workers", "2"))
    assert (status.st_ino, status.st_size) == (inode, PAGE)
    slot.close()


def test_a_damaged_slot_tells_of_nobody(world: World) -> None:
    for text in (b"{", b"\0" * PAGE, b'{"pid":"x"}', b"\xff" * 20):
        with open(world.root.dot("workers", "2"), "r+b") as file:
            file.write(text)
        assert slots.read(world.root, 2) is None
    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    slot.clear()
    slot.close()


def test_closing_a_slot_twice_is_no_error(world: World) -> None:
    slot = slots.try_lock(world.root, 2)
    assert slot is not None
    slot.close()
    slot.close()
