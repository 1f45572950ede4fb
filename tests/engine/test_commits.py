"""What a run stages appears if and only if it commits: cut off, refused and cut from power at each operation."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from engine.befores import committed as committed_run
from engine.befores import sealed
from engine.conftest import empty
from engine.disks import Crash, CuttingFs, FailingFs, LiarFs, RecordingFs, UnsureFs
from engine.handovers import KINDS, PARENT, Handover, fresh, handovers
from engine.powered import PoweredWorld
from engine.worlds import SLOT, Q, World
from support.clocks import FakeClock
from support.cuts import ORDERED, POSIX, SPLIT, STALE, Model
from support.disks import UnsyncedFs
from support.power import CommittingFs
from workqueue.engine import manifest, recovery
from workqueue.engine.housekeeping import DoneKeeper
from workqueue.engine.staged import Staged
from workqueue.errors import WrongState
from workqueue.jobs.states import State
from workqueue.run import verdicts
from workqueue.run.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.run.job import Job


LAST = 13
"""So many changes, counted from the end, begin before the sealing of every kind of run."""


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
        fs = CuttingFs(n)
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_recovery_cut_off_anywhere_is_finished_by_the_next(world: World, out: str, kind: str) -> None:
    """Stopped before each operation from the sealing on, and then its recovery stopped before each of its own."""
    world, handover, claim = begun(world, out, kind)
    whole = CuttingFs(10**9)
    engine = world.open(whole)
    whole.armed = True
    handover.act(engine, claim)
    for n in range(max(1, whole.count - LAST), whole.count + 1):
        for m in itertools.count(1):
            world, handover, claim = begun(world, out, kind)
            if not cut_off(world, n, partial(handover.act, claim=claim)):
                break
            if not cut_off(world, m, world.sweep):
                break
            everything_came_once(world, handover)


def cut_off(world: World, n: int, act: Callable[[DirectoryEngine], object]) -> bool:
    """Whether the act was stopped before its n-th operation."""
    fs = CuttingFs(n)
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


@pytest.mark.exhaustive
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


@pytest.mark.parametrize("kind", ["its key", "outputs", "all, and its result"])
def test_a_run_that_the_power_ends_on_btrfs_hands_all_over_once_or_is_run_again(
    ground: str, out: str, kind: str
) -> None:
    """Its log brings a claim back that it had once seen; another worker's commit has synced cur/ meanwhile."""
    fresh(out)
    world = PoweredWorld(ground, out, disk=CommittingFs)
    handover = handovers(out)[kind]
    claim = handover.bring(world)
    world.since = world.steps
    world.root.fs.sync_dir(world.at("cur"))
    handover.act(world.engine, claim)
    committed = set()
    for moment, after in world.cuts(STALE):
        states = parent_states(after)
        assert states or moment.begun
        is_old = handover.found(after) == {"old.txt": b"old"} and not handover.jobs(after)
        assert is_old or not states & {State.NEW, State.CUR, State.LATER}, "it appears only when it has committed"
        committed.add(not is_old)
        everything_came_once(after, handover)
    assert committed == {False, True}


def test_children_for_one_queue_cost_four_syncs_of_directories(world: World, out: str) -> None:
    """commit/, done/, cur/ and new/ of the queue they go to: however many children there are."""
    for kind in ("a child", "a batch"):
        world, handover, claim = begun(world, out, kind)
        fs = RecordingFs()
        engine = world.open(fs)
        fs.done.clear()
        handover.act(engine, claim)
        synced = [os.path.relpath(paths[0], world.path) for verb, *paths in fs.done if verb == "sync_dir"]
        batch = synced[:1] if kind == "a batch" else []
        assert synced == [*batch, ".fsq/commit", "default/done", "default/cur", "load/new"]
        assert [verb for verb, *_ in fs.done].count("sync") == (6 if kind == "a batch" else 3) - 1
        everything_came_once(world, handover)


@pytest.mark.parametrize("kind", ["a child", "all, and its result"])
def test_a_job_that_is_handing_over_is_not_pruned_before_its_time(world: World, out: str, kind: str) -> None:
    """However short it is to be kept: what it has handed over would be discarded."""
    for n in itertools.count(1):
        world, handover, claim = begun(world, out, kind)
        if not cut_off(world, n, partial(handover.act, claim=claim)):
            return
        world.clock.advance(3600)
        DoneKeeper(world.root, Q).prune()
        for found in list(world.engine.scan(Q, State.DONE)):
            with contextlib.suppress(WrongState):
                world.engine.remove(found)
        everything_came_once(world, handover)


def test_a_damaged_manifest_is_told_and_left(world: World, out: str) -> None:
    """What a run handed over cannot be known any more: nothing of it is guessed, and nothing thrown away."""
    world, handover, claim = begun(world, out, "a child")
    assert cut_off(world, 6, partial(handover.act, claim=claim))
    assert parent_states(world) == {State.DONE}
    path = manifest.path(world.root, manifest.text_of(claim.name))
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 5)
    told = [found for found in world.sweep() if isinstance(found, str)]
    assert len(told) == 1
    assert "damaged" in told[0]
    assert len(world.dot("commit")) == 2
    assert handover.jobs(world) == []


def test_a_run_to_which_the_disk_refused_anything_cannot_commit(world: World, out: str) -> None:
    """Also if the handler caught the error and went on."""
    world, _, claim = begun(world, out, "a child")

    def handle(job: Job) -> None:
        with contextlib.suppress(OSError):
            job.submit(b"lost", queue="load", key="k")
        job.submit(b"child", queue="load")

    fs = FailingFs(1, errno.ENOSPC)
    engine = world.open(fs)
    claim.staged = Staged(engine.root, claim)
    fs.armed = True
    board = Board()
    verdict = verdicts.attempt(engine, claim, handle, board)
    board.close()
    assert isinstance(verdict, verdicts.Again)
    claim.staged.discard()
    assert world.dot("commit") == []


class MeetingFs(UnsyncedFs):
    """Waits a little, before it makes a file, for another thread that comes to do the same."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)

    def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.barrier.wait(0.3)
        return super().create(path, mode, access)


def test_threads_that_reject_at_the_same_time_share_one_file(world: World, out: str) -> None:
    world, _, claim = begun(world, out, "rejects")
    staged = Staged(world.open(MeetingFs()).root, claim)
    threads = [threading.Thread(target=staged.reject, args=(b"%d\n" % n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    staged.seal()
    found = manifest.read(world.root, manifest.text_of(claim.name))
    assert found is not None
    assert [item.to for item in found.items] == [f"default/rejected/{claim.id}-1.jsonl"]
    staged.discard()


@pytest.mark.parametrize("damage", ["no first line", "no job", "no queue", "nothing in it"])
@pytest.mark.parametrize("lives", [False, True], ids=["its worker is dead", "its worker lives"])
def test_a_run_that_has_committed_and_whose_manifest_names_no_job_keeps_all_and_is_told(
    world: World, damage: str, *, lives: bool
) -> None:
    """A disk that lost bytes: what was to come is kept for a person, who can still read the rest."""
    empty(world.path)
    job_id = committed_run(world)
    path = damaged(world, damage, job_id)
    items = world.dot("commit")
    for _ in range(2):
        (told,) = recovery.sweep(world.root, [Q], {SLOT} if lives else set())
        assert "what a run has handed over is not all in its place" in str(told)
        assert (
            "defualt" in str(told)
            if damage == "no queue"
            else "the manifest is damaged" in str(told) and path in str(told)
        )
    assert world.dot("commit") == items
    assert world.jobs() == {job_id: State.DONE}


def damaged(world: World, how: str, job_id: str) -> str:
    """Damage the only manifest; returns its path."""
    (path,) = (world.root.dot("commit", name) for name in world.dot("commit") if name.endswith("+0"))
    with open(path, "rb") as file:
        first, *lines = file.read().splitlines(keepends=True)
    with open(path, "wb") as file:
        match how:
            case "no first line":
                file.writelines([b"\0" * len(first), *lines])
            case "no job":
                file.writelines([first.replace(job_id.encode(), b"?" * 26), *lines])
            case "no queue":
                file.writelines([first.replace(b'"default"', b'"defualt"'), *lines])
    return path


@pytest.mark.parametrize("text", [b"", b'{"type":"ru'])
def test_a_run_that_has_not_committed_may_have_half_a_manifest(world: World, text: bytes) -> None:
    """Its worker is writing it."""
    empty(world.path)
    job_id = sealed(world)
    with open(damaged(world, "half", job_id), "wb") as file:
        file.write(text)
    assert list(recovery.sweep(world.root, [Q], {SLOT})) == []
    assert len(world.sweep()) == 1
    assert world.dot("commit") == []
    assert world.jobs() == {job_id: State.NEW}
