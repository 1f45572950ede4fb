"""Time limits: an exception in the handler at its deadline, and SIGKILL from outside where that does not help."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

from support.processes import is_alive, until
from workqueue import Job, Producer, TimedOut

if TYPE_CHECKING:
    from support.fsq import Fsq

EVERY_SIGNAL = {number for number in signal.Signals if number not in {signal.SIGKILL, signal.SIGSTOP}}


def sleep_deaf(seconds: float) -> None:
    """Sleep through every exception and signal that can be slept through."""
    signal.pthread_sigmask(signal.SIG_BLOCK, EVERY_SIGNAL)
    time.sleep(seconds)


def swallow(seconds: float) -> None:
    """Go on whatever is raised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


def test_a_function_is_interrupted_at_its_deadline(fsq: Fsq) -> None:
    """TimedOut passes ``except Exception``, runs the clean-up, and is recorded; the worker goes on with the next."""
    producer = Producer(fsq.root)
    ref = producer.submit("slow", max_attempts=1, timeout="0.2s")
    producer.submit("quick", timeout="0.2s")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.payload == "slow":
            try:
                time.sleep(600)
            except Exception:
                fsq.diary.note("swallowed", job)
            finally:
                fsq.diary.note("cleaned", job)

    running = fsq.drain(handle)
    assert [line.word for line in fsq.diary.lines()] == ["start", "cleaned", "start"]
    assert len({line.pid for line in fsq.diary.lines()}) == 1
    start, cleaned = fsq.diary.lines()[:2]
    assert 0.1 <= cleaned.at - start.at < 10
    [error] = fsq.errors(ref.id)
    assert (error["kind"], error["type"], error["message"]) == ("timeout", "TimedOut", "timed out after 200 ms")
    assert "time.sleep(600)" in error["traceback"]
    assert (running.summary["failed"], running.summary["done"]) == (1, 1)


def test_a_coroutine_is_cancelled_at_its_deadline(fsq: Fsq) -> None:
    """The event loop's own way; recorded as a time-out as well. A TimeoutError of the handler's own is just that."""
    producer = Producer(fsq.root)
    slow = producer.submit("slow", max_attempts=1, timeout="0.2s")
    own = producer.submit("own", max_attempts=1, timeout="1m")

    async def handle(job: Job) -> None:
        if job.payload == "own":
            raise TimeoutError("the server's")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            fsq.diary.note("cancelled", job)
            raise

    fsq.drain(handle)
    assert fsq.diary.count("cancelled") == 1
    assert (fsq.errors(slow.id)[0]["kind"], fsq.errors(slow.id)[0]["message"]) == ("timeout", "timed out after 200 ms")
    assert (fsq.errors(own.id)[0]["kind"], fsq.errors(own.id)[0]["type"]) == ("error", "TimeoutError")


def test_timed_out_can_be_caught_by_name(fsq: Fsq) -> None:
    """A handler that gives a partial result is done."""
    ref = Producer(fsq.root).submit(0, timeout="0.1s", keep="1h")

    def handle(_: Job) -> str:
        try:
            time.sleep(600)
        except TimedOut:
            return "partial"
        return "whole"

    fsq.drain(handle)
    assert ref.result() == "partial"


def test_a_handler_that_does_not_stop_is_killed(fsq: Fsq) -> None:
    """After the grace time its worker is ended; a failed attempt like any other, tried again by the backoff."""
    producer = Producer(fsq.root)
    for stubborn in (sleep_deaf, swallow):
        producer.submit(stubborn.__name__, max_attempts=2, timeout="0.1s")
    last = producer.submit("last", max_attempts=1, timeout="0.1s")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            swallow(600) if job.payload == "swallow" else sleep_deaf(600)

    running = fsq.drain(handle, grace="0.2s", backoff="10ms", processes=3)
    starts = fsq.diary.lines("start")
    assert sorted(line.attempt for line in starts) == [1, 1, 1, 2, 2]
    assert len({line.pid for line in starts if line.attempt == 1}) == 3
    for again in starts[3:]:
        [first] = [line for line in starts[:3] if line.job == again.job]
        assert 0.2 <= again.at - first.at < 10
    assert {event["reason"] for event in running.events("run ended")} == {"timed out after 100 ms, did not stop"}
    assert sorted(event["state"] for event in running.events("recovered")) == ["failed", "later", "later"]
    assert running.events("worker died") == []
    assert (running.summary["done"], running.summary["retried"], running.summary["failed"]) == (2, 2, 1)
    [error] = fsq.errors(last.id)
    assert (error["kind"], error["message"]) == ("timeout", "timed out after 100 ms, did not stop")


def test_a_jobs_own_limit_goes_before_the_workers(fsq: Fsq) -> None:
    """Longer, shorter, or none at all (0)."""
    producer = Producer(fsq.root)
    shorter = producer.submit("shorter", timeout="0.05s", max_attempts=1)
    none = producer.submit("none", timeout=0, max_attempts=1)
    usual = producer.submit("usual", max_attempts=1)
    fsq.drain(lambda _: time.sleep(0.3), timeout="0.15s")
    assert fsq.errors(shorter.id)[0]["message"] == "timed out after 50 ms"
    assert none.state() is None
    assert fsq.errors(usual.id)[0]["message"] == "timed out after 150 ms"


def test_jobs_that_end_at_their_deadline_do_not_hurt_the_next(fsq: Fsq) -> None:
    """Many runs about as long as their limit, and no grace: each is done or timed out, none lost, none hit for another."""
    jobs = set(Producer(fsq.root).submit_many(range(30), timeout="10ms", max_attempts=1, durable=False))

    def handle(job: Job) -> None:
        time.sleep(0.008 + job.payload % 5 / 1000)
        fsq.diary.note("end", job)

    running = fsq.work(handle, grace=0, processes=2, drain=True)
    assert running.wait() == 0
    failed = {name.split("-")[1] for name in fsq.names("failed")}
    assert jobs - failed <= {line.job for line in fsq.diary.lines("end")}
    assert all(error["kind"] == "timeout" for job in failed for error in fsq.errors(job))
    assert fsq.ls() in ({"failed": len(failed)}, {})


def test_an_alarm_that_got_lost_comes_again(fsq: Fsq) -> None:
    """Python misses one that comes just before a wait begins; here the handler swallows it."""
    ref = Producer(fsq.root).submit(0, timeout="0.1s", max_attempts=1)

    def handle(job: Job) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        assert signal.sigwait({signal.SIGALRM})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        fsq.diary.note("lost", job)
        try:
            time.sleep(600)
        finally:
            fsq.diary.note("quiet" if signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) else "disturbed", job)

    fsq.drain(handle, grace="1h")
    assert [line.word for line in fsq.diary.lines()] == ["lost", "quiet"]
    assert [error["message"] for error in fsq.errors(ref.id)] == ["timed out after 100 ms"]


def test_an_orphan_still_has_its_limit(fsq: Fsq) -> None:
    """Its supervisor is dead, its handler deaf to exceptions: the kernel ends it, and the next supervisor recovers."""
    ref = Producer(fsq.root).submit(0, timeout="0.5s", max_attempts=2)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            swallow(600)

    running = fsq.work(handle, grace="1h")
    worker = fsq.running_pid()
    running.kill()
    until(lambda: not is_alive(worker), "the orphan ends")
    assert 1.0 <= time.monotonic() - fsq.diary.lines("start")[0].at < 15
    assert fsq.drain(handle).summary["done"] == 1
    assert fsq.diary.lines("start")[1].attempt == 2
    assert ref.state() is None


def test_an_orphaned_coroutine_is_timed_out_as_ever(fsq: Fsq) -> None:
    """The event loop needs no supervisor for that."""
    ref = Producer(fsq.root).submit(0, timeout="0.3s", max_attempts=1)

    async def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        await asyncio.sleep(600)

    running = fsq.work(handle)
    worker = fsq.running_pid()
    running.kill()
    until(lambda: not is_alive(worker), "the orphan ends", 5)
    assert ref.state() == "failed"
    assert fsq.errors(ref.id)[0]["message"] == "timed out after 300 ms"


def test_the_alarm_is_off_when_the_handler_has_returned(fsq: Fsq) -> None:
    """The limit of one job must not hit the next, which has none."""
    producer = Producer(fsq.root)
    producer.submit("quick", timeout="0.2s", durable=False)
    producer.submit("slow", timeout=0, max_attempts=1, durable=False)
    running = fsq.drain(lambda job: time.sleep(0.4) if job.payload == "slow" else None)
    assert running.summary["done"] == 2
    assert running.events("worker died") == []
