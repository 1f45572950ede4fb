"""What fsq offers to the tests of those who use it: drain in this process, and a clock that is turned."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from workqueue import Job, Producer, Reject, Retry, Snooze
from workqueue.engine.root import Root, init
from workqueue.engine.slots import acquire
from workqueue.errors import BadSetting, NoFreeSlot, UnknownQueue
from workqueue.testing import FakeClock, drain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    """The clock that users get."""
    return FakeClock()


@pytest.fixture
def producer(root: str, clock: FakeClock) -> Producer:
    return Producer(root, clock=clock)


def test_drain_runs_what_is_ready_in_this_process(root: str, producer: Producer) -> None:
    """And tells what became of it."""
    seen: list[object] = []
    for n in range(3):
        producer.submit(n)

    def handle(job: Job) -> None:
        assert os.getpid() == here
        seen.append(job.payload)

    here = os.getpid()
    counts = drain(root, handle)
    assert seen == [0, 1, 2]
    assert counts["done"] == counts["attempts"] == 3
    assert drain(root, handle)["attempts"] == 0


def test_retries_are_run_without_waiting(root: str, producer: Producer, clock: FakeClock) -> None:
    """The clock is turned to each; hours of backoff take no time."""
    ref = producer.submit(0, max_attempts=4)
    times: list[float] = []

    def handle(job: Job) -> None:
        times.append(clock.now())
        if job.attempt == 2:
            raise Retry("10h")
        raise ConnectionError

    counts = drain(root, handle, clock=clock, backoff="1h")
    assert (counts["retried"], counts["failed"]) == (3, 1)
    assert ref.state() == "failed"
    assert len(times) == 4
    assert times[2] - times[1] == pytest.approx(36_000, abs=1)


def test_settings_are_a_workers(root: str, producer: Producer) -> None:
    """max_attempts, backoff, keep_done…; a wrong one is refused."""
    ref = producer.submit(0)

    def handle(_: Job) -> None:
        raise ValueError

    assert drain(root, handle, max_attempts=2)["attempts"] == 2
    assert ref.state() == "failed"
    kept = producer.submit(1)
    drain(root, lambda _: {"rows": 1}, keep_done="1h")
    assert (kept.state(), kept.result()) == ("done", {"rows": 1})
    with pytest.raises(BadSetting, match="max_atempts"):
        drain(root, handle, max_atempts=2)


def test_every_verdict_is_the_workers(root: str, producer: Producer) -> None:
    """Reject, Snooze, errors, a result that is no JSON: as in a worker process."""
    rejected = producer.submit("reject")
    odd = producer.submit("odd", keep="1h", max_attempts=1)
    snoozed: list[int] = []

    def handle(job: Job) -> object:
        if job.payload == "reject":
            raise Reject("bad schema")
        if job.payload == "snooze":
            snoozed.append(job.attempt)
            raise Snooze("1h")
        return {1}

    counts = drain(root, handle)
    assert (counts["failed"], counts["done"]) == (2, 0)
    assert rejected.state() == odd.state() == "failed"
    later = producer.submit("snooze")
    assert drain(root, handle)["snoozed"] == 1
    assert snoozed == [1]
    assert later.state() == "later"


def test_jobs_for_later_wait_until_the_clock_is_turned(root: str, producer: Producer, clock: FakeClock) -> None:
    """A drain does not wait for them; FakeClock brings them."""
    producer.submit(0, delay="1h")
    assert drain(root, print, clock=clock)["done"] == 0
    clock.sleep(3601)
    assert drain(root, lambda _: None, clock=clock)["done"] == 1


def test_coroutines_are_awaited(root: str, producer: Producer) -> None:
    """In an event loop of the drain's own."""
    producer.submit(0)

    async def handle(job: Job) -> None:
        await asyncio.sleep(0)
        seen.append(job.payload)

    seen: list[object] = []
    assert drain(root, handle)["done"] == 1
    assert seen == [0]


def test_only_the_queues_named_are_drained(root: str, producer: Producer) -> None:
    """All of the root, if none is named."""
    init(root, ("a", "b"))
    producer.submit(0, queue="a")
    producer.submit(0, queue="b")
    assert drain(root, lambda _: None, queues=["b"])["done"] == 1
    assert drain(root, lambda _: None)["done"] == 1
    with pytest.raises(UnknownQueue):
        drain(root, lambda _: None, queues=["c"])


def test_damaged_jobs_are_counted_and_moved_aside(root: str) -> None:
    """As a worker does."""
    with open(f"{root}/default/new/5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0", "wb"):
        pass
    assert drain(root, lambda _: None)["corrupt"] == 1


def test_an_assertion_in_the_handler_is_the_jobs_failure(root: str, producer: Producer) -> None:
    """The counts tell of it, and so do the job's errors."""
    ref = producer.submit(0, max_attempts=1)

    def wrong(_: Job) -> None:
        raise AssertionError

    assert drain(root, wrong)["failed"] == 1
    assert ref.state() == "failed"


def test_no_free_slot(tmp_path: Path) -> None:
    """Somebody else's workers have them all."""
    init(str(tmp_path), slots=1)
    slot = acquire(Root(str(tmp_path)))
    assert slot is not None
    with pytest.raises(NoFreeSlot):
        drain(tmp_path, lambda _: None)
    slot.close()


def test_the_clock_goes_only_when_it_is_told_to() -> None:
    """`sleep` passes time on both clocks, `step` sets the wall clock alone."""
    clock = FakeClock(1000.0)
    clock.sleep(2.5)
    clock.step(-500)
    assert (clock.now(), clock.now_ms(), clock.monotonic()) == (502.5, 502_500, 1002.5)


def test_a_job_goes_on_from_what_it_saved(root: str, producer: Producer) -> None:
    """An attempt that failed, as one whose worker died; progress and counts can be told, and wait for no clock."""
    producer.submit(0)
    rows: list[int] = []

    def handle(job: Job) -> None:
        for row in range(job.checkpoint or 0, 10):
            if (row, job.attempt) in {(3, 1), (7, 2)}:
                raise ConnectionError
            rows.append(row)
            job.count(read=1)
            job.progress(row + 1, 10, "rows")
            job.save(row + 1)

    counts = drain(root, handle)
    assert (counts["done"], counts["retried"], counts["released"]) == (1, 2, 0)
    assert rows == [*range(10)]
    assert os.listdir(f"{root}/.fsq/jobs") == []
