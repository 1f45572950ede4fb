"""A worker's part of the journal that is not written yet: lines in memory that its supervisor shares.

So a job costs no system call, and what a worker had not written when it was killed is written by its supervisor.

    TEXT     bytes of lines that wait; changed after they are in their place
    BASE     the file's size before the write that goes on; -1: none does
    DAY      the day of the lines that wait
    DROPPED  lines that could not be written

**Invariant**: only the worker changes the page while it lives; when it is dead the holder of its slot's lock may.
**Guarantee**: however the worker is killed, the next `flush` writes each line once: what of an interrupted write is in
the file shows in the file's size, which nobody else changes.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

from workqueue.engine.journal import DAY_MS, LONGEST, day_of, dropped_line, encode, gap, is_kept, nobody, opened

if TYPE_CHECKING:
    from workqueue.engine.journal import Teller
    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name

TEXT, BASE, DAY, DROPPED = range(4)
LULL_MS = 1000
"""Milliseconds that a line waits at most while others follow it."""
LONG = 0.01
"""Seconds: a run of this length is written down at once, which costs it little."""
HEAD = 64
SIZE = 1 << 16
FULL = SIZE - HEAD - LONGEST - 1
"""Bytes of lines behind which there is room for one more of any length."""


class JournalBuffer:
    """What the worker of one slot has to tell."""

    def __init__(self, root: Root, slot: int, tell: Teller = nobody) -> None:
        self._root = root
        self._clock = root.clock
        self._slot = slot
        self._tell = tell
        self._map = mmap.mmap(-1, SIZE)
        self._words = memoryview(self._map)[:HEAD].cast("q")
        self._words[BASE] = -1
        self._written = 0
        self._first_at = self._last_at = 0
        """When the first of the lines that wait was told, and until when others may join it."""
        self._kept: dict[str, bool] = {}
        self._queue = ""
        """The last queue that told something, and whose lines are wanted."""

    def finished(self, queue: str, name: Name, took: float) -> None:
        """Write down a run that finished, and of which there is no more to tell: every job does, so it is short."""
        now = self._clock.now_ms()
        start = self._words[TEXT]
        if not 0 < start <= FULL or queue != self._queue or not self._first_at <= now <= self._last_at:
            if not self._place(now, queue):
                return
            start = self._words[TEXT]
        line = (
            f'{{"t":{now},"event":"finished","queue":"{queue}","id":"{name.id}","attempt":{name.attempt},'
            f'"slot":{self._slot},"took":{took:.6f}}}\n'
        ).encode()
        end = start + len(line)
        self._map[HEAD + start : HEAD + end] = line
        self._words[TEXT] = end
        if took >= LONG:
            self.flush()

    def add(self, event: str, fields: dict[str, Any]) -> None:
        """Write down what else happened. It is on the disk after a while, or when `flush` is called."""
        now = self._clock.now_ms()
        if self._place(now, fields.get("queue", "")):
            line = encode({"t": now, "event": event, **fields, "slot": self._slot})
            start = self._words[TEXT]
            end = start + len(line)
            self._map[HEAD + start : HEAD + end] = line
            self._words[TEXT] = end
            if fields.get("took", 0.0) >= LONG:
                self.flush()

    def _place(self, now: int, queue: str) -> bool:
        """Make room for one more line; False where this queue's are not wanted."""
        if queue not in self._kept:
            self._kept[queue] = is_kept(self._root, queue)
        if not self._kept[queue]:
            return False
        words = self._words
        if words[TEXT] > FULL or not self._first_at <= now <= self._last_at:
            self.flush()
        if not words[TEXT]:
            words[DAY] = now // DAY_MS
            self._first_at = now
            self._last_at = min(now + LULL_MS, (words[DAY] + 1) * DAY_MS - 1)
        self._queue = queue
        return True

    def flush(self) -> None:
        """Write what waits. What cannot be written is dropped, and told the first time."""
        words = self._words
        if not words[TEXT]:
            return
        data = self._map[HEAD : HEAD + words[TEXT]]
        try:
            self._write(data)
        except OSError as error:
            lost = data.count(b"\n", self._written)
            words[DROPPED] += lost
            if words[DROPPED] == lost:
                self._tell(lost, error.strerror or str(error))
        # In this order: a kill in between must not let the next flush take the page for one that was never written.
        words[TEXT] = 0
        words[BASE] = -1

    def _write(self, data: bytes) -> None:
        words, fs = self._words, self._root.fs
        self._written = 0
        with opened(self._root, day_of(words[DAY] * DAY_MS), str(self._slot)) as fd:
            if words[BASE] < 0:
                before = gap(fd) + dropped_line(self._clock.now_ms(), words[DROPPED])
                if before:
                    fs.write(fd, before)
                    words[DROPPED] = 0
                words[BASE] = os.fstat(fd).st_size
            try:
                self._written = self._in_file(fd)
                fs.write(fd, data[self._written :])
            except OSError:
                self._written = self._in_file(fd)
                raise

    def _in_file(self, fd: int) -> int:
        """How many of the waiting bytes are in the file: what it has grown by since their write began."""
        return max(0, os.fstat(fd).st_size - self._words[BASE])

    def close(self) -> None:
        """Give the page back."""
        self._words.release()
        self._map.close()
