"""Arrays as members of a batch: each is one member, and what is split off from it is one, too, before it has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.worlds import SLOT
from workqueue import Job, Producer, Reject
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root, make_queue
from workqueue.errors import BadPayload, BadSetting, WrongState
from workqueue.run import verdicts
from workqueue.run.board import Board
from workqueue.store.fs import FS
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.clocks import FakeClock


@pytest.fixture
def producer(root: str, clock: FakeClock) -> Producer:
    make_queue(root, "publish", FS)
    return Producer(root, clock=clock)


def handle(job: Job) -> None:
    if job.payload == "bad":
        raise Reject("on purpose")
    if job.payload == "adds":
        assert job.batch is not None
        job.batch.submit("added", queue="default")
    if job.payload == "flaky" and job.attempt == 1:
        raise ValueError(job.payload)


def test_a_batch_with_arrays_calls_back_once_when_the_last_that_was_split_off_has_ended(producer: Producer) -> None:
    ran: list[Any] = []

    def write_down(job: Job) -> None:
        ran.append(job.payload)
        handle(job)

    with producer.batch(on_done="publish", label="tiny") as batch:
        ids = batch.submit_array(["good", "flaky", "bad", "adds", "good"], size=3, max_attempts=2)
        batch.submit("plain")
    assert len(ids) == 2
    assert producer.batch_ref(batch.id).counts().total == 3
    drain(producer.root, write_down, backoff="1s")
    *members, called = ran
    assert sorted(members) == ["added", "adds", "bad", "flaky", "flaky", "good", "good", "plain"]
    assert {how: called[how] for how in ("batch", "total", "done", "failed")} == {
        "batch": batch.id, "total": 6, "done": 5, "failed": 1,
    }  # fmt: skip
    assert producer.batch_ref(batch.id).counts().ended


def test_a_batch_is_over_at_once_where_the_last_to_end_are_an_array_and_an_element_that_failed(
    producer: Producer, root: str, clock: FakeClock
) -> None:
    """Nobody runs what comes to failed/ or corrupt/: it leaves the batch as it comes."""
    with producer.batch(on_failed="publish") as batch:
        [job_id] = batch.submit_array(["good", "bad"])
    engine = DirectoryEngine(Root(root, clock=clock))
    claim = engine.take("default", f"5-{job_id}-0", SLOT)
    assert isinstance(claim, Claim)
    board = Board()
    verdicts.settle(engine, claim, verdicts.attempt(engine, claim, handle, board), board)
    board.close()
    found = producer.batch_ref(batch.id).counts()
    assert (found.ended, found.done, found.failed) == (True, 1, 1)
    assert len(os.listdir(f"{root}/publish/new")) == 1


def test_arrays_that_a_submit_would_refuse_are_refused(producer: Producer, root: str) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write("max_payload = 20\n")
    strict = Producer(root)
    with strict.batch() as batch:
        with pytest.raises(BadSetting, match="takes no key"):
            batch.submit_array([1], key="k")
        with pytest.raises(BadSetting, match="size"):
            batch.submit_array([1], size=0)
        with pytest.raises(BadPayload, match="submit smaller arrays"):
            batch.submit_array(range(100))
        with pytest.raises(BadPayload, match="payload 1 at"):
            batch.submit_array([1, {1, 2}])
    with pytest.raises(WrongState, match="inside its with block"):
        batch.submit_array([1])
    assert strict.batch_ref(batch.id).counts().total == 0
