"""The power is cut after every operation of every verb: what was acknowledged is there, whole, in one state, and is run.

The models of what a file system keeps of what was not synced: support/cuts.py. Real ones: tests/test_real_power_cuts.py.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from engine.days import Day
from engine.disks import Crash
from engine.powered import DONE_BY_HAND, LIVING, MODELS, NAMES, ORDERS, WAITING, PoweredWorld, key_must_hold
from engine.scenarios import SCENARIOS
from engine.submits import SUBMITS
from engine.worlds import World
from support.clocks import FakeClock
from support.cuts import POSIX, Model
from support.disks import UnsyncedFs
from support.power import PoweredFs
from workqueue.engine import housekeeping, slots
from workqueue.engine.root import init
from workqueue.errors import NotARoot
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from workqueue.store.fs import Fs

pytestmark = pytest.mark.exhaustive
DURABLE = [kind for kind in SUBMITS if "volatile" not in kind and kind not in DONE_BY_HAND]
VOLATILE = [kind for kind in SUBMITS if "volatile" in kind]


@MODELS
@pytest.mark.parametrize("kind", DURABLE)
def test_a_submit_that_the_power_ends_leaves_its_jobs_whole_or_not_at_all_and_one_that_returned_leaves_them_all(
    ground: str, tmp_path: Path, kind: str, model: Model
) -> None:
    if "only submit" in kind and model is POSIX:
        pytest.skip(
            "the second sync of the file keeps its name on the file systems that fsq supports, and not by POSIX"
        )
    path = tmp_path / "file"
    world = PoweredWorld(ground, str(tmp_path))
    write_unsynced(world.disk, str(path))
    world.since = world.steps
    SUBMITS[kind](world, world.engine, str(path))
    expected = 3 if "many" in kind else 1
    seen = set()
    for moment, after in world.cuts(model):
        there = set(after.jobs())
        assert len(there) in {0, expected}
        assert moment.told <= there, "what was acknowledged is there"
        assert path.exists() or there, "the file is somewhere"
        seen.add(len(there))
        if "with options" in kind and there:
            (job_id,) = there
            assert after.engine.load(after.find(job_id)).options.max_attempts == 3, "its options are there"
        if "key" in kind and there:
            assert {after.put(key="k")} == there, "its key holds"
        ran = after.drain()
        assert there <= set(ran)
        assert set(ran.values()) <= {b"content"}
        if "key" in kind:
            assert after.put(key="k") not in ran, "its key is free again"
            after.drain()
        after.clean()
        assert after.jobs() == {}
    assert seen == {0, expected}


def write_unsynced(fs: Fs, path: str) -> None:
    """A file of the user's, which is on the disk by its name alone."""
    with fs.creating(path) as fd:
        fs.write(fd, b"content")
    fs.sync_dir(os.path.dirname(path))


@MODELS
@pytest.mark.parametrize("kind", VOLATILE)
def test_a_volatile_submit_may_lose_its_jobs_to_a_power_cut_and_no_torn_one_is_run(
    ground: str, kind: str, model: Model
) -> None:
    world = PoweredWorld(ground)
    SUBMITS[kind](world, world.engine, "")
    torn = 0
    for _, after in world.cuts(model):
        assert set(after.drain().values()) <= {b"content"}
        torn += len(after.ls("corrupt"))
    assert torn, "nothing was torn: the cuts prove nothing"


@MODELS
@pytest.mark.parametrize("name", NAMES)
def test_a_verb_that_the_power_ends_leaves_its_job_whole_in_one_state_and_the_queue_goes_on(
    ground: str, name: str, model: Model
) -> None:
    scenario = SCENARIOS[name]
    world = PoweredWorld(ground)
    job_id = scenario.bring(world)
    before = world.begin(job_id)
    scenario.act(world.engine, world, job_id)
    for moment, after in world.cuts(model):
        state = after.jobs().get(job_id)
        may_be_gone = moment.begun and None in scenario.may_be
        assert state is not None or may_be_gone or job_id not in moment.told
        if moment.over and name in ORDERS:
            assert state is ORDERS[name], "what was ordered stays so"
        if state in LIVING and job_id in moment.told and key_must_hold(moment, scenario, before):
            found = after.find(job_id)
            if after.engine.load(found).options.key:
                assert after.put(key="k") == job_id, "its key holds"
        to_be_ended = scenario.ends and (moment.begun or job_id in after.dot("cancel"))
        ran = after.drain()
        housekeeping.carry_out_cancels(after.root)
        left = after.jobs().get(job_id)
        assert ran.get(job_id, b"acknowledged") == b"acknowledged"
        if state in WAITING and not to_be_ended:
            assert job_id in ran or left in {State.FAILED, State.CORRUPT}
        if moment.over:
            assert left in {*scenario.then, None}
        assert after.dot("stage") == after.dot("cancel") == []
        # Before it was acknowledged, its key may lead to a file in tmp/, whose submit is then finished.
        if job_id in moment.told and "key_for" not in name:
            assert after.put(key="k") != job_id or left is State.HELD, "its key is free"
        after.drain()
        after.clean()


class DyingFs(PoweredFs):
    """Dies before it syncs new/, until it is told to live."""

    dies = True

    def sync_dir(self, path: str) -> None:
        if self.dies and path.endswith("/new"):
            raise Crash
        super().sync_dir(path)


@MODELS
def test_who_is_told_of_the_job_that_has_the_key_can_rely_on_it(ground: str, model: Model) -> None:
    world = PoweredWorld(ground, disk=DyingFs)
    with pytest.raises(Crash):
        world.put(b"of one who died", key="k")
    assert isinstance(world.disk, DyingFs)
    world.disk.dies = False
    job_id = world.put(b"of another", key="k")
    for moment, after in world.cuts(model):
        if job_id in moment.told:
            assert after.drain() == {job_id: b"of one who died"}


@MODELS
def test_a_key_that_outlives_its_job_outlives_a_power_cut_too(ground: str, model: Model) -> None:
    world = PoweredWorld(ground)
    job_id = world.put(b"once", key="k", key_for=3600.0)
    world.engine.finish(world.take())
    seen = set()
    for moment, after in world.cuts(model):
        seen.add(is_there := job_id in after.jobs())
        if moment.over:
            assert after.put(key="k") == job_id, "as long as asked, whether it came back or not"
            after.drain()
            after.clock.advance(3601)
            if not is_there:
                assert after.put(key="k") != job_id
    assert seen == {False, True}


@MODELS
@pytest.mark.parametrize("seed", range(5))
def test_many_jobs_that_do_all_there_is_to_do_survive_a_cut_at_any_moment(ground: str, model: Model, seed: int) -> None:
    world = PoweredWorld(ground)
    Day(world, world.ends, random.Random(seed)).live()
    for moment, after in world.cuts(model):
        there = after.jobs()
        assert moment.told <= there.keys() | moment.ending, "what was acknowledged, and not ended, is there"
        ran = after.drain()
        assert set(ran.values()) <= {b"content"}
        housekeeping.carry_out_cancels(after.root)
        waited = {job_id for job_id, state in there.items() if state in WAITING}
        left = after.jobs()
        assert waited <= ran.keys() | left.keys() | moment.ending
        assert set(left.values()) <= {State.HELD, State.FAILED}
        after.clean()
    assert len(world.told) > 3, "a dull day"


@MODELS
def test_an_init_that_the_power_ends_can_be_made_again_and_one_that_returned_has_made_a_whole_root(
    tmp_path: Path, model: Model
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    disk = PoweredFs(str(top))
    assert init(str(top / "deep/root"), ("default", "other"), slots=2, fs=disk)
    end = len(disk.log.steps)
    found = {}
    for n in {*range(12), *range(12, end - 60, 37), *range(end - 60, end + 1)}:
        found.update({(n == end, state.key()): state for state in model.cuts(disk.log, n)})
    seen = set()
    for (returned, _), state in found.items():
        state.restore()
        path = str(top / "deep/root")
        is_root = os.path.exists(f"{path}/.fsq/format")
        seen.add(is_root)
        assert is_root or not returned
        if not is_root:
            with pytest.raises(NotARoot):
                World(path, FakeClock())
            assert init(path, fs=UnsyncedFs())
        after = World(path, FakeClock())
        if returned:
            assert after.engine.queues() == ["default", "other"]
            assert len(slots.numbers(after.root)) == 2
        job_id = after.put(b"content", key="k")
        assert after.drain() == {job_id: b"content"}
        after.clean()
    assert seen == {False, True}
