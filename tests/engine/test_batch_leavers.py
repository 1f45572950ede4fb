"""Who is taken for ended and who is not, in the moments in which it is not plain."""

from __future__ import annotations

import itertools
import os

import pytest

from engine.batched import ENDINGS, NEXT, ON_DONE, ON_FAILED, draft, ended_once, fresh, run_all, submit
from engine.conftest import empty
from engine.disks import Crash, CrashingFs, InterruptedFs
from engine.worlds import SLOT, World, new_job
from support.clocks import FakeClock
from workqueue.engine import commits, leavers, lookup, members, overs
from workqueue.engine.members import How
from workqueue.engine.protocol import Claim


def anew(world: World) -> World:
    empty(world.path)
    world = World(world.path, FakeClock())
    fresh(world)
    return world


def see_out(world: World) -> None:
    """What a worker does that looks at this moment, without settling anything before."""
    leavers.see_out(world.root)
    for batch in members.active(world.root):
        if not os.path.exists(members.place(world.root, batch, "items")):
            members.close(world.root, batch)


@pytest.mark.parametrize("name", ["hand over one", "hand over many"])
def test_nobody_is_taken_for_ended_who_hands_over_or_is_handed_over(world: World, name: str) -> None:
    ending = ENDINGS[name]
    for n in itertools.count(1):
        world = anew(world)
        claim = ending.bring(world)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            ending.act(engine, world, claim)
        except Crash:
            fs.bury()
        see_out(world)
        assert ended_once(world, ending) is How.DONE
        if not fs.reached:
            return


def test_nobody_is_taken_for_gone_whose_batch_is_not_published(world: World) -> None:
    for n in itertools.count(1):
        world = anew(world)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            submit(engine, new_job(b"one"), new_job(b"two"))
        except Crash:
            fs.bury()
        see_out(world)
        told = run_all(world)
        assert not told[ON_FAILED]
        assert [payload["done"] for payload in told[ON_DONE]] in ([], [2])
        if not fs.reached:
            return


def test_an_empty_batch_does_not_end_before_it_is_acknowledged(world: World) -> None:
    """Its producer is about to learn that the disk refuses to keep it, and takes it back."""
    fresh(world)
    batch = draft(world.engine)
    batch._write()
    os.rename(members.place(world.root, f".{batch.id}"), members.place(world.root, batch.id))
    assert list(overs.settle_all(world.root)) == []
    assert members.active(world.root) == [batch.id]
    batch.close()
    assert list(overs.settle_all(world.root)) == []
    assert members.active(world.root) == []


def test_children_that_ended_while_they_joined_once_more_leave_nothing(world: World) -> None:
    """Before each operation of its worker the supervisor publishes, and another worker runs what it sees: the batch is
    is left with who has not ended, and nobody has to look for it."""
    ending = ENDINGS["hand over one"]
    for n in itertools.count(1):
        world = anew(world)
        batch = submit(world.engine, new_job(b"last"), new_job(b"waits", due=1))
        claim = world.take()

        def act(world: World = world) -> None:
            list(commits.finish_own(world.root, {SLOT}))
            run_children(world)

        fs = InterruptedFs(n, act)
        engine = world.open(fs)
        fs.armed = True
        ending.act(engine, world, claim)
        fs.armed = False
        run_children(world)
        assert len(world.root.fs.list(members.place(world.root, batch, "open"))) == 1
        ended_once(world, ending)
        if not fs.reached:
            return


def run_children(world: World) -> None:
    for text in list(lookup.entries(world.root, NEXT, "new")):
        taken = world.engine.take(NEXT, text, SLOT + 1)
        assert isinstance(taken, Claim)
        world.engine.finish(taken)


def test_a_job_that_a_power_cut_left_under_its_end_s_name_too_ends_as_any(world: World) -> None:
    """rename(2) of one file onto itself does nothing, and says that it did."""
    ending = ENDINGS["finish"]
    claim = ending.bring(world)
    os.link(claim.path, members.place(world.root, claim.options.batch or "", "ended", f"{claim.id}.done"))
    assert world.engine.finish(claim)
    assert world.ls("cur") == []
    ended_once(world, ending)


def test_a_callback_that_a_power_cut_left_in_its_batch_too_is_not_submitted_again(world: World) -> None:
    """Not even if a worker has it already."""
    ending = ENDINGS["finish"]
    claim = ending.bring(world)
    for n in itertools.count(1):
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            ending.act(engine, world, claim)
        except Crash:
            fs.bury()
        if world.ls("new", ON_DONE):
            break
        world = anew(world)
        claim = ending.bring(world)
    [text] = world.ls("new", ON_DONE)
    os.link(world.at("new", text, ON_DONE), members.place(world.root, claim.options.batch or "", "callback"))
    taken = world.engine.take(ON_DONE, text, SLOT)
    assert isinstance(taken, Claim)
    assert list(overs.settle_all(world.root)) == []
    assert world.ls("new", ON_DONE) == []
    assert members.active(world.root) == []
    assert world.engine.finish(taken)
