"""What is kept of many numbers in little memory: percentiles, counts over time, the largest, the most frequent."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

ACCURACY = 0.01
"""How far a percentile may be off, relatively."""
BASE = math.log((1 + ACCURACY) / (1 - ACCURACY))
LEAST = 1e-6
WIDTHS = (1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400, 604_800)
"""Seconds of a step of a series; each divides the next."""
MOST_STEPS = 120
MOST_NAMES = 200
OTHERS = "(others)"


@dataclass(slots=True)
class Percentiles:
    """A histogram with buckets that grow by 2 %: any percentile to within 1 %, the sum and the ends as they are.

    The method of DDSketch: https://arxiv.org/abs/1908.10693. From a microsecond to a century it is 2,500 buckets.
    """

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = 0.0
    _buckets: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Add a number, 0 or above."""
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        self._buckets[math.ceil(math.log(max(value, LEAST)) / BASE)] += 1

    def at(self, share: float) -> float | None:
        """The number that this share of all do not exceed; None of nothing."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                middle = 2 * math.exp(bucket * BASE) / (math.exp(BASE) + 1)
                return min(self.most, max(self.least, middle))
        return self.most

    def as_dict(self) -> dict[str, Any]:
        """The usual ones, in seconds."""
        mean = self.total / self.count if self.count else None
        most = self.most if self.count else None
        found = {"mean": mean, "p50": self.at(0.5), "p95": self.at(0.95), "max": most}
        return {name: value if value is None else round(value, 6) for name, value in found.items()}


class Series:
    """Counts over time, in at most so many steps: the steps grow as the time does."""

    def __init__(self) -> None:
        self.width = WIDTHS[0]
        """Seconds of a step."""
        self._steps: dict[int, Counter[str]] = {}
        self._first = self._last = 0

    def add(self, name: str, ms: int) -> None:
        """Count one at a time."""
        step = ms // 1000 // self.width
        if step not in self._steps:
            self._first = min(self._first, step) if self._steps else step
            self._last = max(self._last, step) if self._steps else step
            self._steps[step] = Counter()
        self._steps[step][name] += 1
        while self._last - self._first >= MOST_STEPS and self.width < WIDTHS[-1]:
            self._widen()

    def _widen(self) -> None:
        wider = WIDTHS[WIDTHS.index(self.width) + 1]
        factor = wider // self.width
        steps: dict[int, Counter[str]] = {}
        for step, counts in self._steps.items():
            steps.setdefault(step // factor, Counter()).update(counts)
        self._steps, self.width = steps, wider
        self._first, self._last = self._first // factor, self._last // factor

    def rows(self) -> list[dict[str, int]]:
        """Each step from the first to the last: when it began (ms), and its counts."""
        whole = range(self._first, self._last + 1) if self._steps else range(0)
        # Where a clock was wrong by years the gap is left out.
        chosen = list(whole) if len(whole) <= 2 * MOST_STEPS else sorted(self._steps)
        names = sorted({name for counts in self._steps.values() for name in counts})
        none: Counter[str] = Counter()
        return [
            {"t": step * self.width * 1000, **{name: self._steps.get(step, none)[name] for name in names}}
            for step in chosen
        ]


class Largest:
    """The few largest of many."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._heap: list[tuple[float, int, dict[str, Any]]] = []
        self._seen = 0

    def add(self, value: float, what: dict[str, Any]) -> None:
        """Keep it if it is one of them."""
        self._seen += 1
        item = (value, -self._seen, what)  # of equals the first
        if len(self._heap) < self._room:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    def items(self) -> list[dict[str, Any]]:
        """The largest first."""
        return [what for _, _, what in sorted(self._heap, reverse=True)]


class Tally:
    """Counts by name; names beyond a number count as others, for they come from outside."""

    def __init__(self) -> None:
        self._counts: dict[str, int | float] = {}

    def add(self, name: str, amount: float = 1) -> None:
        """Count."""
        if name not in self._counts and len(self._counts) >= MOST_NAMES:
            name = OTHERS
        self._counts[name] = self._counts.get(name, 0) + amount

    def as_dict(self) -> dict[str, int | float]:
        """The most frequent first."""
        return dict(sorted(self._counts.items(), key=lambda item: -item[1]))
