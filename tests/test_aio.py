"""AsyncProducer: submits that the event loop does not wait for."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from workqueue import AsyncProducer, State
from workqueue.errors import BadInput, UnknownQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TURN = 5


def new(root: str) -> list[str]:
    return sorted(name for name in os.listdir(f"{root}/default/new"))


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_submits_that_are_awaited_at_the_same_time_are_all_there(root: str) -> None:
    async def main() -> None:
        async with AsyncProducer(root) as producer:
            refs = await asyncio.gather(*(producer.submit({"n": n}, priority=3) for n in range(40)))
            assert len({ref.id for ref in refs}) == 40
            assert refs[0].state() is State.NEW

    asyncio.run(main())
    assert len(new(root)) == 40
    assert all(name.startswith("3-") for name in new(root))


def test_the_loop_goes_on_while_a_submit_is_made(root: str) -> None:
    has_gone_on = threading.Event()

    def payloads() -> Iterator[str]:
        assert has_gone_on.wait(TURN), "the submit was made in the event loop"
        yield "a"

    async def main() -> list[str]:
        async with AsyncProducer(root) as producer:
            submitted = asyncio.create_task(producer.submit_many(payloads()))
            await asyncio.sleep(0)
            has_gone_on.set()
            return await submitted

    assert len(asyncio.run(main())) == 1


@pytest.mark.parametrize("count", [0, 3, 2001])
def test_an_asynchronous_iterable_is_submitted_whole(root: str, count: int) -> None:
    async def main() -> list[str]:
        async with AsyncProducer(root) as producer:
            return await producer.submit_many(numbers(count), durable=False)

    assert len(set(asyncio.run(main()))) == count
    assert len(new(root)) == -(-count // 1000)


def test_what_a_producer_refuses_is_raised_to_whoever_awaits(root: str) -> None:
    async def main() -> None:
        async with AsyncProducer(root) as producer:
            with pytest.raises(UnknownQueue):
                await producer.submit(1, queue="nowhere")
            with pytest.raises(BadInput):
                await producer.submit(object())

    asyncio.run(main())


def test_a_wait_is_that_of_the_job(root: str) -> None:
    async def main() -> object:
        async with AsyncProducer(root) as producer:
            ref = await producer.submit(1)
            with pytest.raises(TimeoutError):
                await producer.wait(ref, 0.01)
            os.rename(f"{root}/default/new/{new(root)[0]}", f"{root}/default/failed/5-{ref.id}-1")
            return await producer.wait(ref, TURN)

    assert asyncio.run(main()) is State.FAILED


def test_close_ends_the_threads(root: str) -> None:
    async def main() -> int:
        producer = AsyncProducer(root)
        await asyncio.gather(*(producer.submit(n) for n in range(8)))
        producer.close()
        return sum(thread.name.startswith("fsq-submit") for thread in threading.enumerate())

    assert asyncio.run(main()) == 0


def test_a_forked_child_submits_by_threads_of_its_own(root: str) -> None:
    producer = AsyncProducer(root)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(asyncio.wait_for(producer.submit("child"), TURN))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    producer.close()
    assert len(new(root)) == 1
