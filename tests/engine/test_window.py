"""The window: the first names in the order in which they are run, however they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.worlds import plain_name
from workqueue.engine.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_764_000_000_000
NAMES = st.builds(plain_name, st.integers(0, NOW), st.integers(0, 9), st.integers(0, 3), number=st.integers(0, 2**70))


def drained(window: Window) -> list[str]:
    return [window.pop() for _ in range(len(window))]


@given(st.lists(NAMES, unique=True), st.data())
def test_names_come_by_priority_then_age_whether_listed_or_added_in_any_order(
    texts: list[str], data: st.DataObject
) -> None:
    window = Window()
    listed = data.draw(st.integers(0, len(texts)))
    window.fill(texts[:listed], NOW)
    for text in texts[listed:]:
        window.add(text, NOW)
    assert drained(window) == sorted(texts)


@given(st.lists(NAMES, unique=True, min_size=1), st.data())
def test_adding_between_takes_never_loses_doubles_or_misplaces_a_name(texts: list[str], data: st.DataObject) -> None:
    window = Window()
    waiting: list[str] = []
    for text in texts:
        window.add(text, NOW)
        window.add(text, NOW)
        waiting.append(text)
        if data.draw(st.booleans()):
            first = min(waiting)
            assert window.first() == first
            assert window.pop() == first
            waiting.remove(first)
    assert len(window) == len(waiting)
    assert drained(window) == sorted(waiting)


@given(st.lists(NAMES, unique=True), st.integers(1, 20))
def test_a_full_window_keeps_the_first_and_says_that_it_was_cut(texts: list[str], width: int) -> None:
    window = Window(width)
    window.fill(texts, NOW)
    assert window.is_cut == (len(texts) > width)
    assert drained(window) == sorted(texts)[:width]


@given(st.lists(NAMES, unique=True, min_size=3), st.integers(1, 5))
def test_what_is_added_to_a_full_window_is_in_order_and_what_lies_beyond_its_end_is_dropped(
    texts: list[str], width: int
) -> None:
    window = Window(width)
    for text in texts:
        window.add(text, NOW)
    got = drained(window)
    assert got == sorted(got)
    assert got[:1] == sorted(texts)[:1]
    if len(got) < len(texts):
        assert window.is_cut


def test_a_name_that_must_be_kept_is_kept_beyond_the_end() -> None:
    window = Window(1)
    window.fill([plain_name(1)], NOW)
    window.add(plain_name(2), NOW, even_beyond=True)
    assert drained(window) == [plain_name(1), plain_name(2)]


def test_the_memory_of_a_window_that_is_filled_again_and_again_does_not_grow() -> None:
    window = Window(10)
    for n in range(50):
        window.fill([f"bare-{n}-{i}" for i in range(10)], NOW)
    assert len(window._sights) == 10
    assert len(window._entries) == 10
    long = Window()
    for n in range(5000):
        long.add(plain_name(n), NOW)
        long.pop()
    assert len(long._entries) < 2500


@pytest.mark.parametrize("text", ["data.csv", "0-zero", "9", "\udcff\n", "x" * 255, "1764000000000-data.csv"])
def test_a_bare_job_stands_among_jobs_of_its_priority_by_when_it_was_first_seen(text: str) -> None:
    before, after, urgent = plain_name(NOW - 1), plain_name(NOW + 1), plain_name(NOW + 1, 4)
    window = Window()
    window.fill([after, text, urgent, before], NOW)
    assert drained(window) == [urgent, before, text, after]


def test_a_bare_job_keeps_its_age_when_it_is_listed_again() -> None:
    window = Window()
    window.fill(["bare"], NOW)
    window.fill(["bare", plain_name(NOW + 1000)], NOW + 2000)
    assert window.first() == "bare"


def test_a_bare_job_that_was_gone_and_came_again_is_young() -> None:
    window = Window()
    window.fill(["bare"], NOW)
    window.fill([], NOW + 1)
    window.fill(["bare", plain_name(NOW + 1000)], NOW + 2000)
    assert window.first() == plain_name(NOW + 1000)


def test_a_name_with_a_due_time_stands_where_its_job_belongs() -> None:
    window = Window()
    late = f"1764000000000-{plain_name(5)}"
    window.fill([plain_name(4), late, plain_name(6)], NOW)
    assert drained(window) == [plain_name(4), late, plain_name(6)]


def test_jobs_of_a_batch_stand_where_it_does_and_among_themselves_by_age() -> None:
    window = Window()
    batch = f"{plain_name(5)[:-1]}b"
    inside = [f"{batch}/{plain_name(at)}" for at in (6, 7, 8)]
    for text in (plain_name(9), inside[2], plain_name(4), inside[0], inside[1]):
        window.add(text, NOW)
    assert drained(window) == [plain_name(4), *inside, plain_name(9)]


def test_of_a_large_backlog_only_a_part_is_in_memory_at_a_time() -> None:
    """Else the names that are kept, from all over the listing, would hold on to all of its memory."""
    alive = most = 0

    class Counted(str):
        __slots__ = ()

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def listing() -> Iterator[str]:
        nonlocal alive, most
        for number in range(5000):
            alive += 1
            most = max(most, alive)
            yield Counted(plain_name(number=number * 2_654_435_761 % 2**32))

    window = Window(100)
    window.fill(listing(), NOW)
    assert len(window) == 100
    assert most <= 202
