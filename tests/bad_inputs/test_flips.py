"""Row 20: a bit that flips, a file that is cut, on a real queue: found out, or it changes nothing of the payload.

Length and checksum cover the payload, and prove each other's reading: where one is lost the other is left. What they do
not cover are the other options in line 1, which a plain job does not have: `test_of_a_job_with_options` says what comes
of those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bad_inputs.places import Outcome, Place, a_place
from engine.worlds import plain_name
from workqueue.jobs.content import TEXT, Options, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bad_inputs.users import User

JOB = encode(Options(), b'{"n":1}')
WITH_OPTIONS = encode(Options(type=TEXT, max_attempts=3, headers={"day": "july"}), b"words 12")


class Change(NamedTuple):
    """What was made of a job, and at which of its bytes."""

    kind: str
    at: int
    data: bytes


def flips(data: bytes) -> list[Change]:
    """The job with each of its bits flipped."""
    return [
        Change("flip", at, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        for at in range(len(data))
        for bit in range(8)
    ]


def cuts(data: bytes) -> list[Change]:
    """The job cut to every length."""
    return [Change("cut", length, data[:length]) for length in range(len(data))]


class Damage:
    """Every change of a job, planted in one queue, and worked off by one worker."""

    def __init__(self, place: Place, changes: list[Change]) -> None:
        self.place = place
        self.inodes = [place.plant(plain_name(number=n), change.data) for n, change in enumerate(changes)]
        self.changes = changes
        self.outcome: Outcome = place.run()
        self.runs = {run["id"]: run for run in self.outcome.runs}
        self.found = place.found()

    def fates(self, kind: str) -> Iterator[tuple[Change, dict[str, Any] | None]]:
        """What became of each change: its run, or None for what was moved aside as it was."""
        for number, change in enumerate(self.changes):
            if change.kind == kind:
                run = self.runs.get(plain_name(number=number)[2:28])
                if run is None:
                    self.check_kept(number)
                yield change, run

    def check_kept(self, number: int) -> None:
        """Fail unless it lies in corrupt/ as it was."""
        where = self.found[self.inodes[number]]
        assert where == f"corrupt/{plain_name(number=number, attempt=1)}"
        with open(f"{self.place.root}/default/{where}", "rb") as file:
            assert file.read() == self.changes[number].data


@pytest.fixture(scope="module")
def plain(user: User) -> Iterator[Damage]:
    with a_place(user) as place:
        yield Damage(place, flips(JOB) + cuts(JOB))


@pytest.fixture(scope="module")
def with_options(user: User) -> Iterator[Damage]:
    with a_place(user) as place:
        yield Damage(place, flips(WITH_OPTIONS) + cuts(WITH_OPTIONS))


def test_a_flipped_bit_of_a_plain_job_is_found_out_or_changes_nothing(plain: Damage) -> None:
    """Every byte of the payload is covered. In line 1 the names of `len` and `crc` are not: the other one still is."""
    unnoticed = set()
    for change, run in plain.fates("flip"):
        if run is not None:
            assert (run["body"], run["payload"], run["type"]) == ('{"n":1}', "{'n': 1}", "dict")
            assert (run["max_attempts"], run["headers"]) == (2, {})
            assert (b'"len":7' in change.data) != (b'"crc":3561700222' in change.data), "one of the two proofs is left"
            unnoticed.add(change.at)
    line_1 = JOB[: JOB.index(b"\n")]
    assert unnoticed == {line_1.index(name) + n for name in (b"len", b"crc") for n in range(3)}


def test_of_a_job_with_options_the_payloads_bytes_are_covered_and_the_other_options_are_not(
    with_options: Damage,
) -> None:
    """So its bytes are never wrong. A flip in line 1 can change the limit of attempts, a header, or the type."""
    line_1 = WITH_OPTIONS[: WITH_OPTIONS.index(b"\n")]
    harmed = set()
    for change, run in with_options.fates("flip"):
        if run is not None:
            assert run["body"] == "words 12"
            if (run["type"], run["max_attempts"], run["headers"]) != ("str", 3, {"day": "july"}):
                harmed.add(change.at)
    assert harmed
    assert harmed <= set(range(line_1.index(b'"type":'), len(line_1)))


def test_a_plain_job_that_is_cut_is_found_out(plain: Damage) -> None:
    """At every length."""
    assert [run for _, run in plain.fates("cut")] == [None] * len(JOB)


def test_a_job_with_options_that_is_cut_is_found_out(with_options: Damage) -> None:
    """At every length."""
    assert [run for _, run in with_options.fates("cut")] == [None] * len(WITH_OPTIONS)
