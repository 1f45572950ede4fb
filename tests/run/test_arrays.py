"""Arrays under real workers: killed, stopped, cancelled, out of time; and what a handler sees of an element."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import descendants, until
from workqueue import Job, Producer, Reject, State
from workqueue.errors import WrongState
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

    from support.fsq import Fsq


def starts(fsq: Fsq) -> Counter[str]:
    """How often each payload was begun: written down by `note_start`."""
    return Counter(line.word.partition(":")[2] for line in fsq.diary.lines() if line.word.startswith("start:"))


def work_on(fsq: Fsq, job: Job, seconds: float = 0.002) -> None:
    fsq.diary.note(f"start:{job.payload}", job)
    time.sleep(seconds)
    fsq.diary.note(f"end:{job.payload}", job)


# -- killed, stopped, cancelled ------------------------------------------------------------------------------------


def test_a_kill_repeats_the_element_that_was_running_and_no_other(fsq: Fsq) -> None:
    """Each kill at another moment; the one that was running is split off, and runs by itself."""
    Producer(fsq.root).submit_array(range(120), size=60, max_attempts=100)
    chance = random.Random(5)
    kills = 0
    with fsq.work(lambda job: work_on(fsq, job)) as running:
        while kills < 8:
            seen = sum(starts(fsq).values())
            until(lambda: sum(starts(fsq).values()) > seen, "the next element begins")  # noqa: B023 - used at once
            time.sleep(chance.uniform(0.0, 0.01))
            for worker in descendants(running.pid):
                os.kill(worker, signal.SIGKILL)
                kills += 1
        until(lambda: fsq.ls() == {}, "all ends")
    ran = starts(fsq)
    assert set(ran) == {str(n) for n in range(120)}
    assert sum(ran.values()) <= 120 + kills, "no kill repeats more than one element"
    ended = Counter(line.word for line in fsq.diary.lines() if line.word.startswith("end:"))
    assert len(ended) == 120
    twice = [word for word, times in ended.items() if times > 1]
    assert len(twice) <= kills, "those that were killed behind their end and before their mark"
    assert os.listdir(f"{fsq.root}/.fsq/jobs") == []


def test_a_stop_ends_an_array_between_two_elements_and_the_next_worker_goes_on(fsq: Fsq) -> None:
    """Long before the grace is over, and uncharged; what it has counted until then is told then, and added up."""
    [job_id] = Producer(fsq.root).submit_array(range(200), size=200, max_attempts=1)

    def handle(job: Job) -> None:
        job.count(read=1)
        work_on(fsq, job, 0.01)

    running = fsq.work(handle, grace="1h")
    until(lambda: len(starts(fsq)) > 3, "the array is under way")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    done = len(starts(fsq))
    assert 3 < done < 200
    [released] = running.events("released")
    assert (released["id"], released["counts"], released["elements"]) == (job_id, {"read": done}, done)
    assert fsq.ls() == {"new": 1}

    def go_on(job: Job) -> None:
        job.count(read=1)
        fsq.diary.note(f"start:{job.payload}", job)

    finished = fsq.drain(go_on).hears("finished")
    assert (finished["elements"], finished["counts"]) == (200 - done, {"read": 200 - done})
    assert set(starts(fsq).values()) == {1}
    assert len(starts(fsq)) == 200
    report = json.loads(fsq("-r", fsq.root, "report", "--json").out)
    assert report["queues"][0]["counts"] == {"read": 200}


def test_an_array_that_has_staged_something_goes_on_to_its_end_at_a_stop(fsq: Fsq) -> None:
    """What it staged would be lost; also where the handler itself has sent the signal."""
    Producer(fsq.root).submit_array(range(30), size=30)

    def handle(job: Job) -> None:
        if job.index == 0:
            job.reject(0, "staged")
            os.kill(os.getpid(), signal.SIGTERM)
        work_on(fsq, job)

    running = fsq.drain(handle)
    assert (running.summary["done"], running.summary["released"]) == (1, 0)
    assert set(starts(fsq).values()) == {1}


def test_an_array_is_cancelled_however_short_its_elements_are(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    [job_id] = producer.submit_array(range(1_000_000), size=1_000_000, durable=False)

    def handle(job: Job) -> None:
        if job.index == 10:
            fsq.diary.note("start", job)
        if job.index is not None and job.index % 1000 == 0:
            time.sleep(0.001)

    with fsq.work(handle, grace="1h") as running:
        until(lambda: fsq.diary.count("start"), "it is under way")
        assert producer.ref(job_id).cancel() is State.CUR
        assert running.hears("cancelled")["id"] == job_id
        assert running.events("worker died") == []
    assert fsq.ls() == {}


# -- limits --------------------------------------------------------------------------------------------------------


def test_a_time_limit_holds_for_each_element(fsq: Fsq) -> None:
    """The array takes longer than its elements may; one that hangs is split off, and the array goes on."""
    Producer(fsq.root).submit_array(range(6), size=6, timeout="0.25s", max_attempts=1)

    def handle(job: Job) -> None:
        fsq.diary.note(f"start:{job.payload}", job)
        time.sleep(600 if job.payload == 2 else 0.1)

    running = fsq.drain(handle, grace="1h")
    assert (running.summary["done"], running.summary["failed"]) == (1, 1)
    assert set(starts(fsq).values()) == {1}
    assert running.events("failed")[0]["error"] == "timed out after 250 ms"
    assert running.events("worker died") == []


def test_an_element_that_is_deaf_is_killed_and_the_rest_goes_on(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array(range(6), size=6, timeout="0.2s", max_attempts=2)

    def handle(job: Job) -> None:
        fsq.diary.note(f"start:{job.payload}", job)
        if job.payload == 2 and job.index is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
            time.sleep(600)
        time.sleep(0.1)

    running = fsq.drain(handle, grace="0.2s", backoff="0.01s")
    assert running.summary["failed"] == 0
    assert starts(fsq) == {str(n): 2 if n == 2 else 1 for n in range(6)}
    assert len(running.events("run ended")) == 1


def test_more_rejected_records_than_allowed_fail_the_array_as_a_whole(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array(range(5), size=5, reject_limit=1)

    def handle(job: Job) -> None:
        if job.payload:
            job.reject(job.payload, "odd")

    counts = drain(fsq.root, handle)
    assert (counts["done"], counts["failed"]) == (0, 1)
    with open(f"{fsq.root}/.fsq/jobs/{job_id}/elements") as file:
        assert file.read().split("\n")[0] == "12000", "what failed with it is run again by a retry"
    with open(f"{fsq.root}/.fsq/jobs/{job_id}/rejects-1.jsonl") as file:
        assert len(file.readlines()) == 2


# -- what a handler sees -------------------------------------------------------------------------------------------


def test_an_element_is_a_job_with_an_index(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array(
        [{"n": 0}, "text"], headers={"h": 1}, label="tiny", priority=2, max_attempts=3, delay=0
    )
    seen: list[tuple[Any, ...]] = []

    def handle(job: Job) -> None:
        with job.open() as file, open(job.path, "rb") as same:
            assert file.read() == same.read() == job.body
        seen.append(
            (job.id, job.index, job.payload, job.headers, job.label, job.priority, job.attempt, job.max_attempts)
        )
        assert job.submitted.year >= 2024
        assert (job.key, job.batch) == (None, None)

    assert drain(fsq.root, handle)["done"] == 1
    assert seen == [
        (f"{job_id}.0", 0, {"n": 0}, {"h": 1}, "tiny", 2, 1, 3),
        (f"{job_id}.1", 1, "text", {"h": 1}, "tiny", 2, 1, 3),
    ]
    assert os.listdir(f"{fsq.root}/.fsq/stage") == []
    Producer(fsq.root).submit(1)
    drain(fsq.root, lambda job: seen.append((job.index,)))
    assert seen[-1] == (None,)


def test_results_are_a_list_and_one_that_was_split_off_has_none(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    [job_id] = producer.submit_array(range(4), keep="1h", max_attempts=1)

    def handle(job: Job) -> Any:
        if job.payload == 1:
            raise Reject("no")
        return {"is": job.payload} if job.payload != 3 else {1, 2}

    counts = drain(fsq.root, handle)
    assert (counts["done"], counts["failed"]) == (1, 2), "a result that JSON cannot hold is the element's failure"
    assert producer.ref(job_id).result() == [{"is": 0}, None, {"is": 2}, None]


def test_what_a_failed_element_has_counted_is_counted_by_its_own_job_alone(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array(range(4), size=4)

    def handle(job: Job) -> None:
        job.count(read=1)
        if job.payload == 2 and job.index is not None:
            raise ValueError

    running = fsq.drain(handle, backoff="0.01s")
    assert [event["counts"] for event in running.events("finished")] == [{"read": 3}, {"read": 1}]
    retried = running.hears("retried")
    assert retried["from"] == running.events("finished")[0]["id"] + ".2"
    assert running.events("finished")[1]["id"] == retried["id"]


def test_an_element_saves_no_checkpoint_and_says_why(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array([0])
    told: list[str] = []

    def handle(job: Job) -> None:
        for ask in (lambda: job.save(1), lambda: job.checkpoint):
            with pytest.raises(WrongState) as caught:
                ask()
            told.append(str(caught.value))

    assert drain(fsq.root, handle)["done"] == 1
    assert all("an array goes on" in text or "its array goes on" in text for text in told)


def test_a_thread_that_an_element_has_left_stages_nothing_for_the_next(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array(range(2))
    go = threading.Event()
    refused: list[str] = []
    threads: list[threading.Thread] = []

    def late(job: Job) -> None:
        go.wait()
        try:
            job.reject("late", "of an element that has ended")
        except WrongState as error:
            refused.append(str(error))

    def handle(job: Job) -> None:
        if job.index == 0:
            threads.append(threading.Thread(target=late, args=(job,)))
            threads[0].start()
        else:
            go.set()
            threads[0].join()

    assert drain(fsq.root, handle)["done"] == 1
    assert len(refused) == 1
    assert not os.path.exists(f"{fsq.root}/default/rejected")


def test_an_output_that_is_still_open_fails_its_element_and_not_the_array(fsq: Fsq, tmp_path: Path) -> None:
    Producer(fsq.root).submit_array(range(3), max_attempts=1)
    opened: list[Any] = []

    def handle(job: Job) -> None:
        file = job.output(tmp_path / f"{job.payload}.txt", "w")
        if job.payload == 1:
            opened.append(file)
            return
        with file:
            file.write("whole")

    counts = drain(fsq.root, handle)
    opened[0].close()
    assert (counts["done"], counts["failed"]) == (1, 1)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["0.txt", "2.txt"]


def test_an_output_given_up_and_begun_again_in_one_run_is_published(fsq: Fsq, tmp_path: Path) -> None:
    """By the same job, or by another element."""
    Producer(fsq.root).submit_array(range(2), max_attempts=1)

    def handle(job: Job) -> None:
        with job.output(tmp_path / "out.txt", "w") as file:
            file.write(str(job.payload))
            if job.payload == 0:
                raise ValueError

    drain(fsq.root, handle)
    assert (tmp_path / "out.txt").read_text() == "1"


def test_a_damaged_array_is_corrupt_and_a_damaged_element_alone(fsq: Fsq) -> None:
    for number, text in enumerate(['{"fsq":1,"array":2}\n1\n{', '{"fsq":1,"array":3}\n1\n2\n']):
        path = fsq.write("job", text)
        os.rename(path, f"{fsq.root}/default/new/5-01JD8Z7Q4M9X3V2T6B1C0N5K{number:02d}-0")
    seen: list[Any] = []
    counts = drain(fsq.root, lambda job: seen.append(job.payload))
    assert (counts["done"], counts["corrupt"]) == (1, 2)
    assert seen == [1]
    corrupt = os.listdir(f"{fsq.root}/default/corrupt")
    assert len(corrupt) == 2
    assert "5-01JD8Z7Q4M9X3V2T6B1C0N5K01-1" in corrupt


def test_a_coroutine_is_awaited_for_each_element(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array(range(5))
    seen: list[int] = []

    async def handle(job: Job) -> None:
        await asyncio.sleep(0)
        seen.append(job.payload)

    assert drain(fsq.root, handle)["done"] == 1
    assert seen == list(range(5))


def test_a_child_that_the_handler_forked_and_let_return_runs_no_element(fsq: Fsq) -> None:
    Producer(fsq.root).submit_array(range(5), size=5)

    def handle(job: Job) -> None:
        if job.index == 1 and (pid := os.fork()):
            os.waitpid(pid, 0)
        fsq.diary.note(f"start:{job.payload}", job)

    fsq.drain(handle)
    assert starts(fsq) == {str(n): 2 if n == 1 else 1 for n in range(5)}


def test_a_program_is_run_once_for_each_element(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array([{"n": 1}, {"n": 2}, {"n": 3}])
    program = """sh -c 'cat > "$FSQ_ID.json"; cmp {path} "$FSQ_ID.json"; grep -vq 2 {path} || exit 65'"""
    running = fsq.drain(None, program=program)
    assert (running.summary["done"], running.summary["failed"]) == (1, 1)
    written = [json.loads((fsq.where / f"{job_id}.{n}.json").read_text()) for n in range(3)]
    assert written == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert running.events("failed")[0]["from"] == f"{job_id}.1"
