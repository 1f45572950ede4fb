"""Slots: ``.fsq/workers/N``, one for each running worker. Whoever has the lock of N owns the claims ``@N``.

**Invariant**: the supervisor takes the lock and then forks the worker, which inherits it: the lock is held while
either lives. Getting it is therefore the kernel's proof that the former owners are dead, however they died; no clock
and no process id is asked. flock, because lockf is lost when any descriptor of the file is closed in the process.
A handler's own children must not inherit the lock: `Slot.keep_from_children` closes it in them, and exec does.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine.root import PAGE, make_slot
from workqueue.engine.sessions import Identity, identity
from workqueue.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root


class Slot:
    """A locked slot; closing it gives it free, once no forked copy is open any more."""

    def __init__(self, root: Root, number: int, fd: int) -> None:
        self.number = number
        self.fd = fd
        self._root = root

    def former(self) -> Identity | None:
        """Who had the slot before; None if nobody, or it was given back in order."""
        return read(self._root, self.number)

    def sign(self) -> None:
        """Write this process down as the owner. The page exists: this works on a full disk."""
        text = msgspec.json.encode(identity(self._root.clock.now_ms()))
        self._root.fs.overwrite(self.fd, text.ljust(PAGE - 1) + b"\n")

    def clear(self) -> None:
        """Write down that the slot was given back in order."""
        with contextlib.suppress(OSError):
            self._root.fs.overwrite(self.fd, b" " * (PAGE - 1) + b"\n")

    def keep_from_children(self) -> None:
        """Close the lock in whatever this process forks from now on: a daemon must not hold it for ever."""
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        """Give the lock back."""
        with contextlib.suppress(OSError):
            os.close(self.fd)


def acquire(root: Root) -> Slot | None:
    """Lock the first free slot; None if all are in use."""
    return next(free(root), None)


def free(root: Root) -> Iterator[Slot]:
    """Lock one free slot after the other; whoever does not want one closes it."""
    for number in sorted(numbers(root)):
        slot = try_lock(root, number)
        if slot is not None:
            yield slot


def try_lock(root: Root, number: int) -> Slot | None:
    """Lock a slot; None if its owner lives. One that a restored root has lost is made anew: nobody can own it."""
    path = root.dot("workers", str(number))
    try:
        fd = root.fs.open_slot(path)
    except FileNotFoundError:
        make_slot(path, root.fs)
        fd = root.fs.open_slot(path)
    try:
        with told("lock a worker's slot", path):
            if root.fs.lock(fd):
                return Slot(root, number, fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def numbers(root: Root) -> list[int]:
    """The slots there are."""
    return [int(name) for name in root.fs.list(root.dot("workers")) if name.isdigit()]


def read(root: Root, number: int) -> Identity | None:
    """Who wrote itself into a slot."""
    try:
        text = root.fs.read(root.dot("workers", str(number))).strip()
        return msgspec.json.decode(text, type=Identity) if text else None
    except (OSError, msgspec.MsgspecError):
        return None
