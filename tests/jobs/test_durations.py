"""Durations, times and sizes as people write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.errors import BadSetting
from workqueue.jobs.durations import LONGEST, moment, seconds, shown_size, size, spoken
from workqueue.jobs.names import parse


class TestSeconds:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("1h30m15s", 5415),
            ("2d", 172800),
            ("1w", 604800),
            ("250ms", 0.25),
            ("1.5h", 5400),
            ("90", 90),
            ("0.5", 0.5),
            ("1e3", 1000),
            (" 10m ", 600),
            ("0", 0),
            ("0s", 0),
            (0, 0),
            (90, 90),
            (1.5, 1.5),
            (timedelta(minutes=10), 600),
            (timedelta(), 0),
            (LONGEST, LONGEST),
        ],
    )
    def test_are_read(self, text: Any, value: float) -> None:
        assert seconds(text) == pytest.approx(value)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            " ",
            "m",
            "10 m",
            "10x",
            "10m!",
            "!10m",
            "1h 30m",
            "-1s",
            "-5",
            "10M",
            "١٠m",
            "nan",
            "inf",
            "9" * 400,
            -1,
            -0.001,
            math.nan,
            math.inf,
            -math.inf,
            10**400,
            LONGEST + 1,
            True,
            False,
            None,
            b"10m",
            [10],
            timedelta(seconds=-1),
            timedelta.max,
        ],
    )
    def test_negative_endless_and_unreadable_ones_are_refused_with_the_name_of_the_option(self, value: Any) -> None:
        with pytest.raises(BadSetting, match=r"timeout .*: use seconds, a timedelta, or text such as"):
            seconds(value, "timeout")

    @given(st.floats(0, LONGEST))
    def test_a_number_means_seconds_also_as_text(self, value: float) -> None:
        assert seconds(value) == seconds(repr(value)) == value

    @given(st.integers(0, 500), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
    def test_parts_add_up(self, d: int, h: int, m: int, s: int) -> None:
        assert seconds(f"{d}d{h}h{m}m{s}s") == timedelta(days=d, hours=h, minutes=m, seconds=s).total_seconds()

    @given(st.text(max_size=20))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            assert 0 <= seconds(text) <= LONGEST
        except BadSetting as error:
            assert repr(text) in str(error)  # noqa: PT017


class TestMoment:
    def test_is_milliseconds_since_the_epoch(self) -> None:
        assert moment(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000
        assert moment(datetime(1970, 1, 1, 2, 0, 1, tzinfo=timezone(timedelta(hours=2)))) == 1000
        assert moment("2026-07-01T04:00+02:00") == moment("2026-07-01T02:00Z") == 1782871200000

    def test_is_rounded_up_so_that_nothing_runs_early(self) -> None:
        assert moment(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)) == 1001

    @pytest.mark.parametrize("value", [datetime(2026, 7, 1), "2026-07-01T04:00", "2026-07-01"])  # noqa: DTZ001
    def test_without_a_time_zone_is_refused(self, value: Any) -> None:
        with pytest.raises(BadSetting, match=r"at 2026-07-01T0.:00:00: has no time zone"):
            moment(value, "at")

    @pytest.mark.parametrize("value", ["", "tomorrow", "2026-13-01T00:00Z", None, 5, 5.0, True])
    def test_what_is_no_time_is_refused(self, value: Any) -> None:
        with pytest.raises(BadSetting, match=r"at .*: (use ISO 8601|must be a datetime)"):
            moment(value, "at")

    def test_what_is_past_is_due_now_also_before_1970(self) -> None:
        assert moment("1969-12-31T23:59:59Z") == moment("0001-01-01T00:00Z") == 0

    def test_what_does_not_fit_the_13_digits_of_a_name_is_refused(self) -> None:
        assert moment("2286-11-20T17:46:39.999Z") == 10**13 - 1
        with pytest.raises(BadSetting, match="too far away"):
            moment("2286-11-20T17:46:40Z")
        with pytest.raises(BadSetting, match="too far away"):
            moment(datetime.max.replace(tzinfo=UTC))

    @given(st.datetimes(max_value=datetime(2286, 11, 20), timezones=st.just(UTC)))  # noqa: DTZ001
    def test_any_moment_makes_a_name_that_is_read_back(self, value: datetime) -> None:
        due = moment(value)
        name = parse(f"{due:013d}-5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0")
        assert name is not None
        assert (name.due or 0) == due


class TestSize:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (0, 0),
            (10, 10),
            ("10", 10),
            ("64M", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1k", 1024),
            ("2GB", 2 << 30),
            ("1.5K", 1536),
            ("1T", 1 << 40),
            ("7B", 7),
        ],
    )
    def test_is_read(self, text: Any, value: int) -> None:
        assert size(text) == value

    @pytest.mark.parametrize(
        "value",
        ["", "M", "64X", "-1", "-1M", "1.2.3", "nan", "9" * 400, "9" * 5000, -1, 1.5, True, None, 1 << 90, b"1"],
    )
    def test_anything_else_is_refused(self, value: Any) -> None:
        with pytest.raises(BadSetting, match=r"max_bytes .*: use bytes, or text"):
            size(value, "max_bytes")


class TestForPeople:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0 ms"),
            (0.25, "250 ms"),
            (1, "1 s"),
            (12.345, "12.3 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (5415, "1 h 30 min"),
            (86400, "1 d"),
            (90061, "1 d 1 h"),
        ],
    )
    def test_a_duration_has_two_units_at_most(self, value: float, text: str) -> None:
        assert spoken(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (64 << 20, "64.0 MiB"), (3 << 29, "1.5 GiB"), (5 << 40, "5.0 TiB")],
    )  # fmt: skip
    def test_a_size_has_one_unit(self, value: float, text: str) -> None:
        assert shown_size(value) == text

    @given(st.floats(0, LONGEST))
    def test_any_duration_can_be_spoken(self, value: float) -> None:
        assert spoken(value)
