"""Pieces of a file: they tile it, and no record is cut in two."""

from __future__ import annotations

import csv
import gzip
import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workqueue.errors import BadInput, BadSetting
from workqueue.pipeline import records
from workqueue.pipeline.pieces import _cut, label, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.pipeline import Pieces

BOM = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pieces")


@pytest.fixture(scope="module")
def write(scratch: Path) -> Callable[..., str]:
    def write(data: bytes, name: str = "in.txt") -> str:
        (scratch / name).write_bytes(data)
        return str(scratch / name)

    return write


def texts(data: bytes, pieces: Pieces) -> list[bytes]:
    """The bytes of each piece; header and pieces are seen to tile the file."""
    found = list(pieces)
    ends = [found[0]["header"] if found else 0, *(piece["end"] for piece in found)]
    assert [piece["start"] for piece in found] == ends[:-1]
    assert not found or ends[-1] == len(data)
    assert all(piece["start"] < piece["end"] for piece in found)
    assert [(piece["piece"], piece["pieces"]) for piece in found] == [(n + 1, len(found)) for n in range(len(found))]
    return [data[piece["start"] : piece["end"]] for piece in found]


def rows(data: bytes, delimiter: str = ",") -> list[list[str]]:
    """What csv makes of it."""
    text = data.removeprefix(BOM).decode("latin-1")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def is_closed(data: bytes, delimiter: str = ",") -> bool:
    """Whether every quoted field ends before the file does."""
    return rows(data + b"\nlast", delimiter)[-1] == ["last"]


ANY_CSV = st.lists(
    st.sampled_from(
        [b"a", b"bc", b",", b";", b'"', b'""', b'"x,\ny"', b",", b"\n", b"\r\n", b" ", b"\xc3\xa9", b"x\0yz"]
    ),
    max_size=40,
).map(b"".join)


@given(ANY_CSV, st.integers(1, 4), st.booleans(), st.sampled_from(",;"), st.sampled_from([b"", BOM]))
@example(b'5" disk,"a ""b""\n c"\n', 1, False, ",", b"")
@example(b'a,b"\n"c\n', 1, False, ",", b"")
@example(b'"a\nb"\n', 1, False, ",", BOM)
def test_csv_is_cut_where_the_csv_module_says(
    write: Callable[..., str], data: bytes, count: int, header: bool, delimiter: str, bom: bytes
) -> None:
    path = write(bom + data, "in.csv")
    if not is_closed(data, delimiter):
        with pytest.raises(BadInput, match="--plain"):
            split(path, lines=count, delimiter=delimiter)
        return
    pieces = split(path, lines=count, header=header, delimiter=delimiter)
    found = texts(bom + data, pieces)
    expected = rows(data, delimiter)[header:]
    assert [row for text in found for row in rows(text, delimiter)] == expected
    assert [len(rows(text, delimiter)) for text in found[:-1]] == [count] * (len(found) - 1)
    if header and found:
        assert rows((bom + data)[: pieces.header], delimiter) == rows(data, delimiter)[:1]


@given(ANY_CSV, st.integers(1, 12), st.booleans())
def test_csv_by_size_has_whole_records_and_as_many_as_fit(
    write: Callable[..., str], data: bytes, size: int, header: bool
) -> None:
    if not is_closed(data):
        return
    pieces = split(write(data, "in.csv"), size=size, header=header, delimiter=",")
    found = texts(data, pieces)
    assert [row for text in found for row in rows(text)] == rows(data)[header:]
    ends = list(records.record_ends(io.BytesIO(data), ",", ""))
    for piece in pieces:
        following = next((end for end in ends if end > piece["end"]), None)
        assert piece["end"] - piece["start"] <= size or len(rows(data[piece["start"] : piece["end"]])) == 1
        assert following is None or following - piece["start"] > size, "one more would have fitted"


@given(
    st.lists(st.sampled_from([b"a", b'"', b"bcd", b"\n", b"\r\n", b"x" * 9]), max_size=30).map(b"".join),
    st.integers(1, 12),
    st.booleans(),
)
def test_lines_are_cut_at_newlines_alone(write: Callable[..., str], data: bytes, number: int, header: bool) -> None:
    path = write(data)
    lines = data.splitlines(keepends=True) if b"\r" not in data.replace(b"\r\n", b"") else data.split(b"\n")
    rest = lines[header:]
    by_count = texts(data, split(path, lines=number, header=header))
    assert by_count == [b"".join(rest[n : n + number]) for n in range(0, len(rest), number)]
    by_size: list[bytes] = []
    for line in rest:
        if by_size and len(by_size[-1]) + len(line) <= number:
            by_size[-1] += line
        else:
            by_size.append(line)
    assert texts(data, split(path, size=number, header=header)) == by_size


def test_a_line_that_is_longer_than_all_that_is_read_at_once(write: Callable[..., str]) -> None:
    lines = [b"a\n" * 10, b"x" * (3 * records.BLOCK) + b"\n", b"y" * (2 * records.CHUNK + 5) + b"\n", b"b\n" * 10]
    data = b"".join(lines)
    path = write(data)
    assert texts(data, split(path, size=100)) == lines
    for blocks in (4, 5, 9):
        assert texts(data, split(path, size=blocks * records.BLOCK)) == [lines[0] + lines[1], lines[2], lines[3]]
    assert len(split(path, lines=1)) == 22


def test_a_field_that_is_longer_than_the_csv_module_likes(write: Callable[..., str]) -> None:
    data = b'id,text\n1,"' + b"long\n" * 50_000 + b'"\n2,x\n'
    assert [len(rows_of) for rows_of in texts(data, split(write(data, "in.csv"), lines=1, header=True))] == [250_005, 4]


def test_the_header_is_the_first_record_even_of_two_lines(write: Callable[..., str]) -> None:
    data = b'id,"two\nlines"\n1,2\n3,4\n'
    pieces = split(write(data, "in.csv"), lines=1, header=True)
    assert pieces.header == 15
    assert texts(data, pieces) == [b"1,2\n", b"3,4\n"]


@pytest.mark.parametrize("data", [b"", BOM, b"id,text\n", BOM + b"id\n"])
@pytest.mark.parametrize("name", ["in.csv", "in.txt"])
@pytest.mark.parametrize("how", [{"lines": 2}, {"size": 2}])
def test_a_file_without_records_has_no_pieces(
    write: Callable[..., str], data: bytes, name: str, how: dict[str, int]
) -> None:
    assert len(split(write(data, name), header=True, **how)) == 0  # type: ignore[arg-type]
    if data.removeprefix(BOM) == b"":
        assert len(split(write(data, name), **how)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "how", "count"),
    [
        ("in.csv", {}, 1),
        ("in.CSV", {}, 1),
        ("in.txt", {}, 2),
        ("in.txt", {"csv": True}, 1),
        ("in.txt", {"delimiter": ","}, 1),
        ("in.csv", {"csv": False}, 2),
    ],
)
def test_whether_it_is_csv_is_told_by_the_name_or_said(
    write: Callable[..., str], name: str, how: dict[str, Any], count: int
) -> None:
    assert len(split(write(b'1,"a\nb"\n', name), lines=1, **how)) == count


def test_a_tsv_is_divided_by_tabs(write: Callable[..., str]) -> None:
    assert len(split(write(b'1\t"a\nb"\n', "in.tsv"), lines=1)) == 1


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'id,text\n1,ok\n2,"open\n3,x\n', 3),
        (b'id\n"a\nb"\n"c\nd', 4),
        (b'1,"', 1),
        (b'1,"\n', 1),
        (b'1,"a\n\nb",2\n"\n\n', 4),
    ],
)
def test_a_quote_that_is_never_closed_is_told_with_its_line(write: Callable[..., str], data: bytes, line: int) -> None:
    with pytest.raises(BadInput, match=f"in.csv, line {line}: a quote is opened here and never closed"):
        split(write(data, "in.csv"), lines=1, delimiter=",")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'id,text\n1,"' + b"x\n" * 2000, "line 2: a quote opened in this record is not closed within 1000 B"),
        (b"id,text\n1," + b"x" * 2000, "line 2: longer than 1000 B; is this CSV"),
    ],
)
def test_a_record_without_end_is_refused_before_it_fills_the_memory(data: bytes, message: str) -> None:
    file = io.BytesIO(data)
    ends = records.record_ends(file, ",", "in.csv", longest=1000)
    assert next(ends) == 8
    with pytest.raises(BadInput, match=message):
        next(ends)
    assert file.tell() < 1100


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"a,b\n"), r"compressed \(gzip\)"),
        (b"\x28\xb5\x2f\xfdxx", r"compressed \(zstd\)"),
        (b"PK\x03\x04xx", r"compressed \(zip\)"),
        (b"PAR1xx", "Parquet"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-32"), "UTF-16, UTF-32"),
        (b"a,b\r1,2\r", "its lines end in CR alone"),
        (b"a;b\n1;2\n", "no ',' in its first line, but ';'; which one divides fields"),
        (b"a\tb\n1\t2\n", "--delimiter tab"),
    ],
)
def test_what_cannot_be_cut_is_refused(write: Callable[..., str], data: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        split(write(data, "in.csv"), lines=1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "shift-jis", "gb18030", "euc-jp"])
def test_encodings_that_keep_ascii(write: Callable[..., str], encoding: str) -> None:
    text = 'k,"é\nü"\n' if encoding in {"latin-1", "cp1252"} else 'k,"日本\n語"\n'
    data = (text * 3).encode(encoding)
    assert [piece.decode(encoding) for piece in texts(data, split(write(data, "in.csv"), lines=1))] == [text] * 3


def test_a_name_that_json_cannot_hold_is_refused(scratch: Path) -> None:
    odd = os.fsdecode(os.fsencode(scratch) + b"/\xff.csv")
    with open(odd, "wb") as file:
        file.write(b"a\n")
    with pytest.raises(BadInput, match="JSON cannot hold a name that is no UTF-8; rename it"):
        split(odd, lines=1)


def test_what_is_no_file_is_refused(scratch: Path) -> None:
    for name, message in (("missing.csv", "no such file"), (".", "not a regular file")):
        with pytest.raises(BadInput, match=message):
            split(scratch / name, lines=1)
    os.mkfifo(scratch / "fifo")
    with pytest.raises(BadInput, match="not a regular file"):
        split(scratch / "fifo", lines=1)


@pytest.mark.parametrize(
    "how",
    [
        {}, {"lines": 1, "size": 1}, {"lines": 0}, {"lines": -1}, {"size": 0}, {"size": "x"},
        {"lines": 1, "delimiter": "ab"}, {"lines": 1, "delimiter": '"'}, {"lines": 1, "delimiter": ",", "csv": False},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(write: Callable[..., str], how: dict[str, Any]) -> None:
    with pytest.raises((BadInput, BadSetting)):
        split(write(b"a\n"), **how)


class Growing(io.FileIO):
    """A file to which its writer still adds while it is read."""

    def readline(self, size: int | None = -1) -> bytes:
        with open(os.fsdecode(str(self.name)), "ab") as more:
            more.write(b"c,d\n" if os.fstat(self.fileno()).st_size < 100 else b"")
        return super().readline(-1 if size is None else size)


def test_a_file_that_grows_while_it_is_read_is_refused(write: Callable[..., str]) -> None:
    path = write(b"a,b\n" * 10, "grows.csv")
    with Growing(path) as file, pytest.raises(BadInput, match="changed while it was read"):
        _cut(cast("BinaryIO", file), path, os.stat(path), 2, None, header=False, delimiter=",")


def test_pieces_are_a_sequence_of_payloads(write: Callable[..., str]) -> None:
    path = write(b"a\nb\nc\n")
    pieces = split(path, lines=1)
    assert pieces[-1] == {
        "path": path, "start": 4, "end": 6, "header": 0, "piece": 3, "pieces": 3,
        "size": 6, "mtime_ns": os.stat(path).st_mtime_ns,
    }  # fmt: skip
    assert pieces[1:] == [pieces[1], pieces[2]]
    with pytest.raises(IndexError):
        pieces[3]
    assert label(pieces[0]) == "in.txt.1"
    assert label({"path": "/x/big.csv", "piece": 7, "pieces": 120}) == "big.csv.007"
