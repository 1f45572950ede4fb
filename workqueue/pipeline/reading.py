"""open_piece: what a handler reads of a file that was split.

**Guarantee**: what is read is header and range of the file that was split, byte for byte, or the job is rejected: a
file that changed meanwhile is noticed when it is opened and once more at the piece's end.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, overload

from workqueue.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Mapping


@overload
def open_piece(piece: Mapping[str, Any]) -> BinaryIO: ...
@overload
def open_piece(piece: Mapping[str, Any], *, encoding: str, errors: str = "strict") -> TextIO: ...
def open_piece(piece: Mapping[str, Any], *, encoding: str | None = None, errors: str = "strict") -> BinaryIO | TextIO:
    """Open a piece made by `split`, its header first; as bytes, or with an `encoding` as text.

    Raises Reject if the file is not the one that was split: no later attempt could succeed. A file that is not there
    raises FileNotFoundError: it may come back.

    >>> with open_piece(job.payload, encoding="utf-8") as file:     # doctest: +SKIP
    ...     for row in csv.DictReader(file): ...
    """
    try:
        raw = _Piece(piece)
    except (KeyError, TypeError, ValueError) as error:
        raise Reject(f"the payload is no piece of a split file: {error!r}") from None
    binary = io.BufferedReader(raw)
    if encoding is None:
        return binary
    return io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline="")


class _Piece(io.RawIOBase):
    """The header and the range, one behind the other."""

    _fd = -1

    def __init__(self, piece: Mapping[str, Any]) -> None:
        self._path = str(piece["path"])
        self._known = int(piece["size"]), int(piece["mtime_ns"])
        self._spans = [(0, int(piece["header"])), (int(piece["start"]), int(piece["end"]))]
        self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        """It is to be read only."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as the piece goes."""
        while self._spans:
            position, end = self._spans[0]
            data = os.pread(self._fd, min(len(buffer), end - position), position)
            if data:
                self._spans[0] = position + len(data), end
                buffer[: len(data)] = data
                return len(data)
            del self._spans[0]
        self._check()
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()

    def _check(self) -> None:
        status = os.fstat(self._fd)
        if (status.st_size, status.st_mtime_ns) != self._known:
            raise self._changed()

    def _changed(self) -> Reject:
        return Reject(f"{self._path} changed after it was split; split it again")
