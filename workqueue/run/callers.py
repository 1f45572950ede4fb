"""How a handler is called: as a function, or as a coroutine in an event loop that lives as long as the worker."""

from __future__ import annotations

import contextlib
import signal
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from workqueue.errors import Interrupted, TimedOut
from workqueue.jobs.durations import spoken

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from workqueue.run.handler import Handler
    from workqueue.run.job import Job

AGAIN = 1.0
"""Seconds to the next alarm: one just before a wait begins does not end it, and Python acts on it only after it."""


class Caller(Protocol):
    """Calls the handler, within a time limit in seconds."""

    def call(self, job: Job, limit: float | None) -> Any: ...
    def recover(self) -> None: ...
    def close(self) -> None: ...


def caller_of(handler: Handler, interrupt: Callable[[Interrupted], None]) -> Caller:
    """The caller for this handler; `interrupt` raises in a function whose time is up."""
    if handler.stages:
        return StageCaller(handler, interrupt)
    return CoroutineCaller(handler) if handler.is_async else FunctionCaller(handler, interrupt)


class FunctionCaller:
    """Calls a function; SIGALRM interrupts it at its deadline. Jobs without a limit pay nothing for it."""

    def __init__(self, handler: Handler, interrupt: Callable[[Interrupted], None]) -> None:
        self._handler = handler
        self._interrupt = interrupt

    def call(self, job: Job, limit: float | None) -> Any:
        """Call the function and return what it returns."""
        if not limit:
            return awaited(self._handler.call(job))

        def on_alarm(*_: object) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)  # one that was heard is enough: no other may disturb the clean-up
            self._interrupt(out_of_time(limit))

        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, limit, AGAIN)
        try:
            return awaited(self._handler.call(job))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def recover(self) -> None:
        """Nothing outlives the call."""

    def close(self) -> None:
        """Nothing is open."""


class CoroutineCaller:
    """Awaits a coroutine function; the event loop cancels it at its deadline."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._runner = self._new_runner()

    def call(self, job: Job, limit: float | None) -> Any:
        """Await the handler and return what it returns."""
        return self._runner.run(self._await(job, limit))

    async def _await(self, job: Job, limit: float | None) -> Any:
        import asyncio

        deadline = asyncio.timeout(limit or None)
        try:
            async with deadline:
                return await self._handler.call(job)
        except TimeoutError:
            if deadline.expired():
                raise out_of_time(limit or 0) from None
            raise

    def recover(self) -> None:
        """Start a new loop: the tasks of a run that was interrupted must not go on in the next job."""
        self.close()
        self._runner = self._new_runner()

    def close(self) -> None:
        """Cancel what is left, and close the loop."""
        with contextlib.suppress(Exception):
            self._runner.close()

    def _new_runner(self) -> asyncio.Runner:
        import asyncio

        return asyncio.Runner()


class StageCaller:
    """Calls the handler of the job's queue; each as it is to be called."""

    def __init__(self, handler: Handler, interrupt: Callable[[Interrupted], None]) -> None:
        self._stages = handler.stages
        self._interrupt = interrupt
        self._callers: dict[str, Caller] = {}
        self._current: Caller | None = None

    def call(self, job: Job, limit: float | None) -> Any:
        """Call the stage's handler and return what it returns."""
        caller = self._callers.get(job.queue)
        if caller is None:
            caller = self._callers[job.queue] = caller_of(self._stages[job.queue], self._interrupt)
        self._current = caller
        return caller.call(job, limit)

    def recover(self) -> None:
        """Let the caller that was interrupted recover."""
        if self._current is not None:
            self._current.recover()

    def close(self) -> None:
        """Close them all."""
        for caller in self._callers.values():
            caller.close()


def awaited(result: Any) -> Any:
    """Refuse a coroutine from a plain function: nothing of it has run, and the job must not count as done."""
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError("the handler returned a coroutine, which nobody awaits; make it `async def`")
    return result


def out_of_time(limit: float) -> TimedOut:
    """The exception at the deadline."""
    return TimedOut(f"timed out after {spoken(limit)}")
