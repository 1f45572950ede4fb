"""Anything that anybody does, in any order, with deaths at any operation: the queue stays what the model says.

The examples are the same in every run. FSQ_TEST_EXAMPLES=5000 plays so many others; a failure tells their seed, which
FSQ_TEST_SEED plays again.
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from engine.conftest import empty
from engine.machine import DAY, KEYS
from engine.machine_orders import OrderMachine
from engine.machine_work import WorkMachine
from engine.model import LIVING, Place
from engine.worlds import YEAR, World
from support.clocks import FakeClock
from workqueue.jobs import names
from workqueue.jobs.states import ENDED, State

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
EXAMPLES = os.environ.get("FSQ_TEST_EXAMPLES")
SEED = os.environ.get("FSQ_TEST_SEED")


class QueueMachine(WorkMachine, OrderMachine):
    """All of it; at the end of an example the queue is drained, and everything accounted for."""

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.drain()
        finally:
            self.die(*list(self.workers))
            empty(self.world.path)
            for name in os.listdir(self.outside):
                os.unlink(os.path.join(self.outside, name))

    def drain(self) -> None:
        """Let everything that lives be run: nothing is stuck, and each job is accounted for."""
        self.die(*list(self.workers))
        clock = self.world.clock
        latest = max([FakeClock().now(), *(names.due_of(text) / 1000 for text in self.world.ls("later"))])
        clock.step(latest + DAY - clock.now())
        self.sweep(None)
        self.look()
        self.carry_out_cancels()
        self.look()
        for job in self.model.of(State.HELD):
            job.sight = self.world.find(job.id)
            self.operate_on(job, "unhold", None)
        self.look()
        living = [(job, self.model.linked(job)) for job in self.model.of(*LIVING)]
        ran = self.world.drain()
        assert sorted(ran.values()) == sorted(job.payload for job, _ in living if job.payload is not None)
        for job, linked in living:
            job.goes(Place(job.place.state, job.place.attempt + 1), surely=True)
            if job.payload is None:
                job.goes(Place(State.CORRUPT, job.place.attempt), surely=True)
            else:
                self.ended(job, "finish", linked=linked)
        self.look()
        lost = [job for job in self.model.jobs if job.place.state not in ENDED and not job.place.end]
        assert lost == []
        self.world.clean()
        assert [self.world.ls(space) for space in ("new", "later", "cur", "held", "tmp")] == [[]] * 5
        assert self.world.dot("stage") == []
        clock.advance(YEAR)
        for key in KEYS:
            assert self.world.put(key=key) in self.world.drain(), "no key is stuck"


@pytest.mark.timeout(600 + int(EXAMPLES or 0))
def test_a_queue_is_what_its_model_says_whatever_happens(ground: str, tmp_path: Path) -> None:
    number = int(SEED or (random.getrandbits(32) if EXAMPLES else 0))

    @seed(number)
    def machine() -> QueueMachine:
        # An hour ahead, so that what the kernel dates is past however long the example takes.
        return QueueMachine(World(ground, FakeClock(FakeClock().now() + HOUR)), str(tmp_path))

    phases = (Phase.generate, Phase.shrink)
    examples = settings(
        max_examples=int(EXAMPLES or 100), stateful_step_count=40, report_multiple_bugs=False, phases=phases
    )
    try:
        run_state_machine_as_test(machine, settings=examples)  # type: ignore[arg-type]
    except Exception as error:
        error.add_note(f"FSQ_TEST_SEED={number} FSQ_TEST_EXAMPLES={examples.max_examples} plays it again")
        raise
