"""The progress line of a drain: on a terminal only, redrawn over itself, with what is done, left and to go."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from support.clocks import FakeClock
from workqueue import Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Recovered
from workqueue.engine.root import Root
from workqueue.jobs import names
from workqueue.jobs.states import State
from workqueue.run.progress import Progress
from workqueue.run.summary import Summary, tell_recovered

if TYPE_CHECKING:
    import pytest

    from support.fsq import Fsq


def lines(stream: io.StringIO) -> list[str]:
    """What was drawn, one after the other, without the bar."""
    return [line.lstrip("█░ ") for line in stream.getvalue().split("\r\x1b[J")[1:]]


def test_it_counts_down(root: str) -> None:
    """Done, failed and left; the rate of the last seconds and the time to go; not drawn more than 5 times a second."""
    Producer(root).submit_many(range(100), durable=False)
    clock, stream = FakeClock(), io.StringIO()
    progress = Progress(DirectoryEngine(Root(root, clock=clock)), ("default",), stream)
    summary = Summary()
    progress.show({}, summary, [])
    progress.show({"done": 1}, summary, [0.0])
    clock.advance(0.5)
    progress.show({"done": 10, "failed": 1}, summary, [0.0, 0.0])
    clock.advance(0.5)
    summary.failed = 1
    progress.show({"done": 18, "failed": 1, "cancelled": 1}, summary, [0.0, 0.0])
    progress.close()
    assert lines(stream) == [
        "0 done, 0 failed, 100 left",
        "10 done, 1 failed, 89 left, 22/s, 4.05 s to go",
        lines(stream)[2],
        "",
    ]
    assert lines(stream)[2].startswith("18 done, 2 failed, ")


def test_long_jobs_count_in_part(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the line moves, and knows when all will be done, before the first of them has ended."""
    monkeypatch.setenv("COLUMNS", "100")
    Producer(root).submit_many(range(4), durable=False)
    clock, stream = FakeClock(), io.StringIO()
    progress = Progress(DirectoryEngine(Root(root, clock=clock)), ("default",), stream)
    for shares in ([0.0, 0.0], [0.1, 0.5], [0.25, 0.75]):
        progress.show({}, Summary(), shares)
        clock.advance(1)
    assert lines(stream) == [
        "0 done, 0 failed, 4 left",
        "0 done, 0 failed, 4 left, 0.6/s, 5.67 s to go; running: 50 %, 10 %",
        "0 done, 0 failed, 4 left, 0.5/s, 6 s to go; running: 75 %, 25 %",
    ]
    assert stream.getvalue().count("█") == 0 + 3 + 6


def test_a_long_job_that_fails_takes_its_part_back(root: str) -> None:
    """No rate is better than one below nothing."""
    Producer(root).submit_many(range(4), durable=False)
    clock, stream = FakeClock(), io.StringIO()
    progress = Progress(DirectoryEngine(Root(root, clock=clock)), ("default",), stream)
    for shares in ([0.9], [0.0]):
        progress.show({}, Summary(), shares)
        clock.advance(1)
    assert lines(stream)[-1] == "0 done, 0 failed, 4 left"


def test_an_empty_drain_is_complete(root: str) -> None:
    stream = io.StringIO()
    Progress(DirectoryEngine(Root(root)), ("default",), stream).show({}, Summary(), [])
    assert stream.getvalue() == "\r\x1b[J████████████████████████ 0 done, 0 failed, 0 left"


def test_it_fits_a_narrow_terminal(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapped line could not be drawn over."""
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    Progress(DirectoryEngine(Root(root)), ("default",), stream).show({}, Summary(), [])
    assert len(stream.getvalue()) == len("\r\x1b[J") + 19


def test_on_a_terminal_it_is_drawn_and_wiped(fsq: Fsq) -> None:
    """Log lines take its place; at the end nothing of it is left."""
    Producer(fsq.root).submit_many(range(3), durable=False)
    fsq.write("etl.py", "import time\ndef load(job):\n    time.sleep(0.3)\n")
    words = ("-r", fsq.root, "worker", "-H", "etl:load", "--drain", "-n", "1")
    result = fsq.on_terminal(*words)
    assert result.status == 0
    assert re.search(r"[12] done, 0 failed, [12] left", result.out)
    assert re.search(r"\r\x1b\[J\d\d:\d\d:\d\d drained: 3 done, 0 failed in \d\.\d s\r\n$", result.out)
    Producer(fsq.root).submit(0)
    assert " left" not in fsq.on_terminal(*words, "--no-progress").out
    Producer(fsq.root).submit(0)
    assert " left" not in fsq(*words).err


def recovered(state: State | None, *, released: bool = False) -> Recovered:
    name = names.parse("5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-2@3.k2x9+july")
    assert name is not None
    return Recovered("load", name, state, "its worker died", released=released)


def test_what_became_of_dead_workers_jobs_is_counted() -> None:
    """Each as what it is; only a job that is ready again is dealt at once."""
    summary = Summary()
    ready = "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-"
    assert tell_recovered(recovered(State.NEW), summary) == ("load", f"{ready}2+july")
    assert tell_recovered(recovered(State.NEW, released=True), summary) == ("load", f"{ready}1+july")
    assert tell_recovered(recovered(State.LATER), summary) is None
    assert tell_recovered(recovered(State.FAILED), summary) is None
    assert tell_recovered(recovered(None), summary) is None
    assert tell_recovered("a process cannot be killed", summary) is None
    assert (summary.recovered, summary.released, summary.retried, summary.failed, summary.cancelled) == (1, 1, 1, 1, 1)
    assert summary.attempts == 3
    assert str(summary) == "0 done, 1 failed, 1 retried, 1 cancelled, 1 recovered, 1 released in 0.0 s"
