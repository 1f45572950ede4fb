"""A handler that is told to leave at a save, in every way in which handlers are written."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from support.savers import given_back, goes_on, save_for_ever, stopped_at_work
from workqueue import Job, Producer, Retry, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq


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
