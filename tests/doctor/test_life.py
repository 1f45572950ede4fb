"""A healthy root has no findings: fresh, in use, and while everything in it moves."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from doctor.test_runs import worker
from doctor.wards import DAY, QUIET, healthy, look, world_at
from engine.children import Child, children
from engine.disks import CHANGES
from engine.worlds import NOBODY, Q, World, nobodys_world, plain_name
from support.disks import UnsyncedFs
from support.fsq import fsq
from support.processes import no_process_left, until
from workqueue import Job, Producer
from workqueue.doctor.examination import doctor
from workqueue.doctor.findings import Level
from workqueue.doctor.lookonly import LookOnlyFs
from workqueue.doctor.patient import Machine
from workqueue.engine import operate
from workqueue.engine.root import init

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.fsq import Fsq

__all__ = ["fsq", "no_process_left"]


def test_a_fresh_root_is_well(root: str) -> None:
    healthy(world_at(root), machine=Machine())


def test_a_root_with_many_queues_and_settings_is_well(world: World) -> None:
    init(world.path, ("load", "publish"), slots=8)
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write("max_attempts = 3\nmin_free = '1K'\n[queues.load]\ntmp_age = '1h'\n")
    healthy(world, machine=Machine())


def test_a_root_in_use_is_well(world: World) -> None:
    """Jobs in every ordinary state, some of them old; living workers, one of them told to stop."""
    fill(world)
    world.put(b"runs", keep=60)
    with Child(worker(world, 4)) as one:
        one_id = one.hear()
        fill_up(world)
        world.engine.cancel(world.find(one_id))
        healthy(world)
        world.clock.advance(30 * DAY)
        left = look(world)
        assert [finding.check for finding in left.findings] == []
        assert left.summary == "all well: 5 jobs ready, 3 delayed, 1 running"


def fill(world: World) -> None:
    """What workers have left behind when they ended well: done/ and a ban."""
    world.put(b"done", keep=60)
    world.engine.finish(world.take(), b"1")
    world.put(b"banned", key="cron", key_for=90 * DAY)
    world.engine.finish(world.take())


def fill_up(world: World) -> None:
    """What waits."""
    world.put_many([b"1", b"2"])
    world.put(key="key")
    world.plant("bare.csv")
    path = world.plant("file", state="tmp")
    world.put(file=path, mode="move", max_attempts=3)
    due = world.clock.now_ms() + 10**9
    world.put(due=due)
    world.put_many([b"1", b"2"], due=due)
    held = world.put()
    operate.hold(world.root, world.find(held))


def test_while_a_job_lies_in_failed_the_status_is_0(world: World) -> None:
    world.put()
    world.engine.fail(world.take())
    report = look(world)
    assert (report.status, report.summary) == (0, "23 checks, 0 problems, 1 note")
    assert report.findings[0].level is Level.NOTE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_ordinary_user_s_root_is_well_for_him_and_for_root(reachable: Path) -> None:
    world = nobodys_world(reachable)

    def act(tell: Callable[[str], None]) -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        world.put(key="k")
        for fix in (False, True):
            tell(str(doctor(world.path, fix=fix, clock=world.clock, machine=QUIET).findings))

    with Child(act) as child:
        assert child.hear_all() == ["[]", "[]"]
    healthy(world)


@pytest.mark.parametrize("fix", [False, True])
def test_nothing_is_found_and_nothing_lost_while_producers_and_workers_run(fsq: Fsq, root: str, *, fix: bool) -> None:
    """What two steps leave in between is no finding, and --fix takes nothing away: looks while 1,000 jobs pass."""

    def produce(tell: Callable[[str], None]) -> None:
        producer = Producer(root)
        for n in range(40):
            producer.submit(n, key=f"key{n % 5}", durable=False)
            producer.submit(n, keep="1h", delay="10ms", durable=False)
            path = f"{root}/default/tmp/{os.getpid()}-{n}"
            with open(path, "w") as file:
                file.write("1")
            producer.submit(file=path, mode="move", max_attempts=9, durable=False)
            list(producer.submit_many(range(10), durable=False))

    def handle(job: Job) -> None:
        assert os.path.exists(job.path)  # stages what has an options line

    with fsq.work(handle, processes=2) as working, children(produce, produce) as producers:
        until(lambda: is_well(root, fix=fix) and len(fsq.names("done")) == 80, "all that is kept has been run")
        for producer in producers:
            assert producer.hear_all() == []
        until(lambda: fsq.ls().keys() <= {"done"}, "all has been run")
        assert not working.events("unclaimable")
    assert working.summary["failed"] == 0
    taken_keys = working.summary["done"] - 2 * 40 * (1 + 1 + 10)
    assert 5 <= taken_keys <= 80
    assert len(os.listdir(f"{root}/{Q}/done")) == 80


def is_well(root: str, *, fix: bool) -> bool:
    assert doctor(root, fix=fix, machine=QUIET).findings == []
    return True


def test_what_goes_while_it_is_looked_at_is_no_finding(world: World) -> None:
    """A batch that is used up, the records of a job that ends, a slot's last claim."""
    world.put(b"1", priority=1)
    claim = world.take(slot=4)
    world.engine.add_error(claim, {"message": "x"})
    world.put_many([b"1"], priority=2)
    [batch] = world.ls("new")
    stage = world.root.dot("stage", f"{plain_name(attempt=1)}@4.abcd")
    os.mkdir(stage)
    gone: list[str] = []

    class ThievesFs(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            if path == world.at("new", batch):
                self.steal(path)
            return status

        def list(self, path: str) -> list[str]:
            if path == world.root.dot("jobs", claim.id):
                self.steal(path)
            return super().list(path)

        def open_slot(self, path: str) -> int:
            if path == world.root.dot("workers", "4") and os.path.exists(claim.path):
                os.unlink(claim.path)
            elif path == world.root.dot("workers", "4"):
                self.steal(stage)
            return super().open_slot(path)

        def steal(self, path: str) -> None:
            if path not in gone:
                gone.append(path)
                shutil.rmtree(path)

    healthy(world, fs=ThievesFs())
    assert gone == [world.at("new", batch), stage, world.root.dot("jobs", claim.id)]


def test_the_disk_of_a_look_refuses_every_change(world: World) -> None:
    fs = look(world).patient.fs
    assert isinstance(fs, LookOnlyFs)
    for verb in CHANGES - {"lock", "close"}:
        with pytest.raises(OSError, match="Read-only file system"):
            getattr(fs, verb)(world.path, world.path)
    assert fs.stat(world.path)
