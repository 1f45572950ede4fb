"""How the cost of a job grows with one thing at a time: a series of steps, measured in rounds over all of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.scenario import once

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.scenario import Measured

LEAST = 2
"""Steps that even the smallest scale leaves: fewer make no line."""
KIB = 1024
UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(frozen=True)
class Step:
    """The work at one place of the axis: `count` operations by each side, in a fresh directory each."""

    x: int
    count: int
    ours: Callable[[str, int], Measured]
    bare: Callable[[str, int], Measured] | None = None
    rounds: int | None = None
    """Rounds at most, of a step that takes long to prepare."""
    slow: bool = False
    """Whether it takes minutes: only with --all."""


@dataclass(frozen=True)
class Growth:
    """A series: the same work at each step of an axis."""

    name: str
    axis: str
    """What grows."""
    steps: tuple[Step, ...]
    curves: tuple[str, ...] = ("",)
    """What is measured: the time of a measurement, then what else it has seen of that name."""
    unit: str = "µs a job"

    def reached(self, scale: float, *, everything: bool) -> list[Step]:
        """The steps that are measured: a scale below 1 ends the axis, and the work at each step, so much earlier."""
        wanted = [step for step in self.steps if everything or not step.slow]
        return [step for at, step in enumerate(wanted) if at < LEAST or step.x <= wanted[-1].x * scale]


@dataclass(frozen=True)
class Point:
    """The medians at one place of the axis, in the unit of the curve."""

    x: int
    ours: float
    bare: float | None


@dataclass(frozen=True)
class Curve:
    """A line of points, and the bare loop's beside it."""

    name: str
    place: str
    axis: str
    unit: str
    points: tuple[Point, ...]

    def label(self, x: int) -> str:
        """A place of the axis, for people."""
        if self.axis != "payload":
            return f"{x:,}"
        power = sum(x >= KIB**unit for unit in range(1, len(UNITS)))
        return f"{x / KIB**power:g} {UNITS[power]}"

    def as_dicts(self) -> list[dict[str, object]]:
        """For --json: an object a point."""
        return [
            {
                "place": self.place,
                "series": self.name,
                "axis": self.axis,
                "unit": self.unit,
                "x": point.x,
                "ours": round(point.ours, 3),
                "bare": None if point.bare is None else round(point.bare, 3),
            }
            for point in self.points
        ]


def grow(growth: Growth, place: str, directory: str, repeats: int, scale: float, *, everything: bool) -> list[Curve]:
    """Measure all steps in turn, and again: what else the machine does falls on all of them, and on both sides."""
    steps = growth.reached(scale, everything=everything)
    found: defaultdict[tuple[int, bool], list[Measured]] = defaultdict(list)
    if steps[0].rounds != 1:
        once(steps[0].ours, directory, operations(steps[0], scale))  # warms up
    for turn in range(max(1, repeats)):
        for step in steps:
            if step.rounds is not None and turn >= step.rounds:
                continue
            sides = [(step.ours, True), (step.bare, False)]
            for side, is_ours in sides if turn % 2 else sides[::-1]:
                if side is not None:
                    found[step.x, is_ours].append(once(side, directory, operations(step, scale)))
    return [curve(growth, at, place, steps, scale, found) for at in range(len(growth.curves))]


def operations(step: Step, scale: float) -> int:
    return max(1, int(step.count * scale))


def curve(
    growth: Growth, at: int, place: str, steps: list[Step], scale: float, found: dict[tuple[int, bool], list[Measured]]
) -> Curve:
    """One of a series' curves, in millionths of a second for each operation."""

    def median(step: Step, *, is_ours: bool) -> float | None:
        seconds = [one.more[growth.curves[at]] if at else one.seconds for one in found.get((step.x, is_ours), ())]
        return statistics.median(seconds) / operations(step, scale) * 1e6 if seconds else None

    points = tuple(Point(step.x, median(step, is_ours=True) or 0.0, median(step, is_ours=False)) for step in steps)
    return Curve(": ".join(filter(None, (growth.name, growth.curves[at]))), place, growth.axis, growth.unit, points)
