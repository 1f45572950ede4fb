"""Several settle one run at a time, its living worker among them: what it stages comes once, or the job is run again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from engine.exploring import explore
from engine.handovers import PARENT, Handover, fresh, handovers
from engine.worlds import SLOT, Q, World
from workqueue.engine import recovery
from workqueue.engine.commits import finish_own
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim


def recovers(engine: DirectoryEngine, _: object) -> object:
    """Takes the living worker for dead."""
    return list(recovery.recover_slot(engine.root, SLOT))


def finishes(engine: DirectoryEngine, _: object) -> object:
    """The worker's own supervisor, at its sweep."""
    return list(finish_own(engine.root, {SLOT}))


OTHERS: dict[str, Callable[[Handover], dict[str, Act]]] = {
    "one recovers": lambda _: {"other": recovers},
    "two recover": lambda _: {"other": recovers, "third": recovers},
    "its supervisor finishes": lambda _: {"other": finishes},
}


@pytest.mark.parametrize("kind", ["a child", "a batch", "its key", "outputs", "rejects"])
@pytest.mark.parametrize(
    "others", [pytest.param(other, marks=[pytest.mark.exhaustive] * (other == "two recover")) for other in OTHERS]
)
def test_a_run_whose_claim_is_taken_away_hands_nothing_over_and_one_that_commits_hands_over_once(
    world: World, tmp_path: Path, kind: str, others: str
) -> None:
    out = str(tmp_path / "out")
    handover = handovers(out)[kind]

    def bring(world: World) -> Claim:
        fresh(out)
        shutil.rmtree(os.path.join(world.path, Q, "rejected"), ignore_errors=True)
        return handover.bring(world)

    def check(claim: Claim, *answers: object) -> str:
        where = [
            state
            for state in State
            for found in world.engine.scan(Q, state)
            if world.engine.body(world.engine.load(found)) == PARENT
        ]
        ran = handover.drain(world)
        assert ran == handover.ran
        assert handover.found(world) == handover.files
        handover.nothing_is_left(world)
        return "run again" if where else "committed"

    acts: dict[str, Act] = {"worker": handover.act, **OTHERS[others](handover)}
    seen = explore(world, bring, acts, check, preemptions=1, sample=60)
    assert seen == ({"committed"} if "finishes" in others else {"committed", "run again"})
