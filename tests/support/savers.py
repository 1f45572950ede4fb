"""Handlers that save for ever, and what must be true when they were stopped: shared by the tests of stops."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from support.processes import until
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq, Working
    from workqueue import Job


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


def stopped_at_work(fsq: Fsq, handler: Callable[[Job], Any]) -> Working:
    """A supervisor that was told to stop while its handler was saving, and has ended."""
    running = fsq.work(handler, grace="1h")
    until(lambda: fsq.diary.count("saved") > 3, "the job is under way")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    return running
