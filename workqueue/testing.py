"""For the tests of those who use fsq: run jobs in this process, without waiting, and turn the clock.

>>> from workqueue.testing import FakeClock, drain
>>> def test_a_bad_file_is_rejected(tmp_path):                  # doctest: +SKIP
...     producer = Producer(tmp_path, create=True)
...     ref = producer.submit({"path": "bad.csv"})
...     assert drain(tmp_path, load)["failed"] == 1
...     assert ref.state() is State.FAILED
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workqueue.clock import Clock
from workqueue.engine.commits import finish_own
from workqueue.engine.dealer import Dealer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim, Corrupted
from workqueue.engine.root import Root
from workqueue.engine.slots import acquire
from workqueue.errors import FsqError, NoFreeSlot
from workqueue.run import board as b
from workqueue.run import verdicts
from workqueue.run.board import Board
from workqueue.run.callers import caller_of
from workqueue.run.handler import Handler
from workqueue.run.staged import plans_of, settings_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from workqueue.run.job import Job


class FakeClock(Clock):
    """A clock that goes only when it is told to. Sleeping on it passes the time at once."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return round(self._now * 1000)

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forth or back, as an operator or a time server would."""
        self._now += seconds


def drain(
    root: str | os.PathLike[str],
    handler: Callable[[Job], Any],
    *,
    queues: list[str] | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> dict[str, int]:
    """Run every job that is ready or waits for a retry, in this process; returns the counts by outcome.

    A pipeline is a handler, too: then the queues are its stages, and are made where they are missing.
    Delays are not waited for: a fake clock is turned to each. Settings are those of a worker (max_attempts, backoff…).
    Raises FsqError where what a job has handed over cannot be put in its place: a worker would try every second.
    """
    stages = plans_of(handler)
    where = Root(str(root), overrides=settings, stages=settings_of(stages), clock=clock or _Ahead())
    for stage in stages:
        where.make_queue(stage.name)
    engine = DirectoryEngine(where)
    dealer = Dealer(where, queues or [stage.name for stage in stages] or where.queues())
    slot = acquire(where)
    if slot is None:
        raise NoFreeSlot(f"{where.path}: all worker slots are in use")
    board = Board()
    try:
        _drain(engine, dealer, Handler.of(handler), slot.number, board)
        return board.counts()
    finally:
        board.close()
        slot.close()


class _Ahead(FakeClock):
    """A fake clock that begins now."""

    def __init__(self) -> None:
        super().__init__(Clock().now())


def _drain(engine: DirectoryEngine, dealer: Dealer, handler: Handler, slot: int, board: Board) -> None:
    caller = caller_of(handler, lambda _: None)
    try:
        while True:
            dealer.refresh(now=True)
            dealt = dealer.deal(1)
            if dealt is not None:
                queue, [hint] = dealt
                _run(engine, queue, hint, slot, board, lambda job: caller.call(job, None))
                dealer.settle(queue, [hint])
            elif dealer.is_drained():
                return
            else:
                for trouble in finish_own(engine.root, {slot}):
                    raise FsqError(trouble)
                engine.root.clock.sleep((dealer.next_due() or 0.0) + 0.001)
    finally:
        caller.close()


def _run(engine: DirectoryEngine, queue: str, hint: str, slot: int, board: Board, call: Callable[[Job], Any]) -> None:
    taken = engine.take(queue, hint, slot)
    if isinstance(taken, Corrupted):
        board.count(b.CORRUPT)
    if not isinstance(taken, Claim):
        return
    board.start(queue, taken.id, None)
    verdict = verdicts.attempt(engine, taken, call, board)
    verdicts.settle(engine, taken, verdict, board)
    board.end()
