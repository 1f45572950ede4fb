"""From the return of a submit to the start of its handler; beside it, a bare process that waits for inotify."""

from __future__ import annotations

import ctypes
import mmap
import os
import statistics
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmark import bare
from benchmark.processes import end, fork
from benchmark.queue import PAYLOAD, producer_in, quiet, wait_for, work
from benchmark.scenario import Measured
from workqueue import Job, Producer, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MOVED_TO = 0x80
PAUSE = 0.01
"""Seconds between two submits."""
AT, SEEN = range(2)


class Noter:
    """A handler that says when it began, and how many runs there were."""

    def __init__(self) -> None:
        self.words = memoryview(mmap.mmap(-1, 16)).cast("q")

    def __call__(self, job: Job) -> None:
        if job.queue == "default":
            self.words[AT] = time.perf_counter_ns()
            self.words[SEEN] += 1


@contextmanager
def crowd(root: str, *, wanted: bool) -> Iterator[None]:
    """Somebody who submits to another queue all the time, so that workers claim."""
    if not wanted:
        yield
        return
    pid = fork(partial(press, root))
    try:
        yield
    finally:
        end([pid])


def press(root: str) -> None:
    producer = Producer(root)
    while True:
        producer.submit(PAYLOAD, queue="crowd", durable=False)
        time.sleep(0.002)


def wakeups(
    processes: int, home: str, count: int, *, durable: bool = True, busy: bool = False, idle_for: float = 0.3
) -> Measured:
    """One job at a time, while the workers are idle or others claim."""
    producer = producer_in(home)
    producer.submit(PAYLOAD, queue="crowd")
    handler = Noter()
    pid = fork(partial(serve, producer.root, handler, processes))
    try:
        producer.submit(PAYLOAD)
        wait_for(lambda: handler.words[SEEN] == 1)
        time.sleep(idle_for)
        with crowd(producer.root, wanted=busy):
            times = [one(producer, handler, number + 2, durable=durable) for number in range(count)]
    finally:
        end([pid])
    return Measured(statistics.median(times), {"p99_ms": sorted(times)[int(count * 0.99)] * 1000})


def serve(root: str, handler: Noter, processes: int) -> None:
    quiet()
    Worker(root, handler=handler, queues=["default", "crowd"], processes=processes).run()


def one(producer: Producer, handler: Noter, number: int, *, durable: bool) -> float:
    """Seconds from the return of a submit to the start of its handler; less than none counts as none."""
    producer.submit(PAYLOAD, durable=durable)
    returned = time.perf_counter_ns()
    wait_for(lambda: handler.words[SEEN] == number)
    time.sleep(PAUSE)
    return max(1, handler.words[AT] - returned) / 1e9


def bare_wakeups(home: str, count: int, *, durable: bool = True) -> Measured:
    """A process that blocks in inotify, claims what it is told, and opens it."""
    bare.prepare(home)
    handler = Noter()
    pid = fork(partial(watch, home, handler))
    try:
        wait_for(lambda: handler.words[SEEN] == 1)
        times = []
        for number in range(count):
            text = bare.name(number)
            bare.write(f"{home}/tmp/{text}", sync=durable)
            os.rename(f"{home}/tmp/{text}", f"{home}/new/{text}")
            if durable:
                bare.sync_dir(f"{home}/new")
            returned = time.perf_counter_ns()
            wait_for(lambda number=number: handler.words[SEEN] == number + 2)  # type: ignore[misc]
            times.append(max(1, handler.words[AT] - returned) / 1e9)
            time.sleep(PAUSE)
    finally:
        end([pid])
    return Measured(statistics.median(times))


def watch(home: str, handler: Noter) -> None:
    libc = ctypes.CDLL(None)
    fd = libc.inotify_init1(0)
    libc.inotify_add_watch(fd, f"{home}/new".encode(), IN_MOVED_TO)
    handler.words[SEEN] = 1
    while True:
        text = os.read(fd, 4096)[16:].split(b"\0", 1)[0].decode()
        os.rename(f"{home}/new/{text}", f"{home}/cur/{text}")
        os.close(os.open(f"{home}/cur/{text}", bare.READ))
        handler.words[AT] = time.perf_counter_ns()
        handler.words[SEEN] += 1


def idle(home: str, count: int) -> Measured:
    """CPU time that a supervisor with 8 workers and nothing to do takes in `count` seconds."""
    producer = producer_in(home)
    pid = fork(partial(work, producer.root, Noter(), 8, drain=False))
    try:
        time.sleep(2)
        before = cpu_seconds(pid)
        time.sleep(count)
        used = cpu_seconds(pid) - before
    finally:
        end([pid])
    return Measured(used, {"cpu_percent": 100 * used / count})


def asleep(_home: str, count: int) -> Measured:
    """The same of one process that does nothing at all."""
    pid = fork(partial(time.sleep, count + 60))
    try:
        time.sleep(2)
        before = cpu_seconds(pid)
        time.sleep(count)
        return Measured(max(cpu_seconds(pid) - before, 1e-6))
    finally:
        end([pid])


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children, as exactly as the scheduler knows it."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        pids = [pid, *map(int, file.read().split())]
    total = 0
    for process in pids:
        with open(f"/proc/{process}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9
