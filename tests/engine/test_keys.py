"""Unique keys: of all living jobs of a queue one may have a key, and no crash wedges it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.children import Child, children, rest_for_ever
from engine.conftest import make_ground
from engine.disks import CountingFs, Crash, CrashingFs, RecordingFs
from engine.worlds import Q, World, new_job
from support.disks import UnsyncedFs
from workqueue.clock import CLOCK
from workqueue.engine import housekeeping, keys
from workqueue.errors import StoreError, WrongState, of_path
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Placed


@pytest.fixture(scope="module")
def soil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With every shard."""
    return make_ground(tmp_path_factory)


def put(world: World, key: str = "k", engine: DirectoryEngine | None = None, **fields: Any) -> Placed:
    return (engine or world.engine).put(new_job(b"1", key=key, **fields))


def key_file(world: World, key: str = "k") -> str:
    return keys.key_path(world.root, Q, key)


def test_a_keyed_submit_links_the_key_and_syncs_it_before_the_job_appears(world: World) -> None:
    fs = RecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    put(world, engine=engine)
    shard = os.path.basename(os.path.dirname(key_file(world)))
    assert [step.split()[0] for step in fs.story] == [
        *("create", "write", "sync", "close", "lock", "link", "sync_dir", "rename", "sync_dir")
    ]
    assert fs.story[5:] == [f"link tmp {shard}", "sync_dir keys", "rename tmp new", "sync_dir new"]


def test_the_second_submit_of_a_key_gets_the_first_job_and_leaves_nothing(world: World) -> None:
    first = put(world)
    again = put(world)
    assert (again.id, again.created) == (first.id, False)
    assert world.jobs() == {first.id: State.NEW}
    assert world.ls("tmp") == []


def test_whoever_is_given_a_ready_job_of_its_key_has_it_durable(world: World) -> None:
    put(world)
    fs = RecordingFs()
    put(world, engine=world.open(fs))
    assert "sync_dir new" in fs.story


@pytest.mark.parametrize("state", ["new", "later", "cur", "held", "new again"])
def test_a_key_is_taken_while_its_job_lives(world: World, state: str) -> None:
    first = put(world, due=4764000000000 if state == "later" else None)
    if state in {"cur", "new again"}:
        claim = world.take()
        if state == "new again":
            world.engine.release(claim)
    if state == "held":
        from workqueue.engine import operate

        operate.hold(world.root, world.find(first.id))
    assert put(world).id == first.id
    assert len(world.jobs()) == 1


@pytest.mark.parametrize("end", ["finish", "fail", "cancel", "drop", "kept"])
def test_a_key_is_free_when_its_job_ends(world: World, end: str) -> None:
    first = put(world, keep=60 if end == "kept" else None)
    if end == "cancel":
        world.engine.cancel(world.find(first.id))
    else:
        getattr(world.engine, {"kept": "finish"}.get(end, end))(world.take())
    assert not os.path.exists(key_file(world))
    second = put(world)
    assert second.created
    assert second.id != first.id


def test_keys_of_different_queues_and_texts_do_not_meet(world: World) -> None:
    world.engine.make_queue("other")
    assert all(
        placed.created
        for placed in (put(world), put(world, "K"), put(world, "k\0"), put(world, "☃"), put(world, queue="other"))
    )


def test_a_key_is_freed_only_by_the_job_whose_inode_it_is(world: World) -> None:
    put(world)
    claim = world.take()
    os.unlink(key_file(world))
    second = put(world)
    world.engine.finish(claim)
    assert put(world).id == second.id


def test_a_job_may_submit_its_successor_under_its_own_key_once_it_has_ended(world: World) -> None:
    first = put(world)
    claim = world.take()
    assert put(world).id == first.id
    world.engine.finish(claim)
    second = put(world)
    assert second.created
    assert world.drain().keys() == {second.id}


def test_a_job_whose_end_died_before_it_let_the_key_go_does_not_hold_it(world: World) -> None:
    put(world)
    claim = world.take()
    os.unlink(claim.path)
    assert put(world).created


def test_a_failed_job_whose_end_died_before_it_let_the_key_go_does_not_hold_it(world: World) -> None:
    put(world)
    claim = world.take()
    os.rename(claim.path, world.at("failed", os.path.basename(claim.path)))
    assert put(world).created


# -- bans ------------------------------------------------------------------------------------------------------


def test_key_for_outlives_the_job_and_then_ends(world: World) -> None:
    first = put(world, key_for=3600.0)
    world.engine.finish(world.take())
    again = put(world)
    assert (again.id, again.created) == (first.id, False)
    world.clock.advance(3599)
    assert not put(world).created
    world.clock.advance(2)
    assert put(world).created


def test_a_ban_survives_the_cleaning_of_its_job_and_is_synced_where_it_lies(world: World) -> None:
    put(world, key_for=60.0)
    fs = RecordingFs()
    engine = world.open(fs)
    claim = world.take(engine=engine)
    fs.done.clear()
    engine.finish(claim)
    verbs = [step.split()[0] for step in fs.story]
    assert verbs.index("create") < verbs.index("rename") < verbs.index("sync_dir")
    assert verbs.count("sync") == 2
    assert verbs.index("set_mtime") < verbs.index("unlink"), "the key is never free in between"


def test_again_lifts_the_ban_of_a_job_that_has_ended(world: World) -> None:
    first = put(world, key_for=3600.0)
    world.engine.finish(world.take())
    second = put(world, key_for=3600.0, again=True)
    assert second.created
    assert second.id != first.id
    assert put(world).id == second.id, "the key is the new job's"
    world.engine.finish(world.take())
    assert put(world).id == second.id, "and so is the next ban"


@pytest.mark.parametrize("state", ["new", "later", "cur", "held"])
def test_again_does_not_lift_the_key_of_a_job_that_lives(world: World, state: str) -> None:
    first = put(world, key_for=3600.0, due=4764000000000 if state == "later" else None)
    if state == "cur":
        world.take()
    if state == "held":
        os.rename(world.at("new", f"5-{first.id}-0"), world.at("held", f"5-{first.id}-0"))
    again = put(world, again=True)
    assert (again.id, again.created) == (first.id, False)


def test_a_submit_over_a_ban_cut_off_anywhere_leaves_one_job_or_none_and_the_key_to_the_next(world: World) -> None:
    seen: set[int] = set()
    for n in itertools.count(1):
        key = f"key-{n}"
        put(world, key, key_for=1e9)
        world.engine.finish(world.take())
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        with contextlib.suppress(Crash):
            put(world, key, engine, key_for=1e9, again=True)
        fs.bury()
        seen.add(len(world.ls("new")))
        placed = put(world, key, key_for=1e9, again=True)
        (job,) = world.ls("new")
        assert job == f"5-{placed.id}-0"
        world.engine.cancel(world.find(placed.id))
        if not fs.reached:
            break
    assert seen == {0, 1}, "before and behind the rename"


def test_a_failed_job_whose_key_was_submitted_again_is_not_retried_beside_it(world: World) -> None:
    first = put(world, key_for=3600.0)
    world.engine.fail(world.take())
    second = put(world, again=True)
    with pytest.raises(WrongState, match=second.id):
        world.engine.retry(world.find(first.id))


# -- retry -----------------------------------------------------------------------------------------------------


def test_a_failed_job_takes_its_key_back_when_it_is_retried(world: World) -> None:
    first = put(world)
    world.engine.fail(world.take())
    assert world.engine.retry(world.find(first.id))
    assert put(world).id == first.id


def test_a_failed_job_is_not_retried_while_another_has_its_key(world: World) -> None:
    first = put(world)
    world.engine.fail(world.take())
    second = put(world)
    with pytest.raises(WrongState, match=second.id):
        world.engine.retry(world.find(first.id))
    assert world.jobs() == {first.id: State.FAILED, second.id: State.NEW}
    world.engine.cancel(world.find(second.id))
    assert world.engine.retry(world.find(first.id))


def test_a_failed_jobs_own_ban_does_not_keep_it_from_being_retried(world: World) -> None:
    first = put(world, key_for=3600.0)
    world.engine.fail(world.take())
    assert not put(world).created
    assert world.engine.retry(world.find(first.id))
    assert world.states(first.id) == [State.NEW]
    assert not put(world).created


# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_a_job_by_file_holds_its_key_through_its_whole_life(world: World, tmp_path: Path, mode: str) -> None:
    def parcel(name: str) -> str:
        (tmp_path / name).write_text(name)
        return str(tmp_path / name)

    first = put(world, file=parcel("a"), mode=mode)
    assert first.created
    assert put(world, file=parcel("b"), mode=mode).id == first.id
    claim = world.take()
    assert claim.options.key == "k"
    assert put(world).id == first.id
    world.engine.finish(claim)
    assert put(world, file=str(tmp_path / "b"), mode=mode).created


def test_a_file_that_could_not_be_moved_in_can_be_submitted_again_under_its_key(world: World, tmp_path: Path) -> None:
    class OnceFs(UnsyncedFs):
        broken = True

        def rename(self, source: str, target: str) -> None:
            if self.broken and "/new/" in target:
                self.broken = False
                raise of_path(errno.EIO, source)
            super().rename(source, target)

    path = tmp_path / "file"
    path.write_text("x")
    engine = world.open(OnceFs())
    with pytest.raises(StoreError):
        put(world, engine=engine, file=str(path), mode="move")
    assert put(world, engine=engine, file=str(path), mode="move").created
    assert not put(world).created


# -- processes -------------------------------------------------------------------------------------------------


def test_of_eight_processes_that_submit_the_same_keys_one_creates_each_job(world: World) -> None:
    def submit(tell: Callable[[str], None]) -> None:
        engine = world.open(clock=CLOCK)  # who waits for a lock waits for real
        for number in range(25):
            placed = put(world, f"key-{number}", engine, durable=False)
            tell(f"{number} {placed.id} {placed.created}")

    with children(*[submit] * 8) as crowd:
        told = [line.split() for child in crowd for line in child.hear_all()]
    assert len(told) == 8 * 25
    assert len({(number, job_id) for number, job_id, _ in told}) == 25
    assert sum(created == "True" for *_, created in told) == 25
    assert len(world.jobs()) == 25
    assert world.ls("tmp") == []


class DyingFs(CountingFs):
    """Ends the process before its n-th change, as SIGKILL would."""

    def at(self, count: int, verb: str, args: tuple[object, ...]) -> None:
        if count == self.n:
            os._exit(9)


KILLED = ["bytes", "move", "copy", "retry", "finish", "finish with ban", "over a dead job"]


@pytest.mark.parametrize("kind", KILLED)
def test_a_process_killed_at_any_operation_on_a_key_never_wedges_it(world: World, tmp_path: Path, kind: str) -> None:
    for n in itertools.count(1):
        key, path = f"key-{n}", tmp_path / f"file-{n}"
        path.write_bytes(b"1")
        with Child(_doing(world, kind, n, str(path))) as child:
            ended = child.wait()
        assert ended in {0, 9}
        world.sweep()
        holder = put(world, key)
        assert put(world, key).id == holder.id, "the key does not hold"
        alive = {job_id for job_id, state in world.jobs().items() if state is not State.FAILED}
        if kind == "finish with ban" and holder.id not in alive:
            assert not holder.created
        else:
            assert alive == {holder.id}
        assert path.exists() or not holder.created
        world.drain()
        assert {State.FAILED} >= set(world.jobs().values())
        for job_id in world.jobs():
            assert world.engine.remove(world.find(job_id))
        if ended == 0:
            assert n > 3
            return


def _doing(world: World, kind: str, n: int, path: str) -> Callable[[Callable[[str], None]], object]:
    """Bring about what `kind` needs; what the child is to do, that dies before its n-th operation."""
    key = f"key-{n}"
    fs = DyingFs(n)
    engine = world.open(fs)
    if kind in {"bytes", "move", "copy"}:
        more = {} if kind == "bytes" else {"file": path, "mode": kind}
        return _armed(fs, lambda: put(world, key, engine, **more))
    first = put(world, key, key_for=1e9 if kind == "finish with ban" else None)
    claim = world.take()
    if kind.startswith("finish"):
        return _armed(fs, lambda: engine.finish(claim))
    if kind == "retry":
        world.engine.fail(claim)
        found = world.find(first.id)
        return _armed(fs, lambda: engine.retry(found))
    os.unlink(claim.path)
    return _armed(fs, lambda: put(world, key, engine))


def _armed(fs: DyingFs, act: Callable[[], object]) -> Callable[[Callable[[str], None]], object]:
    def run(_: Callable[[str], None]) -> None:
        fs.armed = True
        act()

    return run


def test_a_submitter_that_died_between_link_and_rename_is_finished_not_undone(world: World) -> None:
    class BeforeRename(DyingFs):
        verbs = frozenset({"rename"})

    def act(tell: Callable[[str], None]) -> None:
        fs = BeforeRename(1)
        engine = world.open(fs)
        fs.armed = True
        put(world, engine=engine, due=None)

    with Child(act) as child:
        assert child.wait() == 9
    (left,) = world.ls("tmp")
    fs = RecordingFs()
    placed = put(world, engine=world.open(fs))
    assert placed.id in left
    assert not placed.created
    assert world.ls("new") == [left]
    assert world.ls("tmp") == []
    assert fs.story.index("rename tmp new") < fs.story.index("sync_dir new")


def test_a_delayed_job_of_a_dead_submitter_is_published_in_later(world: World) -> None:
    class BeforeRename(DyingFs):
        verbs = frozenset({"rename"})

    def act(tell: Callable[[str], None]) -> None:
        fs = BeforeRename(1)
        engine = world.open(fs)
        fs.armed = True
        put(world, engine=engine, due=4764000000000)

    with Child(act) as child:
        child.wait()
    assert not put(world).created
    assert len(world.ls("later")) == 1


def test_the_left_over_of_a_dead_submitter_that_was_cleaned_away_holds_no_key(world: World) -> None:
    temporary = world.at("tmp", "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0")
    world.plant(os.path.basename(temporary), b'{"fsq":1,"name":"5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0"}\n1', "tmp")
    os.link(temporary, key_file(world))
    os.rename(temporary, world.at("tmp", f"{housekeeping.GONE}x"))
    assert put(world).created


def test_a_left_over_that_vanishes_while_it_is_published_for_its_dead_submitter_frees_the_key(world: World) -> None:
    class VanishingFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            if "01JD8Z7Q4M9X3V2T6B1C0N5KEY" in source:
                os.unlink(source)
            super().rename(source, target)

    temporary = world.plant(
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0", b'{"fsq":1,"name":"5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0"}\n1', "tmp"
    )
    os.link(temporary, key_file(world))
    assert put(world, engine=world.open(VanishingFs())).created


# -- the lock --------------------------------------------------------------------------------------------------


def test_a_lock_held_by_a_stopped_process_is_given_up_after_ten_seconds_with_nothing_submitted(world: World) -> None:
    def hold(tell: Callable[[str], None]) -> None:
        fd = os.open(os.path.dirname(key_file(world)), os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        tell("locked")
        rest_for_ever()

    with Child(hold) as child:
        child.hear()
        child.stop()
        start = world.clock.monotonic()
        with pytest.raises(StoreError, match="stopped"):
            put(world)
        assert 10 < world.clock.monotonic() - start < 10.1
        assert world.ls("new") == world.ls("tmp") == []
    assert put(world).created


def test_a_job_ends_though_its_key_cannot_be_freed_and_the_key_is_taken_over(world: World) -> None:
    put(world)
    claim = world.take()
    fd = os.open(os.path.dirname(key_file(world)), os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert world.engine.finish(claim)
    os.close(fd)
    assert os.path.exists(key_file(world))
    assert put(world).created


def test_link_and_publishing_rename_happen_under_the_lock(world: World) -> None:
    class LockedFs(UnsyncedFs):
        seen: list[str]

        def _is_locked(self) -> bool:
            fd = os.open(os.path.dirname(key_file(world)), os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
            return False

        def link(self, source: str, target: str) -> None:
            super().link(source, target)
            self.seen.append(f"link {self._is_locked()}")

        def rename(self, source: str, target: str) -> None:
            self.seen.append(f"rename {self._is_locked()}")
            super().rename(source, target)

        def unlink(self, path: str) -> None:
            if path == key_file(world):
                self.seen.append(f"free {self._is_locked()}")
            super().unlink(path)

    fs = LockedFs()
    fs.seen = []
    engine = world.open(fs)
    put(world, engine=engine)
    assert fs.seen == ["link True", "rename True"]
    claim = world.take()
    fs.seen.clear()
    engine.finish(claim)
    assert fs.seen == ["free True"]
