"""Wake-up: watchdog's inotify, as one descriptor in the supervisor's selector.

watchdog's Observer would delay every event by half a second as soon as jobs are moved out of new/, because it waits to
pair moves; so its InotifyFD is used alone, without starting its thread (the supervisor forks, and has none).
One watch per supervisor, made in the process that uses it: one made before a fork is deaf in the child.

An event is a hint: a lost one costs at most the two seconds to the next listing.
"""

from __future__ import annotations

import errno
import os
import re
from selectors import EVENT_READ
from typing import TYPE_CHECKING, NamedTuple

from workqueue.engine.queue_dealer import RESCAN
from workqueue.errors import of_path
from workqueue.jobs.states import State
from workqueue.run.events import emit

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from watchdog.observers.inotify_c import InotifyEvent, InotifyFD, WatchDescriptor

    from workqueue.engine.dealer import Dealer
    from workqueue.engine.root import Root

BLIND = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "pvfs2", "virtiofs"}
"""File systems on which other machines change directories unseen; so may any that is fuse."""


ESCAPED = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes a space, a tab, a newline and a backslash."""
POLL_FIRST, POLL_LAST = 0.05, 1.0
"""Seconds between listings where there is no watch: when there is work, and when there has been none for long."""


class Seen(NamedTuple):
    """A name that appeared."""

    queue: str
    space: str
    name: str


class Watch:
    """Tells which names appeared in new/ and later/ of some queues, and in ``.fsq/cancel``."""

    def __init__(self, root: Root, queues: list[str]) -> None:
        """Raise OSError where the machine has no inotify instance or watch left."""
        from watchdog.observers.inotify_c import InotifyFD

        self.seen: list[Seen] = []
        self.is_lost = False
        """Whether events were lost, or a directory went away: list again."""
        self._inotify: InotifyFD = InotifyFD()
        os.set_inheritable(self.fileno(), False)
        try:
            for queue in queues:
                for space in (State.NEW, State.LATER):
                    self._add(root.space(queue, space), Seen(queue, space, ""))
            self._add(root.dot("cancel"), Seen("", "cancel", ""))
        except BaseException:
            self.close()
            raise

    def _add(self, path: str, where: Seen) -> None:
        from watchdog.observers.inotify_c import CallbackId, InotifyConstants, Mask

        mask = InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CREATE | InotifyConstants.IN_ONLYDIR
        listener = _Listener(self, path, where)
        wd = self._inotify.add_callback(os.fsencode(path), Mask(mask), listener, CallbackId(id(listener)))
        if wd < 0:
            raise of_path(errno.EACCES, path)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._inotify._inotify_fd  # noqa: SLF001 - pinned below watchdog 8, and tested

    def read(self) -> list[Seen]:
        """What appeared since the last time; blocks unless the descriptor is readable."""
        for event in self._inotify.read_events():
            self._inotify.handle_event(event)
        seen, self.seen = self.seen, []
        return seen

    def close(self) -> None:
        """Close the descriptors. InotifyFD's own close leaves that to its thread, which was never started."""
        for fd in (self.fileno(), self._inotify._kill_r, self._inotify._kill_w):  # noqa: SLF001
            os.close(fd)


class _Listener:
    """Turns watchdog's events of one directory into names."""

    def __init__(self, watch: Watch, path: str, where: Seen) -> None:
        self._watch = watch
        self._path = path
        self._where = where

    def on_event(self, event: InotifyEvent) -> None:
        name = os.fsdecode(event.name)
        if event.is_moved_to or self._is_whole(name):
            self._watch.seen.append(self._where._replace(name=name))

    def _is_whole(self, name: str) -> bool:
        """Whether a created name was linked; any other may still be written to, and is left to the next listing."""
        try:
            return not self._where.queue or os.stat(f"{self._path}/{name}", follow_symlinks=False).st_nlink > 1
        except FileNotFoundError:
            return False

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:  # noqa: ARG002
        self._watch.is_lost = True

    def on_queue_overflow(self) -> None:
        self._watch.is_lost = True


class Wakeups:
    """Feeds a dealer with what appears: from a watch in the supervisor's selector, or else by listing ever again."""

    def __init__(self, root: Root, dealer: Dealer, selector: BaseSelector, on_cancel: Callable[[], None]) -> None:
        self._root = root
        self._dealer = dealer
        self._selector = selector
        self._on_cancel = on_cancel
        self._watch: Watch | None = None
        self.interval = float("inf")
        """Seconds until something must be listed again because nobody will tell."""

    def open(self) -> None:
        """Watch the queues; where that is impossible say so once, and poll."""
        reason = why_blind(self._root.path)
        if reason is None:
            try:
                self._watch = Watch(self._root, list(self._dealer.queues))
            except (OSError, ImportError) as error:
                reason = str(error)
        if self._watch is not None:
            self._selector.register(self._watch, EVENT_READ, self._on_event)
            self._dealer.rescan, self.interval = RESCAN, float("inf")
        else:
            emit("polling", reason=reason, interval=POLL_LAST)
            self._dealer.rescan = self.interval = POLL_FIRST

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._selector.unregister(self._watch)
            self.forget()

    def forget(self) -> None:
        """Close the watch's descriptors; all that a forked child needs to do."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def refresh(self, *, busy: bool) -> None:
        """List what is to be listed; without a watch, ever more seldom while nothing comes."""
        self._dealer.refresh()
        if self._watch is None:
            wait = POLL_FIRST if busy or len(self._dealer) else min(self.interval * 1.3, POLL_LAST)
            self._dealer.rescan = self.interval = wait

    def _on_event(self) -> None:
        assert self._watch is not None
        for seen in self._watch.read():
            if seen.space == State.NEW:
                self._dealer.add(seen.queue, seen.name)
            elif seen.space == State.LATER:
                self._dealer.add_later(seen.queue, seen.name)
            else:
                self._on_cancel()
        if self._watch.is_lost:
            self.close()
            self._root.check_same()
            self._dealer.refresh(now=True)  # raises where a queue is gone: then there is nothing to watch
            self.open()
            self._dealer.refresh(now=True)


def why_blind(path: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Say why this file system cannot be watched; None for a local one."""
    path = os.path.realpath(path)
    best, kind = "", ""
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            point = ESCAPED.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            inside = point in {"/", path} or path.startswith(point + "/")
            if inside and len(point) >= len(best):
                best, kind = point, after.split(" ")[0]
    return f"{kind} does not tell of other machines' changes" if kind in BLIND or kind.startswith("fuse") else None
