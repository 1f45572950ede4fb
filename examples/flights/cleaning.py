"""One day's flights: from the lines of a daily file to typed, checked records, joined with what else is known.

Guarantee: each row is returned once, as a flight whose clock readings, delays, distance and plane agree with each
other and with the tables, or as one that cannot have been, with the reason. `reference` says the same rules in SQL.

Knows nothing of queues and of databases: it needs only the standard library.
"""

import csv
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from tables import Airport, Tables, known, number

ORIGINS = {"EWR", "JFK", "LGA"}
MINUTES_A_DAY = 24 * 60
CLOCKS = ("dep_time", "sched_dep_time", "arr_time", "sched_arr_time")
FASTEST = 600
"""Miles an hour, on average. The airliners of 2013 make 590 or less, and all but a few gain no more from the wind."""

Row = dict[str, str]


class Flight(NamedTuple):
    """A row of the result: times in UTC, delays in minutes, None where nothing was recorded or is known."""

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
    airport: str | None
    built: int | None
    manufacturer: str | None
    seats: int | None
    wind_mph: str | None
    precipitation: str | None
    visibility: str | None


class ImpossibleError(ValueError):
    """A row that no flight can have had. Its text is one of a few, so that they can be counted."""


def clean(lines: Iterable[str], tables: Tables) -> tuple[list[Flight], list[tuple[Row, str]]]:
    """Return the flights of a day, and the rows that are none, each with the reason."""
    flights, impossible = [], []
    rows: dict[tuple[str, int, datetime], Row] = {}
    for row in csv.DictReader(lines):
        try:
            flight = clean_row(row, tables)
        except ImpossibleError as error:
            impossible.append((row, str(error)))
            continue
        if key_of(flight) in rows:
            impossible.append((row, "the same flight twice"))
            continue
        rows[key_of(flight)] = row
        flights.append(flight)
    busy = set(with_busy_planes(flights))
    impossible += [(rows[key_of(flight)], "its plane had not landed yet") for flight in flights if flight in busy]
    return [flight for flight in flights if flight not in busy], impossible


def key_of(flight: Flight) -> tuple[str, int, datetime]:
    """No airline has one number for two flights within an hour."""
    return flight.carrier, flight.number, flight.scheduled.replace(minute=0)


def with_busy_planes(flights: list[Flight]) -> Iterable[Flight]:
    """Yield the flights that left while their plane was in the air with an earlier one."""
    landed: dict[str, datetime] = {}
    flown = [(flight.departed, flight.carrier, flight.number, flight) for flight in flights if flight.departed]
    for departed, _, _, flight in sorted(flown):
        if flight.tail is None or flight.minutes_in_air is None:
            continue
        if flight.tail in landed and departed < landed[flight.tail]:
            yield flight
        landed[flight.tail] = departed + timedelta(minutes=flight.minutes_in_air)


def clean_row(row: Row, tables: Tables) -> Flight:
    """Return a row as a flight; raise ImpossibleError if it is none."""
    try:
        flight = parse(row, tables)
    except ValueError as error:
        raise ImpossibleError("a number that is none") from error
    validate(flight, row, tables)
    return flight


def parse(row: Row, tables: Tables) -> Flight:
    for column in (*CLOCKS, "hour"):
        number(row[column])
    scheduled = datetime.fromisoformat(row["time_hour"]).astimezone(UTC) + timedelta(minutes=int(row["minute"]))
    delay = number(row["dep_delay"])
    airport = tables.airports.get(row["dest"])
    plane = tables.planes.get(row["tailnum"])
    weather = tables.weather.get((row["origin"], row["time_hour"]))
    return Flight(
        date(int(row["year"]), int(row["month"]), int(row["day"])),
        row["carrier"],
        int(row["flight"]),
        known(row["tailnum"]),
        row["origin"],
        row["dest"],
        scheduled,
        None if delay is None else scheduled + timedelta(minutes=delay),
        delay,
        number(row["arr_delay"]),
        number(row["air_time"]),
        int(row["distance"]),
        row["dep_time"] == "NA",
        airport and airport.name,
        *((plane.built, plane.manufacturer, plane.seats) if plane else (None, None, None)),
        *(weather or (None, None, None)),
    )


def validate(flight: Flight, row: Row, tables: Tables) -> None:
    """Raise ImpossibleError where two columns contradict each other, or one of them the tables or nature."""
    for column in CLOCKS:
        minute_of_day(row[column])
    if flight.carrier not in tables.airlines:
        raise ImpossibleError("no such airline")
    if flight.origin not in ORIGINS:
        raise ImpossibleError("no airport of New York")
    if minute_of_day(row["sched_dep_time"]) != int(row["hour"]) * 60 + int(row["minute"]):
        raise ImpossibleError("scheduled at two times")
    if (flight.departure_delay is None) != flight.cancelled:
        raise ImpossibleError("a delay and no departure, or the reverse")
    check_delay(row["dep_time"], row["sched_dep_time"], flight.departure_delay)
    check_delay(row["arr_time"], row["sched_arr_time"], flight.arrival_delay)
    if flight.miles <= 0:
        raise ImpossibleError("no distance")
    if flight.minutes_in_air is not None:
        check_time_in_the_air(flight.minutes_in_air, flight, row, tables.airports.get(flight.destination))


def check_delay(actual: str, scheduled: str, delay: int | None) -> None:
    """The clock must show what schedule and delay give; it says nothing about the date."""
    if delay is None:  # never left, or landed elsewhere
        return
    if actual == "NA" or (minute_of_day(actual) - minute_of_day(scheduled) - delay) % MINUTES_A_DAY:
        raise ImpossibleError("the clock shows another delay")


def check_time_in_the_air(minutes: int, flight: Flight, row: Row, airport: Airport | None) -> None:
    """A plane cannot be faster than planes are, nor fly on when it has arrived."""
    if flight.miles * 60 > FASTEST * minutes:
        raise ImpossibleError(f"faster than {FASTEST} miles an hour")
    if airport and minutes > gate_to_gate(row, airport):
        raise ImpossibleError("longer in the air than from gate to gate")


def gate_to_gate(row: Row, airport: Airport) -> int:
    """Return the minutes from leaving one gate to reaching the other; both clocks show local time."""
    new_york = (int(row["hour"]) - datetime.fromisoformat(row["time_hour"]).hour - 12) % 24 - 12
    is_summer = new_york == -4
    there = airport.offset + (is_summer and airport.has_summer_time)
    shown = minute_of_day(row["arr_time"]) - minute_of_day(row["dep_time"])
    return (shown - 60 * (there - new_york)) % MINUTES_A_DAY


def minute_of_day(clock: str) -> int:
    """`517` is 05:17; midnight is written `2400` as often as `0`."""
    hours, minutes = divmod(number(clock) or 0, 100)
    if not (0 <= hours <= 24 and 0 <= minutes < 60):
        raise ImpossibleError("no time of day")
    return hours * 60 + minutes
