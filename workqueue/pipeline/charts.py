"""Charts as SVG elements for an HTML page: no script, no font, no address, and colours that the page's own style sets.

pygal draws them; what it adds for a browser that may use the network is taken out again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

from workqueue.jobs.ids import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# pygal puts a finder of its map plug-ins into the import system, of a kind that Python 3.11 warns of at every import
# that follows (its pull request 532). No map is drawn here, so it goes.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

COLOURS = {"done": "var(--done)", "failed": "var(--failed)", "cancelled": "var(--other)", "corrupt": "var(--corrupt)"}
SVG = "{http://www.w3.org/2000/svg}"
DAY_S = 86_400
MOST_LABELS = 8
LONGEST_NAME = 40


def style(colours: Sequence[str]) -> Style:
    """The page's colours, by name: so one chart serves light, dark and paper."""
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--text)",
        foreground_strong="var(--text)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        font_family="inherit",
        label_font_size=11,
        major_label_font_size=11,
        legend_font_size=12,
        opacity="1",
        opacity_hover="1",
        transition="0s",
        colors=tuple(colours),
    )


def over_time(rows: Sequence[Mapping[str, int]], width: int) -> str:
    """How many jobs ended in each step of a time, by outcome."""
    names = [name for name in COLOURS if any(row.get(name) for row in rows)]
    chart = pygal.StackedBar(
        style=style([COLOURS[name] for name in names]), height=260, x_label_rotation=0, **COMMON, truncate_label=-1
    )
    labels = [step_label(row["t"], width) for row in rows]
    chart.x_labels = labels
    every = -(-len(labels) // MOST_LABELS)
    chart.x_labels_major = labels[::every]
    chart.show_minor_x_labels = False
    for name in names:
        chart.add(name, [row.get(name, 0) for row in rows])
    return inline(chart)


def bars(counts: Mapping[str, int | float], colour: str) -> str:
    """Counts by name."""
    chart = pygal.HorizontalBar(
        style=style([f"var(--{colour})"]), height=70 + 26 * len(counts), **{**COMMON, "show_legend": False}
    )
    names = list(counts)[::-1]
    chart.x_labels = [name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…" for name in names]
    chart.add("", [counts[name] for name in names])
    return inline(chart)


COMMON: dict[str, Any] = {
    "js": (),
    "width": 900,
    "margin": 8,
    "margin_right": 40,
    "legend_at_bottom": True,
    "show_legend": True,
    "print_values": False,
    "no_data_text": "nothing",
    "pretty_print": False,
    "disable_xml_declaration": True,
    "value_formatter": lambda value: f"{value:,.10g}" if value is not None else "",
}


def step_label(ms: int, width: int) -> str:
    """When a step began, as exactly as its width asks for."""
    when = moment(max(0, ms)).astimezone()
    if width >= DAY_S:
        return when.strftime("%Y-%m-%d")
    return when.strftime("%d %b %H:%M" if width >= 60 else "%H:%M:%S")  # noqa: PLR2004 - a minute


def inline(chart: Any) -> str:
    """The chart as an element of an HTML page; each bar says its value when it is pointed at."""
    tree = chart.render_tree()
    for parent in list(tree.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.endswith("script"):
                parent.remove(child)
            elif child.tag.endswith("desc") and "value" in child.get("class", ""):
                child.tag = child.tag.replace("desc", "title")
            elif child.tag.endswith("desc"):
                parent.remove(child)
    for element in tree.iter():
        element.tag = element.tag.removeprefix(SVG)
        for name in [name for name in element.attrib if name.startswith(("{", "xmlns"))]:
            del element.attrib[name]
    tree.set("role", "img")
    return ET.tostring(tree, encoding="unicode", short_empty_elements=False)
