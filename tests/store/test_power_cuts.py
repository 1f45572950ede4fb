"""A file store by itself, when the power is cut: a block that returned has published its file, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cuts import ORDERED, POSIX, Model
from support.disks import UnsyncedFs
from support.power import PoweredFs
from workqueue.store.filestore import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def in_a_block(store: FileStore) -> None:
    with store.create("file") as file:
        file.write("content")


def copied(store: FileStore) -> None:
    with store.create("file") as file:
        file.write("content")
    store.copy("file", "new", "cur")


@pytest.mark.parametrize("model", [POSIX, ORDERED], ids=["posix", "ordered"])
@pytest.mark.parametrize("publish", [in_a_block, copied])
def test_a_published_file_is_seen_whole_or_not_at_all_and_stays(
    tmp_path: Path, publish: Callable[[FileStore], None], model: Model
) -> None:
    FileStore(tmp_path / "store", fs=UnsyncedFs()).prepare()
    disk = PoweredFs(str(tmp_path))
    store = FileStore(tmp_path / "store", fs=disk)
    publish(store)
    seen = set()
    for n in range(len(disk.log.steps) + 1):
        for state in model.cuts(disk.log, n):
            state.restore()
            found = {path: (tmp_path / path).read_text() for space in ("new", "cur") for path in store.list(space)}
            assert set(found.values()) <= {"content"}
            seen.add(len(found))
            if n == len(disk.log.steps):
                assert store.list("new"), "its block had returned"
    assert seen >= {0, 1}


@pytest.mark.parametrize("model", [POSIX, ORDERED], ids=["posix", "ordered"])
def test_a_prepared_store_stays(tmp_path: Path, model: Model) -> None:
    disk = PoweredFs(str(tmp_path))
    FileStore(tmp_path / "deep/store", fs=disk).prepare()
    for state in model.cuts(disk.log, len(disk.log.steps)):
        state.restore()
        assert FileStore(tmp_path / "deep/store").list("new") == []
