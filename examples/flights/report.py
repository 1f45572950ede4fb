"""What the terminal shows at the end: the airlines, what the queue did, and whether the result is right."""

import os
from typing import Any

COLUMNS = "flights, cancelled, departure_delay, departures, arrival_delay, arrivals"


def text(
    directory: str, airlines: dict[str, str], rejects: int, summary: dict[str, Any], differences: list[str]
) -> str:
    """Return the whole report."""
    return "\n".join([*table(directory, airlines), "", queue_line(summary), check_line(rejects, differences)])


def table(directory: str, airlines: dict[str, str]) -> list[str]:
    """List the carriers, the busiest first, and all of them together."""
    import duckdb

    path = os.path.join(directory, "carriers.parquet")
    if not os.path.exists(path):
        return [f"there is no {path}"]
    carriers = duckdb.execute(
        f"SELECT carrier, {COLUMNS} FROM read_parquet(?) ORDER BY flights DESC, carrier", [path]
    ).fetchall()
    return [
        f"{'':<31} flights  cancelled  mean delay departing  arriving (minutes)",
        *(row(f"{carrier}  {airlines.get(carrier, '')}", *numbers) for carrier, *numbers in carriers),
        row("all", *(sum(number or 0 for number in column) for column in list(zip(*carriers, strict=True))[1:])),
    ]


def row(name: str, flights: int, cancelled: int, *delays: int) -> str:
    departing, arriving = mean(*delays[:2]), mean(*delays[2:])
    return f"{name:<31}{flights:>8,}{cancelled:>11,}{departing:>22}{arriving:>10}"


def mean(total: int, count: int) -> str:
    return f"{total / count:.1f}" if count else "-"


def queue_line(summary: dict[str, Any]) -> str:
    return (
        f"queue  {summary['done']:,} jobs done, {summary['failed']} failed, in {summary['seconds']:.1f} s and "
        f"{summary['attempts']:,} attempts: {summary['retried']} retried, "
        f"{summary['recovered']} recovered from a dead worker"
    )


def check_line(rejects: int, differences: list[str]) -> str:
    """Say whether the result is the one that a plain computation gives, or else where it differs first."""
    if differences:
        return "\n       ".join([f"check  FAILED: {len(differences)} differences", *differences[:5]])
    return (
        f"check  ok: every flight once, and the same {rejects:,} rows rejected; all files are the same byte for byte\n"
        "       as those of one plain pass over the daily files"
    )
