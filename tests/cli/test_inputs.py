"""fsq split and fsq backfill, as a user at a terminal has them."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import signal
import sys
import termios
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import until
from workqueue import State, cli
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.pipeline import open_piece
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.fsq import Fsq, Result

PAYLOAD = '{"day": "{date}"}'
YEAR = ("--from", "2013-01-01", "--to", "2013-12-31", "--each", "day")


@pytest.fixture
def big(fsq: Fsq) -> str:
    """A CSV file of a header and twelve records of two lines each."""
    return fsq.write("big.csv", "id,text\n" + "".join(f'{n},"line\n{n}"\n' for n in range(12)))


def payloads(fsq: Fsq, queue: str = "default") -> list[Any]:
    seen: list[Any] = []
    drain(fsq.root, lambda job: seen.append(job.payload), queues=[queue])
    return seen


def split(fsq: Fsq, *words: str) -> Result:
    return fsq("-r", fsq.root, "split", *words)


def backfill(fsq: Fsq, *words: str) -> Result:
    return fsq("-r", fsq.root, "backfill", *words)


def test_a_file_is_split_into_jobs_that_know_their_bytes(fsq: Fsq, big: str) -> None:
    init(fsq.root, ("load",))
    result = split(fsq, "big.csv", "--lines", "5", "--header", "-q", "load")
    assert (result.status, result.err) == (0, "3 pieces: 3 submitted\n")
    assert [line.split("\t")[2] for line in result.out.splitlines()] == ["new"] * 3
    rows = []
    for payload in payloads(fsq, "load"):
        with open_piece(payload, encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    assert rows == list(csv.DictReader(io.StringIO((fsq.where / "big.csv").read_text(), newline="")))


def test_split_tells_programs_what_each_job_has(fsq: Fsq, big: str) -> None:
    lines = [json.loads(line) for line in split(fsq, "big.csv", "--bytes", "40", "--header", "--json").out.splitlines()]
    assert [line["start"] for line in lines[1:]] == [line["end"] for line in lines[:-1]]
    assert lines[-1]["end"] == os.path.getsize(big)
    assert {line["pieces"] for line in lines} == {len(lines)}
    assert all(line["created"] for line in lines)


def test_split_by_copies(fsq: Fsq, big: str) -> None:
    assert split(fsq, "big.csv", "--lines", "6", "--header", "--copy").status == 0
    os.unlink(big)
    assert [payload.count(b"line") for payload in payloads(fsq)] == [6, 6]


def test_split_once(fsq: Fsq, big: str) -> None:
    first = split(fsq, "big.csv", "--lines", "5", "--once")
    second = split(fsq, "big.csv", "--lines", "5", "--once")
    assert second.out == first.out.replace("new", "there")
    assert second.err == "3 pieces: 0 submitted, 3 there already\n"
    drain(fsq.root, lambda _: None)
    assert split(fsq, "big.csv", "--lines", "5", "--once", "--key-for", "1d").err == "3 pieces: 3 submitted\n"
    drain(fsq.root, lambda _: None)
    assert split(fsq, "big.csv", "--lines", "5", "--once").err == "3 pieces: 0 submitted, 3 there already\n"
    assert split(fsq, "big.csv", "--lines", "5", "--once", "--again").err == "3 pieces: 3 submitted\n"


def test_split_goes_on_behind_what_is_submitted(fsq: Fsq, big: str) -> None:
    fsq.write("root/fsq.toml", "max_jobs = 4\n")
    full = split(fsq, "big.csv", "--lines", "2", "--copy", "--skip", "1")
    assert full.status == 75
    assert full.err.endswith("; 4 of 6 pieces are submitted; go on with --skip 5\n")
    fsq.write("root/fsq.toml", "")
    assert split(fsq, "big.csv", "--lines", "2", "--copy", "--skip", "5").err == "2 pieces: 2 submitted\n"
    assert len({payload[:2] for payload in payloads(fsq)}) == 6


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [("", [], "x.csv: empty; 0 jobs\n"), ("id\n", ["--header"], "x.csv: nothing behind its header; 0 jobs\n")],
)
def test_a_file_without_records_is_no_job_and_is_told(fsq: Fsq, text: str, words: list[str], said: str) -> None:
    fsq.write("x.csv", text)
    assert split(fsq, "x.csv", "--lines", "1", *words) == (0, "", said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["big.csv"], "split takes lines or bytes, one of them"),
        (["big.csv", "--lines", "1", "--bytes", "1"], "split takes lines or bytes, one of them"),
        (["big.csv", "--lines", "0"], "lines 0: a whole number from 1 to"),
        (["big.csv", "--bytes", "lots"], "bytes 'lots': use bytes, or text such as"),
        (["nope.csv", "--lines", "1"], "nope.csv: no such file"),
        ([".", "--lines", "1"], "not a regular file"),
        (["open.csv", "--lines", "1"], "open.csv, line 2: a quote is opened here and never closed"),
        (["big.csv", "--lines", "1", "-q", "laod"], "no queue 'laod'"),
        (["big.csv", "--lines", "1", "--key-for", "1d"], "--key-for and --again go with --once"),
        (["big.csv", "--lines", "1", "--skip", "12"], "--skip 12: there are 12 pieces"),
        (["big.csv", "--lines", "1", "--delimiter", "ab"], "delimiter 'ab': one ASCII character"),
        (["big.csv", "--lines", "1", "--timeout", "x"], "timeout 'x'"),
    ],
)
def test_mistakes_in_a_split_submit_nothing(fsq: Fsq, words: list[str], message: str) -> None:
    fsq.write("big.csv", "id,text\n" + "1,a\n" * 11)
    fsq.write("open.csv", 'id,text\n1,"a\n')
    result = split(fsq, *words)
    assert (result.status, result.out) == (2, "")
    [line] = result.err.splitlines()
    assert message in line
    assert fsq.ls() == {}


def test_a_year_of_days(fsq: Fsq) -> None:
    init(fsq.root, ("extract",))
    result = backfill(fsq, *YEAR, "-q", "extract", "--payload", PAYLOAD, "--volatile")
    assert (result.status, result.err) == (0, "365 partitions: 365 submitted\n")
    assert [line.split("\t")[1:] for line in result.out.splitlines()[:2]] == [
        ["2013-01-01", "new"],
        ["2013-01-02", "new"],
    ]
    assert [job.name.label for job in DirectoryEngine(Root(fsq.root)).scan("extract", State.NEW)][-1] == "2013-12-31"
    found = payloads(fsq, "extract")
    assert (found[0], found[-1], len(found)) == ({"day": "2013-01-01"}, {"day": "2013-12-31"}, 365)


def test_a_second_backfill_submits_what_is_neither_there_nor_done(fsq: Fsq) -> None:
    january = ("--from", "2013-01-01", "--to", "2013-01-04", "--payload", PAYLOAD)
    backfill(fsq, *january)
    drain(fsq.root, lambda job: 1 / (job.payload["day"] != "2013-01-02"), max_attempts=1)
    second = backfill(fsq, "--from", "2013-01-01", "--to", "2013-01-06", "--payload", PAYLOAD)
    assert second.err == (
        "6 partitions: 2 submitted, 4 there already\n"
        "those there: 0 wait or run, 1 have failed (fsq retry --all failed -q default),"
        " 3 have ended or were cancelled (--again submits them once more)\n"
    )
    assert [line.split("\t")[2] for line in second.out.splitlines()] == ["there"] * 4 + ["new"] * 2
    again = backfill(fsq, "--from", "2013-01-01", "--to", "2013-01-06", "--payload", PAYLOAD, "--again")
    assert again.err.startswith("6 partitions: 4 submitted, 2 there already\nthose there: 2 wait or run, 0 have failed")


def test_backfill_tells_programs_what_each_job_has(fsq: Fsq) -> None:
    result = backfill(fsq, "--from", "2013-01", "--to", "2013-02", "--each", "month", "--key", "m:{start}", "--json")
    assert [{**json.loads(line), "id": None} for line in result.out.splitlines()] == [
        {"id": None, "queue": "default", "created": True, "start": "2013-01-01", "end": "2013-02-01", "key": "m:2013-01-01"},
        {"id": None, "queue": "default", "created": True, "start": "2013-02-01", "end": "2013-03-01", "key": "m:2013-02-01"},
    ]  # fmt: skip
    assert payloads(fsq)[0] == {"start": "2013-01-01", "end": "2013-02-01"}


def test_a_dry_run_shows_and_submits_nothing(fsq: Fsq) -> None:
    words = ("--from", "2013-01-01", "--to", "2013-01-02", "--payload", PAYLOAD, "--dry-run", "--reverse")
    result = backfill(fsq, *words)
    assert [line.split("\t")[:3] for line in result.out.splitlines()] == [
        ["2013-01-02", "2013-01-03", '{"day":"2013-01-02"}'],
        ["2013-01-01", "2013-01-02", '{"day":"2013-01-01"}'],
    ]
    [line, _] = backfill(fsq, *words, "--json").out.splitlines()
    assert json.loads(line)["payload"] == {"day": "2013-01-02"}
    assert fsq.ls() == {}


def test_backfill_backwards_and_in_a_zone(fsq: Fsq) -> None:
    words = ("--from", "2013-10-27", "--to", "2013-10-27", "--each", "hour", "--zone", "Europe/Berlin")
    assert backfill(fsq, *words, "--reverse", "--raw", "--payload", "{start}").status == 0
    found = payloads(fsq)
    assert (len(found), found[0], found[-1]) == (25, "2013-10-27T23:00+01:00", "2013-10-27T00:00+02:00")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "2013-01-15", "--to", "2013-12-31", "--each", "month"], "from 2013-01-15: in the middle of a month"),
        (["--from", "2013", "--to", "2012"], "the end lies before the beginning"),
        (["--from", "1013", "--to", "2013"], "about 365,608 partitions; --yes if that is what you want"),
        (["--from", "2013", "--to", "2013", "--payload", '{"day": "{dat}"}'], "payload: {dat} means nothing here; did you mean {date}?"),
        (["--from", "2013", "--to", "2013", "--payload", "{date}"], "payload: no JSON"),
        (["--from", "2013", "--to", "2013", "--key", "x"], "key 'x': the same for 2013-01-01 and 2013-01-02"),
        (["--from", "2013", "--to", "2013", "--zone", "Mars"], "zone 'Mars': there is no such zone"),
        (["--from", "2013", "--to", "2013", "--key-for", "for ever"], "key_for 'for ever'"),
        (["--from", "2013", "--to", "2013", "-q", "extrakt"], "no queue 'extrakt'"),
        (["--from", "2013", "--to", "2013", "-q", "extrakt", "--dry-run"], "no queue 'extrakt'"),
    ],
)  # fmt: skip
def test_mistakes_in_a_backfill_submit_nothing(fsq: Fsq, words: list[str], message: str) -> None:
    result = backfill(fsq, *words)
    assert (result.status, result.out) == (2, "")
    [line] = result.err.splitlines()
    assert message in line
    assert fsq.ls() == {}


def test_a_full_queue_ends_a_backfill_that_the_same_command_completes(fsq: Fsq) -> None:
    fsq.write("root/fsq.toml", "max_jobs = 2\n")
    week = ("--from", "2013-01-01", "--to", "2013-01-07")
    full = backfill(fsq, *week)
    assert full.status == 75
    assert full.err.endswith("; 2 of 7 partitions are submitted; the same command goes on\n")
    fsq.write("root/fsq.toml", "")
    assert backfill(fsq, *week).err.startswith("7 partitions: 5 submitted, 2 there already\n")


@pytest.mark.parametrize(
    ("words", "noun"),
    [
        (
            ["backfill", "--from", "1800-01-01", "--to", "2050-12-31"],
            "partitions are submitted; the same command goes on",
        ),
        (["split", "long.txt", "--lines", "1"], "pieces are submitted; go on with --skip {count}"),
        (["submit", "--lines"], "lines are submitted; go on from line {next}"),
    ],
    ids=["backfill", "split", "lines"],
)
def test_ctrl_c_ends_it_between_two_submits_and_tells_how_far_it_came(fsq: Fsq, words: list[str], noun: str) -> None:
    """What is told, what is printed and what is there are one number."""
    data = b"x\n" * 300_000
    (fsq.where / "long.txt").write_bytes(data)
    running = fsq.start("-r", fsq.root, *words, "--volatile", stdin=data)
    until(lambda: running.out, "something is submitted")
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    count = DirectoryEngine(Root(fsq.root)).counts("default")[State.NEW]
    assert 0 < count < 300_000
    assert len(running.out.splitlines()) == count
    [line] = running.err.splitlines()
    assert line.startswith("fsq: interrupted; ")
    assert f"{count} " in line
    assert line.endswith(noun.format(count=count, next=count + 1))


def test_who_types_lines_is_interrupted_at_once(fsq: Fsq) -> None:
    """Nothing was typed: there is no submit to wait for."""
    unread, typed = os.pipe()

    def run() -> int:
        os.dup2(unread, 0)
        sys.argv = ["fsq", "-r", fsq.root, "submit", "--lines"]
        return cli.main()

    running = fsq.fork(run)
    try:
        os.write(typed, b"one\n")
        until(lambda: not unread_bytes(unread), "it has read the line")
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    finally:
        os.close(typed)
        os.close(unread)
    assert running.err == "fsq: interrupted; 0 lines are submitted; go on from line 1\n"
    assert fsq.names("new") == fsq.names("tmp") == []


def unread_bytes(pipe: int) -> int:
    """How much of what was written into a pipe nobody has read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_backfill_that_was_killed_is_completed_by_the_same_command(fsq: Fsq) -> None:
    """Each partition is a job once, whatever the kill has left."""
    killed = 0
    while killed < 5:
        running = fsq.start("-r", fsq.root, "backfill", *YEAR, "--payload", PAYLOAD, "--reverse")
        until(lambda: running.out.count("new") > 10 or running.has_ended(), "some are submitted")  # noqa: B023
        killed += not running.has_ended()
        running.kill()
    last = backfill(fsq, *YEAR, "--payload", PAYLOAD)
    assert last.err.startswith("365 partitions: ")
    assert fsq.ls()["new"] == 365
    assert sorted(payload["day"] for payload in payloads(fsq)) == sorted({str(day) for day in days_of_2013()})


def days_of_2013() -> list[date]:
    return [date(2013, 1, 1) + timedelta(days=n) for n in range(365)]


def test_whose_output_nobody_reads_is_told_how_far_it_came(fsq: Fsq) -> None:
    """``fsq backfill | head``."""
    unread, end = os.pipe()
    os.close(unread)

    def run() -> int:
        os.dup2(end, 1)
        sys.argv = ["fsq", "-r", fsq.root, "backfill", *YEAR]
        return cli.main()

    running = fsq.fork(run)
    os.close(end)
    assert running.wait() == 1
    assert running.err == (
        "fsq: nobody reads what is printed; 1 of 365 partitions are submitted; the same command goes on\n"
    )
    assert len(fsq.names("new")) == 1
