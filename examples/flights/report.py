"""The report: what DuckDB finds in the Parquet files, and whether it is what the source holds.

Invariant: the two counts share nothing but the definition of `Totals`. `from_parquet` reads what the queue
made; `from_source` is one pass over the original data, with neither the cleaning code nor Parquet.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

NOTHING_RECORDED = "NA"


class Totals(NamedTuple):
    """Sums over one carrier's flights; a delay counts where it was recorded."""

    flights: int = 0
    cancelled: int = 0
    miles: int = 0
    departures: int = 0
    departure_delay: int = 0
    arrivals: int = 0
    arrival_delay: int = 0

    def plus(self, other: "Totals") -> "Totals":
        return Totals(*map(sum, zip(self, other, strict=True)))


def from_parquet(files: list[str]) -> dict[str, Totals]:
    """Total the Parquet files by carrier."""
    import duckdb  # here, so that the rest can be used without it

    if not files:
        return {}

    rows = duckdb.execute(
        """
        SELECT carrier, count(*), count(*) FILTER (cancelled), sum(miles),
               count(departure_delay), coalesce(sum(departure_delay), 0),
               count(arrival_delay), coalesce(sum(arrival_delay), 0)
        FROM read_parquet(?) GROUP BY carrier
        """,
        [files],
    ).fetchall()
    return {carrier: Totals(*map(int, sums)) for carrier, *sums in rows}


def from_source(lines: Iterable[str]) -> dict[str, Totals]:
    """Total the original CSV lines by carrier."""
    totals: defaultdict[str, Totals] = defaultdict(Totals)
    for row in csv.DictReader(lines):
        totals[row["carrier"]] = totals[row["carrier"]].plus(
            Totals(
                1,
                row["dep_time"] == NOTHING_RECORDED,
                int(row["distance"]),
                *recorded(row["dep_delay"]),
                *recorded(row["arr_delay"]),
            )
        )
    return dict(totals)


def recorded(text: str) -> tuple[int, int]:
    return (0, 0) if text == NOTHING_RECORDED else (1, int(text))


def text(
    loaded: dict[str, Totals], source: dict[str, Totals], summary: dict[str, Any], airlines: dict[str, str]
) -> str:
    """Return the whole report: the airlines, the queue's own statistics, and the check."""
    return "\n".join([*table(loaded, airlines), "", queue_line(summary), check_line(loaded, source)])


def table(carriers: dict[str, Totals], airlines: dict[str, str]) -> list[str]:
    """Draw the carriers, the busiest first, and all of them together."""
    busiest = sorted(carriers, key=lambda carrier: -carriers[carrier].flights)
    return [
        f"{'':<31} flights  cancelled  mean delay departing  arriving (minutes)",
        *(row(f"{carrier}  {airlines.get(carrier, '')}", carriers[carrier]) for carrier in busiest),
        row("all", together(carriers)),
    ]


def row(name: str, totals: Totals) -> str:
    departing = mean(totals.departure_delay, totals.departures)
    arriving = mean(totals.arrival_delay, totals.arrivals)
    return f"{name:<31}{totals.flights:>8,}{totals.cancelled:>11,}{departing:>22}{arriving:>10}"


def mean(total: int, count: int) -> str:
    return f"{total / count:.1f}" if count else "-"


def together(carriers: dict[str, Totals]) -> Totals:
    everything = Totals()
    for totals in carriers.values():
        everything = everything.plus(totals)
    return everything


def queue_line(summary: dict[str, Any]) -> str:
    return (
        f"queue  {summary['done']} jobs done, {summary['failed']} failed, in {summary['seconds']:.1f} s and "
        f"{summary['attempts']} attempts: {summary['retried']} retried, "
        f"{summary['recovered']} recovered from a dead worker"
    )


def check_line(loaded: dict[str, Totals], source: dict[str, Totals]) -> str:
    """Say whether the Parquet files hold exactly what the source holds, or else where they differ first."""
    if loaded != source:
        carrier = min(name for name in loaded | source if loaded.get(name) != source.get(name))
        return f"check  FAILED: {carrier}: loaded {loaded.get(carrier)}, source {source.get(carrier)}"
    whole = together(source)
    return (
        f"check  ok: {whole.flights:,} flights, {whole.cancelled:,} cancelled, {whole.miles:,} miles, delays of "
        f"{whole.departure_delay:,} and {whole.arrival_delay:,} minutes:\n"
        f"       the same, for each of {len(source)} carriers, as in one plain pass over the source"
    )
