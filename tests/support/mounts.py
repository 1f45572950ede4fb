"""A small disk of its own for a test: really full, really read-only, really gone. Only root can mount one."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MS_RDONLY, MS_REMOUNT, MS_BIND, MNT_DETACH = 1, 32, 4096, 2


def mount(source: str, place: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [os.fsencode(word) for word in (source, place, kind)]
    if libc.mount(*words, flags, options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def unmount(place: str) -> None:
    """umount2(2), lazily: it is gone at once, whoever still has a file open on it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(place), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


@contextlib.contextmanager
def mounted(source: str, place: Path, kind: str, flags: int = 0, options: str = "") -> Iterator[str]:
    """A mount for the time of a block, unmounted in any case; skips the test where nothing can be mounted."""
    place.mkdir()
    try:
        mount(source, str(place), kind, flags, options)
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error.strerror}")
    try:
        yield str(place)
    finally:
        with contextlib.suppress(OSError):  # the test has unmounted it itself
            unmount(str(place))


class SmallDisk:
    """A file system of one megabyte and a few inodes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._filler = f"{path}/filler"

    def fill(self, what: str, *, but: int = 0) -> None:
        """Use up all of its space, but for some bytes, or all of its inodes."""
        os.mkdir(self._filler)
        if what == "space":
            self._fill_space(but)
        else:
            self._fill_inodes()

    def _fill_space(self, but: int) -> None:
        with open(f"{self._filler}/0", "wb", buffering=0) as file:
            size = -1
            while file.tell() > size:  # a journal sets more aside than it needs, until it is synced
                size = file.tell()
                for length in (4096, 512):
                    with contextlib.suppress(OSError):
                        while file.write(b"\0" * length):
                            pass
                with contextlib.suppress(OSError):
                    os.fsync(file.fileno())
            file.truncate(size - but)

    def _fill_inodes(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(10**6):
                open(f"{self._filler}/{number}", "xb").close()

    def make_room(self) -> None:
        """Remove what fills it."""
        for name in os.listdir(self._filler):
            os.unlink(f"{self._filler}/{name}")
        os.rmdir(self._filler)

    def room(self) -> tuple[int, int]:
        """The bytes and inodes that are free."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize, status.f_favail

    def make_read_only(self) -> None:
        """Remount it, as an administrator does, or a kernel that met an error."""
        mount("none", self.path, "tmpfs", MS_REMOUNT | MS_RDONLY)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk, empty; 600 inodes are room for two roots' directories."""
    with mounted("none", tmp_path / "disk", "tmpfs", options="size=1m,nr_inodes=600") as path:
        yield SmallDisk(path)
