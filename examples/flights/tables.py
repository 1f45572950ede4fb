"""What is known beside the flights: airlines, airports, planes, the weather of each hour. A lookup each.

Nothing is known of four airports in the Caribbean, of the planes of one flight in seven, and of some hours: None stands
for that.
"""

import functools
from typing import NamedTuple

import dataset


class Airport(NamedTuple):
    """Where a flight goes. The offset is that of winter, in hours."""

    name: str
    offset: int
    has_summer_time: bool


class Plane(NamedTuple):
    """The year it was built in, who built it, and for how many."""

    built: int | None
    manufacturer: str
    seats: int


class Weather(NamedTuple):
    """At a New York airport in one hour: as text, for nobody here calculates with it."""

    wind_mph: str | None
    precipitation: str | None
    visibility: str | None


class Tables(NamedTuple):
    """The lookups: by carrier, by airport, by tail number, by airport and hour."""

    airlines: dict[str, str]
    airports: dict[str, Airport]
    planes: dict[str, Plane]
    weather: dict[tuple[str, str], Weather]


@functools.cache
def tables() -> Tables:
    """Read the tables; once in a process."""
    return Tables(
        {row["carrier"]: row["name"] for row in dataset.table("airlines")},
        {row["faa"]: Airport(row["name"], int(row["tz"]), row["dst"] == "A") for row in dataset.table("airports")},
        {row["tailnum"]: plane(row) for row in dataset.table("planes")},
        {(row["origin"], row["time_hour"]): weather(row) for row in dataset.table("weather")},
    )


def plane(row: dict[str, str]) -> Plane:
    return Plane(number(row["year"]), row["manufacturer"], int(row["seats"]))


def weather(row: dict[str, str]) -> Weather:
    return Weather(known(row["wind_speed"]), known(row["precip"]), known(row["visib"]))


def known(text: str) -> str | None:
    return None if text == "NA" else text


def number(text: str) -> int | None:
    """Return the number that stands there, None for `NA`; raise ValueError for anything else."""
    return None if text == "NA" else int(text)
