"""Arrays on paper: elements as lines, and how far each has come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.errors import BadPayload
from workqueue.jobs import arrays
from workqueue.jobs.arrays import Tally
from workqueue.jobs.content import DEEPEST, Damaged, Options, decode_options, encode

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(json_values, min_size=1, max_size=8), st.integers(1, 5))
def test_every_payload_is_one_line_and_comes_back(payloads: list[Any], size: int) -> None:
    back = []
    for data, count in arrays.arrays(payloads, size):
        lines = arrays.lines(Options(array=count), data)
        assert len(lines) == count <= size
        back += list(map(arrays.decode, lines))
    assert msgspec.json.encode(back) == msgspec.json.encode(payloads)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_deep_payloads_are_told_from_many_flat_ones() -> None:
    assert len(arrays.encode([[n] for n in range(DEEPEST + 1)]).splitlines()) == DEEPEST + 1
    assert arrays.decode(arrays.encode([1, nested(DEEPEST)]).splitlines()[1]) == nested(DEEPEST)


@pytest.mark.parametrize("payload", [b"bytes", float("nan"), {1: "a"}, {1, 2}, object(), nested(DEEPEST + 1), "\ud800"])
def test_what_would_not_come_back_is_refused_and_named(payload: Any) -> None:
    with pytest.raises(BadPayload, match="payload 7"):
        list(arrays.arrays([*range(7), payload], 5))


def test_tuples_become_lists_as_in_every_payload() -> None:
    assert arrays.encode([(1, 2), 3]) == b"[1,2]\n3\n"


@pytest.mark.parametrize(
    ("options", "body"),
    [(Options(array=2), b"1\n"), (Options(array=2), b"1\n2\n3"), (Options(array=1), b""), (Options(array=1), b"1\n\n")],
)
def test_lines_that_are_not_as_many_as_line_1_says_are_damage(options: Options, body: bytes) -> None:
    with pytest.raises(Damaged, match="lines"):
        arrays.lines(options, body)


def test_the_last_newline_may_be_missing_and_other_types_are_no_elements() -> None:
    assert arrays.lines(Options(array=2), b"1\n2") == [b"1", b"2"]
    with pytest.raises(Damaged, match="text"):
        arrays.lines(Options(array=1, type="text"), b"1")


@pytest.mark.parametrize("line", [b'{"fsq":1,"array":0}', b'{"fsq":1,"array":-1}', b'{"fsq":1,"array":"2"}'])
def test_an_array_without_elements_is_no_options_line(line: bytes) -> None:
    with pytest.raises(Damaged):
        decode_options(line)


def test_array_stands_first_in_line_1_so_that_ls_need_not_read_far() -> None:
    assert encode(Options(array=3, max_attempts=1), b"").startswith(b'{"fsq":1,"array":3,')


@pytest.mark.parametrize(
    ("marks", "running", "tally"),
    [
        (b"011234", True, Tally(6, 3, 1, 2)),
        (b"011234", False, Tally(6, 2, 3, 1)),
        (b"\0\0\0", True, Tally(3, 0, 3, 0)),
    ],
)
def test_of_a_run_that_is_over_only_1_and_3_hold(marks: bytes, running: bool, tally: Tally) -> None:
    assert arrays.tally(marks, running=running) == tally
    assert arrays.still_to_do(b"011234\0x") == b"01103000"


def test_an_address_is_an_id_and_an_index() -> None:
    assert arrays.address("01JD8Z7Q4M9X3V2T6B1C0N5KEY.12") == ("01JD8Z7Q4M9X3V2T6B1C0N5KEY", 12)
    assert arrays.address("01JD8Z7Q4M9X3V2T6B1C0N5KEY") is arrays.address(".1") is arrays.address("x.") is None
