"""The power is cut on a disk that may keep both names of a job that moved: it is run once, and keeps one."""

from __future__ import annotations

import random

import pytest

from engine.days import Day
from engine.powered import LIVING, NAMES, ORDERS, PoweredWorld, key_must_hold
from engine.scenarios import SCENARIOS
from support.cuts import SPLIT
from workqueue.engine import housekeeping
from workqueue.jobs.states import State

pytestmark = pytest.mark.exhaustive


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_a_cut_leaves_under_two_names_is_run_once_and_keeps_one(ground: str, name: str) -> None:
    scenario = SCENARIOS[name]
    world = PoweredWorld(ground)
    job_id = scenario.bring(world)
    before = world.begin(job_id)
    scenario.act(world.engine, world, job_id)
    for moment, after in world.cuts(SPLIT):
        states = after.states(job_id)
        may_be_gone = moment.begun and None in scenario.may_be
        assert states or may_be_gone or job_id not in moment.told
        if moment.over and name in ORDERS and not name.startswith("prune"):
            assert states == [state for state in [ORDERS[name]] if state], "what was ordered stays so"
        if job_id in moment.told and states and set(states) <= LIVING and key_must_hold(moment, scenario, before):
            found = after.find(job_id)
            if after.engine.load(found).options.key:
                assert after.put(key="k") == job_id, "its key holds"
        ran = after.drain()  # fails if it runs a job twice
        housekeeping.carry_out_cancels(after.root)
        assert ran.get(job_id, b"acknowledged") == b"acknowledged"
        assert len(after.states(job_id)) <= 1
        after.clean()


def test_a_job_put_off_while_its_first_directory_is_not_synced_is_run_once(ground: str) -> None:
    """Somebody's delayed job has later/ synced: it has the job's new name, and new/ the one from before its claim."""
    world = PoweredWorld(ground)
    job_id = world.put(b"acknowledged")
    world.since = world.steps
    world.engine.defer(world.take(), 0)
    world.put(b"another", due=world.clock.now_ms())
    doubled = 0
    for _, after in world.cuts(SPLIT):
        doubled += after.states(job_id) == [State.NEW, State.LATER]
        assert after.drain()[job_id] == b"acknowledged"
        after.clean()
    assert doubled


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_jobs_under_two_names_each(ground: str, seed: int) -> None:
    world = PoweredWorld(ground)
    Day(world, world.ends, random.Random(seed)).live()
    doubled = 0
    for moment, after in world.cuts(SPLIT):
        there = {job_id: after.states(job_id) for job_id in moment.told}
        assert all(there[job_id] or job_id in moment.ending for job_id in moment.told)
        doubled += sum(len(states) > 1 for states in there.values())
        ran = after.drain()
        housekeeping.carry_out_cancels(after.root)
        assert set(ran.values()) <= {b"content"}
        for job_id in moment.told:
            assert job_id in ran or after.states(job_id) or job_id in moment.ending
        after.clean()
    assert doubled
