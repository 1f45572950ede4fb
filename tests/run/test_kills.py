"""kill -9 of anything: no job is lost, none runs twice at a time, and the next run begins within a second."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, is_alive, until
from workqueue import Job, Producer

if TYPE_CHECKING:
    from support.fsq import Fsq, Working


def hang_at_first(fsq: Fsq, job: Job) -> None:
    """The first attempt never ends by itself."""
    with fsq.diary.run(job):
        if job.attempt == 1:
            time.sleep(600)


def test_a_killed_workers_job_runs_again_at_once(fsq: Fsq) -> None:
    """Its supervisor lives: milliseconds later, charged with one attempt, the death on record."""
    ref = Producer(fsq.root).submit(0)
    with fsq.work(lambda job: hang_at_first(fsq, job)) as running:
        worker = fsq.running_pid()
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        running.hears("finished")
    first, second = fsq.diary.lines("start")
    assert second.at - killed < 5
    assert (first.attempt, second.attempt) == (1, 2)
    assert running.events("worker died")[0]["how"] == "SIGKILL"
    assert running.events("recovered")[0]["id"] == ref.id
    fsq.diary.check_no_overlap()
    assert running.summary["attempts"] == 2
    assert running.summary["recovered"] == 1
    assert fsq.ls() == {}


def test_a_worker_outlives_its_supervisor_by_one_job(fsq: Fsq) -> None:
    """It finishes what it runs, claims nothing more, and is gone; another supervisor does not take its job."""
    producer = Producer(fsq.root)
    producer.submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    running = fsq.work(handle)
    worker = fsq.running_pid()
    producer.submit(1)
    running.kill()
    with fsq.work(handle, drain=True) as second:
        assert fsq.running_pid(2) != worker
        assert is_alive(worker)
        go.touch()
        assert second.wait() == 0
        assert second.summary["done"] == 1
    until(lambda: not is_alive(worker), "the orphan ends")
    assert [line.pid == worker for line in fsq.diary.lines("end")].count(True) == 1
    assert fsq.diary.count("start") == fsq.diary.count("end") == 2
    fsq.diary.check_no_overlap()
    assert fsq.ls() == {}


def test_an_idle_worker_ends_with_its_supervisor(fsq: Fsq) -> None:
    """Nothing is left that would claim jobs for nobody."""
    running = fsq.work(lambda _: None, processes=2)
    running.hears("started")
    workers = descendants(running.pid)
    assert len(workers) == 2
    running.kill()
    until(lambda: not any(map(is_alive, workers)), "the workers end", 2)


def kill_all(running: Working) -> None:
    """SIGKILL to a supervisor, then to what it had: so nobody of them sees another one die."""
    everybody = descendants(running.pid)
    running.kill()
    for pid in everybody:
        os.kill(pid, signal.SIGKILL)


def test_when_all_are_killed_the_next_supervisor_recovers(fsq: Fsq) -> None:
    """No repair command: starting a worker is enough; what the dead one's handler had started is ended first."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        if job.attempt == 1:
            os.system(f"sleep 600 & echo $! >{fsq.where}/child")
        hang_at_first(fsq, job)

    running = fsq.work(handle)
    fsq.running_pid()
    child = int((fsq.where / "child").read_text())
    running.kill()
    os.kill(fsq.running_pid(), signal.SIGKILL)
    assert is_alive(child)
    begun = time.monotonic()
    again = fsq.drain(handle)
    assert again.summary["done"] == 1
    assert fsq.diary.lines("start")[1].at - begun < 5
    assert fsq.diary.lines("start")[1].attempt == 2
    assert again.events("recovered")[0]["error"] == "its worker died"
    assert not is_alive(child)
    fsq.diary.check_no_overlap()


def test_a_living_neighbour_recovers_within_a_second(fsq: Fsq) -> None:
    """Another supervisor's sweep takes over what a whole dead crew had, in queues it serves."""
    Producer(fsq.root).submit(0)
    first = fsq.work(lambda job: hang_at_first(fsq, job))
    fsq.running_pid()
    with fsq.work(lambda job: hang_at_first(fsq, job)) as neighbour:
        neighbour.hears("started")
        kill_all(first)
        killed = time.monotonic()
        neighbour.hears("finished")
        assert fsq.diary.lines("start")[1].at - killed < 5
    assert fsq.diary.lines("start")[1].attempt == 2
    fsq.diary.check_no_overlap()


def test_a_stopped_worker_is_not_taken_for_dead(fsq: Fsq) -> None:
    """SIGSTOP for longer than any sweep: its job stays its own; liveness is no matter of time."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            time.sleep(0.2)

    running = fsq.work(handle)
    worker = fsq.running_pid()
    with running, fsq.work(handle) as neighbour:
        neighbour.hears("started")
        os.kill(worker, signal.SIGSTOP)
        time.sleep(1.3)  # a sweep of the neighbour's, and more
        os.kill(worker, signal.SIGCONT)
        running.hears("finished")
    assert fsq.diary.count("start") == fsq.diary.count("end") == 1


def test_names_dealt_to_a_dead_worker_are_dealt_again(fsq: Fsq) -> None:
    """A fast worker is dealt 16 names at a time; it dies at one of them, and the rest still run, once."""
    Producer(fsq.root).submit_many(range(60), durable=False)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            if job.payload == 40 and job.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    running = fsq.drain(handle)
    assert running.summary["done"] == 60
    assert fsq.diary.count("start") == 61
    fsq.diary.check_no_overlap()


def test_a_poison_job_ends_in_failed(fsq: Fsq) -> None:
    """It kills every worker that runs it: max_attempts deaths, each on record, and the others are done."""
    producer = Producer(fsq.root)
    poison = producer.submit("poison", max_attempts=3, priority=0)
    producer.submit_many(range(5), durable=False)

    def handle(job: Job) -> None:
        if job.payload == "poison":
            os._exit(13)

    running = fsq.work(handle, drain=True, processes=2)
    assert running.wait() == 0
    assert (running.summary["done"], running.summary["failed"]) == (5, 1)
    assert poison.state() == "failed"
    assert [(e["attempt"], e["kind"], e["message"]) for e in fsq.errors(poison.id)] == [
        (n, "death", "its worker died (exit status 13)") for n in (1, 2, 3)
    ]


def test_random_kills_lose_nothing_and_double_nothing(fsq: Fsq) -> None:
    """Two supervisors, four workers, a kill every few milliseconds: every job ends, and no two runs overlap."""
    chance = random.Random(5)
    jobs = set(Producer(fsq.root).submit_many(range(60), max_attempts=1000, durable=False))

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            time.sleep(0.01)

    with fsq.work(handle, processes=2) as one, fsq.work(handle, processes=2) as other:
        kills = 0
        while {line.job for line in fsq.diary.lines("end")} < jobs and kills < 40:
            time.sleep(chance.uniform(0.005, 0.03))
            victims = descendants(one.pid) + descendants(other.pid)
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    kills += 1
        until(lambda: fsq.ls() == {}, f"every job ends after {kills} kills")
    assert {line.job for line in fsq.diary.lines("end")} == jobs
    fsq.diary.check_no_overlap()


def wait_for_claim(fsq: Fsq, attempt: int) -> None:
    """Wait until a job is claimed for the n-th time."""
    until(lambda: [name for name in fsq.names("cur") if f"-{attempt}@" in name], "a claim")


@pytest.mark.parametrize("moment", ["claimed", "in the handler"])
def test_supervisors_are_killed_again_and_again(fsq: Fsq, moment: str) -> None:
    """Each time all are killed; the job is run until one run ends, and every start was counted."""
    Producer(fsq.root).submit(0, max_attempts=10)
    last = fsq.where / "last"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            if not last.exists():
                time.sleep(600)

    for attempt in (1, 2, 3):
        running = fsq.work(handle)
        if moment == "claimed":
            wait_for_claim(fsq, attempt)
        else:
            fsq.running_pid(attempt)
        kill_all(running)
    last.touch()
    fsq.drain(handle)
    attempts = [line.attempt for line in fsq.diary.lines("start")]
    assert attempts == sorted(set(attempts))
    assert attempts[-1] == 4
    assert fsq.ls() == {}
    fsq.diary.check_no_overlap()


def test_a_claim_moved_by_hand_is_run_again_not_lost(fsq: Fsq) -> None:
    """``mv cur/X new/`` under a running worker: its own end finds the claim gone, and the other run counts."""
    Producer(fsq.root).submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            until(go.exists, "the test says go")

    with fsq.work(handle, processes=2) as running:
        fsq.running_pid()
        [name] = fsq.names("cur")
        shutil.move(f"{fsq.root}/default/cur/{name}", f"{fsq.root}/default/new/{name}")
        running.hears("finished")
        go.touch()
        running.hears("vanished")
    assert fsq.ls() == {}
