"""Where the records of a text file end: at its newlines, but not at those within the quotes of a CSV field.

**Invariant**: bytes are only counted, never decoded: any encoding that keeps ASCII's bytes for ASCII will do.
What a quote means is the standard library's csv module's business. It is asked about lines that have one; a line
without is a record by itself wherever a record can begin.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, BinaryIO, Self

from workqueue.errors import BadInput
from workqueue.jobs.durations import shown_size

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 64 << 20
"""Bytes of a CSV record: it is held in memory, and a quote that is never closed makes one of the rest of the file."""
CHUNK = 1 << 20
BLOCK = 1 << 16


def line_ends(file: BinaryIO) -> Iterator[int]:
    """The position behind each line from here on. Nothing is held in memory, however long a line is."""
    position, inside = file.tell(), False
    while part := file.readline(CHUNK):
        position += len(part)
        inside = not part.endswith(b"\n")
        if not inside:
            yield position
    if inside:
        yield position


def record_ends(file: BinaryIO, delimiter: str, path: str, longest: int = LONGEST) -> Iterator[int]:
    """The position behind each CSV record from here on."""
    # Loosened for the whole process: the limit of 131,072 is an arbitrary one, and nothing else in it is global.
    csv.field_size_limit(max(csv.field_size_limit(), longest))
    lines = _Lines(file, path, longest)
    reader = csv.reader(lines, delimiter=delimiter)
    while line := lines.read():
        lines.begin()
        if b'"' in line:
            lines.given = line
            try:
                row = next(reader)
            except csv.Error as error:
                raise BadInput(f"{path}, line {lines.number}: {error}; --plain takes each line as a record") from None
            if lines.ran_out:
                raise lines.unclosed(row[-1])
        yield lines.position


class _Lines:
    """The lines that csv.reader asks for; it asks for more than one only where a quoted field goes on."""

    def __init__(self, file: BinaryIO, path: str, longest: int) -> None:
        self._file, self._path, self._longest = file, path, longest
        self._begun = self._first = 0
        self.position = file.tell()
        self.number = 0
        self.given = b""
        """A line that was read already, and is to be the reader's next."""
        self.ran_out = False

    def read(self) -> bytes:
        """The next line; nothing at the end of the file."""
        line = self._file.readline(self._longest + 1)
        if len(line) > self._longest:
            raise BadInput(
                f"{self._path}, line {self.number + 1}: longer than {shown_size(self._longest)}; is this CSV?"
                " --plain takes lines of any length"
            )
        self.position += len(line)
        self.number += bool(line)
        return line

    def begin(self) -> None:
        """The line that was just read begins a record."""
        self._begun, self._first = self.position, self.number

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self.given or self.read()
        self.given = b""
        if not line:
            self.ran_out = True
            raise StopIteration
        if self.position - self._begun > self._longest:
            raise BadInput(
                f"{self._path}, line {self._first}: a quote opened in this record is not closed within"
                f" {shown_size(self._longest)}; --plain takes each line as a record"
            )
        return line.decode("latin-1")  # one character a byte: nothing that csv looks at changes

    def unclosed(self, field: str) -> BadInput:
        """The error of a field that the file's end cut off."""
        line = self.number - field.count("\n") + field.endswith("\n")
        return BadInput(
            f"{self._path}, line {line}: a quote is opened here and never closed (the wrong one may stand further up);"
            " --plain takes each line as a record"
        )


def by_count(ends: Iterator[int], count: int) -> Iterator[int]:
    """Of the ends of records those of pieces that have `count` records; the last has what is left."""
    seen = end = 0
    for seen, end in enumerate(ends, 1):
        if seen % count == 0:
            yield end
    if seen % count:
        yield end


def by_size(ends: Iterator[int], start: int, size: int) -> Iterator[int]:
    """Of the ends of records those of pieces that are as large as `size` allows; a larger record is a piece."""
    last = start
    for end in ends:
        if end - start > size and last > start:
            yield last
            start = last
        last = end
    if last > start:
        yield last


def lines_by_size(file: BinaryIO, start: int, end: int, size: int) -> Iterator[int]:
    """The same for lines, without reading more of the file than there are pieces."""
    while start < end:
        start = end if end - start <= size else _last_line_end(file, start, start + size) or _next(file, start + size)
        yield start


def _last_line_end(file: BinaryIO, start: int, stop: int) -> int | None:
    """The position behind the last newline in a range."""
    while stop > start:
        begin = max(start, stop - BLOCK)
        file.seek(begin)
        found = file.read(stop - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        stop = begin
    return None


def _next(file: BinaryIO, position: int) -> int:
    """The end of the line that a position lies in."""
    file.seek(position)
    return next(line_ends(file), position)
