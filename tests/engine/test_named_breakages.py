"""What broke a prototype or a draft of fsq, each by its name; those that have a test elsewhere are not repeated here."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from engine.children import Child, children
from engine.disks import CountingFs
from engine.operations import SUBMIT_OPERATIONS
from engine.submits import SUBMITS
from engine.test_settle import VERBS
from engine.worlds import Q, World
from workqueue.engine import recovery
from workqueue.engine.housekeeping import clean_tmp
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.errors import StoreError
from workqueue.jobs import names
from workqueue.producer import Producer
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue import Job
    from workqueue.engine.directory import DirectoryEngine

    Tell = Callable[[str], None]

# -- ids -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, -1, -3600, 0.001])
def test_forked_producers_whose_clock_stands_still_or_is_set_back_replace_no_job(world: World, step: float) -> None:
    """490 jobs of two forks once had 200 ids; and a rename replaces what has the name."""
    world.put()

    def submit_some(tell: Tell) -> None:
        for _ in range(25):
            tell(world.put(durable=False))
            world.clock.step(step)

    with children(*[submit_some] * 4) as producers:
        told: list[str] = []
        submit_some(told.append)
        for producer in producers:
            mine = producer.hear_all()
            assert mine == sorted(mine), "and each one's are in their order"
            told += mine
    assert len(set(told)) == len(told) == 125
    assert len(world.ls("new")) == 126


# -- tmp/ ------------------------------------------------------------------------------------------------------


class SleepyFs(CountingFs):
    """Its process is stopped before the n-th operation."""

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        if count == self.n:
            os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("kind", ["durable", "delayed", "keyed", "many", "copy", "copy with key"])
def test_a_submitter_stopped_anywhere_while_tmp_is_cleaned_fails_when_it_wakes_or_has_its_job_whole(
    world: World, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    for n in range(1, SUBMIT_OPERATIONS[kind] + 1):
        engine = world.open(fs := SleepyFs(n))

        def submit(tell: Tell, engine: DirectoryEngine = engine, fs: SleepyFs = fs) -> None:
            fs.armed = True
            try:
                tell(" ".join(SUBMITS[kind](world, engine, str(path))))
            except StoreError as error:
                tell(f"- {error}")

        with Child(submit) as child:
            assert os.waitid(os.P_PID, child.pid, os.WSTOPPED) is not None
            world.clock.advance(10 * 86400)
            clean_tmp(world.root, Q)
            os.kill(child.pid, signal.SIGCONT)
            told = child.hear().split()
        if told[0] == "-":
            assert world.jobs() == {}
        else:
            assert world.jobs().keys() == set(told)
            assert world.drain() == dict.fromkeys(told, b"content")
        assert world.ls("tmp") == []
        assert n > 1 or told[0] != "-", "nothing was there to be cleaned"


# -- one job, two claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_an_earlier_claim_of_the_same_job_by_the_same_slot_settles_nothing_of_the_later_one(
    world: World, verb: str
) -> None:
    """Claims were once named by job and slot: what was left of a released run then ended the next one."""
    world.put(b"data", key="k")
    earlier = world.take()
    world.engine.payload_path(earlier)
    assert world.engine.release(earlier)
    later = world.take()
    world.engine.payload_path(later)
    assert VERBS[verb](world.engine, earlier) is False
    assert recovery.recover(world.root, earlier, "late") is None
    assert world.ls("cur") == world.dot("stage") == [os.path.basename(later.path)]
    assert world.put(key="k") == later.id
    assert world.engine.finish(later)
    assert world.put(key="k") != later.id


# -- by hand ---------------------------------------------------------------------------------------------------


def test_mv_from_later_to_new_of_a_job_that_is_about_to_be_promoted_runs_it_once(world: World) -> None:
    """The dealer knows its name in later/ already."""
    job_id = world.put(b"moved", due=world.clock.now_ms() + 1000)
    dealer = QueueDealer(world.root, Q)
    dealer.refresh(now=True)
    [text] = world.ls("later")
    os.rename(world.at("later", text), world.at("new", text))
    world.clock.advance(2)
    assert dealer.promote() == 0
    dealer.refresh(now=True)
    assert dealer.deal(5) == [text]
    assert names.due_of(text) > 0
    assert world.drain() == {job_id: b"moved"}
    assert world.ls("later") == []


# -- keys ------------------------------------------------------------------------------------------------------


def test_a_job_that_submits_itself_again_under_its_own_key_is_run_once_and_the_key_is_free_then(root: str) -> None:
    """While it runs it is the one that has the key; it must neither wait for itself nor be replaced."""
    producer = Producer(root)
    ref = producer.submit("first", key="k")
    seen = []

    def handle(job: Job) -> None:
        again = producer.submit("second", key="k")
        seen.append((again.id, again.created))

    assert drain(root, handle)["done"] == 1
    assert seen == [(ref.id, False)]
    after = producer.submit("third", key="k")
    assert after.created
    assert after.id != ref.id
