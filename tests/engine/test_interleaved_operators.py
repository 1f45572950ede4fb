"""Operators and housekeeping beside workers: whoever moves when, an order is carried out once, or came too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.actors import SUBMITS, cancels, claims, failed, holds, running, sweeps
from engine.exploring import explore
from engine.worlds import Q, World
from workqueue.engine import housekeeping, operate
from workqueue.engine.protocol import Claim
from workqueue.errors import StoreError
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located, Recovered

pytestmark = pytest.mark.exhaustive
KEPT = 60.0


def test_of_claim_and_cancel_one_wins_and_a_cancel_that_lost_can_be_ordered(world: World) -> None:
    def check(job_id: str, taken: object, cancelled: State | None) -> tuple[bool, State | None]:
        assert isinstance(taken, Claim) != (cancelled is State.NEW)
        assert world.jobs() == ({job_id: State.CUR} if taken else {})
        assert world.dot("cancel") == ([job_id] if cancelled is State.CUR else [])
        if cancelled is State.CUR:
            world.sweep()
            assert world.jobs() == {}
        return bool(taken), cancelled

    acts: dict[str, Act] = {"worker": claims(1), "operator": cancels}
    seen = explore(world, lambda world: world.put(key="k"), acts, check)
    assert seen == {(True, State.CUR), (True, None), (False, State.NEW)}


@pytest.mark.parametrize("verb", ["finish", "fail", "drop"])
def test_a_run_that_ends_while_its_cancel_is_ordered_leaves_nothing_of_the_order(world: World, verb: str) -> None:
    def check(claim: Claim, moved: bool, cancelled: State | None) -> State | None:
        assert moved
        housekeeping.carry_out_cancels(world.root)
        assert world.states(claim.id) == ([State.FAILED] if verb == "fail" else [])
        assert world.dot("cancel") == []
        return cancelled

    acts: dict[str, Act] = {
        "worker": lambda engine, claim: getattr(engine, verb)(claim),
        "operator": lambda engine, claim: ends_in_time(engine, claim.id),
    }
    assert State.CUR in explore(world, lambda world: running(world, key="k"), acts, check, preemptions=1, sample=50)


def ends_in_time(engine: DirectoryEngine, job_id: str) -> State | None:
    found = engine.find(job_id)
    return engine.cancel(found) if found and found.state is State.CUR else None


def test_an_order_that_is_carried_out_while_its_job_comes_back_ends_it_once(world: World) -> None:
    def bring(world: World) -> str:
        job_id = running(world, key="k").id
        world.engine.cancel(world.find(job_id))
        return job_id

    def tidies(engine: DirectoryEngine, _: object) -> None:
        housekeeping.carry_out_cancels(engine.root)

    def check(_: str, swept: list[Recovered], *rest: object) -> None:
        assert [found.state for found in swept] == [None]
        assert world.jobs() == {}

    explore(world, bring, {"sweep": sweeps, "one": tidies, "two": tidies}, check, preemptions=1, sample=50)


def test_of_hold_and_claim_one_has_the_job(world: World) -> None:
    def check(job_id: str, taken: object, is_held: bool) -> bool:
        assert isinstance(taken, Claim) != is_held
        assert world.jobs() == {job_id: State.HELD if is_held else State.CUR}
        return is_held

    assert explore(world, World.put, {"worker": claims(1), "operator": holds}, check) == {False, True}


def test_a_job_that_is_let_go_is_claimed_by_one_and_moved_by_one(world: World) -> None:
    def bring(world: World) -> str:
        job_id = world.put()
        assert operate.hold(world.root, world.find(job_id))
        return job_id

    def unholds(engine: DirectoryEngine, job_id: str) -> bool:
        found = engine.find(job_id)
        return found is not None and found.state is State.HELD and operate.unhold(engine.root, found)

    def check(job_id: str, taken: object, *moved: bool) -> bool:
        assert moved.count(True) == 1
        assert world.jobs() == {job_id: State.CUR if taken else State.NEW}
        return isinstance(taken, Claim)

    acts = {"worker": claims(1), "one": unholds, "two": unholds}
    assert explore(world, bring, acts, check, preemptions=1, sample=100) == {False, True}


@pytest.mark.parametrize("key", [None, "k"])
def test_of_retries_one_makes_the_job_ready(world: World, key: str | None) -> None:
    def retries(engine: DirectoryEngine, found: Located) -> bool:
        return engine.retry(found)

    def check(found: Located, *moved: bool) -> tuple[bool, ...]:
        assert world.jobs() == {found.name.id: State.NEW}
        return moved

    acts: dict[str, Act] = {"one": retries, "two": retries}
    assert explore(world, lambda world: failed(world, key=key), acts, check) == {(True, False), (False, True)}


# -- housekeeping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submitter_whose_file_is_cleaned_away_meanwhile_fails_or_has_its_jobs(world: World, kind: str) -> None:
    def cleans(engine: DirectoryEngine, _: object) -> int:
        return housekeeping.clean_tmp(engine.root, Q)

    def check(_: object, answer: list[str] | StoreError, cleaned: int) -> bool:
        fails = isinstance(answer, StoreError)
        assert fails == (cleaned > 0)
        assert sorted(world.jobs()) == ([] if isinstance(answer, StoreError) else answer)
        assert world.ls("tmp") == []
        return fails

    def bring(world: World) -> None:
        world.clock.advance(10 * 86400)

    assert explore(world, bring, {"producer": SUBMITS[kind], "supervisor": cleans}, check) == {False, True}


def test_of_two_who_remove_what_was_kept_long_enough_each_job_is_removed_once(world: World) -> None:
    def bring(world: World) -> None:
        for _ in range(2):
            assert world.engine.finish(running(world, keep=KEPT))
        world.clock.advance(KEPT + 60)

    def prunes(engine: DirectoryEngine, _: object) -> int:
        return housekeeping.DoneKeeper(engine.root, Q).prune()

    def check(_: object, one: int, other: int) -> int:
        assert one + other == 2
        assert world.jobs() == {}
        return one

    assert explore(world, bring, {"one": prunes, "two": prunes}, check, sample=100) == {0, 1, 2}
