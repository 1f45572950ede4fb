"""Runs: those of the living are not touched, those of the dead are taken over as a supervisor would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from doctor.wards import NOTE, PROBLEM, QUIET, cured, fix, found, healthy, look, snapshot
from engine.befores import committed, sealed, stage_a_child
from engine.children import Child, rest_for_ever
from engine.worlds import Q, World, plain_name
from workqueue.doctor import runs
from workqueue.doctor.examination import doctor
from workqueue.engine import marks, slots
from workqueue.engine.sessions import identity
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = plain_name()[2:28]


def worker(world: World, slot: int = 5) -> Callable[[Callable[[str], None]], None]:
    """A worker in the middle of a job, with a file staged."""

    def work(tell: Callable[[str], None]) -> None:
        os.setsid()
        had = slots.try_lock(world.root, slot)
        assert had is not None
        had.sign()
        claim = world.take(slot=slot)
        world.engine.payload_path(claim)
        tell(claim.id)
        rest_for_ever()

    return work


def test_what_a_living_worker_has_is_not_touched_even_if_it_is_stopped(world: World) -> None:
    world.put(key="k", keep=60)
    with Child(worker(world)) as living:
        job_id = living.hear()
        world.engine.cancel(world.find(job_id))
        living.stop()
        healthy(world)
        before = snapshot(world.path)
        world.clock.advance(1000)
        assert fix(world).findings == []
        assert snapshot(world.path) == before
        living.kill()
        assert found(world, "running", PROBLEM).path == world.at("cur")


def test_a_dead_worker_s_job_is_made_ready_again_by_the_same_take_over_as_ever(world: World) -> None:
    world.put(key="k")
    with Child(worker(world)) as dead:
        job_id = dead.hear()
        dead.kill()
    finding = cured(world, "running", PROBLEM)
    assert finding.message.startswith("1 job without a living worker: 5-")
    assert finding.message.endswith("to be taken up when a worker starts, and none runs")
    assert finding.remedy == f"start one: fsq worker -q {Q}; or fsq doctor --fix makes the jobs ready again"
    assert world.ls("new") == [f"5-{job_id}-1"]
    assert world.dot("stage") == []
    assert [error["kind"] for error in world.engine.errors(job_id)] == ["death"]
    assert slots.read(world.root, 5) is None


def test_a_claim_whose_slot_was_lost_is_anybody_s_and_a_look_does_not_make_the_slot(world: World) -> None:
    world.put()
    world.take(slot=99)
    assert "without a living worker" in found(world, "running", PROBLEM).message
    assert len(world.dot("workers")) == 8
    assert [finding.fixed for finding in fix(world).findings] == [True]
    os.unlink(world.root.dot("workers", "99"))


def test_what_somebody_moved_into_cur_goes_back(world: World) -> None:
    world.plant("bare.csv", state="cur")
    world.plant(plain_name(), b'{"fsq":1}\n', "cur")
    assert "2 jobs without a living worker" in cured(world, "running", PROBLEM).message
    assert len(world.ls("new")) == 2


def test_what_cannot_be_repaired_is_told_with_the_reason(world: World) -> None:
    """The name is in use in new/: nothing is replaced."""
    world.plant("same", b"in new")
    world.plant("same", b"in cur", "cur")
    report = fix(world)
    assert [(finding.check, finding.fixed) for finding in report.findings] == [("running", False)]
    assert report.status == 1


def test_while_workers_run_their_next_sweep_is_waited_for(world: World) -> None:
    """Between a death and the sweep that finds it there is nothing wrong."""
    slot = slots.try_lock(world.root, 1)
    world.put()
    world.take(slot=4)
    world.clock.on_sleep = world.sweep
    before = world.ls("cur")
    assert doctor(world.path, clock=world.clock, machine=QUIET).findings == []
    assert before != world.ls("cur")
    assert world.clock.slept == [runs.SECOND_LOOK]
    assert slot is not None
    slot.close()


def test_a_job_that_no_running_worker_takes_up_is_a_problem_all_the_same(world: World) -> None:
    slot = slots.try_lock(world.root, 1)
    world.put()
    world.take(slot=4)
    assert "no worker that runs takes them up: none serves this queue" in cured(world, "running", PROBLEM).message
    assert slot is not None
    slot.close()


def test_a_repair_tells_what_it_could_not_be_sure_of(world: World) -> None:
    """A worker ran in another container, where what it started is not seen; here the name of a job is in use."""
    world.put()
    world.take(slot=4)
    with open(world.root.dot("workers", "4"), "r+b") as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(identity(0), namespace="pid:[1]")).ljust(1000))
    world.plant("same", b"in new")
    world.plant("same", b"in cur", "cur")
    [left] = fix(world).findings
    assert left.message.startswith("1 job without a living worker: same;")
    assert "(--fix: worker " in left.message
    assert "ran in another container" in left.message


# -- stages ----------------------------------------------------------------------------------------------------


def test_what_a_dead_run_staged_is_removed_and_what_a_living_one_did_is_not(world: World) -> None:
    os.makedirs(world.root.dot("stage", f"{plain_name(attempt=1)}@3.dead", "deep"))
    world.put()
    with Child(worker(world)) as living:
        living.hear()
        finding = cured(world, "stage", NOTE)
        assert "1 directory of runs whose worker died" in finding.message
        assert [name for name in world.dot("stage") if "@5." in name] == world.dot("stage")


def test_a_stage_is_not_told_of_beside_its_claim(world: World) -> None:
    world.put()
    world.engine.payload_path(world.take())
    found(world, "running", PROBLEM)


def test_what_a_dead_worker_s_run_has_handed_over_is_put_in_its_place(world: World) -> None:
    job_id = committed(world)
    finding = cured(world, "commit", PROBLEM)
    assert "what 1 run handed over is not all in its place" in finding.message
    assert world.states(job_id) == []
    assert len(world.ls("new")) == 1


def test_what_a_run_had_staged_that_did_not_commit_is_removed(world: World) -> None:
    """As a power cut leaves it that has undone the claim."""
    job_id = sealed(world)
    [name] = world.ls("cur")
    os.rename(world.at("cur", name), world.at("new", f"5-{job_id}-0"))
    assert "staged by 1 run whose worker died" in cured(world, "commit", NOTE).message
    assert world.states(job_id) == [State.NEW]


def test_a_run_that_is_sealed_is_found_among_the_claims_alone(world: World) -> None:
    sealed(world)
    found(world, "running", PROBLEM)


def test_a_living_worker_s_run_may_stage(world: World) -> None:
    world.put()
    slot = slots.try_lock(world.root, 5)
    assert slot is not None
    slot.sign()
    claim = world.take(slot=5)
    stage_a_child(world.engine, claim)
    healthy(world)
    assert claim.staged is not None
    slot.close()


def test_what_cannot_be_put_in_its_place_is_told_and_stays(world: World, tmp_path: Path) -> None:
    """A directory stands where the file is to go."""
    world.put()
    claim = world.take()
    with world.engine.stage(claim).output(str(tmp_path / "out"), "w", 0o600) as file:
        file.write("whole")
    world.engine.seal(claim, None)
    os.rename(claim.path, world.at("done", claim.name.claimed()))
    (tmp_path / "out").mkdir()
    [finding] = fix(world).findings
    assert (finding.check, finding.fixed) == ("commit", False)
    assert world.states(claim.id) == [State.DONE]
    (tmp_path / "out").rmdir()
    cured(world, "commit", PROBLEM)
    assert (tmp_path / "out").read_text() == "whole"


# -- orders to cancel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.NEW, State.HELD, None])
def test_an_order_to_cancel_what_does_not_run_is_carried_out(world: World, state: State | None) -> None:
    job_id = world.put() if state else ID
    if state is State.HELD:
        os.rename(world.at("new", f"5-{job_id}-0"), world.at("held", f"5-{job_id}-0"))
    marks.mark(world.root, job_id)
    healthy(world)
    world.clock.advance(100)
    finding = cured(world, "cancels", NOTE)
    assert f"{job_id} ({state or 'nowhere'})" in finding.message
    assert world.jobs() == {}
    assert world.dot("cancel") == []


def test_an_order_that_came_too_late_is_forgotten(world: World) -> None:
    job_id = world.put()
    world.engine.fail(world.take())
    marks.mark(world.root, job_id)
    world.clock.advance(100)
    assert [finding.check for finding in look(world).findings] == ["failed", "cancels"]
    assert [(finding.check, finding.fixed) for finding in fix(world).findings] == [("cancels", True), ("failed", False)]
    assert world.states(job_id) == [State.FAILED]
