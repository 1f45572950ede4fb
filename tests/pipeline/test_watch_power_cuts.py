"""The power is cut after every operation of a watch: each file is one job, whole, in the end.

The ledger is kept by SQLite, which syncs at each commit: after a cut it is as at the last commit before it.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.drop import Drop
from support.cuts import ORDERED, POSIX, SPLIT, Model
from support.disks import UnsyncedFs
from support.power import PoweredFs
from workqueue.engine.root import init
from workqueue.store.database import Database

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.exhaustive
WAYS: dict[str, dict[str, Any]] = {
    "moved": {},
    "archived": {"archive": True},
    "with a done-file": {"ready": "done-file={}.ok"},
    "left": {"leave": True},
    "not synced by its sender": {},
}


class KeptDatabase(Database):
    """Writes down what it was after each commit, beside the disk's steps."""

    def __init__(self, disk: PoweredFs, kept: list[tuple[int, bytes]], path: str, schema: str, version: int) -> None:
        self._disk, self._kept = disk, kept
        super().__init__(path, schema, version)

    def commit(self) -> None:
        super().commit()
        self._kept.append((len(self._disk.log.steps), self._connection.serialize()))


@pytest.mark.parametrize("model", [POSIX, ORDERED, SPLIT], ids=["posix", "ordered", "split"])
@pytest.mark.parametrize("name", WAYS)
def test_a_watch_that_the_power_ends_makes_each_file_one_job_in_the_end(
    tmp_path: Path, name: str, model: Model
) -> None:
    way, synced = WAYS[name], "not synced" not in name
    root = str(tmp_path / "root")
    init(root, slots=2, fs=UnsyncedFs())
    drop = Drop(root, tmp_path)
    os.mkdir(drop.kept)
    drop.once(**way)
    place = place_of(drop)
    disk = PoweredFs(root, drop.folder, drop.kept)
    write(disk, f"{drop.folder}/a", b"content", synced=synced)
    if "ready" in way:
        write(disk, f"{drop.folder}/a.ok", b"", synced=synced)
    since, kept = len(disk.log.steps), [(0, b"")]
    with drop.watch(disk, lambda *words: KeptDatabase(disk, kept, *words), **way) as watcher:
        kept[0] = (0, kept[0][1] or snapshot(watcher))
        assert watcher.once(drop.stop).ingested == 1
    end, settled, found = len(disk.log.steps), kept[-2][0], {}
    for n in range(since, end + 1):
        database = [data for at, data in kept if at <= n][-1]
        found.update({(database, state.key()): (n, state) for state in model.cuts(disk.log, n)})
    assert len(found) >= 7
    for (database, _), (n, state) in found.items():
        state.restore()
        restore_database(place, database)
        drop.told.clear()
        jobs = drop.world.drain()
        assert jobs or n < end, "what was told as taken is a job, also if no watch ever runs again"
        drop.once(**way)
        jobs |= drop.world.drain()  # the same job again, perhaps: a worker was faster than the watch
        drop.once(**way)
        assert drop.stage() == []
        assert not list(drop.world.drain().values())
        whole = {json.loads(job)["file"].encode() if "leave" in way else job for job in jobs.values()}
        if synced or n >= settled:
            assert whole == {b"a" if "leave" in way else b"content"}, "it is there, and whole"
        assert len(jobs) == 1, f"cut after {n} of {end}: {disk.log.steps[n - 1] if n else ''}"
        if "archive" in way:
            assert drop.ls(drop.kept) == ["a"]
        assert drop.ls() == (["a"] if "leave" in way else [])


def write(disk: PoweredFs, path: str, data: bytes, *, synced: bool) -> None:
    """A partner's file; its time is its own, so that a cut brings it back as it was."""
    with disk.creating(path) as fd:
        disk.write(fd, data)
        disk.set_mtime(fd, 1_000_000_000)
        if synced:
            disk.sync(fd)
    disk.sync_dir(os.path.dirname(path))


def place_of(drop: Drop) -> str:
    [name] = os.listdir(f"{drop.world.path}/.fsq/watch")
    return f"{drop.world.path}/.fsq/watch/{name}"


def snapshot(watcher: Any) -> bytes:
    data: bytes = watcher._ledger._database._connection.serialize()
    return data


def restore_database(place: str, data: bytes) -> None:
    for name in ("ledger-wal", "ledger-shm"):
        shutil.rmtree(f"{place}/{name}", ignore_errors=True)
        if os.path.exists(f"{place}/{name}"):
            os.unlink(f"{place}/{name}")
    with open(f"{place}/ledger", "wb") as file:
        file.write(data)
