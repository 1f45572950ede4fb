"""Stop: the signals that end a watch, and its only way to wait."""

from __future__ import annotations

import select
import signal
import socket
from math import ceil
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LONGEST = 3600.0
"""Seconds of one wait: poll(2) takes no endless numbers."""


class Stop:
    """Notes the first signal while the block lasts, so that the batch at hand is finished; the second ends at once.

    Any moment will do to end at: what was begun is finished at the next start. It only would lie there until then.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came."""
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._former_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in ENDING:
            self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        signal.set_wakeup_fd(self._former_fd)
        self._read.close()
        self._write.close()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number

    @property
    def is_set(self) -> bool:
        """Whether to end."""
        return self.number is not None

    def wait(self, seconds: float, fd: int | None = None) -> bool:
        """Wait until a signal comes, `fd` is readable or the time is over; whether `fd` is readable."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if fd is not None:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(ceil(min(max(seconds, 0.0), LONGEST) * 1000))
        return any(which == fd for which, _ in ready)
