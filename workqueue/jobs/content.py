"""The content of a job's file: line 1 is a JSON object of options, then the payload, byte for byte.

    {"fsq":1,"len":8,"crc":2774370389}
    {"n": 1}

Line 1 begins ``{"fsq":1`` and holds only what differs from the queue's settings. ``len`` and ``crc`` (CRC-32, zlib's)
prove that the payload is whole; a producer in another language may leave them out. Unknown members are kept.

**Invariant**: content never changes after submit.
"""

from __future__ import annotations

import zlib
from itertools import chain
from typing import Any

import msgspec

from workqueue.errors import BadPayload
from workqueue.jobs import names
from workqueue.jobs.durations import LONGEST

JSON, TEXT, BYTES = "json", "text", "bytes"
MAGIC = b'{"fsq":1'
LONGEST_LINE = 64 * 1024
"""Bytes of line 1: it is read in one piece at every claim."""
DEEPEST = 300
"""Levels of a JSON payload. What the producer's Python could just read, a worker's with more on its stack could not."""
CONTAINERS = (list, dict)
DURATIONS = ("timeout", "keep", "key_for")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Options(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=False):
    """What one job asks for beyond its queue's settings. Durations are seconds, times ms since the epoch."""

    fsq: int = 0
    array: int | None = None
    """How many elements the payload has, a line each; None: it is one payload."""
    len: int | None = None
    crc: int | None = None
    type: str = JSON
    max_attempts: int | None = None
    timeout: float | None = None
    expires: int | None = None
    keep: float | None = None
    key: str | None = None
    key_for: float | None = None
    name: str | None = None
    """With a key: the job's first name, by which the key's holder is looked up."""
    headers: dict[str, Any] | None = None
    reject_limit: str | None = None
    source: str | None = msgspec.field(default=None, name="from")
    """The element of an array, ID.INDEX, that this job was."""
    error: dict[str, Any] | None = None
    """Why it was split off: the error of its first attempt, told like those that follow."""
    batch: str | None = None
    """The batch whose member it is."""


_options_decoder = msgspec.json.Decoder(Options)
PLAIN = Options(fsq=1)


class Damaged(ValueError):
    """Content that cannot be read as a job; the text is the reason."""


def encode_payload(payload: object) -> tuple[bytes, str]:
    """The payload's bytes and their type. What could not be read back as it was given is refused."""
    match payload:
        case bytes() | bytearray() | memoryview():
            return bytes(payload), BYTES
        case str():
            try:
                return payload.encode(), TEXT
            except UnicodeEncodeError as error:
                raise BadPayload(f"payload: text that cannot be encoded: {error.reason}") from None
    return encode_json(payload), JSON


def encode_json(value: object, what: str = "payload") -> bytes:
    """JSON that reads back as `value`; tuples become lists."""
    try:
        data = _encoder.encode(value)
        back = _decoder.decode(data)
        is_deep = data.count(b"[") + data.count(b"{") > DEEPEST and is_deeper(back, DEEPEST)
        odd = None if back == value else first_difference(value, back, "$")
    except RecursionError:
        is_deep = True
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise BadPayload(f"{what}: cannot be JSON: {error}") from None
    if is_deep:
        raise BadPayload(f"{what}: nested too deeply for JSON, the limit is {DEEPEST}")
    if odd:
        raise BadPayload(f"{what} at {odd}")
    return data


def is_deeper(value: object, limit: int) -> bool:
    """Whether lists and dicts stand in one another more than `limit` times."""
    level = [value]
    for _ in range(limit + 1):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, CONTAINERS)]
        if not inner:
            return False
        level = list(chain.from_iterable(inner))
    return True


def first_difference(given: object, back: object, where: str) -> str | None:
    """Say where `given` is not what JSON makes of it; tuples for lists are let pass."""
    if isinstance(given, (list, tuple)) and isinstance(back, list):
        pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(given, back, strict=True))]
    elif isinstance(given, dict) and isinstance(back, dict):
        for key in given:
            if key not in back:
                return f"{where}: the key {key!r} would come back as text; use str keys"
        pairs = [(f"{where}.{key}", given[key], back[key]) for key in given]
    else:
        return None if given == back else f"{where}: {given!r} would come back as {back!r}"
    return next((odd for odd in (first_difference(a, b, w) for w, a, b in pairs) if odd), None)


def encode(options: Options, payload: bytes) -> bytes:
    """A job's file."""
    head = encode_options(options, payload)
    return b"".join((head, b"\n", payload))


def encode_options(options: Options, payload: bytes | None = None) -> bytes:
    """Line 1, without its end; with the payload's length and checksum where one is given."""
    if payload is not None:
        options.len, options.crc = len(payload), zlib.crc32(payload)
    options.fsq = 1
    line = _encoder.encode(options)
    if len(line) >= LONGEST_LINE:
        raise BadPayload(f"options and headers: {len(line)} bytes, the limit is {LONGEST_LINE}")
    return line


def decode_options(line: bytes) -> Options:
    """Read line 1."""
    if not line.startswith(MAGIC):
        raise Damaged('line 1 is no options line: it must begin {"fsq":1')
    try:
        options = _options_decoder.decode(line)
    except RecursionError:
        raise Damaged("line 1 is nested too deeply") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"line 1 is no options line: {error}") from None
    if options.fsq != 1:
        raise Damaged(f"written in format {options.fsq}, this program knows 1")
    for what in DURATIONS:
        value = getattr(options, what)
        if value is not None and not 0 <= value <= LONGEST:
            raise Damaged(f"line 1 is no options line: {what} {value!r}")
    if options.array is not None and options.array < 1:
        raise Damaged(f"line 1 is no options line: array {options.array!r}")
    if options.batch is not None and not names.is_id(options.batch):
        raise Damaged(f"line 1 is no options line: batch {options.batch!r}")
    return options


def check(options: Options, payload: bytes) -> None:
    """Prove that the payload is the one that was submitted."""
    if options.len is not None and options.len != len(payload):
        raise Damaged(f"the payload has {len(payload)} bytes, line 1 says {options.len}")
    if options.crc is not None and options.crc != zlib.crc32(payload):
        raise Damaged("the payload's checksum does not match")


def decode_payload(data: bytes, kind: str, *, whole: bool = False) -> Any:
    """The payload's value. A whole file is decoded only if it is a JSON object or array; otherwise it is bytes."""
    if whole:
        if data.lstrip()[:1] not in (b"{", b"["):
            return data
        try:
            return _decoder.decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return data
    if kind not in {JSON, TEXT, BYTES}:
        raise Damaged(f"the payload is of type {kind!r}, which this program does not know")
    try:
        match kind:
            case "json":
                return _decoder.decode(data)
            case "text":
                return data.decode()
            case _:
                return data
    except RecursionError:
        raise Damaged("the payload is nested too deeply") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"the payload is no {kind}: {error}") from None
