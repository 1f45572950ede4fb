"""A soak: jobs that do nothing, by the million, and whether anything grows.

The jobs come in rounds. After each, when nothing waits or runs, everything is counted: what must be the same ever again
(descriptors, threads, files, directories) exactly, memory as far as an allocator's noise allows.
Producers, supervisor and workers live through all rounds.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import workqueue.run.supervisor  # noqa: F401 - loaded once, not in every fork
from support.storm.troupe import Troupe, children
from workqueue import Producer, Worker
from workqueue.engine.root import init

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from workqueue import Job

QUEUES = ("default", "other")
WORKERS = 2
PATIENCE = 60.0
"""Seconds that one round may take."""
WAITING = ("new", "later", "cur")
KIB = 1024


@dataclass(frozen=True)
class SoakPlan:
    """How much, and in how many rounds; each ends with a sample."""

    jobs: int = 1_000_000
    rounds: int = 100
    idle: float = 10.0
    """Seconds at the end in which there is nothing to do, to see what that costs."""


class Sample(NamedTuple):
    """What there is when nothing waits or runs. Memory is in KiB."""

    jobs: int
    seconds: float
    descriptors: int
    """Of supervisor and workers, as the next three."""
    threads: int
    pss: int
    supervisor_rss: int
    worker_rss: int
    """Of the largest worker."""
    producer_rss: int
    files: int
    """Below the root."""
    directories: int
    listing_bytes: int
    """Sizes of the directories themselves: one that was ever full may stay large."""


ALLOWED = {
    "descriptors": 0,
    "threads": 0,
    "pss": 2048 * (WORKERS + 1),
    "supervisor_rss": 2048,
    "worker_rss": 2048,
    "producer_rss": 2048,
    "files": 0,
    "directories": 0,
    "listing_bytes": 16 * KIB,
}
"""By how much the last quarter's median may be over the second quarter's.

2 MiB: in a million jobs half a million lie between the two, so it is 4 bytes a job; no object of Python is that small.
16 KiB: four blocks of a directory; one name forgotten in a thousand jobs would take thirty.
"""
MOST_IDLE = 1.0
"""Per cent of one processor."""


class Soak:
    """One run of a plan, in a directory of its own."""

    def __init__(self, directory: str, plan: SoakPlan, tell: Callable[[str], object] = lambda _: None) -> None:
        self._root = f"{directory}/root"
        self._plan = plan
        self._tell = tell
        self._producers: list[Rounds] = []
        self.samples: list[Sample] = []
        self.idle = 0.0
        """Per cent of one processor that supervisor and workers took while there was nothing to do."""

    def run(self) -> list[str]:
        """Soak; returns what grew."""
        init(self._root, QUEUES)
        self._troupe = Troupe()
        try:
            self._supervisor = self._troupe.start(self._troupe.supervisors, 0, partial(supervise, self._root))
            share = self._plan.jobs // self._plan.rounds // 2
            for index, submit in enumerate((singly, in_batches)):
                producer = Rounds(partial(submit, self._root, share))
                producer.start(self._troupe, index)
                self._producers.append(producer)
            self._tell("  ".join(f"{name:>14}" for name in Sample._fields))
            self._soak()
            self.idle = self._idle()
        finally:
            for producer in self._producers:
                producer.close()
            self._troupe.end()
        return grown(self.samples, self.idle)

    def _soak(self) -> None:
        started = time.monotonic()
        for number in range(1, self._plan.rounds + 1):
            for producer in self._producers:
                producer.begin()
            for producer in self._producers:
                producer.wait()
            self._wait_until_done()
            jobs = number * (self._plan.jobs // self._plan.rounds)
            sample = self._sample(jobs, time.monotonic() - started)
            self.samples.append(sample)
            self._tell("  ".join(f"{round(value):>14}" for value in sample))

    def _wait_until_done(self) -> None:
        end = time.monotonic() + PATIENCE
        while any(os.listdir(f"{self._root}/{queue}/{space}") for queue in QUEUES for space in WAITING):
            assert time.monotonic() < end, "a round does not end"
            time.sleep(0.02)

    def _idle(self) -> float:
        """What it costs to have nothing to do."""
        before = sum(processor_ns(pid) for pid in self._crew())
        time.sleep(self._plan.idle)
        return (sum(processor_ns(pid) for pid in self._crew()) - before) / self._plan.idle / 1e7

    def _crew(self) -> list[int]:
        return [self._supervisor, *children(self._supervisor)]

    def _sample(self, jobs: int, seconds: float) -> Sample:
        crew = self._crew()
        memory = [memory_of(pid) for pid in crew]
        listings = [path for path, _, _ in os.walk(self._root)]
        return Sample(
            jobs,
            seconds,
            sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in crew),
            sum(len(os.listdir(f"/proc/{pid}/task")) for pid in crew),
            sum(pss for _, pss in memory),
            memory[0][0],
            max(rss for rss, _ in memory[1:]),
            max(memory_of(pid)[0] for pid in self._troupe.producers),
            sum(len(files) for _, _, files in os.walk(self._root)),
            len(listings),
            sum(os.stat(path).st_size for path in listings),
        )


class Rounds:
    """A producer's process: it does a round each time that it is told to."""

    def __init__(self, submit: Callable[[], Iterator[None]]) -> None:
        self._submit = submit
        self._orders, self._answers = os.pipe(), os.pipe()

    def start(self, troupe: Troupe, index: int) -> None:
        """Fork it."""
        troupe.start(troupe.producers, index, self._serve)
        os.close(self._orders[0])
        os.close(self._answers[1])

    def _serve(self) -> None:
        os.close(self._orders[1])
        rounds = self._submit()
        while os.read(self._orders[0], 1):
            next(rounds)
            os.write(self._answers[1], b".")

    def begin(self) -> None:
        """Tell it to do a round."""
        os.write(self._orders[1], b".")

    def wait(self) -> None:
        """Wait until it has submitted all of the round."""
        assert os.read(self._answers[0], 1), "a producer ended by itself"

    def close(self) -> None:
        """Give the pipes back."""
        os.close(self._orders[1])
        os.close(self._answers[0])


def supervise(root: str) -> None:
    """The supervisor's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(root, handler=do_nothing, queues=QUEUES, processes=WORKERS).run()


def do_nothing(_: Job) -> None:
    """The handler."""


def singly(root: str, share: int) -> Iterator[None]:
    """Submit one by one: most volatile, some durable, some delayed, some with a key."""
    producer, numbers = Producer(root), count()
    while True:
        for number in islice(numbers, share):
            match number % 100:
                case 0:
                    producer.submit(number)
                case 1:
                    producer.submit(number, delay=0.1, durable=False)
                case 2:
                    producer.submit(number, key=str(number), durable=False)
                case _:
                    producer.submit(number, durable=False)
        yield


def in_batches(root: str, share: int) -> Iterator[None]:
    """Submit by submit_many: one round in ten durable."""
    producer, numbers = Producer(root), count()
    for number in count():
        producer.submit_many(islice(numbers, share), queue="other", durable=number % 10 == 0)
        yield


# -- looks ---------------------------------------------------------------------------------------------------------


def memory_of(pid: int) -> tuple[int, int]:
    """RSS and PSS of a process, in KiB; PSS counts what n processes share as one n-th for each."""
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        return field(file, b"Rss:"), field(file, b"Pss:")


def field(file: BinaryIO, name: bytes) -> int:
    """The number in the next line of this name."""
    return next(int(line.split()[1]) for line in file if line.startswith(name))


def processor_ns(pid: int) -> int:
    """Nanoseconds for which a process has had a processor."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def grown(samples: list[Sample], idle: float = 0.0) -> list[str]:
    """What the last quarter has more of than the second one, by more than is allowed; and idleness that is none."""
    quarter = len(samples) // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for name, allowed in ALLOWED.items():
        early = statistics.median_high(getattr(sample, name) for sample in before)
        late = statistics.median_high(getattr(sample, name) for sample in after)
        if late > early + allowed:
            found.append(f"{name} grew from {early} to {late}; {allowed} more are allowed")
    if idle > MOST_IDLE:
        found.append(f"{idle:.2f} % of a processor with nothing to do; {MOST_IDLE} % is allowed")
    return found


def compared(samples: list[Sample], idle: float) -> list[str]:
    """The medians of the second and of the last quarter, a line each."""
    quarter = len(samples) // 4
    lines = [f"{'':16}{'2nd quarter':>14}{'last quarter':>14}{'allowed':>10}"]
    for name, allowed in ALLOWED.items():
        medians = [
            statistics.median_high(getattr(sample, name) for sample in part)
            for part in (samples[quarter : 2 * quarter], samples[-quarter:])
        ]
        lines.append(f"{name:16}{medians[0]:>14}{medians[1]:>14}{f'+{allowed}':>10}")
    last = samples[-1]
    return [*lines, f"{last.jobs} jobs in {last.seconds:.0f} s; idle: {idle:.2f} % of a processor"]
