"""Ctrl-C falls between two items; whoever waits for one is interrupted at once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from workqueue.cli.bulk import Patience, telling
from workqueue.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import Iterator


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def python_s_own_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_is_being_submitted_is_submitted_before_the_end() -> None:
    patience, done = Patience(), list[int]()

    def submit(item: int) -> None:
        if item == 2:
            ctrl_c()
        done.append(item)

    with pytest.raises(KeyboardInterrupt), patience.kept():
        list(map(submit, patience.each(range(5))))
    assert done == [0, 1, 2]


def test_who_waits_for_the_next_item_is_interrupted_at_once() -> None:
    patience, done = Patience(), list[int]()

    def typed() -> Iterator[int]:
        yield 1
        ctrl_c()
        pytest.fail("it went on waiting")

    with pytest.raises(KeyboardInterrupt), patience.kept():
        done.extend(patience.each(typed()))
    assert done == [1]


def test_ctrl_c_at_the_last_item_changes_nothing() -> None:
    patience = Patience()
    with patience.kept():
        for _ in patience.each(iter([1])):
            pass
        ctrl_c()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_it_is_ignored_it_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    patience = Patience()
    with patience.kept():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        ctrl_c()
        assert list(patience.each([1, 2])) == [1, 2]


@pytest.mark.parametrize("error", [QueueFull("full"), OSError(28, "No space left on device")])
def test_an_error_is_told_with_how_far_it_came(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, telling(lambda: "2 of 3"):
        raise error
    assert caught.value.__notes__ == ["2 of 3"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "fsq: interrupted; 2 of 3\n"),
        (BrokenPipeError(), "fsq: nobody reads what is printed; 2 of 3\n"),
    ],
)
def test_an_end_that_has_no_message_is_told_by_itself(
    error: BaseException, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)), telling(lambda: "2 of 3"):
        raise error
    assert capsys.readouterr() == ("", said)
