"""Work in several processes that begin at the same moment."""

from __future__ import annotations

import mmap
import os
import signal
import time
from typing import TYPE_CHECKING

from benchmark.scenario import IncompleteError, Measured

if TYPE_CHECKING:
    from collections.abc import Callable


def together(count: int, work: Callable[[int], object]) -> Measured:
    """Run `work` in so many processes; from the common start to the end of the last."""
    words = memoryview(mmap.mmap(-1, 8 * (count + 1))).cast("q")
    pids = [fork(lambda who=who: begin(words, who, work)) for who in range(count)]  # type: ignore[misc]
    try:
        time.sleep(0.05)  # all of them are at the line
        start = time.perf_counter()
        words[0] = 1
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        took = time.perf_counter() - start
        pids = []
        if any(statuses):
            raise IncompleteError(f"a process of {count} ended with status {max(statuses)}")
        return Measured(took)
    finally:
        end(pids)


def begin(words: memoryview[int], who: int, work: Callable[[int], object]) -> None:
    while not words[0]:
        time.sleep(0.0005)
    work(who)


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child; its status tells whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def end(pids: list[int]) -> None:
    """End children of ours: by a signal that lets a supervisor end its workers."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def resident(pid: int) -> float:
    """Megabytes that a process has in memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
