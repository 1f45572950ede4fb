"""A scenario: what fsq does, beside a bare loop that does the same system calls and nothing else."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class IncompleteError(Exception):
    """A workload that did not do all that it was to do: its time means nothing."""


@dataclass(frozen=True)
class Measured:
    """What one measurement took, and what else was seen, by name."""

    seconds: float
    """For all operations together; of latencies the median."""
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """Two sides that do the same work in a fresh directory each: `count` operations."""

    name: str
    count: int
    ours: Callable[[str, int], Measured]
    bare: Callable[[str, int], Measured]
    against: str = ""
    """What the other side does, in a few words."""
    unit: str = "/s"
    """What the figure is: operations a second, or ms, for the median of latencies."""
    target: float | None = None
    """The goal: the least ratio of the bare side's time to ours."""
    most: float | None = None
    """The goal where no ratio is one: the greatest figure of ours, in the unit."""
    least: float | None = None
    """The goal where it is a figure, too, but the least: operations a second."""
    slow: bool = False
    """Whether it takes minutes: only asked for by name or by --all."""
    alone: bool = False
    """Whether it takes an hour: only asked for by name."""


@dataclass
class Result:
    """The measurements of one scenario in one place: pairs that were taken one after the other."""

    scenario: Scenario
    place: str
    ours: list[Measured] = field(default_factory=list)
    bare: list[Measured] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The bare side's time in parts of ours, the median of the pairs: 1 is as fast as the system calls."""
        return statistics.median(b.seconds / o.seconds for o, b in zip(self.ours, self.bare, strict=True))

    @property
    def goal(self) -> str:
        """The goal in words; nothing where there is none."""
        if self.scenario.most is not None:
            return f"{self.scenario.most:g} {self.scenario.unit}"
        if self.scenario.least is not None:
            return f"{self.scenario.least:,.0f}"
        return "" if self.scenario.target is None else f"{self.scenario.target:.2f}"

    @property
    def is_short(self) -> bool:
        """Whether the goal was missed."""
        if self.scenario.most is not None:
            return self.figure(self.ours) > self.scenario.most
        if self.scenario.least is not None:
            return self.figure(self.ours) < self.scenario.least
        return self.scenario.target is not None and round(self.ratio, 2) < round(self.scenario.target, 2)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of a pair."""
        ratios = [b.seconds / o.seconds for o, b in zip(self.ours, self.bare, strict=True)]
        return min(ratios), max(ratios)

    def figure(self, side: list[Measured]) -> float:
        """The median of a side, in the scenario's unit."""
        seconds = statistics.median(one.seconds for one in side)
        return seconds * 1000 if self.scenario.unit == "ms" else self.scenario.count / seconds

    def more(self) -> dict[str, float]:
        """What else was seen of ours: the median of each."""
        names = dict.fromkeys(name for one in self.ours for name in one.more)
        return {name: statistics.median(one.more[name] for one in self.ours if name in one.more) for name in names}

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "place": self.place,
            "scenario": self.scenario.name,
            "against": self.scenario.against,
            "count": self.scenario.count,
            "ratio": round(self.ratio, 3),
            "ratios": [round(value, 3) for value in self.spread],
            "goal": self.goal,
            "is_short": self.is_short,
            "unit": self.scenario.unit,
            "ours": round(self.figure(self.ours), 3),
            "bare": round(self.figure(self.bare), 3),
            **{name: round(value, 4) for name, value in self.more().items()},
        }


def measure(scenario: Scenario, place: str, directory: str, repeats: int, scale: float) -> Result:
    """Measure both sides in turn, so that what else the machine does falls on both; the first pair only warms up."""
    count = max(1, int(scenario.count * scale))
    scaled = Scenario(**{**vars(scenario), "count": count})
    result = Result(scaled, place)
    for turn in range(repeats + 1):
        pair = [(scaled.ours, result.ours), (scaled.bare, result.bare)]
        for side, found in pair if turn % 2 else pair[::-1]:
            measured = once(side, directory, count)
            if turn or not repeats:
                found.append(measured)
    return result


def once(side: Callable[[str, int], Measured], directory: str, count: int) -> Measured:
    """One measurement in a directory of its own."""
    home = tempfile.mkdtemp(prefix="bench-", dir=directory)
    try:
        return side(home, count)
    finally:
        shutil.rmtree(home)
