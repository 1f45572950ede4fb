"""Arrays on a disk that refuses, and under power cuts: each element ends or is run again, what is split off comes once."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from engine.array_runs import WORDS, Elements
from engine.disks import FailingFs
from engine.powered import MODELS, PoweredWorld
from engine.test_arrays import begun, out
from support.cuts import ORDERED, POSIX, SPLIT, Model
from workqueue.jobs import arrays
from workqueue.jobs.states import State
from workqueue.run import verdicts
from workqueue.run.board import Board

if TYPE_CHECKING:
    from engine.worlds import World
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.run.job import Job

__all__ = ["out"]

LIVING = {State.NEW, State.LATER, State.CUR}
FAILING = {index for index, word in enumerate(WORDS) if word in {"raises", "hopeless", "snoozes", "retries"}}
WAYS = [
    (errno.EIO, "once", True),
    (errno.ENOSPC, "from then on", True),
    pytest.param(errno.ENOSPC, "once", False, marks=pytest.mark.exhaustive),
    pytest.param(errno.EIO, "from then on", False, marks=pytest.mark.exhaustive),
]
EVERY = 5
"""Of the states that the cuts leave so many-th are tried."""


def settled(elements: Elements, engine: DirectoryEngine, claim: Claim) -> verdicts.Verdict | None:
    """None: the disk refused even the settlement, which is the end of a worker, and closes what it has open."""
    try:
        return elements.act(engine, claim)
    except OSError:
        with contextlib.suppress(OSError):
            if claim.staged is not None:
                claim.staged.close()
        return None


def marked(elements: Elements, mark: bytes) -> set[int]:
    return {index for index, found in enumerate(elements.marks(elements.job_id)) if found == mark[0]}


def refused_themselves(elements: Elements, verdict: verdicts.Verdict | None) -> set[int]:
    """The elements of a run that committed which were told of the refusal: they are split off, as by any error."""
    if isinstance(verdict, verdicts.Done) and not LIVING & set(elements.world.states(elements.job_id)):
        assert verdict.array is not None
        return {split.element for split in verdict.array.split} - FAILING
    return set()


@pytest.mark.parametrize(("code", "how_long", "after_a_death"), WAYS)
def test_an_array_to_which_the_disk_refuses_an_operation_has_all_come_once_when_it_is_mended(
    world: World, out: str, code: int, how_long: str, after_a_death: bool
) -> None:
    for_good = how_long != "once"
    seen = set()
    for n in itertools.count(1):
        elements = begun(world, out)
        elements.submit(max_attempts=9)
        if after_a_death:
            elements.die_in(7)
        fs = FailingFs(n, code, for_good=for_good)
        engine = elements.world.open(fs)
        claim = elements.world.take(engine=engine)
        fs.armed = True
        verdict = settled(elements, engine, claim)
        fs.armed = False
        seen.add(type(verdict))
        split = refused_themselves(elements, verdict)
        final, before = marked(elements, arrays.ENDED), elements.ended.copy()
        assert {WORDS[index] for index in final} <= {"plain"}, "what has staged anything is not final"
        elements.world.sweep()
        blamed = marked(elements, arrays.BLAMED)
        elements.drain()
        assert all(elements.ended[index] == before[index] == 1 for index in final), "what is final is not run again"
        elements.check(blamed | split | ({7} if after_a_death else set()))
        if not fs.reached:
            break
    assert {verdicts.Done, type(None) if for_good else verdicts.Again} <= seen, "it proves nothing"


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", [POSIX, ORDERED, SPLIT], ids=["posix", "ordered", "split"])
def test_an_array_that_the_power_ends_hands_all_over_once_and_each_element_ended_or_is_run_again(
    ground: str, out: str, model: Model
) -> None:
    os.makedirs(out)
    world = PoweredWorld(ground, out)
    elements = Elements(world, out)
    elements.submit(max_attempts=9)
    marks = world.engine.marks(world.take())
    marks.set(0, arrays.ENDED)
    marks.close(ended=False)
    world.sweep()
    assert elements.marks(elements.job_id) == b"130000000"
    world.since = world.steps
    claim = world.take()
    elements.act(world.engine, claim)
    committed, finals = set(), set()
    for _, after in itertools.islice(world.cuts(model), 0, None, EVERY):
        elements.world = after
        elements.alone.clear()
        final = marked(elements, arrays.ENDED)
        assert {WORDS[index] for index in final} <= {"plain"}, "what has staged anything is not final"
        after.sweep()
        lives = bool(LIVING & set(after.states(elements.job_id)))
        elements.ended = Counter(final if lives else set(range(len(WORDS))) - FAILING)
        blamed = marked(elements, arrays.BLAMED) if lives else {1}
        elements.drain()
        assert all(elements.ended[index] == 1 for index in final)
        elements.check(blamed)
        committed.add(not lives)
        finals.add(frozenset(final))
    assert committed == {False, True}
    assert len(finals) > 1


@MODELS
def test_a_retry_from_the_start_of_an_array_that_returned_is_one_after_every_power_cut(
    ground: str, out: str, model: Model
) -> None:
    """Else elements that somebody wants to be run once more are passed over."""
    world = PoweredWorld(ground)
    elements = Elements(world, out, ["plain"] * 3)
    elements.submit(max_attempts=1)
    marks = world.engine.marks(world.take())
    marks.set(0, arrays.ENDED)
    marks.close(ended=False)
    world.sweep()
    assert elements.marks(elements.job_id) == b"130"
    world.since = world.steps
    assert world.engine.retry(world.find(elements.job_id), from_start=True)
    seen = set()
    for moment, after in world.cuts(model):
        left = elements.marks(elements.job_id)
        seen.add(left)
        if moment.over:
            assert left == b""
            assert after.states(elements.job_id) == [State.NEW]
    assert b"130" in seen, "it proves nothing"


def test_marks_that_cannot_be_read_make_a_run_fail_and_not_begin_anew(world: World, out: str) -> None:
    """So does any look that the disk refuses; one that is tried again later has lost nothing."""
    elements = begun(world, out, ["plain"] * 3)
    elements.submit(max_attempts=9)
    elements.die_in(1)
    fs = FailingFs(1, errno.EIO, for_good=True, only=frozenset({"open_slot"}))
    engine = elements.world.open(fs)
    claim = elements.world.take(engine=engine)
    fs.armed = True
    assert isinstance(elements.act(engine, claim), verdicts.Again)
    assert elements.marks(elements.job_id) == b"130"
    [error] = [each for each in elements.world.engine.errors(elements.job_id) if each["kind"] != "death"]
    assert f"how far array {elements.job_id} has come" in error["message"]
    elements.drain()
    assert elements.ended == {0: 1, 2: 1}


MARK = 2
"""Which write into the marks is the first element's."""


@pytest.mark.parametrize(
    ("refused", "counts"), [(1, None), (MARK, None), (9, {"read": 1})], ids=["the first write", "a mark", "nothing"]
)
def test_an_array_that_is_given_back_tells_what_it_has_counted_unless_that_may_be_counted_again(
    world: World, out: str, refused: int, counts: dict[str, int] | None
) -> None:
    elements = begun(world, out, ["plain"] * 3)
    elements.submit()
    fs = FailingFs(refused, errno.EIO, only=frozenset({"overwrite"}))
    engine = elements.world.open(fs)
    claim = elements.world.take(engine=engine)
    fs.armed = True

    def handle(job: Job) -> None:
        job.count(read=1)
        elements.world.clock.advance(1)

    board = Board()
    verdict = verdicts.attempt(engine, claim, handle, board, lambda *, has_come_on: has_come_on)
    assert isinstance(verdict, verdicts.Left)
    assert verdict.counts == counts
    verdicts.settle(engine, claim, verdict, board)
    board.close()
    elements.drain()
    assert elements.ended == ({0: 1, 1: 1, 2: 1} if refused == MARK else {1: 1, 2: 1})
