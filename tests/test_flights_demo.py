"""What is around the flights: the check, the report, the output directory, signals."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import check
import output
import pytest
import report
import spool
import supervisor
from ending import SIGNALS, Ending


def test_the_check_says_what_was_rejected_and_should_not_be_and_the_other_way_round(tmp_path: Path) -> None:
    for queue, record in {"extract": "2013,1", "transform": {"year": "2013", "month": "2"}}.items():
        (tmp_path / queue / "rejected").mkdir(parents=True)
        (tmp_path / queue / "rejected" / "ID-1.jsonl").write_text(json.dumps({"record": record, "reason": "torn"}))
    found = check.rejected(str(tmp_path))
    assert found == {("2013,1", "torn"): 1, ("2013,2", "torn"): 1}
    assert list(check.different_rejects(found, found)) == []
    assert sorted(check.different_rejects(found + found, found)) == [
        "not rejected (torn): 2013,1",
        "not rejected (torn): 2013,2",
    ]
    assert list(check.different_rejects(Counter(), found - Counter([("2013,2", "torn")]))) == [
        "rejected, and should not be (torn): 2013,1"
    ]


def test_the_report_says_where_the_results_differ() -> None:
    assert report.check_line(3, []).startswith("check  ok: every flight once, and the same 3 rows rejected")
    assert report.check_line(3, ["days.parquet differs"]) == "check  FAILED: 1 differences\n       days.parquet differs"


def test_a_jobs_label_is_read_from_its_name() -> None:
    assert spool.label("5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1@3.k2x9=2013-01-31") == "2013-01-31"
    assert spool.label("5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1@3.k2x9+2013-01-31") == "2013-01-31"
    assert spool.label("5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1") == ""


def test_an_output_directory_of_an_earlier_run_is_emptied(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    output.prepare(path)
    for name in ("days.parquet", ".days.parquet.01JD8Z7Q-1.k2x9.fsq", "flights.html", "report.txt", "run.html"):
        (tmp_path / "out" / name).touch()
    output.prepare(path)
    assert os.listdir(path) == [output.MARK]


@pytest.mark.parametrize("name", ["thesis.docx", "report.txt", "days.parquet"])
def test_a_directory_that_is_not_ours_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(output.NotOursError, match=name):
        output.prepare(str(tmp_path))
    assert os.listdir(tmp_path) == [name]


def test_a_foreign_file_beside_our_own_is_refused_untouched(tmp_path: Path) -> None:
    output.prepare(str(tmp_path))
    (tmp_path / "days.parquet").touch()
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
