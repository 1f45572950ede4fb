"""The stopwatch of runs: our side's handler. The bare loop calls it as well, since it costs something, too."""

from __future__ import annotations

import mmap
import os
import time
from typing import Any

FIRST, LAST, ENDED = range(3)
PLACES = 64


class Clockwork:
    """Does nothing but say when the first of its runs began, and the last, in any number of processes."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 8 * 3 * PLACES)).cast("q")
        self._lost = memoryview(mmap.mmap(-1, 8 * PLACES)).cast("q")
        self._own: memoryview[int] | None = None

    def __call__(self, _: Any) -> None:
        if self._own is None:
            self._begin()
        assert self._own is not None
        self._own[LAST] = time.perf_counter_ns()
        self._own[ENDED] += 1

    def _begin(self) -> None:
        """Take a place of this process's own: by its pid, and the next if another has that."""
        place = os.getpid() % PLACES
        while self._words[3 * place]:
            place = (place + 1) % PLACES
        self._own = self._words[3 * place : 3 * place + 3]
        self._own[FIRST] = time.perf_counter_ns()

    def add_lost(self, count: int) -> None:
        """Count the claims that a supervisor's workers lost to others; each supervisor once."""
        self._lost[os.getpid() % PLACES] += count

    @property
    def lost(self) -> int:
        return sum(self._lost)

    @property
    def ended(self) -> int:
        return sum(self._words[ENDED::3])

    @property
    def seconds(self) -> float:
        """From the first run's beginning to the last's."""
        first = min(word for word in self._words[FIRST::3] if word)
        return (max(self._words[LAST::3]) - first) / 1e9

    @property
    def first(self) -> float:
        """When the first run began."""
        return min(word for word in self._words[FIRST::3] if word) / 1e9
