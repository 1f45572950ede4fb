"""Rows 13 to 18: what lies in a job's file, and what is given as a payload. Damage is found, kept, counted and told."""

from __future__ import annotations

import os
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from bad_inputs.places import Outcome, Place, a_place, complaint
from engine.test_claims import DAMAGED
from engine.worlds import plain_name
from workqueue import Producer
from workqueue.errors import BadPayload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bad_inputs.users import User

PLAIN = b'{"fsq":1}\n'
CANARY = "unpickled"


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (CANARY,)


BOMBS = {
    "deep list": (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
    "deep list without an end": (b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "huge integer": (b"9" * 5000, "the payload is no json"),
    "huge exponent": (b"1e400", "the payload is no json"),
    "NaN": (b'{"n":NaN}', "the payload is no json"),
    "Infinity": (b"-Infinity", "the payload is no json"),
    "lone surrogate": (b'"\\ud800"', "the payload is no json"),
    "surrogate in UTF-8": (b'"\xed\xa0\x80"', "the payload is no json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "the payload is no json"),
    "trailing words": (b"{} {}", "the payload is no json"),
    "truncated": (b'{"a": [1, 2', "the payload is no json"),
    "nothing": (b"", "the payload is no json"),
    "NULs": (b"\0" * 100, "the payload is no json"),
    "pickle": (pickle.dumps(Bomb()), "the payload is no json"),
}
HALF = b'{"fsq":1,"len":20,"crc":%d}\n' % zlib.crc32(b"x" * 20) + b"x" * 10
UNKNOWN = b'{"fsq":1,"type":"uext"}\nwords'
SCALARS = {"null": "NoneType", "true": "bool", "0": "int", "-1.5": "float", '""': "str", "[]": "list", "{}": "dict"}
WHOLE = {
    "empty": (b"", "bytes"),
    "pickle": (pickle.dumps(Bomb()), "bytes"),
    "deep list": (b"[" * 200_000, "bytes"),
    "scalar": (b"17", "bytes"),
    "NaN": (b"[NaN]", "bytes"),
    "binary": (bytes(range(256)), "bytes"),
    "object": (b' {"a":[]}', "dict"),
}


class Contents:
    """Files of every content, each under a job's name, worked off by one worker."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._numbers = iter(range(1, 1000))
        self.inodes: dict[str, int] = {}
        for kind, data in DAMAGED.items():
            self._plant(f"file {kind}", data)
        for kind, (data, _) in BOMBS.items():
            self._plant(f"payload {kind}", PLAIN + data)
        for kind, (data, _) in WHOLE.items():
            self._plant(f"whole {kind}", data, f"={kind}")
        for value in SCALARS:
            self._plant(f"scalar {value}", PLAIN + value.encode())
        self._plant("half", HALF)
        self._plant("unknown type", UNKNOWN)
        self._plant("duplicate keys", PLAIN + b'{"a":1,"a":2}')
        self.outcome: Outcome = place.run()

    def _plant(self, kind: str, data: bytes, end: str = "") -> None:
        self.inodes[kind] = self.place.plant(plain_name(number=next(self._numbers)) + end, data)

    def moved_aside(self, kind: str) -> tuple[str, bytes]:
        """The reason why it was moved aside, and what is kept of it."""
        where = self.place.find(self.inodes[kind])
        assert where is not None
        state, _, name = where.partition("/")
        assert state == "corrupt"
        with open(self.place.at(state, name), "rb") as file:
            return self.outcome.reason(name), file.read()


@pytest.fixture(scope="module")
def contents(user: User) -> Iterator[Contents]:
    with a_place(user) as place:
        yield Contents(place)


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_kept_as_it_is_and_told_of(contents: Contents, kind: str) -> None:
    reason, data = contents.moved_aside(f"file {kind}")
    assert reason.isprintable()
    assert data == DAMAGED[kind]


@pytest.mark.parametrize("kind", BOMBS)
def test_a_payload_that_cannot_be_read_is_kept_as_it_is_and_told_of(contents: Contents, kind: str) -> None:
    reason, data = contents.moved_aside(f"payload {kind}")
    assert BOMBS[kind][1] in reason
    assert data == PLAIN + BOMBS[kind][0]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_of_any_content_is_run(contents: Contents, kind: str) -> None:
    """It is JSON where it is an object or array, else bytes; a pickle is bytes like any other."""
    [run] = [run for run in contents.outcome.runs if run["label"] == ascii(kind)]
    assert (run["crc"], run["type"]) == (zlib.crc32(WHOLE[kind][0]), WHOLE[kind][1])
    assert contents.place.find(contents.inodes[f"whole {kind}"]) is None


@pytest.mark.parametrize("value", SCALARS)
def test_a_payload_of_any_json_type_is_run(contents: Contents, value: str) -> None:
    [run] = [run for run in contents.outcome.runs if run["body"] == value]
    assert run["type"] == SCALARS[value]


def test_a_half_written_file_is_found_out_by_its_length(contents: Contents) -> None:
    """Where line 1 tells it; format.md says that a file without must come whole."""
    reason, data = contents.moved_aside("half")
    assert (reason, data) == ("the payload has 10 bytes, line 1 says 20", HALF)


def test_a_payload_of_an_unknown_type_is_not_taken_for_another(contents: Contents) -> None:
    """One flipped bit in ``"text"``, or a later version's type: nobody here can say what the bytes mean."""
    _, data = contents.moved_aside("unknown type")
    assert data == UNKNOWN


def test_of_duplicate_keys_the_last_counts_and_the_bytes_are_as_they_came(contents: Contents) -> None:
    [run] = contents.outcome.ran(b'{"a":1,"a":2}')
    assert run["payload"] == "{'a': 2}"


def test_what_was_moved_aside_is_counted(contents: Contents) -> None:
    """`fsq stats` has a column for it."""
    count = len(contents.place.names("corrupt"))
    assert count > len(DAMAGED) + len(BOMBS)
    result = contents.place.fsq("stats")
    assert (result.status, result.out.split("\t")[-1]) == (0, f"{count}\n")


def test_nothing_was_unpickled(contents: Contents) -> None:
    """The canary is worth something: unpickling does leave it."""
    assert not (contents.place.where / CANARY).exists()
    where = os.getcwd()
    os.chdir(contents.place.where)
    try:
        pickle.loads(pickle.dumps(Bomb()))
    finally:
        os.chdir(where)
    (contents.place.where / CANARY).rmdir()


EXTREME = (
    '"timeout":1e308', '"timeout":1e12', '"timeout":-5', '"timeout":1e-9', '"keep":1e308', '"keep":-1',
    '"max_attempts":0', '"max_attempts":-3', '"max_attempts":99999999999', '"expires":-1', '"expires":1' + "0" * 30,
    '"len":-1', '"len":9223372036854775807', '"crc":-1', '"key":""', '"key":"x","key_for":1e308', '"key":"y","key_for":-1',
    '"key":"z","name":"../../../../outside/file"', '"headers":{"a":{"b":[null]}}', '"type":null', '"key":"a","key":"b"',
)  # fmt: skip


def test_options_that_fsq_would_refuse_harm_their_own_job_alone(place: Place) -> None:
    """Written by another program: done, failed or moved aside, and no worker dies of it."""
    for number, option in enumerate(EXTREME, 1):
        place.plant(plain_name(number=number), b'{"fsq":1,%s}\n"%d"' % (option.encode(), number))
    outcome = place.run()
    ended = {state: place.names(state) for state in ("done", "failed", "corrupt")}
    assert sum(map(len, ended.values())) + len(outcome.told("finished")) - len(ended["done"]) == len(EXTREME) + 2
    assert [line["reason"] for line in outcome.told("corrupted") if "line 1" not in line["reason"]] == [
        "the payload's checksum does not match"
    ]


# -- given to submit -----------------------------------------------------------------------------------------------

WAYS = {"file": ["@input"], "stdin": ["-"], "lines": ["--json-lines"]}


@pytest.mark.parametrize("way", WAYS)
def test_json_that_could_not_be_read_back_is_refused_at_submit(place: Place, way: str) -> None:
    """Exit 2, in one short line; no file was made for it."""
    for kind in sorted(BOMBS)[list(WAYS).index(way) :: len(WAYS)]:
        data = BOMBS[kind][0]
        (place.where / "input").write_bytes(data)
        place.user.own(str(place.where / "input"))
        result = place.fsq("submit", *WAYS[way], stdin=data)
        assert len(complaint(result, 2)) < 500, kind
    assert len(place.names("new")) == 1
    assert place.names("tmp") == []


def test_a_value_that_json_would_change_is_refused_at_submit(place: Place) -> None:
    """By the Python producer, in a process of the user's: what comes back must be what was given."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    values = [
        float("nan"),
        {"n": float("inf")},
        10**5000,
        "\ud800",
        {"\udcff": 1},
        {1: 2},
        {(): 1},
        deep,
        Bomb(),
        {1, 2},
    ]

    def submit() -> int:
        producer, refused = Producer(place.root), 0
        for value in values:
            try:
                producer.submit(value)
            except BadPayload as error:
                refused += len(str(error)) < 500
        return refused

    running = place.fork(submit)
    assert running.wait() == len(values), running.err
    assert len(place.names("new")) == 1
    assert place.names("tmp") == []


def test_a_pickle_given_as_bytes_is_bytes(place: Place) -> None:
    data = pickle.dumps(Bomb())
    assert place.fsq("submit", "--raw", "-", stdin=data).status == 0
    outcome = place.run()
    assert [run["crc"] for run in outcome.runs if run["type"] == "bytes"] == [zlib.crc32(data)]
    assert not (place.where / CANARY).exists()
