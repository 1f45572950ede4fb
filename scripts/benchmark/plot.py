"""A curve as an inline SVG: the axis by powers, our line and the bare loop's; no script, no network."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from benchmark.table import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmark.growth import Curve

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 70, 545, 30, 205
STEEP = 30
"""How many times the least the greatest value is from which on the costs, too, are drawn by powers of ten."""
LINES = 4
STYLE = """
svg { width: 35em; max-width: 100%; margin: 0 1em 1em 0; font-size: 12px } svg text { fill: currentColor }
svg .grid { stroke: currentColor; opacity: .2 } svg polyline { fill: none; stroke-width: 2 }
svg .ours { stroke: #2a7a4b } svg text.ours, svg circle.ours { fill: #2a7a4b; stroke: none }
svg .bare { stroke: #b5622a } svg text.bare, svg circle.bare { fill: #b5622a; stroke: none }
@media (prefers-color-scheme: dark) {
  svg .ours { stroke: #5fbf87 } svg text.ours, svg circle.ours { fill: #5fbf87 }
  svg .bare { stroke: #e09a62 } svg text.bare, svg circle.bare { fill: #e09a62 } }
"""


def picture(curve: Curve) -> str:
    """The picture, with its title and what each line is."""
    across, up, marks = scales(curve)
    title = f"{curve.name} ({curve.unit})"
    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)}'>"]
    parts.append(text(LEFT, 16, title))
    for value in marks:
        parts.append(f"<line class='grid' x1='{LEFT}' x2='{RIGHT}' y1='{up(value):.1f}' y2='{up(value):.1f}'/>")
        parts.append(text(LEFT - 8, up(value) + 4, amount(value), anchor="end"))
    parts += [text(across(point.x), BOTTOM + 18, curve.label(point.x), anchor="middle") for point in curve.points]
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 38, curve.axis, anchor="middle"))
    bare = [(point.x, point.bare) for point in curve.points if point.bare is not None]
    lines = [("bare", "bare loop", bare), ("ours", "fsq", [(point.x, point.ours) for point in curve.points])]
    for at, (kind, name, points) in enumerate(line for line in lines if line[2]):
        parts.append(drawn(kind, curve, ((x, y, across(x), up(y)) for x, y in points)))
        parts.append(text(RIGHT - 80 * at, 16, name, anchor="end", kind=kind))
    return "".join([*parts, "</svg>"])


def scales(curve: Curve) -> tuple[Callable[[float], float], Callable[[float], float], list[float]]:
    """Where a place of the axis is drawn, where a cost is, and the costs that have a line of their own."""
    costs = [cost for point in curve.points for cost in (point.ours, point.bare) if cost]
    first, last = (math.log(curve.points[at].x) for at in (0, -1))

    def across(x: float) -> float:
        return LEFT + 20 + (math.log(x) - first) / ((last - first) or 1) * (RIGHT - LEFT - 40)

    if max(costs) > STEEP * min(costs):
        low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
        return across, lambda y: height((math.log10(y) - low) / (high - low)), [10.0**at for at in range(low, high + 1)]
    step = rounded(max(costs) / LINES)
    top = step * math.ceil(max(costs) / step)
    return across, lambda y: height(y / top), [step * at for at in range(round(top / step) + 1)]


def height(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)


def rounded(value: float) -> float:
    """The next greater of 1, 2, 5, 10, 20 …"""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= value)


def drawn(kind: str, curve: Curve, points: Iterable[tuple[int, float, float, float]]) -> str:
    """A line, and a dot for each point that tells its figure."""
    dots, path = [], []
    for x, y, left, top in points:
        path.append(f"{left:.1f},{top:.1f}")
        told = escape(f"{curve.label(x)}: {amount(y)}")
        dots.append(f"<circle class='{kind}' cx='{left:.1f}' cy='{top:.1f}' r='3'><title>{told}</title></circle>")
    return f"<polyline class='{kind}' points='{' '.join(path)}'/>{''.join(dots)}"


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    return f"<text class='{kind}' x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(words)}</text>"
