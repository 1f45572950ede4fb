"""When a failed attempt is tried again: exponential backoff with full jitter.

The n-th wait is random between 0 and ``base * 2**(n-1)``, never over `most`: so a thousand jobs that failed together
on one dead server do not come back together (M. Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

import random
from typing import NamedTuple

from workqueue.errors import BadSetting
from workqueue.jobs.durations import seconds


class Backoff(NamedTuple):
    """Seconds: the first wait at most, and the longest."""

    base: float = 15.0
    most: float = 6 * 3600.0

    def delay(self, attempt: int, chance: float | None = None) -> float:
        """Seconds to wait after `attempt` failed; `chance` in [0, 1) is drawn where it is not given."""
        draw = random.random() if chance is None else chance  # noqa: S311 - no secret
        return draw * min(self.most, self.base * 2.0 ** min(attempt - 1, 60))


def backoff(value: object, what: str = "backoff") -> Backoff:
    """Read ``"15s..6h"``, or one duration that is both ends."""
    if isinstance(value, Backoff):
        return value
    first, dots, last = value.partition("..") if isinstance(value, str) else (value, "", "")
    base = seconds(first, what)
    most = seconds(last, what) if dots else base
    if most < base:
        raise BadSetting(f"{what} {value!r}: the longest wait is shorter than the first")
    return Backoff(base, most)
