"""What happens to a file in the very moment in which it is taken."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from support.faults import FaultyFs
from workqueue.errors import StoreError
from workqueue.store.database import Database

if TYPE_CHECKING:
    from pipeline.drop import Drop


@pytest.fixture(autouse=True)
def was_here_before(drop: Drop) -> None:
    """The folder has been watched: what is counted is what a file costs."""
    drop.once()


def test_a_file_that_changes_at_the_last_moment_is_judged_anew(drop: Drop) -> None:
    path = drop.deliver("a", "1")
    fs = FaultyFs()

    def write_more() -> None:
        with open(path, "a") as file:
            file.write("2")

    fs.before(2, write_more, verb="open")  # the first looks for a writer, the second is the last look
    with drop.watch(fs, ready="stable=5s") as watcher:
        watcher.turn()
        drop.clock.advance(5)
        watcher.turn()
        assert drop.ls() == ["a"], "it has just changed: it is not complete"
        drop.clock.advance(5)
        watcher.turn()
        assert len(drop.events("ingested")) == 1
    assert drop.drain() == [b"12"]


def test_a_file_that_vanishes_at_the_last_moment_is_nothing_to_tell(drop: Drop) -> None:
    path = drop.deliver("a")
    drop.deliver("b")
    fs = FaultyFs()
    fs.before(1, lambda: os.unlink(path), verb="open")
    with drop.watch(fs) as watcher:
        assert watcher.once(drop.stop).ingested == 1
    assert [event for event, _ in drop.told] == ["ingested"]


def test_a_link_that_took_the_files_place_is_given_back(drop: Drop) -> None:
    path = drop.deliver("a")
    fs = FaultyFs()

    def replace() -> None:
        os.unlink(path)
        os.symlink("/etc/passwd", path)

    fs.before(1, replace, verb="rename")
    with drop.watch(fs) as watcher:
        assert watcher.once(drop.stop).ingested == 0
    assert os.readlink(path) == "/etc/passwd"
    assert len(drop.events("unreadable")) == 1
    assert drop.stage() == []


def test_what_is_given_back_replaces_nothing_that_came_meanwhile(drop: Drop) -> None:
    path = drop.deliver("a")
    fs = FaultyFs()

    def replace() -> None:
        os.unlink(path)
        os.symlink("/etc/passwd", path)

    def new_one() -> None:
        drop.deliver("a", "new")

    fs.before(1, replace, verb="rename")
    fs.before(1, new_one, verb="rename_new")
    with drop.watch(fs) as watcher:
        watcher.once(drop.stop)
    assert len(drop.ls()) == 2
    assert drop.once().ingested == 1
    assert drop.drain() == [b"new"]


def test_a_file_that_the_disk_could_not_write_out_is_given_back_and_not_tried_again_before_it_is_another(
    drop: Drop,
) -> None:
    """The next sync would say yes, whatever is on the disk."""
    drop.deliver("a", "1")
    drop.deliver("b", "2")
    fs = FaultyFs()
    fs.fail_at(1, errno.EIO, verb="sync")
    with drop.watch(fs) as watcher:
        for _ in range(10):
            drop.clock.advance(60)
            watcher.turn()
        [left] = drop.ls()
        assert [fields["path"] for fields in drop.events("unreadable")] == [left] * 1
        assert watcher.end().ingested == 1
        drop.deliver(left, "anew")
        drop.clock.advance(60)
        watcher.turn()
        assert watcher.end().ingested == 2
    assert b"anew" in drop.drain()


def test_a_file_from_another_file_system_that_cannot_be_read_to_its_end_is_given_back(drop: Drop) -> None:
    drop.deliver("a", "1")

    class FarFs(FaultyFs):
        def rename(self, source: str, target: str) -> None:
            if source.startswith(drop.folder) and not target.startswith(drop.folder):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)
            super().rename(source, target)

    fs = FarFs()
    fs.fail_at(1, errno.EIO, verb="write")
    with drop.watch(fs) as watcher:
        assert watcher.once(drop.stop).unreadable == 1
    assert drop.ls() == ["a"]
    assert drop.stage() == []
    assert drop.once().ingested == 1


def test_a_done_file_that_came_for_a_later_file_is_left_to_that_one(drop: Drop) -> None:
    drop.deliver("a")
    marker = drop.deliver("a.ok")
    os.utime(marker, ns=(1, 1))
    fs = FaultyFs()
    fs.before(1, lambda: os.utime(drop.deliver("a.ok"), ns=(2, 2)), verb="sync")
    with drop.watch(fs, ready="done-file={}.ok") as watcher:
        assert watcher.once(drop.stop).ingested == 1
    assert drop.ls() == ["a.ok"]


def test_a_watch_that_dies_between_handing_over_and_telling_tells_it_at_the_next_start(drop: Drop) -> None:
    drop.deliver("a")
    fs = FaultyFs()
    fs.fail_at(2, KeyboardInterrupt(), verb="rename", happens=True)
    try:
        with drop.watch(fs) as watcher:
            watcher.once(drop.stop)
    except KeyboardInterrupt:
        pass
    assert drop.events("ingested") == []
    summary = drop.once()
    assert (summary.ingested, summary.recovered) == (1, 1)
    assert len(drop.events("ingested")) == 1
    assert drop.drain() == [b"content"]


def test_a_job_whose_name_in_the_stage_a_power_cut_brought_back_is_handed_over_once(drop: Drop) -> None:
    """btrfs may keep both names of a rename; and rename(2) of one name of a file to another does nothing."""
    drop.deliver("a")
    fs = FaultyFs()
    fs.fail_at(2, KeyboardInterrupt(), verb="rename")
    with pytest.raises(KeyboardInterrupt), drop.watch(fs) as watcher:
        watcher.once(drop.stop)
    [name] = drop.stage()
    [place] = os.listdir(drop.world.root.dot("watch"))
    os.link(drop.world.root.dot("watch", place, "stage", name), drop.world.at("new", name))
    assert drop.once().ingested == 1
    assert drop.stage() == []
    assert drop.drain() == [b"content"]


@pytest.mark.parametrize("archive", ["", True])
def test_a_disk_without_room_for_a_whole_batch_takes_what_it_has_room_for(drop: Drop, archive: str) -> None:
    """What fills it must be jobs, which workers drain, and not what waits to become jobs."""
    for n in range(10):
        drop.deliver(f"{n}", str(n))

    class SmallFs(FaultyFs):
        def rename(self, source: str, target: str) -> None:
            if source.startswith(drop.folder) and not target.startswith(drop.folder):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)
            super().rename(source, target)

        def copy(self, source: int, target: str, mode: int) -> None:
            if "/stage/" in target and len(drop.stage()) + len(drop.world.ls("new")) >= 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
            super().copy(source, target, mode)

    class SmallDatabase(Database):
        def commit(self) -> None:
            if len(drop.stage()) + len(drop.world.ls("new")) >= 3:
                raise StoreError("use the ledger", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self.path)
            super().commit()

    done: list[bytes] = []
    with drop.watch(SmallFs(), SmallDatabase, archive=archive) as watcher:
        for _ in range(10):
            for _ in range(5):
                drop.clock.advance(watcher.turn())
                watcher.walk()
            assert len(drop.world.ls("new")) == min(2, 10 - len(done)), "a third file leaves the ledger no room"
            done += drop.drain()
    assert sorted(done) == [str(n).encode() for n in range(10)]
    assert len(drop.events("ingested")) == 10
    assert drop.events("skipped") == [], "our own claims are nothing odd"
    assert drop.ls() == []
    assert len(drop.ls(drop.kept)) == (10 if archive else 0)
