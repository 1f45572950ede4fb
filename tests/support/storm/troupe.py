"""The storm's processes: forked, hit, reaped, ended.

What loses its parent (a worker whose supervisor was killed, the helper of a worker) falls to the storm's own process,
which is the "subreaper" of all that descends from it, so nothing can get away.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from support.processes import PR_SET_CHILD_SUBREAPER, end_descendants
from workqueue.engine import sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class Process:
    """A process that is to be hit, and no other that got its number later."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False if the process is gone."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pidfd)


class Troupe:
    """Who is there."""

    def __init__(self) -> None:
        self.supervisors: dict[int, int] = {}
        """Each process, and which of its kind it is."""
        self.producers: dict[int, int] = {}
        self.operators: dict[int, int] = {}
        self.groups = (self.supervisors, self.producers, self.operators)
        self.crashed: list[str] = []
        subreaper(on=True)

    def start(self, group: dict[int, int], index: int, work: Callable[[], Any]) -> int:
        """Fork one of a kind."""
        pid = os.fork()
        if pid == 0:
            run(work)
        group[pid] = index
        return pid

    def missing(self, group: dict[int, int], count: int) -> list[int]:
        """Which of a kind are not there."""
        return sorted(set(range(count)) - set(group.values()))

    def reap(self) -> None:
        """Bury the dead; one of ours that ended by itself must have ended well."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                ours = [group.pop(pid, None) for group in self.groups]
                if ours != [None] * len(ours) and os.WIFEXITED(status) and os.WEXITSTATUS(status):
                    self.crashed.append(f"process {pid} ended with exit status {os.WEXITSTATUS(status)}")

    def end(self) -> None:
        """Leave no process behind."""
        end_descendants()
        for group in self.groups:
            group.clear()
        subreaper(on=False)


def subreaper(*, on: bool) -> None:
    """Let orphans among this process's descendants fall to it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def run(work: Callable[[], Any]) -> None:
    """Do the work of a forked child, and end."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        logging.getLogger().addHandler(logging.NullHandler())  # fsq tells, watchdog too; nobody is to listen
        work()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def children(pid: int) -> list[int]:
    """The processes that a process forked."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(text) for text in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by SIGSTOP."""
    found = sessions.process(pid)
    return found is not None and found.state == "T"


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or only waits to be buried."""
    found = sessions.process(pid)
    return found is None or found.state in "ZX"
