"""What a run stages appears if and only if it commits: cut off, refused and cut from power at each operation."""

from __future__ import annotations

import contextlib
import errno
import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest

from engine.conftest import empty
from engine.disks import Crash, CrashingFs, FailingFs, LiarFs, UnsureFs
from engine.handovers import KINDS, PARENT, Handover, fresh, handovers
from engine.powered import PoweredWorld
from engine.worlds import Q, World
from support.clocks import FakeClock
from support.cuts import ORDERED, POSIX, SPLIT, Model
from workqueue.jobs.states import State
from workqueue.run import verdicts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def begun(world: World, out: str, kind: str) -> tuple[World, Handover, Claim]:
    """A world with nothing in it but a run of this kind, which is about to hand over."""
    fresh(out)
    empty(world.path)
    anew = World(world.path, FakeClock())
    handover = handovers(out)[kind]
    return anew, handover, handover.bring(anew)


def parent_states(world: World) -> set[State]:
    """Where the parent is."""
    return {
        state
        for state in State
        for found in world.engine.scan(Q, state)
        if world.engine.body(world.engine.load(found)) == PARENT
    }


def everything_came_once(world: World, handover: Handover, before: dict[bytes, int] | None = None) -> None:
    """Recover and run the rest: all that was handed over is there, once and whole, and nothing else."""
    ran = handover.drain(world)
    ran.update(before or {})
    assert ran == handover.ran
    assert handover.found(world) == handover.files
    handover.nothing_is_left(world)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_stages_comes_when_it_commits(world: World, out: str, kind: str) -> None:
    world, handover, claim = begun(world, out, kind)
    verdict = handover.act(world.engine, claim)
    assert isinstance(verdict, verdicts.Done)
    assert parent_states(world) == ({State.DONE} if "result" in kind else set())
    if "result" in kind:
        assert world.engine.result(claim.id) == b'{"rows":1}'
    everything_came_once(world, handover)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_off_anywhere_hands_all_over_once_or_is_run_again(world: World, out: str, kind: str) -> None:
    seen = set()
    for n in itertools.count(1):
        world, handover, claim = begun(world, out, kind)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            handover.act(engine, claim)
        except Crash:
            fs.bury()
        states = parent_states(world)
        is_old = handover.found(world) == {"old.txt": b"old"} and not handover.jobs(world)
        assert is_old or not states & {State.NEW, State.CUR, State.LATER}, "it appears only when it has committed"
        seen.add(frozenset(states))
        everything_came_once(world, handover)
        if not fs.reached:
            break
    assert {frozenset({State.CUR}), frozenset({State.DONE})} <= seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_recovery_cut_off_anywhere_is_finished_by_the_next(world: World, out: str, kind: str) -> None:
    """Stopped before each operation from the sealing on, and then its recovery stopped before each of its own."""
    world, handover, claim = begun(world, out, kind)
    whole = CrashingFs(10**9)
    engine = world.open(whole)
    whole.armed = True
    handover.act(engine, claim)
    for n in range(max(1, whole.count - 25), whole.count + 1):
        for m in itertools.count(1):
            world, handover, claim = begun(world, out, kind)
            if not cut_off(world, n, partial(handover.act, claim=claim)):
                break
            if not cut_off(world, m, world.sweep):
                break
            everything_came_once(world, handover)


def cut_off(world: World, n: int, act: Callable[[DirectoryEngine], object]) -> bool:
    """Whether the act was stopped before its n-th operation."""
    fs = CrashingFs(n)
    engine = world.open(fs)
    fs.armed = True
    try:
        act(engine)
    except Crash:
        fs.bury()
    return fs.reached


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_refuses_an_operation_has_all_come_once_when_it_is_mended(
    world: World, out: str, kind: str, code: int, for_good: bool
) -> None:
    for n in itertools.count(1):
        world, handover, claim = begun(world, out, kind)
        fs = FailingFs(n, code, for_good=for_good)
        engine = world.open(fs)
        fs.armed = True
        verdict = settled(handover, engine, claim)
        states = parent_states(world)
        if isinstance(verdict, verdicts.Again):
            assert not handover.jobs(world), "a run that failed hands nothing over"
            assert handover.found(world) == {"old.txt": b"old"}
            assert states <= {State.CUR, State.LATER}
        fs.armed = False
        everything_came_once(world, handover)
        if not fs.reached:
            return


def settled(handover: Handover, engine: DirectoryEngine, claim: Claim) -> verdicts.Verdict | None:
    """None: the disk refused even the settlement, which is the end of a worker, and closes what it has open."""
    try:
        return handover.act(engine, claim)
    except OSError:
        with contextlib.suppress(OSError):
            if claim.staged is not None:
                claim.staged.close()
        return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
def test_what_is_done_and_reported_as_failed_comes_once(world: World, out: str, kind: str, code: int) -> None:
    for n in itertools.count(1):
        world, handover, claim = begun(world, out, kind)
        fs = LiarFs(n, code)
        engine = world.open(fs)
        fs.armed = True
        settled(handover, engine, claim)
        fs.armed = False
        everything_came_once(world, handover)
        if not fs.reached:
            return


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_is_synced_again_after_its_sync_failed(world: World, out: str, kind: str) -> None:
    for n in itertools.count(1):
        world, handover, claim = begun(world, out, kind)
        fs = UnsureFs(n)
        engine = world.open(fs)
        fs.armed = True
        settled(handover, engine, claim)
        if not fs.reached:
            return
        failed = fs.syncs[n - 1]
        assert failed[1] is None or failed not in fs.syncs[n:]
        fs.armed = False
        everything_came_once(world, handover)


@pytest.mark.parametrize("model", [POSIX, ORDERED, SPLIT], ids=["posix", "ordered", "split"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_the_power_ends_hands_all_over_once_or_is_run_again(
    ground: str, out: str, kind: str, model: Model
) -> None:
    fresh(out)
    world = PoweredWorld(ground, out)
    handover = handovers(out)[kind]
    claim = handover.bring(world)
    world.since = world.steps
    handover.act(world.engine, claim)
    committed = set()
    for moment, after in world.cuts(model):
        states = parent_states(after)
        assert states or moment.begun
        is_old = handover.found(after) == {"old.txt": b"old"} and not handover.jobs(after)
        assert is_old or not states & {State.NEW, State.CUR, State.LATER}, "it appears only when it has committed"
        committed.add(not is_old)
        everything_came_once(after, handover)
    assert committed == {False, True}
