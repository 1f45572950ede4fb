"""What lies in a watch folder: regular files of a wanted name, and whatever stands in the way of one.

No symbolic link is followed, and nothing is opened. A directory is told to `on_directory` before it is listed, so that
a watch on it is older than the listing and misses nothing.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from workqueue.errors import FsqError
from workqueue.pipeline.watch.rules import CLAIMED, is_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.pipeline.watch.rules import Rules

KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class FolderGone(FsqError):
    """The folder is not there, or cannot be listed: unmounted, removed, or closed to us."""


class Sign(NamedTuple):
    """By what a file is seen to be the same, and unchanged."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Found(NamedTuple):
    """A regular file, by its path below the folder."""

    path: str
    sign: Sign


class Odd(NamedTuple):
    """What cannot be taken, and why."""

    path: str
    reason: str
    failed: bool = False
    """Whether it ought to be possible: a right is missing, or the disk reports a fault."""
    for_good: bool = False
    """Whether it is not to be tried again before the file is another."""


def sign(status: os.stat_result) -> Sign:
    """The file's sign."""
    return Sign(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Folder:
    """One watched folder."""

    def __init__(self, rules: Rules, on_directory: Callable[[str], object] = lambda _: None) -> None:
        self.rules = rules
        self._on_directory = on_directory
        self.claims: set[str] = set()
        """Names that are our own: files that are being copied."""
        self._kept = "" if rules.archive_base == rules.folder else rules.archive_base

    def full(self, path: str) -> str:
        """The whole path of one below the folder."""
        return f"{self.rules.folder}/{path}" if path else self.rules.folder

    def walk(self, below: str = "") -> Iterator[Found | Odd]:
        """All that is there now; raises FolderGone."""
        try:
            self._on_directory(below)
            entries = list(os.scandir(self.full(below)))
        except OSError as error:
            if not below:
                raise FolderGone(f"{self.rules.folder}: {error.strerror} (not mounted?)") from error
            if not isinstance(error, FileNotFoundError):
                yield Odd(below, f"cannot be listed: {error.strerror}", failed=True)
            return
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Odd(path, f"cannot be looked at: {error.strerror}", failed=True)
                continue
            if stat.S_ISDIR(status.st_mode):
                if self.rules.recursive and not self._is_closed(path):
                    yield from self.walk(path)
            elif (found := self._judge(path, status)) is not None:
                yield found

    def _is_closed(self, path: str) -> bool:
        """Whether a directory is not to be gone into."""
        return self.rules.is_excluded(path) or bool(self._kept and is_below(self.full(path), self._kept))

    def look(self, path: str) -> Found | Odd | None:
        """One name; None if it is gone, or nothing for us."""
        try:
            status = os.stat(self.full(path), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Odd(path, f"cannot be looked at: {error.strerror}", failed=True)
        return None if stat.S_ISDIR(status.st_mode) else self._judge(path, status)

    def _judge(self, path: str, status: os.stat_result) -> Found | Odd | None:
        if os.path.basename(path) in self.claims:
            return None
        if os.path.basename(path).startswith(CLAIMED):
            return Odd(path, "is being taken by another fsq watch, or was left by one that must be started again")
        if not self.rules.is_wanted(path):
            return None
        if not stat.S_ISREG(status.st_mode):
            return Odd(path, f"is {KINDS.get(stat.S_IFMT(status.st_mode), 'no regular file')}; left where it is")
        return Found(path, sign(status))
