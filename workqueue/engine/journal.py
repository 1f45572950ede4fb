"""The journal: ``.fsq/journal/DAY/WRITER.jsonl``, what happened, one JSON object a line.

DAY is a date, UTC. WRITER is the number of a slot: its worker's file. Supervisors and operators, who have less to tell,
share the files `supervisor` and `operator`, each for the moment of one line; who finds one in use takes `supervisor-1`.

**Invariant**: nothing is ever decided from the journal, and it stops nothing. A line that cannot be written is dropped;
how many were is told once, and written down as soon as that is possible again.
**Invariant**: a file has one writer at a time, proven by a lock: the slot's, or the file's own. What a crash tore at
its end is closed by the next writer, so that it spoils no other line.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.errors import of_path
from workqueue.jobs.ids import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
FILE = re.compile(r"(\d{1,5}|(supervisor|operator)(-\d\d?)?)\.jsonl", re.ASCII)
DAY_MS = 86_400_000
MOST_WRITERS = 100
LONGEST = 16_384
"""Bytes of a line; a longer one is cut to what says most."""
LONGEST_TEXT = 300
KEEP_FREE = 0.02
"""The part of the file system that the journal leaves to the jobs: with less than that free nothing is written."""
NO_ROOM = "the disk refused them, or was almost full"
ENCODER = msgspec.json.Encoder(enc_hook=str)

Teller = Callable[[int, str], None]
"""Is told how many lines were dropped, and why."""


def nobody(_count: int, _reason: str) -> None:
    """Tell nobody that lines were dropped."""


def user_name() -> str:
    """Who does it: a name, or the number of a user without one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def day_of(ms: int) -> str:
    """The name of a day's directory."""
    return moment(ms).date().isoformat()


def encode(line: dict[str, Any]) -> bytes:
    """A line, whatever its values are: some come from handlers."""
    try:
        text = ENCODER.encode(line)
    except Exception:  # noqa: BLE001 - a surrogate, a depth without end, the user's __str__
        text = b""
    if not 0 < len(text) < LONGEST:
        text = ENCODER.encode(
            {name: _cut(value) for name, value in line.items() if isinstance(value, str | int | float)}
        )
    return text + b"\n"


def _cut(value: str | float) -> str | float:
    return value[:LONGEST_TEXT].encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def is_kept(root: Root, queue: str) -> bool:
    """Whether the events of a queue are written; "" is for those of none."""
    return root.settings(queue).journal > 0


@contextmanager
def opened(root: Root, day: str, writer: str) -> Iterator[int]:
    """A writer's file, open to be added to; refuses what is no file, and where the jobs need the room."""
    path = root.dot("journal", day, f"{writer}.jsonl")
    try:
        fd = root.fs.open_append(path)
    except FileNotFoundError:
        with suppress(FileExistsError):
            root.fs.mkdir(os.path.dirname(path))
        fd = root.fs.open_append(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        room = os.fstatvfs(fd)
        if room.f_bavail < room.f_blocks * KEEP_FREE:
            raise of_path(errno.ENOSPC, path)
        yield fd
    finally:
        root.fs.close(fd)


def gap(fd: int) -> bytes:
    """What ends a line that a crash has torn; nothing where the file ends as it should."""
    size = os.fstat(fd).st_size
    return b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""


def dropped_line(now: int, count: int) -> bytes:
    """What is written in place of lines that were dropped; nothing if none was."""
    return encode({"t": now, "event": "dropped", "count": count, "reason": NO_ROOM}) if count else b""


class Journal:
    """Writes each line at once: for a supervisor, or an operator."""

    def __init__(self, root: Root, writer: str, tell: Teller = nobody) -> None:
        self._root = root
        self._writer = writer
        self._tell = tell
        self._dropped = 0

    def add(self, event: str, fields: dict[str, Any]) -> None:
        """Write down what happened."""
        if not is_kept(self._root, fields.get("queue", "")):
            return
        now = self._root.clock.now_ms()
        line = encode({"t": now, "event": event, **fields})
        try:
            self._write(day_of(now), dropped_line(now, self._dropped) + line)
        except OSError as error:
            self._dropped += 1
            if self._dropped == 1:
                self._tell(1, error.strerror or str(error))
        else:
            self._dropped = 0

    def _write(self, day: str, data: bytes) -> None:
        fs = self._root.fs
        for number in range(MOST_WRITERS):
            with opened(self._root, day, f"{self._writer}-{number}" if number else self._writer) as fd:
                if fs.lock(fd):
                    fs.write(fd, gap(fd) + data)
                    return
        raise of_path(errno.EBUSY, self._root.dot("journal", day, self._writer))
