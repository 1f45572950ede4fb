"""A job under two names of one file, as a power cut can leave it on btrfs: it is run once, and one name is left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import FullRecordingFs
from engine.worlds import SLOT, World
from support.disks import UnsyncedFs
from workqueue.engine import recovery, slots, twins
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from workqueue.engine.protocol import Claim


def promote(world: World) -> int:
    dealer = QueueDealer(world.root, "default")
    dealer.refresh(now=True)
    return dealer.promote()


def due(world: World, **fields: Any) -> str:
    return world.put(due=world.clock.now_ms(), **fields)


def test_a_promoted_job_whose_old_name_came_back_is_not_promoted_again(world: World) -> None:
    job_id = due(world)
    (text,) = world.ls("later")
    os.link(world.at("later", text), world.at("new", f"5-{job_id}-0"))
    assert promote(world) == 0
    assert world.jobs() == {job_id: State.NEW}


def test_a_held_job_whose_old_name_came_back_stays_held(world: World) -> None:
    job_id = due(world)
    (text,) = world.ls("later")
    os.link(world.at("later", text), world.at("held", text))
    assert promote(world) == 0
    assert world.jobs() == {job_id: State.HELD}


def test_a_running_job_whose_old_name_came_back_is_not_run_beside_itself(world: World) -> None:
    job_id = due(world)
    (text,) = world.ls("later")
    os.link(world.at("later", text), world.at("new", f"5-{job_id}-0"))
    world.take()
    assert promote(world) == 0
    assert world.jobs() == {job_id: State.CUR}


def test_other_links_of_a_delayed_job_are_no_twins(world: World, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"content")
    linked = due(world, file=str(mine), mode="link")
    keyed = due(world, key="k")
    world.take(f"5-{world.put()}-0")
    assert promote(world) == 2
    assert {linked, keyed} <= set(world.drain())


def test_the_twin_of_a_file_that_is_all_payload_is_known_too(world: World) -> None:
    world.plant("5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=file")
    claim = world.take()
    os.link(claim.path, world.at("new", "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=file"))
    world.sweep()
    assert world.jobs() == {claim.id: State.NEW}
    assert world.only("new").attempt == 1


@pytest.mark.parametrize("space", ["new", "later"])
def test_the_name_from_before_a_claim_goes_when_the_dead_run_is_recovered(world: World, space: str) -> None:
    claim = dead_claim(world)
    os.link(claim.path, world.at(space, f"5-{claim.id}-0"))
    world.sweep()
    assert world.jobs() == {claim.id: State.NEW}
    assert world.only("new").attempt == 1


@pytest.mark.parametrize("space", ["failed", "done", "held"])
def test_the_claim_goes_where_its_job_had_gone_on(world: World, space: str) -> None:
    claim = dead_claim(world)
    os.link(claim.path, world.at(space, f"5-{claim.id}-1"))
    world.sweep()
    assert world.jobs() == {claim.id: State(space)}


def test_a_dead_claim_goes_where_a_living_worker_has_the_job(world: World) -> None:
    claim = dead_claim(world)
    os.link(claim.path, world.at("new", f"5-{claim.id}-0"))
    living = slots.try_lock(world.root, 5)
    assert living is not None
    world.take(slot=5)
    world.sweep()
    assert world.jobs() == {claim.id: State.CUR}
    living.close()


def test_a_twin_in_a_batch_goes_too(world: World) -> None:
    (job_id,) = world.put_many([b"1"])
    (batch,) = world.ls("new")
    claim = world.take(f"{batch}/5-{job_id}-0")
    os.link(claim.path, world.at("new", f"{batch}/5-{job_id}-0"))
    world.sweep()
    assert world.drain() == {job_id: b"1"}


def test_nobody_looks_for_twins_of_who_died_since_the_machine_started(world: World) -> None:
    slot = slots.try_lock(world.root, SLOT)
    assert slot is not None
    slot.sign()
    slot.close()
    world.put(key="k")
    world.take()
    fs = FullRecordingFs()
    root = world.open(fs).root
    fs.done.clear()
    assert len(list(recovery.sweep(root, ["default"], set()))) == 1
    assert ("list", world.at("new")) not in fs.done


def further(world: World, job_id: str, state: str, name: str) -> None:
    """Bring a job that was taken, and is to be tried again, under a further name, as the next steps would."""
    (old,) = world.ls("later")
    os.rename(world.at("later", old), world.at(state, name.format(due=old[:13], id=job_id)))


@pytest.mark.parametrize(("state", "name"), [("later", "{due}-5-{id}-1"), ("new", "5-{id}-1"), ("held", "5-{id}-1")])
@pytest.mark.parametrize("way", ["by itself", "in a batch"])
def test_a_retried_job_whose_first_name_came_back_is_run_once_under_its_last(
    world: World, way: str, state: str, name: str
) -> None:
    """It was taken and put off, and another's delayed job synced later/: new/ has its name of before."""
    job_id = world.put(key="k") if way == "by itself" else world.put_many([b"1"])[0]
    (text,) = world.ls("new")
    hint = text if way == "by itself" else f"{text}/5-{job_id}-0"
    claim = world.take(hint)
    os.link(claim.path, world.at("new", hint))
    world.engine.defer(claim, 60)
    further(world, job_id, state, name)
    ran = world.drain()
    assert ran.keys() == ({job_id} if state != "held" else set())
    assert world.states(job_id) == ([State.HELD] if state == "held" else [])


def test_a_job_that_moves_while_second_names_are_looked_for_is_not_taken_for_two(world: World) -> None:
    """An operator lets it go between the looks at its old name and at its new one."""

    class Unholding(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            found = super().stat(path)
            if path == held and world.ls("held"):
                os.rename(held, world.at("new", f"5-{job_id}-1"))
            return found

        def list(self, path: str) -> list[str]:
            there = super().list(path)
            return [*there, f"5-{job_id}-1"] if path == world.at("new") and world.ls("held") else there

    job_id = world.put(key="k")
    claim = world.take()
    held = world.at("held", f"5-{job_id}-1")
    os.rename(claim.path, held)
    twins.keep_furthest(world.open(Unholding()).root, "default")
    assert world.jobs() == {job_id: State.NEW}


def test_two_attempts_of_a_job_in_one_directory_are_one_job(world: World) -> None:
    job_id = world.put()
    claim = world.take()
    os.link(claim.path, world.at("later", f"0000000000001-5-{job_id}-0"))
    world.engine.defer(claim, 60)
    assert world.drain().keys() == {job_id}


def test_of_a_file_that_is_two_jobs_both_are_run(world: World, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"content")
    both = {world.put(file=str(mine), mode="link", due=due) for due in (None, world.clock.now_ms())}
    assert world.drain().keys() == both


def test_second_names_are_looked_for_once_by_a_listing(world: World) -> None:
    """Twins come of power cuts, which no supervisor outlives."""
    world.put()
    world.put_many([b"1"] * 3)
    due(world)
    fs = FullRecordingFs()
    dealer = QueueDealer(world.open(fs).root, "default")
    counts = []
    for _ in range(3):
        fs.done.clear()
        dealer.refresh(now=True)
        verbs = [verb for verb, *_ in fs.done]
        counts.append((verbs.count("list") + verbs.count("each"), verbs.count("stat")))
    assert counts == [(6, 0), (2, 0), (2, 0)]


def test_a_key_whose_job_runs_leads_to_it_though_its_first_name_came_back(world: World) -> None:
    job_id = world.put(key="k")
    claim = world.take()
    os.link(claim.path, world.at("tmp", f"5-{job_id}-0"))
    assert world.put(key="k") == job_id
    assert world.jobs() == {job_id: State.CUR}


def dead_claim(world: World) -> Claim:
    """A claim of a worker of which nothing is known."""
    world.put(key="k")
    return world.take()
