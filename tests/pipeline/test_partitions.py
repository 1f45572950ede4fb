"""Partitions: they touch, none is left out, none comes twice; the calendar's and the clock's oddities included."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.errors import BadSetting
from workqueue.pipeline import partitions
from workqueue.pipeline.partitions import WORDS

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/New_York",
]


def starts(*words: str, **how: str) -> list[str]:
    return [str(each) for each in partitions(*words, **how)]


@pytest.mark.parametrize(
    ("first", "last", "each", "count", "ends"),
    [
        ("2013-01-01", "2013-12-31", "day", 365, ["2013-01-01", "2013-12-31"]),
        ("2012", "2012", "day", 366, ["2012-01-01", "2012-12-31"]),
        ("2013-01-01", "2013-01-01", "day", 1, ["2013-01-01", "2013-01-01"]),
        ("2013-02", "2013-03", "day", 59, ["2013-02-01", "2013-03-31"]),
        ("2013-01", "2014-12", "month", 24, ["2013-01-01", "2014-12-01"]),
        ("2013-01-01", "2013-12-31", "month", 12, ["2013-01-01", "2013-12-01"]),
        ("2013", "2013", "quarter", 4, ["2013-01-01", "2013-10-01"]),
        ("1999", "2013", "year", 15, ["1999-01-01", "2013-01-01"]),
        ("2012-W52", "2013-W02", "week", 3, ["2012-12-24", "2013-01-07"]),
        ("2012-12-31", "2013-01-06", "week", 1, ["2012-12-31", "2012-12-31"]),
        ("2013-01-01", "2013-01-02", "hour", 48, ["2013-01-01T00:00Z", "2013-01-02T23:00Z"]),
        ("2013-01-01T05", "2013-01-01T07", "hour", 3, ["2013-01-01T05:00Z", "2013-01-01T07:00Z"]),
        ("2013-01-01T05:00", "2013-01-01T07:00", "hour", 3, ["2013-01-01T05:00Z", "2013-01-01T07:00Z"]),
        ("2013-01-01T05:00", "2013-01-01T07:59", "hour", 3, ["2013-01-01T05:00Z", "2013-01-01T07:00Z"]),
        ("2013-01-01T05:00+02:00", "2013-01-01T05:00Z", "hour", 3, ["2013-01-01T03:00Z", "2013-01-01T05:00Z"]),
        ("2013-01-01", "2013-01-01T06:00", "6h", 2, ["2013-01-01T00:00Z", "2013-01-01T06:00Z"]),
        ("2013-01-01", "2013-01-01", "15m", 96, ["2013-01-01T00:00Z", "2013-01-01T23:45Z"]),
    ],
)
def test_both_ends_are_included(first: str, last: str, each: str, count: int, ends: list[str]) -> None:
    found = starts(first, last, each)
    assert (len(found), [found[0], found[-1]]) == (count, ends)
    assert partitions(first, last, each).about == count


def test_dates_are_taken_as_well_as_texts() -> None:
    assert starts(date(2013, 1, 1), date(2013, 1, 3)) == ["2013-01-01", "2013-01-02", "2013-01-03"]  # type: ignore[arg-type]
    at = datetime(2013, 1, 1, 5, tzinfo=UTC)
    assert starts(at, at, "hour") == ["2013-01-01T05:00Z"]  # type: ignore[arg-type]


def begins(day: date, unit: str) -> bool:
    """Whether a partition begins on a day."""
    months = {"month": range(1, 13), "quarter": (1, 4, 7, 10), "year": (1,)}
    return day.isoweekday() == 1 if unit == "week" else day.day == 1 and day.month in months[unit]


def whole(unit: str) -> st.SearchStrategy[tuple[date, date]]:
    """Ranges of days; half of them of whole partitions, as far as there are any."""
    days = st.dates(date(1000, 1, 1), date(2500, 1, 1))
    if unit == "week":
        days = days.map(lambda day: day - timedelta(days=day.weekday()))
    elif unit != "day":
        days = days.map(
            lambda day: day.replace(
                day=1, month={"year": 1, "quarter": (day.month - 1) // 3 * 3 + 1}.get(unit, day.month)
            )
        )
    exact = st.tuples(days, days).map(
        lambda pair: (min(pair), max(pair) - timedelta(days=1)) if pair[0] != pair[1] else (pair[0], pair[0])
    )
    anyhow = st.tuples(days, st.integers(0, 3000)).map(lambda pair: (pair[0], pair[0] + timedelta(days=pair[1])))
    return exact.filter(lambda pair: (pair[1] - pair[0]).days < 4000) | anyhow


@pytest.mark.parametrize("unit", ["day", "week", "month", "quarter", "year"])
@given(data=st.data())
def test_calendar_partitions_touch_and_lie_in_the_range(unit: str, data: st.DataObject) -> None:
    first, last = data.draw(whole(unit))
    if unit != "day" and not (begins(first, unit) and begins(last + timedelta(days=1), unit)):
        with pytest.raises(BadSetting, match="in the middle of"):
            partitions(str(first), str(last), unit)
        return
    found = list(partitions(str(first), str(last), unit))
    assert (found[0].start, found[-1].end) == (first, last + timedelta(days=1))
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert partitions(str(first), str(last), unit).about == len(found)


@pytest.mark.parametrize("zone", ZONES)
@given(first=st.dates(date(1990, 1, 1), date(2030, 1, 1)), each=st.sampled_from(["hour", "15m", "6h", "2h", "90m"]))
def test_hours_touch_and_fill_the_days_whatever_the_zone_s_clock_does(zone: str, first: date, each: str) -> None:
    found = list(partitions(str(first), str(first + timedelta(days=2)), each, zone=zone))
    place = ZoneInfo(zone)
    assert found[0].start == datetime(first.year, first.month, first.day, tzinfo=place).astimezone(UTC)
    after = first + timedelta(days=3)
    assert found[-1].end == datetime(after.year, after.month, after.day, tzinfo=place).astimezone(UTC)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert all(isinstance(one.start, datetime) and one.start < one.end for one in found)
    assert len({str(one) for one in found}) == len(found), "no two have one name"


@pytest.mark.parametrize(
    ("zone", "day", "each", "count", "some"),
    [
        ("Europe/Berlin", "2013-10-27", "hour", 25, ["2013-10-27T02:00+02:00", "2013-10-27T02:00+01:00"]),
        ("Europe/Berlin", "2013-03-31", "hour", 23, ["2013-03-31T01:00+01:00", "2013-03-31T03:00+02:00"]),
        ("Europe/Berlin", "2013-03-31", "6h", 4, ["2013-03-31T00:00+01:00", "2013-03-31T06:00+02:00"]),
        ("America/Sao_Paulo", "2013-10-20", "6h", 4, ["2013-10-20T01:00-02:00", "2013-10-20T06:00-02:00"]),
        ("Australia/Lord_Howe", "2013-04-07", "30m", 49, ["2013-04-07T01:30+11:00", "2013-04-07T01:30+10:30"]),
    ],
)
def test_where_the_clock_is_set_a_day_has_more_hours_or_fewer(
    zone: str, day: str, each: str, count: int, some: list[str]
) -> None:
    found = starts(day, day, each, zone=zone)
    assert len(found) == count
    place = found.index(some[0])
    assert found[place : place + 2] == some


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2013-01-15", "2013-12-31", "month"], "from 2013-01-15: in the middle of a month; use 2013-01-01 or 2013-02-01"),
        (["2013-01-01", "2013-12-01", "month"], "to 2013-12-01: in the middle of a month; use 2013-11-30 or 2013-12-31"),
        (["2013-01-01", "2013-12-31", "week"], "from 2013-01-01: in the middle of a week; use 2012-12-31 or 2013-01-07"),
        (["2013-02", "2013-12", "quarter"], "use 2013-01-01 or 2013-04-01"),
        (["2013-01-02", "2013-01-01", "day"], "from 2013-01-02 to 2013-01-01: the end lies before the beginning"),
        (["2013-01-01T05", "2013-01-01T04", "hour"], "the end lies before the beginning"),
        (["2013-01-01T05:30", "2013-01-02", "hour"], "no partition of 1:00:00 begins then"),
        (["2013-01-01", "2013-01-02T05:00", "6h"], "no partition of 6:00:00 begins or ends then"),
        (["2013-01-01T05", "2013-01-02", "day"], "each day takes dates, without a time"),
        (["2013-02-30", "2013-03-01", "day"], "from 2013-02-30: day is out of range for month"),
        (["2013-13", "2014", "day"], "from 2013-13: month must be in 1..12"),
        (["2013-W60", "2014", "week"], "Invalid week"),
        (["0001-01-01", "2013", "day"], "use a date such as"),
        (["yesterday", "2013", "day"], "from 'yesterday': use a date such as 2013-01-31"),
        (["2013-1-1", "2013", "day"], "use a date such as"),
        (["2013", "", "day"], "to '': use a date such as"),
        (["2013", "2013", "fortnight"], "each 'fortnight': hour, day, week, month, quarter, year, or a part of a day"),
        (["2013", "2013", "7h"], "each '7h': must go into a day without a rest"),
        (["2013", "2013", "24h"], "or take day"),
        (["2013", "2013", "0m"], "each '0m': hour, day"),
    ],
)  # fmt: skip
def test_a_range_that_is_not_made_of_whole_partitions_is_refused_with_what_would_do(
    words: list[str], message: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        partitions(*words)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Belin", "did you mean 'Europe/Berlin'?"),
        ("../etc/passwd", "there is no such zone"),
        ("", "there is no such zone"),
        ("a\0b", "no such zone"),
    ],
)
def test_an_unknown_zone_is_refused(zone: str, message: str) -> None:
    with pytest.raises(BadSetting) as caught:
        partitions("2013", "2013", "hour", zone=zone)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("each", "unit"), [("hour", "hour"), ("1h", "hour"), ("60m", "hour"), ("360m", "6h"), ("6h", "6h"), ("90m", "90m")]
)
def test_a_unit_has_one_name_however_it_is_said(each: str, unit: str) -> None:
    assert partitions("2013-01-01", "2013-01-01", each).unit == unit


def words(*given: str, **how: str) -> dict[str, str]:
    return next(iter(partitions(*given, **how))).words()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            ["2013-02", "2013-02", "month"],
            {"date": "2013-02-01", "start": "2013-02-01", "end": "2013-03-01", "last": "2013-02-28", "year": "2013", "quarter": "2013-Q1", "month": "02", "week": "2013-W05", "day": "01", "hour": "00", "minute": "00", "unit": "month"},
        ),
        (
            ["2012-12-31", "2012-12-31", "day"],
            {"date": "2012-12-31", "start": "2012-12-31", "end": "2013-01-01", "last": "2012-12-31", "year": "2012", "quarter": "2012-Q4", "month": "12", "week": "2013-W01", "day": "31", "hour": "00", "minute": "00", "unit": "day"},
        ),
        (
            ["2013-01-01T23:30", "2013-01-01", "30m"],
            {"date": "2013-01-01", "start": "2013-01-01T23:30Z", "end": "2013-01-02T00:00Z", "last": "2013-01-01", "year": "2013", "quarter": "2013-Q1", "month": "01", "week": "2013-W01", "day": "01", "hour": "23", "minute": "30", "unit": "30m"},
        ),
    ],
)  # fmt: skip
def test_what_a_template_can_say_of_a_partition(given: list[str], expected: dict[str, Any]) -> None:
    assert words(*given) == expected
    assert tuple(expected) == WORDS
