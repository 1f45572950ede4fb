"""Ids: ULIDs that grow within a process whatever its clock does, and differ between all processes."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clocks import FakeClock
from support.races import in_child, race
from workqueue.jobs.ids import ALPHABET, LENGTH, Ids, encode, first_at, milliseconds

NUMBERS = st.integers(0, (1 << 128) - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0" * 26),
        (1, "0" * 25 + "1"),
        (31, "0" * 25 + "Z"),
        (32, "0" * 24 + "10"),
        ((1 << 128) - 1, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
        ((1 << 80) - 1, "0000000000ZZZZZZZZZZZZZZZZ"),
        (1469918176385 << 80, "01ARYZ6S410000000000000000"),
        (0x01563E3AB5D3D6764C61EFB99302BD5B, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ],
)
def test_the_text_is_that_of_the_ulid_specification(value: int, text: str) -> None:
    assert encode(value) == text


@pytest.mark.parametrize(
    ("text", "ms"),
    [("01ARYZ6S410000000000000000", 1469918176385), ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", (1 << 48) - 1), ("0" * 26, 0)],
)
def test_the_time_is_read_back_from_the_first_ten_characters(text: str, ms: int) -> None:
    assert milliseconds(text) == ms


@given(NUMBERS)
def test_the_text_is_26_characters_that_read_back_as_the_number(value: int) -> None:
    text = encode(value)
    back = 0
    for character in text:
        back = back * 32 + ALPHABET.index(character)
    assert (back, len(text)) == (value, LENGTH)


@given(NUMBERS, NUMBERS)
def test_texts_sort_as_the_numbers_do(a: int, b: int) -> None:
    assert (encode(a) < encode(b)) == (a < b)


@given(st.integers(0, (1 << 48) - 2))
def test_the_first_id_of_a_moment_is_not_after_any_id_made_then(ms: int) -> None:
    made = Ids(FakeClock(ms / 1000)).next()
    assert first_at(milliseconds(made)) <= made < first_at(milliseconds(made) + 1)


def test_an_id_tells_when_it_was_made() -> None:
    clock = FakeClock()
    assert milliseconds(Ids(clock).next()) == clock.now_ms()


def test_ids_grow_while_the_clock_stands_still_goes_on_and_steps_back() -> None:
    clock = FakeClock()
    make = Ids(clock)
    made = []
    for step in (0, 0, 0.001, 0, -3600, 0, 0.001, -86400, 7200, 86400, 0):
        clock.step(step)
        made += [make.next() for _ in range(3)]
    assert made == sorted(set(made))


def test_after_a_step_back_ids_do_not_say_a_time_that_was_never() -> None:
    clock = FakeClock()
    make = Ids(clock)
    before = make.next()
    clock.step(-3600)
    assert milliseconds(make.next()) == milliseconds(before)


def test_an_overflow_of_the_random_part_goes_into_the_next_millisecond() -> None:
    make = Ids(FakeClock())
    first = make.next()
    make._last = (make._last >> 80 << 80) + (1 << 80) - 1
    second = make.next()
    assert (milliseconds(second), second > first) == (milliseconds(first) + 1, True)


def test_there_is_always_room_for_many_ids_in_one_millisecond() -> None:
    for _ in range(64):
        make = Ids(FakeClock())
        make.next()
        assert make._last >> 79 & 1 == 0


def test_two_makers_on_one_clock_never_make_the_same() -> None:
    clock = FakeClock()
    made = [Ids(clock).next() for _ in range(1000)]
    assert len(set(made)) == 1000


def test_threads_make_ids_one_after_the_other() -> None:
    """Else two that draw at once for a new millisecond could be stored in the wrong order."""

    class Slow(FakeClock):
        def now_ms(self) -> int:
            if threading.current_thread() is threading.main_thread():
                other.start()
                other.join(0.05)
                assert other.is_alive(), "two threads make an id at once"
            return super().now_ms()

    make = Ids(Slow())
    made: list[str] = []
    other = threading.Thread(target=lambda: made.append(make.next()))
    first = make.next()
    other.join()
    assert first < made[0]


def test_threads_share_one_growing_sequence() -> None:
    make = Ids(FakeClock())
    made: list[list[str]] = [[] for _ in range(4)]

    def run(mine: list[str]) -> None:
        mine.extend(make.next() for _ in range(2000))

    threads = [threading.Thread(target=run, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({text for mine in made for text in mine}) == 8000


def test_forked_children_and_their_parent_never_make_the_same() -> None:
    make = Ids(FakeClock())
    make.next()

    def some() -> list[str]:
        return [make.next() for _ in range(200)]

    made = [*race(*[some] * 4), some()]
    assert all(mine == sorted(mine) for mine in made)
    assert len({text for mine in made for text in mine}) == 1000


def test_a_child_forked_while_a_thread_of_the_parent_held_the_lock_is_not_stuck() -> None:
    make = Ids(FakeClock())
    make.next()
    with make._lock:
        assert len(in_child(make.next)) == LENGTH


def test_a_childs_child_starts_anew_too() -> None:
    make = Ids(FakeClock())
    make.next()

    def with_child() -> list[str]:
        return [make.next(), in_child(make.next), make.next()]

    made = [*in_child(with_child), make.next()]
    assert len(set(made)) == 4


def test_the_machines_clock_is_the_default() -> None:
    before = time.time_ns() // 1_000_000
    made = milliseconds(Ids().next())
    assert before <= made <= time.time_ns() // 1_000_000
