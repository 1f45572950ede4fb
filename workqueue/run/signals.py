"""The supervisor's signals, as one descriptor in its selector."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT)
INTERRUPTING = (signal.SIGTERM, signal.SIGALRM)
"""What a worker's handler is interrupted by."""


class Signals:
    """Collects signals while the block lasts; the former handlers come back at its end."""

    def __init__(self) -> None:
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        try:
            self._former_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        except ValueError:
            self._close()
            raise BadSetting("Worker.run() must be called from the main thread: it handles signals") from None
        for number in HANDLED:
            self._former[number] = signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        signal.set_wakeup_fd(self._former_fd)
        self._close()

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._read.fileno()

    def read(self) -> Iterable[signal.Signals]:
        """The signals that came, in order."""
        try:
            return [signal.Signals(number) for number in self._read.recv(4096)]
        except BlockingIOError:
            return []

    def forget(self) -> None:
        """Close the descriptors in a forked child; first of all no signal may be written to them any more."""
        signal.set_wakeup_fd(-1)
        self._close()

    def _close(self) -> None:
        self._read.close()
        self._write.close()


@contextmanager
def held() -> Iterator[None]:
    """Hold the signals back around a fork.

    A Ctrl-C reaches the whole process group, a child that has not yet left it included; and until that child has
    closed the supervisor's descriptor, it would write the signal there a second time: a stop would end all at once.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


@contextmanager
def postponed() -> Iterator[None]:
    """Let what could interrupt a run wait until the block has ended; not by a mask, which a program inherits."""
    came: list[int] = []
    with blocked():
        former = [(number, signal.signal(number, lambda which, _: came.append(which))) for number in INTERRUPTING]
    try:
        yield
    finally:
        with blocked():  # ends with what they raise: by then every one of them has its own handler again
            for number, handler in former:
                signal.signal(number, handler)
            for which in came:
                signal.raise_signal(which)


@contextmanager
def blocked() -> Iterator[None]:
    """Keep what could interrupt a run from doing so in the middle of a few lines."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING)  # raises what a signal just before it raises
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTING)


def forget_held() -> None:
    """Take up, in a forked child that has a session of its own, the signals meant for it alone."""
    for number in HANDLED[1:]:
        signal.signal(number, signal.SIG_IGN)  # drops what was held back: it was meant for the supervisor
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def signal_name(number: int) -> str:
    """A signal's name; the real-time ones have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def stop_self() -> None:
    """Give the terminal back to the shell, until SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
