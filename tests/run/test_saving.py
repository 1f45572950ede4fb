"""What a handler saves is what its next run reads: the last of it, whole, and nothing that was refused."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from support.runs import Runs, runs
from workqueue.errors import BadPayload, StoreError, WrongState, of_path
from workqueue.run.job import told_by

if TYPE_CHECKING:
    from support.clocks import FakeClock

__all__ = ["runs"]


def test_the_next_run_reads_what_was_saved_last(runs: Runs) -> None:
    job = runs.begin()
    assert job.checkpoint is None
    job.save({"row": 1})
    job.save({"row": 2}, durable=False)
    assert job.checkpoint == {"row": 2}
    job = runs.die()
    assert job.checkpoint == {"row": 2}
    job.save(["a", (3,)])
    assert job.checkpoint == runs.die().checkpoint == ["a", [3]]


@pytest.mark.parametrize("cursor", [0, "", False, [], {}, 1.5, "ü", {"deep": [[[{"a": None}]]]}])
def test_any_json_value_is_a_cursor(runs: Runs, cursor: object) -> None:
    runs.begin().save(cursor)
    found = runs.die().checkpoint
    assert (found, type(found)) == (cursor, type(cursor))


def test_none_is_no_cursor_and_means_from_the_start(runs: Runs) -> None:
    job = runs.begin()
    job.save(5)
    job.save(None)
    assert runs.die().checkpoint is None


def test_what_a_handler_does_to_a_cursor_changes_nothing_that_was_saved(runs: Runs) -> None:
    job = runs.begin()
    cursor = [1]
    job.save(cursor)
    cursor.append(2)
    job.checkpoint.append(3)
    assert job.checkpoint == [1]


@pytest.mark.parametrize("cursor", [object(), {1: 2}, {1, 2}, float("nan"), b"bytes", "\ud800"])
def test_what_would_come_back_otherwise_is_refused_as_a_result_would_be(runs: Runs, cursor: object) -> None:
    job = runs.begin()
    job.save(1)
    with pytest.raises(BadPayload, match=r"^checkpoint"):
        job.save(cursor)
    assert job.checkpoint == runs.die().checkpoint == 1


def test_a_save_that_the_disk_refused_is_not_what_the_job_has(root: str, clock: FakeClock) -> None:
    class FullFs(UnsyncedFs):
        is_full = False

        def write(self, fd: int, data: bytes) -> None:
            if self.is_full:
                raise of_path(errno.ENOSPC, "disk")
            super().write(fd, data)

    fs = FullFs()
    runs = Runs(root, clock, fs)
    job = runs.begin()
    job.save(1)
    fs.is_full = True
    for durable in (True, False):
        with pytest.raises(StoreError, match=f"cannot save the checkpoint of job {runs.id}: No space left on device"):
            job.save(2, durable=durable)
    assert job.checkpoint == 1
    fs.is_full = False
    assert runs.die().checkpoint == 1


def test_a_save_after_one_that_failed_halfway_is_the_newer(root: str, clock: FakeClock) -> None:
    """The failed one may be on the disk, whole."""

    class UnsureFs(UnsyncedFs):
        def sync_dir(self, path: str) -> None:
            raise of_path(errno.EIO, path)

    runs = Runs(root, clock, UnsyncedFs())
    job = runs.begin()
    runs.engine.root.fs = UnsureFs()
    with pytest.raises(StoreError):
        job.save(1)
    job.save(2, durable=False)
    runs.engine.root.fs = UnsyncedFs()
    assert runs.die().checkpoint == 2


def test_what_a_first_attempt_saved_is_found_and_goes_though_a_power_cut_has_undone_its_claim(runs: Runs) -> None:
    """No number in the name tells that there is a checkpoint."""
    runs.begin().save(1)
    os.rename(runs.claim.path, runs.engine.root.space("default", "new") + f"/5-{runs.id}-0")
    job = runs.begin()
    assert (job.attempt, job.checkpoint) == (1, 1)
    runs.engine.finish(runs.claim)
    assert not os.listdir(runs.engine.root.dot("jobs"))


def test_a_run_that_begins_anew_all_the_same_has_the_last_word(runs: Runs) -> None:
    """Its saves are newer, though it never looked at those before."""
    runs.begin().save(500)
    runs.die().save(3, durable=False)
    assert runs.die().checkpoint == 3


def test_a_checkpoint_that_is_damaged_is_told_and_left_out(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.begin().save(1)
    path = runs.engine.root.dot("jobs", runs.id, "checkpoint")
    with open(path, "r+b") as file:
        file.write(b"?")
    job = runs.die()
    assert job.checkpoint is None
    [record] = caplog.records
    assert path in record.__dict__["fields"]["text"]
    job.save(2)
    assert runs.die().checkpoint == 2


def test_a_thread_that_a_run_has_left_behind_saves_and_shows_nothing_more(runs: Runs) -> None:
    job = runs.begin()
    job.save(1)
    notes = told_by(job)
    assert notes is not None
    notes.end(stays=False)
    with pytest.raises(WrongState, match="its run has ended"):
        job.save(2)
    runs.clock.advance(10)
    job.progress(1)
    job.count(read=1)
    assert runs.files == ["checkpoint"]
