"""A daily file, taken apart: is it one, of which day, and which of its lines are whole?

Guarantee: each line but the header is returned once, whole or torn; or the file is refused, because no line of it can
be trusted. What the fields say is the business of `cleaning`.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,"
    "tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
)
FIELDS = HEADER.count(",") + 1


class DirtyError(ValueError):
    """A file that is no daily file, and that no retry can make one."""


class Delivery(NamedTuple):
    """The day that a file is of, its lines, and those that are not whole."""

    day: str
    lines: list[str]
    torn: list[str]


def take_apart(lines: Iterable[str]) -> Delivery:
    """Return what a daily file holds; raise DirtyError if it is none."""
    whole, torn, days = [], [], set()
    lines = iter(lines)
    header = next(lines, "")
    if header != HEADER:
        raise DirtyError(f"these are not the columns of a daily file: {header[:100]!r}")
    for line in lines:
        if line.count(",") + 1 == FIELDS and line.endswith("\n"):
            whole.append(line)
            days.add(tuple(line.split(",", 3)[:3]))
        else:
            torn.append(line)
    if len(days) != 1:
        raise DirtyError(f"a daily file holds one day, this one {len(days)}")
    return Delivery(str(date_of(*days.pop())), whole, torn)


def date_of(year: str, month: str, day: str) -> date:
    """A file's name is made of it, so it had better be one."""
    try:
        return date(int(year), int(month), int(day))
    except ValueError as error:
        raise DirtyError(f"no day of any year: {year}, {month}, {day}") from error
