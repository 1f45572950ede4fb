"""After the crash: what must be true of one job, or of one submit, whatever operation was the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.scenarios import CUR, DONE, GONE, HELD, LATER, NEW
from engine.worlds import SLOT, Q, World, new_job
from workqueue.engine import housekeeping, slots
from workqueue.engine.protocol import Unclaimable
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from engine.scenarios import Scenario
    from workqueue.jobs.states import State


def where(world: World, job_id: str) -> State | None:
    """The one state that a job is in, whole."""
    return world.jobs().get(job_id)


def after_verb(
    world: World, scenario: Scenario, job_id: str, or_be: Collection[State | None] = frozenset()
) -> State | None:
    """Recover, drain and check; returns the state in which the crash left the job. Nothing stays of it."""
    state = where(world, job_id)
    assert state in {*scenario.may_be, *or_be}
    world.sweep()
    housekeeping.carry_out_cancels(world.root)
    ran = world.drain()
    housekeeping.carry_out_cancels(world.root)
    assert not (scenario.ordered and job_id in ran), "the order to cancel it was lost"
    after = where(world, job_id)
    assert after in {*scenario.then, *or_be}
    if not scenario.ends:
        assert (job_id in ran) == (state in {NEW, LATER, CUR} and after in {GONE, DONE})
    assert ran.get(job_id, b"acknowledged") == b"acknowledged"
    nothing_is_stuck(world)
    world.clock.advance(60)  # a ban of the run in this drain, too, is over
    assert world.put(key="k") != job_id or after is HELD, "its key is free"
    world.drain()
    remove(world, job_id)
    world.clean()
    assert world.jobs() == {}
    return state


def remove(world: World, job_id: str) -> None:
    """Remove a job as an operator would, where there still is one."""
    found = world.engine.find(job_id)
    if found is not None:
        assert world.engine.cancel(found) if found.state is HELD else world.engine.remove(found)


def after_submit(world: World, kind: str, path: Path, told: list[str]) -> int:
    """Recover, drain and check; returns how many jobs the crash left. `told`: the ids that were acknowledged."""
    there = world.jobs()
    left_in_tmp = {name.id for text in world.ls("tmp") if (name := names.parse(text))}
    assert len(there) in {0, count_of(kind)}
    assert set(told) <= set(there), "what was acknowledged is there"
    if kind.startswith("move"):
        assert path.exists() != bool(there), "the file is in one place"
    else:
        assert path.read_bytes() == b"content"
    for job_id in there:
        options = world.engine.load(world.find(job_id)).options
        assert options.max_attempts == (3 if "options" in kind else None)
        assert options.key == ("k" if "key" in kind else None)
    if "key" in kind:
        holder = world.engine.put(new_job(b"content", key="k"))
        assert set(world.jobs()) == {holder.id}
        assert holder.created == (holder.id not in {*there, *left_in_tmp})
    left = len(world.jobs())
    ran = world.drain()
    assert len(ran) == left
    assert set(ran.values()) <= {b"content"}
    nothing_is_stuck(world)
    world.clean()
    assert world.jobs() == {}
    return len(there)


def error_of(act: Callable[[], object]) -> OSError | None:
    """The disk's error with which it failed; None if it did not."""
    try:
        act()
    except OSError as error:
        return error
    except Unclaimable as error:
        return error.cause
    return None


def count_of(kind: str) -> int:
    """How many jobs a submit of this kind makes."""
    return 3 if "many" in kind else 1


def nothing_is_stuck(world: World) -> None:
    """Nothing waits, runs or is staged any more, no order stands, and the slot is not held and names no dead owner."""
    left = {space: world.ls(space) for space in ("new", "later", "cur")}
    left |= {part: world.dot(part) for part in ("stage", "commit", "cancel")}
    assert not any(left.values()), left
    slot = slots.try_lock(world.root, SLOT)
    assert slot is not None, "the slot is held"
    assert slot.former() is None
    slot.close()
    assert world.root.queues() == [Q]
