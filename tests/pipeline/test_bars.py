"""The display of a run: a bar a stage below the log lines; on a terminal only, and gone at the end."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from support.clocks import FakeClock
from workqueue import Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Corrupted, Recovered
from workqueue.engine.root import Root, init
from workqueue.jobs import names
from workqueue.jobs.states import State
from workqueue.pipeline.bars import Bars
from workqueue.run import board as b
from workqueue.run.board import Board
from workqueue.run.events import WIPE
from workqueue.run.summary import Summary
from workqueue.run.tallies import WORDS, Tallies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.fsq import Fsq

BAD = """
import os, time
from workqueue.pipeline import Pipeline
etl = Pipeline('etl')
@etl.stage(to='load')
def extract(payload):
    time.sleep(0.3)
    {}
    time.sleep(0.3)  # its end is not to come to the supervisor together with the signal
@etl.stage
def load(payload):
    pass
"""
JOB = "01JD8Z7Q4M9X3V2T6B1C0N5KEY"


class Hand:
    """A worker, as tallies and bars see it."""

    def __init__(self) -> None:
        self.board, self.queue, self.counted = Board(), "", [0] * WORDS
        self.is_free = True


class Hands:
    """A crew of one."""

    def __init__(self) -> None:
        self.members, self.tallies = [Hand()], Tallies()

    def runs(self) -> list[Any]:
        return [run for hand in self.members if (run := hand.board.running())]

    def go_to(self, queue: str) -> None:
        self.tallies.take(self.members[0])  # type: ignore[arg-type]
        self.members[0].queue = queue

    def work(self, *fields: int) -> None:
        """Run a job to this end."""
        board = self.members[0].board
        board.start(self.members[0].queue, JOB, None)
        for field in fields:
            board.count(field)
        board.end()

    def figures(self, queue: str) -> dict[str, int]:
        found = self.tallies.of(queue, self.members)  # type: ignore[arg-type]
        return {name: count for name, count in found.items() if count}


@pytest.fixture
def hands() -> Iterator[Hands]:
    found = Hands()
    yield found
    for hand in found.members:
        hand.board.close()


def test_what_is_counted_belongs_to_the_queue_that_was_dealt(hands: Hands) -> None:
    """Up to the moment; and what a dead worker's claim came to, too."""
    hands.work(b.LOST)
    hands.go_to("clean")
    hands.work(b.DONE)
    assert hands.tallies.mean_ns("clean") is None, "it is told at the next deal"
    hands.work(b.FAILED, b.REJECTS)
    hands.go_to("load")
    hands.work(b.DONE)
    assert hands.figures("clean") == {"done": 1, "failed": 1, "rejects": 1, "attempts": 2}
    assert hands.figures("load") == {"done": 1, "attempts": 1}
    assert hands.figures("other") == {}
    assert (hands.tallies.mean_ns("clean") or 0) > 0
    name = names.parse(f"5-{JOB}-1")
    assert name is not None
    for state in (State.NEW, State.LATER, State.FAILED, State.DONE, None):
        hands.tallies.recovered(Recovered("load", name, state))
    hands.tallies.recovered(Recovered("load", name, State.NEW, released=True))
    hands.tallies.recovered(Corrupted("load", "x", "y"))
    hands.tallies.recovered("trouble")
    assert hands.figures("load") == {"done": 2, "failed": 1, "corrupt": 1, "cancelled": 1, "attempts": 1}


def drawn(stream: io.StringIO) -> list[str]:
    """The last drawing, line by line."""
    return stream.getvalue().split(WIPE)[-1].split("\n")


def bars(root: str, stages: tuple[str, ...] = ("clean", "load")) -> tuple[Bars, io.StringIO, FakeClock]:
    init(root, stages)
    clock, stream = FakeClock(), io.StringIO()
    return Bars(DirectoryEngine(Root(root, clock=clock)), stages, stream), stream, clock


def test_each_stage_has_a_bar(root: str, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting, running, done, failed, rejected, rate, time to go; a run that tells how far it is counts in part."""
    monkeypatch.setenv("COLUMNS", "90")
    display, stream, clock = bars(root)
    Producer(root).submit_many(range(10), queue="clean", durable=False)
    display.look(hands, Summary())  # type: ignore[arg-type]
    hands.go_to("clean")
    for _ in range(3):
        hands.work(b.DONE)
    hands.work(b.FAILED, b.REJECTS)
    hands.members[0].is_free = False
    hands.members[0].board.start("clean", JOB, None)
    hands.members[0].board.share(0.5)
    display.look(hands, Summary())  # type: ignore[arg-type]
    assert stream.getvalue().count(WIPE) == 1, "it was drawn just now"
    clock.advance(0.25)
    display.look(hands, Summary())  # type: ignore[arg-type]
    empty, heading, clean, load = drawn(stream)
    assert (empty, heading.split()) == (
        "",
        ["waiting", "running", "done", "failed", "rejected", "per", "s", "to", "go"],
    )
    assert clean.split() == ["clean", "█" * 9 + "░" * 12, "5", "1", "3", "1", "1", "18", "306", "ms"]
    assert load.split()[2:7] == ["0", "0", "0", "0", "0"]
    assert load.endswith("–\r\x1b[3A"), "the cursor stands on the empty line above"
    display.close()
    assert drawn(stream) == [""]


def test_it_fits_the_terminal(root: str, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrapped or scrolled away could not be drawn over."""
    stages = tuple(f"stage-{n}" for n in range(9))
    display, stream, _ = bars(root, stages)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "8")
    display.look(hands, Summary())  # type: ignore[arg-type]
    lines = drawn(stream)
    assert len(lines) == 7
    assert lines[-1].startswith("… and 5 more stages")
    assert max(map(len, lines[:-1])) == 39


def test_on_a_terminal_it_is_drawn_below_the_log_lines_and_wiped(fsq: Fsq) -> None:
    """Also when the run ends by itself; elsewhere there are log lines only."""
    fsq.write(
        "etl.py",
        "import time\nfrom workqueue.pipeline import Pipeline\netl = Pipeline('etl')\n"
        "@etl.stage(to='load')\ndef extract(payload):\n    yield from range(payload)\n"
        "@etl.stage\ndef load(payload):\n    time.sleep(0.25)\n    if not payload: raise KeyError\n",
    )
    words = ("-r", fsq.root, "run", "etl:etl", "--drain", "-n", "1")
    assert fsq(*words).status == 0
    Producer(fsq.root).submit(4, queue="extract")
    env = {"FSQ_MAX_ATTEMPTS": "1", "LINES": "30"}
    shown = fsq.on_terminal(*words, env=env)
    assert shown.status == 3
    frames = shown.out.split(WIPE)
    assert any(re.search(r"extract [█░]+ +0 +0 +1 .*\r\nload +[█░]+ +\d +1 +[0-3] ", frame) for frame in frames), (
        frames[:9]
    )
    assert [frame for frame in frames if re.match(r"\d\d:\d\d:\d\d error: load .* KeyError", frame)]
    assert not re.search("░|running", frames[-1]), "what is left is the last log line, and the report"
    assert re.search(r"\nload +4 +3 +1 ", frames[-1])
    for end in ("os.kill(os.getppid(), 2)", f"os.rename({fsq.root!r}, 'elsewhere')"):
        Producer(fsq.root).submit(1, queue="extract")
        fsq.write("bad.py", BAD.format(end))
        shown = fsq.on_terminal("-r", fsq.root, "run", "bad:etl", "--drain", "-n", "2", env=env)
        assert shown.status in {75, 1}
        assert "running" in shown.out
        assert not re.search("░|running", shown.out.split(WIPE)[-1]), "also after a Ctrl-C, and an error"
    os.rename(fsq.where / "elsewhere", fsq.root)
    Producer(fsq.root).submit(1, queue="extract")
    assert "░" not in fsq.on_terminal(*words, "--no-progress", env=env).out
    Producer(fsq.root).submit(1, queue="extract")
    assert WIPE not in fsq(*words, env=env).err
