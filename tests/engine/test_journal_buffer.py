"""A worker's buffer: no system call a job, every line once however the worker is killed, in the order of events."""

from __future__ import annotations

import errno
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clocks import FakeClock
from support.faults import FaultyFs
from support.mounts import SmallDisk, disk
from workqueue.engine.journal_buffer import FULL, LONG, TEXT, JournalBuffer
from workqueue.engine.root import Root, init
from workqueue.jobs import names
from workqueue.jobs.ids import JobId
from workqueue.store.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["disk"]

T = 1_782_864_000_000
NAME = names.Name(5, JobId("01JD8Z7Q4M9X3V2T6B1C0N5KEY"), 1)


class Desk:
    """A buffer on a root, and what it has written."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.fs = FaultyFs()
        self.clock = FakeClock(T / 1000)
        self.told: list[tuple[int, str]] = []
        self.buffer = self.open(self.fs)
        self.fs.restart()

    def open(self, fs: Fs) -> JournalBuffer:
        return JournalBuffer(Root(self.root, fs=fs, clock=self.clock), 3, lambda *what: self.told.append(what))

    def text(self, day: str = "2026-07-01") -> bytes:
        try:
            with open(f"{self.root}/.fsq/journal/{day}/3.jsonl", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def lines(self, day: str = "2026-07-01") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(day).splitlines()]

    def finish(self, number: int, took: float = 0.0) -> None:
        self.buffer.finished("default", NAME._replace(attempt=number), took)


@pytest.fixture
def desk(root: str) -> Iterator[Desk]:
    found = Desk(root)
    yield found
    found.buffer.close()


def attempts(found: list[dict[str, Any]]) -> list[int]:
    return [line["attempt"] for line in found]


def test_a_line_says_what_ended_when_and_where(desk: Desk) -> None:
    desk.finish(2, 0.001234)
    desk.buffer.flush()
    assert desk.lines() == [
        {"t": T, "event": "finished", "queue": "default", "id": NAME.id, "attempt": 2, "slot": 3, "took": 0.001234}
    ]


def test_jobs_cost_no_operation_of_the_disk_until_a_page_is_full(desk: Desk) -> None:
    last = 0
    while desk.buffer._words[TEXT] <= FULL:
        last += 1
        desk.finish(last)
    assert last > 300
    assert desk.fs.calls == []
    desk.finish(last + 1)
    assert attempts(desk.lines()) == list(range(1, last + 1))
    assert len(desk.fs.calls) < 8


def test_a_line_waits_no_longer_than_a_second_while_others_come(desk: Desk) -> None:
    desk.finish(1)
    desk.clock.advance(0.9)
    desk.finish(2)
    assert desk.text() == b""
    desk.clock.advance(0.2)
    desk.finish(3)
    assert attempts(desk.lines()) == [1, 2]


def test_a_long_run_is_written_at_once(desk: Desk) -> None:
    desk.finish(1)
    desk.finish(2, LONG)
    assert attempts(desk.lines()) == [1, 2]
    desk.buffer.add("failed", {"queue": "default", "took": LONG})
    assert len(desk.lines()) == 3


def test_lines_go_into_the_day_on_which_they_happened(desk: Desk) -> None:
    desk.clock.step(-0.1)
    desk.finish(1)
    desk.clock.step(0.2)
    desk.finish(2)
    desk.clock.step(-86_400)
    desk.finish(3)
    desk.buffer.flush()
    assert attempts(desk.lines("2026-06-30")) == [1, 3]
    assert attempts(desk.lines("2026-07-01")) == [2]


EVENTS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["", "x", "ü\n", "\udcff", "y" * 9000, "z" * 90_000])), max_size=150
)


@given(EVENTS)
def test_all_that_was_told_is_written_once_and_in_order(tmp_path_factory: pytest.TempPathFactory, told: Any) -> None:
    path = str(tmp_path_factory.mktemp("journal"))
    init(path, slots=1, fs=FaultyFs())
    desk = Desk(path)
    for number, (plain, text) in enumerate(told, 1):
        if plain:
            desk.finish(number)
        else:
            desk.buffer.add("retried", {"queue": "default", "attempt": number, "error": text})
    desk.buffer.flush()
    desk.buffer.close()
    assert attempts(desk.lines()) == list(range(1, len(told) + 1))


class KillingFs(Fs):
    """Kills this process before, or in the middle of, its n-th change of the disk."""

    def __init__(self, n: int, *, halfway: bool) -> None:
        self._left = n
        self._halfway = halfway

    def _die(self) -> bool:
        self._left -= 1
        if self._left == 0 and not self._halfway:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._left == 0

    def open_append(self, path: str) -> int:
        self._die()
        return super().open_append(path)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        self._die()
        super().mkdir(path, mode)

    def write(self, fd: int, data: bytes) -> None:
        if self._die():
            super().write(fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(fd, data)

    def close(self, fd: int) -> None:
        self._die()
        super().close(fd)


@pytest.mark.parametrize("halfway", [False, True])
@pytest.mark.parametrize("n", range(1, 14))
def test_what_a_killed_worker_told_is_written_once_by_its_supervisor(desk: Desk, n: int, halfway: bool) -> None:
    """The kill comes at each operation of three writes; the worker's forked copy of the buffer shares the page."""
    buffer = desk.open(KillingFs(n, halfway=halfway))
    desk.buffer.close()
    desk.buffer = buffer
    reached, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        for number in range(1, 8):
            desk.finish(number)
            os.write(tell, bytes([number]))
            if number in {2, 4, 6}:
                buffer.flush()
        os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    told = list(os.read(reached, 100))
    os.close(reached)
    buffer._root.fs = Fs()
    buffer.flush()
    buffer.flush()
    assert attempts(desk.lines()) == told


class KillingWords:
    """The page's words; this process is killed after their n-th change."""

    def __init__(self, words: memoryview, n: int) -> None:
        self._words = words
        self._left = n

    def __getitem__(self, index: int) -> int:
        return int(self._words[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("n", range(1, 21))
def test_a_kill_between_two_words_of_the_page_neither_loses_nor_doubles_a_line(desk: Desk, n: int) -> None:
    """A line counts from the change of TEXT on; so the last one may be there though its worker did not say so."""
    reached, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        desk.buffer._words = KillingWords(desk.buffer._words, n)  # type: ignore[assignment]
        for number in range(1, 8):
            desk.finish(number)
            os.write(tell, bytes([number]))
            if number in {2, 4, 6}:
                desk.buffer.flush()
        os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    told = list(os.read(reached, 100))
    os.close(reached)
    desk.buffer.flush()
    assert attempts(desk.lines()) in (told, [*told, len(told) + 1])


def test_lines_that_do_not_fit_onto_the_page_are_written_before(desk: Desk) -> None:
    for number in range(1, 64):
        desk.buffer.add("retried", {"queue": "default", "attempt": number, "error": "y" * 9000})
    desk.buffer.flush()
    assert attempts(desk.lines()) == list(range(1, 64))


def test_a_full_disk_drops_lines_tells_it_once_and_counts_those_that_are_not_there(desk: Desk) -> None:
    class Filling(Fs):
        """Takes two lines and a half, then nothing, until there is room."""

        room = 250

        def write(self, fd: int, data: bytes) -> None:
            super().write(fd, data[: self.room])
            if len(data) > self.room:
                self.room = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fs = Filling()
    desk.buffer.close()
    desk.buffer = desk.open(fs)
    for number in (1, 2, 3, 4):
        desk.finish(number)
    desk.buffer.flush()
    desk.finish(5)
    desk.buffer.flush()
    whole = desk.text().count(b"\n")
    assert 0 < whole < 4
    assert desk.told == [(4 - whole, "No space left on device")]
    fs.room = 10_000
    desk.finish(6)
    desk.buffer.flush()
    assert not desk.text().splitlines()[whole].endswith(b"}"), "one is torn"
    after = [json.loads(line) for line in desk.text().splitlines()[whole + 1 :]]
    assert [line["event"] for line in after] == ["dropped", "finished"]
    assert after[0]["count"] == 5 - whole


def test_the_last_of_the_room_is_left_to_the_jobs(disk: SmallDisk) -> None:
    path = f"{disk.path}/root"
    init(path, slots=2)
    desk = Desk(path)
    disk.fill("space", but=8192)
    desk.finish(1)
    desk.buffer.flush()
    assert [count for count, _ in desk.told] == [1]
    disk.make_room()
    desk.finish(2)
    desk.buffer.flush()
    desk.buffer.close()
    assert [line["event"] for line in desk.lines()] == ["dropped", "finished"]


def test_a_queue_without_a_journal_has_none(desk: Desk) -> None:
    with open(f"{desk.root}/fsq.toml", "w") as file:
        file.write("[queues.default]\njournal = 0\n")
    desk.buffer.close()
    desk.buffer = desk.open(desk.fs)
    desk.finish(1)
    desk.buffer.add("retried", {"queue": "default"})
    desk.buffer.add("retried", {"queue": "other", "attempt": 2})
    desk.buffer.flush()
    assert attempts(desk.lines()) == [2]
