"""fsq stats --batch and wait --batch: what a batch came to, in columns, as JSON and as an exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from workqueue import Job, Producer, Reject
from workqueue.engine.root import init

if TYPE_CHECKING:
    from support.fsq import Fsq


@pytest.fixture
def producer(fsq: Fsq) -> Producer:
    init(fsq.root, ("publish",))
    return Producer(fsq.root)


def handle(job: Job) -> None:
    if job.payload == "bad":
        raise Reject("on purpose")


def test_a_batch_is_counted_and_waited_for(fsq: Fsq, producer: Producer) -> None:
    with producer.batch(on_done="publish", label="night \x1b[31m") as batch:
        batch.submit_many(["good", "bad", "good"])
    row = fsq("-r", fsq.root, "stats", "--batch", batch.id).out
    assert row == f"{batch.id}\topen\t3\t3\t0\t0\t0\t0\t0\tnight \\x1b[31m\t-\t-\n"
    result = fsq("-r", fsq.root, "wait", "--batch", batch.id, "--timeout", "10ms")
    assert (result.status, result.out) == (124, "")
    assert f"batch {batch.id} is not over: 3 of 3 jobs have not ended" in result.err
    fsq.drain(handle, queues=["default"])
    result = fsq("-r", fsq.root, "wait", "--batch", batch.id[-8:].lower(), "--json")
    found = json.loads(result.out)
    assert (result.status, found["done"], found["failed"], found["ended"]) == (3, 2, 1, True)
    assert found["callback"] == Producer(fsq.root).ref(found["callback"]).id
    assert fsq("-r", fsq.root, "stats", "--batch", batch.id, "--json").out == result.out
    job = fsq("-r", fsq.root, "show", "--json", fsq.names("failed")[0][2:28]).out
    assert json.loads(job)["options"]["batch"] == batch.id


def test_a_batch_that_is_all_done_exits_0(fsq: Fsq, producer: Producer) -> None:
    with producer.batch() as batch:
        batch.submit("good")
    with fsq.start("-r", fsq.root, "wait", "--batch", batch.id) as waiting:
        fsq.drain(handle, queues=["default"])
        assert waiting.wait() == 0
    assert waiting.out == f"{batch.id}\tover\t1\t0\t1\t0\t0\t0\t0\t-\t-\t-\n"


def test_mistakes_are_one_line(fsq: Fsq, producer: Producer) -> None:
    with producer.batch() as batch:
        pass
    with producer.batch() as other:
        pass
    nowhere = "01JD8Z7Q4M9X3V2T6B1C0N5KEY"
    for words, status, text in (
        (("stats", "--batch", nowhere), 4, "over and not kept any more (keep_batches), or never here"),
        (("wait", "--batch", nowhere), 4, "never here"),
        (("wait", "--batch", "ZZZZZZ"), 4, "no batch ends in ZZZZZZ"),
        (("wait", "--batch", "x"), 2, "26 characters"),
        (("wait",), 2, "give a job's id, or --batch ID"),
        (("wait", batch.id, "--batch", other.id), 2, "give a job's id, or --batch ID"),
        (("stats", "--batch", batch.id, "-q", "default"), 2, "leave -q out"),
    ):
        result = fsq("-r", fsq.root, *words)
        assert (result.status, result.out) == (status, ""), result
        assert text in result.err
        assert result.err.count("\n") == 1


def test_a_report_of_a_batch_is_of_its_members_alone(fsq: Fsq, producer: Producer) -> None:
    """Of those that members have added, too, and whether it goes on or is over."""
    producer.submit("stranger")
    with producer.batch() as batch:
        batch.submit_many(["good", "bad", "adds"])

    def handle_and_add(job: Job) -> None:
        handle(job)
        if job.payload == "adds":
            assert job.batch is not None
            job.batch.submit("good", queue="publish")

    for queues in (["default"], ["publish"]):
        fsq.drain(handle_and_add, queues=queues)
        report = json.loads(fsq("-r", fsq.root, "report", "--batch", batch.id[-6:], "--json").out)
        assert report["batch"] == batch.id
        (default, *others) = report["queues"]
        assert (default["queue"], default["done"], default["failed"]) == ("default", 2, 1)
        assert [group["reason"] for group in default["failed_now"]] == ["Reject: on purpose"]
        assert [(one["queue"], one["done"]) for one in others] == [("publish", 1)] * (queues == ["publish"])
    assert f"batch {batch.id}\n" in fsq("-r", fsq.root, "report", "--batch", batch.id).out
    assert f"Batch {batch.id}." in fsq("-r", fsq.root, "report", "--batch", batch.id, "--html", "-").out
    for words, complaint in ((("--since", "1h"), "it does not go with since"), (("--run", "last"), "--run or --batch")):
        refused = fsq("-r", fsq.root, "report", "--batch", batch.id, *words)
        assert (refused.status, complaint in refused.err) == (2, True)
    assert fsq("-r", fsq.root, "report", "--batch", "01JD8Z7Q4M9X3V2T6B1C0N5KEY").status == 4
