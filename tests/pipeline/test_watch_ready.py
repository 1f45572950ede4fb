"""When a file is complete: by each rule, also for partners that are slow, stop in the middle, or overwrite."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.pipeline.watch.ready import AGAIN, NEVER, READY, Readiness, is_being_written
from workqueue.pipeline.watch.rules import STABLE, parsed_ready, rules
from workqueue.pipeline.watch.scan import Folder, Found

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Case:
    """One file, judged by one rule."""

    def __init__(self, where: Path, rule: str, asked: Callable[[int], bool | None] = is_being_written) -> None:
        self.path = where / "in" / "a.csv"
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("1")
        self.clock = FakeClock()
        self.folder = Folder(rules(str(where / "root"), self.path.parent, ready=rule))
        self.readiness = Readiness(parsed_ready(rule), self.folder, UnsyncedFs(), self.clock, asked)

    def judge(self) -> float:
        """READY, NEVER, or the seconds until the next look."""
        found = self.folder.look("a.csv")
        assert isinstance(found, Found)
        due = self.readiness.judge(found)
        return due if due in {READY, NEVER} else round(due - self.clock.monotonic(), 3)


def test_by_rename_what_has_a_final_name_is_complete(tmp_path: Path) -> None:
    assert Case(tmp_path, "rename").judge() == READY


def test_by_done_file_it_is_complete_when_the_other_is_there(tmp_path: Path) -> None:
    case = Case(tmp_path, "done-file={}.ok")
    marker = tmp_path / "in" / "a.csv.ok"
    assert case.judge() == NEVER
    marker.mkdir()
    assert case.judge() == NEVER, "a directory is no file"
    marker.rmdir()
    marker.touch()
    assert case.readiness.expecting("a.csv.ok") == {"a.csv"}
    assert case.judge() == READY


def test_by_close_it_is_complete_when_nobody_has_it_open_for_writing(tmp_path: Path) -> None:
    case = Case(tmp_path, "close")
    assert case.judge() == READY
    with case.path.open("a"):
        case.clock.advance(3600)
        assert case.judge() == AGAIN, "however long its writer says nothing"
    with case.path.open():
        assert case.judge() == READY, "a reader is no writer"


def test_a_writer_is_not_kept_from_writing_by_the_question(tmp_path: Path) -> None:
    case = Case(tmp_path, "close")
    fd = os.open(case.path, os.O_RDONLY)
    try:
        assert is_being_written(fd) is False
        with case.path.open("a") as file:
            file.write("2")
            assert is_being_written(fd) is True
    finally:
        os.close(fd)


def test_by_close_where_the_kernel_does_not_tell_it_must_not_change_for_a_while(tmp_path: Path) -> None:
    case = Case(tmp_path, "close", lambda _: None)
    assert case.judge() == STABLE
    case.clock.advance(STABLE)
    assert case.judge() == READY


@pytest.mark.parametrize("asked", [is_being_written, lambda _: None], ids=["told", "not told"])
def test_by_stability_it_must_not_change_for_so_long(tmp_path: Path, asked: Callable[[int], bool | None]) -> None:
    case = Case(tmp_path, "stable=10s", asked)
    assert case.judge() == 10
    case.clock.advance(6)
    assert case.judge() == 4
    case.path.write_text("12")
    assert case.judge() == 10, "it has changed: the time begins anew"
    case.clock.advance(10)
    assert case.judge() == READY


def change_size(path: Path) -> None:
    path.write_text("123")
    os.utime(path, ns=(1, 1))


def change_time(path: Path) -> None:
    os.utime(path, ns=(2, 2))


def change_inode(path: Path) -> None:
    status = path.stat()
    (path.parent / "other").write_text("1")
    os.replace(path.parent / "other", path)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [change_size, change_time, change_inode])
def test_any_change_counts(tmp_path: Path, change: Callable[[Path], None]) -> None:
    case = Case(tmp_path, "stable=10s")
    case.judge()
    case.clock.advance(10)
    change(case.path)
    assert case.judge() == 10


def test_a_stable_file_that_somebody_has_open_for_writing_is_not_complete(tmp_path: Path) -> None:
    """A connection that stalls for longer than the rule allows."""
    case = Case(tmp_path, "stable=10s")
    with case.path.open("a"):
        case.judge()
        case.clock.advance(60)
        assert case.judge() == 10
    assert case.judge() == READY


@pytest.mark.parametrize("step", [-86400, 86400])
def test_stability_is_not_measured_by_a_clock_that_can_be_set(tmp_path: Path, step: float) -> None:
    case = Case(tmp_path, "stable=10s")
    case.judge()
    case.clock.step(step)
    assert case.judge() == 10
    case.clock.advance(10)
    assert case.judge() == READY


def test_by_age_its_last_change_must_be_so_long_ago_and_it_must_not_change_while_one_looks(tmp_path: Path) -> None:
    case = Case(tmp_path, "age=1m")
    assert case.judge() == pytest.approx(60, abs=2)
    case.clock.step(3600)
    fresh = Readiness(parsed_ready("age=1m"), case.folder, UnsyncedFs(), case.clock)
    case.readiness = fresh
    assert case.judge() == AGAIN, "old by the wall clock alone is not enough"
    case.clock.advance(AGAIN)
    assert case.judge() == READY


def test_an_old_mtime_is_no_age(tmp_path: Path) -> None:
    """rsync -t and sftp -p give a file its sender's time."""
    case = Case(tmp_path, "age=1m")
    os.utime(case.path, (1, 1))
    assert case.judge() > AGAIN


def test_a_clock_that_was_set_back_delays_a_file_by_its_age_only(tmp_path: Path) -> None:
    case = Case(tmp_path, "age=1m")
    case.clock.step(-86400)
    assert case.judge() == 60
    case.clock.advance(60)
    assert case.judge() == READY
