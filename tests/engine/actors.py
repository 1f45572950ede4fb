"""What actors do in interleavings, each with an engine of its own and what was brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.worlds import SLOT, Q, World, new_job
from workqueue.engine import operate, recovery, slots
from workqueue.engine.protocol import Claim
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.schedules import Act
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located, Placed, Settled


def claims(slot: int) -> Act:
    """Claim the job that was brought."""
    return lambda engine, job_id: engine.take(Q, f"5-{job_id}-0", slot)


def deals(slot: int) -> Act:
    """Claim all that is found, as a worker does whose supervisor deals."""

    def act(engine: DirectoryEngine, _: object) -> list[Claim]:
        dealer = QueueDealer(engine.root, Q)
        dealer.refresh(now=True)
        hints = dealer.deal(5)
        taken = [engine.take(Q, hint, slot) for hint in hints]
        dealer.settle(hints)
        return [claim for claim in taken if isinstance(claim, Claim)]

    return act


def promotes(engine: DirectoryEngine, _: object) -> int:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    return dealer.promote()


def sweeps(engine: DirectoryEngine, _: object) -> list[Settled | str]:
    return list(recovery.sweep(engine.root, [Q], set()))


def succeeds(engine: DirectoryEngine, _: object) -> list[Settled | str]:
    """Take over the dead worker's slot, to work in it."""
    slot = slots.try_lock(engine.root, SLOT)
    if slot is None:
        return []
    try:
        return list(recovery.take_over(engine.root, slot))
    finally:
        slot.close()


def cancels(engine: DirectoryEngine, job_id: str) -> State | None:
    """Look a job up, and cancel it."""
    found = engine.find(job_id)
    return engine.cancel(found) if found else None


def holds(engine: DirectoryEngine, job_id: str) -> bool:
    found = engine.find(job_id)
    return found is not None and found.state in {State.NEW, State.LATER} and operate.hold(engine.root, found)


def delayed(world: World) -> str:
    return world.put(due=world.clock.now_ms())


def running(world: World, slot: int = SLOT, **options: Any) -> Claim:
    job_id = world.put(**options)
    return world.take(f"5-{job_id}-0", slot=slot)


def failed(world: World, **options: Any) -> Located:
    claim = running(world, **options)
    world.engine.fail(claim)
    return world.find(claim.id)


def submits(engine: DirectoryEngine, _: object) -> Placed:
    return engine.put(new_job(key="k"))


def _ready(world: World, **options: Any) -> Located:
    return world.find(world.put(**options))


def _delayed(world: World, **options: Any) -> Located:
    return _ready(world, due=world.clock.now_ms(), **options)


def _held(world: World, **options: Any) -> Located:
    found = _ready(world, **options)
    assert operate.hold(world.root, found)
    return world.find(found.name.id)


MOVES: dict[str, tuple[Callable[..., Claim | Located], Act]] = {
    "claim": (_ready, lambda engine, found: engine.take(Q, found.name.ready(), 1)),
    "release": (running, lambda engine, claim: engine.release(claim)),
    "defer": (running, lambda engine, claim: engine.defer(claim, 60.0)),
    "hold": (_ready, lambda engine, found: operate.hold(engine.root, found)),
    "unhold": (_held, lambda engine, found: operate.unhold(engine.root, found)),
    "promote": (_delayed, promotes),
    "recover": (running, sweeps),
}
"""How a job that lives can move: what is brought, and who moves it."""

DUE = 1764000000000
SUBMITS: dict[str, Callable[[DirectoryEngine, object], list[str]]] = {
    "plain": lambda engine, _: [engine.put(new_job(b"whole")).id],
    "keyed": lambda engine, _: [engine.put(new_job(b"whole", key="k")).id],
    "delayed": lambda engine, _: [engine.put(new_job(b"whole", due=DUE)).id],
    "many": lambda engine, _: list(*engine.put_many(new_job(durable=False), [(b"whole", "bytes")] * 2)),
}
