"""What a run tells of how far it has come, in words and in numbers."""

from __future__ import annotations

import msgspec
import pytest

from workqueue.jobs.names import Name, Owner
from workqueue.jobs.progress import Progress, decode, run_of
from workqueue.jobs.states import State

NOW = 1_764_000_000_000


def told(**fields: object) -> Progress:
    given = {"run": "3.k2x9", "attempt": 2, "at": NOW, "seconds": 8.0, **fields}
    return msgspec.convert(given, Progress)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"done": 3}, "3"),
        ({"done": 12_000, "unit": "rows"}, "12,000 rows"),
        ({"done": 12.34567, "total": 50.0, "unit": "MB", "rate": 0.5}, "12.3457/50 MB, 25 %, 0.5/s, 1 min 15 s to go"),
        ({"done": 120, "total": 100, "rate": 2.0}, "120/100, 120 %, 2/s, 0 ms to go"),
        ({"done": 0, "total": 0}, "0/0"),
        ({"done": 40, "total": 100, "rate": 5.0, "at": NOW - 9000}, "40/100, 40 %, 5/s, 3 s to go"),
        (
            {"done": 40, "total": 100, "rate": 5.0, "at": NOW - 600_000},
            "40/100, 40 %, 5/s, 0 ms to go, told 10 min ago",
        ),
        ({"done": 40, "at": NOW + 60_000}, "40"),
    ],
)
def test_it_is_said_in_words(fields: dict[str, object], text: str) -> None:
    assert told(**fields).text(NOW, running=True) == text


def test_of_a_run_that_is_over_only_how_far_it_came_is_said() -> None:
    found = told(done=40, total=100, unit="rows", rate=5.0, at=NOW - 600_000)
    assert found.text(NOW, running=False) == "40/100 rows, 40 %"
    assert found.facts(NOW, running=False)["to_go"] is None


def test_programs_get_numbers() -> None:
    assert told(done=1, total=3, unit="rows", rate=0.33333, at=NOW - 1000).facts(NOW, running=True) == {
        "attempt": 2, "done": 1, "total": 3, "unit": "rows", "percent": 33.333, "rate": 0.333, "to_go": 5.0,
        "seconds": 8.0, "age": 1.0,
    }  # fmt: skip


def test_it_is_of_the_run_that_told_it_and_of_its_job_until_the_next() -> None:
    owner = Owner(3, "k2x9")
    name = Name(5, "", 2, owner=owner)  # type: ignore[arg-type]
    assert run_of(name) == "3.k2x9"
    assert told().is_of(name, State.CUR)
    assert not told().is_of(name._replace(owner=Owner(3, "aaaa")), State.CUR)
    assert not told().is_of(name._replace(owner=None), State.CUR)
    assert told().is_of(name._replace(owner=None), State.FAILED)
    assert not told().is_of(name._replace(owner=None, attempt=3), State.LATER)


@pytest.mark.parametrize("data", [b"", b"{", bytes(40), b"[]", b'{"run":1}', b"[" * 100_000])
def test_what_is_torn_tells_nothing(data: bytes) -> None:
    assert decode(data) is None
    assert decode(msgspec.json.encode(told())) == told()
