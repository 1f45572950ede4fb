"""When a file is complete. Nothing marks the end of a file, so it is a matter of what the sender does:

    rename      it writes under another name (.a.csv, a.csv.part) and renames: whatever has a final name is complete
    done-file   it makes a second file when the first is whole
    close       complete when nobody has it open for writing
    stable      … and its size, times and inode have not changed for so long, measured by a clock that is never set
    age         … and its last change is so long ago by the wall clock; or it has been seen unchanged for as long

Whether somebody has it open for writing only the kernel knows: it grants a read lease exactly if nobody has. It tells
the file's owner and root, on local file systems; elsewhere `close` falls back to `stable`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from errno import EAGAIN
from typing import TYPE_CHECKING, NamedTuple

from workqueue.pipeline.watch.rules import STABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from workqueue.clock import Clock
    from workqueue.pipeline.watch.rules import Ready
    from workqueue.pipeline.watch.scan import Folder, Found, Sign
    from workqueue.store.fs import Fs

READY = 0.0
NEVER = float("inf")
"""Nothing is to be waited for but an event, or the next listing."""
AGAIN = 1.0
"""Seconds until a file that is open for writing is looked at again, where the rule names no time."""


class Seen(NamedTuple):
    """A file that is not complete yet: how it looked, and since when."""

    sign: Sign
    since: float


def is_being_written(fd: int) -> bool | None:
    """Whether any process has the file open for writing; None where the kernel does not tell us.

    While the lease is held, for microseconds, whoever opens the file for writing waits. The signal that tells of it
    would be SIGIO, which kills; SIGURG is ignored.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == EAGAIN else None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


class Readiness:
    """Remembers how files looked, and judges them by one rule."""

    def __init__(
        self,
        rule: Ready,
        folder: Folder,
        fs: Fs,
        clock: Clock,
        is_being_written: Callable[[int], bool | None] = is_being_written,
    ) -> None:
        self._rule = rule
        self._folder = folder
        self._fs = fs
        self._clock = clock
        self._is_being_written = is_being_written
        self.waiting: dict[str, Seen] = {}
        self._expected: dict[str, set[str]] = {}

    def judge(self, found: Found) -> float:
        """READY, or when to look again by the monotonic clock. Raises OSError where it cannot be opened."""
        now = self._clock.monotonic()
        seen = self.waiting.get(found.path)
        if seen is None or seen.sign != found.sign:
            seen = self.waiting[found.path] = Seen(found.sign, now)
        due = self._due(found, seen, now)
        if due == READY:
            self.waiting.pop(found.path)
        return due

    def _due(self, found: Found, seen: Seen, now: float) -> float:
        rule = self._rule
        match rule.kind:
            case "rename":
                return READY
            case "done-file":
                if self._has_marker(found.path):
                    return READY
                self._expected.setdefault(self.marker_of(found.path), set()).add(found.path)
                return NEVER
            case "close":
                due = {True: now + AGAIN, False: READY, None: seen.since + STABLE}[self._written(found.path)]
                return READY if due <= now else due
        due = seen.since + rule.wait
        if rule.kind == "age":
            changed = max(found.sign.mtime_ns, found.sign.ctime_ns) / 1e9
            by_wall_clock = now + changed + rule.wait - self._clock.now()
            due = min(due, max(by_wall_clock, seen.since + AGAIN))
        if due > now:
            return due
        return now + max(rule.wait, AGAIN) if self._written(found.path) else READY

    def _written(self, path: str) -> bool | None:
        fd = self._fs.open(self._folder.full(path))
        try:
            return self._is_being_written(fd)
        finally:
            os.close(fd)

    def _has_marker(self, path: str) -> bool:
        try:
            return stat.S_ISREG(self._fs.stat(self._folder.full(self.marker_of(path))).st_mode)
        except FileNotFoundError:
            return False

    def marker_of(self, path: str) -> str:
        """The done-file of a file, by its path below the folder."""
        below, name = os.path.split(path)
        return os.path.join(below, self._rule.marker_of(name))

    def expecting(self, marker: str) -> set[str]:
        """The files that wait for this done-file."""
        return self._expected.pop(marker, set())

    @property
    def patience(self) -> float:
        """How long one look must wait for the next, to know of a file that does not change."""
        match self._rule.kind:
            case "stable":
                return self._rule.wait
            case "age":
                return min(self._rule.wait, AGAIN)
            case "close":
                return STABLE
        return 0.0

    def keep(self, there: Container[str]) -> None:
        """Forget all files but those that are there."""
        for path in [path for path in self.waiting if path not in there]:
            del self.waiting[path]
        self._expected = {marker: paths for marker, paths in self._expected.items() if paths & self.waiting.keys()}
