"""What is kept of many numbers: as right as is promised, and in bounded memory."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from workqueue.pipeline.sketches import (
    ACCURACY,
    LEAST,
    MOST_NAMES,
    MOST_STEPS,
    OTHERS,
    Largest,
    Percentiles,
    Series,
    Tally,
)

DURATIONS = st.lists(st.one_of(st.just(0.0), st.floats(LEAST, 1e6)), min_size=1, max_size=200)


@given(DURATIONS, st.sampled_from([0.01, 0.5, 0.95, 1.0]))
def test_a_percentile_is_within_a_hundredth_of_the_true_one(values: list[float], share: float) -> None:
    found = Percentiles()
    for value in values:
        found.add(value)
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    at = found.at(share)
    assert at is not None
    assert math.isclose(at, true, rel_tol=ACCURACY * 1.001, abs_tol=2 * LEAST)
    assert (found.least, found.most, found.count) == (min(values), max(values), len(values))
    assert math.isclose(found.total, sum(values))


def test_percentiles_of_nothing_are_none() -> None:
    assert Percentiles().as_dict() == {"mean": None, "p50": None, "p95": None, "max": None}


def test_a_million_different_numbers_fill_few_buckets() -> None:
    found = Percentiles()
    for exponent in range(-6, 10):
        for digit in range(1, 2000):
            found.add(digit * 10.0**exponent)
    assert len(found._buckets) < 2500


@given(st.lists(st.tuples(st.sampled_from(["done", "failed"]), st.integers(0, 40 * 86_400_000)), max_size=100))
def test_a_series_loses_nothing_and_never_has_too_many_steps(events: list[tuple[str, int]]) -> None:
    found = Series()
    for name, ms in events:
        found.add(name, ms)
    rows = found.rows()
    assert len(rows) <= MOST_STEPS
    for row in rows:
        for name in ("done", "failed"):
            inside = [1 for what, ms in events if what == name and 0 <= ms - row["t"] < found.width * 1000]
            assert row.get(name, 0) == len(inside)
    assert sum(row.get("done", 0) + row.get("failed", 0) for row in rows) == len(events)


def test_a_series_with_a_clock_that_was_wrong_by_decades_shows_what_there_is() -> None:
    found = Series()
    for ms in (0, 1_782_864_000_000, 1_782_864_000_001, 10**16):
        found.add("done", ms)
    assert [row["done"] for row in found.rows()] == [1, 2, 1]


def test_the_largest_come_first_and_of_equals_the_first() -> None:
    found = Largest(3)
    for number, value in enumerate([1.0, 5.0, 2.0, 5.0, 0.5, 5.0, 5.0]):
        found.add(value, {"n": number})
    assert [item["n"] for item in found.items()] == [1, 3, 5]


def test_names_without_end_count_as_others() -> None:
    found = Tally()
    for number in range(10 * MOST_NAMES):
        found.add(f"error {number}")
    found.add("error 0", 2.5)
    counts = found.as_dict()
    assert len(counts) == MOST_NAMES + 1
    assert list(counts.items())[:2] == [(OTHERS, 9 * MOST_NAMES), ("error 0", 3.5)]
