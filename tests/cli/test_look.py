"""fsq stats, ls, show, wait: columns in a pipe, tables on a terminal, JSON where asked for."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import state_of, until
from workqueue import Job, JobRef, Producer, Reject
from workqueue.engine.root import init

if TYPE_CHECKING:
    from support.fsq import Fsq


@pytest.fixture
def jobs(fsq: Fsq) -> dict[str, JobRef]:
    """A job in each of a few states, in two queues."""
    init(fsq.root, ("load",))
    producer = Producer(fsq.root)
    found = {
        "failed": producer.submit("bad", label="july.csv"),
        "done": producer.submit("good", keep="1h"),
    }

    def handle(job: Job) -> dict[str, int]:
        if job.payload == "bad":
            raise Reject("no such \x1b[31mday")
        return {"rows": 3}

    fsq.drain(handle)
    found["new"] = producer.submit({"n": 1}, priority=7, headers={"by": "cron"}, label="\u202e evil")
    found["later"] = producer.submit([1], delay="1h", queue="load")
    os.mkdir(f"{fsq.root}/default/held/directory")
    with open(os.fsencode(fsq.root) + b"/default/new/\xff bare \n", "w") as file:
        file.write("words")
    return found


def test_stats_in_a_pipe_are_columns_without_headings(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """new, later, cur, held, done, failed, corrupt: as `cut` wants them."""
    result = fsq("-r", fsq.root, "stats")
    assert result == (0, "default\t2\t0\t0\t1\t1\t1\t0\nload\t0\t1\t0\t0\t0\t0\t0\n", "")
    assert fsq("stats", "-q", "load", "--root", fsq.root).out == "load\t0\t1\t0\t0\t0\t0\t0\n"


def test_stats_as_json(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """An object a queue."""
    first, second = map(json.loads, fsq("-r", fsq.root, "stats", "--json").out.splitlines())
    assert first == {
        "queue": "default",
        "new": 2,
        "later": 0,
        "cur": 0,
        "held": 1,
        "done": 1,
        "failed": 1,
        "corrupt": 0,
    }
    assert second["later"] == 1


def test_a_table_on_a_terminal(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """With headings, and nothing that a name could do to the terminal."""
    result = fsq.on_terminal("-r", fsq.root, "stats")
    heading = result.out.splitlines()[0]
    assert all(word in heading for word in ("queue", "new", "later", "cur", "held", "done", "failed", "corrupt"))
    result = fsq.on_terminal("-r", fsq.root, "ls")
    assert result.status == 0
    assert "try" in result.out.splitlines()[0]
    assert jobs["new"].id in result.out
    assert "\u202e" not in result.out


def test_an_empty_table_has_headings_too(fsq: Fsq) -> None:
    assert "label" in fsq.on_terminal("-r", fsq.root, "ls").out
    assert fsq("-r", fsq.root, "ls") == (0, "", "")


def test_ls_lists_by_state_and_in_order(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """All states, or one; of all queues, or some."""
    rows = [line.split("\t") for line in fsq("-r", fsq.root, "ls").out.splitlines()]
    assert [(row[1], row[2]) for row in rows] == [
        ("default", "new"), ("default", "new"), ("default", "held"), ("default", "done"), ("default", "failed"),
        ("load", "later"),
    ]  # fmt: skip
    [row] = [line.split("\t") for line in fsq("-r", fsq.root, "ls", "failed").out.splitlines()]
    assert row[0] == jobs["failed"].id
    assert row[3] == "1"
    assert row[6] == "july.csv"
    [row] = [line.split("\t") for line in fsq("-r", fsq.root, "ls", "-q", "load").out.splitlines()]
    assert row[5].startswith("59 min") or row[5] == "1 h"


def test_ls_as_json_survives_odd_names(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """Each line parses, whatever bytes a file's name has; a bare job has no id yet."""
    lines = [json.loads(line) for line in fsq("-r", fsq.root, "ls", "--json").out.splitlines()]
    by_id = {line["id"]: line for line in lines}
    assert by_id[jobs["new"].id]["priority"] == 7
    assert by_id[jobs["later"].id]["due"] > by_id[jobs["later"].id]["submitted"]
    assert by_id[None]["label"]
    for line in lines:
        assert line.keys() == {
            "id", "queue", "state", "priority", "attempt", "submitted", "due", "worker", "label", "path",
            "progress", "array",
        }  # fmt: skip


def test_ls_stops_at_a_limit_and_says_so(fsq: Fsq) -> None:
    """A person's terminal is not filled with a million lines; a pipe gets all."""
    Producer(fsq.root).submit_many(range(130), durable=False)
    assert len(fsq("-r", fsq.root, "ls").out.splitlines()) == 130
    result = fsq("-r", fsq.root, "ls", "--limit", "3", "--json")
    assert len(result.out.splitlines()) == 3
    assert result.err == "… and 127 more (--limit 0 lists all)\n"
    assert "… and 30 more" in fsq.on_terminal("-r", fsq.root, "ls").out


def test_a_reader_that_goes_away_is_no_traceback(fsq: Fsq) -> None:
    """``fsq ls | head -1``: silence."""
    Producer(fsq.root).submit_many(range(3000), durable=False)

    def piped() -> int:
        read, write = os.pipe()
        os.dup2(write, 1)
        os.close(write)
        if os.fork() == 0:
            os.dup2(read, 0)
            os.close(1)
            os.read(0, 10)
            os._exit(0)
        os.close(read)
        import sys

        from workqueue import cli

        sys.argv = ["fsq", "-r", fsq.root, "ls"]
        cli.main()

    running = fsq.fork(piped)
    running.wait()
    assert running.err == ""


def test_show_tells_everything(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """Options, payload, errors with their tracebacks, the result; by the whole id or its unique end."""
    text = fsq("-r", fsq.root, "show", jobs["failed"].id).out
    assert "     label  july.csv\n" in text
    assert "   payload  bad\n" in text
    assert "attempt 1, " in text
    assert "Reject: no such \\x1b[31mday" in text
    assert "\x1b" not in text
    facts = json.loads(fsq("-r", fsq.root, "show", "--json", jobs["done"].id[-6:].lower()).out)
    assert (facts["id"], facts["state"], facts["result"], facts["payload"]) == (
        jobs["done"].id, "done", {"rows": 3}, "good",
    )  # fmt: skip
    facts = json.loads(fsq("-r", fsq.root, "show", "--json", jobs["new"].id).out)
    assert facts["options"]["headers"] == {"by": "cron"}
    assert facts["errors"] == []


def test_show_of_what_is_damaged_or_large(fsq: Fsq) -> None:
    """Said, and not printed."""
    with open(f"{fsq.root}/default/new/5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0", "wb") as file:
        file.write(b"rubbish")
    facts = json.loads(fsq("-r", fsq.root, "show", "--json", "01JD8Z7Q4M9X3V2T6B1C0N5KEY").out)
    assert "line 1 has no end" in facts["damaged"]
    ref = Producer(fsq.root).submit(b"x" * 100_000)
    facts = json.loads(fsq("-r", fsq.root, "show", "--json", ref.id).out)
    assert facts["payload"] == "(97.7 KiB)"
    ref = Producer(fsq.root).submit(b"\xff\0")
    assert "\\xff" in fsq("-r", fsq.root, "show", ref.id).out


def test_the_progress_of_a_running_job_is_listed_and_shown(fsq: Fsq) -> None:
    """How far it has come, what it counted, from where it would go on; of the present run only."""
    ref = Producer(fsq.root).submit(0, max_attempts=3)

    def handle(job: Job) -> None:
        for row in range(500):
            job.progress(row if job.attempt == 1 else 200, 400, "rows")
            job.count(read=2)
            time.sleep(0.01)
            if row == 300 and job.attempt == 1:
                job.save({"row": 300})
                raise ConnectionError
        time.sleep(600)

    with fsq.work(handle, backoff="1ms..1ms", grace="0s") as running:
        shown: list[str] = []

        def is_shown() -> bool:
            shown.append(listed(fsq))  # looked at once: the next look may be between two runs
            return shown[-1] != ""

        until(is_shown, "progress is listed")
        assert re.fullmatch(r"\d+/400 rows, \d+ %, [\d.]+/s, .* to go", shown[-1])
        running.hears("retried")
        until(lambda: listed(fsq).startswith("200/400 rows, 50 %"), "the second run's progress is listed")
        facts = json.loads(fsq("-r", fsq.root, "show", "--json", ref.id).out)
        assert (facts["progress"]["done"], facts["progress"]["percent"], facts["progress"]["attempt"]) == (200, 50.0, 2)
        assert facts["counts"]["read"] % 2 == 0
        assert (facts["checkpoint"]["cursor"], facts["checkpoint"]["attempt"]) == ({"row": 300}, 1)
        text = fsq("-r", fsq.root, "show", ref.id).out
        assert "  progress  200/400 rows, 50 %" in text
        assert '    counts  {"read":' in text
        assert '"cursor":{"row":300}' in text
        [line] = map(json.loads, fsq("-r", fsq.root, "ls", "cur", "--json").out.splitlines())
        assert line["progress"]["total"] == 400


def listed(fsq: Fsq) -> str:
    """What the last column of ls says of the running job; nothing while there is nothing."""
    rows = [row.split("\t") for row in fsq("-r", fsq.root, "ls", "cur").out.splitlines()]
    return rows[0][7] if rows and rows[0][7] != "-" else ""


def test_how_far_a_failed_job_came_is_shown_and_no_time_to_go(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        job.count(read=7)
        job.progress(3, 9, "files")
        raise ConnectionError

    fsq.drain(handle)
    assert "  progress  3/9 files, 33 %\n" in fsq("-r", fsq.root, "show", ref.id).out
    assert json.loads(fsq("-r", fsq.root, "show", "--json", ref.id).out)["counts"] == {"read": 7}


def test_show_copes_with_records_that_are_damaged(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0)
    directory = f"{fsq.root}/.fsq/jobs/{ref.id}"
    os.mkdir(directory)
    for name in ("checkpoint", "progress"):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(b"\xff\x1b[31m")
    result = fsq("-r", fsq.root, "show", ref.id)
    assert result.status == 0
    assert f"checkpoint_damage  {directory}/checkpoint: no checkpoint: " in result.out
    os.unlink(f"{directory}/checkpoint")
    os.mkfifo(f"{directory}/checkpoint")
    assert "not a regular file" in fsq("-r", fsq.root, "show", ref.id).out


def test_an_end_that_is_not_unique_is_refused(fsq: Fsq) -> None:
    """With their number; a longer end finds it."""
    for id_ in ("01JD8Z7Q4M9X3V2T6B1C0N5KEY", "01JD8Z7Q4M9X3V2T6B1C1N5KEY"):
        with open(f"{fsq.root}/default/new/5-{id_}-0", "wb") as file:
            file.write(b'{"fsq":1}\n1')
    result = fsq("-r", fsq.root, "show", "N5KEY")
    assert result == (2, "", "fsq: 2 jobs have ids that end in N5KEY: give more of it\n")
    assert fsq("-r", fsq.root, "show", "C1N5KEY").status == 0


def test_wait_tells_how_it_ended(fsq: Fsq, jobs: dict[str, JobRef]) -> None:
    """0 done, 1 failed, 4 nowhere, 124 timed out."""
    assert fsq("-r", fsq.root, "wait", jobs["done"].id) == (0, "done\n", "")
    assert fsq("-r", fsq.root, "wait", jobs["failed"].id) == (1, "failed\n", "")
    for state in ("done", "failed"):
        told = json.loads(fsq("-r", fsq.root, "wait", jobs[state].id, "--json").out)
        assert told == {"id": jobs[state].id, "queue": "default", "state": state}
    result = fsq("-r", fsq.root, "wait", jobs["new"].id, "--timeout", "50ms")
    assert result == (124, "", f"fsq: job {jobs['new'].id} has not ended; it is in new\n")
    result = fsq("-r", fsq.root, "wait", "01JD8Z7Q4M9X3V2T6B1C0N5KEY")
    assert result.status == 4
    assert "finished and not kept, cancelled, or never here" in result.err


def test_wait_ends_when_the_job_does(fsq: Fsq) -> None:
    """Not kept: the file is gone, and that is an end as well."""
    ref = Producer(fsq.root).submit(0)
    running = fsq.start("-r", fsq.root, "wait", ref.id)
    until(lambda: is_at_rest(running.pid), "it has found the job, and waits")
    fsq.drain(lambda _: None)
    assert running.wait() == 0
    assert running.out == "ended, and was not kept\n"


def is_at_rest(pid: int) -> bool:
    """Whether a process sleeps, 20 looks in a row: a program that starts up is running, or waits for the disk."""
    for _ in range(20):
        if state_of(pid) != "S":
            return False
        time.sleep(0.002)
    return True
