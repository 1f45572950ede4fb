"""The results as one HTML file: a bar for each scenario's ratio, with its goal, or a picture for each curve."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchmark import plot
from benchmark.table import amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.growth import Curve
    from benchmark.scenario import Result

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #222; background: #fff }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } .bar { background: #333 } }
td, th { padding: .15em .6em; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
.bar { position: relative; width: 18em; height: 1em; background: #eee }
.bar i { position: absolute; height: 100%; background: #2a7a4b } .bar i.below { background: #b5622a }
.bar b { position: absolute; width: 2px; height: 130%; top: -15%; background: currentColor }
"""
FULL = 1.25
"""The ratio at the bar's end."""


def page(results: Sequence[Result], about: str, curves: Sequence[Curve] = ()) -> str:
    """The page."""
    parts = [f"<!doctype html><meta charset='utf-8'><title>fsq: benchmark</title><style>{STYLE}{plot.STYLE}</style>"]
    parts.append(f"<h1>fsq beside the bare system calls</h1><p>{escape(about)}.</p>")
    parts += [*bars(results), *pictures(curves)]
    return "\n".join(parts) + "\n"


def pictures(curves: Sequence[Curve]) -> list[str]:
    parts = []
    for place in dict.fromkeys(curve.place for curve in curves):
        parts.append(f"<h2>As work grows, {escape(place)}</h2>")
        parts += [plot.picture(curve) for curve in curves if curve.place == place]
    return parts


def bars(results: Sequence[Result]) -> list[str]:
    parts = []
    if results:
        parts.append(f"<p>A bar that is full is {FULL} times as fast as the bare loop of the same run; the mark is the")
        parts.append("goal.</p>")
    for place in dict.fromkeys(result.place for result in results):
        parts.append(
            f"<h2>{escape(place)}</h2><table><tr><th></th><th>ratio</th><th></th><th>fsq</th><th>beside</th><th></th></tr>"
        )
        parts += [line(result) for result in results if result.place == place]
        parts.append("</table>")
    return parts


def line(result: Result) -> str:
    scenario, ratio = result.scenario, result.ratio
    goal = "" if scenario.target is None else f"<b style='left:{share(scenario.target)}%'></b>"
    kind = " class='below'" if result.is_short else ""
    bar = f"<div class='bar'><i{kind} style='width:{share(ratio)}%'></i>{goal}</div>"
    cells = [escape(scenario.name), f"{ratio:.2f}", bar, amount(result.figure(result.ours))]
    cells += [amount(result.figure(result.bare)), escape(f"{scenario.unit} {scenario.against}")]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def share(ratio: float) -> float:
    return round(min(ratio / FULL, 1.0) * 100, 1)
