"""A job that saves goes on where it was: after kill -9 of its worker, and when its worker is told to stop, uncharged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import descendants, is_alive, until
from workqueue import Job, Producer, Retry, Stopped
from workqueue.engine import marks
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.run import board as b
from workqueue.run import verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq, Working

LAST = 400


def count_up(fsq: Fsq, job: Job) -> None:
    """Save each row until told to stop, or to the last; written down are where a run begins, and what it has saved."""
    row = job.checkpoint or 0
    fsq.diary.note(f"from:{row}", job)
    while row < LAST:
        row += 1
        job.count(rows=1)
        job.save(row, durable=row % 5 == 0)
        fsq.diary.note(f"saved:{row}", job)
        time.sleep(0.001)


def runs_begun(fsq: Fsq) -> int:
    return sum(line.word.startswith("from") for line in fsq.diary.lines())


def save_for_ever(fsq: Fsq, job: Job, save: Callable[[int], object] | None = None) -> None:
    """Save rows until a save does not return; a later run is content with what it finds."""
    if job.checkpoint is not None:
        fsq.diary.note(f"found:{job.checkpoint}", job)
        return
    for row in range(1, 1_000_000):
        (save or job.save)(row)
        fsq.diary.note("saved", job)
        time.sleep(0.001)


def given_back(fsq: Fsq, job_id: str) -> int:
    """The job is ready, its attempt was not charged, no error is recorded; its cursor."""
    assert fsq.names("new") == [f"5-{job_id}-00"]
    assert fsq.errors(job_id) == []
    found = DirectoryEngine(Root(fsq.root)).checkpoint(job_id).checkpoint
    assert found is not None
    return int(found.value())


def goes_on(fsq: Fsq, handler: Callable[[Job], Any], cursor: int) -> None:
    """The next worker begins at the cursor, with the first attempt; and nothing stays when it is done."""
    assert fsq.drain(handler).summary["done"] == 1
    [line] = [line for line in fsq.diary.lines() if line.word.startswith("found")]
    assert (line.word, line.attempt) == (f"found:{cursor}", 1)
    assert fsq.ls() == {}
    assert os.listdir(f"{fsq.root}/.fsq/jobs") == []


# -- after kill -9 ---------------------------------------------------------------------------------------------


def test_after_each_kill_a_job_goes_on_from_what_was_saved_and_counts_each_row_once(fsq: Fsq) -> None:
    Producer(fsq.root).submit(0, max_attempts=100)
    with fsq.work(lambda job: count_up(fsq, job)) as running:
        for kills in range(8):
            until(lambda: runs_begun(fsq) > kills, "the next run begins")  # noqa: B023 - used at once
            [worker] = descendants(running.pid)
            time.sleep(0.003 * (kills + 1))
            os.kill(worker, signal.SIGKILL)
        finished = running.hears("finished")
    saved = runs = 0
    for line in fsq.diary.lines():
        word, _, row = line.word.partition(":")
        if word == "from":
            assert saved <= int(row) <= saved + 1, "the last save may have been on the disk before it was written down"
            runs += 1
        saved = int(row)
    assert saved == LAST
    assert runs == finished["attempt"] == 9
    assert finished["counts"] == {"rows": LAST}
    assert os.listdir(f"{fsq.root}/.fsq/jobs") == []


# -- when the worker is to stop --------------------------------------------------------------------------------


def stop(running: Working) -> None:
    running.signal(signal.SIGTERM)


def start_anew(running: Working) -> None:
    running.signal(signal.SIGHUP)


def stop_the_worker(running: Working) -> None:
    """By hand: its supervisor goes on, and is stopped afterwards."""
    [worker] = descendants(running.pid)
    os.kill(worker, signal.SIGTERM)
    running.hears("released")


@pytest.mark.parametrize("order", [stop, start_anew], ids=lambda order: order.__name__)
def test_a_job_leaves_at_its_next_save_and_the_next_worker_goes_on_from_it(
    fsq: Fsq, order: Callable[[Working], None]
) -> None:
    """Long before the grace is over; a first and only attempt is not used up."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)
    running = fsq.work(lambda job: save_for_ever(fsq, job), grace="1h")
    until(lambda: fsq.diary.count("saved") > 3, "the job is under way")
    order(running)
    assert running.wait() == 0
    assert running.summary["released"] == 1
    assert [event["id"] for event in running.events("released")] == [ref.id]
    cursor = given_back(fsq, ref.id)
    assert cursor == fsq.diary.count("saved") + 1, "the save that told it to leave has saved"
    goes_on(fsq, lambda job: save_for_ever(fsq, job), cursor)


def test_a_worker_that_is_told_to_end_by_hand_leaves_its_job_to_another(fsq: Fsq) -> None:
    Producer(fsq.root).submit(0, max_attempts=1)
    with fsq.work(lambda job: save_for_ever(fsq, job)) as running:
        until(lambda: fsq.diary.count("saved") > 3, "the job is under way")
        stop_the_worker(running)
        running.hears("finished")
        assert running.events("worker died") == []
    assert len({line.pid for line in fsq.diary.lines()}) == 2


def test_a_worker_whose_supervisor_was_killed_leaves_its_job_to_the_next(fsq: Fsq) -> None:
    """Also one that does not hear the signal with which the kernel tells it."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        save_for_ever(fsq, job)

    running = fsq.work(handle)
    until(lambda: fsq.diary.count("saved") > 3, "the job is under way")
    [worker] = descendants(running.pid)
    running.kill()
    until(lambda: not is_alive(worker), "the orphan has left")
    goes_on(fsq, handle, given_back(fsq, ref.id))


def test_what_a_handler_catches_is_not_the_stop_and_its_clean_up_is_run(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        try:
            save_for_ever(fsq, job)
        except Exception:
            fsq.diary.note("swallowed", job)
        finally:
            fsq.diary.note("cleaned", job)

    running = stopped_at_work(fsq, handle)
    assert running.summary["released"] == 1
    assert (fsq.diary.count("swallowed"), fsq.diary.count("cleaned")) == (0, 1)
    goes_on(fsq, handle, given_back(fsq, ref.id))


def stopped_at_work(fsq: Fsq, handler: Callable[[Job], Any]) -> Working:
    """A supervisor that was told to stop while its handler was saving, and has ended."""
    running = fsq.work(handler, grace="1h")
    until(lambda: fsq.diary.count("saved") > 3, "the job is under way")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    return running


def in_a_thread(fsq: Fsq, job: Job) -> None:
    """The pool hands on what was raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(save_for_ever, fsq, job).result()


def in_a_thread_that_is_only_joined(fsq: Fsq, job: Job) -> None:
    """Its end looks like success, and is none."""
    threading.excepthook = lambda _: None
    thread = threading.Thread(target=save_for_ever, args=(fsq, job))
    thread.start()
    thread.join()


def swallowing(fsq: Fsq, job: Job) -> str:
    with contextlib.suppress(BaseException):
        save_for_ever(fsq, job)
    return "as if all were done"


@pytest.mark.parametrize(
    "handle", [in_a_thread, in_a_thread_that_is_only_joined, swallowing], ids=lambda it: it.__name__
)
def test_however_a_handler_takes_it_the_job_is_given_back_and_goes_on(
    fsq: Fsq, handle: Callable[[Fsq, Job], Any]
) -> None:
    ref = Producer(fsq.root).submit(0)
    running = stopped_at_work(fsq, lambda job: handle(fsq, job))
    assert (running.summary["released"], running.summary["done"]) == (1, 0)
    goes_on(fsq, lambda job: handle(fsq, job), given_back(fsq, ref.id))


async def awaited(fsq: Fsq, job: Job) -> None:
    save_for_ever(fsq, job)


async def awaited_in_a_thread(fsq: Fsq, job: Job) -> None:
    """As one saves without holding up the event loop."""
    if job.checkpoint is not None:
        fsq.diary.note(f"found:{job.checkpoint}", job)
        return
    for row in range(1, 1_000_000):
        await asyncio.to_thread(job.save, row)
        fsq.diary.note("saved", job)


async def in_a_group(fsq: Fsq, job: Job) -> None:
    """The others are cancelled, and the group raises a group."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(awaited_in_a_thread(fsq, job))
        if job.checkpoint is None:
            tasks.create_task(asyncio.sleep(600))


@pytest.mark.parametrize("coroutine", [awaited, awaited_in_a_thread, in_a_group], ids=lambda it: it.__name__)
def test_a_coroutine_leaves_at_a_save_too(fsq: Fsq, coroutine: Callable[[Fsq, Job], Any]) -> None:
    ref = Producer(fsq.root).submit(0)

    async def handle(job: Job) -> None:
        await coroutine(fsq, job)

    assert stopped_at_work(fsq, handle).summary["released"] == 1
    goes_on(fsq, handle, given_back(fsq, ref.id))


def test_what_a_handler_raises_when_it_was_told_to_leave_is_heeded(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        try:
            save_for_ever(fsq, job)
        except Stopped:
            raise Retry("1h", "by my own will") from None

    running = stopped_at_work(fsq, handle)
    assert (running.summary["released"], running.summary["retried"]) == (0, 1)
    assert fsq.errors(ref.id)[0]["message"] == "by my own will"


def test_a_handler_that_raises_it_without_having_been_told_has_failed(fsq: Fsq) -> None:
    """Else it would be run for ever, uncharged."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        job.save(1)
        raise Stopped("I want to go home")

    assert fsq.drain(handle).summary["failed"] == 1
    assert fsq.errors(ref.id)[0]["type"] == "Stopped"


def test_a_handler_that_saves_nothing_may_finish_as_ever(fsq: Fsq) -> None:
    Producer(fsq.root).submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        job.save(1)
        with fsq.diary.run(job):
            until(go.exists, "the test says go")
        job.progress(1, 1)

    running = fsq.work(handle, grace="1h")
    fsq.running_pid()
    running.signal(signal.SIGTERM)
    running.hears("stopping")
    go.touch()
    assert running.wait() == 0
    assert (running.summary["done"], running.summary["released"]) == (1, 0)


def test_a_worker_that_has_left_a_job_begins_no_other(fsq: Fsq) -> None:
    """Not even one that it was dealt together with that job, as quick ones are."""
    producer = Producer(fsq.root)
    for word in ("quick",) * 60 + ("long",) + ("late",) * 40:
        producer.submit(word, durable=False)

    def handle(job: Job) -> None:
        if job.payload == "long":
            save_for_ever(fsq, job)
        elif job.payload == "late":
            fsq.diary.note("late", job)

    assert stopped_at_work(fsq, handle).summary["released"] == 1
    assert fsq.diary.count("late") == 0
    assert fsq.ls() == {"new": 41}


def test_what_is_ended_by_force_goes_on_from_its_last_save(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        if job.checkpoint is None:
            job.save(5)
            fsq.diary.note("start", job)
            time.sleep(600)
        save_for_ever(fsq, job)

    running = fsq.work(handle, grace="0.1s")
    fsq.running_pid()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.summary["released"] == 1
    goes_on(fsq, handle, given_back(fsq, ref.id))


def test_a_run_over_the_memory_limit_does_not_leave_at_a_save_uncharged(fsq: Fsq) -> None:
    """It would come back for ever, and never run out of attempts."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        hoard = bytearray(300_000_000)
        hoard[::4096] = b"x" * len(hoard[::4096])
        save_for_ever(fsq, job)

    running = fsq.drain(handle, max_rss="250M", grace="0.2s")
    assert running.summary["released"] == 0
    [error] = fsq.errors(ref.id)
    assert error["kind"] == "memory"


def test_a_child_that_the_handler_forked_saves_and_is_not_told_to_leave(fsq: Fsq) -> None:
    """It has another parent than its worker, and nobody has stopped."""
    ref = Producer(fsq.root).submit(0, keep="1h")

    def handle(job: Job) -> int:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                job.save("the child's")
                os._exit(7)
            os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    fsq.drain(handle)
    assert ref.result() == 7


def test_a_handler_that_closes_every_descriptor_is_not_taken_for_stopped(fsq: Fsq) -> None:
    """Its job would be given back, and come back, for ever."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        os.closerange(3, 256)
        for row in range(3):
            job.save(row)
        fsq.diary.note("ended", job)

    assert fsq.drain(handle).summary["done"] == 1
    assert fsq.diary.count("ended") == 1


def test_a_cancelled_job_that_leaves_is_gone(root: str) -> None:
    engine = DirectoryEngine(Root(root))
    job_id = Producer(root).submit(0).id
    claim = engine.take("default", f"5-{job_id}-0", 1)
    assert isinstance(claim, Claim)
    marks.mark(engine.root, job_id)
    board = b.Board()
    try:
        verdict = verdicts.attempt(engine, claim, lambda job: job.save(1), board, lambda: True)
        assert verdict == verdicts.Left()
        verdicts.settle(engine, claim, verdict, board)
        assert (board.counts()["cancelled"], board.counts()["released"]) == (1, 0)
    finally:
        board.close()
    assert engine.find(job_id) is None
    assert os.listdir(engine.root.dot("jobs")) == os.listdir(engine.root.dot("cancel")) == []
