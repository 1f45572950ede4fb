"""Workers and supervisors on one root: whoever moves when, each job has one owner, one state, and an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.actors import MOVES, SUBMITS, claims, deals, delayed, holds, promotes, running, succeeds, sweeps
from engine.exploring import MANY, explore
from engine.schedules import CoarseFs, TurnFs
from engine.worlds import SLOT, World
from workqueue.engine import slots
from workqueue.engine.protocol import Claim
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located, Recovered

LIVE = 5


@pytest.fixture
def living(world: World) -> Iterator[int]:
    """A slot whose worker lives."""
    slot = slots.try_lock(world.root, LIVE)
    assert slot is not None
    yield LIVE
    slot.close()


# -- claim -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
def test_of_claims_one_wins(world: World, count: int) -> None:
    def check(job_id: str, *answers: object) -> int:
        (winner,) = [number for number, answer in enumerate(answers) if isinstance(answer, Claim)]
        assert world.jobs() == {job_id: State.CUR}
        assert world.only("cur").owner.slot == winner  # type: ignore[union-attr]
        return winner

    workers = {f"worker {slot}": claims(slot) for slot in range(count)}
    assert explore(world, World.put, workers, check, preemptions=MANY) == set(range(count))


def test_a_bare_file_gets_one_id_from_whoever_claims_it(world: World) -> None:
    def check(_: str, *answers: list[Claim]) -> int:
        ((claim,),) = [answer for answer in answers if answer]
        assert world.jobs() == {claim.id: State.CUR}
        assert world.engine.body(claim) == b"payload"
        return claim.name.owner.slot  # type: ignore[union-attr]

    workers = {"one": deals(1), "two": deals(2)}
    assert explore(world, lambda world: world.plant("bare"), workers, check, preemptions=3) == {1, 2}


@pytest.mark.parametrize("kind", SUBMITS)
def test_whatever_a_worker_sees_of_a_submit_is_whole(world: World, kind: str) -> None:
    def check(_: object, ids: list[str], taken: list[Claim]) -> int:
        assert sorted(world.jobs()) == ids
        assert {world.engine.body(claim) for claim in taken} <= {b"whole"}
        return len(taken)

    acts: dict[str, Act] = {"producer": SUBMITS[kind], "worker": deals(1)}
    seen = explore(world, lambda _: None, acts, check)
    assert seen == {"plain": {0, 1}, "keyed": {0, 1}, "delayed": {0}, "many": {0, 2}}[kind]


def test_a_batch_is_shared_out_and_removed_by_whoever_finds_it_empty(world: World) -> None:
    def check(ids: list[str], *answers: list[Claim]) -> int:
        assert sorted(claim.id for answer in answers for claim in answer) == ids
        assert world.ls("new") == []
        return len(answers[0])

    workers = {"one": deals(1), "two": deals(2)}
    seen = explore(world, lambda world: world.put_many([b"1", b"2"]), workers, check, sample=100)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("disk", [TurnFs, CoarseFs])
@pytest.mark.parametrize("move", MOVES)
def test_a_job_is_found_at_every_moment_of_its_life(world: World, move: str, disk: type[TurnFs]) -> None:
    bring, moves = MOVES[move]

    def finds(engine: DirectoryEngine, job: Claim | Located) -> Located | None:
        return engine.find(job.name.id)

    def check(job: Claim | Located, found: Located | None, moved: object) -> State:
        assert moved
        assert found is not None
        assert found.name.id == job.name.id
        return found.state

    assert len(explore(world, bring, {"looker": finds, "other": moves}, check, disk=disk)) == 2


# -- recover ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [sweeps, succeeds])
def test_of_recoveries_one_moves_each_job_and_charges_it_once(world: World, second: Act) -> None:
    def bring(world: World) -> list[str]:
        return sorted((running(world).id, running(world).id))

    def check(ids: list[str], *answers: list[Recovered]) -> int:
        assert sorted(found.name.id for answer in answers for found in answer) == ids
        assert [len(world.engine.errors(job_id)) for job_id in ids] == [1, 1]
        assert set(world.jobs().values()) == {State.NEW}
        return len(answers[0])

    assert explore(world, bring, {"one": sweeps, "two": second}, check, sample=100) == {0, 2}


def test_a_job_that_is_recovered_may_be_claimed_at_once_and_stays_with_its_new_worker(
    world: World, living: int
) -> None:
    def check(dead: Claim, _: object, swept: list[Recovered], taken: list[Claim]) -> bool:
        assert world.jobs() == {dead.id: State.CUR if taken else State.NEW}
        assert len(world.engine.errors(dead.id)) == 1
        for claim in taken:
            assert claim.name.attempt == 2
            assert world.engine.finish(claim)
        return bool(taken)

    acts = {"one": sweeps, "two": sweeps, "worker": deals(living)}
    assert explore(world, running, acts, check, preemptions=1, sample=100) == {False, True}


@pytest.mark.parametrize("verb", ["finish", "defer", "fail", "release"])
def test_a_run_that_ends_while_its_slot_is_swept_is_not_recovered(world: World, living: int, verb: str) -> None:
    more = [0.0] if verb == "defer" else []

    def check(claim: Claim, moved: bool, swept: list[Recovered]) -> None:
        assert moved
        assert swept == []
        assert (
            world.states(claim.id) == {"finish": [], "defer": ["later"], "fail": ["failed"], "release": ["new"]}[verb]
        )

    acts: dict[str, Act] = {"worker": lambda engine, claim: getattr(engine, verb)(claim, *more), "sweep": sweeps}
    explore(world, lambda world: running(world, living), acts, check, preemptions=MANY)


@pytest.mark.parametrize("verb", ["finish", "defer"])
def test_of_a_worker_that_dies_the_run_that_ended_is_not_recovered_and_the_other_is(world: World, verb: str) -> None:
    def bring(world: World) -> tuple[slots.Slot | None, Claim, Claim]:
        return slots.try_lock(world.root, SLOT), running(world), running(world)

    def dies(engine: DirectoryEngine, given: tuple[slots.Slot, Claim, Claim]) -> bool:
        slot, ended, _ = given
        try:
            return engine.finish(ended) if verb == "finish" else engine.defer(ended, 0)
        finally:
            slot.close()

    def check(given: tuple[object, Claim, Claim], moved: bool, swept: list[Recovered]) -> bool:
        _, ended, left = given
        assert moved
        assert world.states(ended.id) == ([] if verb == "finish" else [State.LATER])
        assert [found.name.id for found in swept] == ([left.id] if swept else [])
        assert world.states(left.id) == [State.NEW if swept else State.CUR]
        return bool(swept)

    assert explore(world, bring, {"worker": dies, "sweep": sweeps}, check, preemptions=3) == {False, True}


# -- promote ---------------------------------------------------------------------------------------------------


def test_of_promotions_one_moves_the_job(world: World) -> None:
    def check(job_id: str, *moved: int) -> int:
        assert sorted(moved) == [0, 0, 1]
        assert world.jobs() == {job_id: State.NEW}
        return moved.index(1)

    acts: dict[str, Act] = {"one": promotes, "two": promotes, "three": promotes}
    assert explore(world, delayed, acts, check, preemptions=1, sample=100) == {0, 1, 2}


def test_a_batch_that_is_promoted_is_claimed_whole_or_not_yet(world: World) -> None:
    def check(ids: list[str], moved: int, taken: list[Claim]) -> int:
        assert moved == 1
        assert len(world.jobs()) == 2
        return len(taken)

    def bring(world: World) -> list[str]:
        return world.put_many([b"1", b"2"], due=world.clock.now_ms())

    assert explore(world, bring, {"supervisor": promotes, "worker": deals(1)}, check, preemptions=3) == {0, 2}


def test_of_promote_retry_hold_and_claim_each_job_has_one_place(world: World) -> None:
    def hurries(engine: DirectoryEngine, job_id: str) -> bool:
        found = engine.find(job_id)
        return found is not None and found.state is State.LATER and engine.retry(found)

    def check(job_id: str, moved: int, hurried: bool, is_held: bool, taken: list[Claim]) -> State:
        assert moved + hurried <= 1
        (state,) = world.jobs().values()
        assert (state is State.CUR) == bool(taken)
        return state

    acts = {"supervisor": promotes, "one": hurries, "two": holds, "worker": deals(1)}
    seen = explore(world, delayed, acts, check, preemptions=0, sample=250)
    assert seen == {State.NEW, State.HELD, State.CUR}
