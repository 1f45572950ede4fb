"""Recovery: the claims of the dead move on, those of the living are never touched."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from engine.children import Child, rest_for_ever, until
from engine.disks import RecordingFs
from engine.test_sessions import Remains
from engine.test_slots import is_free
from engine.worlds import NOBODY, Q, World, nobodys_world, plain_name
from support.disks import UnsyncedFs
from workqueue.clock import CLOCK
from workqueue.engine import recovery, slots
from workqueue.engine.protocol import Corrupted, Recovered
from workqueue.engine.sessions import Identity, identity, process
from workqueue.errors import of_path
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def recovered(world: World) -> list[Recovered]:
    """Sweep, with nothing to tell."""
    found = world.sweep()
    assert all(isinstance(item, Recovered) for item in found)
    return [item for item in found if isinstance(item, Recovered)]


def test_a_dead_workers_job_is_ready_again_and_its_death_cost_the_attempt(world: World) -> None:
    job_id = world.put()
    world.take()
    (found,) = recovered(world)
    assert (found.queue, found.name.id, found.state) == (Q, job_id, State.NEW)
    assert world.ls("new") == [f"5-{job_id}-1"]
    (error,) = world.engine.errors(job_id)
    assert (error["kind"], error["attempt"], error["message"]) == ("death", 1, "its worker died")
    assert world.take().name.attempt == 2


def test_recovery_is_one_rename_a_job_and_the_slot_is_blanked_last(world: World) -> None:
    world.put()
    world.take()
    fs = RecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    world.sweep(engine)
    assert fs.story == ["lock", "mkdir jobs", f"append {fs.done[1][1][-26:]}", "rename cur new", "overwrite"]


def test_a_job_that_kills_every_worker_ends_in_failed_after_its_attempts(world: World) -> None:
    job_id = world.put(max_attempts=3, key="k")
    for _ in range(2):
        world.take()
        assert recovered(world)[0].state is State.NEW
    world.take()
    assert recovered(world)[0].state is State.FAILED
    assert world.ls("failed") == [f"5-{job_id}-3"]
    assert [error["attempt"] for error in world.engine.errors(job_id)] == [1, 2, 3]
    assert world.put(key="k") != job_id


def test_the_queues_attempts_hold_where_the_job_brings_none(world: World) -> None:
    world.put()
    world.take()
    assert world.open(max_attempts=1).root.settings(Q).max_attempts == 1
    (found,) = world.sweep(world.open(max_attempts=1))
    assert isinstance(found, Recovered)
    assert found.state is State.FAILED


def test_a_job_moved_back_by_hand_after_its_last_attempt_gets_one_more_run(world: World) -> None:
    world.put(max_attempts=1)
    world.engine.fail(world.take())
    (text,) = world.ls("failed")
    os.rename(world.at("failed", text), world.at("new", text))
    assert world.take().name.attempt == 2


def test_a_dead_workers_job_whose_cancel_was_ordered_is_gone_with_its_mark_and_records(world: World) -> None:
    job_id = world.put(key="k")
    claim = world.take()
    world.engine.add_error(claim, {"message": "x"})
    world.engine.cancel(world.find(job_id))
    (found,) = recovered(world)
    assert (found.state, found.error) == (None, "cancelled")
    assert world.jobs() == {}
    assert world.dot("cancel") == world.dot("jobs") == []
    assert world.put(key="k") != job_id


def test_claims_of_every_queue_are_recovered_with_their_slot(world: World) -> None:
    world.engine.make_queue("other")
    world.put()
    other = world.put(queue="other")
    world.take()
    world.engine.take("other", world.ls("new", "other")[0], 3)
    assert len(list(recovery.sweep(world.root, [Q], set()))) == 2
    assert world.ls("new", "other") == [f"5-{other}-1"]


def test_the_claims_of_a_living_owner_are_never_touched(world: World) -> None:
    world.put()

    def work(tell: Callable[[str], None]) -> None:
        slot = slots.try_lock(world.root, 5)
        assert slot is not None
        slot.sign()
        world.take(slot=5)
        tell("claimed")
        rest_for_ever()

    with Child(work) as worker:
        worker.hear()
        worker.stop()
        before = world.ls("cur")
        assert world.sweep() == []
        assert world.ls("cur") == before
        worker.kill()
        assert len(world.sweep()) == 1
    assert world.ls("cur") == []


def test_the_slots_of_our_own_workers_are_left_to_us(world: World) -> None:
    world.put()
    world.take(slot=4)
    assert list(recovery.sweep(world.root, [Q], {4})) == []
    assert len(world.ls("cur")) == 1


def test_every_lock_is_given_back_after_a_sweep_and_none_is_held_on_the_way_to_the_next(world: World) -> None:
    for number in range(4):
        world.put()
        world.take(slot=number)
    before = len(os.listdir("/proc/self/fd"))
    for found in recovery.sweep(world.root, [Q], set()):
        assert isinstance(found, Recovered)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def dead(world: World) -> object:
    """A worker killed in the middle of a job, with a program of its handler still running."""

    def work(tell: Callable[[str], None]) -> None:
        os.setsid()
        slot = slots.try_lock(world.root, 5)
        assert slot is not None
        slot.sign()
        world.take(slot=5)
        program = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        tell(str(program))
        rest_for_ever()

    world.put()
    with Child(work) as worker:
        program = int(worker.hear())
        worker.kill()
        owner = slots.read(world.root, 5)
        assert owner is not None
        # The program goes on its way before its exec has closed all that it inherited: for a moment the lock is its own.
        until(lambda: is_free(world, 5), "the slot is free")
        left = Remains(owner, program)
        assert left.is_alive()
        yield left
        if left.is_alive():
            os.kill(program, 9)


def test_what_a_dead_run_started_is_killed_before_its_job_moves_on(world: World, dead: Remains) -> None:
    moved_while_alive: list[bool] = []

    class SpyFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            moved_while_alive.append(dead.is_alive())
            super().rename(source, target)

    engine = world.open(SpyFs(), CLOCK)
    assert len(world.sweep(engine)) == 1
    assert moved_while_alive == [False]
    assert not dead.is_alive()
    assert slots.read(world.root, 5) is None


def test_after_a_pid_was_used_again_nobody_is_killed_and_the_job_moves_on(world: World, dead: Remains) -> None:
    for strange in ({"boot": "another boot"}, {"start": dead.owner.start + 10**9}):
        write_owner(world, 5, msgspec.structs.replace(dead.owner, **strange))
        world.sweep()
        assert world.ls("cur") == []
        assert dead.is_alive()
        world.take(slot=5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_slot_whose_session_cannot_be_ended_is_left_alone_and_told_of(tmp_path: Path) -> None:
    world = nobodys_world(tmp_path)
    world.put()
    world.take(slot=5)

    def sweep(tell: Callable[[str], None]) -> None:
        os.seteuid(NOBODY)  # who may not kill another's process: to him it is as a process that hangs in the kernel
        for found in world.sweep():
            tell(str(found))

    world.clock.on_sleep = lambda: world.clock.advance(1)

    def live(tell: Callable[[str], None]) -> None:
        os.setsid()
        os.setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1)
        tell("x")
        rest_for_ever()

    with Child(live) as immortal:
        immortal.hear()
        found = process(immortal.pid)
        assert found is not None
        write_owner(world, 5, msgspec.structs.replace(identity(0), pid=immortal.pid, start=found.start))
        with Child(sweep) as child:
            assert child.hear_all() == [f"process {immortal.pid} of dead worker {immortal.pid} cannot be killed"]
    assert len(world.ls("cur")) == 1
    assert slots.read(world.root, 5) is not None


def write_owner(world: World, number: int, owner: Identity) -> None:
    with open(world.root.dot("workers", str(number)), "r+b") as file:
        file.write(msgspec.json.encode(owner).ljust(1000))


def test_a_dead_worker_of_another_container_is_told_of_and_its_job_moves_on(world: World) -> None:
    world.put()
    world.take(slot=5)
    write_owner(world, 5, msgspec.structs.replace(identity(0), namespace="pid:[1]"))
    told, found = world.sweep()
    assert "another container" in str(told)
    assert isinstance(found, Recovered)


def test_what_dead_runs_staged_is_removed_and_what_others_staged_is_not(world: World) -> None:
    world.put(b"a")
    world.put(b"b")
    first, second = world.ls("new")
    mine, others = world.take(first, slot=3), world.take(second, slot=4)
    world.engine.payload_path(mine)
    world.engine.payload_path(others)
    slot = slots.try_lock(world.root, 4)
    assert slot is not None
    world.sweep()
    assert world.dot("stage") == [os.path.basename(others.path)]
    slot.close()
    world.sweep()
    assert world.dot("stage") == []


def test_a_job_moved_into_cur_by_hand_goes_back_to_new(world: World) -> None:
    job_id = world.put()
    (text,) = world.ls("new")
    os.rename(world.at("new", text), world.at("cur", text))
    world.plant("bare.csv", state="cur")
    os.mkdir(world.at("cur", "a directory"))
    assert world.sweep() == []
    assert world.ls("cur") == []
    assert world.ls("new") == sorted([f"5-{job_id}-0", "a directory", "bare.csv"])


def test_a_job_moved_into_cur_by_hand_waits_for_its_name_and_replaces_nothing(world: World) -> None:
    world.plant("same", b"in new")
    world.plant("same", b"in cur", "cur")
    world.put()
    world.take(next(text for text in world.ls("new") if text != "same"))
    assert len(world.sweep()) == 1
    assert world.ls("cur") == ["same"]
    world.engine.finish(world.take("same"))
    world.sweep()
    assert world.engine.body(world.take("same")) == b"in cur"


def test_a_thing_in_cur_that_cannot_be_moved_does_not_stop_the_recovery_of_others(world: World) -> None:
    class StickyFs(UnsyncedFs):
        def rename_new(self, source: str, target: str) -> None:
            raise of_path(errno.EPERM, source)

    world.plant("immutable", state="cur")
    world.put()
    world.take(world.ls("new")[0])
    assert len(world.sweep(world.open(StickyFs()))) == 1


def test_a_claim_that_became_unreadable_is_quarantined(world: World) -> None:
    world.plant(f"{plain_name(attempt=1)}@3.abcd", b"torn", "cur")
    world.plant(f"{plain_name(attempt=1)}@3.abce", b"torn, too", "cur")
    assert all(isinstance(found, Corrupted) for found in world.sweep()), "and told"
    assert len(world.ls("corrupt")) == 2
    assert world.ls("cur") == []


def test_a_claim_that_vanishes_while_it_is_recovered_is_a_lost_race(world: World) -> None:
    class Thief(UnsyncedFs):
        def open(self, path: str) -> int:
            if "/cur/" in path:
                os.unlink(path)
            return super().open(path)

    world.put()
    world.take()
    assert world.sweep(world.open(Thief())) == []


def test_a_full_disk_does_not_stop_recovery(world: World) -> None:
    class FullFs(UnsyncedFs):
        def append(self, path: str, data: bytes) -> None:
            raise of_path(errno.ENOSPC, path)

        def mkdir(self, path: str, mode: int = 0o700) -> None:
            raise of_path(errno.ENOSPC, path)

    job_id = world.put()
    world.take()
    assert len(world.sweep(world.open(FullFs()))) == 1
    assert world.states(job_id) == [State.NEW]


def test_a_supervisor_tells_why_its_own_worker_ended(world: World) -> None:
    job_id = world.put()
    world.take(slot=4)
    list(recovery.recover_slot(world.root, 4, "killed: out of memory"))
    assert world.engine.errors(job_id)[0]["message"] == "killed: out of memory"


# -- runs that their own supervisor ended ----------------------------------------------------------------------


def test_a_run_that_was_stopped_by_order_gives_its_attempt_back(world: World) -> None:
    job_id = world.put()
    found = recovery.release(world.root, world.take())
    assert found is not None
    assert (found.state, found.released) == (State.NEW, True)
    assert world.ls("new") == [f"5-{job_id}-0"]
    assert world.engine.errors(job_id) == []


def test_a_run_that_went_over_a_limit_is_a_failed_attempt_and_is_tried_again_by_the_backoff(world: World) -> None:
    job_id = world.put()
    root = world.open(backoff="100s").root
    found = recovery.end_run(root, world.take(), "timeout", "its time was up")
    assert found is not None
    assert (found.state, found.error) == (State.LATER, "its time was up")
    name = world.only("later")
    assert (name.id, name.attempt) == (job_id, 1)
    assert name.due is not None
    assert 0 <= name.due - world.clock.now_ms() <= 100_000
    (error,) = world.engine.errors(job_id)
    assert (error["kind"], error["message"], error["attempt"]) == ("timeout", "its time was up", 1)


def test_a_run_that_went_over_a_limit_in_its_last_attempt_has_failed(world: World) -> None:
    job_id = world.put(max_attempts=1)
    found = recovery.end_run(world.root, world.take(), "timeout", "x")
    assert found is not None
    assert found.state is State.FAILED
    assert world.ls("failed") == [f"5-{job_id}-1"]


@pytest.mark.parametrize("end", ["recover", "release", "end_run"])
def test_a_job_whose_cancel_was_ordered_is_gone_however_its_run_ended(world: World, end: str) -> None:
    job_id = world.put()
    claim = world.take()
    world.engine.cancel(world.find(job_id))
    match end:
        case "recover":
            found = recovery.recover(world.root, claim, "x")
        case "release":
            found = recovery.release(world.root, claim)
        case _:
            found = recovery.end_run(world.root, claim, "timeout", "x")
    assert found is not None
    assert (found.state, found.error) == (None, "cancelled")
    assert world.jobs() == {}
    assert world.dot("cancel") == world.dot("jobs") == []


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_run_that_somebody_else_settled_is_nobodys_to_settle_again(world: World, *, is_marked: bool) -> None:
    job_id = world.put()
    claim = world.take()
    if is_marked:
        world.engine.cancel(world.find(job_id))
    os.unlink(claim.path)
    assert recovery.recover(world.root, claim, "x") is None
    assert recovery.release(world.root, claim) is None
    assert recovery.end_run(world.root, claim, "timeout", "x") is None
    assert world.dot("cancel") == ([job_id] if is_marked else []), "the order is for whoever has the job"
