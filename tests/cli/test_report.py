"""fsq report: on the terminal, as JSON, as a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.journals import T, job_id, write
from workqueue import Job, Producer
from workqueue.engine.root import init

if TYPE_CHECKING:
    from support.fsq import Fsq


def handle(job: Job) -> None:
    if job.payload == "bad":
        raise ValueError("no such \x1b[31mday")


@pytest.fixture
def night(fsq: Fsq) -> Fsq:
    Producer(fsq.root).submit_many(["good"] * 20)
    Producer(fsq.root).submit("bad", max_attempts=2, label="july")
    fsq.drain(handle, backoff="1ms", processes=2)
    return fsq


def test_a_person_is_shown_all_of_it_also_in_a_pipe(night: Fsq) -> None:
    result = night("-r", night.root, "report")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    heading = next(n for n, line in enumerate(lines) if line.startswith("queue"))
    assert lines[heading].split()[:8] == [
        "queue",
        "jobs",
        "done",
        "failed",
        "cancelled",
        "corrupt",
        "attempts",
        "retries",
    ]
    assert lines[heading + 1].split()[:8] == ["default", "21", "20", "1", "0", "0", "22", "1"]
    for word in ("waiting for the first", "default: cause", "default: in failed/ now", "default: slowest runs", "july"):
        assert word in result.out
    assert "ValueError: no such \\x1b[31mday" in result.out
    assert "ValueError: no such" in night.on_terminal("-r", night.root, "report").out


def test_a_program_gets_one_object(night: Fsq) -> None:
    result = night("-r", night.root, "report", "--json", "-q", "default", "--since", "1h")
    [found] = map(json.loads, result.out.splitlines())
    [queue] = found["queues"]
    assert (queue["done"], queue["failed"], queue["attempts"]) == (20, 1, 22)
    assert found["since"] < found["made"]


def test_a_page_is_written_and_talked_about(night: Fsq) -> None:
    result = night("-r", night.root, "report", "--html", "night.html")
    assert (result.status, result.out, result.err) == (0, "", "wrote night.html\n")
    page = (night.where / "night.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert night("-r", night.root, "report", "--html", "-").out.startswith("<!DOCTYPE html>")


def test_counts_of_handlers_are_shown(fsq: Fsq) -> None:
    counts = {"read": 1234, "odd \x1b": 2}
    write(fsq.root, [
        {"t": T, "event": "finished", "queue": "default", "id": job_id(T - 5000), "attempt": 1, "took": 2, "counts": counts},
        {"t": T + 600_000, "event": "finished", "queue": "default", "id": job_id(T), "attempt": 1, "took": 2},
        {"t": T, "event": "dropped", "count": 3},
        {"t": T, "event": "worker died"},
    ])  # fmt: skip
    shown = fsq("-r", fsq.root, "report").out
    assert "read 1,234, odd \\x1b 2" in shown
    assert "3 lines are missing from the journal" in shown
    assert "1 workers died" in shown
    assert "█" in shown


def test_of_nothing_it_says_so(fsq: Fsq) -> None:
    assert fsq("-r", fsq.root, "report").out.endswith("nothing happened\n")
    assert json.loads(fsq("-r", fsq.root, "report", "--json").out)["queues"] == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--json", "--html", "x"), 2, "--json or --html, not both"),
        (("--since", "1h", "--until", "2h"), 2, "--until '2h' is not after --since '1h'"),
        (("--since", "when"), 2, "--since 'when'"),
        (("-q", "nope"), 2, "no queue 'nope'"),
        (("--html", "root"), 1, "cannot write the report: Is a directory: 'root'"),
        (("--html", "nowhere/x.html"), 2, "cannot write the report: there is no directory"),
        (("--html", "/dev/null"), 1, "cannot write the report: not a regular file"),
    ],
)
def test_a_mistake_is_one_line(fsq: Fsq, words: tuple[str, ...], status: int, said: str) -> None:
    result = fsq("-r", fsq.root, "report", *words)
    assert result.status == status
    assert said in result.err
    assert "Traceback" not in result.err


def test_without_the_extra_it_says_what_to_install(fsq: Fsq) -> None:
    blocker = "import sys; sys.modules['pygal'] = None; from workqueue.cli import main; main()"
    running = fsq.fork(lambda: run_without(blocker, fsq.root))
    assert running.wait() == 2
    assert "--html needs the package 'pygal': pip install 'fsq-workqueue[report]'" in running.err


def run_without(blocker: str, root: str) -> None:
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-c", blocker, "-r", root, "report", "--html", "-"])


def test_queues_are_told_apart(fsq: Fsq) -> None:
    init(fsq.root, ("load",))
    Producer(fsq.root).submit("good", queue="load")
    fsq.drain(handle, queues=["load"])
    found = json.loads(fsq("-r", fsq.root, "report", "--json").out)
    assert [queue["queue"] for queue in found["queues"]] == ["load"]
