"""Hand-overs that do not end: told with what stands in their way, and ended by the engine's own take-over."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from doctor.wards import DAY, NOTE, PROBLEM, cured, fix, found, left_alone
from engine.befores import committed
from engine.worlds import NOBODY, World, new_job, nobodys_world
from support.disks import UnsyncedFs
from support.races import in_child
from workqueue.engine import slots
from workqueue.engine.root import make_queue
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path


def published_late(world: World, to: str, mode: str = "wb") -> None:
    """A run that has committed, whose output is not in its place, and whose worker is dead."""
    world.put()
    claim = world.take()
    with closing(world.engine.stage(claim)) as staged:
        with staged.output(to, mode, 0o666) as file:
            file.write(b"rows")
        world.engine.seal(claim, None)
    os.rename(claim.path, world.at("done", claim.name.claimed()))


def test_a_disk_that_is_not_mounted_is_told_and_the_output_comes_when_it_is(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    published_late(world, f"{disk}/out.csv")
    os.rename(disk, tmp_path / "unmounted")
    for _ in range(2):
        finding = found(world, "commit", PROBLEM)
        assert f"{disk} is gone, or another directory than when {disk}/out.csv was written" in finding.message
        assert finding.remedy.startswith(f"mount the disk that {disk} is on")
        [left] = fix(world).findings
        assert "not mounted?" in left.message, "why the repair could not"
        disk.mkdir(exist_ok=True)
    disk.rmdir()
    os.rename(tmp_path / "unmounted", disk)
    cured(world, "commit", PROBLEM)
    assert os.listdir(disk) == ["out.csv"]


@pytest.mark.parametrize("mode", ["wb", "xb"])
def test_what_is_in_the_way_of_an_output_is_told_and_not_replaced(world: World, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "out.csv"
    published_late(world, str(out), mode)
    out.write_bytes(b"mine") if mode == "xb" else out.mkdir()
    finding = found(world, "commit", PROBLEM)
    assert ("mode 'x' replaces none" if mode == "xb" else f"{out} is a directory now") in finding.message
    assert finding.remedy.startswith(f"move {out} away")
    assert [finding.fixed for finding in fix(world).findings] == [False]
    assert out.is_dir() or out.read_bytes() == b"mine"
    os.rename(out, tmp_path / "aside")
    cured(world, "commit", PROBLEM)
    assert out.read_bytes() == b"rows"


def test_a_directory_that_is_closed_is_told(tmp_path: Path) -> None:
    world = nobodys_world(tmp_path)
    out = tmp_path / "closed"
    out.mkdir()
    os.chown(out, NOBODY, NOBODY)

    def told() -> str:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        published_late(world, f"{out}/out.csv")
        os.chmod(out, 0o500)
        return found(world, "commit", PROBLEM).message

    assert f"{out} cannot be written" in in_child(told)


def test_a_queue_that_is_gone_is_told_and_how_to_make_it(world: World) -> None:
    world.root.make_queue("load")
    world.put()
    claim = world.take()
    with closing(world.engine.stage(claim)):
        world.engine.stage_job(claim, new_job(b"child", queue="load"))
        world.engine.seal(claim, None)
    os.rename(claim.path, world.at("done", claim.name.claimed()))
    shutil.rmtree(f"{world.path}/load")
    finding = found(world, "commit", PROBLEM)
    assert finding.message.endswith("; queue 'load' is gone")
    assert finding.remedy == f"make it again: fsq init -q load {world.path}"
    make_queue(world.path, "load", UnsyncedFs())
    cured(world, "commit", PROBLEM)
    assert len(world.ls("new", "load")) == 1


@pytest.mark.parametrize("line", [0, 1, 2], ids=["the first", "a middle", "the last"])
@pytest.mark.parametrize("lives", [False, True], ids=["its worker is dead", "its worker lives"])
def test_a_damaged_manifest_of_a_run_that_has_ended_is_told_and_nothing_of_it_is_touched(
    world: World, line: int, *, lives: bool
) -> None:
    job_id = committed(world)
    slot = slots.try_lock(world.root, 3) if lives else None
    [head, _] = world.dot("commit")
    path = world.root.dot("commit", head)
    with open(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    lines[line] = b"\0\n"
    with open(path, "wb") as file:
        file.writelines(lines)
    finding = left_alone(world, "commit", PROBLEM)
    assert "1 manifest that cannot be read" in finding.message
    assert path in finding.remedy
    assert world.states(job_id) == [State.DONE]
    if slot is not None:
        slot.close()


def test_a_damaged_manifest_does_not_keep_the_others_from_their_places(world: World, tmp_path: Path) -> None:
    published_late(world, f"{tmp_path}/out.csv")
    [name] = world.dot("commit")
    with open(world.root.dot("commit", name), "wb"):
        pass
    committed(world)
    assert sorted((finding.check, finding.fixed) for finding in fix(world).findings) == [
        ("commit", False),
        ("commit", True),
    ]
    assert world.dot("commit") == [name]
    assert len(world.ls("new")) == 1


def test_names_beside_the_runs_are_strange(world: World) -> None:
    for name in ("README", "5-nobody+0"):
        with open(world.root.dot("commit", name), "w"):
            pass
    assert "2 names of which fsq knows nothing: 5-nobody+0, README" in left_alone(world, "strangers", NOTE).message


def test_options_of_a_child_that_waits_for_its_place_are_not_told(world: World, tmp_path: Path) -> None:
    """They come there before it, and a full disk may come between."""
    (tmp_path / "file.csv").write_bytes(b"rows")
    world.put()
    claim = world.take()
    with closing(world.engine.stage(claim)):
        child_id = world.engine.stage_job(
            claim, new_job(b"", file=str(tmp_path / "file.csv"), mode="copy", max_attempts=3)
        )
        world.engine.seal(claim, None)
    os.rename(claim.path, world.at("done", claim.name.claimed()))
    os.mkdir(world.root.dot("jobs", child_id))
    with open(world.root.dot("jobs", child_id, "options"), "w") as file:
        file.write('{"fsq":1,"max_attempts":3}')
    world.clock.advance(3 * DAY)
    found(world, "commit", PROBLEM)


def test_records_that_a_failed_run_rejected_are_records_of_a_run(world: World) -> None:
    job_id = world.put()
    claim = world.take()
    with closing(world.engine.stage(claim)) as staged:
        staged.reject(b"{}\n")
        staged.keep_rejects()
    with open(world.root.dot("jobs", job_id, "options"), "w"):
        pass
    os.unlink(claim.path)
    world.sweep()
    world.clock.advance(3 * DAY)
    assert "records of 1 job that is nowhere" in cured(world, "records", NOTE).message
