"""Partitions: a range of time cut into days, months, hours … for a backfill.

Days, weeks, months, quarters and years are those of the calendar and have no zone. Hours and minutes are instants: the
wall clock of a zone is cut, so that where it is set forth or back a partition is shorter or longer, an hour that comes
twice is two partitions, and one that never comes is none.

**Invariant**: partitions touch: one's end is the next one's start, and the first and last are where the range is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from workqueue.engine.settings import suggestion
from workqueue.errors import BadSetting
from workqueue.pipeline import moments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from workqueue.pipeline.moments import Period

MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"day": 1, "week": 7}
UNITS = ("hour", *DAYS, *MONTHS)
STEP = re.compile(r"(\d{1,4})(m|h)", re.ASCII)
DAY = timedelta(days=1)
MONDAY = date(1, 1, 1)
WORDS = ("date", "start", "end", "last", "year", "quarter", "month", "week", "day", "hour", "minute", "unit")
"""What a partition's template can use."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One stretch of time, from `start` to just before `end`: dates, or for hours and minutes aware datetimes."""

    unit: str
    start: date
    end: date

    def __str__(self) -> str:
        return moments.shown(self.start)

    def words(self) -> dict[str, str]:
        """What each of `WORDS` is for this partition."""
        start = self.start
        year, week, _ = start.isocalendar()
        time = start if isinstance(start, datetime) else None
        last = (self.end - DAY if time is None else self.end - timedelta(microseconds=1)).isoformat()[:10]
        values = (
            start.isoformat()[:10], str(self), moments.shown(self.end), last,
            f"{start.year:04}", f"{start.year:04}-Q{(start.month + 2) // 3}", f"{start.month:02}",
            f"{year:04}-W{week:02}", f"{start.day:02}",
            f"{time.hour:02}" if time else "00", f"{time.minute:02}" if time else "00", self.unit,
        )  # fmt: skip
        return dict(zip(WORDS, values, strict=True))


@dataclass(frozen=True, slots=True)
class Range:
    """The partitions of a range, made one by one."""

    unit: str
    first: date
    end: date
    step: timedelta
    zone: tzinfo

    @property
    def about(self) -> int:
        """How many there are, without making them; where the zone's clock is set a few more or less."""
        if self.unit in MONTHS:
            months = (self.end.year - self.first.year) * 12 + self.end.month - self.first.month
            return months // MONTHS[self.unit]
        return (self.end - self.first) // self.step

    def __iter__(self) -> Iterator[Partition]:
        starts = self._boundaries()
        start = next(starts)
        for end in starts:
            yield Partition(self.unit, start, end)
            start = end

    def _boundaries(self) -> Iterator[date]:
        if isinstance(self.first, datetime) and isinstance(self.end, datetime):
            yield from _instants(self.first, self.end, self.step, self.zone)
            return
        boundary = self.first
        while boundary < self.end:
            yield boundary
            boundary = _after(boundary, self.unit)
        yield boundary


def partitions(first: date | str, last: date | str, each: str = "day", *, zone: str = "UTC") -> Range:
    """Cut the time from `first` to `last`, both included, into partitions of one `each`.

    `each`: hour, day, week (from Monday), month, quarter, year; or a part of the day, such as ``"15m"`` or ``"6h"``.
    The ends are dates, months (``"2013-01"``), years or ISO weeks (``"2013-W01"``), for hours also times; all of them
    must lie where a partition begins and ends. `zone`: whose hours they are.
    """
    place = _zone(zone)
    begin, end = moments.read(first, "from"), moments.read(last, "to")
    unit, step = _unit(each)
    if unit not in {*DAYS, *MONTHS}:
        found = Range(unit, *_times(begin, end, step, place), step, place)
    elif isinstance(begin.first, datetime) or isinstance(end.first, datetime):
        raise BadSetting(f"from {first} to {last}: each {unit} takes dates, without a time")
    else:
        _check_begin(begin.first, unit, f"from {first}")
        _check_end(end.after, unit, f"to {last}")
        found = Range(unit, begin.first, end.after, step, place)
    if found.end <= found.first:
        raise BadSetting(f"from {first} to {last}: the end lies before the beginning")
    return found


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSetting(f"zone {name!r}: there is no such zone{_close(name)}") from None


def _close(name: str) -> str:
    hint = suggestion(name, sorted(available_timezones()))
    return hint if "did you mean" in hint else "; zones are called like Europe/Berlin"


def _unit(each: str) -> tuple[str, timedelta]:
    """The one name of a unit, and how long it is; of months no more than roughly, for nothing is added to them."""
    if each in DAYS:
        return each, DAY * DAYS[each]
    if each in MONTHS:
        return each, DAY * 30 * MONTHS[each]
    match = STEP.fullmatch("1h" if each == "hour" else each)
    step = timedelta(minutes=int(match[1]) * (60 if match[2] == "h" else 1)) if match else timedelta()
    if not step:
        raise BadSetting(f"each {each!r}: {', '.join(UNITS)}, or a part of a day such as 15m or 6h")
    if step >= DAY or DAY % step:
        raise BadSetting(f"each {each!r}: must go into a day without a rest, such as 15m, 1h, 6h; or take day")
    minutes = step // timedelta(minutes=1)
    return ("hour" if minutes == 60 else f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"), step  # noqa: PLR2004


def _floor(day: date, unit: str) -> date:
    """The beginning of the partition that a day lies in."""
    if unit in MONTHS:
        return date(day.year, (day.month - 1) // MONTHS[unit] * MONTHS[unit] + 1, 1)
    return day - timedelta(days=(day - MONDAY).days % DAYS[unit])


def _after(start: date, unit: str) -> date:
    """The beginning of the next one."""
    if unit in DAYS:
        return start + DAY * DAYS[unit]
    months = start.year * 12 + start.month - 1 + MONTHS[unit]
    return date(months // 12, months % 12 + 1, 1)


def _check_begin(day: date, unit: str, what: str) -> None:
    floor = _floor(day, unit)
    if day != floor:
        raise BadSetting(f"{what}: in the middle of a {unit}; use {floor} or {_after(floor, unit)}")


def _check_end(after: date, unit: str, what: str) -> None:
    floor = _floor(after, unit)
    if after != floor:
        raise BadSetting(f"{what}: in the middle of a {unit}; use {floor - DAY} or {_after(floor, unit) - DAY}")


def _times(begin: Period, end: Period, step: timedelta, zone: tzinfo) -> tuple[datetime, datetime]:
    """The instants at which the first partition begins and the last one ends."""
    first = moments.instant(begin.first, zone)
    if not _is_boundary(first, step, zone):
        raise BadSetting(f"from {moments.shown(begin.first)}: no partition of {step} begins then; use a multiple of it")
    after = moments.instant(end.after, zone)
    if _is_boundary(after, step, zone):
        return first, after
    start = moments.instant(end.first, zone)
    if not _is_boundary(start, step, zone):
        raise BadSetting(f"to {moments.shown(end.first)}: no partition of {step} begins or ends then")
    return first, next(each for each in _instants(start, start + DAY, step, zone) if each > start)


def _is_boundary(at: datetime, step: timedelta, zone: tzinfo) -> bool:
    return next(_instants(at, at, step, zone), None) == at


def _instants(first: datetime, last: datetime, step: timedelta, zone: tzinfo) -> Iterator[datetime]:
    """The boundaries from `first` to `last`, in order."""
    day = first.astimezone(zone).date()
    while day <= last.astimezone(zone).date():
        for at in _of_day(day, step, zone):
            if first <= at <= last:
                yield moments.local(at, zone)
        day += DAY


def _of_day(day: date, step: timedelta, zone: tzinfo) -> list[datetime]:
    """The instants of a day at which its wall clock shows a multiple of the step, in UTC."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - what a clock on the wall shows
    found = set()
    for number in range(DAY // step):
        shown = midnight + number * step
        for fold in (0, 1):
            at = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            real = at.astimezone(zone).replace(tzinfo=None) == shown
            if real or (number == fold == 0):  # where the clock skips midnight the day begins when it goes on
                found.add(at)
    return sorted(found)
