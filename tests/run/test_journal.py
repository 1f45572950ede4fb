"""The journal of real workers: every run once, whoever is killed; and nothing it meets stops a job."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.disks import UnsyncedFs
from support.fsq import Fsq
from support.mounts import SmallDisk, disk
from support.processes import descendants, is_alive, until
from workqueue import Job, Producer, Retry, Snooze
from workqueue.engine.history import History
from workqueue.engine.root import Root, init

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disk"]


def entries(root: str, event: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(entry.line) for entry in History(Root(root)).in_order()]
    return [entry for entry in found if event in {None, entry["event"]}]


def check_lines(root: str) -> None:
    """Every line of every file is whole."""
    for parent, _, names in os.walk(f"{root}/.fsq/journal"):
        for name in names:
            with open(f"{parent}/{name}", "rb") as file:
                data = file.read()
            assert data.endswith(b"\n"), name
            assert all(json.loads(line)["t"] for line in data.splitlines()), name


def test_every_run_of_a_drain_is_there_once_with_what_became_of_it(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    ids = producer.submit_many(range(200), durable=False)
    ids = list(ids)
    bad = producer.submit("bad", max_attempts=2, label="july")

    def handle(job: Job) -> None:
        if job.payload == "bad":
            raise Retry("1ms", "not\nyet")
        if job.payload == 7 and not fsq.diary.count("start"):
            fsq.diary.note("start", job)
            raise Snooze("1ms", "later")

    running = fsq.drain(handle, processes=2)
    assert running.summary["done"] == 200
    check_lines(fsq.root)
    assert Counter(entry["id"] for entry in entries(fsq.root, "finished")) == Counter(ids)
    assert [entry["cause"] for entry in entries(fsq.root) if entry.get("id") == bad.id] == ["Retry", "Retry"]
    [failed] = entries(fsq.root, "failed")
    assert (failed["error"], failed["label"], failed["attempt"], failed["queue"]) == ("not", "july", 2, "default")
    assert failed["took"] > 0
    assert len(entries(fsq.root, "snoozed")) == 1
    assert [entry["event"] for entry in entries(fsq.root) if "queue" not in entry] == ["started", "drained"]


def test_an_idle_worker_has_written_all_it_knows(fsq: Fsq) -> None:
    Producer(fsq.root).submit(1)
    with fsq.work(lambda _: None) as running:
        running.hears("finished")
        until(lambda: entries(fsq.root, "finished"), "it is written though the worker lives")
        Producer(fsq.root).submit(2)
        running.hears("finished", 2)
        until(lambda: len(entries(fsq.root, "finished")) == 2, "the second, too")


def test_what_a_killed_worker_had_not_written_is_written_by_its_supervisor(fsq: Fsq) -> None:
    """Sixteen fast jobs are dealt at a time; at one of them the worker dies, and the others' lines are there."""
    jobs = Producer(fsq.root).submit_many(range(40), durable=False)

    def handle(job: Job) -> None:
        if job.payload in {10, 25, 39} and job.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    fsq.drain(handle)
    check_lines(fsq.root)
    assert Counter(entry["id"] for entry in entries(fsq.root, "finished")) == Counter(jobs)
    assert [entry["cause"] for entry in entries(fsq.root, "recovered")] == ["death"] * 3
    assert [entry["how"] for entry in entries(fsq.root, "worker died")] == ["SIGKILL"] * 3


def test_random_kills_of_two_crews_lose_no_run_that_was_told_and_double_none(fsq: Fsq) -> None:
    """The journal has each job's end at most once, and misses one only where a kill fell between the end and its line."""
    chance = random.Random(7)
    jobs = set(Producer(fsq.root).submit_many(range(150), max_attempts=1000, durable=False))
    kills = 0
    with fsq.work(lambda _: None, processes=2) as one, fsq.work(lambda _: None, processes=2) as other:
        while kills < 25:
            time.sleep(chance.uniform(0.002, 0.02))
            victims = descendants(one.pid) + descendants(other.pid)
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    kills += 1
            jobs |= set(Producer(fsq.root).submit_many(range(10), max_attempts=1000, durable=False))
        until(lambda: fsq.ls() == {}, "every job ends")
    check_lines(fsq.root)
    ends = Counter(entry["id"] for entry in entries(fsq.root, "finished"))
    assert set(ends.values()) <= {1}
    assert set(ends) <= jobs
    assert len(jobs) - len(ends) <= kills
    writers = {name for _, _, names in os.walk(f"{fsq.root}/.fsq/journal") for name in names}
    assert {"supervisor.jsonl"} < writers


def test_an_orphan_writes_down_the_job_that_it_finishes(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            until(go.exists, "the test says go")

    running = fsq.work(handle)
    fsq.running_pid()
    running.kill()
    go.touch()
    until(lambda: entries(fsq.root, "finished"), "it is written")
    assert [entry["id"] for entry in entries(fsq.root, "finished")] == [ref.id]


def test_a_worker_that_loses_its_supervisor_among_fast_jobs_writes_what_it_knows(fsq: Fsq) -> None:
    """Sixteen are dealt at a time; nobody is left to write down what the worker keeps in memory."""
    Producer(fsq.root).submit_many(range(60), durable=False)

    def handle(job: Job) -> None:
        if job.payload == 40:
            os.kill(os.getppid(), signal.SIGKILL)
        fsq.diary.note("end", job)

    running = fsq.work(handle)
    until(running.has_ended, "the supervisor is gone")
    until(lambda: not is_alive(fsq.diary.lines("end")[-1].pid), "its worker ends")
    assert fsq.diary.count("end") >= 40
    assert {entry["id"] for entry in entries(fsq.root, "finished")} == {line.job for line in fsq.diary.lines("end")}


def test_what_is_ended_by_a_limit_or_by_order_is_there_too(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    slow = producer.submit("slow", timeout="100ms", max_attempts=1)
    with fsq.work(lambda _: time.sleep(600), grace="50ms") as running:
        running.hears("failed")
        unwanted = producer.submit("unwanted")
        until(lambda: fsq.names("cur"), "it runs")
        unwanted.cancel()
        running.hears("cancelled")
    assert [entry["cause"] for entry in entries(fsq.root, "failed")] == ["TimedOut"]
    assert [entry["id"] for entry in entries(fsq.root, "failed")] == [slow.id]
    life = [entry["event"] for entry in entries(fsq.root) if entry.get("id") == unwanted.id]
    assert sorted(life) == ["cancel ordered", "cancelled"]


def test_a_full_disk_drops_lines_and_stops_no_job(disk: SmallDisk, tmp_path: Path) -> None:
    root = f"{disk.path}/root"
    init(root, slots=8, fs=UnsyncedFs())
    small = Fsq(root, tmp_path)
    Producer(root).submit_many(range(20), durable=False)

    def handle(job: Job) -> None:
        if job.payload == 19:  # the last: each that ends makes room
            disk.fill("space")

    with small.work(handle) as running:
        running.hears("finished", 20)
        running.hears("dropped")
        disk.make_room()
        Producer(root).submit("more")
        running.hears("finished", 21)
        until(lambda: entries(root, "dropped"), "what is missing is written down")
    assert len(running.events("dropped")) == 1
    assert small.ls() == {}
    [dropped] = entries(root, "dropped")
    assert 0 < dropped["count"] <= 20
    assert len(entries(root, "finished")) == 21 - dropped["count"]


def test_a_journal_that_is_off_or_gone_stops_nothing(fsq: Fsq) -> None:
    Producer(fsq.root).submit(1)
    with open(f"{fsq.root}/fsq.toml", "w") as file:
        file.write("journal = 0\n")
    assert fsq.drain(lambda _: None).summary["done"] == 1
    assert os.listdir(f"{fsq.root}/.fsq/journal") == []
    os.unlink(f"{fsq.root}/fsq.toml")
    os.rmdir(f"{fsq.root}/.fsq/journal")
    Producer(fsq.root).submit(2)
    running = fsq.drain(lambda _: None)
    assert running.summary["done"] == 1
    assert running.events("dropped")[0]["reason"] == "No such file or directory"
    os.mkdir(f"{fsq.root}/.fsq/journal")


def test_a_worker_whose_handler_closes_every_descriptor_writes_into_no_other_file(fsq: Fsq) -> None:
    Producer(fsq.root).submit_many(range(3), durable=False)

    def handle(job: Job) -> None:
        os.closerange(3, 100)
        for number in range(20):
            os.open(str(fsq.where / f"own-{number}"), os.O_RDWR | os.O_CREAT)

    running = fsq.work(handle, drain=True)
    running.wait()
    check_lines(fsq.root)
    assert all(os.path.getsize(fsq.where / f"own-{number}") == 0 for number in range(20))
    assert entries(fsq.root, "finished")


def test_old_days_go_while_a_supervisor_works(fsq: Fsq) -> None:
    os.mkdir(f"{fsq.root}/.fsq/journal/2001-01-01")
    with open(f"{fsq.root}/.fsq/journal/2001-01-01/0.jsonl", "w"):
        pass
    with fsq.work(lambda _: None):
        until(lambda: not os.path.exists(f"{fsq.root}/.fsq/journal/2001-01-01"), "it is gone")
