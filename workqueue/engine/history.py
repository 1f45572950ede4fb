"""The journal, read back: entries in the order of time, whatever else lies in its directory.

**Invariant**: reading holds one file open at a time and a part of each in memory, however much there is; nothing is
waited for and no link is followed. A line that is torn, no JSON, or longer than any that is written, is passed over.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine.journal import DAY, FILE, LONGEST, day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.root import Root

CHUNK = 1 << 16
FOLLOWED = 2
"""The last days, to which something may still be added."""


class Entry(msgspec.Struct):
    """One line: what happened, when, to which job. The line itself may say more."""

    t: int
    """Milliseconds since the epoch."""
    event: str
    queue: str = ""
    id: str = ""
    attempt: int = 0
    slot: int | None = None
    took: float | None = None
    """Seconds that the run lasted, for the events that end one."""
    anew: bool = False
    """Whether the attempts were counted anew before this one."""
    error: str = ""
    cause: str = ""
    """The class of the error, or what kind of end it was."""
    state: str = ""
    label: str = ""
    count: int = 0
    rejects: int = 0
    run: str = ""
    """Of the start and the end of a supervisor that runs a pipeline."""
    pipeline: str = ""
    queues: str = ""
    counts: dict[str, int | float] = {}
    line: bytes = b""
    """As it stands in the file."""


DECODER = msgspec.json.Decoder(Entry)


class Writing:
    """One writer's file of one day, read on from where the last reading ended."""

    def __init__(self, root: Root, day: str, name: str) -> None:
        self._root = root
        self._path = root.dot("journal", day, name)
        self._offset = 0
        self._skipping = False
        """Whether what comes next belongs to a line that is too long."""

    def entries(self, containing: bytes = b"") -> Iterator[Entry]:
        """The entries that are whole by now and have not been read, of lines that contain these bytes."""
        while lines := self._lines():
            for line in lines:
                if containing in line:
                    entry = decoded(line)
                    if entry is not None:
                        yield entry

    def _lines(self) -> list[bytes]:
        """The next lines, some at least; none at the end."""
        while chunk := self._chunk():
            whole, newline, _ = chunk.rpartition(b"\n")
            if newline:
                self._offset += len(whole) + 1
                lines = whole.split(b"\n")
                if self._skipping:
                    lines[0] = b""
                self._skipping = False
                return lines
            if len(chunk) < CHUNK:
                return []  # the end, or a line that is being written
            self._offset += len(chunk)
            self._skipping = True
        return []

    def _chunk(self) -> bytes:
        with suppress(OSError):  # gone, or never a file of ours
            fd = self._root.fs.open(self._path)
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    return os.pread(fd, CHUNK, self._offset)
            finally:
                os.close(fd)
        return b""


def decoded(line: bytes) -> Entry | None:
    """What a line says; None if it says nothing that can be read."""
    if not line or len(line) > LONGEST:
        return None
    try:
        entry = DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    entry.line = line
    return entry


def place(entry: Entry) -> tuple[int, int]:
    """Where an entry stands in the order of time; a millisecond holds several attempts."""
    return entry.t, entry.attempt


class History:
    """The entries of a root's journal."""

    def __init__(self, root: Root, since: int = 0, until: int | None = None, writer: str = "") -> None:
        self._root = root
        self._writer = writer
        """Only those of whom this is the name's beginning."""
        self._since = since
        self._until = until
        """Milliseconds since the epoch; None: for ever."""
        self._known: dict[tuple[str, str], Writing] = {}

    def in_order(self, containing: bytes = b"") -> Iterator[Entry]:
        """All entries, by time; `containing` passes over the lines that do not contain these bytes, quickly."""
        for day in self.days():
            yield from self._of_day(day, containing)

    def last(self, count: int, is_wanted: Callable[[Entry], bool], containing: bytes = b"") -> list[Entry]:
        """The last few entries of a kind; of the days before yesterday no more is read than it takes."""
        found: list[Entry] = []
        for days_back, day in enumerate(reversed(self.days())):
            if len(found) >= count and days_back >= FOLLOWED:
                break
            newest = deque(filter(is_wanted, self._of_day(day, containing)), maxlen=count)
            found = [*newest, *found][-count:]
        return found

    def _of_day(self, day: str, containing: bytes) -> Iterator[Entry]:
        of_day = [writing.entries(containing) for writing in self._writings(day)]
        return filter(self.is_meant, heapq.merge(*of_day, key=place))

    def in_any_order(self) -> Iterator[Entry]:
        """All entries, file by file: for who adds them up."""
        for day in self.days():
            for writing in self._writings(day):
                yield from filter(self.is_meant, writing.entries())

    def more(self, containing: bytes = b"") -> list[Entry]:
        """What was written since the last look, by time."""
        found = [
            entry
            for day in self.days()[-FOLLOWED:]
            for writing in self._writings(day)
            for entry in writing.entries(containing)
            if self.is_meant(entry)
        ]
        return sorted(found, key=place)

    def days(self) -> list[str]:
        """The days there are, the oldest first."""
        first = day_of(max(0, self._since))
        last = "9999-99-99" if self._until is None else day_of(max(0, self._until))
        try:
            names = self._root.fs.list(self._root.dot("journal"))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if DAY.fullmatch(name) and first <= name <= last)

    def is_meant(self, entry: Entry) -> bool:
        """Whether an entry lies in the time that was asked for."""
        return self._since <= entry.t and (self._until is None or entry.t < self._until)

    def _writings(self, day: str) -> list[Writing]:
        try:
            if not stat.S_ISDIR(self._root.fs.stat(self._root.dot("journal", day)).st_mode):
                return []
            listed = self._root.fs.list(self._root.dot("journal", day))
            names = sorted(name for name in listed if FILE.fullmatch(name) and name.startswith(self._writer))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            self._known.get((day, name)) or self._known.setdefault((day, name), Writing(self._root, day, name))
            for name in names
        ]
