"""What the tests of power cuts share: a world whose disk is written down, and the moments that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from engine.conftest import empty
from engine.scenarios import SCENARIOS, Scenario
from engine.worlds import World
from support.clocks import FakeClock
from support.cuts import ORDERED, POSIX, Model
from support.power import PoweredFs
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE_BY_HAND = {"keyed, over a dead job", "recover what was moved into cur by hand"}
"""What somebody does beside the queue is not written down."""
NAMES = [name for name in SCENARIOS if name not in DONE_BY_HAND]
MODELS = pytest.mark.parametrize("model", [POSIX, ORDERED], ids=["posix", "ordered"])
WAITING = {State.NEW, State.LATER, State.CUR}
LIVING = {*WAITING, State.HELD}
ORDERS: dict[str, State | None] = {
    "retry": State.NEW,
    "retry with key": State.NEW,
    "retry from later": State.NEW,
    "cancel": None,
    "hold": State.HELD,
    "unhold": State.NEW,
    "prune": None,
}
"""Verbs that a person was told are done: where the job is after any later cut."""


class Moment(NamedTuple):
    """What was known when the power was cut."""

    told: frozenset[str]
    """The jobs whose submit had returned."""
    ending: frozenset[str]
    """The jobs that a verb had begun to end."""
    begun: bool
    """Whether the verb had changed anything."""
    over: bool
    """Whether everything had returned."""


class PoweredWorld(World):
    """A world whose disk is written down, with the moments that matter."""

    def __init__(self, ground: str, *others: str, disk: type[PoweredFs] = PoweredFs) -> None:
        empty(ground)
        self.disk = disk(ground, *others)
        self.told: dict[str, int] = {}
        self.ending: dict[str, int] = {}
        self.since = self.begins = 0
        super().__init__(ground, FakeClock())
        self.engine = self.open(self.disk)

    @property
    def steps(self) -> int:
        """How many the disk has made."""
        return len(self.disk.log.steps)

    def put(self, payload: bytes = b"1", engine: Any = None, **fields: Any) -> str:
        job_id = super().put(payload, engine, **fields)
        self.told.setdefault(job_id, self.steps)  # a key leads to a job of before
        return job_id

    def put_many(self, payloads: list[bytes], engine: Any = None, **fields: Any) -> list[str]:
        ids = super().put_many(payloads, engine, **fields)
        self.told.update(dict.fromkeys(ids, self.steps))
        return ids

    def begin(self, job_id: str) -> State:
        """The verb begins here; where its job is."""
        self.begins = self.steps
        return self.jobs()[job_id]

    def ends(self, job_id: str) -> None:
        """A verb begins to end this job here."""
        self.ending.setdefault(job_id, self.steps)

    def cuts(self, model: Model) -> Iterator[tuple[Moment, World]]:
        """Every moment with every state that a cut may leave then, laid out; each once."""
        found = {}
        for n in range(self.since, self.steps + 1):
            told = frozenset(job_id for job_id, at in self.told.items() if at <= n)
            ending = frozenset(job_id for job_id, at in self.ending.items() if at < n)
            moment = Moment(told, ending, n > self.begins, n == self.steps)
            found.update({(moment, state.key()): state for state in model.cuts(self.disk.log, n)})
        for (moment, _), state in found.items():
            empty(self.path)
            state.restore()
            yield moment, World(self.path, FakeClock(self.clock.now()))


def key_must_hold(moment: Moment, scenario: Scenario, before: State) -> bool:
    """Whether a living job must have its key: not if it had ended once, and the cut brought it back."""
    if before not in LIVING:
        return moment.over
    return not moment.begun or scenario.may_be <= LIVING
