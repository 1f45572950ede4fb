"""Checkpoints and power cuts: what was durably saved is there, and no torn one is ever gone on from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.befores import running, saved, the_claim
from engine.powered import MODELS, PoweredWorld
from engine.test_checkpoints import cursor, save

if TYPE_CHECKING:
    from support.cuts import Model


@MODELS
def test_a_durable_save_that_returned_survives_every_power_cut(ground: str, model: Model) -> None:
    world = PoweredWorld(ground)
    job_id = running(world)
    world.since = world.steps
    save(world.engine, job_id, 1)
    seen = set()
    for moment, after in world.cuts(model):
        there = cursor(after, job_id)
        assert there == 1 or not moment.over
        seen.add(there)
    assert seen == {None, 1}


@MODELS
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "volatile"])
def test_no_power_cut_takes_a_job_behind_what_was_durably_saved(ground: str, model: Model, durable: bool) -> None:
    world = PoweredWorld(ground)
    job_id = saved(world)
    world.since = world.steps
    save(world.engine, job_id, 2, durable=False)
    save(world.engine, job_id, 3, durable=durable)
    seen, torn = set(), 0
    for moment, after in world.cuts(model):
        found = after.engine.checkpoint(job_id)
        assert found.checkpoint is not None
        seen.add(number := found.checkpoint.value())
        assert number == 3 or not (moment.over and durable)
        torn += len(found.damage)
    assert seen == {1, 2, 3}
    assert torn, "nothing was torn: the cuts prove nothing"


@MODELS
def test_a_retry_from_the_start_that_returned_is_one_after_every_power_cut(ground: str, model: Model) -> None:
    world = PoweredWorld(ground)
    job_id = saved(world)
    save(world.engine, job_id, 2, durable=False)
    world.engine.fail(the_claim(world.engine, job_id))
    world.since = world.steps
    world.engine.retry(world.find(job_id), from_start=True)
    for moment, after in world.cuts(model):
        assert after.engine.checkpoint(job_id).checkpoint is None or not moment.over
