"""Batches as their users see them: all members or none, one callback, counts; and what they do not accept."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import FailingFs
from engine.worlds import SLOT
from workqueue import BatchRef, Callback, Job, Producer, Reject, State
from workqueue.batch import Batch
from workqueue.engine import members, overs, settle
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root, make_queue
from workqueue.errors import (
    BadInput,
    BadPayload,
    BadSetting,
    NoSuchBatch,
    QueueFull,
    StoreError,
    UnknownQueue,
    WrongState,
)
from workqueue.store.fs import FS, Fs
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

    from support.clocks import FakeClock


@pytest.fixture
def producer(root: str, clock: FakeClock) -> Producer:
    for queue in ("load", "publish", "mend"):
        make_queue(root, queue, FS)
    return Producer(root, clock=clock)


class Seen:
    """A handler that writes down what it was given in the callbacks' queues, and does as the payload says elsewhere."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.calls: list[tuple[str, Any]] = []
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        if job.queue in {"publish", "mend"}:
            self.calls.append((job.queue, job.payload))
        elif job.payload == "bad":
            raise Reject("on purpose")

    def drain(self, **options: Any) -> list[tuple[str, Any]]:
        """Run all there is; returns the calls since the last time."""
        self.calls.clear()
        drain(self.producer.root, self, **options)
        return list(self.calls)


@pytest.fixture
def seen(producer: Producer) -> Seen:
    return Seen(producer)


def counts(total: int, **how: int) -> dict[str, int]:
    return {"total": total, **dict.fromkeys(("done", "failed", "cancelled", "corrupt", "gone"), 0), **how}


# -- submitting ----------------------------------------------------------------------------------------------------


def test_members_come_when_the_block_ends_and_the_callback_when_they_have_ended(producer: Producer, seen: Seen) -> None:
    with producer.batch(on_done=Callback("publish", {"month": 1}, priority=1, label="done"), label="Ä 1") as batch:
        first = batch.submit({"day": 1}, queue="load", max_attempts=3)
        batch.submit_many(({"day": n} for n in range(2, 70)), queue="load", headers={"by": "cron"})
        assert producer.ref(first).state() is None
        with pytest.raises(NoSuchBatch):
            producer.batch_ref(batch.id).counts()
    assert producer.ref(first).state() is State.NEW
    found = producer.batch_ref(batch.id).counts()
    assert (found.total, found.open, found.ended, found.callback, found.label) == (69, 69, False, None, "Ä 1")
    told = {"batch": batch.id, "label": "Ä 1", **counts(69, done=69), "payload": {"month": 1}}
    assert seen.drain() == [("publish", told)]
    call = seen.jobs[-1]
    assert (call.priority, call.label, call.batch) == (1, "done", None)
    found = producer.batch_ref(batch.id).wait()
    assert (found.done, found.open, found.ended, found.callback, found.queue) == (69, 0, True, call.id, "publish")
    assert seen.drain() == []


def test_a_block_that_raises_leaves_nothing(producer: Producer, root: str) -> None:
    batch = producer.batch(on_done="publish")

    def block() -> None:
        with batch:
            batch.submit_many(range(100), queue="load")
            batch.submit(1, key="k")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert os.listdir(f"{root}/.fsq/batches") == []
    assert drain(root, print)["attempts"] == 0
    with pytest.raises(NoSuchBatch, match="never here"):
        producer.batch_ref(batch.id).wait()


def test_an_empty_batch_calls_back_at_once_and_one_without_a_callback_just_ends(producer: Producer, seen: Seen) -> None:
    with producer.batch(on_done="publish", on_failed="mend"):
        pass
    with producer.batch() as quiet:
        quiet.submit("bad")
    [(queue, told)] = seen.drain()
    assert (queue, told["total"], told["payload"]) == ("publish", 0, None)
    found = producer.batch_ref(quiet.id).wait("1s")
    assert (found.failed, found.callback, found.all_done) == (1, None, False)


@pytest.mark.parametrize(
    ("calls", "payload", "queue"),
    [
        ({"on_done": "publish", "on_failed": "mend"}, "bad", "mend"),
        ({"on_done": "publish", "on_failed": "mend"}, "good", "publish"),
        ({"on_done": "publish"}, "bad", "publish"),
        ({"on_failed": "mend"}, "bad", "mend"),
        ({"on_failed": "mend"}, "good", None),
    ],
)
def test_which_callback_is_due(
    producer: Producer, seen: Seen, calls: dict[str, Any], payload: str, queue: str | None
) -> None:
    with producer.batch(**calls) as batch:
        batch.submit(payload)
        batch.submit("good")
    told = counts(2, done=1, failed=1) if payload == "bad" else counts(2, done=2)
    expected = [] if queue is None else [(queue, {"batch": batch.id, "label": "", **told, "payload": None})]
    assert seen.drain() == expected
    assert producer.batch_ref(batch.id).counts().facts() == told


def test_a_member_can_be_a_file_and_have_a_key_and_wait(
    producer: Producer, seen: Seen, tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2\n")
    taken = producer.submit("holder", key="k")
    with producer.batch(on_failed="mend") as batch:
        batch.submit(file=path, queue="load", timeout="1m")
        batch.submit(1, queue="load", delay="1h")
        batch.submit("late", key="k")
        own = batch.submit("first", key="j")
        with pytest.raises(BadInput, match="link or copy"):
            batch.submit(file=path, mode="move")  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="same key"):
            batch.submit_many([1, 2], key="k")
    assert producer.submit("second", key="j").id == own
    assert producer.ref(taken.id).state() is State.NEW
    assert seen.drain(clock=clock) == []
    assert producer.batch_ref(batch.id).counts().facts() == counts(4, done=2, cancelled=1)
    clock.advance(3601)
    [(_, told)] = seen.drain(clock=clock)
    assert told["cancelled"] == 1
    assert [job.label for job in seen.jobs if job.batch and job.label] == ["a.csv"]
    assert path.exists()


# -- running -------------------------------------------------------------------------------------------------------


def test_a_running_member_adds_members_if_and_only_if_it_succeeds(producer: Producer, seen: Seen) -> None:
    def handle(job: Job) -> None:
        if job.payload == "grow":
            assert job.batch is not None
            assert job.batch.id in repr(job.batch)
            job.batch.submit_many(range(70), queue="load")
            job.batch.submit("leaf", queue="load")
            job.submit("stranger", queue="load")
            if job.attempt == 1:
                raise ConnectionError
        seen(job)

    with producer.batch(on_done="publish") as batch:
        batch.submit("grow")
    drain(producer.root, handle)
    assert seen.calls == [("publish", {"batch": batch.id, "label": "", **counts(72, done=72), "payload": None})]
    assert [job.payload for job in seen.jobs if job.batch is None and job.queue == "load"] == ["stranger"]


def test_every_end_counts(producer: Producer, seen: Seen, root: str) -> None:
    with producer.batch(on_failed="mend") as batch:
        good = batch.submit("good", keep="1h")
        batch.submit("bad")
        torn, cancelled, removed, held = (batch.submit("x") for _ in range(4))
    producer.ref(cancelled).cancel()
    os.unlink(f"{root}/default/new/5-{removed}-0")
    os.rename(f"{root}/default/new/5-{held}-0", f"{root}/default/held/5-{held}-0")
    with open(f"{root}/default/new/5-{torn}-0", "ab") as file:
        file.write(b"more than was submitted")
    assert seen.drain() == []
    assert producer.batch_ref(batch.id).counts().open == 1
    producer.ref(held).cancel()
    told = counts(6, done=1, failed=1, corrupt=1, cancelled=2, gone=1)
    assert seen.drain() == [("mend", {"batch": batch.id, "label": "", **told, "payload": None})]
    assert producer.ref(good).state() is State.DONE


def test_a_failed_member_that_is_retried_is_in_again_until_the_batch_is_over(producer: Producer, seen: Seen) -> None:
    engine = DirectoryEngine(Root(producer.root))
    with producer.batch(on_done="publish") as batch:
        bad = batch.submit("bad")
        other = batch.submit("x", delay="1h")
    assert seen.drain() == []
    found = engine.find(bad)
    assert found is not None
    assert engine.retry(found)
    assert producer.batch_ref(batch.id).counts().open == 2
    producer.ref(other).cancel()
    assert [told["failed"] for _, told in seen.drain()] == [1]
    found = engine.find(bad)
    assert found is not None
    assert engine.retry(found)
    assert seen.drain() == []
    assert producer.batch_ref(batch.id).counts().failed == 1


def test_removing_a_failed_member_does_not_change_how_it_ended(producer: Producer, seen: Seen) -> None:
    engine = DirectoryEngine(Root(producer.root))
    with producer.batch(on_done="publish") as batch:
        bad = batch.submit("bad")
        other = batch.submit("x", delay="1h")
    seen.drain()
    found = engine.find(bad)
    assert found is not None
    engine.remove(found)
    producer.ref(other).cancel()
    [(_, told)] = seen.drain()
    assert (told["batch"], told["failed"], told["cancelled"], told["gone"]) == (batch.id, 1, 1, 0)


def test_what_joins_a_batch_that_is_over_is_a_job_like_any_other(producer: Producer, seen: Seen) -> None:
    def handle(job: Job) -> None:
        if job.payload == "grow":
            if job.attempt == 1 and job.queue == "default" and not grown:
                grown.append(1)
                raise Reject("not today")
            assert job.batch is not None
            job.batch.submit("leaf", queue="load")
        seen(job)

    grown: list[int] = []
    engine = DirectoryEngine(Root(producer.root))
    with producer.batch(on_done="publish") as batch:
        job_id = batch.submit("grow")
    drain(producer.root, handle)
    found = engine.find(job_id)
    assert found is not None
    assert engine.retry(found)
    drain(producer.root, handle)
    assert [job.payload for job in seen.jobs] == [
        {"batch": batch.id, "label": "", **counts(1, failed=1), "payload": None},
        "grow",
        "leaf",
    ]
    assert producer.batch_ref(batch.id).counts().total == 1


# -- the disk ------------------------------------------------------------------------------------------------------


def claim_in(engine: DirectoryEngine) -> Claim:
    [found] = engine.scan("default", State.NEW)
    taken = engine.take("default", os.path.basename(found.path), SLOT)
    assert isinstance(taken, Claim)
    return taken


def test_a_member_that_ends_on_a_full_disk_has_ended_well(producer: Producer, seen: Seen, root: str) -> None:
    with producer.batch(on_done="publish", on_failed="mend") as batch:
        batch.submit("x")

    class FullFs(Fs):
        def rename(self, source: str, target: str) -> None:
            if "/ended/" in target:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
            super().rename(source, target)

    engine = DirectoryEngine(Root(root, fs=FullFs()))
    assert engine.finish(claim_in(engine))
    assert producer.batch_ref(batch.id).counts().open == 1
    [(queue, told)] = seen.drain()
    assert (queue, told["done"]) == ("publish", 1)


def test_a_callback_that_cannot_be_submitted_is_told_and_comes_when_it_can(
    producer: Producer, seen: Seen, root: str
) -> None:
    with producer.batch(on_done="publish") as batch:
        batch.submit("x")
    os.rename(f"{root}/publish", f"{root}/aside.d")
    assert seen.drain() == []
    [told] = overs.settle_all(Root(root))
    assert batch.id in told
    assert "no queue 'publish'" in told
    assert not producer.batch_ref(batch.id).counts().ended
    os.rename(f"{root}/aside.d", f"{root}/publish")
    assert len(seen.drain()) == 1


def test_a_batch_is_kept_for_its_time(producer: Producer, root: str, clock: FakeClock) -> None:
    with producer.batch() as batch:
        pass
    where = Root(root, clock=clock)
    clock.advance(6 * 86400)
    assert list(overs.tidy(where)) == []
    assert producer.batch_ref(batch.id).counts().ended
    clock.advance(2 * 86400)
    assert list(overs.tidy(where)) == []
    with pytest.raises(NoSuchBatch, match="keep_batches"):
        producer.batch_ref(batch.id).counts()


def test_the_draft_of_a_living_producer_is_left_alone(producer: Producer, root: str, clock: FakeClock) -> None:
    with producer.batch() as batch:
        batch.submit("x")
        clock.advance(86400)
        list(overs.tidy(Root(root, clock=clock)))
        batch.submit("y")
    assert producer.batch_ref(batch.id).counts().total == 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_block_in_which_the_disk_refused_anything_submits_nothing(producer: Producer, root: str, n: int) -> None:
    """Also if the error was caught."""
    fs = FailingFs(n, errno.ENOSPC, only=frozenset({"create"}))
    engine = DirectoryEngine(Root(root, fs=fs))
    fs.armed = True

    def block() -> None:
        with Batch(engine, lambda _: None, "publish", None, "") as batch:
            for _ in range(6):
                with contextlib.suppress(OSError):
                    batch.submit("x", key=str(n))
                    batch.submit("x")

    with pytest.raises(StoreError):
        block()
    assert os.listdir(f"{root}/.fsq/batches") == []
    assert drain(root, print)["attempts"] == 0


# -- mistakes ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_called_back_is_refused_before_anything_is_made(producer: Producer, root: str) -> None:
    for call, error, text in (
        ("nowhere", UnknownQueue, "no queue 'nowhere'"),
        (Callback("publish", {1, 2}), BadPayload, "callback payload at"),
        (Callback("publish", key="k"), BadSetting, "key: not for a callback"),
        (Callback("publish", prioritty=1), BadSetting, "did you mean 'priority'"),  # type: ignore[call-arg]
        (Callback("publish", delay="soon"), BadSetting, "delay"),
        (Callback("publish", "x" * (40 << 20)), BadPayload, "max_payload"),
    ):
        with pytest.raises(error, match=text):
            producer.batch(on_done=call)
    assert not os.path.exists(f"{root}/.fsq/batches")


def test_members_that_a_submit_would_refuse_are_refused(producer: Producer, root: str) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write("[queues.load]\nmax_jobs = 1\n")
    producer = Producer(root)
    producer.submit(1, queue="load")
    with producer.batch() as batch:
        with pytest.raises(UnknownQueue):
            batch.submit(1, queue="nowhere")
        with pytest.raises(BadSetting, match="did you mean 'max_attempts'"):
            batch.submit(1, max_atempts=1)  # type: ignore[call-arg]
        with pytest.raises(BadPayload):
            batch.submit_many([{1}])
        with pytest.raises(QueueFull):
            batch.submit(1, queue="load")


def test_a_batch_is_used_in_one_block_by_one_process(producer: Producer) -> None:
    batch = producer.batch()
    with pytest.raises(WrongState, match="inside its with block"):
        batch.submit(1)
    with batch:
        batch.submit(1)
        if (pid := os.fork()) == 0:
            try:
                batch.submit(2)
            except WrongState:
                batch.__exit__(None)
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        with pytest.raises(NoSuchBatch):
            producer.batch_ref(batch.id).counts()
    with pytest.raises(WrongState, match="entered before"):
        batch.__enter__()
    assert producer.batch_ref(batch.id).counts().total == 1


def test_waiting_times_out_and_ends_with_the_batch(producer: Producer, clock: FakeClock, root: str) -> None:
    with producer.batch() as batch:
        first, second = batch.submit(1), batch.submit(2)
    ref = producer.batch_ref(batch.id)
    with pytest.raises(TimeoutError, match="2 of 2 jobs have not ended"):
        ref.wait("1m")
    producer.ref(first).cancel()

    def removed() -> None:
        """While somebody waits a job is removed by hand: it is found out."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{root}/default/new/5-{second}-0")

    clock.on_sleep = removed
    found = ref.wait("1h")
    assert (found.cancelled, found.gone) == (1, 1)
    with pytest.raises(BadSetting):
        producer.batch_ref("nonsense")
    assert ref == BatchRef(ref._engine, ref.id) or repr(ref)


def test_a_job_without_a_batch_pays_nothing(producer: Producer, root: str) -> None:
    """Not even a look."""
    from engine.disks import FullRecordingFs

    producer.submit("x", durable=False)
    fs = FullRecordingFs()
    engine = DirectoryEngine(Root(root, fs=fs))
    claim = claim_in(engine)
    fs.done.clear()
    assert settle.finish(engine.root, claim)
    assert fs.story == ["unlink cur"]
    assert members.active(engine.root) == []
