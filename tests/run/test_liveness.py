"""Handlers that do what they like with their process: what they leave is ended, and nobody waits for it or dies of it."""

from __future__ import annotations

import mmap
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from support.processes import command_of, descendants, is_alive, until
from workqueue import Job, Producer
from workqueue.clock import Clock
from workqueue.engine import slots
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.run.events import log_to_stderr
from workqueue.run.handler import Handler
from workqueue.run.options import RunOptions
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq

EVERY_SIGNAL = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}


def ignore_everything() -> None:
    """Be deaf to all that can be ignored or blocked."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, EVERY_SIGNAL)


# -- what a handler starts, or becomes -----------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["the worker's", "its own"])
def test_an_orphan_that_stays_in_the_session_is_ended_before_the_job_moves_on(fsq: Fsq, group: str) -> None:
    """Forked twice, a daemon but for its setsid: its parent is not the worker any more, its session still is."""
    Producer(fsq.root).submit(0)
    pid = fsq.where / "pid"

    def handle(job: Job) -> None:
        if job.attempt == 1:
            if os.fork() == 0:
                if os.fork() == 0:
                    if group == "its own":
                        os.setpgid(0, 0)
                    ignore_everything()
                    pid.write_text(str(os.getpid()))
                    time.sleep(600)
                os._exit(0)
            until(lambda: pid.exists() and pid.read_text(), "the orphan is there")
            os.kill(os.getpid(), signal.SIGKILL)
        fsq.diary.note("alive" if is_alive(int(pid.read_text())) else "dead", job)

    assert fsq.drain(handle).summary["done"] == 1
    assert [line.word for line in fsq.diary.lines()] == ["dead"]


DEAF = 'trap "" TERM ALRM; sleep 600 & wait; sleep 600'


def become(command: str) -> None:
    """Let another program take the place of the worker's."""
    os.execvp("sh", ["sh", "-c", command])


def first_becomes(fsq: Fsq, command: str) -> Callable[[Job], None]:
    """A handler whose first attempt becomes a program; the second tells whether that one is still there."""

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            become(command)
        former = fsq.diary.lines("start")[0].pid
        fsq.diary.note("alive" if is_alive(former) else "dead", job)

    return handle


def test_a_worker_that_became_a_program_has_died_when_that_ends(fsq: Fsq) -> None:
    """With whatever status: nobody settled the job, and it is run again."""
    ref = Producer(fsq.root).submit(0)
    running = fsq.drain(first_becomes(fsq, "exit 0"))
    assert fsq.diary.count("dead") == 1
    assert running.events("recovered")[0]["error"] == "its worker died (exit status 0)"
    assert (running.summary["done"], ref.state()) == (1, None)


def test_a_worker_that_became_a_program_is_killed_at_its_time_limit(fsq: Fsq) -> None:
    """No exception can be raised in it; from outside it is a run like any other."""
    ref = Producer(fsq.root).submit(0, timeout="0.2s", max_attempts=1)
    running = fsq.drain(first_becomes(fsq, DEAF), grace="0.2s")
    assert fsq.errors(ref.id)[0]["message"] == "timed out after 200 ms, did not stop"
    assert not is_alive(fsq.diary.lines("start")[0].pid)
    assert running.summary["failed"] == 1


def test_a_worker_that_became_a_program_is_ended_and_its_job_given_back_at_a_stop(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)
    running = fsq.work(first_becomes(fsq, DEAF), grace="0.1s")
    worker = fsq.running_pid()
    until(lambda: "trap" in command_of(worker), "it is another program")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert not is_alive(worker)
    assert fsq.names("new") == [f"5-{ref.id}-0"]


def test_a_program_that_a_dead_crews_worker_became_is_ended_before_its_job_moves_on(fsq: Fsq) -> None:
    """exec closed its copy of the lock, and its supervisor is dead: the slot is free while the job's own run goes on."""
    Producer(fsq.root).submit(0)
    handle = first_becomes(fsq, DEAF)
    running = fsq.work(handle)
    worker = fsq.running_pid()
    until(lambda: "trap" in command_of(worker), "it is another program")
    running.kill()
    assert is_alive(worker)
    fsq.drain(handle)
    assert [line.word for line in fsq.diary.lines()] == ["start", "start", "dead"]
    assert fsq.diary.lines("start")[1].attempt == 2


# -- what it does not hear -----------------------------------------------------------------------------------------


def test_a_deaf_handler_without_a_limit_is_given_back_at_a_stop(fsq: Fsq) -> None:
    """It never returns, and blocks every signal: the grace ends it, and the attempt is not charged."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        ignore_everything()
        fsq.diary.note("start", job)
        time.sleep(600)

    running = fsq.work(handle, grace="0.1s")
    worker = fsq.running_pid()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert not is_alive(worker)
    assert fsq.names("new") == [f"5-{ref.id}-0"]
    assert fsq.errors(ref.id) == []


def test_a_deaf_program_is_given_back_at_a_stop(fsq: Fsq) -> None:
    """`--exec` of one that ignores SIGTERM, and has started another: both are gone."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)
    script = fsq.write("deaf.sh", 'trap "" TERM INT HUP\nsleep 600 &\necho $$ $! >pids\nwait\nsleep 600\n')
    running = fsq.work(program=f"sh {script}", grace="0.1s")
    pids = fsq.where / "pids"
    until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the program runs")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())
    assert fsq.names("new") == [f"5-{ref.id}-0"]


def test_a_worker_that_a_handler_made_deaf_still_ends_with_its_supervisor(fsq: Fsq) -> None:
    """It is told by the end of its socket, not by a signal alone: after its job it claims no other."""
    producer = Producer(fsq.root)
    producer.submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        ignore_everything()
        fsq.diary.note("start", job)
        until(go.exists, "the test says go")

    running = fsq.work(handle)
    worker = fsq.running_pid()
    producer.submit(1)
    running.kill()
    go.touch()
    until(lambda: not is_alive(worker), "the worker ends")
    assert fsq.diary.count("start") == 1
    assert fsq.ls() == {"new": 1}


def test_a_run_after_a_deaf_one_still_has_its_limit(fsq: Fsq) -> None:
    """SIGALRM stays blocked in the worker: then the supervisor ends the run, when the grace is over."""
    producer = Producer(fsq.root)
    producer.submit("deafens", max_attempts=1)
    ref = producer.submit("hangs", timeout="0.1s", max_attempts=1)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.payload == "deafens":
            ignore_everything()
        else:
            time.sleep(600)

    running = fsq.drain(handle, grace="0.2s")
    assert fsq.errors(ref.id)[0]["kind"] == "timeout"
    assert (running.summary["done"], running.summary["failed"]) == (1, 1)


# -- more workers than slots ---------------------------------------------------------------------------------------


class Hurried(Clock):
    """A monotonic clock on which ten minutes take a second."""

    def monotonic(self) -> float:
        return super().monotonic() * 600


class LockedOutFs(UnsyncedFs):
    """Counts, for all who share it, how often a lock was another's."""

    def __init__(self) -> None:
        self._count = mmap.mmap(-1, 8)

    def lock(self, fd: int) -> bool:
        got = super().lock(fd)
        if not got:
            self._count[:] = (self.count + 1).to_bytes(8, "big")
        return got

    @property
    def count(self) -> int:
        return int.from_bytes(self._count[:], "big")


def test_a_supervisor_short_of_slots_tries_now_and_then_until_one_is_free(fsq: Fsq) -> None:
    """Told once, with what to do; nobody has to start it again, and a loop without a pause would ask thousands of times."""
    fsq.root, fs = f"{fsq.where}/small", LockedOutFs()
    init(fsq.root, slots=3)

    def supervise() -> None:
        log_to_stderr(as_json=True, verbose=True)
        engine = DirectoryEngine(Root(fsq.root, fs=fs, clock=Hurried()))
        Supervisor(engine, lambda: Handler.of(lambda _: None), RunOptions(("default",), 2)).run()

    with fsq.work(lambda _: None, processes=2) as one:
        one.hears("started")
        with fsq.fork(supervise) as other:
            assert other.hears("started")["message"].startswith("1 worker on")
            assert "all 3 worker slots are in use" in other.events("trouble")[0]["text"]
            until(lambda: fs.count > 3 * 2, "it has tried in vain, twice")
            time.sleep(0.3)
            assert len(descendants(other.pid)) == 1
            assert fs.count < 300
            one.stop()
            until(lambda: len(descendants(other.pid)) == 2, "the second worker is hired")
            until(lambda: sum(slots.read(Root(fsq.root), n) is not None for n in range(3)) == 2, "it has signed")
        assert len(other.events("trouble")) == 1
