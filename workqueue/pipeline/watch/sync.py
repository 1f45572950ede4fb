"""Sync many files together: write-out is begun for all, then each is waited for, eight at a time.

One after another each would cost a commit of the file system's journal.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workqueue.store.fs import Fs

GROUP = 128
"""Files open at a time, well under the usual limit of 1,024."""
SYNCERS = 8
FEW = 4
"""Directories for which threads are not worth their while."""


def sync_files(fs: Fs, paths: Sequence[str]) -> list[OSError | None]:
    """Sync files; for each its fault, or None. A failed sync is not tried again."""
    faults: list[OSError | None] = []
    if not paths:
        return faults
    with ThreadPoolExecutor(SYNCERS) as pool:
        for start in range(0, len(paths), GROUP):
            faults += _sync_group(fs, paths[start : start + GROUP], pool)
    return faults


def _sync_group(fs: Fs, paths: Sequence[str], pool: ThreadPoolExecutor) -> list[OSError | None]:
    fds: list[int] = []

    def sync(fd: int) -> OSError | None:
        try:
            fs.sync(fd)
        except OSError as error:
            return error
        return None

    try:
        for path in paths:
            fd = fs.open(path)
            fds.append(fd)
            fs.start_write_out(fd)
        return list(pool.map(sync, fds))
    finally:
        for fd in fds:
            os.close(fd)


def sync_directories(fs: Fs, paths: Iterable[str]) -> None:
    """Sync directories, together where they are many; a fault is raised."""
    each = list(dict.fromkeys(paths))
    if len(each) <= FEW:
        for path in each:
            fs.sync_dir(path)
        return
    with ThreadPoolExecutor(SYNCERS) as pool:
        list(pool.map(fs.sync_dir, each))
