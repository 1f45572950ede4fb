"""Members join and leave at the same time, in every order of their operations: one callback, and it counts all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.batched import ENDINGS, NEXT, Ending, ended_once, fresh, submit
from engine.exploring import explore
from engine.worlds import SLOT, Q, World, new_job
from workqueue.engine import commits, lookup, overs
from workqueue.engine.members import How
from workqueue.engine.protocol import Claim
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine

TWO = Ending(lambda *_: None, {How.DONE, How.FAILED})


def two_claims(world: World) -> list[Claim]:
    fresh(world)
    submit(world.engine, new_job(b"one"), new_job(b"two"))
    return [world.take(text) for text in world.ls("new")]


def one_claim(world: World) -> list[Claim]:
    claims = two_claims(world)
    world.engine.finish(claims.pop())
    return claims


def one_failed(world: World) -> list[Claim]:
    claims = two_claims(world)
    world.engine.fail(claims.pop())
    return claims


def finishes(number: int) -> Act:
    return lambda engine, claims: engine.finish(claims[number])


def fails(engine: DirectoryEngine, claims: list[Claim]) -> object:
    return engine.fail(claims[1])


def tidies(engine: DirectoryEngine, _: object) -> object:
    """What another supervisor does every minute, and a drain at its end."""
    return list(overs.settle_all(engine.root))


def retries(engine: DirectoryEngine, _: object) -> object:
    [found] = engine.scan(Q, State.FAILED)
    return engine.retry(found)


@pytest.mark.parametrize("second", [finishes(1), fails], ids=["both finish", "one fails"])
def test_of_two_that_leave_at_a_time_one_calls_back(world: World, second: Act) -> None:
    acts: dict[str, Act] = {"one": finishes(0), "two": second}
    seen = explore(world, two_claims, acts, lambda *_: ended_once(world, TWO), preemptions=1, sample=30)
    assert len(seen) == 1


def test_who_sees_leavers_out_meets_one_that_leaves(world: World) -> None:
    acts: dict[str, Act] = {"one": finishes(0), "supervisor": tidies}
    seen = explore(world, one_claim, acts, lambda *_: ended_once(world, TWO), preemptions=0, sample=60)
    assert seen == {How.DONE}


def test_a_member_that_is_retried_is_in_again_or_the_batch_is_over(world: World) -> None:
    acts: dict[str, Act] = {"one": finishes(0), "operator": retries}
    seen = explore(world, one_failed, acts, lambda *_: ended_once(world, TWO), preemptions=1, sample=30)
    assert seen == {How.DONE, How.FAILED}


def runs_children(engine: DirectoryEngine, _: object) -> object:
    """Another worker."""
    for text in list(lookup.entries(engine.root, NEXT, "new")):
        taken = engine.take(NEXT, text, SLOT + 1)
        if isinstance(taken, Claim):
            engine.finish(taken)
    return None


@pytest.mark.parametrize("name", ["hand over one", "hand over many"])
def test_children_join_before_their_parent_leaves_whoever_publishes_them(world: World, name: str) -> None:
    """The worker, and its supervisor at its sweep; the children are run at once."""
    ending = ENDINGS[name]
    acts: dict[str, Act] = {
        "worker": lambda engine, claim: ending.act(engine, world, claim),
        "supervisor": lambda engine, _: list(commits.finish_own(engine.root, {SLOT})),
        "other": runs_children,
    }
    seen = explore(world, ending.bring, acts, lambda *_: ended_once(world, ending), preemptions=0, sample=60)
    assert seen == {How.DONE}


def test_members_that_run_while_their_batch_is_still_published(world: World) -> None:
    def submits(engine: DirectoryEngine, _: object) -> object:
        return submit(engine, new_job(b"one"), new_job(b"two", key="k"))

    def works(engine: DirectoryEngine, _: object) -> object:
        for text in list(lookup.entries(engine.root, Q, "new")):
            taken = engine.take(Q, text, SLOT)
            if isinstance(taken, Claim):
                engine.finish(taken)
        return None

    acts: dict[str, Act] = {"producer": submits, "worker": works, "supervisor": tidies}
    seen = explore(world, fresh, acts, lambda *_: ended_once(world, TWO), preemptions=0, sample=60)
    assert seen == {How.DONE}
