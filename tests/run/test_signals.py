"""Signals to the supervisor: stop, stop now, start anew, pause."""

from __future__ import annotations

import os
import pty
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, is_alive, state_of, until
from workqueue import Job, Producer
from workqueue.run.signals import HANDLED, Signals, signal_name

if TYPE_CHECKING:
    from support.fsq import Fsq


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_supervisor_stops_at_once(fsq: Fsq, number: signal.Signals) -> None:
    """Exit 0, and nothing to give back."""
    running = fsq.work(lambda _: None, processes=2)
    running.hears("started")
    start = time.monotonic()
    running.signal(number)
    assert running.wait() == 0
    assert time.monotonic() - start < 5
    assert running.events("stopping")[0]["running"] == 0
    assert running.events("stopped")


def test_a_running_job_may_finish_within_the_grace(fsq: Fsq) -> None:
    """Its end is awaited, no new one is begun, and the exit status is 0."""
    producer = Producer(fsq.root)
    producer.submit(0)
    waits = producer.submit(1)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    running = fsq.work(handle)
    fsq.running_pid()
    running.signal(signal.SIGTERM)
    assert running.hears("stopping")["running"] == 1
    go.touch()
    assert running.wait() == 0
    assert fsq.diary.count("end") == 1
    assert running.summary["done"] == 1
    assert waits.state() == "new"


def test_after_the_grace_the_job_is_given_back_uncharged(fsq: Fsq) -> None:
    """The run is ended, the attempt is not counted, no error is recorded, and the exit status is 0."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            time.sleep(600)

    running = fsq.work(handle, grace="0.3s")
    worker = fsq.running_pid()
    start = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert 0.3 <= time.monotonic() - start < 5
    assert not is_alive(worker)
    assert fsq.names("new") == [f"5-{ref.id}-0"]
    assert fsq.errors(ref.id) == []
    assert running.summary["released"] == 1
    assert running.events("released")[0]["id"] == ref.id
    assert fsq.drain(lambda _: None).summary["done"] == 1


def test_a_second_signal_ends_everything_at_once(fsq: Fsq) -> None:
    """Whoever asks twice is in a hurry; the job is given back all the same."""
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    running = fsq.work(handle, grace="1h")
    fsq.running_pid()
    running.signal(signal.SIGTERM)
    running.hears("stopping")
    start = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert time.monotonic() - start < 10
    assert fsq.names("new") == [f"5-{ref.id}-0"]


def test_ctrl_c_reaches_the_supervisor_alone(fsq: Fsq) -> None:
    """On a terminal: the handlers are in sessions of their own, and go on to their end."""
    Producer(fsq.root).submit(0)
    fsq.write(
        "etl.py",
        "import time\n"
        "def load(job):\n"
        "    open('started', 'x').close()\n"
        "    time.sleep(0.5)\n"
        "    open('ended', 'x').close()\n",
    )
    master, slave = pty.openpty()
    running = fsq.start("-r", fsq.root, "worker", "--handler", "etl:load", terminal=slave)
    os.close(slave)
    try:
        until((fsq.where / "started").exists, "the handler runs")
        os.write(master, b"\x03")
        assert running.wait() == 0
    finally:
        os.close(master)
    assert (fsq.where / "ended").exists()
    assert fsq.ls() == {}


def test_a_signal_to_the_process_group_reaches_no_handler(fsq: Fsq) -> None:
    """As a shell or a service manager sends it."""
    Producer(fsq.root).submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    running = fsq.work(handle)
    worker = fsq.running_pid()
    os.killpg(running.pid, signal.SIGINT)
    running.hears("stopping")
    assert is_alive(worker)
    go.touch()
    assert running.wait() == 0
    assert fsq.diary.count("end") == 1


def test_hangup_starts_anew_with_fresh_code(fsq: Fsq) -> None:
    """The same process and command; what runs is finished with the old code, the next job sees the new."""
    code = "import time\ndef load(job):\n    open('seen', 'a').write('{}\\n')\n    time.sleep(0.3)\n"
    fsq.write("etl.py", code.format("old"))
    seen = fsq.where / "seen"
    running = fsq.execute("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "1")
    producer = Producer(fsq.root)
    producer.submit(0)
    until(seen.exists, "the first job runs")
    fsq.write("etl.py", code.format("new"))
    running.signal(signal.SIGHUP)
    until(lambda: running.err.count(" on default in ") == 2, "it has started anew")
    assert fsq.ls() == {}
    producer.submit(1)
    until(lambda: seen.read_text() == "old\nnew\n", "the new code runs")
    assert "restarting when 1 running job" in running.err
    assert running.stop() == 0


def test_a_stop_while_restarting_stops(fsq: Fsq) -> None:
    """SIGHUP waits for the running job; a SIGTERM meanwhile means the end."""
    Producer(fsq.root).submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    running = fsq.work(handle)
    fsq.running_pid()
    running.signal(signal.SIGHUP)
    running.hears("restarting")
    running.signal(signal.SIGTERM)
    running.hears("stopping")
    go.touch()
    assert running.wait() == 0
    assert running.summary["restart"] is False


def test_paused_it_starts_nothing_and_lets_finish(fsq: Fsq) -> None:
    """SIGTSTP without a terminal: what runs goes on, nothing new begins before SIGCONT."""
    producer = Producer(fsq.root)
    producer.submit(0)
    with fsq.work(lambda job: fsq.diary.note("start", job)) as running:
        running.hears("finished")
        running.signal(signal.SIGTSTP)
        running.hears("paused")
        producer.submit(1)
        time.sleep(0.4)
        assert fsq.diary.count("start") == 1
        running.signal(signal.SIGCONT)
        running.hears("finished", 2)
        assert [event["event"] for event in running.events() if event["event"] in {"paused", "resumed"}] == [
            "paused", "resumed",
        ]  # fmt: skip


def test_a_paused_supervisor_can_be_stopped(fsq: Fsq) -> None:
    """TERM is heard in a pause too, and is heeded."""
    running = fsq.work(lambda _: None)
    running.hears("started")
    running.signal(signal.SIGTSTP)
    running.hears("paused")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_ctrl_z_stops_the_supervisor_on_a_terminal(fsq: Fsq) -> None:
    """The shell gets its prompt back; fg goes on."""
    fsq.write("etl.py", "def load(job):\n    open('ran', 'x').close()\n")
    master, slave = pty.openpty()
    running = fsq.start("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "1", terminal=slave)
    os.close(slave)
    try:
        until(lambda: descendants(running.pid), "a worker is there")
        os.kill(running.pid, signal.SIGTSTP)
        until(lambda: state_of(running.pid) == "T", "it is stopped")
        Producer(fsq.root).submit(0)
        os.kill(running.pid, signal.SIGCONT)
        until((fsq.where / "ran").exists, "it goes on")
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait() == 0
    finally:
        os.close(master)


def test_a_worker_that_is_told_to_end_by_hand_is_replaced(fsq: Fsq) -> None:
    """SIGTERM to one worker: it ends after its job, which is done; another takes its place."""
    producer = Producer(fsq.root)
    producer.submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    with fsq.work(handle) as running:
        first = fsq.running_pid()
        os.kill(first, signal.SIGTERM)
        time.sleep(0.05)
        go.touch()
        running.hears("finished")
        producer.submit(1)
        assert fsq.running_pid(2) != first
        running.hears("finished", 2)
        assert running.events("worker died") == []
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 1]


def test_an_idle_worker_that_is_told_to_end_by_hand_is_replaced(fsq: Fsq) -> None:
    """It does not wait for a job to notice."""
    producer = Producer(fsq.root)
    with fsq.work(lambda job: fsq.diary.note("start", job)) as running:
        running.hears("started")
        [first] = descendants(running.pid)
        producer.submit(0)
        running.hears("finished")
        os.kill(first, signal.SIGTERM)
        until(lambda: not is_alive(first), "it ends", 2)
        producer.submit(1)
        assert fsq.running_pid(2) != first


def test_the_former_signal_handlers_come_back() -> None:
    """A program that runs a Worker is left as it was."""
    former = [signal.getsignal(number) for number in HANDLED]
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: signal.SIGHUP in signals.read(), "the signal is read")
        assert signals.read() == []
    assert [signal.getsignal(number) for number in HANDLED] == former
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_have_names() -> None:
    """The real-time ones by their number."""
    assert (signal_name(9), signal_name(40)) == ("SIGKILL", "signal 40")
