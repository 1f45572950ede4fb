"""A stranger's files beside the queue: nobody may read, change or delete them, and not even a look goes unseen."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import TYPE_CHECKING

from engine.worlds import plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IN_ALL_EVENTS = 0xFFF
EVENT = struct.Struct("iIII")
LONG_AGO = 1000


@contextlib.contextmanager
def watching(*directories: str) -> Iterator[Callable[[], list[str]]]:
    """Let inotify tell of every open, read and change in some directories; what is yielded gives what was done since.

    The directories are watched, not their files: told is what comes by their names (a link that is followed), and not
    what comes by another hard link of a file.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for directory in directories:
            if libc.inotify_add_watch(fd, os.fsencode(directory), IN_ALL_EVENTS) < 0:
                raise OSError(ctypes.get_errno(), "cannot watch", directory)
        yield lambda: events(fd)
    finally:
        os.close(fd)


def events(fd: int) -> list[str]:
    """What an inotify descriptor has to tell, each as the event's bits and the name."""
    try:
        data = os.read(fd, 1 << 20)
    except BlockingIOError:
        return []
    found = []
    while data:
        _, mask, _, length = EVENT.unpack_from(data)
        name = data[EVENT.size : EVENT.size + length].rstrip(b"\0")
        found.append(f"{mask:#x} {os.fsdecode(name)}")
        data = data[EVENT.size + length :]
    return found


class Canary:
    """The directory `outside` with a few files, watched from `guarded` on."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        for directory in (path, path / "directory"):
            directory.mkdir()
            for name in ("file", plain_name(number=9)):
                (directory / name).write_text("a stranger's")
                (directory / name).chmod(0o640)
                os.utime(directory / name, (LONG_AGO, LONG_AGO))
        self._touched: Callable[[], list[str]] = list
        self._before: dict[str, tuple[object, ...]] = {}

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Nobody may touch it while the block lasts."""
        self._before = self._picture()
        with watching(self.path, f"{self.path}/directory") as self._touched:
            yield
            self.check()

    def check(self) -> None:
        """Fail if anybody looked at it, or it is not what it was."""
        assert self._touched() == [], "somebody was at the stranger's files"
        assert self._picture() == self._before
        self._touched()  # our own look

    def _picture(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for parent, directories, files in os.walk(self.path):
            for name in (*directories, *files):
                path = os.path.join(parent, name)
                status = os.lstat(path)
                with open(path, "rb") if name in files else open(os.devnull, "rb") as file:
                    found[path] = (status.st_ino, status.st_mode, status.st_uid, status.st_mtime_ns, file.read())
        return found
