"""Wake-ups lost: the same life as ever where no event tells of it, only slower.

Once without inotify at all, and once with an event queue that has overflown: the supervisor is stopped while more
happens than the kernel keeps for it, so that it hears nothing of what the test does then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, state_of, until
from support.storm.blows import flood
from support.storm.storm import can_forbid_inotify
from support.storm.workers import forbid_inotify
from workqueue import Job, Producer
from workqueue.engine.root import Root
from workqueue.run.wakeup import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.fsq import Fsq, Working


class Ears:
    """What a supervisor hears of the things that the test does."""

    def __init__(self, fsq: Fsq, first: Callable[[], object]) -> None:
        self._fsq = fsq
        self.first = first
        """What the supervisor's process does first."""

    @contextlib.contextmanager
    def closed(self, _: Working) -> Iterator[None]:
        """Let things happen that it does not hear of."""
        yield


class FullEars(Ears):
    """Its event queue has overflown."""

    @contextlib.contextmanager
    def closed(self, running: Working) -> Iterator[None]:
        running.signal(signal.SIGSTOP)
        until(lambda: state_of(running.pid) == "T", "the supervisor is stopped")
        try:
            flood(f"{self._fsq.root}/default")
            yield
        finally:
            running.signal(signal.SIGCONT)


@pytest.fixture(params=["without inotify", "overflown"])
def ears(request: pytest.FixtureRequest, fsq: Fsq) -> Ears:
    """A supervisor's ears, in a way that they hear nothing."""
    if request.param == "overflown":
        return FullEars(fsq, lambda: None)
    if not can_forbid_inotify():
        pytest.skip("no user namespace without inotify can be made here")
    return Ears(fsq, forbid_inotify)


def test_what_comes_while_the_worker_is_idle_is_run(fsq: Fsq, ears: Ears) -> None:
    """Submitted, in a batch, by hand, by link, by retry: each once."""
    producer = Producer(fsq.root)
    late = producer.submit("late", delay="1h")
    with fsq.work(lambda job: fsq.diary.note("start", job), first=ears.first) as running:
        running.hears("started")
        with ears.closed(running):
            producer.submit(0, durable=False)
            producer.submit_many([1, 2, 3], durable=False)
            os.rename(fsq.write("by hand", "4"), f"{fsq.root}/default/new/by hand")
            producer.submit(file=fsq.write("linked", "5"), mode="link")
            assert fsq("-r", fsq.root, "retry", late.id).status == 0
        running.hears("finished", 7)
    assert [line.attempt for line in fsq.diary.lines("start")] == [1] * 7
    assert fsq.ls() == {}


def test_a_killed_workers_job_runs_again(fsq: Fsq, ears: Ears) -> None:
    """And what was submitted at the moment of its death runs, too."""
    producer = Producer(fsq.root)
    producer.submit("killed")

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            if job.payload == "killed" and job.attempt == 1:
                time.sleep(600)

    with fsq.work(handle, first=ears.first) as running:
        worker = fsq.running_pid()
        with ears.closed(running):
            os.kill(worker, signal.SIGKILL)
            producer.submit("after it")
        running.hears("finished", 2)
    attempts: dict[str, list[int]] = {}
    for line in fsq.diary.lines("start"):
        attempts.setdefault(line.job, []).append(line.attempt)
    assert sorted(attempts.values()) == [[1], [1, 2]]
    fsq.diary.check_no_overlap()


def test_a_neighbour_recovers_what_a_dead_group_had(fsq: Fsq, ears: Ears) -> None:
    """Supervisor and worker were killed while the only living supervisor heard nothing."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            if job.attempt == 1:
                time.sleep(600)

    group = fsq.work(handle, first=ears.first)
    fsq.running_pid()
    with fsq.work(handle, first=ears.first) as neighbour:
        neighbour.hears("started")
        with ears.closed(neighbour):
            for pid in [group.pid, *descendants(group.pid)]:
                os.kill(pid, signal.SIGKILL)
            group.wait()
        neighbour.hears("finished")
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 2]
    fsq.diary.check_no_overlap()


def test_a_drain_sees_what_came_meanwhile(fsq: Fsq, ears: Ears) -> None:
    """New jobs, and retries; it does not end before them, nor wait for what was submitted for later."""
    producer = Producer(fsq.root)
    producer.submit("first")
    producer.submit("later", delay="1h")
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.payload == "first":
            until(go.exists, "the test says go")
        elif job.attempt < 3:
            raise ValueError

    running = fsq.work(handle, first=ears.first, drain=True, backoff="0.1s")
    fsq.running_pid()
    with ears.closed(running):
        producer.submit_many(["retried", "retried"], durable=False)
        go.touch()  # last: the drain may end when the first job has
    assert running.wait() == 0
    assert (running.summary["done"], running.summary["retried"]) == (3, 4)
    assert fsq.ls() == {"later": 1}


def test_delayed_jobs_start_when_they_are_due(fsq: Fsq, ears: Ears) -> None:
    """Not before; those that came unheard, too."""
    producer, due = Producer(fsq.root), {}

    def submit(delay: float) -> None:
        at = time.monotonic() + delay
        due[producer.submit(0, delay=delay).id] = at

    submit(0.6)
    with fsq.work(lambda job: fsq.diary.note("start", job), first=ears.first) as running:
        running.hears("started")
        with ears.closed(running):
            submit(0.2)
            submit(0.4)
        running.hears("finished", 3)
    starts = fsq.diary.lines("start")
    assert {line.job for line in starts} == set(due)
    assert all(line.at >= due[line.job] - 0.01 for line in starts)


def test_of_several_queues_the_first_is_served_first(fsq: Fsq, ears: Ears) -> None:
    """In their order and by priority, though all of it came unheard."""
    producer = Producer(fsq.root, create=True)
    producer.submit("opens", queue="low")
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        fsq.diary.note(str(job.payload), job)
        if job.payload == "opens":
            until(go.exists, "the test says go")

    with fsq.work(handle, queues=["default", "high", "low"], first=ears.first) as running:
        until(lambda: fsq.diary.count("opens"), "the worker is busy")
        with ears.closed(running):
            producer.submit("low", queue="low")
            producer.submit("high", queue="high")
            producer.submit("higher", queue="high", priority=0)
            producer.submit("default")
        go.touch()
        running.hears("finished", 5)
    assert [line.word for line in fsq.diary.lines()] == ["opens", "default", "higher", "high", "low"]


def test_a_running_job_is_cancelled(fsq: Fsq, ears: Ears) -> None:
    """The sweep finds the order of which nobody told."""
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        time.sleep(600)

    with fsq.work(handle, first=ears.first, grace=0.2) as running:
        fsq.running_pid()
        with ears.closed(running):
            assert ref.cancel() == "cur"
        running.hears("cancelled")
    assert fsq.ls() == {}
    assert os.listdir(f"{fsq.root}/.fsq/cancel") == []


def test_the_kernels_own_overflow_is_told(root: str) -> None:
    """More events than it keeps for whoever does not read them: then everything is to be listed again."""
    watch = Watch(Root(root), ["default"])
    try:
        flood(f"{root}/default")
        until(lambda: watch.read() is not None and watch.is_lost, "the overflow is read")
    finally:
        watch.close()
