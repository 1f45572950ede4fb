"""Checkpoints: whatever cuts a save off, the next run finds one that was saved, whole; and they go with their job."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

from engine.befores import mark, running, saved, saved_and_failed, the_claim
from engine.disks import FAILS, Crash, CrashingFs, FailingFs, RecordingFs
from workqueue.engine import checkpoints, recovery
from workqueue.engine.housekeeping import DoneKeeper
from workqueue.errors import StoreError, WrongState
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.worlds import World
    from workqueue.engine.directory import DirectoryEngine

HOW = pytest.mark.parametrize("durable", [True, False], ids=["durable", "volatile"])


def cursor(world: World, job_id: str) -> int | None:
    """From where the job's next run would go on; fails where something was left torn."""
    found = world.engine.checkpoint(job_id)
    assert found.damage == ()
    return found.checkpoint.value() if found.checkpoint else None


def save(engine: DirectoryEngine, job_id: str, number: int, *, durable: bool = True) -> None:
    engine.save(the_claim(engine, job_id), mark(number), durable=durable)


# -- what is read ----------------------------------------------------------------------------------------------


def test_the_newest_counts_however_it_was_saved(world: World) -> None:
    job_id = running(world)
    assert cursor(world, job_id) is None
    for number, durable in enumerate((True, False, False, True, False, True, True), 1):
        save(world.engine, job_id, number, durable=durable)
        assert cursor(world, job_id) == number


def test_one_that_is_torn_is_left_out_and_the_durable_one_before_it_holds(world: World) -> None:
    job_id = saved(world)
    save(world.engine, job_id, 2, durable=False)
    path = world.root.dot("jobs", job_id, "checkpoint-volatile")
    with open(path, "rb") as file:
        whole = file.read()
    for torn in (
        b"",
        *(whole[:n] for n in range(1, len(whole) - 1, 7)),
        bytes(len(whole)),
        whole.replace(b'r":2', b'r":3'),
    ):
        with open(path, "wb") as file:
            file.write(torn)
        found = world.engine.checkpoint(job_id)
        assert found.checkpoint == mark(1)
        assert len(found.damage) == 1
        assert path in found.damage[0]


def test_what_is_no_file_and_a_disk_that_refuses_are_errors_for_the_job_must_not_begin_anew(world: World) -> None:
    job_id = saved(world)
    path = world.root.dot("jobs", job_id, "checkpoint")
    os.rename(path, f"{path}.kept")
    os.mkfifo(path)
    with pytest.raises(StoreError, match=f"cannot read the checkpoint of job {job_id}: not a regular file"):
        world.engine.checkpoint(job_id)
    os.unlink(path)
    os.symlink(f"{path}.kept", path)
    with pytest.raises(StoreError, match="symbolic link"):
        world.engine.checkpoint(job_id)


# -- what is written -------------------------------------------------------------------------------------------


def test_a_save_is_synced_file_first_and_a_later_one_leaves_the_upper_directory_alone(world: World) -> None:
    job_id = running(world)
    fs = RecordingFs()
    engine = world.open(fs)
    claim = the_claim(engine, job_id)
    stories = []
    for number, durable in ((1, True), (2, True), (3, False)):
        fs.done.clear()
        engine.save(claim, mark(number), durable=durable)
        stories.append([line.split()[0] for line in fs.story])
    first = ["mkdir", "unlink", "create", "write", "sync", "close", "rename", "sync_dir", "sync_dir"]
    assert stories == [first, first[1:8], ["unlink", "create", "write", "close", "rename"]]


@HOW
def test_a_save_cut_off_anywhere_leaves_the_old_checkpoint_or_the_new(world: World, durable: bool) -> None:
    seen = set()
    for n in itertools.count(1):
        job_id = saved(world)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            save(engine, job_id, 2, durable=durable)
        except Crash:
            fs.bury()
        seen.add(cursor(world, job_id))
        assert seen <= {1, 2}
        save(world.engine, job_id, 3)
        assert cursor(world, job_id) == 3, "what the dead one left is in nobody's way"
        world.drain()
        assert world.dot("jobs") == []
        if not fs.reached:
            assert seen == {1, 2}
            return


@HOW
@pytest.mark.parametrize("code", FAILS)
def test_a_save_that_the_disk_refuses_raises_and_the_checkpoint_before_holds(
    world: World, code: int, durable: bool
) -> None:
    for n in itertools.count(1):
        job_id = saved(world)
        fs = FailingFs(n, code)
        engine = world.open(fs)
        claim = the_claim(engine, job_id)
        fs.armed = True
        try:
            engine.save(claim, mark(2), durable=durable)
        except StoreError as error:
            assert f"cannot save the checkpoint of job {job_id}" in str(error)  # noqa: PT017 - others are let through
            assert cursor(world, job_id) in {1, 2}
            assert not [name for name in os.listdir(world.root.dot("jobs", job_id)) if "tmp" in name] or n == 2
        else:
            assert cursor(world, job_id) == 2
        fs.armed = False
        engine.save(claim, mark(3), durable=durable)
        assert cursor(world, job_id) == 3, "when there is room again all is well"
        if not fs.reached:
            return


def test_a_run_whose_job_was_taken_away_saves_nothing(world: World) -> None:
    job_id = running(world)
    claim = the_claim(world.engine, job_id)
    os.unlink(claim.path)
    with pytest.raises(WrongState, match="moved or removed while it ran"):
        world.engine.save(claim, mark(1), durable=True)
    assert world.dot("jobs") == []


# -- how long it is kept ---------------------------------------------------------------------------------------


def ended(world: World, job_id: str) -> None:
    world.engine.finish(world.take(next(name for name in world.ls("new") if job_id in name)))


def finish(world: World, job_id: str) -> None:
    claim = the_claim(world.engine, job_id)
    save(world.engine, job_id, 2)
    world.engine.save(claim, mark(3), durable=True)
    world.engine.finish(claim)


def release(world: World, job_id: str) -> None:
    recovery.release(world.root, the_claim(world.engine, job_id))
    assert cursor(world, job_id) == 1
    ended(world, job_id)


def leave(world: World, job_id: str) -> None:
    """The worker itself gives the job back."""
    claim = the_claim(world.engine, job_id)
    world.engine.save(claim, mark(2), durable=True)
    world.engine.release(claim)
    assert world.only("new").attempt == 0
    assert cursor(world, job_id) == 2
    ended(world, job_id)


def snooze(world: World, job_id: str) -> None:
    claim = the_claim(world.engine, job_id)
    world.engine.save(claim, mark(2), durable=True)
    world.engine.defer(claim, 60, free=True)
    world.engine.retry(world.find(job_id))
    assert cursor(world, job_id) == 2
    ended(world, job_id)


def fail_and_retry(world: World, job_id: str) -> None:
    world.engine.fail(the_claim(world.engine, job_id))
    world.engine.retry(world.find(job_id))
    assert cursor(world, job_id) == 1
    ended(world, job_id)


def fail_and_remove(world: World, job_id: str) -> None:
    world.engine.fail(the_claim(world.engine, job_id))
    world.engine.remove(world.find(job_id))


def die(world: World, job_id: str) -> None:
    world.sweep()
    assert cursor(world, job_id) == 1
    ended(world, job_id)


def cancel(world: World, job_id: str) -> None:
    world.engine.drop(the_claim(world.engine, job_id))


def cancel_when_given_back(world: World, job_id: str) -> None:
    recovery.release(world.root, the_claim(world.engine, job_id))
    world.engine.cancel(world.find(job_id))


def keep_and_prune(world: World, job_id: str) -> None:
    world.engine.finish(the_claim(world.engine, job_id))
    world.clock.advance(3600)
    DoneKeeper(world.root, "default").prune()


ENDS: list[Callable[[World, str], None]] = [
    finish, release, leave, snooze, fail_and_retry, fail_and_remove, die, cancel, cancel_when_given_back,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_it_is_there_until_its_job_has_ended_and_then_it_goes(world: World, end: Callable[[World, str], None]) -> None:
    job_id = saved(world)
    end(world, job_id)
    assert world.jobs() == {}
    assert world.dot("jobs") == []


def test_one_of_a_job_whose_outcome_is_kept_goes_with_that(world: World) -> None:
    job_id = saved(world, keep=60)
    keep_and_prune(world, job_id)
    assert world.dot("jobs") == []


def test_a_retry_from_the_start_forgets_it_for_good(world: World) -> None:
    job_id = saved_and_failed(world)
    world.engine.retry(world.find(job_id), from_start=True)
    assert cursor(world, job_id) is None
    assert world.jobs() == {job_id: State.NEW}


def test_there_is_nothing_to_forget_where_nothing_was_saved(world: World) -> None:
    checkpoints.forget(world.root, running(world))
    assert world.dot("jobs") == []
