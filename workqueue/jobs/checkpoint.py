"""A checkpoint: how far the runs of a job have come, so that the next one goes on from there.

    {"len":79,"crc":2774370389}
    {"number":3,"attempt":2,"at":1764000000000,"cursor":5000,"counts":{"read":5000}}

Line 1 proves that line 2 is whole: a run that went on from a wrong cursor would skip what nobody has done.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from workqueue.jobs.content import Damaged


class Checkpoint(msgspec.Struct, omit_defaults=True, frozen=True):
    """What one call of ``job.save`` has kept."""

    number: int
    """Counts the saves of a job, over all of its runs: of two checkpoints the higher one is newer."""
    attempt: int
    at: int
    """Milliseconds since the epoch."""
    cursor: msgspec.Raw
    counts: dict[str, int | float] = {}
    """What the handler had counted by then."""

    def value(self) -> Any:
        """The cursor, decoded anew each time: what a handler does to it changes nothing here."""
        return msgspec.json.decode(self.cursor)


class _Seal(msgspec.Struct):
    len: int
    crc: int


_decoder = msgspec.json.Decoder(Checkpoint)
_seal_decoder = msgspec.json.Decoder(_Seal)


def encode(checkpoint: Checkpoint) -> bytes:
    """A checkpoint's file."""
    body = msgspec.json.encode(checkpoint)
    return b"%s\n%s\n" % (msgspec.json.encode(_Seal(len(body), zlib.crc32(body))), body)


def decode(data: bytes) -> Checkpoint:
    """Read a checkpoint's file; raises Damaged."""
    head, _, rest = data.partition(b"\n")
    try:
        seal = _seal_decoder.decode(head)
        body = rest[: seal.len]
        if (len(body), zlib.crc32(body)) != (seal.len, seal.crc):
            raise Damaged("torn: its length or checksum does not match")
        found = _decoder.decode(body)
        found.value()
    except RecursionError:
        raise Damaged("nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise Damaged(f"no checkpoint: {error}") from None
    return found
