"""fsq log: what happened, for people and programs, of all or of one job."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from pipeline.journals import T, job_id, write
from support.processes import until
from workqueue import Job, Producer
from workqueue.engine.root import init

if TYPE_CHECKING:
    from support.fsq import Fsq

ZONE = {"TZ": "UTC"}


def handle(job: Job) -> None:
    if job.payload == "bad":
        raise ValueError("no such \x1b[31mday")


@pytest.fixture
def log(fsq: Fsq) -> Fsq:
    """A night with a job that finished and one that failed."""
    producer = Producer(fsq.root)
    producer.submit("good", label="july")
    producer.submit("bad", max_attempts=2)
    fsq.drain(handle, backoff="1ms")
    return fsq


def events(fsq: Fsq, *words: str) -> list[str]:
    result = fsq("-r", fsq.root, "log", "--json", *words)
    assert result.status == 0, result.err
    return [json.loads(line)["event"] for line in result.out.splitlines()]


def test_a_line_is_that_of_the_workers_log_with_its_date(log: Fsq) -> None:
    lines = log("-r", log.root, "log").out.splitlines()
    assert [line[20:].split(" ")[0] for line in lines] == ["1", "default", "warning:", "error:", "drained:"]
    assert "(july) finished in" in lines[1]
    assert lines[3].endswith(")")
    assert "ValueError: no such \\x1b[31mday" in lines[3]
    assert len(lines[0].split(" ")[0]) == len("2026-07-01")


def test_events_and_queues_can_be_chosen(log: Fsq) -> None:
    init(log.root, ("load",))
    Producer(log.root).submit("good", queue="load")
    log.drain(handle, queues=["load"])
    assert events(log, "-e", "failed", "--event", "drained") == ["failed", "drained", "drained"]
    assert events(log, "-q", "load") == ["finished"]
    assert events(log, "-q", "load", "-e", "failed") == []


def test_a_time_can_be_chosen(fsq: Fsq) -> None:
    write(fsq.root, [{"t": T + 3_600_000 * n, "event": "paused"} for n in range(24)])

    def count(*words: str) -> int:
        return len(fsq("-r", fsq.root, "log", *words, env=ZONE).out.splitlines())

    assert count("--since", "2026-07-01") == 24
    assert count("--since", "2026-07-01T20:00") == 4
    assert count("--since", "2026-07-01T20:00+02:00", "--until", "2026-07-01T23:00:00+02:00") == 3
    assert count("--until", "2026-06-30") == 0
    assert count("--until", "today") in {0, 24}
    assert count("--since", "500w") == 24


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "soon"), "--since 'soon': 1h, 3d (ago), today"),
        (("--until", "2026-13-01"), "--until '2026-13-01'"),
        (("--event", "fialed"), "no event is called that; did you mean 'failed'?"),
        (("-q", "nope"), "no queue 'nope'"),
        (("-", "x"), "-"),
        (("ab",), "job id 'ab': 26 characters, or the last 4"),
        (("I" * 26,), "26 characters, or the last 4"),
        (("0" * 27,), "26 characters, or the last 4"),
        (("../x",), "26 characters, or the last 4"),
    ],
)
def test_a_mistake_is_one_line(fsq: Fsq, words: tuple[str, ...], said: str) -> None:
    result = fsq("-r", fsq.root, "log", *words)
    assert result.status == 2
    assert said in result.err
    assert "Traceback" not in result.err


def test_the_life_of_a_job_begins_with_its_submit_and_ends_where_it_is(log: Fsq) -> None:
    [failed] = log.names("failed")
    job = failed.split("-")[1]
    assert events(log, job) == events(log, job[-6:].lower()) == ["submitted", "retried", "failed"]
    assert log("-r", log.root, "log", job).err == "now in failed\n"
    log("-r", log.root, "retry", job)
    log("-r", log.root, "cancel", job)
    assert events(log, job)[-2:] == ["retried by hand", "cancelled by hand"]
    assert events(log, job, "-e", "failed") == ["failed"]
    result = log("-r", log.root, "log", job)
    assert result.err == ""
    assert "made ready again by " in result.out


def test_a_job_that_has_not_run_yet_has_a_short_life(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(1)
    result = fsq("-r", fsq.root, "log", ref.id)
    assert result.out.endswith(f"default {ref.id} submitted\n")
    assert result.err == "now in new\n"


def test_of_a_job_that_was_never_here_it_says_so(fsq: Fsq) -> None:
    result = fsq("-r", fsq.root, "log", job_id(T))
    assert (result.status, result.out) == (4, "")
    assert "nor is it in the journal" in result.err


def test_an_end_that_several_jobs_have_is_refused(fsq: Fsq) -> None:
    write(fsq.root, [{"t": T, "event": "finished", "queue": "default", "id": job_id(T + n)} for n in (0, 10**6)])
    result = fsq("-r", fsq.root, "log", "0000")
    assert result.status == 2
    assert "2 jobs have ids that end in 0000" in result.err


def test_what_operators_do_is_written_down_with_who_did_it(log: Fsq) -> None:
    log("-r", log.root, "rm", "--all", "failed")
    removed = json.loads(log("-r", log.root, "log", "--json", "-e", "removed").out)
    assert (removed["queue"], removed["state"]) == ("default", "failed")
    assert removed["by"]
    ref = Producer(log.root).submit("good")
    ref.cancel()
    assert events(log, ref.id) == ["submitted", "cancelled by hand"]


def test_the_last_lines_can_be_chosen_and_a_terminal_shows_no_more_than_it_can(fsq: Fsq) -> None:
    write(fsq.root, [{"t": T + n, "event": "paused" if n else "resumed"} for n in range(150)])
    assert events(fsq, "-l", "2") == ["paused", "paused"]
    assert len(events(fsq)) == 150
    shown = fsq.on_terminal("-r", fsq.root, "log").out
    assert shown.count("paused") == 100
    assert "the last 100; --limit 0 shows all" in shown
    assert fsq.on_terminal("-r", fsq.root, "log", "-l", "0").out.count("paused") == 149


def test_follow_goes_on_with_what_happens(fsq: Fsq) -> None:
    write(fsq.root, [{"t": T, "event": "paused"}])
    with fsq.start("-r", fsq.root, "log", "--follow") as running:
        until(lambda: "paused" in running.out, "what there was")
        Producer(fsq.root).submit("good")
        fsq.drain(handle)
        until(lambda: "finished" in running.out and "drained" in running.out, "what happened since")
        os.kill(running.pid, signal.SIGINT)
        assert running.wait() == 130
    assert "Traceback" not in running.err


def test_whatever_a_line_holds_it_is_shown_on_one_line(fsq: Fsq) -> None:
    write(fsq.root, [
        {"t": T, "event": "levitated", "text": "a\nb\x1b[31m"},
        {"t": T + 1, "event": "retried", "queue": "default", "id": "X", "delay": "long", "error": "5"},
        {"t": 10**18, "event": "paused"},
        {"t": -5, "event": "paused"},
    ])  # fmt: skip
    result = fsq("-r", fsq.root, "log")
    assert (result.status, len(result.out.splitlines())) == (0, 3)
    assert "\x1b" not in result.out
