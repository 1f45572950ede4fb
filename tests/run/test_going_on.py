"""A job that saves goes on where it was: after kill -9 of its worker, and when its worker is told to stop, uncharged."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, is_alive, until
from support.savers import given_back, goes_on, save_for_ever, stopped_at_work
from workqueue import Job, Producer
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


def tells_itself(fsq: Fsq, job: Job) -> None:
    fsq.diary.note("ran", job)
    os.kill(os.getpid(), signal.SIGTERM)
    for row in range(job.checkpoint or 0, 5):
        job.save(row + 1)


def tells_itself_and_stays_where_it_is(fsq: Fsq, job: Job) -> None:
    fsq.diary.note("ran", job)
    os.killpg(0, signal.SIGTERM)
    for _ in range(5):
        job.save("here")


@pytest.mark.parametrize(("handle", "runs"), [(tells_itself, 6), (tells_itself_and_stays_where_it_is, 2)])
def test_a_handler_that_ends_its_own_worker_comes_to_an_end(
    fsq: Fsq, handle: Callable[[Fsq, Job], None], runs: int
) -> None:
    """As one does that ends its process group to be rid of its children: its job leaves only where it has come on."""
    Producer(fsq.root).submit(0, max_attempts=1)
    running = fsq.drain(lambda job: handle(fsq, job))
    assert (running.summary["done"], running.summary["failed"]) == (1, 0)
    assert fsq.diary.count("ran") == runs


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
        verdict = verdicts.attempt(engine, claim, lambda job: job.save(1), board, lambda **_: True)
        assert verdict == verdicts.Left()
        verdicts.settle(engine, claim, verdict, board)
        assert (board.counts()["cancelled"], board.counts()["released"]) == (1, 0)
    finally:
        board.close()
    assert engine.find(job_id) is None
    assert os.listdir(engine.root.dot("jobs")) == os.listdir(engine.root.dot("cancel")) == []
