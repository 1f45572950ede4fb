"""The page in the morning: the year in one HTML file that needs no network.

Invariant: it says nothing of when and where it was made; the same flights give the same bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import jinja2
import warehouse

if TYPE_CHECKING:
    import duckdb

TEMPLATE = "page.html.jinja"
QUERIES = {
    "months": "strftime(date_trunc('month', day), '%B') AS name FROM ({days}) GROUP BY ALL ORDER BY min(day)",
    "carriers": "carrier AS name FROM ({carriers}) GROUP BY ALL ORDER BY flights DESC",
    "routes": "origin || ' – ' || coalesce(airport, destination) AS name FROM ({routes}) GROUP BY ALL"
    " ORDER BY flights DESC, name LIMIT 10",
    "weather": "weather AS name FROM ({weather}) GROUP BY ALL ORDER BY departing DESC",
    "worst": "strftime(day, '%A, %-d %B') AS name FROM ({days}) GROUP BY ALL ORDER BY departing DESC, name LIMIT 10",
    "all": "'all' AS name FROM ({days}) GROUP BY ALL",
}
TITLES = {
    "months": "Months",
    "carriers": "Airlines",
    "weather": "Weather at departure",
    "worst": "The ten worst days",
    "routes": "The ten busiest routes",
}
SUMMED = """
    sum(flights)::BIGINT AS flights, sum(cancelled)::BIGINT AS cancelled,
    round(sum(departure_delay) / sum(departures), 1) AS departing,
    round(sum(arrival_delay) / sum(arrivals), 1) AS arriving
"""


def html(connection: duckdb.DuckDBPyConnection, airlines: dict[str, str]) -> str:
    """Return the page about the flights in a warehouse."""
    tables = {name: rows(connection, name) for name in QUERIES}
    for row in tables["carriers"]:
        row["name"] = airlines.get(row["name"], row["name"])
    loader = jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(__file__)))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    [everything] = tables["all"]
    return str(environment.get_template(TEMPLATE).render(tables=tables, titles=TITLES, all=everything))


def rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    """Return the rows of one of the page's tables, by column."""
    found = connection.execute(f"SELECT {SUMMED}, {QUERIES[name].format(**warehouse.AGGREGATES)}")
    columns = [column for column, *_ in found.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
