"""Disks for tests: the real one, with somebody who watches, stops, breaks or interrupts each operation.

Syncs are called, heard of and counted, but not waited for: no test here pulls the plug.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from support.disks import UnsyncedFs
from workqueue.errors import of_path

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES = frozenset({
    "create", "write", "chmod", "set_owner", "start_write_out", "sync", "close", "rename", "rename_new", "link",
    "unlink", "mkdir", "rmdir", "sync_dir", "append", "open_append", "overwrite", "set_mtime",
    "lock",
})  # fmt: skip
TRACELESS = frozenset({"start_write_out", "sync", "sync_dir", "close", "lock"})
"""Changes after which a kill leaves the same as before them: what is not synced is lost to a power cut alone."""
LOOKS = frozenset({"open", "open_dir", "open_slot", "stat", "list", "each"})
OPENS = frozenset({"create", "sync_dir", "append", "open_append", "open", "open_dir", "open_slot", "list", "each"})
"""What needs a descriptor."""
HINTS = frozenset({"start_write_out"})
PEEKS = frozenset({"stat", "list", "each"})
NO_ROOM = CHANGES - HINTS - {"lock"}
"""A file system that copies on write needs room even to remove something."""
FAILS: dict[int, frozenset[str]] = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EIO: (CHANGES | LOOKS) - HINTS - {"lock"},
    errno.EROFS: (CHANGES | {"open_slot"}) - HINTS - {"lock", "close"},
    errno.EMFILE: OPENS,
    errno.ENFILE: OPENS,
    errno.EACCES: (CHANGES | LOOKS) - PEEKS - HINTS - {"write", "sync", "close", "overwrite", "lock"},
    errno.ESTALE: (CHANGES | LOOKS) - PEEKS - HINTS,
    errno.ENOLCK: frozenset({"lock"}),
}
"""Which operations can fail with what. That a mere look fails is tried with EIO alone: the others would do the same."""


class Crash(BaseException):
    """The process is dead: no handler of the code under test may go on."""


class WatchedFs(UnsyncedFs):
    """The real disk; `before` hears of each operation first. Methods made of others are heard as those."""

    verbs = CHANGES

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        """Hear of an operation; may raise."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in super().__getattribute__("verbs"):
            return partial(self._do, name, found)
        return found

    def _do(self, verb: str, method: Callable[..., Any], *args: Any) -> Any:
        try:
            self.before(verb, args)
        except BaseException:
            if verb == "close":
                os.close(args[0])  # the kernel gives the descriptor free whatever close(2) reports
            raise
        return method(*args)


class RecordingFs(WatchedFs):
    """Writes down what is done, as (verb, last directory of each path)."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        self.done.append((verb, *(arg for arg in args if isinstance(arg, str))))

    @property
    def story(self) -> list[str]:
        """The operations, each with the spaces it touched: ``rename tmp new``."""
        return [" ".join((verb, *map(space_of, paths))) for verb, *paths in self.done]


class FullRecordingFs(RecordingFs):
    """Writes down the looks, too."""

    verbs = CHANGES | LOOKS


def space_of(path: str) -> str:
    """The directory that a path's file lies in; the directory itself where it is a space."""
    name = os.path.basename(path)
    if name in {"tmp", "new", "later", "cur", "held", "done", "failed", "corrupt", "jobs", "cancel"}:
        return name
    return os.path.basename(os.path.dirname(path))


class CountingFs(WatchedFs):
    """Counts operations from the moment it is armed; `at` is called before the n-th."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.count = 0
        self.armed = False
        self._lock = threading.Lock()  # a batch is synced by several threads

    @property
    def reached(self) -> bool:
        """Whether the n-th operation was come to."""
        return self.count >= self.n

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        if self.armed:
            with self._lock:
                self.count += 1
                count = self.count
            self.at(count, verb, args)

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        """Hear of the `count`-th operation."""


class CrashingFs(CountingFs):
    """Dies before its n-th change, and stays dead."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self._open: set[int] = set()

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        if verb == "close":
            self._open.discard(args[0])
        if count >= self.n:
            raise Crash

    def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
        fd = super().create(path, mode, access)
        self._open.add(fd)
        return fd

    def open_append(self, path: str) -> int:
        fd = super().open_append(path)
        self._open.add(fd)
        return fd

    def bury(self) -> None:
        """Close what the dead process had open for writing, as the kernel does."""
        for fd in self._open:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._open.clear()


class CuttingFs(CrashingFs):
    """Dies before its n-th change that a kill leaves a trace of: to die before a sync is to die before what follows."""

    verbs = CHANGES - TRACELESS

    def close(self, fd: int) -> None:
        super().close(fd)
        self._open.discard(fd)


class FailingFs(CountingFs):
    """Fails its n-th operation of those that can fail with `code`; with `for_good`, every later one, too."""

    def __init__(self, n: int, code: int, *, for_good: bool = False, only: frozenset[str] | None = None) -> None:
        super().__init__(n)
        self.code = code
        self.for_good = for_good
        self.verbs = FAILS[code] if only is None else only

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        if count == self.n or (self.for_good and count > self.n):
            path = next((arg for arg in args if isinstance(arg, str)), None)
            raise of_path(self.code, path) if path else OSError(self.code, os.strerror(self.code))


class LiarFs(CountingFs):
    """Does its n-th rename, link or removal, and reports failure: its answer got lost on the way."""

    verbs = frozenset({"rename", "rename_new", "link", "unlink"})

    def __init__(self, n: int, code: int) -> None:
        super().__init__(n)
        self.code = code

    def _do(self, verb: str, method: Callable[..., Any], *args: Any) -> Any:
        result = super()._do(verb, method, *args)
        if self.armed and self.count == self.n:
            raise of_path(self.code, args[0])
        return result


class UnsureFs(CountingFs):
    """Fails its n-th sync, as the kernel does: once, and says yes when it is asked again."""

    verbs = frozenset({"create", "open", "close", "sync", "sync_dir"})

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.syncs: list[tuple[object, ...]] = []
        """What was synced so far: a directory by its path, a descriptor by its number and which of its uses it was."""
        self._uses: dict[int, int] = {}

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        if verb in {"sync", "sync_dir"}:
            super().before(verb, args)

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        self.syncs.append((args[0], self._uses.get(args[0])))
        if count == self.n:
            raise of_path(errno.EIO, args[0]) if verb == "sync_dir" else OSError(errno.EIO, os.strerror(errno.EIO))

    def _do(self, verb: str, method: Callable[..., Any], *args: Any) -> Any:
        result = super()._do(verb, method, *args)
        if verb in {"create", "open"}:
            self._uses[result] = self._uses.get(result, 0) + 1
        return result


class InterruptedFs(CountingFs):
    """Lets somebody else act, once, before its n-th operation, looks included."""

    verbs = CHANGES | LOOKS

    def __init__(self, n: int, act: Callable[[], object]) -> None:
        super().__init__(n)
        self._act = act

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        if count == self.n:
            self._act()


class LyingFs(UnsyncedFs):
    """A network file system: the first rename happens, and is reported as failed."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.lies = 0

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        if not self.lies:
            self.lies += 1
            raise of_path(self.code, source)
