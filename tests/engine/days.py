"""A day in the life of a queue: many jobs, and every verb in an order that chance decides."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from engine.worlds import SLOT, Q, World
from workqueue.engine import operate
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.errors import WrongState
from workqueue.jobs.states import State

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from workqueue.engine.protocol import Claim, Located

LENGTH = 18


class Day:
    """Verbs on a world, drawn; `ends` is told of a job when a verb begins to end it."""

    def __init__(self, world: World, ends: Callable[[str], object], draw: random.Random) -> None:
        self.world = world
        self.ends = ends
        self.engine = world.engine
        self.draw = draw

    def live(self) -> None:
        """Let it pass."""
        self.submit()
        self.submit_many()
        for _ in range(LENGTH):
            self.draw.choice(VERBS)(self)

    def submit(self) -> None:
        due = self.draw.choice([None, None, self.world.clock.now_ms()])
        self.world.put(b"content", key=self.draw.choice([None, "a", "b"]), due=due)

    def submit_many(self) -> None:
        self.world.put_many([b"content"] * 2)

    def promote_and_claim(self) -> None:
        dealer = QueueDealer(self.engine.root, Q)
        dealer.refresh(now=True)
        dealer.promote()
        for hint in dealer.deal(2):
            self.engine.take(Q, hint, SLOT)
            dealer.settle([hint])

    def recover(self) -> None:
        for job_id in self.world.dot("cancel"):
            self.ends(job_id)
        self.world.sweep()

    def finish(self) -> None:
        if (claim := self._claim()) is not None:
            self.ends(claim.id)
            self.engine.finish(claim)

    def defer(self) -> None:
        if (claim := self._claim()) is not None:
            self.engine.defer(claim, 0)

    def fail(self) -> None:
        if (claim := self._claim()) is not None:
            self.engine.fail(claim)

    def release(self) -> None:
        if (claim := self._claim()) is not None:
            self.engine.release(claim)

    def retry(self) -> None:
        if (found := self._any(State.FAILED, State.LATER)) is not None:
            with contextlib.suppress(WrongState):  # its key has another job
                self.engine.retry(found)

    def hold(self) -> None:
        if (found := self._any(State.NEW, State.LATER)) is not None:
            operate.hold(self.engine.root, found)

    def unhold(self) -> None:
        if (found := self._any(State.HELD)) is not None:
            operate.unhold(self.engine.root, found)

    def cancel(self) -> None:
        if (found := self._any(State.NEW, State.LATER, State.HELD, State.CUR)) is not None:
            self.ends(found.name.id)
            self.engine.cancel(found)

    def prune(self) -> None:
        if (found := self._any(State.FAILED)) is not None:
            self.ends(found.name.id)
            self.engine.remove(found)

    def _any(self, *states: State) -> Located | None:
        found = [found for state in states for found in self.engine.scan(Q, state)]
        return self.draw.choice(found) if found else None

    def _claim(self) -> Claim | None:
        found = self._any(State.CUR)
        return self.engine.load(found) if found else None


VERBS: list[Callable[[Day], None]] = [
    Day.submit,
    Day.submit_many,
    *[Day.promote_and_claim] * 4,
    Day.recover,
    *[Day.finish] * 2,
    Day.defer,
    Day.fail,
    Day.release,
    Day.retry,
    Day.hold,
    Day.unhold,
    Day.cancel,
    Day.prune,
]
