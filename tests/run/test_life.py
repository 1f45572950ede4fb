"""The life of a worker: jobs are handled, settled by what their handler did, and the exit status tells."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from workqueue import Job, Producer, Reject, Retry, Snooze, Worker
from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from support.fsq import Fsq


def test_a_drain_runs_every_job_once_and_ends(fsq: Fsq) -> None:
    """What was submitted is handled exactly once, nothing stays, and the summary counts it."""
    Producer(fsq.root).submit_many(range(50), durable=False)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            assert job.payload in range(50)

    running = fsq.drain(handle, processes=2)
    assert running.summary["done"] == running.summary["attempts"] == 50
    assert len({line.job for line in fsq.diary.lines("start")}) == fsq.diary.count("end") == 50
    fsq.diary.check_no_overlap()
    assert fsq.ls() == {}
    assert os.listdir(f"{fsq.root}/.fsq/jobs") == []


def test_the_command_drains_and_says_so(fsq: Fsq) -> None:
    """Exit 0, a line for the start and one for the end, and the handler's own output untouched."""
    producer = Producer(fsq.root)
    for n in range(3):
        producer.submit({"n": n}, durable=False)
    fsq.write("etl.py", "def load(job):\n    print('n is', job.payload['n'])\n")
    running = fsq.execute("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "1", "--drain")
    assert running.wait() == 0, running.err
    assert running.out.splitlines() == ["n is 0", "n is 1", "n is 2"]
    first, last = running.err.splitlines()
    assert first.endswith(f"1 worker on default in {fsq.root}")
    assert "drained: 3 done, 0 failed in" in last


def test_a_drain_with_failed_jobs_exits_3(fsq: Fsq) -> None:
    """Whoever started the drain learns that not all went well; corrupt jobs count."""
    fsq.write("etl.py", "def load(job):\n    if job.payload: raise ValueError('no such day')\n")
    good, bad = Producer(fsq.root).submit(0), Producer(fsq.root).submit(1, max_attempts=1)
    result = fsq("-r", fsq.root, "worker", "-H", "./etl.py:load", "--drain")
    assert result.status == 3
    assert f"error: default {bad.id} failed after 1 of 1 attempts: ValueError: no such day (fsq show {bad.id})" in (
        result.err
    )
    assert (good.state(), bad.state()) == (None, "failed")
    with open(f"{fsq.root}/default/new/5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0", "wb"):
        pass
    assert fsq("-r", fsq.root, "worker", "-H", "./etl.py:load", "--drain").status == 3
    assert fsq.names("corrupt") == ["5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1"]
    assert fsq("-r", fsq.root, "worker", "-H", "./etl.py:load", "--drain").status == 0


def test_what_the_handler_raises_decides(fsq: Fsq) -> None:
    """Retry and any error: again, charged; Reject: failed at once; return: done."""
    producer = Producer(fsq.root)
    refs = {name: producer.submit(name, max_attempts=3) for name in ("retry", "error", "reject", "fine")}

    def handle(job: Job) -> None:
        fsq.diary.note(job.payload, job)
        if job.payload == "retry" and job.attempt < 3:
            raise Retry("0s", "the server is busy")
        if job.payload == "error":
            raise ConnectionError("refused")
        if job.payload == "reject":
            raise Reject("no such column")

    summary = fsq.drain(handle, backoff="10ms").summary
    assert [line.attempt for line in fsq.diary.lines("retry")] == [1, 2, 3]
    assert [line.attempt for line in fsq.diary.lines("error")] == [1, 2, 3]
    assert [line.attempt for line in fsq.diary.lines("reject")] == [1]
    assert fsq.ls() == {"failed": 2}
    assert (summary["done"], summary["failed"], summary["retried"]) == (2, 2, 4)
    assert [(e["attempt"], e["kind"], e["type"], e["message"]) for e in fsq.errors(refs["error"].id)] == [
        (n, "error", "ConnectionError", "refused") for n in (1, 2, 3)
    ]
    assert "raise ConnectionError" in fsq.errors(refs["error"].id)[0]["traceback"]
    assert [(e["kind"], e["message"]) for e in fsq.errors(refs["reject"].id)] == [("rejected", "no such column")]


def test_a_snoozed_job_comes_back_uncharged(fsq: Fsq) -> None:
    """However often it is put off, its attempt stays the first."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        fsq.diary.note("ran", job)
        if fsq.diary.count("ran") < 4:
            raise Snooze(0.01, "not yet there")

    with fsq.work(handle) as running:
        running.hears("finished")
    assert [line.attempt for line in fsq.diary.lines("ran")] == [1, 1, 1, 1]
    assert [(event["delay"], event["error"]) for event in running.events("snoozed")] == [(0.01, "not yet there")] * 3
    assert fsq.errors(ref.id) == []


def test_a_malformed_delay_is_the_handlers_error(fsq: Fsq) -> None:
    """``raise Retry("soon")`` is recorded as what it is; the job is not lost over it."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(_: Job) -> NoReturn:
        raise Retry("soon")

    fsq.drain(handle)
    assert ref.state() == "failed"
    assert "Retry 'soon': use seconds" in fsq.errors(ref.id)[0]["message"]


def test_the_handler_sees_the_job(fsq: Fsq) -> None:
    """Everything that the producer gave, and where it stands."""
    producer = Producer(fsq.root)
    ref = producer.submit(
        {"n": 1}, priority=3, key="day:1", headers={"by": "cron"}, label="july", max_attempts=7, keep="1h"
    )

    def handle(job: Job) -> dict[str, object]:
        assert job.submitted.tzinfo is not None
        assert job.body == b'{"n":1}'
        assert job.open().read() == b'{"n":1}'
        with open(job.path, "rb") as file:
            assert file.read() == b'{"n":1}'
        return {
            "id": job.id, "queue": job.queue, "attempt": job.attempt, "max": job.max_attempts, "key": job.key,
            "priority": job.priority, "headers": job.headers, "label": job.label, "repr": repr(job),
        }  # fmt: skip

    fsq.drain(handle)
    assert ref.result() == {
        "id": ref.id, "queue": "default", "attempt": 1, "max": 7, "key": "day:1", "priority": 3,
        "headers": {"by": "cron"}, "label": "july", "repr": f"<Job {ref.id} queue='default' attempt=1/7>",
    }  # fmt: skip
    assert ref.state() == "done"
    assert os.listdir(f"{fsq.root}/.fsq/stage") == []


def test_a_file_is_handled_where_it_lies(fsq: Fsq) -> None:
    """A job by file: its path is the claim itself, its payload the bytes."""
    source = fsq.write("big.bin", "\0\1binary")
    ref = Producer(fsq.root).submit(file=source, mode="move", keep="1h")

    def handle(job: Job) -> list[object]:
        return [job.path.startswith(f"{fsq.root}/default/cur/"), job.payload == b"\0\1binary", job.label]

    fsq.drain(handle)
    assert ref.result() == [True, True, "big.bin"]


def test_a_result_that_is_no_json_fails_the_run_where_it_would_be_kept(fsq: Fsq) -> None:
    """Nothing is silently lost or turned into text; where nothing is kept any result will do."""
    kept = Producer(fsq.root).submit(0, keep="1h", max_attempts=1)
    other = Producer(fsq.root).submit(1, max_attempts=1)
    fsq.drain(lambda _: {1, 2})
    assert (kept.state(), other.state()) == ("failed", None)
    [error] = fsq.errors(kept.id)
    assert error["type"] == "BadPayload"
    assert "result" in error["message"]


def test_an_expired_job_is_failed_unrun(fsq: Fsq) -> None:
    """What nobody needs any more is not done, and kept with that reason."""
    ref = Producer(fsq.root).submit(0, expires=0)
    fsq.drain(lambda job: fsq.diary.note("ran", job))
    assert fsq.diary.count("ran") == 0
    assert ref.state() == "failed"
    assert fsq.errors(ref.id)[0]["kind"] == "expired"


def test_the_handler_is_imported_once_for_all_workers(fsq: Fsq) -> None:
    """One import before the fork: its memory is shared, and its errors are seen before any job is touched."""
    Producer(fsq.root).submit_many(range(8), durable=False)
    fsq.write(
        "etl.py",
        "import os, time\nopen('imported', 'a').write(f'{os.getpid()}\\n')\n"
        "def load(job):\n    open('ran', 'a').write(f'{os.getpid()}\\n')\n    time.sleep(0.02)\n",
    )
    running = fsq.start("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "3", "--drain")
    assert running.wait() == 0, running.err
    assert (fsq.where / "imported").read_text().split() == [str(running.pid)]
    assert len(set((fsq.where / "ran").read_text().split())) > 1


def test_a_handler_whose_import_starts_threads_is_imported_by_each_worker(fsq: Fsq) -> None:
    """A process with threads must not fork: the command starts anew, leaves the import to its workers, and says so."""
    Producer(fsq.root).submit_many(range(4), durable=False)
    fsq.write(
        "threads.py",
        "import os, threading, time\nopen('imported', 'a').write(f'{os.getpid()}\\n')\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "def load(job):\n    assert threading.active_count() == 2\n",
    )
    running = fsq.execute("-r", fsq.root, "worker", "--handler", "threads:load", "-n", "2", "--drain")
    assert running.wait() == 0, running.err
    assert "importing the handler started threads, so every worker imports it by itself" in running.err
    first, *workers = (fsq.where / "imported").read_text().split()
    assert first == str(running.pid)
    assert len(set(workers)) == len(workers) >= 2
    assert first not in workers


def test_coroutine_handlers_share_one_loop_per_worker(fsq: Fsq) -> None:
    """``async def`` handlers are awaited; an object with an async ``__call__`` too; a connection can be kept."""
    Producer(fsq.root).submit_many(range(5), durable=False)

    class Handler:
        loop: asyncio.AbstractEventLoop | None = None

        async def __call__(self, job: Job) -> None:
            assert self.loop in {None, asyncio.get_running_loop()}
            self.loop = asyncio.get_running_loop()
            await asyncio.sleep(0)
            fsq.diary.note("awaited", job)

    assert fsq.drain(Handler()).summary["done"] == 5
    assert fsq.diary.count("awaited") == 5


def test_tasks_of_a_failed_run_do_not_go_on_in_the_next(fsq: Fsq) -> None:
    """After an error the loop is closed with all that was left in it."""
    producer = Producer(fsq.root)
    producer.submit("leaves a task", max_attempts=1, durable=False)
    producer.submit("looks", max_attempts=1, durable=False)

    async def handle(job: Job) -> None:
        assert len(asyncio.all_tasks()) == 1
        if job.payload == "leaves a task":
            handle.task = asyncio.create_task(asyncio.sleep(600))  # type: ignore[attr-defined]
            raise ValueError
        await asyncio.sleep(0)

    summary = fsq.drain(handle).summary
    assert (summary["done"], summary["failed"]) == (1, 1)


def test_a_coroutine_that_nobody_awaits_is_an_error(fsq: Fsq) -> None:
    """A decorator hid the ``async``: nothing of the handler ran, so the job is not done."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    async def handle(job: Job) -> None:
        fsq.diary.note("ran", job)

    fsq.drain(lambda job: handle(job))  # noqa: PLW0108 - the point
    assert ref.state() == "failed"
    assert "returned a coroutine" in fsq.errors(ref.id)[0]["message"]


def test_queues_named_first_are_served_first(fsq: Fsq) -> None:
    """All of queue b waits for all of queue a, however old it is."""
    producer = Producer(fsq.root, create=True)
    for queue in ("b", "a"):
        for n in range(4):
            producer.submit(n, queue=queue, durable=False)
    fsq.drain(lambda job: fsq.diary.note(job.queue, job), queues=["a", "b"])
    assert "".join(line.word for line in fsq.diary.lines()) == "aaaabbbb"


def test_jobs_run_by_priority_then_by_age(fsq: Fsq) -> None:
    """0 first; within a priority the oldest first."""
    producer = Producer(fsq.root)
    wanted = {(priority, n): producer.submit(n, priority=priority).id for n in range(2) for priority in (9, 5, 0)}
    fsq.drain(lambda job: fsq.diary.note("ran", job))
    assert [line.job for line in fsq.diary.lines()] == [wanted[key] for key in sorted(wanted)]


def test_a_worker_makes_the_queues_that_it_serves(fsq: Fsq) -> None:
    """``-q`` of a queue that nobody has used yet is no mistake."""
    running = fsq.drain(lambda _: None, queues=["load", "publish"])
    assert running.summary["done"] == 0
    assert os.path.isdir(f"{fsq.root}/publish/new")


def test_done_jobs_are_kept_as_long_as_asked(fsq: Fsq) -> None:
    """keep_done holds for all jobs, keep for one."""
    producer = Producer(fsq.root)
    ref, gone = producer.submit(1), producer.submit(2, keep=0)
    fsq.drain(lambda job: job.payload * 2, keep_done="1h")
    assert (ref.state(), ref.result(), gone.state()) == ("done", 2, None)


def test_a_worker_takes_a_handler_or_a_program(root: str) -> None:
    """Neither, or both, is a mistake; so are settings that mean nothing."""
    with pytest.raises(BadSetting, match="one of the two: a handler"):
        Worker(root)
    with pytest.raises(BadSetting, match="one of the two: a handler"):
        Worker(root, handler=print, program="cat")
    mistakes: list[dict[str, Any]] = [
        {"max_jobs": 0}, {"max_rss": "much"}, {"grace": "soon"}, {"processes": -1}, {"queues": []},
    ]  # fmt: skip
    for options in mistakes:
        with pytest.raises(BadSetting):
            Worker(root, handler=print, **options)


def test_a_worker_belongs_into_the_main_thread(root: str) -> None:
    """Signals reach no other: said at once, before any job."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            Worker(root, handler=print).run(drain=True)
        except BadSetting as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(errors)


def test_two_supervisors_share_a_queue(fsq: Fsq) -> None:
    """Each job runs once; what one loses to the other is no error."""
    Producer(fsq.root).submit_many(range(200), durable=False)

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            pass

    with fsq.work(handle, drain=True, processes=2) as one, fsq.work(handle, drain=True, processes=2) as other:
        assert one.wait() == other.wait() == 0
        assert one.summary["done"] + other.summary["done"] == 200
    assert fsq.diary.count("start") == 200
    fsq.diary.check_no_overlap()
