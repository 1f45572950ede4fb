"""A watch hears of files at once, and finds those that it was not told of by listing; at rest it does nothing."""

from __future__ import annotations

import os
import select
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from workqueue.pipeline.watch.eyes import Eyes
from workqueue.pipeline.watch.notify import Notifier
from workqueue.pipeline.watch.rules import POLL, RESCAN, rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.drop import Drop
    from support.clocks import FakeClock
    from workqueue.pipeline.watch.watcher import Watcher


@pytest.fixture
def notifier(drop: Drop) -> Iterator[Notifier]:
    one = Notifier(drop.folder, recursive=True)
    one.add("")
    yield one
    one.close()


def hears(notifier: Notifier) -> set[str]:
    """What was told, now."""
    assert select.select([notifier], [], [], 20)[0]
    return notifier.read()


def is_quiet(notifier: Notifier) -> bool:
    return not select.select([notifier], [], [], 0)[0]


def test_it_is_told_of_a_file_that_is_renamed_in_linked_or_closed(drop: Drop, notifier: Notifier) -> None:
    drop.deliver("renamed")
    assert hears(notifier) == {"renamed"}
    os.link(f"{drop.folder}/renamed", f"{drop.folder}/linked")
    assert hears(notifier) == {"linked"}
    with open(f"{drop.folder}/renamed", "a") as file:
        file.write("more")
        file.flush()
        assert is_quiet(notifier), "writing alone is not told: it can be a thousand times a second"
    assert hears(notifier) == {"renamed"}
    assert not notifier.is_lost


def test_what_leaves_is_not_told(drop: Drop, notifier: Notifier) -> None:
    drop.deliver("a")
    notifier.read()
    os.rename(f"{drop.folder}/a", f"{drop.where}/a")
    assert is_quiet(notifier), "our own taking wakes nobody"


@pytest.mark.parametrize(
    "change",
    [
        lambda drop: os.mkdir(f"{drop.folder}/sub"),
        lambda drop: os.rename(drop.folder, f"{drop.where}/elsewhere"),
        lambda drop: shutil.rmtree(drop.folder),
    ],
    ids=["a directory comes", "the folder is moved", "the folder is removed"],
)
def test_what_is_unusual_means_to_list_anew(drop: Drop, notifier: Notifier, change: Callable[[Drop], object]) -> None:
    change(drop)
    hears(notifier)
    assert notifier.is_lost


def test_lost_events_mean_to_list_anew(drop: Drop, notifier: Notifier) -> None:
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        most = int(file.read())
    drop.deliver("a")
    for n in range(most // 2 + 2):
        os.rename(f"{drop.folder}/{'a' if n % 2 == 0 else 'b'}", f"{drop.folder}/{'b' if n % 2 == 0 else 'a'}")
        os.link(f"{drop.folder}/{'b' if n % 2 == 0 else 'a'}", f"{drop.folder}/c")
        os.unlink(f"{drop.folder}/c")
    while not notifier.is_lost:
        hears(notifier)


def turns(drop: Drop, watcher: Watcher, event: str, count: int = 1) -> None:
    """Turn as the loop does, without ever letting the time of a listing come, until something is told."""
    end = time.monotonic() + 20
    while len(drop.events(event)) < count:
        assert time.monotonic() < end, (event, drop.told)
        watcher.turn()
        fd = watcher._eyes.fileno()
        if fd is not None and select.select([fd], [], [], 0.01)[0]:
            watcher.look(watcher._eyes.read())


def test_a_file_is_taken_when_it_is_told_of_without_another_listing(drop: Drop) -> None:
    with drop.watch(recursive=True) as watcher:
        watcher.turn()
        for n in range(5):
            drop.deliver(f"{n}")
            turns(drop, watcher, "ingested", n + 1)


def test_files_in_a_new_directory_are_taken(drop: Drop) -> None:
    with drop.watch(recursive=True) as watcher:
        watcher.turn()
        for n in range(3):
            drop.deliver(f"{n}/{n}/a")
            turns(drop, watcher, "ingested", 2 * n + 1)
            drop.deliver(f"{n}/{n}/b")
            turns(drop, watcher, "ingested", 2 * n + 2)


def test_a_folder_that_was_replaced_is_watched_again(drop: Drop) -> None:
    with drop.watch() as watcher:
        watcher.turn()
        for n in range(3):
            shutil.rmtree(drop.folder)
            os.mkdir(drop.folder)
            drop.deliver(f"{n}")
            turns_with_time(drop, watcher, n + 1)
            drop.deliver(f"{n} more")
            turns(drop, watcher, "ingested", 2 * n + 2) if n == 0 else turns_with_time(drop, watcher, n + 1)


def turns_with_time(drop: Drop, watcher: Watcher, count: int) -> None:
    end = time.monotonic() + 20
    while len(drop.events("ingested")) < count:
        assert time.monotonic() < end
        drop.clock.advance(watcher.turn())
        fd = watcher._eyes.fileno()
        if fd is not None and select.select([fd], [], [], 0)[0]:
            watcher.look(watcher._eyes.read())


def test_a_done_file_wakes_its_file(drop: Drop) -> None:
    with drop.watch(ready="done-file={stem}.ok") as watcher:
        watcher.turn()
        drop.deliver("a.csv")
        watcher.look(watcher._eyes.read())
        watcher.turn()
        assert drop.events("ingested") == []
        drop.deliver("a.ok", "")
        turns(drop, watcher, "ingested")
        assert drop.ls() == []


def test_a_file_nobody_told_of_is_found_by_the_next_listing(drop: Drop) -> None:
    with drop.watch() as watcher:
        watcher.turn()
        drop.deliver("a")
        watcher._eyes.read()
        assert watcher.turn() == pytest.approx(RESCAN)
        assert drop.events("ingested") == []
        drop.clock.advance(RESCAN)
        watcher.turn()
        assert len(drop.events("ingested")) == 1


def test_at_rest_it_waits_for_the_next_listing(drop: Drop) -> None:
    with drop.watch() as watcher:
        watcher.turn()
        assert watcher.turn() == RESCAN


def test_a_file_that_waits_for_its_time_is_looked_at_then(drop: Drop) -> None:
    with drop.watch(ready="stable=7s") as watcher:
        drop.deliver("a")
        assert watcher.turn() == 7
        drop.clock.advance(7)
        watcher.turn()
        assert len(drop.events("ingested")) == 1


def eyes(tmp_path: Path, clock: FakeClock, blind: str | None, told: list[str], **given: object) -> Eyes:
    (tmp_path / "in").mkdir(exist_ok=True)
    checked = rules(str(tmp_path / "root"), tmp_path / "in", **given)  # type: ignore[arg-type]
    return Eyes(checked, clock, lambda event, _: told.append(event), lambda _: blind)


def test_where_nothing_tells_the_folder_is_listed_more_often_and_that_is_told_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    told: list[str] = []
    one = eyes(tmp_path, clock, "nfs does not tell", told)
    for _ in range(3):
        one.open()
        one.watch("")
        assert one.must_walk()
        one.walked(clock.monotonic())
        assert not one.must_walk()
        clock.advance(POLL)
    assert told == ["polling"]
    assert one.fileno() is None
    assert eyes(tmp_path, clock, "x", told, rescan="1s").interval == 1


def test_a_large_folder_is_listed_more_seldom(tmp_path: Path, clock: FakeClock) -> None:
    one = eyes(tmp_path, clock, "blind", [])
    started = clock.monotonic()
    clock.advance(10)
    one.walked(started)
    assert one.next_walk - clock.monotonic() == 200
