"""A watch, cut off before each of its operations, ledger included: each file is one job, whole, in the end."""

from __future__ import annotations

import errno
import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import FAILS, Crash, CrashingFs, CuttingFs, FailingFs
from pipeline.drop import counted
from workqueue.errors import FsqError, of_path

if TYPE_CHECKING:
    from pipeline.drop import Drop


@dataclass
class Way:
    """How files are taken, and what is to be there when all is over."""

    options: dict[str, Any] = field(default_factory=dict)
    far: str = ""
    """A directory that is to be on another file system: folder or kept."""
    stays: bool = False


WAYS = {
    "moved": Way(),
    "moved, by name": Way({"dedupe": "name"}),
    "moved, by content": Way({"dedupe": "sha256"}),
    "archived": Way({"archive": True}),
    "archived elsewhere": Way({"archive": True}, far="kept"),
    "from elsewhere": Way(far="folder"),
    "from elsewhere, archived": Way({"archive": True}, far="folder"),
    "with a done-file": Way({"ready": "done-file={}.ok"}),
    "left": Way({"leave": True}, stays=True),
    "left, by content": Way({"leave": True, "dedupe": "sha256"}, stays=True),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def disk(base: type[Any], far: str, *args: Any, **how: Any) -> Any:
    """A disk of a kind, on which one directory is another file system."""

    class FarFs(base):  # type: ignore[misc]
        def is_far(self, source: str, target: str) -> bool:
            return bool(far) and (source.startswith(far) != target.startswith(far))

        def rename(self, source: str, target: str) -> None:
            if self.is_far(source, target):
                raise of_path(errno.EXDEV, source)
            super().rename(source, target)

        def link(self, source: str, target: str) -> None:
            if self.is_far(source, target):
                raise of_path(errno.EXDEV, source)
            super().link(source, target)

    return FarFs(*args, **how)


def deliver(drop: Drop, way: Way) -> None:
    """Two files, each with all that belongs to it."""
    for name in "ab":
        drop.deliver(name, name * 3)
        if "done-file" in way.options.get("ready", ""):
            drop.deliver(f"{name}.ok", "")


def check(drop: Drop, way: Way) -> None:
    """A second watch, undisturbed, brings it all to its end; a third finds nothing."""
    drop.once(**way.options)
    assert drop.stage() == []
    if way.stays:
        assert drop.paths() == ["a", "b"]
        assert drop.ls() == ["a", "b"]
    else:
        assert drop.drain() == [b"aaa", b"bbb"]
        assert drop.ls() == []
    if way.options.get("archive"):
        assert drop.ls(drop.kept) == ["a", "b"]
        for name in drop.ls(drop.kept):
            with open(f"{drop.kept}/{name}") as file:
                assert file.read() == name * 3, "it is kept whole"
            os.unlink(f"{drop.kept}/{name}")
    assert drop.once(**way.options).ingested == 0
    assert drop.drain() == []
    assert os.listdir(f"{drop.world.path}/.fsq/jobs") == []
    for name in drop.ls():
        os.unlink(f"{drop.folder}/{name}")


def start_anew(drop: Drop) -> None:
    """Forget what the last round has seen: the same files come again."""
    place = f"{drop.world.path}/.fsq/watch"
    for name in os.listdir(place):
        for file in ("ledger", "ledger-wal", "ledger-shm"):
            if os.path.exists(f"{place}/{name}/{file}"):
                os.unlink(f"{place}/{name}/{file}")


@ways
def test_a_watch_cut_off_anywhere_makes_each_file_one_job_in_the_end(drop: Drop, way: Way) -> None:
    far = getattr(drop, way.far) if way.far else ""
    drop.once(**way.options)
    halves = set()
    for n in itertools.count(1):
        deliver(drop, way)
        fs = disk(CuttingFs, far, n)
        fs.armed = True
        try:
            with drop.watch(fs, counted(fs), **way.options) as watcher:
                watcher.once(drop.stop)
        except Crash:
            fs.bury()
        jobs = len(drop.world.jobs())
        assert jobs + len(drop.stage()) + len(drop.ls()) > 1, "each file is somewhere"
        halves.add(jobs)
        check(drop, way)
        if not fs.reached:
            break
        start_anew(drop)
    assert {0, 2} <= halves
    assert n > 10, n


FAULTS = [
    *(
        pytest.param(way, code, id=f"{name}, {errno.errorcode[code]}")
        for name, way in WAYS.items()
        for code in (errno.ENOSPC, errno.EIO)
        if "content" in name or "elsewhere" in name or "done" in name
    ),
    *(
        pytest.param(WAYS["from elsewhere, archived"], code, id=errno.errorcode[code])
        for code in (errno.EACCES, errno.EMFILE, errno.ESTALE)
    ),
]


@pytest.mark.parametrize(("way", "code"), FAULTS)
def test_a_disk_that_fails_once_anywhere_costs_no_file_and_doubles_none(drop: Drop, way: Way, code: int) -> None:
    far = getattr(drop, way.far) if way.far else ""
    drop.once(**way.options)
    told: list[Exception] = []
    for n in itertools.count(1, 3):
        deliver(drop, way)
        fs = disk(FailingFs, far, n, code)
        fs.armed = True
        try:
            with drop.watch(
                fs, counted(fs) if "commit" in fs.verbs else counted(CrashingFs(0)), **way.options
            ) as watcher:
                watcher.once(drop.stop)
        except (FsqError, OSError) as error:
            told.append(error)
        check(drop, way)
        if not fs.reached:
            break
        start_anew(drop)
    assert told, "some failures were told, and not swallowed"
    assert {getattr(error, "errno", code) for error in told} <= FAILS.keys()


def test_a_watch_goes_on_by_itself_after_a_disk_that_failed(drop: Drop) -> None:
    for n in range(1, 60):
        for name in "abc":
            drop.deliver(f"{n}{name}", name)
        fs = FailingFs(n, errno.ENOSPC)
        with drop.watch(fs, counted(fs)) as watcher:
            fs.armed = True
            drop.told.clear()
            turns = 0
            while len(drop.events("ingested")) < 3:
                drop.clock.advance(watcher.turn())
                turns += 1
                assert turns < 20, (
                    f"{n} {drop.told} {fs.count} {drop.ls()} {drop.stage()} {watcher._ready} {watcher._sore._marks}"
                )
            if not fs.reached:
                break
            assert [event for event, _ in drop.told].count("trouble") <= 1
        assert drop.drain() == [b"a", b"b", b"c"]
    assert fs.reached is False
