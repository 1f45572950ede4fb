"""inotify for a watch folder: which names in it changed, as one descriptor in the watcher's selector.

watchdog's InotifyFD is used without its thread, as in run/wakeup.py. A file is told of when it was renamed in, was made
(linked, or just opened for writing) and when somebody who wrote to it closed it. An event is a hint; the listing is the
truth. Whatever is unusual (lost events, a directory that came, went or was moved) only means: list anew.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent, InotifyFD, WatchDescriptor


class Notifier:
    """Watches the directories that it is told of; made by `open`, and made anew after events were lost."""

    def __init__(self, folder: str, *, recursive: bool = False) -> None:
        """Raise OSError where the machine has no inotify instance left."""
        from watchdog.observers.inotify_c import InotifyFD

        self._folder = folder
        self._recursive = recursive
        self._watched: set[str] = set()
        self._names: set[str] = set()
        self.is_lost = False
        """Whether the folder must be listed anew, and watched by a new one of these."""
        self._inotify: InotifyFD = InotifyFD()
        os.set_inheritable(self.fileno(), False)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._inotify._inotify_fd  # noqa: SLF001 - pinned below watchdog 8, and tested

    def add(self, below: str) -> None:
        """Watch a directory, given by its path below the folder; one that is gone or closed is left to the listing.

        Raises OSError where the machine has no watch left.
        """
        from watchdog.observers.inotify_c import CallbackId, InotifyConstants, Mask

        if below in self._watched:
            return
        kinds = InotifyConstants
        mask = kinds.IN_CLOSE_WRITE | kinds.IN_MOVED_TO | kinds.IN_CREATE | kinds.IN_MOVE_SELF | kinds.IN_ONLYDIR
        path = f"{self._folder}/{below}" if below else self._folder
        listener = _Listener(self, below)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._inotify.add_callback(os.fsencode(path), Mask(mask), listener, CallbackId(id(listener)))
            self._watched.add(below)

    def read(self) -> set[str]:
        """The names that were told of since the last time, as paths below the folder; the descriptor is readable."""
        for event in self._inotify.read_events():
            self._inotify.handle_event(event)
        names, self._names = self._names, set()
        return names

    def close(self) -> None:
        """Close the descriptors; InotifyFD's own close leaves that to its thread, which was never started."""
        for fd in (self.fileno(), self._inotify._kill_r, self._inotify._kill_w):  # noqa: SLF001
            os.close(fd)

    def told(self, below: str, event: InotifyEvent) -> None:
        """Take an event in a directory."""
        name = os.fsdecode(event.name)
        if event.is_directory or not name:
            self.is_lost = self.is_lost or self._recursive or not name  # a directory came, or this one was moved
        else:
            self._names.add(f"{below}/{name}" if below else name)


class _Listener:
    """What watchdog calls for one directory."""

    def __init__(self, notifier: Notifier, below: str) -> None:
        self._notifier = notifier
        self._below = below

    def on_event(self, event: InotifyEvent) -> None:
        self._notifier.told(self._below, event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:  # noqa: ARG002
        self._notifier.is_lost = True

    def on_queue_overflow(self) -> None:
        self._notifier.is_lost = True
