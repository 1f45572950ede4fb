"""The disk: one method for each promise that fsq needs from it.

**Invariant**: nothing else in fsq changes the disk. A test that replaces this object can stop the world, fail or cut
the power at the n-th operation.
**Guarantee**: a method either did what its name says or raised the kernel's OSError; a failed fsync or close is an
error of the write, and is never tried again on the same file, because the kernel may already have dropped the pages
and would report success.
Symbolic links are never followed at the last component, and opening never blocks on a fifo.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workqueue.errors import of_path
from workqueue.store.kernel import commit_transaction, rename_noreplace
from workqueue.store.newfile import Creating

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
COPY_CHUNK = 1 << 20


class Fs:
    """The real disk."""

    # -- changes -----------------------------------------------------------------------------------------------

    def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
        """Make a new file and open it for writing; a name in use is an error."""
        return os.open(path, CREATE | access, mode)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of `data`."""
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])

    def chmod(self, fd: int, mode: int) -> None:
        """Set the mode, whatever the umask."""
        os.fchmod(fd, mode)

    def set_owner(self, path: str, group: int, mode: int) -> None:
        """Give a directory of ours to a group."""
        os.chown(path, -1, group, follow_symlinks=False)
        os.chmod(path, mode)

    def start_write_out(self, fd: int) -> None:
        """Ask the kernel to begin writing the file's pages, without waiting; a hint only."""
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self, fd: int) -> None:
        """Return when the file's content is on the disk."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a file that was written: the error of a late write is reported here."""
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        """Move within one file system, atomically. The caller's target is a name never used before."""
        os.rename(source, target)

    def rename_new(self, source: str, target: str) -> None:
        """Move atomically to a name that somebody else may have chosen: a name in use is an error."""
        if rename_noreplace(source, target):
            return
        # Two steps where the kernel has no such rename. A crash between them leaves both names, and loses nothing. Of
        # any number of processes that move one file, the one whose unlink succeeds has moved it.
        try:
            self.link(source, target)
        except FileExistsError:
            if not os.path.samestat(self.stat(source), self.stat(target)):
                raise
        self.unlink(source)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; a name in use is an error."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """Make a directory; a name in use is an error."""
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def sync_dir(self, path: str) -> None:
        """Return when the directory's entries are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def commit(self, path: str) -> bool:
        """Return when all that was renamed or removed is so on the disk; False: only btrfs has a call for it."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return commit_transaction(fd)
        finally:
            os.close(fd)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file in one write, and make the file if it is missing. Not synced."""
        fd = os.open(path, APPEND, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def open_append(self, path: str) -> int:
        """Open a file to add to its end and to look at it; it is made if it is missing. A fifo may come, too."""
        return os.open(path, APPEND ^ os.O_WRONLY | os.O_RDWR, 0o600)

    def overwrite(self, fd: int, data: bytes, at: int = 0) -> None:
        """Replace some bytes of a file in place: needs no space where the page exists already. Not synced."""
        os.pwrite(fd, data, at)

    def set_mtime(self, fd: int, seconds: float) -> None:
        """Set the modification time; a sync after it keeps it."""
        os.utime(fd, (seconds, seconds))

    def lock(self, fd: int) -> bool:
        """Lock for as long as this descriptor or a forked copy of it is open; False if another has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    # -- looks -------------------------------------------------------------------------------------------------

    def open(self, path: str) -> int:
        """Open for reading; neither follows a link nor waits for a fifo's writer."""
        return os.open(path, READ)

    def open_dir(self, path: str) -> int:
        """Open a directory, to lock it."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def open_slot(self, path: str) -> int:
        """Open an existing file for locking and overwriting."""
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)

    def stat(self, path: str) -> os.stat_result:
        """Describe what has this name, a link itself included."""
        return os.stat(path, follow_symlinks=False)

    def list(self, path: str) -> list[str]:
        """Names in a directory, in no order that means anything; dot names are left out."""
        return [name for name in os.listdir(path) if not name.startswith(".")]

    def each(self, path: str) -> Iterator[str]:
        """The same of a large directory, one after the other."""
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry.name

    def read(self, path: str, limit: int = -1, start: int = 0) -> bytes:
        """The content of a regular file from `start` on, or so many bytes of it."""
        fd = self.open(path)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            if start:
                os.lseek(fd, start, os.SEEK_SET)
            # In one piece, which is not copied again.
            return b"".join(self.chunks(fd, limit, max(COPY_CHUNK, status.st_size)))
        finally:
            os.close(fd)

    def chunks(self, fd: int, limit: int = -1, piece: int = COPY_CHUNK) -> Iterator[bytes]:
        """What is left to read of `fd`, piece by piece."""
        left = limit
        while left:
            chunk = os.read(fd, piece if left < 0 else min(left, piece))
            if not chunk:
                return
            left -= len(chunk) if left > 0 else 0
            yield chunk

    def exists(self, path: str) -> bool:
        """Whether anything has this name; an error that hides the answer is raised."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    # -- made of the above -------------------------------------------------------------------------------------

    def sync_moves(self, *directories: str) -> None:
        """Return when what was renamed or removed in these directories, synced in this order, is so on the disk."""
        if not self.commit(directories[0]):
            for path in directories:
                self.sync_dir(path)

    def ensure_dir(self, path: str, mode: int = 0o700) -> bool:
        """Make a directory unless it is there, its parent's entry synced either way; True if it is new.

        The parent is synced also when another process made the directory: that one may not have come to it yet.
        """
        try:
            self.mkdir(path, mode)
            made = True
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(path).st_mode):
                raise
            made = False
        self.sync_dir(os.path.dirname(path) or ".")
        return made

    def ensure_dirs(self, path: str, mode: int = 0o700) -> None:
        """Make a directory and the parents that are missing, each one's entry synced."""
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent):
            self.ensure_dirs(parent, 0o755)
        self.ensure_dir(path, mode)

    def publish(self, path: str, data: bytes, *, durable: bool = True, mtime: float | None = None) -> None:
        """Replace a small file's content atomically: a reader sees the old or the new, whole."""
        temporary = f"{path}.{os.getpid()}.tmp"
        self.discard(temporary)
        with self.creating(temporary) as fd:
            self.write(fd, data)
            if mtime is not None:
                self.set_mtime(fd, mtime)
            if durable:
                self.sync(fd)
        try:
            self.rename(temporary, path)
        except BaseException:
            self.drop(temporary)
            raise
        if durable:
            self.sync_dir(os.path.dirname(path))

    def copy(self, source: int, target: str, mode: int) -> None:
        """Copy what is left to read of `source` into a new file; whole and synced, or not there."""
        with self.creating(target) as fd:
            for chunk in self.chunks(source):
                self.write(fd, chunk)
            self.chmod(fd, mode)
            self.sync(fd)

    def creating(self, path: str, mode: int = 0o600) -> Creating:
        """A new file's descriptor; nothing is left of the file if the block, or the close after it, fails."""
        return Creating(self, path, mode)

    def drop(self, path: str) -> None:
        """Remove what another error made worthless; that error is the one to tell."""
        with suppress(OSError):
            self.unlink(path)

    def discard(self, path: str) -> bool:
        """Remove a name that may be gone already; False if it was."""
        try:
            self.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, path: str) -> None:
        """Remove a directory of our own making with all that is in it; one that is gone is no error."""
        try:
            if not stat.S_ISDIR(self.stat(path).st_mode):
                raise of_path(errno.ENOTDIR, path)
            entries = list(os.scandir(path))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                self.remove_tree(entry.path)
            else:
                self.discard(entry.path)
        try:
            self.rmdir(path)
        except FileNotFoundError:
            return


FS = Fs()
