"""Jobs spread over many queues, of which one supervisor serves all."""

from __future__ import annotations

import os
import time
from functools import partial

from benchmark import bare, bare_runs
from benchmark.latency import cpu_seconds
from benchmark.processes import end, fork, together
from benchmark.queue import PAYLOAD, producer_in, wait_for, work
from benchmark.scenario import IncompleteError, Measured
from benchmark.stopwatch import Clockwork
from workqueue import Producer
from workqueue.jobs.states import SPACES

WORKERS = 2


def queues(number: int, home: str, count: int) -> Measured:
    """The jobs spread over so many queues, of which one supervisor serves all."""
    root, names = make_queues(home, number)
    producer = Producer(root)
    for job in range(count):
        producer.submit(PAYLOAD, queue=names[job % number], durable=False)
    handler = Clockwork()
    status = os.waitpid(fork(partial(work, root, handler, WORKERS, queues=names)), 0)[1]
    if status or handler.ended != count:
        raise IncompleteError(f"{handler.ended} of {count} runs; the supervisor's status is {status}")
    return Measured(handler.seconds)


def bare_queues(number: int, home: str, count: int) -> Measured:
    """Two processes take the names of one directory after the other in turn."""
    bare.prepare(home)
    spread: list[list[str]] = [[] for _ in range(number)]
    for job in range(count):
        spread[job % number].append(bare.name(job))
    for queue, texts in enumerate(spread):
        os.mkdir(f"{home}/new/{queue}")
        for text in texts:
            bare.write(f"{home}/new/{queue}/{text}")
    handler = Clockwork()

    def consume(who: int) -> None:
        for queue, texts in enumerate(spread):
            bare_runs.consume(home, texts[(who + queue) % WORKERS :: WORKERS], handler, f"{home}/new/{queue}")

    together(WORKERS, consume)
    return Measured(handler.seconds)


def idle_queues(number: int, home: str, count: int) -> Measured:
    """CPU seconds that a supervisor of so many queues takes in `count` seconds in which nothing comes."""
    root, names = make_queues(home, number)
    handler = Clockwork()
    Producer(root).submit(PAYLOAD, queue=names[-1])
    pid = fork(partial(work, root, handler, WORKERS, drain=False, queues=names))
    try:
        wait_for(lambda: handler.ended == 1)
        end_of_start = cpu_seconds(pid)
        time.sleep(count)
        used = cpu_seconds(pid) - end_of_start
    finally:
        end([pid])
    return Measured(used)


def make_queues(home: str, number: int) -> tuple[str, list[str]]:
    """A root with so many queues, whose directories nobody waits for to be on the disk."""
    root = producer_in(home).root
    names = [f"q{queue}" for queue in range(number)]
    for name in names:
        for path in (name, *(f"{name}/{space}" for space in SPACES)):
            os.mkdir(f"{root}/{path}")
    return root, names
