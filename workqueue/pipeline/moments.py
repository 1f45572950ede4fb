"""Dates and times as people write the ends of a range: a year, a month, a week, a day, an hour, a minute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from datetime import tzinfo

FORM = re.compile(
    r"(?P<year>\d{4})(?:-W(?P<week>\d\d)|-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d)(?::(?P<minute>\d\d)(?::00)?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
EARLIEST, LATEST = 1000, 9000
"""Years: what lies outside is a mistake, and arithmetic inside it never leaves what Python can hold."""


@dataclass(frozen=True, slots=True)
class Period:
    """What a text of some precision names: from its first day or minute to just before `after`."""

    first: date
    after: date


def read(value: date | str, what: str) -> Period:
    """Read one end of a range. A time without a zone is one of the zone that the range is cut in."""
    if isinstance(value, datetime):
        value = value.isoformat(timespec="minutes")
    match = FORM.fullmatch(str(value).strip())
    try:
        if match and EARLIEST <= int(match["year"]) < LATEST:
            return _period({name: text for name, text in match.groupdict().items() if text})
    except ValueError as error:
        raise BadSetting(f"{what} {value}: {error}") from None
    raise BadSetting(
        f"{what} {value!r}: use a date such as 2013-01-31, 2013-01, 2013 or 2013-W05, for hours also 2013-01-31T06:00"
    )


def _period(parts: dict[str, str]) -> Period:
    year = int(parts["year"])
    if "week" in parts:
        monday = date.fromisocalendar(year, int(parts["week"]), 1)
        return Period(monday, monday + timedelta(days=7))
    if "month" not in parts:
        return Period(date(year, 1, 1), date(year + 1, 1, 1))
    month = int(parts["month"])
    if "day" not in parts:
        return Period(date(year, month, 1), date(year + month // 12, month % 12 + 1, 1))
    day = date(year, month, int(parts["day"]))
    if "hour" not in parts:
        return Period(day, day + timedelta(days=1))
    at = datetime(year, month, day.day, int(parts["hour"]), int(parts.get("minute", 0)))  # noqa: DTZ001 - may have none
    if "zone" in parts:
        at = datetime.fromisoformat(f"{at.isoformat()}{parts['zone']}").astimezone(UTC)
    return Period(at, at + timedelta(minutes=1 if "minute" in parts else 60))


def instant(value: date, zone: tzinfo) -> datetime:
    """The instant at which the clock of the zone shows it; of two the first, of none when the clock goes on."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - midnight, wherever it is
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


def local(at: datetime, zone: tzinfo) -> datetime:
    """The instant by the clock of the zone, its offset a fixed one: datetimes of one zone compare by the wall clock."""
    there = at.astimezone(zone)
    return there.replace(tzinfo=timezone(there.utcoffset() or timedelta()), fold=0)


def shown(value: date) -> str:
    """A date as it is, a time to the minute with its zone."""
    if not isinstance(value, datetime):
        return value.isoformat()
    text = value.isoformat(timespec="minutes")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
