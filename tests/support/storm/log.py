"""The storm's log, outside the queue: each line in one O_APPEND write, so that the order of lines is the order of things.

**Invariant**: a process can be killed in the middle of a write. A line begins with its own newline and ends with a
full stop, so one that was torn spoils no other, and is left out: its writer never got to do what it announces.
What concerns one job stands in one file, chosen by the job's id, so that the checker needs no more than a part at a time.

    producers   submit → acknowledged | taken | refused
    handlers    start → end | failed | retried | snoozed | rejected | dying;  overlap, torn, ghost, helping
    operators   cancel → cancelled | ordered;  hold → held;  unhold → unheld;  retry → retrying;  each → missed
    the storm   killed, told (SIGTERM), stopped, woken
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = 32
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
FIELDS = 8


class Line(NamedTuple):
    """One thing that happened."""

    word: str
    at: float
    """Monotonic seconds: the same clock in every process."""
    pid: int
    """Who did it; of a blow, whom it hit."""
    job: str = "-"
    attempt: int = 0
    number: int = 0
    """The job's number in its payload: its producer's own name for it."""
    about: str = "-"

    def text(self) -> str:
        """The line as it is written."""
        return f"\n{self.word} {self.at:.6f} {self.pid} {self.job or '-'} {self.attempt} {self.number} {self.about or '-'} ."


def now(word: str, job: str = "-", attempt: int = 0, number: int = 0, about: str = "-") -> Line:
    """A line about this process, at this moment."""
    return Line(word, time.monotonic(), os.getpid(), job, attempt, number, about)


def parsed(text: str) -> Line | None:
    """The line that was written; None for a torn one."""
    words = text.split(" ")
    if len(words) != FIELDS or words[-1] != ".":
        return None
    word, at, pid, job, attempt, number, about, _ = words
    return Line(word, float(at), int(pid), job, int(attempt), int(number), about)


class Log:
    """The log's files."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        os.makedirs(directory, exist_ok=True)

    def write(self, file: str, *lines: Line) -> None:
        """Append lines in one write."""
        fd = os.open(f"{self._directory}/{file}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, "".join(line.text() for line in lines).encode())
        finally:
            os.close(fd)

    def tell(self, line: Line) -> None:
        """Append a line about a job."""
        self.write(part_of(line.job), line)

    def read(self, file: str) -> Iterator[Line]:
        """The whole lines of a file, in order."""
        try:
            with open(f"{self._directory}/{file}", encoding="ascii") as lines:
                for text in lines:
                    line = parsed(text.rstrip("\n"))
                    if line is not None:
                        yield line
        except FileNotFoundError:
            return

    def size(self, file: str) -> int:
        """Bytes of a file."""
        try:
            return os.stat(f"{self._directory}/{file}").st_size
        except FileNotFoundError:
            return 0


def part_of(job: str) -> str:
    """The file for what concerns a job. The last character of an id is as good as random."""
    return f"jobs-{ALPHABET.index(job[-1]) % PARTS}"
