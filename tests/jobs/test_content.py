"""Content: what is submitted is what the handler gets, or it is refused; what is damaged is noticed."""

from __future__ import annotations

import enum
import math
import uuid
import zlib
from collections import namedtuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workqueue.errors import BadPayload
from workqueue.jobs.content import (
    BYTES,
    DEEPEST,
    JSON,
    LONGEST_LINE,
    MAGIC,
    PLAIN,
    TEXT,
    Damaged,
    Options,
    check,
    decode_options,
    decode_payload,
    encode,
    encode_json,
    encode_options,
    encode_payload,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
Point = namedtuple("Point", "x y")  # noqa: PYI024


class Colour(enum.IntEnum):
    RED = 1


def read(data: bytes) -> Any:
    """What a worker makes of a job's file."""
    line, end, payload = data.partition(b"\n")
    if not end:
        raise Damaged("line 1 has no end")
    options = decode_options(line)
    check(options, payload)
    return decode_payload(payload, options.type)


def written(payload: Any, **options: Any) -> bytes:
    """The file that a producer makes."""
    data, kind = encode_payload(payload)
    return encode(Options(type=kind, **options), data)


class TestRoundTrip:
    @given(VALUES)
    @example([])
    @example({})
    @example(None)
    @example("")
    @example((1 << 64) - 1)
    @example(-(1 << 63))
    @example(5e-324)
    @example({"a": [1, {"b": "\0\n\u2028 üß日🎉"}]})
    def test_any_json_value_comes_back(self, value: Any) -> None:
        back = read(written(value))
        assert back == value
        assert type(back) is type(value)

    @given(st.binary())
    def test_bytes_come_back(self, value: bytes) -> None:
        for given_value in (value, bytearray(value), memoryview(value)):
            assert read(written(given_value)) == value

    @given(TEXTS)
    def test_text_comes_back_as_text(self, value: str) -> None:
        assert read(written(value)) == value

    def test_the_payload_stands_in_the_file_as_it_is(self) -> None:
        assert written(b"\0\n\xff").endswith(b"}\n\0\n\xff")
        assert written("line\nline") == b'{"fsq":1,"len":9,"crc":%d,"type":"text"}\nline\nline' % zlib.crc32(
            b"line\nline"
        )
        assert written({"n": 1}) == b'{"fsq":1,"len":7,"crc":%d}\n{"n":1}' % zlib.crc32(b'{"n":1}')

    @pytest.mark.parametrize(
        ("payload", "kind"),
        [(b"x", BYTES), (bytearray(b"x"), BYTES), ("x", TEXT), ({}, JSON), ([], JSON), (1, JSON), (None, JSON)],
    )
    def test_the_type_is_told(self, payload: Any, kind: str) -> None:
        assert encode_payload(payload)[1] == kind

    def test_a_tuple_passes_as_a_list_wherever_it_stands(self) -> None:
        assert read(written((1, (2, 3), {"a": (4,)}))) == [1, [2, 3], {"a": [4]}]
        assert read(written({"p": Point(1, 2)})) == {"p": [1, 2]}

    def test_what_equals_its_json_passes(self) -> None:
        assert read(written({"colour": Colour.RED})) == {"colour": 1}


class TestRefused:
    """What would not come back as it was given, with the place where it stands."""

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (math.nan, r"payload at \$: nan would come back as None"),
            ([1, math.inf], r"payload at \$\[1\]: inf would come back as None"),
            ({"a": {"b": [0, -math.inf]}}, r"payload at \$.a.b\[1\]: -inf would come back"),
            ({"rows": [{1: "x"}]}, r"payload at \$.rows\[0\]: the key 1 would come back as text; use str keys"),
            ({1: "a", "1": "b"}, r"payload at \$: the key 1 would come back as text"),
            ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, r"payload at \$.when: datetime.*would come back as '2026"),
            ([date(2026, 1, 1)], r"payload at \$\[0\]: datetime.date"),
            ({"d": timedelta(1)}, r"payload at \$.d: "),
            ({"s": {1}}, r"payload at \$.s: \{1\} would come back as \[1\]"),
            ([frozenset("a")], r"payload at \$\[0\]: frozenset"),
            ({"d": Decimal("1.5")}, r"payload at \$.d: Decimal"),
            ({"u": uuid.UUID(int=0)}, r"payload at \$.u: UUID"),
            ({"raw": b"x"}, r"payload at \$.raw: b'x' would come back as"),
            ((1, {"s": {1}}), r"payload at \$\[1\].s: "),
            (["\ud800"], "payload: cannot be JSON: "),
            ({"\udfff": 1}, "payload: cannot be JSON: "),
            (object(), "payload: cannot be JSON: .*object"),
            ({"f": len}, "payload: cannot be JSON: "),
            ([1j], "payload: cannot be JSON: "),
            ({(1, 2): 3}, "payload: cannot be JSON: "),
        ],
        ids=lambda value: ascii(value)[:30],
    )
    def test_with_a_message_that_says_where(self, value: Any, message: str) -> None:
        with pytest.raises(BadPayload, match=message):
            encode_payload(value)

    @pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,)], ids=["list", "dict", "tuple"])
    @pytest.mark.parametrize("depth", [100_000, 200_000])
    def test_nested_too_deeply(self, make: Any, depth: int) -> None:
        value: Any = 1
        for _ in range(depth):
            value = make(value)
        with pytest.raises(BadPayload, match="nested too deeply"):
            encode_payload(value)

    @pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,)], ids=["list", "dict", "tuple"])
    def test_what_passes_can_be_read_by_a_worker_with_much_on_its_stack(self, make: Any) -> None:
        value: Any = 1
        for _ in range(DEEPEST):
            value = make(value)
        data = encode_json(value)

        def deeper(frames: int) -> Any:
            return deeper(frames - 1) if frames else decode_payload(data, JSON)

        assert encode_json(deeper(300)) == data
        with pytest.raises(BadPayload, match="payload: nested too deeply for JSON, the limit is 300"):
            encode_json(make(value))

    @pytest.mark.parametrize("count", [DEEPEST, 5000])
    def test_many_lists_beside_each_other_are_not_deep(self, count: int) -> None:
        value = [[{"n": [n]}, "[[[{{{"] for n in range(count)]
        assert read(written(value)) == value

    @pytest.mark.parametrize(
        "value", [1 << 64, -(1 << 63) - 1, 10**400, -(10**4000)], ids=lambda value: value.bit_length()
    )
    def test_a_huge_int_comes_back_exactly_or_is_refused(self, value: int) -> None:
        try:
            data, kind = encode_payload({"n": value})
        except BadPayload:
            return
        assert decode_payload(data, kind) == {"n": value}

    def test_an_int_that_python_itself_would_not_print(self) -> None:
        for value in (10**5000, {"n": [-(10**5000)]}):
            with pytest.raises(BadPayload, match="cannot be JSON"):
                encode_payload(value)

    def test_a_value_that_contains_itself(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(BadPayload, match="nested too deeply"):
            encode_payload(loop)

    def test_text_that_cannot_be_encoded(self) -> None:
        with pytest.raises(BadPayload, match="payload: text that cannot be encoded: surrogates not allowed"):
            encode_payload("a\ud800")

    def test_a_bad_payload_is_a_value_error_too(self) -> None:
        assert issubclass(BadPayload, ValueError)


class TestLineOne:
    def test_is_only_the_magic_and_the_proof_where_nothing_is_asked_for(self) -> None:
        assert encode_options(Options()) == b'{"fsq":1}'
        assert encode_options(Options(), b"") == b'{"fsq":1,"len":0,"crc":0}'

    def test_holds_what_was_asked_for_and_reads_it_back(self) -> None:
        options = Options(
            type=TEXT,
            max_attempts=3,
            timeout=1.5,
            expires=9,
            keep=2.0,
            key="k\n\0ü",
            key_for=4.0,
            name="n",
            headers={"a": [1]},
        )
        line = encode_options(options, b"x")
        assert line.startswith(MAGIC)
        assert b"\n" not in line
        assert decode_options(line) == options

    @given(st.dictionaries(TEXTS, VALUES, max_size=3), TEXTS)
    def test_is_one_line_whatever_headers_and_key_hold(self, headers: dict[str, Any], key: str) -> None:
        line = encode_options(Options(headers=headers, key=key))
        assert b"\n" not in line
        assert decode_options(line).headers == headers

    def test_unknown_members_do_not_disturb(self) -> None:
        options = decode_options(b'{"fsq":1,"colour":{"deep":[1]},"len":3,"max_attempts":7}')
        assert (options.len, options.max_attempts) == (3, 7)

    def test_a_producer_in_another_language_may_leave_the_proof_out(self) -> None:
        assert read(b'{"fsq":1}\n{"n":1}') == {"n": 1}
        assert read(b'{"fsq":1, "headers": {}}\n[1]') == [1]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"", "it must begin"),
            (b"{}", "it must begin"),
            (b'{"n": 1}', "it must begin"),
            (b'{"fsq": 1}', "it must begin"),
            (b'\xef\xbb\xbf{"fsq":1}', "it must begin"),
            (b"\x80\x04\x95pickle", "it must begin"),
            (b'{"fsq":1', "no options line"),
            (b'{"fsq":1}x', "no options line"),
            (b'{"fsq":1}{"fsq":1}', "no options line"),
            (b'{"fsq":1,"len":"3"}', "no options line"),
            (b'{"fsq":1,"len":1.5}', "no options line"),
            (b'{"fsq":1,"headers":[1]}', "no options line"),
            (b'{"fsq":1,"max_attempts":1e999}', "no options line"),
            (b'{"fsq":1,"key":"\xff"}', "no options line"),
            (b'{"fsq":1,"x":' + b"[" * 200_000, "nested too deeply|no options line"),
            (b'{"fsq":12}', "written in format 12, this program knows 1"),
            (b'{"fsq":1,"fsq":2}', "written in format 2"),
        ],
        ids=lambda value: ascii(value)[:30],
    )
    def test_anything_else_is_damaged_and_the_reason_is_told(self, line: bytes, reason: str) -> None:
        with pytest.raises(Damaged, match=reason):
            decode_options(line)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_damaged(self, data: bytes) -> None:
        for line in (data, MAGIC + data, MAGIC + b',"len":' + data):
            try:
                decode_options(line)
            except Damaged:
                continue

    def test_has_a_limit_because_it_is_read_in_one_piece(self) -> None:
        room = LONGEST_LINE - 1 - len(encode_options(Options(headers={"h": ""})))
        assert len(encode_options(Options(headers={"h": "x" * room}))) == LONGEST_LINE - 1
        with pytest.raises(BadPayload, match="options and headers: 65536 bytes, the limit is 65536"):
            encode_options(Options(headers={"h": "x" * (room + 1)}))

    def test_the_plain_options_are_never_changed(self) -> None:
        assert msgspec.json.encode(PLAIN) == b'{"fsq":1}'


class TestDamage:
    FILES = (
        written({"n": 1}),
        written([1, "zwei", None, 3.5]),
        written({"text": "a\nb", "deep": [[{}]]}, max_attempts=3),
        written(0),
    )

    @pytest.mark.parametrize("data", FILES)
    def test_every_truncation_is_noticed(self, data: bytes) -> None:
        for length in range(len(data)):
            with pytest.raises(Damaged):
                read(data[:length])

    @pytest.mark.parametrize("payload", ["text\nand more", "123", b"\0\1\2", b"", ""])
    def test_every_truncation_of_text_and_bytes_is_noticed(self, payload: Any) -> None:
        data = written(payload)
        for length in range(len(data)):
            with pytest.raises(Damaged):
                read(data[:length])

    @pytest.mark.parametrize("data", FILES)
    def test_every_flipped_bit_is_noticed_or_changes_nothing_of_the_payload(self, data: bytes) -> None:
        value = read(data)
        for flipped in flips(data):
            try:
                assert read(flipped) == value
            except Damaged:
                continue

    @pytest.mark.parametrize("payload", ["text\nand more", b"\0\1\2\n"])
    def test_every_flipped_bit_of_a_payload_is_noticed_whatever_its_type(self, payload: Any) -> None:
        data = written(payload)
        for flipped in list(flips(data))[8 * (data.index(b"\n") + 1) :]:
            with pytest.raises(Damaged, match="checksum"):
                read(flipped)

    @given(st.binary(max_size=50), st.binary(max_size=50))
    def test_a_payload_that_is_another_one_is_noticed(self, one: bytes, other: bytes) -> None:
        options = decode_options(encode_options(Options(), one))
        if one == other:
            check(options, other)
        else:
            with pytest.raises(Damaged):
                check(options, other)

    def test_trailing_garbage_is_noticed_and_told(self) -> None:
        with pytest.raises(Damaged, match="the payload has 9 bytes, line 1 says 7"):
            read(written({"n": 1}) + b"\n\n")

    @pytest.mark.parametrize(
        ("data", "kind", "reason"),
        [
            (b"{", "json", "the payload is no json"),
            (b"", "json", "the payload is no json"),
            (b"\xff", "text", "the payload is no text"),
            (b"\xef\xbb\xbf1", "json", "the payload is no json"),
            (b"NaN", "json", "the payload is no json"),
            (b"[" * 200_000, "json", "nested too deeply|no json"),
        ],
        ids=lambda value: ascii(value)[:30],
    )
    def test_a_payload_that_cannot_be_read_is_told(self, data: bytes, kind: str, reason: str) -> None:
        with pytest.raises(Damaged, match=reason):
            decode_payload(data, kind)


def flips(data: bytes) -> Any:
    """Every version of `data` with one bit turned, from the first on."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


class TestWholeFiles:
    """A bare job or a job by file: a JSON object or array is decoded, everything else is bytes."""

    @pytest.mark.parametrize(
        ("data", "value"),
        [
            (b'{"a": 1}', {"a": 1}),
            (b' \n\t[1, "x"] \n', [1, "x"]),
            (b"[]", []),
            (b"", b""),
            (b"5", b"5"),
            (b'"text"', b'"text"'),
            (b"null", b"null"),
            (b"{broken", b"{broken"),
            (b"[1] trailing", b"[1] trailing"),
            (b"{}{}", b"{}{}"),
            (b"\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"),
            (b"\x80\x04.", b"\x80\x04."),
            (b"a,b\n1,2\n", b"a,b\n1,2\n"),
        ],
    )
    def test_are_read_so(self, data: bytes, value: Any) -> None:
        assert decode_payload(data, JSON, whole=True) == value

    def test_nested_too_deeply_are_bytes(self) -> None:
        data = b"[" * 200_000 + b"]" * 200_000
        assert decode_payload(data, JSON, whole=True) == data

    @given(st.binary())
    def test_are_never_damaged(self, data: bytes) -> None:
        value = decode_payload(data, JSON, whole=True)
        assert value == data or isinstance(value, (dict, list))
