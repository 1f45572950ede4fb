"""How a run ends: one rename or unlink, and a name that tells what the next run must know."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from engine.disks import RecordingFs
from support.disks import UnsyncedFs
from workqueue.engine import settle
from workqueue.errors import of_path
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.worlds import World
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim

VERBS: dict[str, Callable[[DirectoryEngine, Claim], bool]] = {
    "finish": lambda engine, claim: engine.finish(claim),
    "defer": lambda engine, claim: engine.defer(claim, 60),
    "fail": lambda engine, claim: engine.fail(claim),
    "release": lambda engine, claim: engine.release(claim),
    "put_back": lambda engine, claim: settle.put_back(engine.root, claim),
    "drop": lambda engine, claim: engine.drop(claim),
    "corrupt": lambda engine, claim: engine.corrupt(claim, "why"),
}
STORIES = {
    "finish": ["unlink cur"],
    "defer": ["rename cur later"],
    "fail": ["rename cur failed"],
    "release": ["rename cur new"],
    "put_back": ["rename cur new"],
}


@pytest.mark.parametrize("verb", STORIES)
def test_a_plain_run_ends_by_one_operation(world: World, verb: str) -> None:
    world.put()
    fs = RecordingFs()
    engine = world.open(fs)
    claim = world.take(engine=engine)
    fs.done.clear()
    assert VERBS[verb](engine, claim)
    assert fs.story == STORIES[verb]
    assert world.ls("cur") == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_claim_that_was_taken_away_is_settled_by_nobody(world: World, verb: str) -> None:
    world.put(key="k")
    claim = world.take()
    os.rename(claim.path, world.at("held", os.path.basename(claim.path)))
    assert VERBS[verb](world.engine, claim) is False
    assert world.jobs() == {claim.id: State.HELD}
    assert world.put(key="k") == claim.id


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"corrupt"}))
def test_what_a_run_staged_is_gone_before_its_job_leaves_cur(world: World, verb: str) -> None:
    world.put(b"data")
    fs = RecordingFs()
    engine = world.open(fs)
    claim = world.take(engine=engine)
    engine.payload_path(claim)
    assert world.dot("stage") == [os.path.basename(claim.path)]
    fs.done.clear()
    VERBS[verb](engine, claim)
    leaves = next(i for i, step in enumerate(fs.story) if " cur" in step and step.split()[0] in {"rename", "unlink"})
    removed = next(i for i, step in enumerate(fs.story) if step == "rmdir stage")
    assert removed < leaves
    assert world.dot("stage") == []


def test_a_finished_job_is_gone_unless_its_outcome_is_kept(world: World) -> None:
    job_id = world.put()
    assert world.engine.finish(world.take(), b'{"rows":1}')
    assert world.engine.find(job_id) is None
    assert world.dot("jobs") == []


@pytest.mark.parametrize(("keep", "of_queue", "is_kept"), [(60, 0, True), (None, 60, True), (0, 60, False)])
def test_the_job_says_whether_its_outcome_is_kept_else_its_queue(
    world: World, keep: float | None, of_queue: float, *, is_kept: bool
) -> None:
    job_id = world.put(keep=keep)
    engine = world.open(keep_done=of_queue)
    claim = world.take(engine=engine)
    assert engine.keeps(claim) is is_kept
    engine.finish(claim, b"[1]")
    assert world.states(job_id) == ([State.DONE] if is_kept else [])
    assert engine.result(job_id) == (b"[1]" if is_kept else None)


def test_a_kept_result_is_whole_before_its_job_is_done_and_the_name_still_tells_the_worker(world: World) -> None:
    world.put(keep=60)
    fs = RecordingFs()
    engine = world.open(fs)
    claim = world.take(engine=engine)
    fs.done.clear()
    engine.finish(claim, b"[1]")
    assert fs.story[-1] == "rename cur done"
    assert [step.split()[0] for step in fs.story[:-1]] == ["mkdir", "unlink", "create", "write", "close", "rename"]
    assert world.ls("done") == [os.path.basename(claim.path)]


def test_a_deferred_job_carries_its_due_time_and_its_attempt_and_no_owner(world: World) -> None:
    job_id = world.put(priority=2, label="x")
    world.engine.defer(world.take(), 61.5)
    assert world.ls("later") == [f"{world.clock.now_ms() + 61_500}-2-{job_id}-1+x"]


def test_a_free_defer_gives_the_attempt_back(world: World) -> None:
    job_id = world.put()
    world.engine.defer(world.take(), 0, free=True)
    assert world.ls("later") == [f"{world.clock.now_ms()}-5-{job_id}-0"]


def test_a_failed_job_keeps_its_attempts_and_drops_its_owner(world: World) -> None:
    job_id = world.put()
    world.engine.fail(world.take())
    assert world.ls("failed") == [f"5-{job_id}-1"]


def test_a_released_job_is_as_if_it_had_never_started_and_a_put_back_one_was_charged(world: World) -> None:
    job_id = world.put()
    world.engine.release(world.take())
    assert world.ls("new") == [f"5-{job_id}-0"]
    settle.put_back(world.root, world.take())
    assert world.ls("new") == [f"5-{job_id}-1"]
    assert world.take().name.attempt == 2


def test_attempts_that_were_started_anew_stay_marked_through_every_verb(world: World) -> None:
    job_id = world.put()
    world.engine.fail(world.take())
    world.engine.retry(world.find(job_id))
    assert world.ls("new") == [f"5-{job_id}-00"]
    world.engine.release(world.take())
    assert world.ls("new") == [f"5-{job_id}-00"]
    world.engine.defer(world.take(), 0)
    assert world.ls("later")[0].endswith("-01")


def test_records_of_a_job_with_history_go_when_it_finishes(world: World) -> None:
    world.put()
    claim = world.take()
    world.engine.add_error(claim, {"message": "first"})
    world.engine.defer(claim, 0)
    (text,) = world.ls("later")
    os.rename(world.at("later", text), world.at("new", text))
    assert len(world.dot("jobs")) == 1
    world.engine.finish(world.take())
    assert world.dot("jobs") == []


def test_records_of_a_job_started_anew_go_when_it_finishes(world: World) -> None:
    job_id = world.put()
    claim = world.take()
    world.engine.add_error(claim, {"message": "first"})
    world.engine.fail(claim)
    world.engine.retry(world.find(job_id))
    world.engine.finish(world.take())
    assert world.dot("jobs") == []


def test_records_and_mark_and_key_of_a_dropped_job_go_with_it(world: World) -> None:
    world.put(key="k")
    claim = world.take()
    world.engine.add_error(claim, {"message": "x"})
    assert world.engine.drop(claim)
    assert world.dot("jobs") == []
    assert world.jobs() == {}
    assert world.put(key="k") != claim.id


def test_a_full_disk_stops_neither_defer_nor_fail_nor_release(world: World) -> None:
    class FullFs(UnsyncedFs):
        def _no(self, path: str) -> None:
            raise of_path(errno.ENOSPC, path)

        def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
            self._no(path)
            return super().create(path, mode, access)

        def mkdir(self, path: str, mode: int = 0o700) -> None:
            self._no(path)

        def append(self, path: str, data: bytes) -> None:
            self._no(path)

    ids = [world.put() for _ in range(4)]
    engine = world.open(FullFs())
    first, second, third, fourth = (world.take(f"5-{job_id}-0", engine) for job_id in ids)
    engine.add_error(first, {"message": "not recorded"})
    assert engine.defer(first, 1)
    assert engine.fail(second)
    assert engine.release(third)
    assert engine.finish(fourth)
    assert world.jobs() == {ids[0]: State.LATER, ids[1]: State.FAILED, ids[2]: State.NEW}


def test_a_full_disk_does_not_keep_a_finished_job_from_ending_though_its_result_is_lost(world: World) -> None:
    class FullFs(UnsyncedFs):
        def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
            raise of_path(errno.ENOSPC, path)

    job_id = world.put(keep=60)
    engine = world.open(FullFs())
    assert engine.finish(world.take(engine=engine), b"[1]")
    assert world.states(job_id) == [State.DONE]
    assert engine.result(job_id) is None


@pytest.mark.parametrize("verb", ["finish", "fail", "defer", "release", "drop"])
def test_a_disk_that_refuses_is_an_error_and_the_claim_stays(world: World, verb: str) -> None:
    class BrokenFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            if "/cur/" in source:
                raise of_path(errno.EIO, source)
            super().rename(source, target)

        def unlink(self, path: str) -> None:
            if "/cur/" in path:
                raise of_path(errno.EIO, path)
            super().unlink(path)

    job_id = world.put(key="k")
    engine = world.open(BrokenFs())
    claim = world.take(engine=engine)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        VERBS[verb](engine, claim)
    assert world.jobs() == {job_id: State.CUR}
    assert world.put(key="k") == job_id
