"""Split: cut a file into pieces of whole records, without copying it.

A piece is a byte range, as a payload that any program can read:

    {"path": "/in/big.csv", "start": 52, "end": 67108801, "header": 52, "piece": 1, "pieces": 12,
     "size": 791234567, "mtime_ns": 1764000000000000000}

**Invariant**: header and pieces tile the file: each byte belongs to one of them, in order, none to two.
**Guarantee**: all cuts are made before the first piece is given out, and of one and the same file.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, overload

from workqueue.engine.settings import whole
from workqueue.errors import BadInput, told
from workqueue.jobs.durations import size as read_size
from workqueue.pipeline import records

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
"""The names by which a file is known as CSV."""
BINARY = {
    b"\x1f\x8b": "compressed (gzip)", b"\x28\xb5\x2f\xfd": "compressed (zstd)", b"BZh": "compressed (bzip2)",
    b"\xfd7zXZ\0": "compressed (xz)", b"PK\x03\x04": "compressed (zip)", b"\x04\x22\x4d\x18": "compressed (lz4)",
    b"PAR1": "Parquet", b"ORC": "ORC", b"Obj\x01": "Avro", b"ARROW1": "Arrow", b"SQLite format 3": "SQLite",
}  # fmt: skip
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
SAMPLE = 1 << 16


class Pieces(Sequence[dict[str, Any]]):
    """The pieces of a file, each as the payload of a job."""

    def __init__(self, path: str, status: os.stat_result, header: int, ends: array[int]) -> None:
        self.path = path
        self.size, self.mtime_ns = status.st_size, status.st_mtime_ns
        self.header = header
        """Bytes of the header; 0 without one."""
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        numbers = range(len(self))[index]
        return self._piece(numbers) if isinstance(numbers, int) else [self._piece(number) for number in numbers]

    def _piece(self, number: int) -> dict[str, Any]:
        return {
            "path": self.path, "start": self._ends[number - 1] if number else self.header, "end": self._ends[number],
            "header": self.header, "piece": number + 1, "pieces": len(self),
            "size": self.size, "mtime_ns": self.mtime_ns,
        }  # fmt: skip


def split(
    path: str | os.PathLike[str],
    *,
    lines: int | None = None,
    size: int | str | None = None,
    header: bool = False,
    csv: bool | None = None,
    delimiter: str | None = None,
) -> Pieces:
    """Cut a text file into pieces of so many records (`lines`), or of so many bytes at most (`size`, ``"64M"``).

    A record larger than `size` is a piece of its own. `header`: the first record belongs to each piece. `csv`: a
    record ends where CSV's quotes say, by default in files called .csv or .tsv; otherwise at each newline.
    """
    if (lines is None) == (size is None):
        raise BadInput("split takes lines or bytes, one of them")
    count = None if lines is None else whole(lines, "lines")
    most = None if size is None else read_size(size, "bytes")
    if most == 0:
        raise BadInput(f"bytes {size!r}: must be more than nothing")
    where = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if delimiter is not None and (
        csv is False or len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii()
    ):
        raise BadInput(f"delimiter {delimiter!r}: one ASCII character, of a file that is CSV")
    by_name = DELIMITERS.get(os.path.splitext(where)[1].lower())
    is_csv = csv if csv is not None else bool(by_name or delimiter)
    with _opened(where) as file, told("read", where):
        before = os.fstat(file.fileno())
        if is_csv:
            delimiter = delimiter or _expected_delimiter(file, by_name or ",", where)
        return _cut(file, where, before, count, most, header=header, delimiter=delimiter if is_csv else None)


def _opened(path: str) -> BinaryIO:
    """The file, if it is one whose bytes can be cut."""
    if path != path.encode(errors="replace").decode():
        raise BadInput(f"{path!r}: JSON cannot hold a name that is no UTF-8; rename it")
    with told("read", path):
        if not os.path.exists(path):
            raise BadInput(f"{path}: no such file")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadInput(f"{path}: not a regular file; byte ranges need one that stays")
        file = open(path, "rb")
        try:
            _refuse_what_is_no_text(file, path)
        except BaseException:
            file.close()
            raise
        return file


def _refuse_what_is_no_text(file: BinaryIO, path: str) -> None:
    """Refuse what has no lines, or has its newlines otherwise."""
    head = file.read(SAMPLE)
    file.seek(0)
    for magic, what in BINARY.items():
        if head.startswith(magic):
            raise BadInput(f"{path}: {what}: a range of its bytes means nothing; unpack it, or fsq submit --file")
    if head.startswith(UTF16) or head.count(0) * 4 > len(head):
        raise BadInput(f"{path}: UTF-16, UTF-32 or binary; convert it first, such as: iconv -f UTF-16 -t UTF-8")
    if b"\r" in head and b"\n" not in head:
        raise BadInput(f"{path}: its lines end in CR alone; convert it first, such as: tr '\\r' '\\n'")


def _expected_delimiter(file: BinaryIO, delimiter: str, path: str) -> str:
    """The delimiter that the name promises, unless the first line plainly has another: quotes would be misread."""
    line = file.readline(SAMPLE)
    file.seek(0)
    others = [other for other in ",;\t|" if other.encode() in line]
    if delimiter.encode() not in line and others:
        raise BadInput(
            f"{path}: no {delimiter!r} in its first line, but {others[0]!r}; which one divides fields? --delimiter"
            f" {'tab' if others[0] == chr(9) else repr(others[0])}"
        )
    return delimiter


def _cut(
    file: BinaryIO,
    path: str,
    before: os.stat_result,
    count: int | None,
    most: int | None,
    *,
    header: bool,
    delimiter: str | None,
) -> Pieces:
    # A quote behind a byte order mark still begins a field.
    begin = file.seek(len(BOM) if file.read(len(BOM)) == BOM else 0)
    ends = records.line_ends(file) if delimiter is None else records.record_ends(file, delimiter, path)
    start = next(ends, 0) if header else 0
    if count is not None:
        found = records.by_count(ends, count)
    elif delimiter is None:
        found = records.lines_by_size(file, start, before.st_size if before.st_size > begin else 0, most or 0)
    else:
        found = records.by_size(ends, start, most or 0)
    result = Pieces(path, before, start, array("q", found))
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise BadInput(f"{path}: changed while it was read; split it when it is complete")
    assert not len(result) or result[-1]["end"] == before.st_size, "the pieces tile the file"
    return result


def label(piece: Mapping[str, Any]) -> str:
    """A name for people: the file's, and which of its pieces it is."""
    return f"{os.path.basename(piece['path'])}.{piece['piece']:0{len(str(piece['pieces']))}}"
