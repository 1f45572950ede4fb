"""The power is cut while a batch is made, and while it ends: all members or none, and one callback for all."""

from __future__ import annotations

from itertools import islice

import pytest

from engine.batched import ENDINGS, ON_DONE, ended_once, fresh, run_all, submit
from engine.powered import PoweredWorld
from engine.worlds import new_job
from support.cuts import ORDERED, POSIX, SPLIT, Model
from workqueue.engine.members import How
from workqueue.jobs.states import State

EVERY = 2
"""Of the states that the cuts leave so many-th are tried: enough, and half as long."""
MODELS = pytest.mark.parametrize("model", [POSIX, ORDERED, SPLIT], ids=["posix", "ordered", "split"])


@MODELS
def test_a_submit_that_the_power_ends_leaves_all_members_or_none(ground: str, model: Model) -> None:
    world = PoweredWorld(ground)
    fresh(world)
    world.since = world.steps
    jobs = [new_job(b"%d" % n) for n in range(3)]
    submit(world.engine, new_job(b"one", priority=4), new_job(b"two", key="k"), *jobs)
    seen = set()
    for moment, after in islice(world.cuts(model), 0, None, EVERY):
        told = run_all(after)
        counts = [payload["done"] for payload in told[ON_DONE]]
        assert counts == [5] or not (counts or moment.over)
        seen.add(len(counts))
        assert after.jobs() == {}
    assert seen == {0, 1}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("finish", POSIX),
        ("finish", ORDERED),
        ("fail", POSIX),
        ("fail", SPLIT),
        ("cancel", POSIX),
        ("hand over one", POSIX),
        ("hand over one", SPLIT),
        ("split off into failed", POSIX),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_last_end_that_the_power_ends_calls_back_once(ground: str, name: str, model: Model) -> None:
    ending = ENDINGS[name]
    world = PoweredWorld(ground)
    claim = ending.bring(world)
    world.since = world.steps
    ending.act(world.engine, world, claim)
    if ending.adds:
        run_all(world, ending)
    seen = set()
    for moment, after in islice(world.cuts(model), 0, None, EVERY):
        if moment.over and model is not SPLIT:
            assert after.jobs().get(claim.id) in {None, State.FAILED}, "nobody comes back into a batch that is over"
        seen.add(ended_once(after, ending) if not (moment.over and ending.adds) else How.DONE)
    assert ending.hows <= seen
