"""The flights example, as far as the standard library goes: Parquet and DuckDB are for `scripts/demo`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import cleaning
import dataset
import etl
import output
import pytest
import report
import supervisor
from cleaning import DirtyError, clean
from ending import SIGNALS, Ending

from workqueue import Reject

HEADER = cleaning.HEADER + "\n"
ON_TIME = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
PAST_MIDNIGHT = "2013,1,1,2400,2230,90,327,337,-10,B6,839,N661JB,JFK,BQN,182,1576,22,30,2013-01-02T03:00:00Z\n"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z\n"
DIVERTED = "2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,NA,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z\n"
SECOND_DAY = "2013,1,2,42,2359,43,518,442,36,B6,707,N580JB,JFK,SJU,189,1598,23,59,2013-01-03T04:00:00Z\n"
FIRST_DAY = [ON_TIME, PAST_MIDNIGHT, CANCELLED, DIVERTED]


def test_daily_files_hold_each_day_with_the_header(tmp_path: Path) -> None:
    paths = list(dataset.write_daily_files(iter([HEADER, *FIRST_DAY, SECOND_DAY]), str(tmp_path)))
    assert [os.path.basename(path) for path in paths] == ["2013-01-01.csv", "2013-01-02.csv"]
    assert Path(paths[0]).read_text() == "".join([HEADER, *FIRST_DAY])
    assert Path(paths[1]).read_text() == HEADER + SECOND_DAY


def test_a_daily_file_is_whole_when_its_path_is_yielded(tmp_path: Path) -> None:
    lines = iter([HEADER, *FIRST_DAY, SECOND_DAY])
    first = next(dataset.write_daily_files(lines, str(tmp_path)))
    assert Path(first).read_text() == "".join([HEADER, *FIRST_DAY])


def test_a_day_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        list(dataset.write_daily_files(iter([HEADER, ON_TIME, SECOND_DAY, ON_TIME]), str(tmp_path)))


def test_clean_gives_typed_flights() -> None:
    on_time, past_midnight, cancelled, diverted = clean([HEADER, *FIRST_DAY])
    assert on_time.day == date(2013, 1, 1)
    assert on_time.scheduled == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert on_time.departed == datetime(2013, 1, 1, 10, 17, tzinfo=UTC)
    assert (on_time.miles, on_time.arrival_delay, on_time.cancelled) == (1400, 11, False)
    assert past_midnight.departed == datetime(2013, 1, 2, 5, 0, tzinfo=UTC)
    assert (cancelled.cancelled, cancelled.departed, cancelled.departure_delay) == (True, None, None)
    assert (diverted.cancelled, diverted.arrival_delay, diverted.tail) == (False, None, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (ON_TIME.replace("EWR", "SFO"), "line 3: SFO is not an airport of New York"),
        (ON_TIME.replace(",1400,", ",0,"), "line 3: a flight of 0 miles"),
        (ON_TIME.replace("00Z", "00"), "line 3: 2013-01-01T10:00:00 is not in UTC"),
        (ON_TIME.replace(",5,15,", ",5,20,"), "line 3: scheduled at 515, or at 5 h 20"),
        (ON_TIME.replace(",2,830", ",NA,830"), "line 3: departed at 517 with a delay of NA"),
        (ON_TIME.replace(",2,830", ",3,830"), "line 3: 517 is not 3 minutes after 515"),
        (ON_TIME.replace(",11,UA", ",12,UA"), "line 3: 830 is not 12 minutes after 819"),
        (ON_TIME.replace(",517,", ",577,"), "line 3: 577 is no time of day"),
        (ON_TIME.replace("1400", "far"), "line 3: invalid literal"),
        (ON_TIME[:40] + "\n", "line 3: "),
        (ON_TIME.replace("\n", ",more\n"), "line 3: more fields than columns"),
        (SECOND_DAY, "a daily file holds one day, this one 2"),
    ],
)
def test_one_dirty_line_refuses_the_file(line: str, complaint: str) -> None:
    with pytest.raises(DirtyError) as caught:
        clean([HEADER, ON_TIME, line])
    assert str(caught.value).startswith(complaint)


def test_a_file_without_flights_or_of_another_kind_is_refused() -> None:
    with pytest.raises(DirtyError, match="this one 0"):
        clean([HEADER])
    with pytest.raises(DirtyError, match="not the columns"):
        clean(["carrier,name\n", "UA,United\n"])


def test_a_dirty_file_is_rejected_and_not_retried(tmp_path: Path) -> None:
    path = tmp_path / "2013-01-01.csv"
    path.write_text(HEADER + ON_TIME + SECOND_DAY)
    with pytest.raises(Reject, match="one day"):
        etl.clean_file(str(path))


def test_the_catalogue_fails_the_same_attempts_every_night_and_leaves_each_day_two() -> None:
    def fails(day: date, attempt: int) -> bool:
        try:
            etl.ask_catalogue(day, attempt)
        except ConnectionError:
            return True
        return False

    days = [date.fromordinal(date(2013, 1, 1).toordinal() + n) for n in range(365)]
    nights = [[[fails(day, attempt) for attempt in range(1, 6)] for day in days] for _ in range(2)]
    assert nights[0] == nights[1]
    assert 10 < sum(attempts[0] for attempts in nights[0]) < 40
    # Of five attempts a kill may take one; another one must still succeed.
    assert all(attempts.count(False) >= 2 for attempts in nights[0])


def test_totals_of_the_source() -> None:
    totals = report.from_source([HEADER, *FIRST_DAY, SECOND_DAY])
    assert totals["B6"] == report.Totals(2, 0, 1576 + 1598, 2, 90 + 43, 2, -10 + 36)
    assert totals["EV"] == report.Totals(1, 1, 416, 0, 0, 0, 0)
    assert totals["MQ"] == report.Totals(1, 0, 1147, 1, -5, 0, 0)


def test_the_check_says_where_the_totals_differ() -> None:
    source = report.from_source([HEADER, *FIRST_DAY])
    assert report.check_line(source, dict(source)).startswith("check  ok: 4 flights, 1 cancelled")
    loaded = source | {"UA": source["UA"]._replace(miles=1)}
    assert report.check_line(loaded, source).startswith("check  FAILED: UA: loaded Totals(flights=1")
    del loaded["UA"]
    assert report.check_line(loaded, source).startswith("check  FAILED: UA: loaded None")


def test_an_output_directory_of_an_earlier_run_is_emptied(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    output.prepare(path)
    for name in ("2013-01-01.parquet", ".2013-01-02.parquet.part", "report.txt"):
        (tmp_path / "out" / name).touch()
    output.prepare(path)
    assert os.listdir(path) == [output.MARK]


@pytest.mark.parametrize("name", ["thesis.docx", "report.txt", "2013-01-01.parquet"])
def test_a_directory_that_is_not_ours_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(output.NotOursError, match=name):
        output.prepare(str(tmp_path))
    assert os.listdir(tmp_path) == [name]


def test_a_foreign_file_beside_our_own_is_refused_untouched(tmp_path: Path) -> None:
    output.prepare(str(tmp_path))
    (tmp_path / "2013-01-01.parquet").touch()
    (tmp_path / "notes").touch()
    with pytest.raises(output.NotOursError, match="notes"):
        output.prepare(str(tmp_path))
    assert len(os.listdir(tmp_path)) == 3


def test_only_direct_children_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in supervisor.children(os.getpid())
        assert list(supervisor.children(child.pid)) == []
        child.communicate(b"\n")


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield Ending()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_ends_the_program_once(ending: Ending) -> None:
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    os.kill(os.getpid(), signal.SIGINT)  # the impatient one: it changes nothing
    with ending.deferred():
        pass


def test_what_is_deferred_is_done_before_the_signal_counts(ending: Ending) -> None:
    done = []

    def work() -> None:
        with ending.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")

    with pytest.raises(SystemExit) as caught:
        work()
    assert done == ["whole"]
    assert caught.value.code == 128 + signal.SIGINT
