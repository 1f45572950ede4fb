"""fsq hold, unhold: what waits is kept back, from workers, drains and whoever waits for it, and then goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from workqueue import Producer, State
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.errors import WrongState
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.fsq import Fsq


def run(fsq: Fsq) -> list[Any]:
    """Drain in this process; what ran."""
    ran: list[Any] = []
    drain(fsq.root, lambda job: ran.append(job.payload))
    return ran


def take(fsq: Fsq, job_id: str) -> tuple[DirectoryEngine, Claim]:
    engine = DirectoryEngine(Root(fsq.root))
    claim = engine.take("default", f"5-{job_id}-0", 1)
    assert isinstance(claim, Claim)
    return engine, claim


def test_a_held_job_is_run_by_nobody_and_shown_by_everything_until_it_is_let_go(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    ready, later = producer.submit("ready", key="k"), producer.submit("later", delay="1h")
    producer.submit("free")
    assert fsq("-r", fsq.root, "hold", ready.id, later.id[-8:]) == (0, "", "2 held\n")
    told = fsq.drain(lambda job: fsq.diary.note(f"ran:{job.payload}", job)).summary
    assert (told["drained"], told["done"]) == (True, 1)
    assert [line.word for line in fsq.diary.lines()] == ["ran:free"]
    assert json.loads(fsq("-r", fsq.root, "stats", "--json").out) == {
        "queue": "default", "new": 0, "later": 0, "cur": 0, "held": 2, "done": 0, "failed": 0, "corrupt": 0,
    }  # fmt: skip
    listed = [json.loads(line) for line in fsq("-r", fsq.root, "ls", "held", "--json").out.splitlines()]
    assert {line["id"]: line["due"] is not None for line in listed} == {ready.id: False, later.id: True}
    assert json.loads(fsq("-r", fsq.root, "show", later.id, "--json").out)["state"] == "held"
    waited = fsq("-r", fsq.root, "wait", ready.id, "--timeout", "10ms")
    assert (waited.status, "has not ended; it is in held" in waited.err) == (124, True)
    assert producer.submit("again", key="k") == ready
    assert fsq("-r", fsq.root, "doctor").status == 0
    assert fsq("-r", fsq.root, "unhold", "--all", "held") == (0, "", "2 ready again\n")
    assert sorted(run(fsq)) == ["later", "ready"]
    life = fsq("-r", fsq.root, "log", ready.id)
    assert "held back by " in life.out
    assert "; it was in new\n" in life.out
    assert "let go by " in life.out


def test_all_that_wait_are_held_also_inside_batches_and_what_comes_afterwards_is_not(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    producer.submit_many(range(3))
    producer.submit_many(range(3, 5), delay="1h")
    assert fsq("-r", fsq.root, "hold", "--all", "new").err == "3 held\n"
    assert fsq("-r", fsq.root, "hold", "--all", "later", "-q", "default").err == "2 held\n"
    producer.submit("afterwards")
    assert run(fsq) == ["afterwards"]
    assert fsq("-r", fsq.root, "unhold", "--all", "held").err == "5 ready again\n"
    assert sorted(run(fsq)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["hold", "RUNS"], 6, "is in cur; hold takes jobs from new, later; it is running: stop its worker"),
        (["hold", "HELD"], 6, "is in held; hold takes jobs from new, later\n"),
        (["unhold", "RUNS"], 6, "is in cur; unhold takes jobs from held\n"),
        (["hold", "RUNS.0"], 2, "an element goes with its array"),
        (["unhold", "01JD8Z7Q4M9X3V2T6B1C0N5KEY"], 4, "finished and not kept, cancelled, or never here"),
        (["hold"], 2, "give job ids, or --all STATE"),
        (["hold", "--all", "cur"], 2, "it takes jobs from new, later"),
        (["unhold", "--all", "new"], 2, "it takes jobs from held"),
        (["hold", "--all", "new", "-q", "defualt"], 2, "no queue 'defualt' in"),
    ],
)
def test_what_cannot_be_held_or_let_go_stays_as_it_is_and_is_told_in_one_line(
    fsq: Fsq, words: list[str], status: int, message: str
) -> None:
    producer = Producer(fsq.root)
    [runs] = producer.submit_array(range(2))
    held = producer.submit("held")
    assert held.hold()
    take(fsq, runs)
    told = fsq("-r", fsq.root, *(word.replace("RUNS", runs).replace("HELD", held.id) for word in words))
    assert (told.status, message in told.err) == (status, True), told.err
    *before, complaint = told.err.splitlines()
    assert complaint.startswith("fsq: ")
    assert before == (["0 held" if words[0] == "hold" else "0 ready again"] if status == 6 else [])
    assert fsq.ls() == {"cur": 1, "held": 1}


def test_a_batch_waits_for_a_member_that_is_held_and_a_drain_does_not(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    with producer.batch(on_done="default") as batch:
        held = batch.submit("held")
        batch.submit("free")
    assert fsq("-r", fsq.root, "hold", held).status == 0
    assert run(fsq) == ["free"]
    assert fsq("-r", fsq.root, "wait", "--batch", batch.id, "--timeout", "10ms").status == 124
    assert fsq("-r", fsq.root, "unhold", held).status == 0
    first, callback = run(fsq)
    assert (first, callback["done"]) == ("held", 2)
    assert fsq("-r", fsq.root, "wait", "--batch", batch.id).status == 0


def test_a_whole_array_is_held_and_goes_on_behind_the_elements_that_have_ended(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array(["zero", "one", "two"])
    engine, claim = take(fsq, job_id)
    marks = engine.marks(claim)
    marks.set(0, b"1")
    marks.close(ended=True)
    assert engine.release(claim)
    assert fsq("-r", fsq.root, "hold", job_id).err == "1 held\n"
    assert run(fsq) == []
    assert "1/3 elements" in fsq("-r", fsq.root, "ls", "held").out
    assert fsq("-r", fsq.root, "unhold", job_id).status == 0
    assert run(fsq) == ["one", "two"]


def test_a_reference_holds_its_job_and_lets_it_go(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit("job")
    assert [ref.hold(), ref.hold()] == [True, True]
    assert ref.state() is State.HELD
    assert [ref.unhold(), ref.unhold()] == [True, False]
    _, claim = take(fsq, ref.id)
    with pytest.raises(WrongState, match="it is running: stop its worker"):
        ref.hold()
    DirectoryEngine(Root(fsq.root)).finish(claim)
    assert (ref.hold(), ref.unhold()) == (False, False)
    by_hand = fsq("-r", fsq.root, "log", "--json", ref.id).out.splitlines()
    assert [json.loads(line)["event"] for line in by_hand][1:3] == ["held by hand", "unheld by hand"]


def test_what_fails_to_be_found_does_not_stop_the_others(fsq: Fsq) -> None:
    first, second = (Producer(fsq.root).submit(n) for n in range(2))
    told = fsq("-r", fsq.root, "hold", first.id, "01JD8Z7Q4M9X3V2T6B1C0N5KEY", second.id)
    assert told.status == 4
    assert told.err.startswith("2 held\nfsq: job 01JD8Z7Q4M9X3V2T6B1C0N5KEY: finished and not kept")
    assert fsq.ls() == {"held": 2}
