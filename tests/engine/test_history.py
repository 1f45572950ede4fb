"""The journal read back: in order, in parts, and whatever else lies there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.disks import UnsyncedFs
from workqueue.engine.history import CHUNK, Entry, History
from workqueue.engine.journal import LONGEST
from workqueue.engine.root import Root, init

if TYPE_CHECKING:
    from pathlib import Path

T = 1_782_864_000_000
DAY_MS = 86_400_000


def line(t: int, event: str = "finished", **fields: Any) -> bytes:
    return json.dumps({"t": t, "event": event, **fields}).encode() + b"\n"


def put(root: str, writer: str, data: bytes, day: str = "2026-07-01") -> str:
    os.makedirs(f"{root}/.fsq/journal/{day}", exist_ok=True)
    path = f"{root}/.fsq/journal/{day}/{writer}"
    with open(path, "ab") as file:
        file.write(data)
    return path


def times(root: str, **how: Any) -> list[int]:
    return [entry.t - T for entry in History(Root(root), **how).in_order()]


def test_entries_of_all_writers_and_days_come_by_time(root: str) -> None:
    put(root, "0.jsonl", line(T + 1) + line(T + 4))
    put(root, "12.jsonl", line(T + 2) + line(T + 3))
    put(root, "supervisor-1.jsonl", line(T))
    put(root, "operator.jsonl", line(T - 5), "2026-06-30")
    assert times(root) == [-5, 0, 1, 2, 3, 4]
    assert sorted(entry.t - T for entry in History(Root(root)).in_any_order()) == [-5, 0, 1, 2, 3, 4]


def test_a_time_can_be_chosen(root: str) -> None:
    put(root, "0.jsonl", b"".join(line(T + n) for n in range(5)))
    put(root, "0.jsonl", line(T + DAY_MS), "2026-07-02")
    assert times(root, since=T + 1, until=T + 3) == [1, 2]
    assert times(root, since=T + 4) == [4, DAY_MS]
    assert times(root, until=T) == []


GARBAGE = [
    b"\n",
    b"{}\n",
    b'{"t":"1","event":"finished"}\n',
    b'{"t":1}\n',
    b'{"t":1,"event":"finished","took":"long"}\n',
    b'{"t":1,"event":"finished","counts":[1]}\n',
    b'{"t":1,"event":"fin\n',
    b"\xff\xfe\x00\n",
    b"[" * 10_000 + b"\n",
    b'{"t":1,"event":"' + b"x" * LONGEST + b'"}\n',
    b"y" * (3 * CHUNK) + b"\n",
    b"\x00" * CHUNK + b"\n",
    b"y" * CHUNK + line(T + 9),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_a_line_that_says_nothing_is_passed_over(root: str, garbage: bytes) -> None:
    put(root, "0.jsonl", line(T) + garbage + line(T + 1))
    assert times(root) == [0, 1]


def test_a_line_may_say_more_than_is_known(root: str) -> None:
    put(root, "0.jsonl", line(T, "levitated", height=3))
    [entry] = History(Root(root)).in_order()
    assert (entry.event, json.loads(entry.line)["height"]) == ("levitated", 3)


def test_what_is_no_part_of_the_journal_is_left_alone(root: str, tmp_path: Path) -> None:
    day = f"{root}/.fsq/journal/2026-07-01"
    put(root, "0.jsonl", line(T))
    for name in ("secret", "0.jsonl"):
        (tmp_path / name).write_bytes(line(T + 9))
    os.symlink(tmp_path / "secret", f"{day}/1.jsonl")
    os.mkfifo(f"{day}/2.jsonl")
    os.mkdir(f"{day}/3.jsonl")
    put(root, "notes.txt", line(T + 9))
    put(root, "0.jsonl.bak", line(T + 9))
    put(root, "0.jsonl", line(T + 9), "yesterday")
    os.symlink(tmp_path, f"{root}/.fsq/journal/2026-07-02")
    with open(f"{root}/.fsq/journal/2026-07-03", "w"):
        pass
    os.chmod(put(root, "4.jsonl", line(T + 9)), 0)
    assert times(root)[:1] == [0]
    assert times(root)[1:] in ([], [9]), "root may read what nobody else may"


def test_a_root_without_a_journal_has_no_history(root: str) -> None:
    os.rmdir(f"{root}/.fsq/journal")
    assert times(root) == []
    assert History(Root(root)).more() == []


def test_what_is_written_later_is_told_once_and_only_when_it_is_whole(root: str) -> None:
    history = History(Root(root))
    put(root, "0.jsonl", line(T) + line(T + 1)[:9])
    assert [entry.t - T for entry in history.in_order()] == [0]
    assert history.more() == []
    put(root, "0.jsonl", line(T + 1)[9:] + line(T + 3))
    put(root, "7.jsonl", line(T + 2))
    put(root, "0.jsonl", line(T + DAY_MS), "2026-07-02")
    assert [entry.t - T for entry in history.more()] == [1, 2, 3, DAY_MS]
    assert history.more() == []


def test_the_last_entries_are_found_without_reading_all_days(root: str) -> None:
    for day in range(1, 8):
        put(root, "0.jsonl", line(T + day * DAY_MS) + line(T + day * DAY_MS + 1), f"2026-07-0{day + 1}")
    history = History(Root(root))

    def last(count: int) -> list[int]:
        return [(entry.t - T) % DAY_MS + 10 * ((entry.t - T) // DAY_MS) for entry in history.last(count, odd)]

    def odd(entry: Entry) -> bool:
        return entry.t % 2 == 1

    assert last(3) == [51, 61, 71]
    assert {day for day, _ in history._known} == {"2026-07-06", "2026-07-07", "2026-07-08"}
    assert history.more() == [], "what was read is not told again"
    assert [entry.t - T for entry in History(Root(root)).last(1, odd)] == [7 * DAY_MS + 1]
    assert len(History(Root(root)).last(99, odd)) == 7


def test_lines_without_some_bytes_are_not_even_read(root: str) -> None:
    put(root, "0.jsonl", line(T, id="A") + b"not JSON, but with B\n" + line(T + 1, id="B"))
    assert [entry.id for entry in History(Root(root)).in_order(b"B")] == ["B"]


@given(st.lists(st.integers(0, 2 * CHUNK // 3), max_size=12))
def test_no_line_is_lost_where_a_chunk_ends(tmp_path_factory: pytest.TempPathFactory, lengths: list[int]) -> None:
    root = str(tmp_path_factory.mktemp("history"))
    init(root, slots=1, fs=UnsyncedFs())
    wanted = []
    data = b""
    for number, length in enumerate(lengths):
        text = line(T + number, error="e" * length)
        data += text
        if len(text) <= LONGEST + 1:
            wanted.append(number)
    put(root, "0.jsonl", data)
    assert times(root) == wanted


def test_reading_holds_one_file_open_at_a_time(root: str) -> None:
    for number in range(20):
        put(root, f"{number}.jsonl", b"".join(line(T + 100 * n + number) for n in range(5)))

    class Counting(UnsyncedFs):
        most = 0

        def open(self, path: str) -> int:
            fd = super().open(path)
            Counting.most = max(Counting.most, len([1 for n in os.listdir("/proc/self/fd") if ".jsonl" in link(n)]))
            return fd

    history = History(Root(root, fs=Counting()))
    assert len(list(history.in_order())) == 100
    assert Counting.most == 1


def link(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return ""
