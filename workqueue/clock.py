"""Time, as an argument. Nothing else in fsq reads a clock, so that a test can turn it.

`now` is the wall clock: it dates jobs and decides when a delayed one is due, nothing more. Who is alive is
never judged by a clock; how long something took is measured by `monotonic`, which no operator can set back.
"""

from __future__ import annotations

import time


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward; comparable between the processes of one machine."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


CLOCK = Clock()
