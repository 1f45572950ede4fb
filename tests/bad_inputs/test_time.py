"""Rows 21 and 22: dates from the past and the future, clocks that differ or are set, summer time. A job may start late."""

from __future__ import annotations

import functools
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from engine.worlds import YEAR
from support.clocks import FakeClock
from support.processes import until
from workqueue import Job, Producer, cli
from workqueue.clock import Clock
from workqueue.jobs.ids import encode
from workqueue.jobs.names import due_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bad_inputs.places import Place

DATES = {"before 1970": -YEAR, "1970": 0, "1980": 10 * YEAR, "2106": 1 << 32, "2446": 15 << 30}
LAST_ID = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
"""Its milliseconds are those of the year 10889, which no datetime can hold."""
BERLIN, NEW_YORK = "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0"


def test_files_of_any_date_are_run(place: Place) -> None:
    """Whatever their mtime, and whatever time their ids and due times tell; what is due in 2286 waits."""
    ids = [encode((round(max(seconds, 0) * 1000) << 80) + n) for n, seconds in enumerate(DATES.values(), 10)]
    for (date, seconds), job_id in zip(DATES.items(), ids, strict=True):
        for name in (f"file of {date}", f"5-{job_id}-0="):
            place.plant(name, f"{date} {name}".encode())
            os.utime(place.at("new", name), (seconds, seconds))
    place.plant(f"5-{LAST_ID}-0=", b"last")
    place.plant(f"0000000000000-5-{encode(1)}-0=", b"due in 1970", "later")
    place.plant("0000000000001-bare", b"bare, due in 1970", "later")
    place.plant(f"9999999999999-5-{encode(2)}-0=", b"due in 2286", "later")
    result = place.fsq("ls")
    assert (result.status, result.err) == (0, "")
    outcome = place.run()
    assert len(outcome.runs) == 2 + 2 * len(DATES) + 3
    assert len(outcome.ran(b"due in 1970")) == len(outcome.ran(b"bare, due in 1970")) == len(outcome.ran(b"last")) == 1
    assert place.ls() == {"later": 1}


def test_an_id_of_a_year_that_no_date_can_hold_is_shown(place: Place) -> None:
    """One file must not make the whole queue unlistable."""
    place.plant(f"5-{LAST_ID}-0=", b"last")
    for words in (["ls", "new"], ["ls", "new", "--json"], ["show", LAST_ID], ["show", LAST_ID, "--json"]):
        result = place.fsq(*words)
        assert (result.status, result.err) == (0, ""), words
        assert LAST_ID in result.out


def test_a_handler_that_asks_when_a_job_of_any_id_was_submitted_gets_an_answer(place: Place) -> None:
    place.plant(f"5-{LAST_ID}-0=", b"last")
    place.write("etl.py", "def load(job):\n    job.submitted.isoformat()\n")
    assert place.drained().status == 0


@pytest.mark.parametrize("years", [-10, 10])
def test_a_producer_whose_clock_is_years_off_loses_nothing(place: Place, years: int) -> None:
    """Plain jobs run at once. A delay counts from its clock: that job waits until then, or until it is retried."""
    clock = FakeClock(time.time() + years * YEAR)

    def submit() -> None:
        producer = Producer(place.root, clock=clock)
        producer.submit("plain")
        producer.submit("delayed", delay="1h")
        producer.submit("expires", expires="1h", max_attempts=1)
        producer.submit_many(["batch"])

    assert place.fork(submit).wait() == 0
    outcome = place.run()
    assert len(outcome.ran(b"plain")) == len(outcome.ran(b"batch")) == 1
    assert len(outcome.ran(b"delayed")) == (years < 0)
    assert len(outcome.ran(b"expires")) == (years > 0), "expiry is judged by the worker's clock"
    assert place.ls() == ({"failed": 1} if years < 0 else {"later": 1})
    assert place.fsq("retry", "--all", "failed" if years < 0 else "later").status == 0
    again = place.drained()
    assert len(again.ran(b"delayed")) == 1


class SetClock(Clock):
    """The machine's clock, until somebody sets it: the file says by how much."""

    def __init__(self, flag: str, seconds: float) -> None:
        self._flag = flag
        self._seconds = seconds

    def now(self) -> float:
        return super().now() + (self._seconds if os.path.exists(self._flag) else 0)

    def now_ms(self) -> int:
        return round(self.now() * 1000)


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_set_while_a_job_runs_ends_no_run(place: Place, years: int) -> None:
    """Limits, and who is alive, are no matter of the time of day; the neighbour takes nothing over."""
    flag = f"{place.where}/flag"
    clock = SetClock(flag, years * YEAR)
    assert place.fsq("submit", "1", "--timeout", "1h", "--max-attempts", "1").status == 0
    assert place.fsq("submit", "2", "--delay", "1h").status == 0

    def handle(job: Job) -> None:
        place.diary.note("start", job)
        if job.payload == 1:
            until(lambda: os.path.exists(f"{flag}-go"), "the test says go")
        place.diary.note("end", job)

    place.user.own_all(f"{place.where}/diary")
    with place.work(handle, clock=clock, processes=2) as running, place.work(handle, clock=clock) as neighbour:
        neighbour.hears("started")
        until(lambda: place.diary.count("start") == 2, "both jobs run")
        place.write("flag", "")
        place.submit_good("behind", 5)
        until(lambda: place.diary.count("end") >= 2, "jobs are run as ever")
        place.write("flag-go", "")
        until(lambda: place.diary.count("end") == (4 if years > 0 else 3), "all that is due has ended")
        told = [event["event"] for event in (*running.events(), *neighbour.events())]
    assert {"recovered", "retried", "failed", "run ended", "worker died", "trouble"} & set(told) == set()
    assert place.ls() == ({} if years > 0 else {"later": 1})


def at_zone(zone: str, *words: str) -> Callable[[], None]:
    """Run ``fsq WORDS`` where the time of day is a zone's."""

    def run() -> None:
        os.environ["TZ"] = zone
        time.tzset()
        sys.argv = ["fsq", *words]
        cli.main()

    return run


def test_a_time_of_day_is_a_moment_whatever_the_zone(place: Place) -> None:
    """Also in the hour that summer time leaves out, and in the one that comes twice."""
    moments = {
        "2099-03-29T02:30:00+01:00": datetime(2099, 3, 29, 1, 30, tzinfo=UTC),
        "2099-10-25T02:30:00+02:00": datetime(2099, 10, 25, 0, 30, tzinfo=UTC),
        "2099-10-25T02:30:00+01:00": datetime(2099, 10, 25, 1, 30, tzinfo=UTC),
        "2099-10-24T20:30:00-04:00": datetime(2099, 10, 25, 0, 30, tzinfo=UTC),
    }
    for moment in moments:
        for zone in (BERLIN, NEW_YORK):
            assert place.fork(at_zone(zone, "-r", place.root, "submit", "1", "--at", moment)).wait() == 0
    due = [round(at.timestamp() * 1000) for at in moments.values()]
    assert sorted(map(due_of, place.names("later"))) == sorted(due * 2)


def test_a_moment_that_has_passed_is_now_and_a_leap_second_is_refused(place: Place) -> None:
    """Submitted in one zone, run in another."""
    submit = functools.partial(at_zone, BERLIN, "-r", place.root, "submit", '"past"', "--at")
    assert place.fork(submit("2016-12-31T23:59:59+00:00")).wait() == 0
    assert place.fork(submit("2016-12-31T23:59:60+00:00")).wait() == 2
    work = at_zone(NEW_YORK, "-r", place.root, "worker", "-H", "etl:load", "--drain", "--log", "json")
    assert place.fork(work).wait() == 0
    assert place.ls() == {}
