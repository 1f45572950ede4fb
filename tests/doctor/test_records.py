"""Records and keys: those of a job that is somewhere are left alone, however old they are."""

from __future__ import annotations

import os
import shutil

import pytest

from doctor.wards import DAY, NOTE, PROBLEM, QUIET, cured, fix, healthy, left_alone, look
from engine.worlds import YEAR, World, plain_name
from support.disks import UnsyncedFs
from workqueue.doctor.checks import CHECKS
from workqueue.doctor.patient import Patient
from workqueue.engine import keys, operate, records, slots
from workqueue.jobs.states import State

ID = plain_name()[2:28]


def test_records_of_a_job_that_is_nowhere_are_removed_when_they_are_old(world: World) -> None:
    records.add_error(world.root, ID, {"message": "x"})
    healthy(world)
    world.clock.advance(2 * DAY)
    finding = cured(world, "records", NOTE)
    assert finding.path == world.root.dot("jobs")
    assert f"records of 1 job that is nowhere: {ID}" in finding.message
    assert world.dot("jobs") == []


def test_options_without_a_trace_of_a_run_are_left_to_who_knows_whether_a_submit_sleeps(world: World) -> None:
    records.put_options(world.root, ID, b'{"fsq":1}')
    world.clock.advance(2 * DAY)
    assert f"options of 1 job that never came, or left: {ID}" in left_alone(world, "records", NOTE).message
    records.add_error(world.root, ID, {"message": "it ran once"})
    cured(world, "records", NOTE)


@pytest.mark.parametrize("file", ["result", "checkpoint", "checkpoint-volatile", "progress"])
def test_options_of_a_job_that_has_run_go_with_what_its_run_has_left(world: World, file: str) -> None:
    records.put_options(world.root, ID, b'{"fsq":1}')
    with open(world.root.dot("jobs", ID, file), "wb"):
        pass
    world.clock.advance(2 * DAY)
    cured(world, "records", NOTE)
    assert world.dot("jobs") == []


@pytest.mark.parametrize("state", ["new", "later", "held", "done", "failed", "corrupt", "cur", "batch"])
def test_records_of_a_job_that_is_somewhere_stay(world: World, state: str) -> None:
    records.add_error(world.root, ID, {"message": "x"})
    name = f"5-{ID}-1@3.abcd" if state in {"cur", "done"} else f"5-{ID}-1"
    if state == "batch":
        os.mkdir(world.at("new", f"{plain_name(number=9)[:-1]}b"))
        name, state = f"{plain_name(number=9)[:-1]}b/{name}", "new"
    world.plant(name, b'{"fsq":1}\n', state)
    world.clock.advance(2 * DAY)
    assert [each.check for each in look(world).findings if each.check == "records"] == []
    fix(world)
    assert world.dot("jobs") == [ID]


def test_records_of_a_job_that_is_being_copied_in_stay_as_long_as_its_copy(world: World) -> None:
    records.add_error(world.root, ID, {"message": "x"})
    world.plant(f"5-{ID}-0", state="tmp")
    world.clock.advance(2 * DAY)
    assert [each.check for each in look(world).findings] == ["tmp"]


def test_what_becomes_a_job_again_between_look_and_repair_keeps_its_records(world: World) -> None:
    """Each repair judges again."""
    records.add_error(world.root, ID, {"message": "x"})
    dead_key(world)
    world.clock.advance(2 * DAY)
    patient = Patient(world.path, UnsyncedFs(), world.clock, QUIET)
    findings = [finding for check in CHECKS for finding in check.look(patient)]
    assert len(findings) == 2
    world.plant(f"5-{ID}-1", b'{"fsq":1}\n')
    world.put(key="gone")
    for finding in findings:
        assert finding.repair
        finding.repair()
    assert world.dot("jobs") == [ID]
    assert os.stat(keys.key_path(world.root, "default", "gone")).st_nlink == 2


# -- keys ------------------------------------------------------------------------------------------------------


def dead_key(world: World, key: str = "gone") -> str:
    """A key whose job was removed by hand; its path."""
    job_id = world.put(key=key)
    os.unlink(world.at("new", f"5-{job_id}-0"))
    return keys.key_path(world.root, "default", key)


def test_a_key_without_a_job_is_removed_when_it_is_old(world: World) -> None:
    path = dead_key(world)
    world.put(key="alive")
    healthy(world)
    world.clock.advance(DAY)
    healthy(world)
    world.clock.advance(DAY)
    finding = cured(world, "keys", NOTE)
    assert finding.path == world.root.dot("keys")
    assert not os.path.exists(path)
    assert os.stat(keys.key_path(world.root, "default", "alive")).st_nlink == 2


def test_a_ban_that_goes_on_is_left_and_one_that_is_over_removed(world: World) -> None:
    world.put(key="k", key_for=2 * DAY)
    world.engine.finish(world.take())
    world.clock.advance(2 * DAY - 1000)
    healthy(world)
    fix(world)
    path = keys.key_path(world.root, "default", "k")
    assert os.path.exists(path)
    world.clock.advance(2000)
    cured(world, "keys", NOTE)
    assert not os.path.exists(path)


def test_a_key_s_lock_that_is_held_is_waited_for_and_then_told(world: World) -> None:
    path = dead_key(world)
    world.clock.advance(2 * DAY)
    with keys.locked(world.root, path):
        report = fix(world)
    assert "another process has held the lock for 10 s" in report.findings[0].message
    assert not report.findings[0].fixed
    assert os.path.exists(path)


def test_a_root_that_was_copied_without_hard_links_has_lost_its_keys(world: World) -> None:
    """It is told, and the keys are kept: they are the only trace of it."""
    world.put(key="k")
    world.put(key="held")
    operate.hold(world.root, next(world.engine.scan("default", State.NEW)))
    for key in ("k", "held"):
        path = keys.key_path(world.root, "default", key)
        shutil.copy(path, f"{path}-copy")
        os.replace(f"{path}-copy", path)
    healthy(world)
    world.clock.advance(100)
    finding = left_alone(world, "keys", PROBLEM)
    assert finding.message.startswith("2 keys are copies of a job and no link to it")
    world.engine.fail(world.take())
    assert [each.message[:19] for each in look(world).findings if each.check == "keys"] == ["1 key is a copy of "]


# -- half written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        f"keys/ab/{'ab' * 32}.4711.tmp",
        f"jobs/{ID}/options.4711.tmp",
        f"jobs/{ID}/result.4711.tmp",
        f"format.{'0f' * 8}",
    ],
)
def test_a_file_that_was_left_half_written_is_removed_when_it_is_old(world: World, place: str) -> None:
    world.plant(f"5-{ID}-0=bare")
    path = world.root.dot(place)
    if place.startswith("jobs"):
        os.mkdir(os.path.dirname(path), 0o700)
    with open(path, "wb") as file:
        file.write(b'{"fsq":')
    healthy(world)
    world.clock.advance(2 * DAY)
    assert os.path.basename(path) in cured(world, "unfinished", NOTE).message
    assert not os.path.exists(path)


def test_a_result_that_a_run_is_writing_is_left_however_old_it_is(world: World) -> None:
    world.put()
    claim = world.take(slot=5)
    records.put_result(world.root, claim.id, b"1")
    os.rename(f"{world.root.dot('jobs', claim.id)}/result", f"{world.root.dot('jobs', claim.id)}/result.4711.tmp")
    slot = slots.try_lock(world.root, 5)
    assert slot is not None
    world.clock.advance(2 * DAY)
    healthy(world)
    slot.close()
    assert [finding.check for finding in look(world).findings] == ["running"]


def test_what_only_looks_half_written_is_left(world: World) -> None:
    world.put(key="k")
    records.put_options(world.root, ID, b'{"fsq":1}')
    world.plant(f"5-{ID}-0=bare")
    world.clock.advance(YEAR)
    assert fix(world).findings == []
    assert os.listdir(world.root.dot("jobs", ID)) == ["options"]
