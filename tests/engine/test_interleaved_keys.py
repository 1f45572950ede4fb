"""Actors on one key: whoever moves when, of the jobs that live one has it, and nobody is told of a job that is not."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from engine.actors import MOVES, failed, running, submits, sweeps
from engine.disks import Crash, CrashingFs
from engine.exploring import explore
from engine.schedules import CoarseFs, TurnFs
from engine.worlds import Q, World, new_job
from workqueue.engine import housekeeping
from workqueue.engine.protocol import Placed
from workqueue.errors import WrongState
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim, Located, Recovered
    from workqueue.errors import StoreError

pytestmark = pytest.mark.exhaustive


@pytest.mark.parametrize("count", [2, 3])
def test_of_submits_of_a_key_one_creates_the_job_and_all_get_it(world: World, count: int) -> None:
    def check(_: object, *placed: Placed) -> int:
        (job_id,) = {each.id for each in placed}
        assert world.jobs() == {job_id: State.NEW}
        assert world.ls("tmp") == []
        (winner,) = [number for number, each in enumerate(placed) if each.created]
        return winner

    acts: dict[str, Act] = {f"producer {number}": submits for number in range(count)}
    seen = explore(world, lambda _: None, acts, check, preemptions=4 - count, sample=50)
    assert seen == set(range(count))


@pytest.mark.parametrize("verb", ["finish", "fail", "drop"])
def test_a_submit_of_a_key_whose_job_ends_meanwhile_has_either_job_and_the_key_holds(world: World, verb: str) -> None:
    def check(claim: Claim, placed: Placed, moved: bool) -> bool:
        assert moved
        living = [job_id for job_id, state in world.jobs().items() if state is not State.FAILED]
        assert living == ([placed.id] if placed.created else [])
        if placed.created:
            assert world.put(key="k") == placed.id
        else:
            assert placed.id == claim.id
        return placed.created

    acts: dict[str, Act] = {"producer": submits, "worker": lambda engine, claim: getattr(engine, verb)(claim)}
    seen = explore(world, lambda world: running(world, key="k"), acts, check, preemptions=1, sample=100)
    assert seen == {False, True}


@pytest.mark.parametrize("verb", ["finish", "fail"])
def test_a_key_that_outlives_its_job_is_taken_at_every_moment(world: World, verb: str) -> None:
    def bring(world: World) -> Claim:
        claim = running(world, key="k", key_for=3600.0)
        world.clock.advance(600)
        return claim

    def check(claim: Claim, placed: Placed, moved: bool) -> None:
        assert moved
        assert (placed.id, placed.created) == (claim.id, False)
        world.clock.advance(3601)

    acts: dict[str, Act] = {"producer": submits, "worker": lambda engine, claim: getattr(engine, verb)(claim)}
    explore(world, bring, acts, check, preemptions=1, sample=100)


def test_a_submit_of_a_key_whose_job_is_cancelled_meanwhile_has_either_job(world: World) -> None:
    def cancels(engine: DirectoryEngine, job_id: str) -> State | None:
        return engine.cancel(world.find(job_id))

    def check(job_id: str, placed: Placed, cancelled: State | None) -> bool:
        assert cancelled is State.NEW
        assert world.jobs() == ({placed.id: State.NEW} if placed.created else {})
        assert placed.created != (placed.id == job_id)
        return placed.created

    acts: dict[str, Act] = {"producer": submits, "operator": cancels}
    seen = explore(world, lambda world: world.put(key="k"), acts, check, preemptions=1, sample=100)
    assert seen == {False, True}


def test_of_a_submit_of_a_key_and_the_retry_of_its_failed_job_one_has_it(world: World) -> None:
    def retries(engine: DirectoryEngine, found: Located) -> bool:
        return engine.retry(found)

    def check(found: Located, placed: Placed, *moved: bool | WrongState) -> bool:
        if placed.created:
            assert all(isinstance(answer, WrongState) for answer in moved)
            assert world.jobs() == {found.name.id: State.FAILED, placed.id: State.NEW}
        else:
            assert set(moved) == {False, True}
            assert placed.id == found.name.id
            assert world.jobs() == {found.name.id: State.NEW}
        return placed.created

    acts: dict[str, Act] = {"producer": submits, "one": retries, "two": retries}
    seen = explore(world, lambda world: failed(world, key="k"), acts, check, preemptions=1, sample=50)
    assert seen == {False, True}


@pytest.mark.parametrize("disk", [TurnFs, CoarseFs])
@pytest.mark.parametrize("move", MOVES)
def test_a_key_is_held_by_its_job_however_it_moves_meanwhile(world: World, move: str, disk: type[TurnFs]) -> None:
    bring, moves = MOVES[move]

    def check(job: Claim | Located, placed: Placed, moved: object) -> None:
        assert moved
        assert (placed.id, placed.created) == (job.name.id, False)

    explore(
        world,
        lambda world: bring(world, key="k"),
        {"producer": submits, "other": moves},
        check,
        preemptions=1,
        disk=disk,
    )


def test_a_key_whose_job_is_failed_by_its_workers_death_goes_to_one_of_who_ask_for_it(world: World) -> None:
    def bring(world: World) -> Claim:
        return running(world, key="k", max_attempts=1)

    def check(dead: Claim, swept: list[Recovered], *placed: Placed) -> bool:
        made = [each.id for each in placed if each.created]
        assert {each.id for each in placed} <= {dead.id, *made}
        assert world.jobs() == {dead.id: State.FAILED} | dict.fromkeys(made, State.NEW)
        assert len(made) <= 1
        return bool(made)

    acts: dict[str, Act] = {"supervisor": sweeps, "one": submits, "two": submits}
    assert explore(world, bring, acts, check, preemptions=0, sample=100) == {False, True}


def left_by_a_dead_submitter(world: World) -> None:
    fs = CrashingFs(8)  # behind the link, before the rename
    engine = world.open(fs)
    fs.armed = True
    with pytest.raises(Crash):
        engine.put(new_job(b"1", key="k"))
    fs.bury()
    assert world.ls("tmp") != []
    world.clock.advance(10 * 86400)


def test_what_a_dead_submitter_left_is_published_by_who_asks_for_its_key(world: World) -> None:
    def check(_: object, *placed: Placed) -> None:
        assert len({each.id for each in placed}) == 1
        assert [each.created for each in placed] == [False, False]
        assert world.jobs() == {placed[0].id: State.NEW}
        assert world.ls("tmp") == []

    explore(world, left_by_a_dead_submitter, {"one": submits, "two": submits}, check, preemptions=1)


def test_what_a_dead_submitter_left_is_published_once_or_cleaned_away(world: World) -> None:
    def cleans(engine: DirectoryEngine, _: object) -> int:
        return housekeeping.clean_tmp(engine.root, Q)

    def check(_: object, cleaned: int, *answers: Placed | StoreError) -> int:
        placed = [answer for answer in answers if isinstance(answer, Placed)]
        assert len(placed) + cleaned >= len(answers), "who submits fails only where its file was cleaned away"
        assert {each.id for each in placed} <= set(world.jobs())
        assert len(world.jobs()) <= 1
        made = [each.created for each in placed].count(True)
        assert made <= 1
        return made

    acts: dict[str, Act] = {"supervisor": cleans, "one": submits, "two": submits}
    assert explore(world, left_by_a_dead_submitter, acts, check, preemptions=0, sample=100) == {0, 1}


def test_a_job_whose_end_was_cut_off_has_its_key_also_when_the_ban_is_over(world: World) -> None:
    for n in itertools.count(1):
        claim = running(world, key="k", key_for=60.0)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        with contextlib.suppress(Crash):
            engine.finish(claim)
        fs.bury()
        lives = bool(world.sweep())
        world.clock.advance(61)
        placed = world.engine.put(new_job(key="k"))
        assert (placed.created, placed.id == claim.id) == (not lives, lives)
        world.drain()
        world.clock.advance(61)
        if not fs.reached:
            assert n > 3
            return


def test_a_key_whose_job_went_to_corrupt_is_free_also_when_the_clock_was_set_back(world: World) -> None:
    claim = running(world, key="k", key_for=60.0)
    assert world.engine.corrupt(claim, "cannot be read")
    world.clock.step(-86400)
    assert world.engine.put(new_job(key="k")).created
