"""The layout: what is missing is made as init would, what is wrong is told, what is strange is left alone."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from doctor.wards import DAY, NOTE, PROBLEM, cured, fix, found, healthy, left_alone, look, snapshot, world_at
from engine.worlds import Q, World, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import slots
from workqueue.engine.root import PAGE, init

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def own(root: str) -> World:
    return world_at(root)


def test_a_missing_part_of_dot_fsq_is_made_again(own: World) -> None:
    for part, level in (("stage", PROBLEM), ("keys/7f", PROBLEM), ("keys", PROBLEM), ("journal", NOTE)):
        shutil.rmtree(own.root.dot(part))
        finding = cured(own, "layout", level)
        assert finding.path == own.root.dot()
        assert f"missing: {part};" in finding.message
        assert os.path.isdir(own.root.dot(part))


def test_parts_that_are_all_missing_are_all_made(own: World) -> None:
    for part in ("workers", "stage", "commit", "keys", "jobs", "cancel", "journal"):
        shutil.rmtree(own.root.dot(part))
    assert "missing: cancel, commit, jobs and 4 more;" in cured(own, "layout", PROBLEM).message
    assert len(own.dot("workers")) == 64


def test_the_number_of_slots_stays_what_it_was(own: World) -> None:
    shutil.rmtree(own.root.dot("jobs"))
    fix(own)
    assert len(own.dot("workers")) == 8


def test_a_missing_space_is_made_again_and_the_others_keep_their_jobs(own: World) -> None:
    job_id = own.put(due=own.clock.now_ms() + 10**9)
    for missing in (["tmp"], ["new"], ["corrupt", "cur", "done", "failed"]):
        for space in missing:
            os.rmdir(own.at(space))
        own.clock.advance(100)
        finding = cured(own, "layout", PROBLEM)
        assert finding.path == f"{own.path}/{Q}"
        assert finding.message.startswith(f"missing: {', '.join(missing[:3])}")
        assert list(own.jobs()) == [job_id]


def test_what_lies_in_a_queue_that_lacks_a_part_is_said_to_be_left_out(own: World) -> None:
    os.rmdir(own.at("held"))
    own.plant("odd", state="corrupt")
    report = look(own)
    assert [finding.check for finding in report.findings] == ["layout"]
    assert report.summary.endswith(
        "stage, batches, records, keys, cancels, queue default: fsq doctor --fix repairs 1 of them"
    )
    own.plant("old", state="tmp")
    own.clock.advance(2 * DAY)
    told = [(each.check, each.fixed) for each in fix(own).findings]
    assert told == [("layout", True), ("tmp", True), ("corrupt", False)], "what a repair lets it see is repaired, too"


def test_a_queue_whose_making_was_interrupted_is_made_whole(own: World) -> None:
    for path in (f"{own.path}/load", f"{own.path}/load/tmp"):
        os.mkdir(path, 0o700)
    assert look(own).findings == []  # it may be going on
    own.clock.advance(100)
    finding = cured(own, "layout", PROBLEM)
    assert finding.path == f"{own.path}/load"
    assert own.root.queues() == [Q, "load"]


def test_a_root_without_a_queue_is_told_how_to_get_one(own: World) -> None:
    shutil.rmtree(f"{own.path}/{Q}")
    finding = left_alone(own, "layout", PROBLEM)
    assert "fsq init -q NAME" in finding.remedy


@pytest.mark.parametrize("place", [f"{Q}/new", Q, ".fsq/keys/00", ".fsq"])
def test_a_link_in_place_of_a_directory_is_told_and_left_alone(own: World, tmp_path: Path, place: str) -> None:
    os.rename(f"{own.path}/{place}", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", f"{own.path}/{place}")
    finding = left_alone(own, "layout", PROBLEM)
    assert finding.path == f"{own.path}/{place}"
    assert finding.message.startswith("a symbolic link")


def test_a_file_in_place_of_a_directory_is_told_and_does_not_stop_other_repairs(own: World) -> None:
    os.rmdir(own.at("held"))
    os.rmdir(own.at("tmp"))
    with open(own.at("held"), "w"):
        pass
    report = fix(own)
    wrong, missing = report.findings[-1], report.findings[0]
    assert (missing.path, missing.fixed) == (f"{own.path}/{Q}", True)
    assert (wrong.path, wrong.fixed, report.status) == (own.at("held"), False, 1)
    assert wrong.message.startswith("a file")
    assert os.path.isdir(own.at("tmp"))


def test_a_directory_on_another_file_system_is_told(own: World) -> None:
    class MountedFs(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            return os.stat_result((*status[:2], status.st_dev + 1, *status[3:])) if path == own.at("done") else status

    finding = left_alone(own, "layout", PROBLEM, fs=MountedFs())
    assert (finding.path, finding.message.partition(",")[0]) == (own.at("done"), "on another file system")


# -- slots -----------------------------------------------------------------------------------------------------


def test_without_slots_no_worker_starts_and_init_s_number_is_made(own: World) -> None:
    for name in own.dot("workers"):
        os.unlink(own.root.dot("workers", name))
    cured(own, "slots", PROBLEM)
    assert len(own.dot("workers")) == 64


def test_a_slot_that_an_interrupted_init_left_empty_is_filled_up(own: World) -> None:
    with open(own.root.dot("workers", "3"), "w"):
        pass
    healthy(own)  # it may be just being made
    own.clock.advance(100)
    cured(own, "slots", NOTE)
    assert os.stat(own.root.dot("workers", "3")).st_size == PAGE


def test_what_cannot_be_locked_as_a_slot_is_told(own: World) -> None:
    path = own.root.dot("workers", "2")
    os.chmod(path, 0o400)
    assert "2 (mode 400, of user" in left_alone(own, "slots", PROBLEM).message
    os.unlink(path)
    os.symlink(own.root.dot("workers", "3"), path)
    assert "2 (a symbolic link)" in left_alone(own, "slots", PROBLEM).message


def test_when_all_slots_are_in_use_that_is_noted(world: World) -> None:
    had = [slots.acquire(world.root) for _ in range(7)]
    healthy(world)
    had.append(slots.acquire(world.root))
    finding = left_alone(world, "slots", NOTE)
    assert finding.message.startswith("none of 8 slots is free")
    assert f"fsq init --slots 16 {world.path}" in finding.remedy
    for slot in had:
        assert slot is not None
        slot.close()
    healthy(world)


def test_a_look_gives_every_lock_back(world: World) -> None:
    world.put()
    world.take()
    before = len(os.listdir("/proc/self/fd"))
    look(world)
    fix(world)
    assert len(os.listdir("/proc/self/fd")) == before


# -- strangers -------------------------------------------------------------------------------------------------


def test_what_fsq_knows_nothing_of_is_noted_and_left_alone(own: World) -> None:
    places = [
        "readme.txt", ".fsq/format.old", ".fsq/workers/x", ".fsq/stage/x", ".fsq/keys/zz",
        ".fsq/jobs/x", ".fsq/cancel/x", f"{Q}/new.fresh",
    ]  # fmt: skip
    for place in places:
        os.mkdir(f"{own.path}/{place}")
    own.clock.advance(9 * DAY)
    before = snapshot(own.path)
    for report in (look(own), fix(own)):
        assert {(each.check, each.level, each.path) for each in report.findings} == {
            ("strangers", NOTE, os.path.dirname(f"{own.path}/{place}")) for place in places
        }
    assert "1 name of which fsq knows nothing: readme.txt" in report.findings[0].message
    assert snapshot(own.path) == before


def test_many_strangers_are_told_by_their_number(own: World) -> None:
    for n in range(9):
        os.mkdir(f"{own.path}/Directory{n}")
    assert "Directory0, Directory1, Directory2 and 6 more" in found(own, "strangers", NOTE).message


def test_what_belongs_to_a_root_is_no_stranger(own: World) -> None:
    with open(f"{own.path}/fsq.toml", "w") as file:
        file.write("[queues.default]\nmax_attempts = 3\n")
    os.mkdir(f"{own.path}/{Q}/rejected")
    init(own.path, ("load",), slots=9, fs=UnsyncedFs())
    own.plant(plain_name(), b'{"fsq":1}\n', "held")
    healthy(own)


# -- the journal ---------------------------------------------------------------------------------------------------


def test_a_journal_with_lines_is_healthy(own: World) -> None:
    engine = own.open()
    job_id = own.put()
    found = engine.find(job_id)
    assert found is not None
    engine.record("removed", found)
    os.mkdir(own.root.dot("journal", "2026-06-30"))
    for name in ("0.jsonl", "63.jsonl", "supervisor.jsonl", "operator-12.jsonl"):
        with open(own.root.dot("journal", "2026-06-30", name), "w"):
            pass
    healthy(own)


@pytest.mark.parametrize("place", ["journal/yesterday", "journal/2026-06-30/notes", "journal/2026-06-30/0.jsonl.gz"])
def test_a_stranger_in_the_journal_is_told_and_left_alone(own: World, place: str) -> None:
    os.makedirs(os.path.dirname(own.root.dot(place)), exist_ok=True)
    with open(own.root.dot(place), "w"):
        pass
    finding = left_alone(own, "strangers", NOTE)
    assert finding.path == os.path.dirname(own.root.dot(place))
