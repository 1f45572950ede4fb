"""Housekeeping: old files in tmp/, outcomes kept long enough, orders that came too late."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from engine.disks import RecordingFs
from engine.worlds import Q, World, fds, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import housekeeping, journal, marks, operate
from workqueue.engine.housekeeping import DoneKeeper, clean_tmp, prune_journal
from workqueue.errors import StoreError, of_path
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


def test_only_what_has_lain_in_tmp_longer_than_tmp_age_is_removed(world: World) -> None:
    world.plant("old", state="tmp")
    os.makedirs(world.at("tmp", "old-batch/deep"))
    root = world.open(tmp_age=60).root
    assert clean_tmp(root, Q) == 0
    world.clock.advance(59)
    assert clean_tmp(root, Q) == 0
    world.clock.advance(2)
    assert clean_tmp(root, Q) == 2
    assert world.ls("tmp") == []


def test_age_is_ctime_so_a_file_with_an_old_mtime_is_young(world: World) -> None:
    os.utime(world.plant("copied", state="tmp"), (0, 0))
    assert clean_tmp(world.open(tmp_age=60).root, Q) == 0
    assert world.ls("tmp") == ["copied"]


def test_an_entry_is_renamed_before_it_is_removed(world: World) -> None:
    world.plant("old", state="tmp")
    fs = RecordingFs()
    root = world.open(fs, tmp_age=60).root
    world.clock.advance(61)
    fs.done.clear()
    clean_tmp(root, Q)
    (rename, source, gone), (unlink, removed) = fs.done
    assert (rename, unlink) == ("rename", "unlink")
    assert source.endswith("/old")
    assert gone == removed
    assert os.path.basename(gone).startswith(".gone-")


@pytest.mark.parametrize("kind", ["job", "batch"])
def test_a_submitter_that_was_asleep_fails_loudly_and_nothing_is_submitted(world: World, kind: str) -> None:
    class SleepyFs(UnsyncedFs):
        """Falls asleep for a day before the publishing rename."""

        asleep = False

        def rename(self, source: str, target: str) -> None:
            if "/new/" in target and not self.asleep:
                self.asleep = True
                world.clock.advance(2 * 86400)
                assert clean_tmp(world.root, Q) == 1
            super().rename(source, target)

    engine = world.open(SleepyFs())
    before = fds()
    with pytest.raises(StoreError, match="No such file"):
        _ = world.put(engine=engine) if kind == "job" else world.put_many([b"1", b"2"], engine)
    assert world.jobs() == {}
    assert world.ls("tmp") == []
    assert fds() == before


def test_a_batch_that_is_emptied_while_it_is_filled_fails_loudly(world: World) -> None:
    class SleepyFs(UnsyncedFs):
        count = 0

        def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
            self.count += 1
            if self.count == 2:
                world.clock.advance(2 * 86400)
                clean_tmp(world.root, Q)
            return super().create(path, mode, access)

    with pytest.raises(StoreError):
        world.put_many([b"1", b"2", b"3"], world.open(SleepyFs()))
    assert world.jobs() == {}


def test_what_an_interrupted_cleaning_left_is_removed_by_a_later_one(world: World) -> None:
    world.plant(f"{housekeeping.GONE}left", state="tmp")
    world.clock.advance(2 * 86400)
    assert clean_tmp(world.root, Q) == 1
    assert world.ls("tmp") == []


def test_a_link_in_tmp_is_removed_and_not_what_it_leads_to(world: World, tmp_path: os.PathLike[str]) -> None:
    os.symlink(tmp_path, world.at("tmp", "link"))
    world.clock.advance(2 * 86400)
    assert clean_tmp(world.root, Q) == 1
    assert os.path.isdir(tmp_path)


def test_an_entry_that_cannot_be_removed_does_not_stop_the_others(world: World) -> None:
    class StickyFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            if "sticky" in source:
                raise of_path(errno.EPERM, source)
            super().rename(source, target)

    for name in ("a", "sticky", "z"):
        world.plant(name, state="tmp")
    world.clock.advance(2 * 86400)
    clean_tmp(world.open(StickyFs()).root, Q)
    assert world.ls("tmp") == ["sticky"]


# -- done ------------------------------------------------------------------------------------------------------


def done(world: World, keep: float | None = None) -> str:
    """A job that succeeded and was kept."""
    job_id = world.put(keep=keep)
    engine = world.open(keep_done=HOUR)
    engine.finish(world.take(engine=engine), b"[1]")
    assert world.states(job_id) == [State.DONE]
    return job_id


def test_an_outcome_is_removed_with_its_result_when_it_was_kept_long_enough(world: World) -> None:
    short, plain = done(world, keep=60), done(world)
    keeper = DoneKeeper(world.open(keep_done=HOUR).root, Q)
    assert keeper.prune() == 0
    world.clock.advance(61)
    assert keeper.prune() == 1
    assert world.states(short) == []
    assert world.engine.result(short) is None
    assert world.engine.result(plain) == b"[1]"
    world.clock.advance(HOUR)
    assert keeper.prune() == 1
    assert world.jobs() == {}
    assert world.dot("jobs") == []


def test_each_kept_job_is_opened_once_however_often_it_is_looked_at(world: World) -> None:
    class CountingFs(UnsyncedFs):
        opened = 0

        def open(self, path: str) -> int:
            self.opened += "/done/" in path
            return super().open(path)

    for _ in range(3):
        done(world)
    fs = CountingFs()
    keeper = DoneKeeper(world.open(fs, keep_done=HOUR).root, Q)
    for _ in range(4):
        keeper.prune()
    assert fs.opened == 3


def test_a_kept_job_that_somebody_removed_by_hand_is_forgotten(world: World) -> None:
    done(world)
    keeper = DoneKeeper(world.open(keep_done=HOUR).root, Q)
    keeper.prune()
    os.unlink(world.at("done", world.ls("done")[0]))
    world.clock.advance(2 * HOUR)
    assert keeper.prune() == 0


def test_a_kept_job_that_cannot_be_read_just_now_is_kept(world: World) -> None:
    class BusyFs(UnsyncedFs):
        broken = True

        def open(self, path: str) -> int:
            if self.broken and "/done/" in path:
                raise of_path(errno.EMFILE, path)
            return super().open(path)

    done(world, keep=HOUR)
    fs = BusyFs()
    keeper = DoneKeeper(world.open(fs).root, Q)
    assert keeper.prune() == 0
    fs.broken = False
    assert keeper.prune() == 0
    world.clock.advance(HOUR + 1)
    assert keeper.prune() == 1


def test_a_kept_job_that_is_damaged_is_kept_as_long_as_its_queue_says(world: World) -> None:
    done(world, keep=HOUR)
    with open(world.at("done", world.ls("done")[0]), "wb"):
        pass
    keeper = DoneKeeper(world.open(keep_done=60).root, Q)
    assert keeper.prune() == 0
    world.clock.advance(61)
    assert keeper.prune() == 1


def test_one_that_cannot_be_removed_does_not_stop_the_others(world: World) -> None:
    class StickyFs(UnsyncedFs):
        def unlink(self, path: str) -> None:
            if path.endswith(sticky):
                raise of_path(errno.EPERM, path)
            super().unlink(path)

    first, _ = done(world), done(world)
    sticky = next(text for text in world.ls("done") if first in text)
    keeper = DoneKeeper(world.open(StickyFs(), keep_done=HOUR).root, Q)
    world.clock.advance(2 * HOUR)
    assert keeper.prune() == 1
    assert world.jobs() == {first: State.DONE}


# -- orders ----------------------------------------------------------------------------------------------------


def test_the_order_about_a_job_that_runs_stands(world: World) -> None:
    job_id = world.put()
    world.take()
    world.engine.cancel(world.find(job_id))
    housekeeping.carry_out_cancels(world.root)
    assert marks.marked(world.root) == [job_id]
    assert world.jobs() == {job_id: State.CUR}


@pytest.mark.parametrize("verb", ["release", "defer", "hold"])
def test_a_job_that_waits_again_is_ended_by_its_order(world: World, verb: str) -> None:
    job_id = world.put()
    claim = world.take()
    world.engine.cancel(world.find(job_id))
    if verb == "defer":
        world.engine.defer(claim, 60)
    else:
        world.engine.release(claim)
    if verb == "hold":
        operate.hold(world.root, world.find(job_id))
    housekeeping.carry_out_cancels(world.root)
    assert world.jobs() == {}
    assert world.dot("cancel") == []


@pytest.mark.parametrize("end", ["finish", "fail", "kept"])
def test_an_order_that_came_too_late_is_forgotten_and_the_outcome_stays(world: World, end: str) -> None:
    job_id = world.put(keep=HOUR if end == "kept" else None)
    claim = world.take()
    world.engine.cancel(world.find(job_id))
    getattr(world.engine, "fail" if end == "fail" else "finish")(claim)
    housekeeping.carry_out_cancels(world.root)
    assert world.dot("cancel") == []
    assert world.states(job_id) == {"finish": [], "fail": [State.FAILED], "kept": [State.DONE]}[end]


def test_an_order_whose_job_is_claimed_while_it_is_carried_out_stands(world: World) -> None:
    class RacedFs(UnsyncedFs):
        claimed = False

        def unlink(self, path: str) -> None:
            if "/new/" in path and not self.claimed:
                self.claimed = True
                world.take()
            super().unlink(path)

    job_id = world.put()
    marks.mark(world.root, job_id)
    housekeeping.carry_out_cancels(world.open(RacedFs()).root)
    assert world.jobs() == {job_id: State.CUR}
    assert marks.marked(world.root) == [job_id]


def test_an_order_that_the_disk_refuses_to_carry_out_stands(world: World) -> None:
    class BrokenFs(UnsyncedFs):
        def unlink(self, path: str) -> None:
            if "/new/" in path:
                raise of_path(errno.EROFS, path)
            super().unlink(path)

    job_id = world.put()
    marks.mark(world.root, job_id)
    housekeeping.carry_out_cancels(world.open(BrokenFs()).root)
    assert marks.marked(world.root) == [job_id]


def test_an_order_about_a_job_that_is_nowhere_is_forgotten(world: World) -> None:
    marks.mark(world.root, plain_name()[2:28])
    housekeeping.carry_out_cancels(world.root)
    assert world.dot("cancel") == []


# -- the journal ---------------------------------------------------------------------------------------------------


def days(world: World) -> list[str]:
    return sorted(os.listdir(f"{world.path}/.fsq/journal"))


def fill_days(world: World, *, back: range) -> list[str]:
    """A file in each of some days before now, the oldest first."""
    made = []
    for number in back:
        day = journal.day_of(world.clock.now_ms() - number * 86_400_000)
        os.mkdir(f"{world.path}/.fsq/journal/{day}")
        for name in ("0.jsonl", "operator-1.jsonl"):
            with open(f"{world.path}/.fsq/journal/{day}/{name}", "w"):
                pass
        made.append(day)
    return sorted(made)


def test_a_day_of_the_journal_is_kept_until_all_of_it_is_old_enough(world: World) -> None:
    made = fill_days(world, back=range(6))
    prune_journal(world.open(journal="3d").root)
    assert days(world) == made[-4:]
    world.clock.advance(86_400)
    prune_journal(world.open(journal="3d").root)
    assert days(world) == made[-3:]


def test_the_queue_that_wants_the_journal_longest_decides(world: World) -> None:
    made = fill_days(world, back=range(6))
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write(f'journal = "1d"\n[queues.{Q}]\njournal = "3d"\n')
    prune_journal(world.open().root)
    assert days(world) == made[-4:]


def test_a_journal_that_is_not_wanted_goes_at_the_end_of_its_day(world: World) -> None:
    made = fill_days(world, back=range(3))
    prune_journal(world.open(journal=0).root)
    assert days(world) == made[-1:]


def test_what_a_stranger_put_into_the_journal_stays(world: World, tmp_path: Path) -> None:
    [old] = fill_days(world, back=range(90, 91))
    (tmp_path / "0.jsonl").write_text("mine")
    os.symlink(tmp_path, f"{world.path}/.fsq/journal/2001-01-01")
    os.mkdir(f"{world.path}/.fsq/journal/old")
    with open(f"{world.path}/.fsq/journal/{old}/notes", "w"):
        pass
    prune_journal(world.open().root)
    assert days(world) == sorted(["2001-01-01", "old", old])
    assert os.listdir(f"{world.path}/.fsq/journal/{old}") == ["notes"]
    assert (tmp_path / "0.jsonl").read_text() == "mine"


def test_a_journal_that_cannot_be_removed_stops_nothing(world: World) -> None:
    fill_days(world, back=range(40, 43))

    class ClosedFs(UnsyncedFs):
        def unlink(self, path: str) -> None:
            raise of_path(errno.EACCES, path)

    prune_journal(world.open(ClosedFs()).root)
    assert len(days(world)) == 3
    shutil.rmtree(f"{world.path}/.fsq/journal")
    prune_journal(world.open().root)
    os.mkdir(f"{world.path}/.fsq/journal")
