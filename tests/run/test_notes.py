"""Progress and counts: in memory, shown once a second, of the present run, and of each row once."""

from __future__ import annotations

import errno
import os
import threading
import time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import FullRecordingFs
from support.disks import UnsyncedFs
from support.runs import Runs, runs
from workqueue import Job
from workqueue.errors import BadInput, of_path
from workqueue.jobs.states import State
from workqueue.run.board import Board
from workqueue.run.job import told_by

if TYPE_CHECKING:
    from support.clocks import FakeClock

__all__ = ["runs"]


def test_progress_is_in_memory_and_on_the_disk_once_a_second_at_most(root: str, clock: FakeClock) -> None:
    fs = FullRecordingFs()
    runs = Runs(root, clock, fs)
    job = runs.begin()
    fs.done.clear()
    for n in range(1000):
        clock.advance(0.00099)
        job.progress(n, 5000, "rows")
        job.count(read=1)
    assert fs.done == [], "a short run touches nothing"
    clock.advance(0.02)
    job.progress(1000, 5000, "rows")
    written = len(fs.done)
    assert written > 0
    for n in range(99):
        clock.advance(0.01)
        job.progress(n, 5000)
    assert len(fs.done) == written
    clock.advance(0.02)
    job.count(read=1)
    assert len(fs.done) > written


def test_progress_is_shown_with_its_rate_since_the_run_began(runs: Runs) -> None:
    job = runs.begin()
    job.progress(0, 100, "rows")
    runs.clock.advance(8)
    job.progress(40, 100, "rows")
    shown = runs.shown
    assert (shown.done, shown.total, shown.unit, shown.rate, shown.seconds) == (40, 100, "rows", 5.0, 8.0)
    assert shown.text(runs.clock.now_ms(), running=True) == "40/100 rows, 40 %, 5/s, 12 s to go"
    assert shown.is_of(runs.claim.name, State.CUR)


def test_a_run_that_goes_on_has_a_rate_of_its_own(runs: Runs) -> None:
    """What the runs before it did took it no time."""
    job = runs.begin()
    job.progress(5000, 10_000)
    job.save(5000)
    job = runs.die()
    job.progress(job.checkpoint, 10_000)
    runs.clock.advance(10)
    job.progress(5100, 10_000)
    assert runs.shown.rate == 10.0


def test_progress_of_an_earlier_run_is_not_that_of_the_present_one(runs: Runs) -> None:
    job = runs.begin()
    job.progress(0, 100)
    runs.clock.advance(2)
    job.progress(90, 100)
    runs.die()
    assert not runs.shown.is_of(runs.claim.name, State.CUR), "the attempt's number is the same, the run is another"


def test_a_full_disk_hides_progress_and_hurts_no_handler(root: str, clock: FakeClock) -> None:
    class FullFs(UnsyncedFs):
        tries = 0

        def mkdir(self, path: str, mode: int = 0o700) -> None:
            raise of_path(errno.ENOSPC, path)

        def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
            FullFs.tries += 1
            raise of_path(errno.ENOSPC, path)

    runs = Runs(root, clock, UnsyncedFs())
    job = runs.begin()
    runs.engine.root.fs = FullFs()
    clock.advance(2)
    for n in range(10):
        job.progress(n)
        job.count(read=1)
    assert FullFs.tries <= 1, "it is not tried again before its time"
    assert runs.engine.progress(runs.id) is None


def test_what_was_told_last_is_kept_where_the_job_stays(runs: Runs) -> None:
    for stays in (False, True):
        job = runs.begin() if not stays else runs.die()
        job.progress(3, 9)
        notes = told_by(job)
        assert notes is not None
        notes.end(stays=stays)
        assert runs.files == (["progress"] if stays else [])


def test_the_board_has_the_share_that_is_done(runs: Runs) -> None:
    runs.begin()
    board = Board()
    try:
        board.start("default", runs.id, None)
        job = Job(runs.engine, runs.claim, board)
        for done, share in ((-1, 0.0), (1, 0.25), (5, 1.0)):
            job.progress(done, 4)
            runs.clock.advance(1.1)
            job.progress(done, 4)
            running = board.running()
            assert running is not None
            assert running.share == share
        board.start("default", runs.id, None)
        board.start("default", runs.id, None)
        running = board.running()
        assert running is not None
        assert running.share == 0.0, "the next run begins at nothing"
    finally:
        board.close()


class Index:
    """As numpy has its integers."""

    def __index__(self) -> int:
        return 7


def test_numbers_of_any_library_are_told(runs: Runs) -> None:
    job = runs.begin()
    runs.clock.advance(2)
    job.progress(Decimal("1.5"), Index())  # type: ignore[arg-type]
    job.count(a=Index(), b=Fraction(1, 2), c=True, d=2**70)  # type: ignore[arg-type]
    runs.clock.advance(2)
    job.count(a=1)
    shown = runs.shown
    assert (shown.done, shown.total) == (1.5, 7)
    assert shown.counts == {"a": 8, "b": 0.5, "c": 1, "d": 2**70}


@pytest.mark.parametrize("value", ["5", b"5", None, float("nan"), float("inf"), [1], object(), 1j])
def test_what_is_no_number_is_refused_at_once_and_nothing_of_it_counts(runs: Runs, value: Any) -> None:
    job = runs.begin()
    with pytest.raises(BadInput, match=r"count of 'bad': .* is no number"):
        job.count(good=1, bad=value)
    with pytest.raises(BadInput, match=r"progress: .* is no number"):
        job.progress(value)
    with pytest.raises(BadInput, match=r"progress: .* is no number"):
        job.progress(1, value or "five")  # type: ignore[arg-type]
    notes = told_by(job)
    assert notes is not None
    assert notes.counts == {}


def test_a_count_has_a_name_that_can_be_shown_and_there_are_not_too_many(runs: Runs) -> None:
    job = runs.begin()
    with pytest.raises(BadInput, match="cannot be encoded"):
        job.count(**{"\ud800": 1})
    for n in range(100):
        job.count(**{f"count {n}": 1})
    with pytest.raises(BadInput, match="at most 100 different things"):
        job.count(**{"one more": 1})
    job.count(**{"count 5": 1})


def test_a_unit_may_be_anything(runs: Runs) -> None:
    job = runs.begin()
    job.progress(0)
    runs.clock.advance(2)
    job.progress(1, unit="\ud800" + "x" * 100)
    assert runs.shown.unit == "\\ud800" + "x" * 34


class Halting(dict[str, "int | float"]):
    """Lets other threads run after each look."""

    def __getitem__(self, name: str) -> int | float:
        found = super().__getitem__(name)
        time.sleep(0)
        return found


def test_no_count_of_several_threads_is_lost(runs: Runs) -> None:
    job = runs.begin()
    job.count(read=0, written=0)
    notes = told_by(job)
    assert notes is not None
    notes.counts = Halting(notes.counts)

    def work() -> None:
        for _ in range(500):
            job.count(read=1, written=2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.counts == {"read": 2000, "written": 4000}


def test_the_run_that_goes_on_takes_over_what_was_counted_up_to_its_checkpoint(runs: Runs) -> None:
    """So that in the end each row is counted once: those behind the checkpoint are done, and counted, again."""
    job = runs.begin()
    job.count(read=5000)
    job.save(5000)
    job.count(read=70)
    job = runs.die()
    job.count(skipped=1)
    assert [job.checkpoint, job.checkpoint] == [5000, 5000]
    job.count(read=5000)
    notes = told_by(job)
    assert notes is not None
    assert notes.counts == {"read": 10_000, "skipped": 1}


def test_a_run_that_begins_anew_counts_anew(runs: Runs) -> None:
    job = runs.begin()
    job.count(read=5000)
    job.save(5000)
    job = runs.die()
    job.count(read=1)
    job.save(1)
    assert job.checkpoint == 1
    notes = told_by(job)
    assert notes is not None
    assert notes.counts == {"read": 1}
