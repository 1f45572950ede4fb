"""A clock that stands still until a test turns it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from workqueue.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock(Clock):
    """Starts at the machine's time, then goes on only by `advance`, `step` and `sleep`.

    Starting at the real time keeps it comparable with what the kernel writes on files (ctime).
    """

    def __init__(self, start: float | None = None) -> None:
        self._ms = time.time_ns() // 1_000_000 if start is None else round(start * 1000)
        self._monotonic = 1000.0
        self._guard = threading.Lock()
        self.slept: list[float] = []
        """How long each sleep was."""
        self.on_sleep: Callable[[], object] | None = None
        """Called at each sleep, in the sleeper's thread: what happens meanwhile."""

    def now(self) -> float:
        return self._ms / 1000

    def now_ms(self) -> int:
        return self._ms

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        with self._guard:
            self._ms += round(seconds * 1000)
            self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forth or back, as an operator or ntpd does."""
        with self._guard:
            self._ms += round(seconds * 1000)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        if self.on_sleep is not None:
            self.on_sleep()
