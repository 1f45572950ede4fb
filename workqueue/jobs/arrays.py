"""Array jobs: one file carries many tiny elements, a line of JSON each, and line 1 says how many.

    {"fsq":1,"array":3,"len":27,"crc":512934421}
    {"n": 0}
    {"n": 1}
    {"n": 2}

An element's address is ``ID.INDEX``, from 0 on. How far each has come is one character of ``.fsq/jobs/ID/elements``:

    0  to do
    1  ended, and staged nothing: final
    2  ended, and staged something, which goes with the run that has it
    3  was running when its worker died: never run in the array again, but split off, as a job of its own
    4  was split off by the run that goes on, because its handler raised

**Invariant**: of a run that is over and did not commit, 1 and 3 hold. Any other character means to do: what was staged
was discarded with the run, and a power cut may have left anything.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from workqueue.errors import BadPayload
from workqueue.jobs import content
from workqueue.jobs.content import DEEPEST, JSON, Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.jobs.content import Options

TO_DO, ENDED, STAGED, BLAMED, SPLIT = b"0", b"1", b"2", b"3", b"4"
FINAL = ENDED + BLAMED
HELD = bytes(mark if mark in FINAL else TO_DO[0] for mark in range(256))
ADDRESS = re.compile(r"(?P<id>.+)\.(?P<index>\d{1,9})", re.ASCII)
SUSPICIOUS = 2 * DEEPEST
"""Bytes of the shortest line that could be nested too deeply."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Tally(NamedTuple):
    """How far an array has come."""

    elements: int
    ended: int
    left: int
    split: int
    """Became jobs of their own, or will as soon as the array runs again."""

    def text(self) -> str:
        """In words."""
        split = f", {self.split:,} split off" if self.split else ""
        return f"{self.ended:,}/{self.elements:,} elements{split}"


def arrays(payloads: Iterable[Any], size: int) -> Iterator[tuple[bytes, int]]:
    """The content of each array, and how many elements it has; taken from the iterable one array at a time."""
    rest, first = iter(payloads), 0
    while chunk := list(islice(rest, size)):
        yield encode(chunk, first), len(chunk)
        first += len(chunk)


def encode(payloads: list[Any], first: int = 0) -> bytes:
    """Payloads as lines. All are looked at together; only where something is odd, one by one."""
    try:
        data = _encoder.encode_lines(payloads)
        if _decoder.decode_lines(data) == payloads and not _may_be_deep(data):
            return data
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        pass  # the element that cannot be is told below
    return b"".join(_line(payload, first + n) for n, payload in enumerate(payloads))


def _line(payload: Any, index: int) -> bytes:
    if isinstance(payload, (bytes, bytearray, memoryview)):
        raise BadPayload(f"payload {index}: an array's elements are JSON, and bytes are not; submit_many takes them")
    return content.encode_json(payload, f"payload {index}") + b"\n"


def _may_be_deep(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > DEEPEST and max(map(len, data.split(b"\n"))) >= SUSPICIOUS


def lines(options: Options, body: bytes) -> list[bytes]:
    """The elements, undecoded; raises Damaged if they are not as many as line 1 says."""
    if options.type != JSON:
        raise Damaged(f"an array's elements are JSON, line 1 says {options.type!r}")
    found = body.split(b"\n")
    if not found[-1]:
        found.pop()
    if len(found) != options.array:
        raise Damaged(f"the array has {len(found)} lines, line 1 says {options.array}")
    return found


def decode(line: bytes) -> Any:
    """An element's value."""
    try:
        return _decoder.decode(line)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return content.decode_payload(line, JSON)  # raises, and says why


def still_to_do(marks: bytes) -> bytes:
    """The marks as the next run finds them: what a run had staged has gone with it."""
    return marks.translate(HELD)


def tally(marks: bytes, *, running: bool) -> Tally:
    """Count what was marked; where no run goes on, only what holds."""
    held = marks if running else still_to_do(marks)
    ended = held.count(ENDED) + held.count(STAGED)
    split = held.count(BLAMED) + held.count(SPLIT)
    return Tally(len(marks), ended, len(marks) - ended - split, split)


def address(text: str) -> tuple[str, int] | None:
    """Read ``ID.INDEX``; None for anything else."""
    match = ADDRESS.fullmatch(text)
    return (match["id"], int(match["index"])) if match else None
