"""Every verb, cut off before each of its operations: nothing is lost, nothing is doubled, nothing stays stuck."""

from __future__ import annotations

import errno
import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import Crash, CrashingFs
from engine.worlds import Q, World, new_job
from workqueue.engine import housekeeping, operate, recovery, settle
from workqueue.engine.dealer import QueueDealer
from workqueue.errors import of_path
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim

FAR = 4764000000000


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


def the_claim(engine: DirectoryEngine, job_id: str) -> Claim:
    found = engine.find(job_id)
    assert found is not None
    return engine.load(found)


def ready(world: World) -> str:
    return world.put(b"acknowledged")


def keyed(world: World) -> str:
    return world.put(b"acknowledged", key="k")


def running(world: World, **options: Any) -> str:
    job_id = world.put(b"acknowledged", **options)
    world.take(f"5-{job_id}-0")
    return job_id


def again(world: World) -> str:
    """A job in its second attempt."""
    job_id = running(world)
    world.engine.add_error(the_claim(world.engine, job_id), {"message": "x"})
    world.engine.defer(the_claim(world.engine, job_id), 0)
    world.engine.retry(world.find(job_id))
    world.take(f"5-{job_id}-1")
    return job_id


def failed(world: World, **options: Any) -> str:
    job_id = running(world, **options)
    world.engine.add_error(the_claim(world.engine, job_id), {"message": "x"})
    world.engine.fail(the_claim(world.engine, job_id))
    return job_id


def delayed(world: World) -> str:
    return world.put(b"acknowledged", due=world.clock.now_ms())


def in_batch(world: World) -> str:
    return world.put_many([b"acknowledged"])[0]


def delayed_batch(world: World) -> str:
    return world.put_many([b"acknowledged"], due=world.clock.now_ms())[0]


def held(world: World) -> str:
    job_id = ready(world)
    operate.hold(world.root, world.find(job_id))
    return job_id


def marked(world: World) -> str:
    job_id = running(world, key="k")
    world.engine.cancel(world.find(job_id))
    return job_id


def staged(engine: DirectoryEngine, _: World, job_id: str) -> None:
    claim = the_claim(engine, job_id)
    engine.payload_path(claim)
    engine.finish(claim)


def promoted(engine: DirectoryEngine, _: World, job_id: str) -> None:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    dealer.promote()


def emptied(engine: DirectoryEngine, world: World, job_id: str) -> None:
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    for hint in dealer.deal(5):
        engine.take(Q, hint, 3)
        dealer.settle([hint])


def swept(engine: DirectoryEngine, world: World, job_id: str) -> None:
    list(recovery.sweep(engine.root, [Q], set()))


def states(*which: State | None) -> frozenset[State | None]:
    return frozenset(which)


GONE = None
NEW, LATER, CUR, HELD, DONE, FAILED, CORRUPT = (
    State.NEW, State.LATER, State.CUR, State.HELD, State.DONE, State.FAILED, State.CORRUPT,
)  # fmt: skip

SCENARIOS: dict[str, Scenario] = {
    "claim": Scenario(
        lambda engine, _, job_id: engine.take(Q, f"5-{job_id}-0", 3), states(NEW, CUR), states(GONE), ready
    ),
    "claim out of a batch": Scenario(emptied, states(NEW, CUR), states(GONE), in_batch),
    "finish": Scenario(
        lambda engine, _, job_id: engine.finish(the_claim(engine, job_id)), states(CUR, GONE), states(GONE), running
    ),
    "finish with history": Scenario(
        lambda engine, _, job_id: engine.finish(the_claim(engine, job_id)),
        states(CUR, GONE),
        states(GONE),
        again,
    ),
    "finish with key": Scenario(
        lambda engine, _, job_id: engine.finish(the_claim(engine, job_id)),
        states(CUR, GONE),
        states(GONE),
        lambda world: running(world, key="k"),
    ),
    "finish with keep": Scenario(
        lambda engine, _, job_id: engine.finish(the_claim(engine, job_id), b"[1]"),
        states(CUR, DONE),
        states(DONE),
        lambda world: running(world, keep=60, key="k"),
    ),
    "finish with staged files": Scenario(staged, states(CUR, GONE), states(GONE), running),
    "defer": Scenario(
        lambda engine, _, job_id: engine.defer(the_claim(engine, job_id), 60),
        states(CUR, LATER),
        states(GONE),
        running,
    ),
    "fail": Scenario(
        lambda engine, _, job_id: engine.fail(the_claim(engine, job_id)),
        states(CUR, FAILED),
        states(GONE, FAILED),
        lambda world: running(world, key="k"),
    ),
    "release": Scenario(
        lambda engine, _, job_id: engine.release(the_claim(engine, job_id)), states(CUR, NEW), states(GONE), running
    ),
    "put back": Scenario(
        lambda engine, _, job_id: settle.put_back(engine.root, the_claim(engine, job_id)),
        states(CUR, NEW),
        states(GONE),
        running,
    ),
    "corrupt": Scenario(
        lambda engine, _, job_id: engine.corrupt(the_claim(engine, job_id), "why"),
        states(CUR, CORRUPT),
        states(GONE, CORRUPT),
        running,
    ),
    "drop": Scenario(
        lambda engine, _, job_id: engine.drop(the_claim(engine, job_id)),
        states(CUR, GONE),
        states(GONE),
        marked,
        ends=True,
    ),
    "recover": Scenario(swept, states(CUR, NEW), states(GONE), running),
    "recover the last attempt": Scenario(
        swept, states(CUR, FAILED), states(FAILED), lambda world: running(world, max_attempts=1, key="k")
    ),
    "recover a cancelled job": Scenario(swept, states(CUR, GONE), states(GONE), marked, ends=True),
    "retry": Scenario(
        lambda engine, world, job_id: engine.retry(world.find(job_id)),
        states(FAILED, NEW),
        states(FAILED, GONE),
        failed,
    ),
    "retry with key": Scenario(
        lambda engine, world, job_id: engine.retry(world.find(job_id)),
        states(FAILED, NEW),
        states(FAILED, GONE),
        lambda world: failed(world, key="k"),
    ),
    "retry from later": Scenario(
        lambda engine, world, job_id: engine.retry(world.find(job_id)), states(LATER, NEW), states(GONE), delayed
    ),
    "cancel": Scenario(
        lambda engine, world, job_id: engine.cancel(world.find(job_id)),
        states(NEW, GONE),
        states(GONE),
        keyed,
        ends=True,
    ),
    "cancel a running job": Scenario(
        lambda engine, world, job_id: engine.cancel(world.find(job_id)), states(CUR), states(GONE), running, ends=True
    ),
    "hold": Scenario(
        lambda engine, world, job_id: operate.hold(engine.root, world.find(job_id)),
        states(NEW, HELD),
        states(HELD, GONE),
        ready,
    ),
    "unhold": Scenario(
        lambda engine, world, job_id: operate.unhold(engine.root, world.find(job_id)),
        states(NEW, HELD),
        states(HELD, GONE),
        held,
    ),
    "promote": Scenario(promoted, states(LATER, NEW), states(GONE), delayed),
    "promote a batch": Scenario(promoted, states(LATER, NEW), states(GONE), delayed_batch),
    "prune": Scenario(
        lambda engine, world, job_id: engine.remove(world.find(job_id)),
        states(FAILED, GONE),
        states(FAILED, GONE),
        failed,
    ),
}


def where(world: World, job_id: str) -> State | None:
    return world.jobs().get(job_id)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_cut_off_anywhere_leaves_its_job_whole_in_one_state_and_the_queue_goes_on(
    world: World, name: str
) -> None:
    scenario = SCENARIOS[name]
    seen: set[State | None] = set()
    for n in itertools.count(1):
        job_id = scenario.bring(world)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            scenario.act(engine, world, job_id)
        except Crash:
            fs.bury()
        state = where(world, job_id)
        assert state in scenario.may_be
        seen.add(state)

        ran = world.drain()
        housekeeping.carry_out_cancels(world.root)
        after = where(world, job_id)
        assert after in scenario.then
        if not scenario.ends:
            assert (job_id in ran) == (state in {NEW, LATER, CUR} and after in {GONE, DONE})
        assert ran.get(job_id, b"acknowledged") == b"acknowledged"
        assert world.dot("stage") == world.dot("cancel") == []
        assert world.put(key="k") != job_id or after is HELD, "its key is free"
        world.drain()
        clear(world, job_id)
        if not fs.reached:
            assert n > 1
            assert len(scenario.may_be) == 1 or len(seen) > 1, "the scenario proves nothing"
            return


def clear(world: World, job_id: str) -> None:
    """Remove what an operator would."""
    found = world.engine.find(job_id)
    if found is not None:
        if found.state is HELD:
            world.engine.cancel(found)
        else:
            world.engine.remove(found)
    world.clean()
    assert world.jobs() == {}


# -- submit ----------------------------------------------------------------------------------------------------


def put_file(mode: str, **options: Any) -> Callable[[World, DirectoryEngine, str], list[str]]:
    return lambda world, engine, path: [world.put(b"", engine, file=path, mode=mode, **options)]


SUBMITS: dict[str, Callable[[World, DirectoryEngine, str], list[str]]] = {
    "durable": lambda world, engine, _: [world.put(b"content", engine)],
    "volatile": lambda world, engine, _: [world.put(b"content", engine, durable=False)],
    "delayed": lambda world, engine, _: [world.put(b"content", engine, due=world.clock.now_ms())],
    "keyed": lambda world, engine, _: [world.put(b"content", engine, key="k")],
    "many": lambda world, engine, _: world.put_many([b"content"] * 3, engine),
    "many, volatile": lambda world, engine, _: world.put_many([b"content"] * 3, engine, durable=False),
    "many, delayed": lambda world, engine, _: world.put_many([b"content"] * 3, engine, due=world.clock.now_ms()),
    "move": put_file("move"),
    "move with options": put_file("move", max_attempts=3),
    "move with key": put_file("move", key="k"),
    "link": put_file("link"),
    "link with options": put_file("link", max_attempts=3),
    "copy": put_file("copy"),
    "copy with key": put_file("copy", key="k"),
}


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_cut_off_anywhere_leaves_its_jobs_whole_or_not_at_all(world: World, tmp_path: Path, kind: str) -> None:
    seen: set[int] = set()
    expected = 3 if "many" in kind else 1
    for n in itertools.count(1):
        path = tmp_path / f"file-{n}"
        path.write_bytes(b"content")
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        told: list[str] = []
        try:
            told = SUBMITS[kind](world, engine, str(path))
        except Crash:
            fs.bury()
        there = world.jobs()
        left_in_tmp = {name.id for text in world.ls("tmp") if (name := names.parse(text))}
        assert len(there) in {0, expected}
        assert set(told) <= set(there), "what was acknowledged is there"
        seen.add(len(there))
        if kind.startswith("move"):
            assert path.exists() != bool(there), "the file is in one place"
        else:
            assert path.read_bytes() == b"content"
        if "key" in kind:
            holder = world.engine.put(new_job(b"content", key="k"))
            assert len(world.jobs()) == 1
            assert set(world.jobs()) == {holder.id}
            assert holder.created == (holder.id not in {*there, *left_in_tmp})
        left = len(world.jobs())
        ran = world.drain()
        assert len(ran) == left
        assert set(ran.values()) <= {b"content"}
        world.clean()
        assert world.jobs() == {}
        if not fs.reached:
            assert told
            assert seen == {0, expected}
            return


def test_a_submit_by_move_from_another_file_system_cut_off_anywhere_never_has_the_file_nowhere(
    world: World, tmp_path: Path
) -> None:
    class FarFs(CrashingFs):
        def rename(self, source: str, target: str) -> None:
            if source.startswith(str(tmp_path / "far")):
                raise of_path(errno.EXDEV, source)
            super().rename(source, target)

    for n in itertools.count(1):
        path = tmp_path / f"far-{n}"
        path.write_bytes(b"content")
        fs = FarFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            world.put(b"", engine, file=str(path), mode="move")
        except Crash:
            fs.bury()
        assert path.exists() or len(world.jobs()) == 1
        assert set(world.drain().values()) <= {b"content"}
        world.clean()
        if not fs.reached:
            assert not path.exists()
            return


def test_cleaning_tmp_cut_off_anywhere_is_finished_by_the_next(world: World) -> None:
    for n in itertools.count(1):
        world.plant("old", state="tmp")
        os.makedirs(world.at("tmp", "old-batch/inside"))
        world.clock.advance(10 * 86400)
        fs = CrashingFs(n)
        root = world.open(fs).root
        fs.armed = True
        try:
            housekeeping.clean_tmp(root, Q)
        except Crash:
            fs.bury()
        world.clean()
        if not fs.reached:
            return
