"""Events: each has a template that the code's fields fill; lines for people and for programs."""

from __future__ import annotations

import ast
import json
import logging
import os
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import pytest

import workqueue
from workqueue import Job, Producer
from workqueue.run.events import DURATIONS, EVENTS, JsonLine, LogLine, log_to_stderr, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.fsq import Fsq

JOB = {"queue", "id", "label", "attempt"}
"""What ``**about(claim)`` gives, and ``**fields`` where it is the same."""


def calls() -> Iterator[tuple[str, set[str], str]]:
    """Every event that the code tells: its name, the fields it is given, and where."""
    package = Path(workqueue.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"emit", "_tell"}:
                told = node.args[2] if node.func.id == "_tell" else node.args[0]
                given = {keyword.arg for keyword in node.keywords if keyword.arg} - {"done"}
                if node.func.id == "_tell" or any(keyword.arg is None for keyword in node.keywords):
                    given |= JOB
                for event in constants(told):
                    yield event, given, f"{path.name}:{node.lineno}"


def constants(node: ast.expr) -> list[str]:
    """The texts that an argument can be; none for a variable, whose callers are looked at instead."""
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.IfExp(_, body, orelse):
            return constants(body) + constants(orelse)
    return []


@pytest.mark.parametrize(
    ("event", "given", "where"), list(calls()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_event_that_is_told_fills_its_template(event: str, given: set[str], where: str) -> None:
    """A field that is missing would be a KeyError in the middle of a run."""
    fields: dict[str, Any] = {name: 1.5 if name in DURATIONS else name.upper() for name in given}
    text = text_of(event, fields)
    assert "{" not in text, where
    wanted = {name for _, name, _, _ in Formatter().parse(EVENTS[event][1]) if name}
    assert wanted <= given | {"job"}, where
    assert not given & {"at", "level", "event", "message"}, f"{where}: a field that JsonLine would overwrite"


def test_every_event_is_told_somewhere() -> None:
    """And every one that is told has a template."""
    assert {event for event, _, _ in calls()} == set(EVENTS)


def record(event: str | None, fields: dict[str, Any], level: int = logging.WARNING) -> logging.LogRecord:
    found = logging.LogRecord("workqueue", level, "", 0, event or "just %s", () if event else ("words",), None)
    if event:
        found.event, found.fields = event, fields
    return found


def test_a_line_for_people_is_one_line_of_text() -> None:
    """Time, level where it is worth a word, sentence; what a name or a message holds cannot steer a terminal."""
    line = LogLine(terminal=False).format(record("trouble", {"text": "two\nlines \x1b[31m, \udcff and ü"}))
    assert line[8:] == " warning: two\\nlines \\x1b[31m, \\udcff and ü"
    line = LogLine(terminal=True).format(record("paused", {}, logging.INFO))
    assert line.startswith("\r\x1b[J")
    assert line.endswith(" paused; SIGCONT goes on")
    assert LogLine(terminal=False).format(record(None, {})).endswith("warning: just words")


def test_a_job_is_told_by_queue_id_and_label() -> None:
    fields = {"queue": "load", "id": "X", "label": "july", "attempt": 1, "took": 0.25}
    assert text_of("finished", fields) == "load X (july) finished in 250 ms"
    assert text_of("finished", {**fields, "label": ""}) == "load X finished in 250 ms"


def test_a_json_line_has_event_and_time_whatever_the_fields_hold() -> None:
    """Every line parses; file names that are no UTF-8 too."""
    line = json.loads(JsonLine().format(record("unclaimable", {"queue": "q", "name": "\udcff", "reason": "EPERM"})))
    assert (line["event"], line["level"], line["name"]) == ("unclaimable", "warning", "\\udcff")
    assert line["at"].endswith("+00:00")
    line = json.loads(JsonLine().format(record(None, {})))
    assert (line["event"], line["message"]) == ("message", "just words")


def test_the_library_installs_no_handlers(fsq: Fsq) -> None:
    """A program that runs a Worker decides itself what becomes of the events."""

    def run() -> int:
        logger = logging.getLogger("workqueue")
        found: list[str] = []

        class Collect(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                found.append(record.getMessage())

        assert logger.handlers == []
        logger.addHandler(Collect())
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        workqueue.Worker(fsq.root, handler=lambda _: None, processes=1).run(drain=True)
        assert found == ["started", "worker ended", "drained"]
        return 0

    running = fsq.fork(run)
    assert running.wait() == 0, running.err
    assert running.err == ""


def test_log_json_of_the_command(fsq: Fsq) -> None:
    """--log json: each line parses, and has event and at; -v adds the finished jobs."""
    producer = Producer(fsq.root)
    producer.submit(0, label="fine")
    producer.submit("odd", max_attempts=1)
    os.mkdir(os.fsencode(fsq.root) + b"/default/new/\xff")
    fsq.write("etl.py", "def load(job):\n    if job.payload == 'odd': raise ValueError('two\\nlines \\udcff')\n")
    result = fsq("-r", fsq.root, "worker", "-H", "etl:load", "--drain", "--log", "json", "-v", "-n", "1")
    assert result.status == 3
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert all(line["event"] and line["at"] and line["level"] for line in lines)
    by_event = {line["event"]: line for line in lines}
    assert by_event.keys() >= {"started", "finished", "failed", "corrupted", "drained"}
    assert by_event["failed"]["error"] == "ValueError: two"
    quiet = fsq("-r", fsq.root, "worker", "-H", "etl:load", "--drain", "--log", "json", "-n", "1")
    assert {json.loads(line)["event"] for line in quiet.err.splitlines()} == {"started", "drained"}


def test_log_text_of_the_command_stays_one_line_an_event(fsq: Fsq) -> None:
    """However many lines an error has."""
    Producer(fsq.root).submit("odd", max_attempts=1)
    fsq.write("etl.py", "def load(job):\n    raise ValueError('two\\nlines \\x1b[31m')\n")
    result = fsq("-r", fsq.root, "worker", "-H", "etl:load", "--drain", "-n", "1")
    assert len(result.err.splitlines()) == 3
    assert "\x1b" not in result.err


def test_a_line_is_not_written_for_every_finished_job(fsq: Fsq) -> None:
    """At a thousand jobs a second nobody reads it."""

    def handle(job: Job) -> None:
        assert job.payload is not None

    Producer(fsq.root).submit_many(range(20), durable=False)
    running = fsq.drain(handle)
    assert len(running.events("finished")) == 20  # these tests listen to all
    assert EVENTS["finished"][0] == logging.DEBUG


@pytest.mark.parametrize("verbose", [False, True])
def test_what_watchdog_says_is_no_line_that_programs_cannot_read(fsq: Fsq, *, verbose: bool) -> None:
    """It warns of an overflow, which is no news: the next listing finds what was missed."""

    def warn() -> None:
        log_to_stderr(as_json=True, verbose=verbose)
        logging.getLogger("watchdog.observers.inotify").warning("overflowed")

    with fsq.fork(warn) as running:
        assert running.wait() == 0
    assert [json.loads(line)["message"] for line in running.err.splitlines()] == ["overflowed"] * verbose
