"""FileStore: a maildir-like store, by itself; what the queue's directories stand on.

A file is created in ``tmp``, moved to ``new`` when it is whole, and moved to ``cur`` by whoever takes it: the move is
atomic, so of any number of processes one wins and the others get FileNotFoundError. The semantics, and the
documentation that they are tested against, are those of gocept.filestore 1.0.

**Guarantee** beyond it: a name cannot leave the store, a move or copy never overwrites, and `prepare` is durable and
safe to call from many processes at once.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from workqueue.errors import BadInput, BadName, SpaceMissing, of_path, told
from workqueue.store.fs import FS, Fs
from workqueue.store.names import checked
from workqueue.store.newfile import open_new

if TYPE_CHECKING:
    from collections.abc import Iterator

MAILDIR = ("tmp", "new", "cur")
COPYING = ".copy-"
"""How the name of a copy begins while it is written, beside its place."""


class FileStore:
    """Files in the spaces of one directory.

    >>> store = FileStore("/var/spool/images")      # doctest: +SKIP
    >>> store.prepare()                             # doctest: +SKIP
    >>> with store.create("a.png", "wb") as f:      # doctest: +SKIP
    ...     f.write(data)
    >>> store.list("new")                           # doctest: +SKIP
    ['/var/spool/images/new/a.png']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        spaces: tuple[str, ...] = MAILDIR,
        *,
        mode: int = 0o700,
        fs: Fs = FS,
    ) -> None:
        self.path = os.fspath(path)
        self.spaces = tuple(checked(space, "space") for space in spaces)
        self.mode = mode
        self.fs = fs

    def prepare(self) -> None:
        """Make the directories that are missing; they survive a power cut when this returns."""
        with told("prepare the file store", self.path):
            self.fs.ensure_dirs(os.path.abspath(self.path), self.mode)
            for space in self.spaces:
                self.fs.ensure_dir(os.path.join(self.path, space), self.mode)

    def create(self, name: str, mode: str = "w") -> IO[Any]:
        """Open a new file in tmp/ for writing, text in UTF-8. A name in use is an error.

        The caller closes the file, then moves it. Or uses it in a ``with`` block: then it appears in new/, whole and
        durable, when the block ends well, and not at all otherwise.
        """
        if set(mode) - set("wxbt+") or not set(mode) & set("wx"):
            raise BadInput(f"mode {mode!r}: a new file is opened by 'w', 'x' or 'wb'")
        path = self._file(name, "tmp")
        with self._using("tmp"):
            return open_new(path, mode, self._opener, self._leave)

    def list(self, space: str) -> list[str]:
        """Full paths of the files in a space; copies that are still being written are left out."""
        directory = self._space(space)
        with self._using(space):
            names = os.listdir(directory)
        return [os.path.join(directory, name) for name in names if not name.startswith(COPYING)]

    def move(self, name: str, source: str, destination: str) -> None:
        """Move atomically; FileNotFoundError if another was faster, FileExistsError if the name is in use there."""
        from_path, to_path = self._pair(name, source, destination)
        with self._using(source, destination):
            self.fs.rename_new(from_path, to_path)

    def copy(self, name: str, source: str, destination: str) -> None:
        """Copy content and permission bits; the copy appears whole or not at all, and never over another file."""
        from_path, to_path = self._pair(name, source, destination)
        with self._using(source, destination):
            self._copy(from_path, to_path)

    def remove(self, name: str, space: str) -> None:
        """Remove a file; FileNotFoundError if it is gone."""
        path = self._file(name, space)
        with self._using(space):
            self.fs.unlink(path)

    # -- inside ------------------------------------------------------------------------------------------------

    def _leave(self, file: IO[Any], *, well: bool) -> None:
        """End the block of a new file: publish it, or leave nothing of it."""
        if not well or file.closed:
            self._abandon(file)
            if well:
                raise BadInput(f"{file.name}: closed inside its block, whose end closes it; nothing was published")
            return
        try:
            try:
                file.flush()
                self.fs.sync(file.fileno())
            finally:
                file.close()
            self.move(file.name, "tmp", "new")
        except BaseException:
            self._abandon(file)
            raise
        try:
            self.fs.sync_dir(self._space("new"))
        except OSError:
            with suppress(OSError):  # taken meanwhile by somebody, whose file it is now
                self.fs.unlink(self._pair(file.name, "tmp", "new")[1])
            raise

    def _abandon(self, file: IO[Any]) -> None:
        """Remove what another error made worthless; that error is the one to tell."""
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            self.fs.unlink(file.name)

    def _opener(self, path: str, flags: int) -> int:
        """Open as asked, but never over an existing file and never through a link."""
        return self.fs.create(path, 0o666, flags & os.O_ACCMODE)

    def _copy(self, from_path: str, to_path: str) -> None:
        source = self.fs.open(from_path)
        temporary = os.path.join(os.path.dirname(to_path), f"{COPYING}{os.urandom(8).hex()}")
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", from_path)
            if self.fs.exists(to_path):
                raise of_path(errno.EEXIST, to_path)
            self.fs.copy(source, temporary, stat.S_IMODE(status.st_mode))
            try:
                self.fs.link(temporary, to_path)
            finally:
                self.fs.unlink(temporary)
        finally:
            os.close(source)

    def _space(self, space: str) -> str:
        if space not in self.spaces:
            raise BadName(f"space {space!r}: this store has {', '.join(self.spaces)}")
        return os.path.join(self.path, space)

    def _file(self, name: str, space: str) -> str:
        """The file's path. A full path that `list` returned for this space is as good as its name."""
        directory = self._space(space)
        if str(name).startswith(f"{directory}/"):
            name = str(name)[len(directory) + 1 :]
        return os.path.join(directory, checked(name))

    def _pair(self, name: str, source: str, destination: str) -> tuple[str, str]:
        from_path = self._file(name, source)
        return from_path, self._file(os.path.basename(from_path), destination)

    @contextmanager
    def _using(self, *spaces: str) -> Iterator[None]:
        """Tell a missing space apart from a missing file."""
        try:
            yield
        except FileNotFoundError:
            for space in spaces:
                directory = self._space(space)
                if not os.path.isdir(directory):
                    raise SpaceMissing(
                        f"use space {space!r}, prepare() makes it", of_path(errno.ENOENT, directory)
                    ) from None
            raise
