"""Backoff: exponential, with full jitter, bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.errors import BadSetting
from workqueue.jobs.retry import Backoff, backoff

ALMOST = 1 - 1e-12


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 15), (2, 30), (3, 60), (4, 120), (11, 15360), (12, 21600), (13, 21600), (10**6, 21600)]
)
def test_the_longest_wait_doubles_with_each_attempt_up_to_the_limit(attempt: int, most: float) -> None:
    assert Backoff().delay(attempt, ALMOST) == pytest.approx(most)
    assert Backoff().delay(attempt, 0.0) == 0.0
    assert Backoff().delay(attempt, 0.5) == pytest.approx(most / 2)


@given(st.integers(0, 10**9), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, ALMOST))
def test_a_wait_is_never_negative_nor_over_the_limit(attempt: int, base: float, more: float, chance: float) -> None:
    policy = Backoff(base, base + more)
    assert 0 <= policy.delay(attempt, chance) <= policy.most


def test_a_thousand_jobs_that_failed_together_do_not_come_back_together() -> None:
    waits = [Backoff(100, 100).delay(1) for _ in range(1000)]
    assert len(set(waits)) > 990
    quarters = [sum(1 for wait in waits if low <= wait < low + 25) for low in (0, 25, 50, 75)]
    assert min(quarters) > 150


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("15s..6h", Backoff(15, 21600)),
        ("0..0", Backoff(0, 0)),
        ("10s", Backoff(10, 10)),
        (10, Backoff(10, 10)),
        (Backoff(1, 2), Backoff(1, 2)),
        ("1s .. 2s", Backoff(1, 2)),
    ],
)
def test_a_policy_is_read(value: Any, policy: Backoff) -> None:
    assert backoff(value) == policy


@pytest.mark.parametrize("value", ["", "..", "1s..", "..1s", "2s..1s", "a..b", "1s..2s..3s", None, [1, 2], -1, True])
def test_a_policy_that_means_nothing_is_refused(value: Any) -> None:
    with pytest.raises(BadSetting, match=r"fsq\.toml: backoff"):
        backoff(value, "fsq.toml: backoff")
