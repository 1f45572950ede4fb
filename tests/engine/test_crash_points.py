"""Every verb and submit, cut off before each of its operations: nothing is lost, nothing doubled, nothing stuck."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from engine.aftermath import after_submit, after_verb, count_of
from engine.disks import Crash, CrashingFs
from engine.operations import SCENARIO_OPERATIONS, SUBMIT_OPERATIONS
from engine.scenarios import SCENARIOS
from engine.submits import SUBMITS
from engine.worlds import Q, World
from workqueue.engine import housekeeping
from workqueue.errors import of_path

if TYPE_CHECKING:
    from pathlib import Path

    from workqueue.jobs.states import State


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_cut_off_anywhere_leaves_its_job_whole_in_one_state_and_the_queue_goes_on(
    world: World, name: str
) -> None:
    scenario = SCENARIOS[name]
    seen: set[State | None] = set()
    last = SCENARIO_OPERATIONS[name] + 1
    for n in range(1, last + 1):
        job_id = scenario.bring(world)
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            scenario.act(engine, world, job_id)
        except Crash:
            fs.bury()
        assert fs.reached == (n < last)
        seen.add(after_verb(world, scenario, job_id))
    assert len(scenario.may_be) == 1 or len(seen) > 1, "the scenario proves nothing"


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_cut_off_anywhere_leaves_its_jobs_whole_or_not_at_all(world: World, tmp_path: Path, kind: str) -> None:
    seen: set[int] = set()
    last = SUBMIT_OPERATIONS[kind] + 1
    for n in range(1, last + 1):
        path = tmp_path / f"file-{n}"
        path.write_bytes(b"content")
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        told: list[str] = []
        try:
            told = SUBMITS[kind](world, engine, str(path))
        except Crash:
            fs.bury()
        assert fs.reached == (n < last) == (not told)
        seen.add(after_submit(world, kind, path, told))
    assert seen == {0, count_of(kind)}


@pytest.mark.parametrize("kind", ["keyed", "move with key", "copy with key"])
def test_a_submit_under_a_taken_key_cut_off_anywhere_leaves_its_holder_and_the_file_alone(
    world: World, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    holder = world.put(b"holder", key="k")
    for n in itertools.count(1):
        fs = CrashingFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            assert SUBMITS[kind](world, engine, str(path)) == [holder]
        except Crash:
            fs.bury()
        assert world.jobs().keys() == {holder}
        assert path.read_bytes() == b"content"
        world.clean()
        if not fs.reached:
            assert world.put(key="k") == holder
            assert world.drain() == {holder: b"holder"}
            return


def test_a_submit_by_move_from_another_file_system_cut_off_anywhere_never_has_the_file_nowhere(
    world: World, tmp_path: Path
) -> None:
    class FarFs(CrashingFs):
        def rename(self, source: str, target: str) -> None:
            if source.startswith(str(tmp_path / "far")):
                raise of_path(errno.EXDEV, source)
            super().rename(source, target)

    for n in itertools.count(1):
        path = tmp_path / f"far-{n}"
        path.write_bytes(b"content")
        fs = FarFs(n)
        engine = world.open(fs)
        fs.armed = True
        try:
            world.put(b"", engine, file=str(path), mode="move")
        except Crash:
            fs.bury()
        assert path.exists() or len(world.jobs()) == 1
        assert set(world.drain().values()) <= {b"content"}
        world.clean()
        if not fs.reached:
            assert not path.exists()
            return


def test_cleaning_tmp_cut_off_anywhere_is_finished_by_the_next(world: World) -> None:
    for n in itertools.count(1):
        world.plant("old", state="tmp")
        os.makedirs(world.at("tmp", "old-batch/inside"))
        world.clock.advance(10 * 86400)
        fs = CrashingFs(n)
        root = world.open(fs).root
        fs.armed = True
        try:
            housekeeping.clean_tmp(root, Q)
        except Crash:
            fs.bury()
        world.clean()
        if not fs.reached:
            return
