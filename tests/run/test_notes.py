"""What a run tells of itself: kept with its checkpoint, or in memory and shown once a second; and read by whom it is for."""

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
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.errors import BadInput, BadPayload, StoreError, WrongState, of_path
from workqueue.jobs.states import State
from workqueue.run.board import Board
from workqueue.run.job import told_by

if TYPE_CHECKING:
    from support.clocks import FakeClock
    from workqueue.jobs.progress import Progress


class Runs:
    """The runs of one job, one after the other."""

    def __init__(self, root: str, clock: FakeClock, fs: UnsyncedFs) -> None:
        self.clock = clock
        self.engine = DirectoryEngine(Root(root, fs=fs, clock=clock))
        self.id = Producer(root, clock=clock).submit(0).id

    def begin(self) -> Job:
        """Claim the job: the run before is over."""
        (name,) = os.listdir(self.engine.root.space("default", "new"))
        claim = self.engine.take("default", name, 1)
        assert isinstance(claim, Claim)
        self.claim = claim
        return Job(self.engine, claim)

    def die(self) -> Job:
        """The worker dies, and another one begins."""
        self.engine.release(self.claim)
        return self.begin()

    @property
    def shown(self) -> Progress:
        """What there is to be seen."""
        found = self.engine.progress(self.id)
        assert found is not None
        return found

    @property
    def files(self) -> list[str]:
        """The job's records."""
        path = self.engine.root.dot("jobs", self.id)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []


@pytest.fixture
def fs() -> UnsyncedFs:
    return UnsyncedFs()


@pytest.fixture
def runs(root: str, clock: FakeClock, fs: UnsyncedFs) -> Runs:
    return Runs(root, clock, fs)


# -- checkpoints -----------------------------------------------------------------------------------------------


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


# -- progress --------------------------------------------------------------------------------------------------


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


# -- numbers ---------------------------------------------------------------------------------------------------


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
