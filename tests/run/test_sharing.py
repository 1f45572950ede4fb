"""Whose turn a free worker is: by data, without processes."""

from __future__ import annotations

from collections import Counter

import pytest

from workqueue.run.sharing import FirstNamed, Share, Shares

EXTRACT, CLEAN, LOAD = Share("extract", workers=1), Share("clean", workers=2), Share("load", limit=1)


@pytest.mark.parametrize(
    ("at_work", "order"),
    [
        ({}, ["clean", "extract", "load"]),
        ({"clean": 1}, ["clean", "extract", "load"]),
        ({"clean": 2}, ["extract", "load", "clean"]),
        ({"clean": 2, "extract": 1}, ["load", "clean", "extract"]),
        ({"load": 1}, ["clean", "extract"]),
        ({"load": 2, "clean": 5, "extract": 5}, ["clean", "extract"]),
    ],
)
def test_own_workers_first_then_the_later_stage(at_work: dict[str, int], order: list[str]) -> None:
    """And a stage that is at its limit is not named at all."""
    shares = Shares([EXTRACT, CLEAN, LOAD])
    assert list(shares.order(lambda: at_work)) == order
    assert [shares.limit(share.queue) for share in (EXTRACT, CLEAN, LOAD)] == [None, None, 1]


def test_a_plain_worker_serves_what_is_named_first() -> None:
    """And does not even count who works where."""
    rule = FirstNamed(["a", "b"])

    def nobody_asks() -> Counter[str]:
        raise AssertionError

    assert list(rule.order(nobody_asks)) == ["a", "b"]
    assert rule.limit("a") is None


def test_workers_move_to_where_the_work_is() -> None:
    """Four of them: each stage keeps its own while it has work, and what is over goes to the latest that has any."""
    shares = Shares([EXTRACT, CLEAN, LOAD])

    def dealt(workers: int, **waiting: int) -> Counter[str]:
        at_work: Counter[str] = Counter()
        for _ in range(workers):
            for queue in shares.order(lambda: at_work):
                if waiting[queue] > at_work[queue]:
                    at_work[queue] += 1
                    break
        return at_work

    assert dealt(4, extract=9, clean=0, load=0) == {"extract": 4}
    assert dealt(4, extract=9, clean=9, load=9) == {"extract": 1, "clean": 2, "load": 1}
    assert dealt(6, extract=9, clean=9, load=9) == {"extract": 1, "clean": 4, "load": 1}
    assert dealt(4, extract=9, clean=1, load=9) == {"extract": 2, "clean": 1, "load": 1}
    assert dealt(2, extract=9, clean=9, load=9) == {"clean": 2}
    assert dealt(4, extract=0, clean=0, load=9) == {"load": 1}
