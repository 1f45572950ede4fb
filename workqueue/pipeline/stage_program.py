"""A stage that is a program: each line of its standard output is a payload for the next stages.

The payload is on its standard input, and in the file ``{path}``; its exit status is the verdict, as with ``--exec``.
A line that cannot be read fails the run, and so nothing that the program wrote before is handed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from workqueue.errors import BadPayload
from workqueue.run.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.run.job import Job

Lines = Literal["json", "text"]
FORMS = ("json", "text")
LONGEST = 64 << 20
"""Bytes of a line: as large as a payload may be where no setting says otherwise."""
SHOWN = 40


class StageProgram:
    """Runs a program for each job; what it writes is taken apart line by line, or passes through."""

    def __init__(self, name: str, command: str, lines: Lines | None) -> None:
        self._program = Program(command, f"stage {name!r}")
        self._name = name
        self._lines = lines

    def run(self, job: Job, give: Callable[[Any], None]) -> None:
        """Run it; `give` gets the payload of each line."""
        if self._lines is None:
            self._program(job)
            return
        reader = LineReader(self._lines, f"of what {self._name!r} wrote", give)
        self._program(job, reader.feed)
        reader.end()


class LineReader:
    """Takes chunks, gives payloads. Empty lines are passed over."""

    def __init__(self, form: Lines, where: str, give: Callable[[Any], None]) -> None:
        self._decode = from_json if form == "json" else text_or_bytes
        self._where = where
        self._give = give
        self._number = 0
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Give the lines that are whole by now."""
        first, *more = chunk.split(b"\n")
        self._begin(first)
        for line in more:
            self._take(b"".join(self._begun))
            self._begun, self._size = [], 0
            self._begin(line)

    def end(self) -> None:
        """Give the last line, where no newline ends it."""
        self._take(b"".join(self._begun))
        self._begun = []

    def _begin(self, part: bytes) -> None:
        self._begun.append(part)
        self._size += len(part)
        if self._size > LONGEST:
            raise BadPayload(f"line {self._number + 1} {self._where} is longer than {LONGEST >> 20} MiB")

    def _take(self, line: bytes) -> None:
        self._number += 1
        line = line.removesuffix(b"\r")
        if line.strip():
            self._give(self._decode(line, f"line {self._number} {self._where}"))


def from_json(line: bytes, where: str) -> Any:
    """The line's value."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        start = line[:SHOWN].decode(errors="backslashreplace")
        raise BadPayload(f"{where} is no JSON: {error}: {start!r}") from None


def text_or_bytes(line: bytes, _where: str) -> str | bytes:
    """The line as text, where it is UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line
