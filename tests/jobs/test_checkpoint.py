"""A checkpoint's file: what is read is what was written, or nothing."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.jobs.checkpoint import Checkpoint, decode, encode
from workqueue.jobs.content import Damaged, encode_json


def is_json(value: object) -> bool:
    try:
        encode_json(value)
    except ValueError:
        return False
    return True


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).filter(is_json)


def of(value: object) -> Checkpoint:
    return Checkpoint(7, 2, 1_764_000_000_000, msgspec.Raw(encode_json(value)), {"read": 5000, "share": 0.5})


@given(VALUES)
def test_what_is_read_is_what_was_written(value: object) -> None:
    found = decode(encode(of(value)))
    assert found == of(value)
    assert found.value() == value


@given(VALUES, st.data())
def test_what_is_cut_short_overwritten_or_flipped_is_found_out(value: object, data: st.DataObject) -> None:
    whole = encode(of(value))
    at = data.draw(st.integers(0, len(whole) - 2))
    for torn in (whole[:at], whole[:at] + bytes(len(whole) - at), flipped(whole, at)):
        try:
            assert decode(torn) == of(value), "a number in line 1 may be written in another way"
        except Damaged:
            continue


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'{"number":1,"attempt":1,"at":0,"cursor":}', b"\xff"])
def test_what_is_whole_and_no_checkpoint_is_damaged(body: bytes) -> None:
    line = msgspec.json.encode({"len": len(body), "crc": zlib.crc32(body)})
    with pytest.raises(Damaged):
        decode(line + b"\n" + body + b"\n")


def test_it_is_as_the_page_shows_it() -> None:
    assert encode(of(5000)).split(b"\n")[1:] == [
        b'{"number":7,"attempt":2,"at":1764000000000,"cursor":5000,"counts":{"read":5000,"share":0.5}}', b"",
    ]  # fmt: skip
