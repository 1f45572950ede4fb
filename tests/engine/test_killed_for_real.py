"""The same, for real: a process that is killed by SIGKILL before each of its operations, and what the kernel leaves.

Its locks, its descriptors and its half-written files are real ones here; a fresh process recovers.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from engine.aftermath import after_submit, after_verb, count_of, nothing_is_stuck
from engine.befores import running, the_claim
from engine.children import Child
from engine.disks import CountingFs
from engine.operations import SCENARIO_OPERATIONS, SUBMIT_OPERATIONS
from engine.scenarios import CUR, NEW, SCENARIOS
from engine.submits import SUBMITS
from engine.worlds import QUICK, SLOT
from workqueue.engine import recovery, slots
from workqueue.engine.batches import BATCH
from workqueue.engine.root import PAGE, make_slot
from workqueue.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.worlds import World
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.jobs.states import State

    Tell = Callable[[str], None]


class KilledFs(CountingFs):
    """Its process is killed before the n-th change; in the middle of it where that is a write."""

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        if count == self.n:
            if verb == "write":
                os.write(args[0], args[1][: len(args[1]) // 2])
            kill_myself()


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def last_words(child: Child) -> tuple[bool, list[str]]:
    """Whether a child was killed, rather than came to its end; and what it had told."""
    told = b""
    while chunk := os.read(child._hearing, 65536):
        told += chunk
    status = child.wait()
    assert status in {0, -signal.SIGKILL}, "the child failed: see its traceback above"
    return status != 0, told.decode().split()


def killed_at(world: World, n: int, act: Callable[[DirectoryEngine, Tell], object]) -> tuple[bool, list[str]]:
    """Do it in a child that is killed before its n-th operation; whether it was, and what it had told."""
    fs = KilledFs(n)
    engine = world.open(fs)

    def run(tell: Tell) -> None:
        fs.armed = True
        act(engine, tell)

    with Child(run) as child:
        return last_words(child)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_killed_anywhere_leaves_its_job_whole_in_one_state_and_the_queue_goes_on(
    world: World, name: str
) -> None:
    scenario = SCENARIOS[name]
    seen: set[State | None] = set()
    last = SCENARIO_OPERATIONS[name] + 1
    for n in range(1, last + 1):
        job_id = scenario.bring(world)
        killed, _ = killed_at(world, n, lambda engine, _, job_id=job_id: scenario.act(engine, world, job_id))  # type: ignore[misc]
        assert killed == (n < last)
        seen.add(after_verb(world, scenario, job_id))
    assert len(scenario.may_be) == 1 or len(seen) > 1, "the scenario proves nothing"


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_killed_anywhere_leaves_its_jobs_whole_or_not_at_all(world: World, tmp_path: Path, kind: str) -> None:
    seen: set[int] = set()
    last = SUBMIT_OPERATIONS[kind] + 1
    for n in range(1, last + 1):
        path = tmp_path / f"file-{n}"
        path.write_bytes(b"content")

        def submit(engine: DirectoryEngine, tell: Tell, path: str = str(path)) -> None:
            tell(" ".join(SUBMITS[kind](world, engine, path)))

        killed, told = killed_at(world, n, submit)
        assert killed == (n < last) == (not told)
        seen.add(after_submit(world, kind, path, told))
    assert seen == {0, count_of(kind)}


# -- more than one job -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("moment", ["in the next batch", "when a batch was acknowledged"])
def test_a_producer_killed_among_its_batches_keeps_those_that_were_acknowledged(
    world: World, moment: str, before: int
) -> None:
    def payloads() -> Iterator[int]:
        for number in range(3 * BATCH):
            if number == before * BATCH + BATCH // 2 and moment == "in the next batch":
                kill_myself()
            yield number

    def submit(tell: Tell) -> None:
        acknowledged = 0

        def on_batch(ids: object) -> None:
            nonlocal acknowledged
            acknowledged += 1
            tell(" ".join(map(str, ids)))  # type: ignore[call-overload]
            if acknowledged == before:
                kill_myself() if moment.startswith("when") else None

        Producer(world.path).submit_many(payloads(), durable=False, on_batch=on_batch)

    with Child(submit) as child:
        killed, told = last_words(child)
    assert killed
    assert len(told) == before * BATCH
    assert world.jobs().keys() == set(told)
    world.clean()


# -- slots -----------------------------------------------------------------------------------------------------


def abandoned(world: World) -> str:
    """A job whose worker signed its slot and staged a file, and was killed then."""
    job_id = running(world)

    def work(tell: Tell) -> None:
        os.setsid()
        slot = slots.try_lock(world.root, SLOT)
        assert slot is not None
        slot.sign()
        world.engine.payload_path(the_claim(world.engine, job_id))
        kill_myself()

    with Child(work) as worker:
        assert last_words(worker) == (True, [])
    return job_id


def hire(engine: DirectoryEngine, _: Tell) -> None:
    """What a supervisor, and then its worker, do with a slot; in the end it is given back in order."""
    slot = slots.try_lock(engine.root, SLOT)
    assert slot is not None
    list(recovery.take_over(engine.root, slot))
    slot.sign()
    slot.clear()


def test_a_supervisor_killed_anywhere_while_it_takes_a_slot_over_leaves_it_to_the_next(world: World) -> None:
    """7 to take it over, as in the scenario of that name; then the signature, and its end."""
    last = SCENARIO_OPERATIONS["take a slot over"] + 2 + 1
    for n in range(1, last + 1):
        job_id = abandoned(world)
        former = slots.read(world.root, SLOT)
        killed, _ = killed_at(world, n, hire)
        assert killed == (n < last)
        assert world.jobs()[job_id] in {CUR, NEW}
        if world.ls("cur"):
            assert slots.read(world.root, SLOT) == former, "the dead are known until their jobs have moved on"
        assert killed_at(world, 0, hire) == (False, [])
        assert world.drain() == {job_id: b"acknowledged"}
        nothing_is_stuck(world)


def test_a_slot_that_is_made_anew_by_one_who_is_killed_is_whole_for_the_next(world: World) -> None:
    """create, lock, a page, sync, close; then the lock of its owner."""
    path = world.root.dot("workers", str(SLOT))
    for n in range(1, 8):
        os.unlink(path)
        killed, _ = killed_at(world, n, lambda engine, _: slots.try_lock(engine.root, SLOT))
        assert killed == (n < 7)
        slot = slots.try_lock(world.root, SLOT)
        assert slot is not None
        slot.sign()
        assert slot.former() is not None
        slot.clear()
        slot.close()
        make_slot(path, QUICK)
        assert os.stat(path).st_size == PAGE
