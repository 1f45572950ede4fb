"""The results on a terminal: ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.growth import Curve
    from benchmark.scenario import Result

HEAD = f"{'':34}{'ratio':>7}{'(pairs)':>15}{'goal':>9}  {'fsq':>10}{'beside':>10}      beside"


def row(result: Result) -> str:
    """A scenario's line; a ratio of 1 is as fast as the bare system calls, 2 twice as fast."""
    scenario = result.scenario
    least, most = result.spread
    ours, bare = (amount(result.figure(side)) for side in (result.ours, result.bare))
    pairs = f"({least:.2f}..{most:.2f})"
    goal = f"{result.goal:>9}{'!' if result.is_short else ' '}"
    text = f"{scenario.name:34}{result.ratio:7.2f}{pairs:>15}{goal} {ours:>10}{bare:>10} {scenario.unit:4}"
    more = "".join(f"  {name} {amount(value)}" for name, value in result.more().items())
    return f"{text} {scenario.against}{more}"


def table(curve: Curve) -> str:
    """A curve as a table of its own; the ratio is the bare loop's cost in parts of ours."""
    lines = [f"{curve.name} ({curve.unit})", f"{curve.axis:>14}{'fsq':>10}{'bare loop':>11}{'ratio':>7}"]
    for point in curve.points:
        beside = "" if point.bare is None else f"{amount(point.bare):>11}{point.bare / point.ours:7.2f}"
        lines.append(f"{curve.label(point.x):>14}{amount(point.ours):>10}{beside}")
    return "\n".join([*lines, ""])


def amount(value: float) -> str:
    """A figure of three digits; next to nothing is nothing."""
    return f"{value:,.0f}" if value >= 100 or value < 1e-5 else f"{value:.3g}"
