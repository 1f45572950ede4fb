"""What lies in the queues: garbage is removed, what needs a decision is told, jobs are let be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from doctor.wards import DAY, NOTE, PROBLEM, QUIET, cured, fix, found, healthy, left_alone, look, world_at
from engine.children import Child
from engine.worlds import NOBODY, Q, World, nobodys_world, plain_name
from run.test_surroundings import immutable
from support.disks import UnsyncedFs
from support.mounts import MS_BIND, mounted
from workqueue.doctor import spaces
from workqueue.doctor.examination import doctor
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_is_older_than_tmp_age_in_tmp_is_removed_and_younger_is_not(world: World) -> None:
    world.plant("old", state="tmp")
    os.mkdir(world.at("tmp", f"{plain_name()[:-1]}b"))
    world.plant(".gone-0123", state="tmp")
    healthy(world)
    world.clock.advance(2 * DAY)
    finding = cured(world, "tmp", NOTE)
    assert finding.path == world.at("tmp")
    assert finding.message.startswith("3 entries older than 1 d 12 h")
    assert world.ls("tmp") == []


def test_tmp_age_is_the_queue_s_own(world: World) -> None:
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write("[queues.default]\ntmp_age = '1h'\n")
    world.plant("old", state="tmp")
    world.clock.advance(3500)
    healthy(world)
    world.clock.advance(200)
    cured(world, "tmp", NOTE)


def test_a_dot_name_is_never_run_which_is_noted(world: World) -> None:
    for state in ("new", "later", "held", "cur"):
        path = world.plant(".report.csv.swp", state=state)
        finding = found(world, "waiting", NOTE)
        assert finding.path == world.at(state)
        assert ".report.csv.swp; such a name is never run" in finding.message
        fix(world)
        os.unlink(path)


# -- what cannot be claimed ------------------------------------------------------------------------------------


def test_an_immutable_job_is_stuck(world: World) -> None:
    world.put()
    with immutable(world.plant("fixed.csv")):
        finding = left_alone(world, "waiting", PROBLEM)
        assert finding.path == world.at("new")
        assert finding.message == "1 name cannot be claimed, because it is immutable: fixed.csv"
    healthy(world)


def test_a_job_on_which_something_is_mounted_is_stuck(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world.plant("mounted.csv")

    class MountedFs(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            return os.stat_result((*status[:2], status.st_dev + 1, *status[3:])) if "mounted" in path else status

    assert (
        "because something is mounted there: mounted.csv"
        in left_alone(world, "waiting", PROBLEM, fs=MountedFs()).message
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_another_user_s_file_or_directory_lets_nobody_read_or_move_is_told(reachable: Path) -> None:
    world = nobodys_world(reachable)
    os.chmod(world.plant("secret.csv"), 0o600)
    os.mkdir(world.at("new", f"{plain_name()[:-1]}b"), 0o700)

    def act(tell: Callable[[str], None]) -> None:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        for finding in doctor(world.path, clock=world.clock, machine=QUIET).findings:
            tell(f"{finding.check} {finding.level} {finding.message}")

    with Child(act) as child:
        first, second = sorted(child.hear_all())
    assert first.startswith("waiting problem 1 name cannot be claimed, a directory that is closed to us: 5-")
    assert second == "waiting problem 1 name cannot be read by us, and will go to corrupt/: secret.csv"


def test_links_and_the_like_in_new_are_the_workers_business(world: World) -> None:
    """They go to corrupt/, and are told of there."""
    os.symlink("/etc/passwd", world.at("new", "link"))
    os.mkfifo(world.at("new", "fifo"))
    os.mkdir(world.at("new", "directory"))
    healthy(world)


def test_only_the_first_names_are_looked_at_one_by_one(world: World) -> None:
    class CountingFs(UnsyncedFs):
        opened = 0

        def open(self, path: str) -> int:
            self.opened += "/new/" in path
            return super().open(path)

    for n in range(spaces.HEAD + 5):
        os.close(os.open(world.at("new", f"5-{n:05}"), os.O_CREAT))
    for name in ("a", "b", "c"):
        world.plant(name)
    fs = CountingFs()
    healthy(world, fs=fs)
    assert fs.opened == spaces.HEAD + 3


# -- batches ---------------------------------------------------------------------------------------------------


def test_an_empty_batch_is_removed_when_it_has_been_so_for_a_minute(world: World) -> None:
    world.put_many([b"1"])
    os.mkdir(world.at("new", names.batch(5, plain_name()[2:28])))
    healthy(world)
    world.clock.advance(100)
    assert "1 batch without jobs" in cured(world, "waiting", NOTE).message
    assert len(world.ls("new")) == 1


def test_a_batch_that_is_held_hides_its_jobs(world: World) -> None:
    world.put_many([b"1", b"2"])
    [batch] = world.ls("new")
    os.rename(world.at("new", batch), world.at("held", batch))
    finding = left_alone(world, "waiting", PROBLEM)
    assert (finding.path, batch in finding.message) == (world.at("held"), True)


@pytest.mark.parametrize("state", ["later", "held"])
def test_what_is_no_file_among_waiting_jobs_is_noted(world: World, state: str) -> None:
    os.mkdir(world.at(state, "directory"))
    os.symlink("/etc/passwd", world.at(state, "link"))
    world.plant("bare.csv", state=state)
    world.plant(f"1764000000000-{plain_name()}", state=state)
    finding = left_alone(world, "waiting", NOTE)
    assert finding.message.startswith("2 names of no file: directory, link")


# -- what has ended --------------------------------------------------------------------------------------------


def test_a_corrupt_job_is_a_problem_and_a_failed_one_is_noted(world: World) -> None:
    world.put()
    world.engine.fail(world.take())
    finding = left_alone(world, "failed", NOTE)
    assert finding.message.startswith("1 job out of attempts, or rejected")
    assert finding.remedy.startswith(f"fsq ls failed -q {Q}")
    world.plant("torn", b"", "corrupt")
    report = look(world)
    assert [each.check for each in report.findings] == ["corrupt", "failed"]
    assert report.findings[0].path == world.at("corrupt")
    assert report.status == 1


# -- size ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "level"), [(40 << 20, NOTE), (3 << 20, None)])
def test_a_directory_that_stayed_large_is_noted(world: World, size: int, level: object) -> None:
    class Ext4(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            return os.stat_result((*status[:6], size, *status[7:])) if path == world.at("done") else status

    if level is None:
        healthy(world, fs=Ext4())
    else:
        finding = left_alone(world, "size", NOTE, fs=Ext4())
        assert (finding.path, finding.message.partition(",")[0]) == (world.at("done"), "40.0 MiB for 0 names")


def test_a_directory_that_is_large_with_reason_is_not(world: World) -> None:
    class Large(UnsyncedFs):
        def stat(self, path: str) -> os.stat_result:
            status = super().stat(path)
            return os.stat_result((*status[:6], spaces.LARGE, *status[7:])) if path == world.at("done") else status

    full = spaces.LARGE // spaces.PER_NAME
    with open(world.at("done", "0"), "w"):
        pass
    for n in range(1, full + 1):
        os.link(world.at("done", "0"), world.at("done", str(n)))
    healthy(world, fs=Large())


def test_a_real_bind_mount_over_a_job_is_stuck_too(root: str, tmp_path: Path) -> None:
    """On the same file system, where only the table of mounts tells."""
    own = world_at(root)
    (tmp_path / "batch").mkdir(mode=0o700)
    (tmp_path / "batch" / "job").touch()
    batch = names.batch(5, plain_name()[2:28])
    with mounted(str(tmp_path / "batch"), tmp_path / "root/default/new" / batch, "", MS_BIND):
        assert found(own, "file system", PROBLEM).path == own.at("new", batch)
