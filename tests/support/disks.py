"""Disks that differ from the real one in a single, honest way."""

from __future__ import annotations

from workqueue.store.fs import Fs


class UnsyncedFs(Fs):
    """Does everything but wait for the disk: for what a test only needs to be there."""

    def sync(self, fd: int) -> None:
        """Leave it to the kernel."""

    def sync_dir(self, path: str) -> None:
        """Leave it to the kernel."""

    def commit(self, path: str) -> bool:
        """Be no btrfs, whatever the tests lie on."""
        return False
