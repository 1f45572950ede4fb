"""Cancel of a running job: its worker is told, then made to; of the job nothing is left."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from support.processes import is_alive, until
from workqueue import Job, Producer

if TYPE_CHECKING:
    from support.fsq import Fsq
    from workqueue import JobRef


def gone(fsq: Fsq, ref: JobRef) -> bool:
    """Whether nothing of a cancelled job is left: file, records, mark."""
    return ref.state() is None and not os.listdir(f"{fsq.root}/.fsq/jobs") and not os.listdir(f"{fsq.root}/.fsq/cancel")


def test_the_handler_is_interrupted_and_the_job_is_gone(fsq: Fsq) -> None:
    """Through ``except Exception``; its clean-up runs; key and records are freed; the worker lives on."""
    producer = Producer(fsq.root)
    ref = producer.submit("long", key="day:1")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.payload == "long":
            try:
                time.sleep(600)
            except Exception:
                fsq.diary.note("swallowed", job)
            finally:
                fsq.diary.note("cleaned", job)

    with fsq.work(handle) as running:
        worker = fsq.running_pid()
        start = time.monotonic()
        assert ref.cancel() == "cur"
        until(lambda: ref.state() is None, "the job is gone")
        assert time.monotonic() - start < 5
        assert running.hears("cancelled")["id"] == ref.id
        until(lambda: gone(fsq, ref), "nothing of it is left")
        again = producer.submit("next", key="day:1")
        assert again.created
        running.hears("finished")
    assert [line.word for line in fsq.diary.lines()] == ["start", "cleaned", "start"]
    assert fsq.diary.lines("start")[1].pid == worker
    assert running.summary["cancelled"] == 1
    assert running.summary["attempts"] == 2


def test_a_coroutine_is_interrupted_too(fsq: Fsq) -> None:
    """In its event loop."""
    ref = Producer(fsq.root).submit(0)

    async def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        await asyncio.sleep(600)

    with fsq.work(handle, grace="1h") as running:
        fsq.running_pid()
        ref.cancel()
        running.hears("cancelled")
        until(lambda: gone(fsq, ref), "nothing of it is left")


def test_a_program_is_terminated(fsq: Fsq) -> None:
    """SIGTERM, as at a time limit."""
    ref = Producer(fsq.root).submit(0)
    with fsq.work(
        None, program="sh -c 'trap \"echo bye >bye; exit 0\" TERM; echo >hi; while :; do sleep 0.02; done'"
    ) as running:
        until((fsq.where / "hi").exists, "the program runs")
        ref.cancel()
        running.hears("cancelled")
        until(lambda: gone(fsq, ref), "nothing of it is left")
    assert (fsq.where / "bye").exists()


def test_a_handler_that_ignores_it_is_killed_after_the_grace(fsq: Fsq) -> None:
    """The order holds: the job is gone, not given back."""
    ref = Producer(fsq.root).submit(0, key="k")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                continue

    with fsq.work(handle, grace="0.2s") as running:
        worker = fsq.running_pid()
        ref.cancel()
        assert running.hears("run ended")["reason"] == "cancelled"
        running.hears("cancelled")
        assert not is_alive(worker)
        until(lambda: gone(fsq, ref), "nothing of it is left")
        assert Producer(fsq.root).submit(1, key="k").created
    assert running.events("worker died") == []


def test_a_run_that_succeeds_meanwhile_has_won(fsq: Fsq) -> None:
    """It is done, and the late order is forgotten: it hits no later job."""
    ref = Producer(fsq.root).submit(0, keep="1h")

    def handle(job: Job) -> str:
        fsq.diary.note("start", job)
        try:
            time.sleep(600)
        except BaseException:
            return "finished all the same"
        return ""

    with fsq.work(handle, grace="1h") as running:
        fsq.running_pid()
        ref.cancel()
        running.hears("finished")
        until(lambda: not os.listdir(f"{fsq.root}/.fsq/cancel"), "the order is forgotten")
    assert (ref.state(), ref.result()) == ("done", "finished all the same")


def test_a_cancelled_job_that_fails_is_not_retried(fsq: Fsq) -> None:
    """Whoever ends the claim without success carries the order out."""
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        try:
            time.sleep(600)
        except BaseException:
            raise ValueError from None

    with fsq.work(handle) as running:
        fsq.running_pid()
        ref.cancel()
        running.hears("cancelled")
        until(lambda: gone(fsq, ref), "nothing of it is left")
    assert running.events("retried") == []


def test_a_cancelled_job_of_a_killed_worker_is_not_run_again(fsq: Fsq) -> None:
    """The mark outlives the worker: recovery obeys it."""
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        time.sleep(600)

    running = fsq.work(handle)
    worker = fsq.running_pid()
    running.kill()
    ref.cancel()
    os.kill(worker, 9)
    assert fsq.drain(handle).summary["cancelled"] == 1
    assert gone(fsq, ref)
    assert fsq.diary.count("start") == 1


def test_a_neighbour_carries_an_order_out_that_nobody_runs(fsq: Fsq) -> None:
    """The job left cur/ between the look and the mark: the next sweep ends it where it is."""
    ref = Producer(fsq.root).submit(0, delay="1h")
    with open(f"{fsq.root}/.fsq/cancel/{ref.id}", "x"):
        pass
    with fsq.work(lambda _: None):
        until(lambda: gone(fsq, ref), "the order is carried out")
