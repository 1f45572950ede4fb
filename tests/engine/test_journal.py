"""The journal's writers: whole lines, one writer a file, and nothing that goes wrong goes further than a line."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from support.clocks import FakeClock
from support.faults import FaultyFs
from workqueue.engine.journal import LONGEST, MOST_WRITERS, Journal, day_of, encode
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = 1_782_864_000_123
"""2026-07-01 00:00 UTC, and a bit."""
JOB = {"queue": "default", "id": "01JD8Z7Q4M9X3V2T6B1C0N5KEY"}


@pytest.fixture
def day(root: str) -> str:
    return f"{root}/.fsq/journal/2026-07-01"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T / 1000)


def journal(root: str, clock: FakeClock, fs: FaultyFs | None = None, **how: Any) -> Journal:
    return Journal(Root(root, fs=fs or FaultyFs(), clock=clock), "supervisor", **how)


def lines(path: str) -> list[dict[str, Any]]:
    with open(path, "rb") as file:
        return [json.loads(line) for line in file.read().splitlines() if line]


def test_a_line_is_written_at_once_for_its_owner_alone(root: str, clock: FakeClock, day: str) -> None:
    journal(root, clock).add("removed", {**JOB, "by": "me"})
    assert lines(f"{day}/supervisor.jsonl") == [{"t": T, "event": "removed", **JOB, "by": "me"}]
    assert stat.S_IMODE(os.stat(day).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{day}/supervisor.jsonl").st_mode) == 0o600


def test_each_day_has_its_directory_also_where_the_clock_is_set_back(root: str, clock: FakeClock) -> None:
    own = journal(root, clock)
    for step in (0, 86_400, -2 * 86_400):
        clock.step(step)
        own.add("paused", {})
    assert sorted(os.listdir(f"{root}/.fsq/journal")) == ["2026-06-30", "2026-07-01", "2026-07-02"]


def test_a_file_that_another_process_writes_is_left_to_it(root: str, clock: FakeClock, day: str) -> None:
    own = journal(root, clock)
    own.add("paused", {})
    with open(f"{day}/supervisor.jsonl", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        own.add("resumed", {})
        assert [line["event"] for line in lines(f"{day}/supervisor-1.jsonl")] == ["resumed"]
    own.add("paused", {})
    assert [line["event"] for line in lines(f"{day}/supervisor.jsonl")] == ["paused", "paused"]


def test_where_every_file_is_in_use_the_line_is_dropped(root: str, clock: FakeClock, day: str) -> None:
    class Busy(FaultyFs):
        def lock(self, fd: int) -> bool:
            return False

    told: list[tuple[int, str]] = []
    journal(root, clock, Busy(), tell=lambda *what: told.append(what)).add("paused", {})
    assert [count for count, _ in told] == [1]
    assert len(os.listdir(day)) == MOST_WRITERS


def test_what_a_crash_has_torn_spoils_no_other_line(root: str, clock: FakeClock, day: str) -> None:
    os.mkdir(day)
    with open(f"{day}/supervisor.jsonl", "w") as file:
        file.write('{"t":1,"event":"finish')
    journal(root, clock).add("paused", {})
    with open(f"{day}/supervisor.jsonl", "rb") as written:
        torn, line = written.read().splitlines()
    assert torn == b'{"t":1,"event":"finish'
    assert json.loads(line)["event"] == "paused"


def test_a_full_disk_drops_lines_tells_it_once_and_counts_them(root: str, clock: FakeClock, day: str) -> None:
    fs = FaultyFs()
    told: list[tuple[int, str]] = []
    own = journal(root, clock, fs, tell=lambda *what: told.append(what))
    fs.fail_at(1, errno.ENOSPC, verb="write", once=False)
    for _ in range(3):
        own.add("paused", {})
    assert told == [(1, "No space left on device")]
    fs.restart()
    own.add("resumed", {})
    own.add("paused", {})
    assert [(line["event"], line.get("count")) for line in lines(f"{day}/supervisor.jsonl")] == [
        ("dropped", 3), ("resumed", None), ("paused", None),
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["open_append", "mkdir", "lock", "write", "close"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_whatever_the_disk_refuses_it_stops_nobody(root: str, clock: FakeClock, verb: str, code: int) -> None:
    fs = FaultyFs()
    fs.fail_at(1, code, verb=verb, once=False)
    journal(root, clock, fs).add("paused", {})


PLANTED: dict[str, Callable[[str, Path], object]] = {
    "a link": lambda path, elsewhere: os.symlink(elsewhere, path),
    "a fifo": lambda path, _: os.mkfifo(path),
    "a directory": lambda path, _: os.mkdir(path),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    root: str, clock: FakeClock, day: str, tmp_path: Path, what: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    os.mkdir(day)
    PLANTED[what](f"{day}/supervisor.jsonl", elsewhere)
    told: list[tuple[int, str]] = []
    journal(root, clock, tell=lambda *what: told.append(what)).add("paused", {})
    assert [count for count, _ in told] == [1]
    assert elsewhere.read_text() == "mine"
    assert os.listdir(day) == ["supervisor.jsonl"]


@pytest.mark.parametrize("text", ["journal = 0\n", "[queues.default]\njournal = 0\n"])
def test_a_queue_that_wants_no_journal_has_none(root: str, clock: FakeClock, day: str, text: str) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write(text)
    own = journal(root, clock)
    own.add("removed", JOB)
    assert not os.path.exists(day)
    own.add("paused", {})
    assert os.path.exists(day) == text.startswith("[")


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("not today")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", ["\udcff name", "x" * LONGEST, {"deep": nested(100_000)}, Mute(), object(), {1, 2}, float("nan"), "\n\x1b"]
)
def test_whatever_a_field_holds_its_line_can_be_read(value: object) -> None:
    line = encode({"t": T, "event": "finished", "took": 0.5, "odd": value})
    assert line.endswith(b"\n")
    assert len(line) <= LONGEST
    [only] = line.splitlines()
    found = json.loads(only)
    assert (found["t"], found["event"], found["took"]) == (T, "finished", 0.5)


def test_a_day_has_a_name_whatever_the_clock_says() -> None:
    assert day_of(0) == "1970-01-01"
    assert day_of(10**18) == "9999-12-30"
