"""Bare loops with so many files waiting; our side is `queue.backlog`."""

from __future__ import annotations

from benchmark import bare, bare_runs
from benchmark.scenario import Measured
from benchmark.stopwatch import Clockwork

BATCH = 1000


def bare_backlog(waiting_jobs: int, home: str, count: int) -> Measured:
    """The first of so many files; their names are known."""
    bare.prepare(home)
    bare.submit(home, waiting_jobs)
    handler = Clockwork()
    bare_runs.consume(home, [bare.name(number) for number in range(count)], handler)
    return Measured(handler.seconds)


def bare_batches(waiting_jobs: int, home: str, count: int) -> Measured:
    """The same, with a directory for each thousand."""
    bare.batches_volatile(home, waiting_jobs, BATCH)
    handler = Clockwork()
    for start in range(0, count, BATCH):
        names = [bare.name(number) for number in range(start, min(start + BATCH, count))]
        bare_runs.consume(home, names, handler, f"{home}/new/{start}")
    return Measured(handler.seconds)
