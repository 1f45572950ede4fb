"""AsyncProducer: submits from asyncio programs, without a wait for the disk in the event loop.

A durable submit waits for the disk's commit. Submits that wait at the same time share commits: the kernel writes one
for all that came while the last was written. So a program that awaits many at once is several times as fast as one that
awaits each in turn, and needs no batch for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from workqueue.engine.batches import BATCH
from workqueue.engine.newjob import NOTHING
from workqueue.producer import JobRef, Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONCURRENCY = 16
Result = TypeVar("Result")


class AsyncProducer:
    """Submits jobs to the queues of one root; each call is awaited while a thread does it.

    >>> async with AsyncProducer("/var/spool/etl") as producer:      # doctest: +SKIP
    ...     refs = await asyncio.gather(*(producer.submit(row) for row in rows))

    `concurrency`: submits that wait for the disk at the same time; more wait for their turn. A task that is cancelled
    in the middle of a submit does not know what became of it: the job is there whole, or not at all.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, *, create: bool = False, concurrency: int = CONCURRENCY
    ) -> None:
        self._producer = Producer(root, create=create)
        self._concurrency = concurrency
        self._start_anew()
        self.root = self._producer.root

    def __repr__(self) -> str:
        return f"AsyncProducer({self.root!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def submit(self, payload: Any = NOTHING, **how: Any) -> JobRef:
        """Submit one job, as `Producer.submit` does; when this returns it is as safe."""
        return await self._run(partial(self._producer.submit, payload, **how))

    async def submit_many(self, payloads: Iterable[Any] | AsyncIterable[Any], **how: Any) -> list[str]:
        """Submit many jobs, as `Producer.submit_many` does; returns their ids.

        A plain iterable is read in a thread; an asynchronous one in the event loop, a batch at a time.
        """
        if not isinstance(payloads, AsyncIterable):
            return await self._run(partial(self._producer.submit_many, payloads, **how))
        ids: list[str] = []
        batch: list[Any] = []
        async for payload in payloads:
            batch.append(payload)
            if len(batch) == BATCH:
                ids += await self._run(partial(self._producer.submit_many, batch, **how))
                batch = []
        return ids + await self._run(partial(self._producer.submit_many, batch, **how))

    async def wait(self, ref: JobRef, timeout: Any = None) -> Any:  # noqa: ASYNC109 - a duration, as JobRef.wait takes
        """Wait until a job has ended, as `JobRef.wait` does."""
        return await asyncio.to_thread(ref.wait, timeout)

    def close(self) -> None:
        """End the threads, once what they do is done."""
        self._threads.shutdown()

    async def _run(self, call: Callable[[], Result]) -> Result:
        if self._pid != os.getpid():
            self._start_anew()  # a forked child has none of its parent's threads
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _start_anew(self) -> None:
        self._threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="fsq-submit")
        self._pid = os.getpid()
