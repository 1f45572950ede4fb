"""One day's flights: from the text of a daily file to typed, checked records.

Guarantee: either every line of a file is a flight of the same day whose clock readings, delays and dates
agree with each other, or the file is refused as a whole, with the line that is wrong. There is no
half-clean day.

Knows nothing of queues and of Parquet: it needs only the standard library.
"""

import csv
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,"
    "tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
ORIGINS = {"EWR", "JFK", "LGA"}
MINUTES_A_DAY = 24 * 60


class DirtyError(ValueError):
    """A file that no retry can make clean."""


class Flight(NamedTuple):
    """A row of the result: times in UTC, delays in minutes, None where nothing was recorded."""

    day: date
    carrier: str
    number: int
    tail: str | None
    origin: str
    destination: str
    scheduled: datetime
    departed: datetime | None
    departure_delay: int | None
    arrival_delay: int | None
    minutes_in_air: int | None
    miles: int
    cancelled: bool


def clean(lines: Iterable[str]) -> list[Flight]:
    """Return the flights of a daily file; raise DirtyError unless all of them are sound."""
    rows = csv.DictReader(lines)
    if ",".join(rows.fieldnames or ()) != HEADER:
        raise DirtyError(f"line 1: these are not the columns of a daily file: {rows.fieldnames}")
    flights = [clean_row(row, rows.line_num) for row in rows]
    days = {flight.day for flight in flights}
    if len(days) != 1:
        raise DirtyError(f"a daily file holds one day, this one {len(days)}")
    return flights


def clean_row(row: dict[str, str], line: int) -> Flight:
    try:
        flight = parse(row)
        validate(flight, row)
    except (ValueError, TypeError) as error:  # TypeError: a line with too few fields
        raise DirtyError(f"line {line}: {error}") from error
    return flight


def parse(row: dict[str, str]) -> Flight:
    if len(row) != HEADER.count(",") + 1:
        raise ValueError("more fields than columns")
    scheduled = datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
    delay = number_or_none(row["dep_delay"])
    return Flight(
        day=date(int(row["year"]), int(row["month"]), int(row["day"])),
        carrier=row["carrier"],
        number=int(row["flight"]),
        tail=None if row["tailnum"] == "NA" else row["tailnum"],
        origin=row["origin"],
        destination=row["dest"],
        scheduled=scheduled,
        departed=None if delay is None else scheduled + timedelta(minutes=delay),
        departure_delay=delay,
        arrival_delay=number_or_none(row["arr_delay"]),
        minutes_in_air=number_or_none(row["air_time"]),
        miles=int(row["distance"]),
        cancelled=row["dep_time"] == "NA",
    )


def validate(flight: Flight, row: dict[str, str]) -> None:
    """Raise ValueError where two columns contradict each other, or one of them common sense."""
    if flight.origin not in ORIGINS:
        raise ValueError(f"{flight.origin} is not an airport of New York")
    if flight.miles <= 0:
        raise ValueError(f"a flight of {flight.miles} miles")
    if flight.scheduled.tzinfo is not UTC:
        raise ValueError(f"{row['time_hour']} is not in UTC")
    if minute_of_day(row["sched_dep_time"]) != int(row["hour"]) * 60 + int(row["minute"]):
        raise ValueError(f"scheduled at {row['sched_dep_time']}, or at {row['hour']} h {row['minute']}")
    if (flight.departure_delay is None) != flight.cancelled:
        raise ValueError(f"departed at {row['dep_time']} with a delay of {row['dep_delay']}")
    check_delay(row["dep_time"], row["sched_dep_time"], flight.departure_delay)
    check_delay(row["arr_time"], row["sched_arr_time"], flight.arrival_delay)


def check_delay(actual: str, scheduled: str, delay: int | None) -> None:
    """The clock must show what schedule and delay give; it says nothing about the date."""
    if delay is None:  # never left, or landed elsewhere
        return
    if (minute_of_day(actual) - minute_of_day(scheduled) - delay) % MINUTES_A_DAY:
        raise ValueError(f"{actual} is not {delay} minutes after {scheduled}")


def number_or_none(text: str) -> int | None:
    return None if text == "NA" else int(text)


def minute_of_day(clock: str) -> int:
    """`517` is 05:17; midnight is written `2400` as often as `0`."""
    hours, minutes = divmod(int(clock), 100)
    if not (0 <= hours <= 24 and 0 <= minutes < 60):
        raise ValueError(f"{clock} is no time of day")
    return hours * 60 + minutes
