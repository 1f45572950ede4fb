"""Every verb on one job: what the tests cut off, fail and kill at each disk operation.

How many operations each does stands in operations.py, so that a new one cannot slip by unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.befores import (
    again,
    committed,
    delayed,
    delayed_batch,
    failed,
    failed_long_ago,
    held,
    in_batch,
    kept,
    keyed,
    mark,
    marked,
    marked_and_ready,
    moved_into_cur,
    quarantined,
    ready,
    running,
    saved,
    saved_and_failed,
    sealed,
    stage_a_child,
    the_claim,
    with_stage,
)
from engine.worlds import Q, World
from workqueue.engine import housekeeping, operate, recovery, settle, slots
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.housekeeping import DoneKeeper
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.engine.protocol import Claim, Located

__all__ = ["SCENARIOS", "Scenario", "delayed", "held", "keyed", "operator", "run", "running", "sweep", "the_claim"]


@dataclass
class Scenario:
    """A verb on one job that was acknowledged before."""

    act: Callable[[DirectoryEngine, World, str], object]
    may_be: frozenset[State | None]
    """Where the job may be after the crash; None: its end was reached."""
    then: frozenset[State | None]
    """Where it may be after recovery and a drain."""
    bring: Callable[[World], str]
    ends: bool = False
    """Whether the verb ends the job for good: it need not run."""
    ordered: bool = False
    """Whether its end was ordered before: it must not run."""


Act = Callable[["DirectoryEngine", World, str], object]


def run(end: Callable[[DirectoryEngine, Claim], object]) -> Act:
    """A run ends."""
    return lambda engine, _, job_id: end(engine, the_claim(engine, job_id))


def staged(end: Callable[[DirectoryEngine, Claim], object]) -> Act:
    """A run makes a file of its own, and then ends."""

    def act(engine: DirectoryEngine, claim: Claim) -> None:
        engine.payload_path(claim)
        end(engine, claim)

    return run(act)


def commit(engine: DirectoryEngine, claim: Claim) -> None:
    """A run hands a child over, and ends."""
    stage_a_child(engine, claim)
    engine.finish(claim)


def defer_after_sealing(engine: DirectoryEngine, claim: Claim) -> None:
    """As where the commit itself is refused."""
    stage_a_child(engine, claim)
    engine.defer(claim, 60)


def operator(verb: Callable[[DirectoryEngine, Located], object]) -> Act:
    """Somebody looks the job up, and does something to it."""
    return lambda engine, world, job_id: verb(engine, world.find(job_id))


def defer_after_an_error(engine: DirectoryEngine, claim: Claim) -> None:
    engine.add_error(claim, {"message": "x"})
    engine.defer(claim, 60)


def save(number: int = 1, *, durable: bool = True) -> Act:
    """A run saves a checkpoint."""
    return run(lambda engine, claim: engine.save(claim, mark(number), durable=durable))


def after_a_save(end: Callable[[DirectoryEngine, Claim], object]) -> Act:
    """A run saves a checkpoint, and then ends."""

    def act(engine: DirectoryEngine, claim: Claim) -> None:
        engine.save(claim, mark(1), durable=True)
        end(engine, claim)

    return run(act)


def claim_out_of_a_batch(engine: DirectoryEngine, _: World, job_id: str) -> None:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    for hint in dealer.deal(5):
        engine.take(Q, hint, 3)
        dealer.settle([hint])


def promote(engine: DirectoryEngine, _: World, job_id: str) -> None:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    dealer.promote()


def sweep(engine: DirectoryEngine, _: World, job_id: str) -> None:
    list(recovery.sweep(engine.root, [Q], set()))


def take_over(engine: DirectoryEngine, _: World, job_id: str) -> None:
    """What a supervisor does with a dead worker's slot before it forks its own."""
    slot = slots.try_lock(engine.root, 3)
    assert slot is not None
    try:
        list(recovery.take_over(engine.root, slot))
    finally:
        slot.close()


GONE = None
NEW, LATER, CUR, HELD, DONE, FAILED, CORRUPT = (
    State.NEW, State.LATER, State.CUR, State.HELD, State.DONE, State.FAILED, State.CORRUPT,
)  # fmt: skip


def to(*which: State | None) -> frozenset[State | None]:
    return frozenset(which)


SCENARIOS: dict[str, Scenario] = {
    "claim": Scenario(lambda engine, _, job_id: engine.take(Q, f"5-{job_id}-0", 3), to(NEW, CUR), to(GONE), ready),
    "claim out of a batch": Scenario(claim_out_of_a_batch, to(NEW, CUR), to(GONE), in_batch),
    "stage": Scenario(staged(lambda *_: None), to(CUR), to(GONE), running),
    "finish": Scenario(run(DirectoryEngine.finish), to(CUR, GONE), to(GONE), running),
    "finish with history": Scenario(run(DirectoryEngine.finish), to(CUR, GONE), to(GONE), again),
    "finish with key": Scenario(
        run(DirectoryEngine.finish), to(CUR, GONE), to(GONE), lambda world: running(world, key="k")
    ),
    "finish with key_for": Scenario(
        run(DirectoryEngine.finish),
        to(CUR, GONE),
        to(GONE),
        lambda world: running(world, key="k", key_for=60),
    ),
    "finish with keep": Scenario(
        run(lambda engine, claim: engine.finish(claim, b"[1]")),
        to(CUR, DONE),
        to(DONE),
        lambda world: running(world, keep=60, key="k"),
    ),
    "finish with staged files": Scenario(staged(DirectoryEngine.finish), to(CUR, GONE), to(GONE), running),
    "commit": Scenario(run(commit), to(CUR, DONE, GONE), to(GONE, DONE), running),
    "commit with keep": Scenario(run(commit), to(CUR, DONE), to(DONE), lambda world: running(world, keep=60)),
    "defer what would be handed over": Scenario(run(defer_after_sealing), to(CUR, LATER), to(GONE), running),
    "take over a run that had committed": Scenario(sweep, to(DONE, GONE), to(GONE, DONE), committed),
    "take over a run that had sealed": Scenario(sweep, to(CUR, NEW), to(GONE), sealed),
    "defer": Scenario(run(lambda engine, claim: engine.defer(claim, 60)), to(CUR, LATER), to(GONE), running),
    "defer with staged files after an error": Scenario(staged(defer_after_an_error), to(CUR, LATER), to(GONE), running),
    "snooze": Scenario(
        run(lambda engine, claim: engine.defer(claim, 60, free=True)), to(CUR, LATER), to(GONE), running
    ),
    "fail": Scenario(
        run(DirectoryEngine.fail),
        to(CUR, FAILED),
        to(GONE, FAILED),
        lambda world: running(world, key="k"),
    ),
    "release": Scenario(run(DirectoryEngine.release), to(CUR, NEW), to(GONE), running),
    "save": Scenario(save(), to(CUR), to(GONE), running),
    "save again": Scenario(save(2), to(CUR), to(GONE), saved),
    "save, volatile": Scenario(save(2, durable=False), to(CUR), to(GONE), saved),
    "progress": Scenario(run(lambda engine, claim: engine.put_progress(claim, b"{}")), to(CUR), to(GONE), running),
    "finish after a save": Scenario(after_a_save(DirectoryEngine.finish), to(CUR, GONE), to(GONE), running),
    "release after a save": Scenario(after_a_save(DirectoryEngine.release), to(CUR, NEW), to(GONE), running),
    "snooze after a save": Scenario(
        after_a_save(lambda engine, claim: engine.defer(claim, 60, free=True)), to(CUR, LATER), to(GONE), running
    ),
    "put back": Scenario(
        run(lambda engine, claim: settle.put_back(engine.root, claim)), to(CUR, NEW), to(GONE), running
    ),
    "corrupt": Scenario(
        run(lambda engine, claim: engine.corrupt(claim, "why")), to(CUR, CORRUPT), to(GONE, CORRUPT), running
    ),
    "drop": Scenario(run(DirectoryEngine.drop), to(CUR, GONE), to(GONE), marked, ends=True, ordered=True),
    "end a run over its limit": Scenario(
        run(lambda engine, claim: recovery.end_run(engine.root, claim, "timeout", "long")),
        to(CUR, LATER),
        to(GONE),
        running,
    ),
    "recover": Scenario(sweep, to(CUR, NEW), to(GONE), running),
    "recover after a save": Scenario(sweep, to(CUR, NEW), to(GONE), saved),
    "give back after a save": Scenario(
        run(lambda engine, claim: recovery.release(engine.root, claim)), to(CUR, NEW), to(GONE), saved
    ),
    "recover what a run staged": Scenario(sweep, to(CUR, NEW), to(GONE), with_stage),
    "recover what was moved into cur by hand": Scenario(sweep, to(CUR, NEW), to(GONE), moved_into_cur),
    "recover the last attempt": Scenario(
        sweep, to(CUR, FAILED), to(FAILED), lambda world: running(world, max_attempts=1, key="k")
    ),
    "recover a cancelled job": Scenario(sweep, to(CUR, GONE), to(GONE), marked, ends=True, ordered=True),
    "take a slot over": Scenario(take_over, to(CUR, NEW), to(GONE), with_stage),
    "retry": Scenario(operator(DirectoryEngine.retry), to(FAILED, NEW), to(FAILED, GONE), failed),
    "retry from the start": Scenario(
        operator(lambda engine, found: engine.retry(found, from_start=True)),
        to(FAILED, NEW),
        to(FAILED, GONE),
        saved_and_failed,
    ),
    "retry with key": Scenario(
        operator(DirectoryEngine.retry),
        to(FAILED, NEW),
        to(FAILED, GONE),
        lambda world: failed(world, key="k"),
    ),
    "retry from later": Scenario(operator(DirectoryEngine.retry), to(LATER, NEW), to(GONE), delayed),
    "retry from corrupt": Scenario(operator(DirectoryEngine.retry), to(CORRUPT, NEW), to(CORRUPT, GONE), quarantined),
    "cancel": Scenario(operator(DirectoryEngine.cancel), to(NEW, GONE), to(GONE), keyed, ends=True),
    "cancel out of a batch": Scenario(operator(DirectoryEngine.cancel), to(NEW, GONE), to(GONE), in_batch, ends=True),
    "cancel a running job": Scenario(operator(DirectoryEngine.cancel), to(CUR), to(GONE), running, ends=True),
    "carry out a cancel": Scenario(
        lambda engine, *_: housekeeping.carry_out_cancels(engine.root),
        to(NEW, GONE),
        to(GONE),
        marked_and_ready,
        ends=True,
        ordered=True,
    ),
    "hold": Scenario(
        operator(lambda engine, found: operate.hold(engine.root, found)), to(NEW, HELD), to(HELD, GONE), ready
    ),
    "hold out of a batch": Scenario(
        operator(lambda engine, found: operate.hold(engine.root, found)), to(NEW, HELD), to(HELD, GONE), in_batch
    ),
    "unhold": Scenario(
        operator(lambda engine, found: operate.unhold(engine.root, found)), to(NEW, HELD), to(HELD, GONE), held
    ),
    "promote": Scenario(promote, to(LATER, NEW), to(GONE), delayed),
    "promote a batch": Scenario(promote, to(LATER, NEW), to(GONE), delayed_batch),
    "prune": Scenario(operator(DirectoryEngine.remove), to(FAILED, GONE), to(FAILED, GONE), failed),
    "prune by age": Scenario(
        lambda engine, *_: list(operate.prune(engine.root, Q, FAILED, 60)),
        to(FAILED, GONE),
        to(FAILED, GONE),
        failed_long_ago,
    ),
    "prune what was kept": Scenario(
        lambda engine, *_: DoneKeeper(engine.root, Q).prune(), to(DONE, GONE), to(DONE, GONE), kept
    ),
}
