"""A root at the doctor's: looked at, proven to be unchanged, repaired, looked at again."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from engine.worlds import World
from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.doctor.examination import doctor
from workqueue.doctor.findings import Finding, Level
from workqueue.doctor.patient import Machine

if TYPE_CHECKING:
    from workqueue.doctor.report import Report

PROBLEM, NOTE = Level.PROBLEM, Level.NOTE
DAY = 86400.0


class NoWatch:
    """A watch that could be made: a real one costs the kernel more than all the rest of an examination."""

    def __init__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


QUIET = Machine(watch=NoWatch)  # type: ignore[arg-type]


def look(world: World, **how: Any) -> Report:
    """Examine a root; nothing of it is changed by that, not even a time."""
    before = snapshot(world.path)
    report = doctor(world.path, **{"clock": world.clock, "machine": QUIET, **how})
    assert snapshot(world.path) == before
    return report


def fix(world: World, **how: Any) -> Report:
    """Repair what can be."""
    return doctor(world.path, fix=True, **{"clock": world.clock, "machine": QUIET, "fs": UnsyncedFs(), **how})


def found(world: World, check: str, level: Level, **how: Any) -> Finding:
    """The one thing that is found; the exit status is its level's."""
    report = look(world, **how)
    assert len(report.findings) == 1, report.findings
    [finding] = report.findings
    assert (finding.check, finding.level) == (check, level), finding
    assert report.status == (level is PROBLEM)
    assert finding.message
    assert finding.remedy
    assert not finding.fixed
    return finding


def cured(world: World, check: str, level: Level, **how: Any) -> Finding:
    """The one thing that is found, and is found no more after --fix."""
    finding = found(world, check, level, **how)
    assert "fsq doctor --fix" in finding.remedy
    report = fix(world, **how)
    assert [(each.check, each.path, each.fixed) for each in report.findings] == [(check, finding.path, True)]
    assert report.status == 0
    healthy(world, **how)
    return finding


def left_alone(world: World, check: str, level: Level, **how: Any) -> Finding:
    """The one thing that is found, and that --fix does not touch."""
    finding = found(world, check, level, **how)
    before = snapshot(world.path)
    report = fix(world, **how)
    assert snapshot(world.path) == before
    assert report.findings == [finding]
    assert finding.repair is None
    return finding


def healthy(world: World, **how: Any) -> None:
    """Nothing is found."""
    report = doctor(world.path, **{"clock": world.clock, "machine": QUIET, **how})
    assert report.findings == []
    assert report.status == 0
    assert report.summary.startswith("all well: ")


def snapshot(path: str) -> dict[str, tuple[Any, ...]]:
    """Everything in a directory: what it is, whose, and when it was last changed, content and all."""
    status = os.lstat(path)
    taken = {path: (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_ctime_ns)}
    if stat.S_ISDIR(status.st_mode):
        for name in os.listdir(path):
            taken |= snapshot(f"{path}/{name}")
    return taken


def world_at(path: str) -> World:
    """A root of a test's own, which it may take to pieces."""
    return World(path, FakeClock())
