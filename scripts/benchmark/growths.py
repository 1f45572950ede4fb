"""The series of growth: a job's cost against backlog, workers, the payload's size and the number of queues."""

from __future__ import annotations

from functools import partial

from benchmark import backlogs, bare_runs, payloads, queue, spread
from benchmark.growth import Growth, Step

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BACKLOGS = (100, 1000, 10_000, 100_000, 1_000_000)
WORKERS = (1, 2, 4, 8, 16, 32)
VALUES = (200, 4 * KIB, 64 * KIB, MIB, 16 * MIB)
FILES = (200, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 128 * MIB, GIB)
QUEUES = (1, 10, 100, 1000)
LONG = 100_000
"""A backlog that takes longer to make than to measure."""


def growths() -> list[Growth]:
    both = ("submit", "run")
    return [
        Growth("backlog", "jobs waiting", tuple(backlog(x, batched=False) for x in BACKLOGS)),
        Growth("backlog in batches", "jobs waiting", tuple(backlog(x, batched=True) for x in BACKLOGS)),
        Growth("workers", "workers", tuple(workers(x) for x in WORKERS)),
        Growth("payload by value", "payload", tuple(by_value(x) for x in VALUES), both),
        Growth("payload by file", "payload", tuple(by_file(x) for x in FILES), both),
        Growth("queues", "queues", tuple(queues(x) for x in QUEUES)),
        Growth("queues, nothing to do", "queues", tuple(idle(x) for x in QUEUES), unit="µs of CPU a second"),
    ]


def backlog(x: int, *, batched: bool) -> Step:
    beside = backlogs.bare_batches if batched else backlogs.bare_backlog
    rounds = (2 if x == LONG else 1) if x >= LONG else None
    return Step(x, min(x, 2000), partial(queue.backlog, x, batched=batched), partial(beside, x), rounds, x > LONG)


def workers(x: int) -> Step:
    return Step(x, 6000, partial(queue.drains, x), partial(bare_runs.drains, x))


def by_value(x: int) -> Step:
    return Step(x, within(x), partial(payloads.by_value, x), partial(payloads.bare_by_value, x))


def by_file(x: int) -> Step:
    return Step(x, within(x), partial(payloads.by_file, x), partial(payloads.bare_by_file, x))


def within(size: int) -> int:
    """As many jobs as have 128 MiB together, 1,000 at most."""
    return max(1, min(1000, 128 * MIB // size))


def queues(x: int) -> Step:
    return Step(x, 6000, partial(spread.queues, x), partial(spread.bare_queues, x))


def idle(x: int) -> Step:
    return Step(x, 5, partial(spread.idle_queues, x), rounds=1)
