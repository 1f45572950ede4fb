"""Arrays cut off at each disk operation: what is staged comes once, what has ended is not run again."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

from engine.array_runs import FEW, WORDS, ElementFs, Elements
from engine.conftest import empty
from engine.disks import Crash, FailingFs
from engine.handovers import fresh
from engine.worlds import Q, World, new_job
from support.clocks import FakeClock
from workqueue.engine import recovery
from workqueue.engine.arrays import OWNER
from workqueue.errors import BadPayload
from workqueue.jobs import arrays, names
from workqueue.jobs.states import State
from workqueue.run import verdicts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def begun(world: World, out: str, words: list[str] = WORDS) -> Elements:
    fresh(out)
    os.unlink(f"{out}/old.txt")
    empty(world.path)
    return Elements(World(world.path, FakeClock()), out, words)


@pytest.mark.parametrize("after_a_death", [False, True])
def test_an_array_cut_off_anywhere_hands_all_over_once_and_runs_nothing_again_that_has_ended(
    world: World, out: str, after_a_death: bool
) -> None:
    """After a death: in a plain element, which is split off by the run that is cut off, too."""
    final = set()
    for n in itertools.count(1):
        elements = begun(world, out, WORDS)
        job_id = elements.submit(max_attempts=9)
        if after_a_death:
            elements.die_in(7)
            assert elements.marks(job_id) == b"124242430"
        fs = ElementFs(n)
        engine = elements.world.open(fs)
        claim = elements.world.take(engine=engine)
        fs.armed = True
        try:
            elements.act(engine, claim)
        except Crash:
            fs.bury()
        ended = {index for index, mark in enumerate(elements.marks(job_id)) if mark == arrays.ENDED[0]}
        before = elements.ended.copy()
        elements.world.sweep()
        blamed = {index for index, mark in enumerate(elements.marks(job_id)) if mark == arrays.BLAMED[0]}
        elements.drain()
        assert all(elements.ended[index] == before[index] for index in ended), "what is marked 1 is final"
        final.add(frozenset(ended))
        elements.check(blamed | ({7} if after_a_death else set()))
        if not fs.reached:
            break
    assert len(final) > 1, "it proves nothing"


def test_a_poison_element_is_run_once_in_its_array_and_others_go_on_from_where_they_were(
    world: World, out: str
) -> None:
    """Two of them: the first is not run again either while the second kills a worker."""
    elements = begun(world, out, ["plain"] * 6)
    job_id = elements.submit()
    elements.die_in(1)
    assert elements.marks(job_id) == b"130000"
    elements.die_in(3)
    assert elements.marks(job_id) == b"131300"
    verdict = elements.act(elements.world.engine, elements.world.take())
    assert isinstance(verdict, verdicts.Done)
    assert verdict.array is not None
    assert verdict.array.elements == 2
    assert elements.ended == {0: 1, 2: 1, 4: 1, 5: 1}
    split = [elements.world.engine.load(found).options.source for found in elements.world.engine.scan(Q, State.NEW)]
    assert split == [f"{job_id}.1", f"{job_id}.3"]
    for found in elements.world.engine.scan(Q, State.NEW):
        options = elements.world.engine.load(found).options
        assert (found.name.attempt, options.array) == (2, None), "charged as its array was"
        assert options.error is not None
        assert options.error["kind"] == "death"


def test_a_poison_element_out_of_attempts_is_failed_and_not_run_again(world: World, out: str) -> None:
    elements = begun(world, out, ["plain"] * 3)
    job_id = elements.submit(max_attempts=2)
    elements.die_in(0)
    elements.die_in(1)
    assert elements.world.states(job_id) == [State.FAILED], "as any job that has killed so many workers"
    assert elements.marks(job_id) == b"330"
    assert elements.world.engine.retry(elements.world.find(job_id))
    elements.drain()
    assert elements.ended == {2: 1}, "a failed array that is retried goes on where it was"
    assert elements.alone == {"plain": 2}


def test_a_death_between_two_elements_or_in_the_commit_blames_at_most_the_one_that_was_next(
    world: World, out: str
) -> None:
    elements = begun(world, out, ["plain"] * 3)
    job_id = elements.submit()
    claim = elements.world.take()
    marks = elements.world.engine.marks(claim)
    for index in range(3):
        marks.set(index, arrays.ENDED)
    marks.close(ended=False)
    elements.world.sweep()
    assert elements.marks(job_id) == b"111"
    elements.drain()
    assert not elements.ended


def test_one_is_blamed_for_a_death_however_often_its_recovery_is_cut_off(world: World, out: str) -> None:
    for n in itertools.count(1):
        elements = begun(world, out, ["plain"] * 4)
        job_id = elements.submit()
        elements.world.engine.marks(elements.world.take()).close(ended=False)
        fs = ElementFs(n)
        engine = elements.world.open(fs)
        fs.armed = True
        try:
            list(recovery.sweep(engine.root, [Q], set()))
        except Crash:
            fs.bury()
        elements.world.sweep()
        assert elements.marks(job_id) == b"3000"
        if not fs.reached:
            return


def test_a_run_that_was_stopped_by_force_blames_nobody(world: World, out: str) -> None:
    elements = begun(world, out, ["plain"] * 4)
    job_id = elements.submit()
    claim = elements.world.take()
    elements.world.engine.marks(claim).close(ended=False)
    assert recovery.release(elements.world.root, claim)
    assert elements.marks(job_id) == b"0000"
    again = elements.world.take()
    assert again.name.anew, "there are records, and the name says so"
    elements.world.sweep()
    assert elements.marks(job_id) == b"0000", "another run's marks blame nobody for this one"


def test_retry_from_the_start_runs_every_element_again(world: World, out: str) -> None:
    elements = begun(world, out, ["plain"] * 3)
    job_id = elements.submit(max_attempts=1)
    elements.die_in(1)
    assert elements.world.engine.retry(elements.world.find(job_id), from_start=True)
    elements.drain()
    assert elements.ended == {0: 2, 1: 1, 2: 1}


@pytest.mark.parametrize("verb", ["create", "mkdir", "overwrite"])
def test_a_disk_that_refuses_the_marks_stops_no_array(world: World, out: str, verb: str) -> None:
    elements = begun(world, out, ["plain"] * 3)
    elements.submit()
    fs = FailingFs(1, 28, for_good=True, only=frozenset({verb}))
    engine = elements.world.open(fs)
    claim = elements.world.take(engine=engine)
    fs.armed = True
    assert isinstance(elements.act(engine, claim), verdicts.Done)
    assert elements.ended == {0: 1, 1: 1, 2: 1}
    assert elements.world.jobs() == {}


def test_marks_that_a_power_cut_left_half_are_not_believed(world: World, out: str) -> None:
    elements = begun(world, out, ["plain"] * 3)
    job_id = elements.submit()
    for left in (b"", b"11", b"\0" * (3 + OWNER + 2)):
        os.makedirs(f"{world.path}/.fsq/jobs/{job_id}", exist_ok=True)
        with open(f"{world.path}/.fsq/jobs/{job_id}/elements", "wb") as file:
            file.write(left)
        claim = elements.world.take()
        marks = elements.world.engine.marks(claim)
        assert marks.marks == b"000"
        marks.close(ended=True)
        elements.world.engine.release(claim)


def test_arrays_of_one_size_come_as_batches_and_the_last_by_itself(world: World) -> None:
    made = list(arrays.arrays(range(7), 3))
    groups = list(world.engine.put_arrays(new_job(label="tiny", max_attempts=3, priority=2), made))
    assert [len(group) for group in groups] == [2, 1]
    batch, single = sorted(world.ls("new"), key=names.is_batch, reverse=True)
    assert names.is_batch(batch)
    assert single == f"2-{groups[1][0]}-0+tiny"
    claims = [world.engine.load(world.find(job_id)) for group in groups for job_id in group]
    assert [claim.options.array for claim in claims] == [3, 3, 1]
    assert [claim.options.max_attempts for claim in claims] == [3, 3, 3]
    assert b"".join(map(world.engine.body, claims)) == b"0\n1\n2\n3\n4\n5\n6\n"


def test_an_array_over_the_limit_is_refused_with_its_remedy(world: World) -> None:
    engine = world.open(max_payload=10)
    with pytest.raises(BadPayload, match="smaller arrays"):
        list(engine.put_arrays(new_job(), arrays.arrays(range(100), 50)))
    assert world.jobs() == {}


def test_an_error_that_line_1_cannot_hold_is_cut_and_in_the_end_left_out(world: World, out: str) -> None:
    from workqueue.engine import arrays as engine_arrays
    from workqueue.jobs.content import decode_options

    elements = begun(world, out, ["plain"] * 2)
    elements.submit(headers={"h": "x" * 50_000})
    claim = elements.world.take()
    error = {"message": "m" * 30_000, "traceback": "t" * 30_000}

    def line(error: dict[str, str]) -> bytes:
        _, data = engine_arrays.split_off(elements.world.root, claim, 1, b"1", attempt=1, due=None, error=error)
        return data.partition(b"\n")[0]

    assert decode_options(line({"message": "m"})).error == {"message": "m"}
    assert decode_options(line({"message": "m" * 30_000})).error == {"message": "m" * 8000}
    assert decode_options(line(error)).error is None
    assert decode_options(line(error)).source == f"{claim.id}.1"


def test_many_that_fail_come_back_as_one_batch(world: World, out: str) -> None:
    elements = begun(world, out, ["snoozes"] * (FEW + 1))
    elements.submit()
    elements.act(elements.world.engine, elements.world.take())
    [text] = elements.world.ls("later")
    assert names.is_batch(names.without_due(text))
    elements.drain()
    assert elements.alone == {"snoozes": FEW + 1}
