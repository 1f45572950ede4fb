"""fsq worker: each option reaches what it is for."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.processes import until
from workqueue import Producer

if TYPE_CHECKING:
    from support.fsq import Fsq

CODE = """\
import os, time
def note(word):
    with open("notes", "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
def load(job):
    note(f"{job.queue} {job.max_attempts}")
def slow(job):
    note("start")
    time.sleep(600)
def bad(job):
    note(job.attempt)
    raise ValueError(job.payload)
"""


def notes(fsq: Fsq) -> list[list[str]]:
    """What the handlers wrote down."""
    try:
        return [line.split() for line in (fsq.where / "notes").read_text().splitlines()]
    except FileNotFoundError:
        return []


@pytest.fixture(autouse=True)
def code(fsq: Fsq) -> None:
    fsq.write("etl.py", CODE)


def test_queues_processes_and_attempts(fsq: Fsq) -> None:
    """-q, more than once, in its order; -n; --max-attempts for jobs without a number of their own."""
    producer = Producer(fsq.root, create=True)
    for queue in ("b", "a", "default"):
        producer.submit(0, queue=queue)
    producer.submit(0, queue="b", max_attempts=9)
    result = fsq(
        "worker", "-r", fsq.root, "-H", "etl:load", "-q", "a", "-q", "b", "-n", "1", "--max-attempts", "3", "--drain"
    )
    assert result.status == 0, result.err
    assert [words[:2] for words in notes(fsq)] == [["a", "3"], ["b", "3"], ["b", "9"]]
    assert "1 worker on a, b in" in result.err
    assert len(fsq.names("new")) == 1


def test_backoff_and_its_end(fsq: Fsq) -> None:
    """--backoff holds for the waits; the errors are all there to be shown."""
    ref = Producer(fsq.root).submit("no such day")
    result = fsq("worker", "-r", fsq.root, "-H", "etl:bad", "--backoff", "1ms..2ms", "--max-attempts", "3", "--drain")
    assert result.status == 3
    assert [words[0] for words in notes(fsq)] == ["1", "2", "3"]
    shown = fsq("-r", fsq.root, "show", ref.id).out
    assert shown.count("ValueError: no such day") == 6  # in each attempt's line, and at the end of its traceback
    assert "attempt 3, " in shown


def test_timeout_grace_and_keep_done(fsq: Fsq) -> None:
    """The defaults of a run, from the command line."""
    producer = Producer(fsq.root)
    producer.submit(0)
    words = ("worker", "-r", fsq.root, "--drain", "--keep-done", "1h")
    assert fsq(*words, "-H", "etl:load").status == 0
    assert len(fsq.names("done")) == 1
    ref = producer.submit(0, max_attempts=1)
    assert fsq(*words, "-H", "etl:slow", "--timeout", "100ms", "--grace", "1s").status == 3
    assert fsq.errors(ref.id)[0]["message"] == "timed out after 100 ms"


def test_max_jobs_and_max_rss(fsq: Fsq) -> None:
    """Accepted with their units; workers are replaced."""
    Producer(fsq.root).submit_many(range(4), durable=False)
    words = ("worker", "-r", fsq.root, "-H", "etl:load", "-n", "1", "--drain")
    assert fsq(*words, "--max-jobs", "2", "--max-rss", "4G").status == 0
    assert len({words[-1] for words in notes(fsq)}) == 2


def test_every_option_as_an_environment_variable(fsq: Fsq) -> None:
    """FSQ_WORKER_…: for service files."""
    Producer(fsq.root, create=True).submit(0, queue="a")
    env = {
        "FSQ_ROOT": fsq.root, "FSQ_WORKER_HANDLER": "etl:load", "FSQ_WORKER_QUEUE": "a", "FSQ_WORKER_PROCESSES": "1",
        "FSQ_WORKER_DRAIN": "1", "FSQ_WORKER_LOG": "json", "FSQ_MAX_ATTEMPTS": "4",
    }  # fmt: skip
    result = fsq("worker", env=env)
    assert result.status == 0, result.err
    assert [words[:2] for words in notes(fsq)] == [["a", "4"]]
    assert all(json.loads(line) for line in result.err.splitlines())


def test_the_summary_file(fsq: Fsq) -> None:
    """Whole, or not there: the totals as JSON, also of a worker that was stopped."""
    Producer(fsq.root).submit_many(range(3), durable=False)
    words = ("worker", "-r", fsq.root, "-H", "etl:load", "--summary", "totals.json")
    assert fsq(*words, "--drain").status == 0
    totals = json.loads((fsq.where / "totals.json").read_text())
    assert (totals["done"], totals["attempts"], totals["failed"], totals["error"]) == (3, 3, 0, "")
    assert totals["seconds"] > 0
    (fsq.where / "totals.json").unlink()
    running = fsq.start(*words)
    until(lambda: "workers on" in running.err or "worker on" in running.err, "it has started")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert json.loads((fsq.where / "totals.json").read_text())["done"] == 0
    assert not (fsq.where / "totals.json.tmp").exists()


def test_a_summary_that_cannot_be_written_is_an_error(fsq: Fsq) -> None:
    """After the work, in a line."""
    result = fsq("worker", "-r", fsq.root, "-H", "etl:load", "--drain", "--summary", "no/such/place")
    assert result.status == 1
    assert result.err.splitlines()[-1].startswith("fsq: cannot write the summary: No such file or directory")


def test_a_drain_that_is_stopped_exits_75(fsq: Fsq) -> None:
    """It was not brought to its end, and whoever started it must know."""
    Producer(fsq.root).submit(0)
    running = fsq.start("worker", "-r", fsq.root, "-H", "etl:slow", "--drain", "-n", "1", "--grace", "100ms")
    until(lambda: notes(fsq), "the handler runs")
    running.signal(signal.SIGTERM)
    assert running.wait() == 75
    assert len(fsq.names("new")) == 1


def test_verbose_tells_of_every_job(fsq: Fsq) -> None:
    """-v; without it only of what an operator must know."""
    ref = Producer(fsq.root).submit(0)
    words = ("worker", "-r", fsq.root, "-H", "etl:load", "--drain", "-n", "1")
    assert f"default {ref.id} finished in " in fsq(*words, "-v").err
    Producer(fsq.root).submit(0)
    assert "finished" not in fsq(*words).err


def test_interrupting_the_import_is_quiet(fsq: Fsq) -> None:
    """Ctrl-C while a slow module is imported: exit 130, no traceback."""
    fsq.write("slow.py", "import time\nopen('importing', 'x').close()\ntime.sleep(600)\n")
    running = fsq.start("worker", "-r", fsq.root, "-H", "slow:load")
    until((fsq.where / "importing").exists, "the import goes on")
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert running.err == ""


def test_a_module_that_exits_at_import_is_told(fsq: Fsq) -> None:
    """A script without a guard: its exit status must not be taken for ours."""
    fsq.write("script.py", "import sys\nsys.exit(3)\n")
    result = fsq("worker", "-r", fsq.root, "-H", "script:load", "--drain")
    assert (result.status, result.err) == (
        2,
        f"fsq: cannot import script: SystemExit: 3 ({fsq.where}/script.py, line 2)\n",
    )


def test_the_handlers_own_environment_is_the_commands(fsq: Fsq) -> None:
    """Working directory and variables are those of the command."""
    Producer(fsq.root).submit(0)
    fsq.write("where.py", "import os\ndef load(job):\n    print(os.getcwd(), os.environ['COLOUR'])\n")
    result = fsq("worker", "-r", fsq.root, "-H", "where:load", "--drain", env={"COLOUR": "red"})
    assert result.out == f"{os.path.realpath(fsq.where)} red\n"
