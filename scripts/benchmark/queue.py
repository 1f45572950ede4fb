"""Our side: the same work by the queue's public face, and by a supervisor with worker processes."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.bare import timed
from benchmark.processes import end, fork, resident, together
from benchmark.scenario import IncompleteError, Measured
from benchmark.stopwatch import Clockwork
from workqueue import Job, Producer, Retry, Worker
from workqueue.engine import recovery
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import DEFAULT_QUEUE, Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAYLOAD = {"path": "x" * 178}
MOST_RUNS = 20_000
"""Runs out of a large backlog: the first ones change a block of the directory each, as no later ones do."""
PATIENCE = 600.0
"""Seconds after which a workload counts as incomplete."""


def producer_in(home: str) -> Producer:
    return Producer(f"{home}/root", create=True)


def waiting(home: str, space: str = "new") -> list[str]:
    return os.listdir(f"{home}/root/default/{space}")


# -- submit --------------------------------------------------------------------------------------------------------


def submit(producer: Producer, count: int, **wishes: Any) -> None:
    for _ in range(count):
        producer.submit(PAYLOAD, **wishes)


def submits(home: str, count: int, *, durable: bool = False) -> Measured:
    producer = producer_in(home)
    return whole(timed(lambda: submit(producer, count, durable=durable)), home, count)


def submits_of(processes: int, home: str, count: int, *, durable: bool = False) -> Measured:
    producer = producer_in(home)
    took = together(processes, lambda _: submit(producer, count // processes, durable=durable))
    return whole(took, home, count // processes * processes)


def submits_of_threads(threads: int, home: str, count: int) -> Measured:
    """Durable submits of threads that share a producer, as an AsyncProducer's do."""
    producer = producer_in(home)

    def loop() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: producer.submit(PAYLOAD), range(count)))

    return whole(timed(loop), home, count)


def keyed_submits(home: str, count: int) -> Measured:
    producer = producer_in(home)

    def loop() -> None:
        for number in range(count):
            producer.submit(PAYLOAD, key=f"key {number}")

    return whole(timed(loop), home, count)


def batches(home: str, count: int, *, durable: bool = True) -> Measured:
    producer = producer_in(home)
    return whole_batches(
        timed(lambda: producer.submit_many((PAYLOAD for _ in range(count)), durable=durable)), home, count
    )


def whole_batches(took: Measured, home: str, count: int) -> Measured:
    """The measurement, if all jobs are there, in batches."""
    found = sum(len(os.listdir(f"{home}/root/default/new/{text}")) for text in waiting(home))
    if found != count:
        raise IncompleteError(f"{found} of {count} jobs are there")
    return took


def arrays(size: int, home: str, count: int, *, durable: bool = False) -> Measured:
    producer = producer_in(home)
    ids: list[str] = []
    took = timed(lambda: ids.extend(producer.submit_array(elements(count), size=size, durable=durable)))
    there = [len(os.listdir(f"{home}/root/default/new/{text}")) if text.endswith("-b") else 1 for text in waiting(home)]
    if sum(there) != len(ids) or len(ids) != -(-count // size):
        raise IncompleteError(f"{sum(there)} arrays of {len(ids)} are there")
    return took


def elements(count: int) -> Iterator[dict[str, object]]:
    """As small as the elements of an array are: 50 bytes."""
    return ({"n": number, "path": "x" * 30} for number in range(count))


def array_drains(size: int, home: str, count: int) -> Measured:
    """By one worker, with every payload decoded: from the first handler's start to the last one's."""
    producer = producer_in(home)
    producer.submit_array(elements(count), size=size, durable=False)
    handler = Decoding()
    pid = fork(partial(work, producer.root, handler, 1))
    status = os.waitpid(pid, 0)[1]
    if status or handler.ended != count or waiting(home) or waiting(home, "cur"):
        raise IncompleteError(f"{handler.ended} of {count} elements; the supervisor's status is {status}")
    return Measured(handler.seconds)


def whole(took: Measured, home: str, count: int) -> Measured:
    """The measurement, if all jobs are there."""
    found = len(waiting(home))
    if found != count:
        raise IncompleteError(f"{found} of {count} jobs are there")
    return took


# -- run -----------------------------------------------------------------------------------------------------------


class Decoding(Clockwork):
    """Each payload is asked for."""

    def __call__(self, job: Job) -> None:
        super().__call__(job)
        assert job.payload["n"] >= 0


class RetriedOnce(Clockwork):
    """Each job is put off once."""

    def __call__(self, job: Job) -> None:
        super().__call__(job)
        if job.attempt == 1:
            raise Retry(0)


class Urgent(Clockwork):
    """Says how many runs had begun when the urgent job's did."""

    def __init__(self) -> None:
        super().__init__()
        self._before = memoryview(mmap.mmap(-1, 8)).cast("q")

    def __call__(self, job: Job) -> None:
        super().__call__(job)
        if job.priority == 0:
            self._before[0] = self.ended

    @property
    def before(self) -> int:
        return self._before[0]


def work(
    root: str,
    handler: Callable[[Job], Any],
    processes: int,
    *,
    drain: bool = True,
    queues: Sequence[str] = (DEFAULT_QUEUE,),
) -> None:
    """Be a supervisor."""
    quiet()
    summary = Worker(root, handler=handler, queues=queues, processes=processes).run(drain=drain)
    if drain and not summary.drained:
        raise IncompleteError(str(summary))
    if isinstance(handler, Clockwork):
        handler.add_lost(summary.lost)


def quiet() -> None:
    """Let the log be: its lines are not what is measured."""
    logging.getLogger("workqueue").addHandler(logging.NullHandler())


def drains(processes: int, home: str, count: int, kind: type[Clockwork] = Clockwork, supervisors: int = 1) -> Measured:
    """From the first handler's start to the last one's; with how many claims a job lost to a faster supervisor's."""
    producer = producer_in(home)
    submit(producer, count, durable=False)
    handler = kind()
    pids = [fork(partial(work, producer.root, handler, processes)) for _ in range(supervisors)]
    status = [os.waitpid(pid, 0)[1] for pid in pids]
    expected = count * 2 if kind is RetriedOnce else count
    if any(status) or handler.ended != expected or waiting(home) or waiting(home, "cur"):
        raise IncompleteError(f"{handler.ended} of {expected} runs; the supervisors' status is {status}")
    return Measured(handler.seconds, {"lost": handler.lost / count} if supervisors > 1 else {})


def drains_emptied(held: int, home: str, count: int) -> Measured:
    """The same by one worker, of a queue that has held so many jobs before."""
    producer = producer_in(home)
    submit(producer, held, durable=False)
    for text in waiting(home):
        os.unlink(f"{producer.root}/default/new/{text}")
    return drains(1, home, count)


def retries(home: str, count: int) -> Measured:
    return drains(1, home, count, RetriedOnce)


def handovers(children: int, home: str, count: int) -> Measured:
    """From the handler's start to the job's end, one job after the other."""
    engine = DirectoryEngine(Root(producer_in(home).root))
    engine.make_queue("next")
    submit(Producer(engine.root.path), count, durable=False)
    claims = [engine.take("default", text, 0) for text in sorted(waiting(home))]

    def loop() -> None:
        for claim in claims:
            assert isinstance(claim, Claim)
            job = Job(engine, claim)
            for _ in range(children):
                job.submit(PAYLOAD, queue="next")
            engine.seal(claim, None)
            engine.finish(claim)

    took = timed(loop)
    found = len(os.listdir(f"{home}/root/next/new"))
    if found != count * children or waiting(home, "done") or waiting(home, "cur"):
        raise IncompleteError(f"{found} of {count * children} children are there")
    return took


def recoveries(home: str, count: int) -> Measured:
    """A sweep that finds the claims of a dead worker."""
    root = Root(producer_in(home).root)
    submit(Producer(root.path), count, durable=False)
    for text in waiting(home):
        os.rename(f"{home}/root/default/new/{text}", f"{home}/root/default/cur/{text[:-1]}1@7.abcd")
    took = timed(lambda: list(recovery.sweep(root, ["default"], set())))
    return whole(took, home, count)


# -- backlogs ------------------------------------------------------------------------------------------------------


def backlog(waiting_jobs: int, home: str, count: int, *, batched: bool = False) -> Measured:
    """Some runs out of a backlog: per run, until the first, the memory, and those before an urgent job that comes."""
    producer = producer_in(home)
    if batched:
        producer.submit_many((PAYLOAD for _ in range(waiting_jobs)), durable=False)
    else:
        submit(producer, waiting_jobs, durable=False)
    handler = Urgent()
    start = time.perf_counter()
    pid = fork(partial(work, producer.root, handler, 1, drain=False))
    try:
        wait_for(lambda: handler.ended >= max(count, min(waiting_jobs // 50, MOST_RUNS)))
        took, memory = handler.seconds / handler.ended * count, resident(pid)
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            workers = [resident(int(one)) for one in file.read().split()]
        first = handler.first - start
        ended = handler.ended
        producer.submit(PAYLOAD, priority=0, durable=False)
        wait_for(lambda: handler.before > 0)
        urgent = max(0, handler.before - ended)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        pid = 0
    finally:
        end([pid] if pid else [])
    return Measured(
        took, {"first_s": first, "urgent_after": urgent, "supervisor_mb": memory, "worker_mb": max(workers)}
    )


def wait_for(is_there: Callable[[], bool]) -> None:
    """Wait until something is there; an IncompleteError after ten minutes."""
    end_at = time.perf_counter() + PATIENCE
    while not is_there():
        if time.perf_counter() > end_at:
            raise IncompleteError(f"the workload has not ended within {PATIENCE:.0f} s")
        time.sleep(0.0005)
