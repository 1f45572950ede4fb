"""Two actors: whatever one does between any two operations of the other, each job has one owner and one state."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from engine.disks import InterruptedFs
from engine.worlds import Q, World, new_job
from workqueue.engine import housekeeping, operate, recovery, slots
from workqueue.engine.dealer import QueueDealer
from workqueue.engine.protocol import Claim
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.directory import DirectoryEngine


def interleaved(
    world: World,
    first: Callable[[DirectoryEngine], object],
    second: Callable[[], object],
    bring: Callable[[], object],
) -> Iterator[tuple[object, object]]:
    """Both results, for `second` before each operation of `first` in turn, and after all of them; each time anew."""
    for n in itertools.count(1):
        bring()
        results: list[object] = []
        fs = InterruptedFs(n, lambda results=results: results.append(second()))  # type: ignore[misc]
        engine = world.open(fs)
        fs.armed = True
        mine = first(engine)
        fs.armed = False
        if not fs.reached:
            results.append(second())
        yield mine, results[0]
        if not fs.reached:
            assert n > 1
            return


def test_of_two_claims_one_wins(world: World) -> None:
    job_id = ""

    def bring() -> None:
        nonlocal job_id
        job_id = world.put()

    def claim(engine: DirectoryEngine, slot: int) -> object:
        return engine.take(Q, f"5-{job_id}-0", slot)

    for one, other in interleaved(world, lambda engine: claim(engine, 1), lambda: claim(world.engine, 2), bring):
        (winner,) = [found for found in (one, other) if isinstance(found, Claim)]
        assert world.jobs() == {job_id: State.CUR}
        world.engine.finish(winner)


def test_of_claim_and_cancel_one_wins_and_a_cancel_that_lost_can_be_ordered(world: World) -> None:
    job_id = ""

    def bring() -> None:
        nonlocal job_id
        job_id = world.put(key="k")

    def claim(engine: DirectoryEngine) -> object:
        return engine.take(Q, f"5-{job_id}-0", 1)

    def cancel(engine: DirectoryEngine) -> State | None:
        found = engine.find(job_id)
        return engine.cancel(found) if found else None

    def check(taken: object, cancelled: object) -> None:
        if isinstance(taken, Claim):
            assert cancelled in {State.CUR, None}
            assert world.jobs() == {job_id: State.CUR}
            if cancelled is State.CUR:
                assert world.dot("cancel") == [job_id]
            world.sweep()
            housekeeping.carry_out_cancels(world.root)
            world.drain()
        else:
            assert cancelled is State.NEW
        assert world.jobs() == {}

    for taken, cancelled in interleaved(world, claim, lambda: cancel(world.engine), bring):
        check(taken, cancelled)
    for cancelled, taken in interleaved(world, cancel, lambda: claim(world.engine), bring):
        check(taken, cancelled)


def test_a_run_that_finishes_while_its_cancel_is_ordered_has_won_and_leaves_nothing(world: World) -> None:
    claim: Claim

    def bring() -> None:
        nonlocal claim
        world.put(key="k")
        claim = world.take()

    def order(engine: DirectoryEngine) -> object:
        found = engine.find(claim.id)
        return engine.cancel(found) if found else None

    for finished, _ in interleaved(world, lambda engine: engine.finish(claim), lambda: order(world.engine), bring):
        assert finished
        housekeeping.carry_out_cancels(world.root)
        assert world.jobs() == {}
        assert world.dot("cancel") == []
        assert world.put(key="k") != claim.id
        world.drain()
    for _, finished in interleaved(world, order, lambda: world.engine.finish(claim), bring):
        assert finished
        housekeeping.carry_out_cancels(world.root)
        assert world.jobs() == {}
        assert world.dot("cancel") == []


def test_of_two_promotions_one_moves_the_job(world: World) -> None:
    job_id = ""

    def bring() -> None:
        nonlocal job_id
        job_id = world.put(due=world.clock.now_ms())

    def promote(engine: DirectoryEngine) -> int:
        dealer = QueueDealer(engine.root, Q)
        dealer.refresh(now=True)
        return dealer.promote()

    for one, other in interleaved(world, promote, lambda: promote(world.engine), bring):
        assert {one, other} == {0, 1}
        assert world.jobs() == {job_id: State.NEW}
        world.drain()


def test_of_two_recoveries_one_moves_each_job_and_charges_it_once(world: World) -> None:
    def bring() -> None:
        world.put()
        world.put()
        for hint in world.ls("new"):
            world.take(hint)

    for one, other in interleaved(world, world.sweep, world.sweep, bring):
        assert isinstance(one, list)
        assert isinstance(other, list)
        assert sorted((len(one), len(other))) == [0, 2]
        assert len(world.jobs()) == 2
        for job_id in world.jobs():
            assert len(world.engine.errors(job_id)) == 1
        world.drain()


def test_a_run_that_ends_while_its_slot_is_swept_is_not_recovered(world: World) -> None:
    claim: Claim

    def bring() -> None:
        nonlocal claim
        world.put()
        claim = world.take(slot=4)

    slot = slots.try_lock(world.root, 4)
    assert slot is not None
    for swept, finished in interleaved(
        world, lambda engine: list(recovery.sweep(engine.root, [Q], set())), lambda: world.engine.finish(claim), bring
    ):
        assert swept == []
        assert finished
        assert world.jobs() == {}
    slot.close()


def test_of_hold_and_claim_one_has_the_job(world: World) -> None:
    job_id = ""

    def bring() -> None:
        nonlocal job_id
        job_id = world.put()

    def hold() -> object:
        found = world.engine.find(job_id)
        return found is not None and found.state is State.NEW and operate.hold(world.root, found)

    for taken, is_held in interleaved(world, lambda engine: engine.take(Q, f"5-{job_id}-0", 1), hold, bring):
        assert isinstance(taken, Claim) != is_held
        assert world.jobs() == {job_id: State.HELD if is_held else State.CUR}
        if is_held:
            operate.unhold(world.root, world.find(job_id))
        world.drain()


def test_of_two_submits_of_a_key_one_creates_the_job_and_both_get_it(world: World) -> None:
    def put(engine: DirectoryEngine) -> object:
        return engine.put(new_job(key="k"))

    # The one in the middle waits for the other's lock for ever: it is given up after 10 s of the fake clock.
    def put_or_wait() -> object:
        try:
            return put(world.engine)
        except OSError as error:
            return error

    for mine, other in interleaved(world, put, put_or_wait, lambda: None):
        made = [placed for placed in (mine, other) if not isinstance(placed, OSError)]
        assert len({placed.id for placed in made}) == 1  # type: ignore[attr-defined]
        assert [placed.created for placed in made].count(True) == 1  # type: ignore[attr-defined]
        assert len(world.jobs()) == 1
        assert world.ls("tmp") == []
        world.drain()


def test_a_submit_of_a_key_whose_job_ends_meanwhile_has_either_job_and_the_key_holds(world: World) -> None:
    claim: Claim

    def bring() -> None:
        nonlocal claim
        world.put(key="k")
        claim = world.take()

    def put(engine: DirectoryEngine) -> object:
        return engine.put(new_job(key="k"))

    def check(placed: object, *, finished: object) -> None:
        assert finished
        if placed.created:  # type: ignore[attr-defined]
            assert world.jobs() == {placed.id: State.NEW}  # type: ignore[attr-defined]
            assert world.put(key="k") == placed.id  # type: ignore[attr-defined]
        else:
            assert placed.id == claim.id  # type: ignore[attr-defined]
            assert world.jobs() == {}
        world.drain()

    for placed, finished in interleaved(world, put, lambda: world.engine.finish(claim), bring):
        check(placed, finished=finished)

    def put_or_wait() -> object:
        try:
            return put(world.engine)
        except OSError:
            return None

    for finished, placed in interleaved(world, lambda engine: engine.finish(claim), put_or_wait, bring):
        if placed is not None:
            check(placed, finished=finished)


def test_a_submitter_whose_file_is_cleaned_away_meanwhile_fails_or_has_its_job(world: World) -> None:
    def put(engine: DirectoryEngine) -> object:
        try:
            return world.put(b"whole", engine)
        except OSError as error:
            return error

    def clean() -> int:
        world.clock.advance(10 * 86400)
        return housekeeping.clean_tmp(world.root, Q)

    for put_id, _ in interleaved(world, put, clean, lambda: None):
        there = world.jobs()
        assert there == ({} if isinstance(put_id, OSError) else {put_id: State.NEW})
        assert world.ls("tmp") == []
        world.drain()
