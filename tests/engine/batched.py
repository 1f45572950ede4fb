"""Batches whose last member is about to end, in each way there is; and a look at whether one callback came of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.worlds import SLOT, Q, World, new_job
from workqueue.engine import callback, marks, members, outcome, overs, recovery
from workqueue.engine.callback import Plan
from workqueue.engine.dealer import Dealer
from workqueue.engine.drafts import Draft
from workqueue.engine.members import How
from workqueue.engine.protocol import Claim
from workqueue.engine.staged import Staged
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import NewJob

ON_DONE, ON_FAILED, NEXT = "on-done", "on-failed", "next"
FEW = 2
"""Children that are published one by one; more are a batch directory."""


def draft(engine: DirectoryEngine) -> Draft:
    """A batch that calls back in either case."""
    root = engine.root
    calls = [callback.checked(root, queue, {"own": 1}, {"priority": 1}) for queue in (ON_DONE, ON_FAILED)]
    return Draft(root, Plan(root.ids.next(), root.clock.now_ms(), "a label", *calls), singles=FEW)


def fresh(world: World) -> None:
    """The queues, and nothing of earlier batches."""
    shutil.rmtree(world.root.dot("batches"), ignore_errors=True)  # a schedule is played in the world of the last one
    for queue in (ON_DONE, ON_FAILED, NEXT):
        world.root.make_queue(queue)


def submit(engine: DirectoryEngine, *jobs: NewJob) -> str:
    """A batch with these members; returns its id."""
    batch = draft(engine)
    try:
        for job in jobs:
            batch.add(job)
        batch.commit()
    finally:
        batch.close()
    return batch.id


class Ending(NamedTuple):
    """How the last member of a batch ends."""

    act: Callable[[DirectoryEngine, World, Claim], object]
    hows: set[How]
    """How it may have ended then; or it is run again, and is done."""
    adds: int = 0
    """Members that it adds."""
    options: Mapping[str, Any] = MappingProxyType({})

    def bring(self, world: World) -> Claim:
        """The last member's claim, and another one that was done before it."""
        fresh(world)
        submit(world.engine, new_job(b"first"), new_job(b"last", **self.options))
        for text in world.ls("new"):
            claim = world.take(text)
            if world.engine.body(claim) == b"last":
                last = claim
            else:
                assert world.engine.finish(claim)
        return last


def end(verb: str, *args: object) -> Callable[[DirectoryEngine, World, Claim], object]:
    return lambda engine, _, claim: getattr(engine, verb)(claim, *args)


def drop(engine: DirectoryEngine, _: World, claim: Claim) -> None:
    marks.mark(engine.root, claim.id)
    engine.drop(claim)
    marks.clear(engine.root, claim.id)


def cancel(engine: DirectoryEngine, world: World, claim: Claim) -> None:
    world.engine.release(claim)
    engine.cancel(world.find(claim.id))


def damage(engine: DirectoryEngine, world: World, claim: Claim) -> None:
    world.engine.release(claim)
    with open(world.find(claim.id).path, "ab") as file:
        file.write(b"one byte too many")
    engine.take(Q, world.ls("new")[0], SLOT)


def hand_over(count: int) -> Callable[[DirectoryEngine, World, Claim], object]:
    def act(engine: DirectoryEngine, _: World, claim: Claim) -> None:
        claim.staged = Staged(engine.root, claim, singles=FEW)
        for n in range(count):
            child = new_job(b"child %d" % n, queue=NEXT)
            child.options.batch = claim.options.batch
            engine.stage_job(claim, child)
        engine.seal(claim, None)
        engine.finish(claim)

    return act


def split_off(state: State) -> Callable[[DirectoryEngine, World, Claim], object]:
    """What the run of an array does with an element that fails."""

    def act(engine: DirectoryEngine, _: World, claim: Claim) -> None:
        engine.stage_element(claim, 0, b"0", state, attempt=1, due=1 if state is State.LATER else None, error=None)
        engine.seal(claim, None)
        engine.finish(claim)

    return act


def recover(engine: DirectoryEngine, *_: object) -> None:
    list(recovery.sweep(engine.root, engine.queues(), set()))


ENDINGS = {
    "finish": Ending(end("finish"), {How.DONE}),
    "finish with a key": Ending(end("finish"), {How.DONE}, options={"key": "k"}),
    "finish, and be kept": Ending(end("finish", b"1"), {How.DONE}, options={"keep": 60.0}),
    "hand over one": Ending(hand_over(1), {How.DONE}, adds=1),
    "hand over many": Ending(hand_over(FEW + 1), {How.DONE}, adds=FEW + 1),
    "hand over, and be kept": Ending(hand_over(1), {How.DONE}, adds=1, options={"keep": 60.0}),
    "split off for later": Ending(split_off(State.LATER), {How.DONE}, adds=1),
    "split off into failed": Ending(split_off(State.FAILED), {How.FAILED}, adds=1),
    "fail": Ending(end("fail"), {How.FAILED}, options={"key": "k"}),
    "drop": Ending(drop, {How.CANCELLED}),
    "corrupt": Ending(end("corrupt", "why"), {How.CORRUPT}),
    "be damaged": Ending(damage, {How.CORRUPT}),
    "cancel": Ending(cancel, {How.CANCELLED}),
    "recover the last attempt": Ending(recover, {How.FAILED}, options={"max_attempts": 1}),
}
"""Every way in which a member ends."""


def run_all(world: World, ending: Ending | None = None) -> dict[str, list[dict[str, Any]]]:
    """Recover and run all there is; returns what each callback was told, by its queue.

    A member that is run again does as before if it hands something over, and else it is done.
    """
    told: dict[str, list[dict[str, Any]]] = {ON_DONE: [], ON_FAILED: []}
    world.clock.advance(3600)
    assert list(recovery.sweep(world.root, world.root.queues(), set())) is not None
    assert list(overs.tidy(world.root)) == []
    dealer = Dealer(world.root, world.root.queues())
    ran: Counter[str] = Counter()
    while True:
        dealt = dealer.deal(1)
        if dealt is None:
            dealer.refresh(now=True)
            if not len(dealer) and dealer.is_drained():
                return told
            continue
        queue, hints = dealt
        taken = world.engine.take(queue, hints[0], SLOT)
        dealer.settle(queue, hints)
        if not isinstance(taken, Claim):
            continue
        ran[taken.id] += 1
        assert ran[taken.id] == 1, f"{queue}: run twice"
        body = world.engine.body(taken)
        if queue in told:
            told[queue].append(json.loads(body))
        if body == b"last" and ending is not None and ending.adds:
            ending.act(world.engine, world, taken)
        else:
            assert world.engine.finish(taken)


def ended_once(world: World, ending: Ending, *, more: int = 0) -> How:
    """Recover and run the rest: one callback came, in the right queue and with the right numbers; returns how."""
    told = run_all(world, ending)
    [(queue, payload)] = [(queue, payload) for queue, each in told.items() for payload in each]
    total = 2 + ending.adds + more
    counts = {how: payload[how] for how in How if payload[how]}
    assert (sum(counts.values()), payload["total"]) == (total, total)
    assert queue == (ON_DONE if counts == {How.DONE: total} else ON_FAILED)
    assert payload["label"] == "a label"
    assert payload["payload"] == {"own": 1}
    nothing_is_left(world, payload["batch"], payload)
    [how] = counts.keys() - {How.DONE} or {How.DONE}
    assert how in {*ending.hows, How.DONE}
    return how


def nothing_is_left(world: World, batch: str, payload: dict[str, Any]) -> None:
    """The batch is over, is told so, and nothing but its numbers is left of it."""
    assert members.active(world.root) == []
    found = outcome.of(world.root, batch)
    assert found is not None
    assert found.ended
    assert found.facts() == {name: payload[name] for name in found.facts()}
    assert len(outcome.member_ids(world.root, batch)) == found.total
    left = set(world.root.fs.list(world.root.dot("batches", "over", batch)))
    assert left - {"ended", "items"} == {
        "batch",
        "outcome",
        "members",
    }  # a power cut can bring a removed directory back
    assert world.dot("batches") == ["over"]
