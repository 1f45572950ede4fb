"""open_piece: header and range, byte for byte, of the file that was split and no other."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue import Job, Producer
from workqueue.errors import Reject
from workqueue.pipeline import open_piece, split
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

DATA = b'id,text\n1,"a\nb"\n2,c\n3,d\n'


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "in.csv").write_bytes(DATA)
    return str(tmp_path / "in.csv")


def read(piece: Any) -> bytes:
    with open_piece(piece) as file:
        return file.read()


def test_a_piece_is_its_header_and_its_range(path: str) -> None:
    first, second = split(path, lines=2, header=True)
    assert read(first) == b'id,text\n1,"a\nb"\n2,c\n'
    assert read(second) == b"id,text\n3,d\n"
    with open_piece(first, encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"id": "1", "text": "a\nb"}, {"id": "2", "text": "c"}]


def test_without_a_header_the_pieces_are_the_file(path: str) -> None:
    assert b"".join(map(read, split(path, size=10))) == DATA


@given(st.lists(st.integers(0, 9), max_size=6))
def test_it_can_be_read_in_any_portions(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "portions.csv"
    path.write_bytes(DATA)
    _, second = split(path, lines=2, header=True)
    with open_piece(second) as file:
        parts = [file.read(size) for size in sizes]
        assert b"".join(parts) + file.read() == b"id,text\n3,d\n"
        assert file.read() == b""


def test_it_is_a_file_that_can_only_be_read_forward(path: str) -> None:
    with open_piece(split(path, lines=9)[0]) as file:
        assert (file.readable(), file.writable(), file.seekable()) == (True, False, False)
        assert next(file) == b"id,text\n"


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written anew", "is replaced"])
def test_a_file_that_changed_since_is_refused_at_once(path: str, change: str) -> None:
    pieces = split(path, lines=1)
    status = os.stat(path)
    if change == "replaced":
        os.unlink(path)
    with open(path, "ab" if change == "grows" else "wb") as file:
        file.write(DATA if change != "shrinks" else b"id\n")
    if change in {"grows", "shrinks"}:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(Reject, match=r"in.csv changed after it was split; split it again"):
        open_piece(pieces[0])


@pytest.mark.parametrize("data", [b"", DATA, DATA * 2])
def test_a_file_that_changes_while_it_is_read_is_noticed_before_the_end(path: str, data: bytes) -> None:
    (piece,) = split(path, lines=9, header=True)
    with open_piece(piece) as file:
        with open(path, "wb") as writer:
            writer.write(data)
        os.utime(path, ns=(1, 1))
        with pytest.raises(Reject, match="changed after it was split"):
            file.read()


def test_a_file_that_is_gone_may_come_back(path: str) -> None:
    pieces = split(path, lines=1)
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        open_piece(pieces[0])


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "text",
        7,
        [],
        {},
        {"path": "x"},
        {"path": "x", "start": "a", "end": 2, "header": 0, "size": 1, "mtime_ns": 1},
    ],
)
def test_another_payload_is_rejected(payload: Any) -> None:
    with pytest.raises(Reject, match="no piece of a split file"):
        open_piece(payload)


def test_a_handler_reads_pieces_and_its_job_fails_at_once_where_the_file_changed(path: str, root: str) -> None:
    seen: list[bytes] = []

    def load(job: Job) -> None:
        seen.append(read(job.payload))

    producer = Producer(root)
    producer.submit_many(split(path, lines=1, header=True))
    assert drain(root, load)["done"] == 3
    assert seen == [b'id,text\n1,"a\nb"\n', b"id,text\n2,c\n", b"id,text\n3,d\n"]
    producer.submit_many(split(path, lines=1))
    os.utime(path, ns=(1, 1))
    counts = drain(root, load)
    assert (counts["failed"], counts["attempts"]) == (4, 4)
