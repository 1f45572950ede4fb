"""fsq doctor: for people, for monitors, and through a pipe."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import is_alive, until
from workqueue import Job, Producer, cli

if TYPE_CHECKING:
    from support.fsq import Fsq

FIELDS = {"check", "level", "path", "message", "remedy", "fixable", "fixed"}


@pytest.fixture
def ill(fsq: Fsq) -> Fsq:
    """A root with a problem that can be repaired, one that cannot, and something strange."""
    os.rmdir(f"{fsq.root}/default/held")
    with open(f"{fsq.root}/default/corrupt/torn", "w"), open(os.fsencode(fsq.root) + b"/\x1b[31m\xff", "w"):
        pass
    return fsq


def test_when_all_is_well_it_says_so_in_a_line(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    producer.submit(1)
    producer.submit(2, delay="1h")
    result = fsq("-r", fsq.root, "doctor")
    assert result == (0, "all well: 1 job ready, 1 delayed, 0 running\n", "")
    assert fsq("doctor", "--json", "--root", fsq.root) == (0, "", "")


def test_for_people_each_finding_has_a_line_and_what_to_do_under_it(ill: Fsq) -> None:
    """Problems first; what was repaired last; nothing that a name could do to the terminal."""
    result = ill("-r", ill.root, "doctor")
    assert (result.status, result.err) == (1, "")
    first, remedy, second, _, last = result.out.splitlines()
    assert first.startswith(f"problem: {ill.root}/default: missing: held; the queue is half made, or lost a part")
    assert remedy == "    fsq doctor --fix makes what is missing, as fsq init does"
    assert second.startswith(f"note: {ill.root}: 1 name of which fsq knows nothing: ")
    assert last == (
        "18 checks, 1 problem, 1 note; left out until the root is repaired: stage, batches, records, keys, cancels, queue default:"
        " fsq doctor --fix repairs 1 of them"
    )
    assert "\x1b" not in result.out
    shown = ill.on_terminal("-r", ill.root, "doctor")
    assert (shown.status, shown.out.replace("\r", "")) == (1, result.out)


def test_fix_repairs_and_tells_what_remains(ill: Fsq) -> None:
    """1 as long as a problem remains."""
    result = ill("-r", ill.root, "doctor", "--fix")
    lines = result.out.splitlines()
    assert (result.status, result.err) == (1, "")
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")][:-1] == ["problem", "note", "fixed"]
    assert lines[0].startswith(f"problem: {ill.root}/default/corrupt: 1 job that could not be read")
    assert lines[-2].startswith(f"fixed: {ill.root}/default: missing: held")
    assert lines[-1] == "23 checks, 1 problem, 1 note, 1 fixed"
    os.unlink(f"{ill.root}/default/corrupt/torn")
    assert ill("-r", ill.root, "doctor", "--fix").status == 0


def test_for_monitors_there_is_an_object_a_line_and_nothing_else(ill: Fsq) -> None:
    result = ill("-r", ill.root, "doctor", "--json")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert (result.status, result.err) == (1, "")
    assert [each.keys() for each in found] == [FIELDS] * 2
    assert [(each["check"], each["level"], each["fixable"], each["fixed"]) for each in found] == [
        ("layout", "problem", True, False), ("strangers", "note", False, False),
    ]  # fmt: skip
    result = ill("-r", ill.root, "doctor", "--json", env={"FSQ_DOCTOR_FIX": "1"})
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [(each["check"], each["path"], each["fixed"]) for each in found] == [
        ("corrupt", f"{ill.root}/default/corrupt", False),
        ("strangers", ill.root, False),
        ("layout", f"{ill.root}/default", True),
    ]
    assert result.status == 1


@pytest.mark.parametrize("words", [[], ["--fix"], ["--json"]])
def test_a_path_that_is_no_root_is_an_error_in_one_line(fsq: Fsq, words: list[str]) -> None:
    """And is left as it is."""
    (fsq.where / "empty").mkdir()
    for path in ("empty", "nowhere"):
        result = fsq("doctor", "-r", path, *words)
        assert (result.status, result.out) == (1, "")
        assert (
            result.err
            == f"fsq: {fsq.where}/{path}: not a queue root (not mounted?); make one: fsq init {fsq.where}/{path}\n"
        )
    assert os.listdir(fsq.where / "empty") == []
    assert not (fsq.where / "nowhere").exists()


@pytest.mark.parametrize(("text", "message"), [("9 x", "written in format 9"), ("", "damaged")])
def test_a_format_that_it_does_not_know_is_an_error_in_one_line(fsq: Fsq, text: str, message: str) -> None:
    os.unlink(f"{fsq.root}/.fsq/format")
    with open(f"{fsq.root}/.fsq/format", "w") as file:
        file.write(text)
    result = fsq("-r", fsq.root, "doctor", "--fix")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert message in result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_only_the_owner_may_fix(fsq: Fsq) -> None:
    os.chown(fsq.root, 65534, -1)
    result = fsq("-r", fsq.root, "doctor", "--fix")
    assert (result.status, result.out) == (1, "")
    assert result.err.endswith("who has to repair it: sudo -u nobody fsq doctor --fix\n")


def test_a_standard_output_that_is_closed_is_no_traceback(ill: Fsq) -> None:
    """The exit status is all that a monitor needs."""
    shell = f"exec '{sys.executable}' -m workqueue -r '{ill.root}' doctor >&-"
    running = ill.fork(lambda: os.execv("/bin/sh", ["sh", "-c", shell]))
    assert (running.wait(), running.err) == (1, "")


def test_a_full_standard_output_is_told(ill: Fsq) -> None:
    def full() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        sys.argv = ["fsq", "-r", ill.root, "doctor"]
        cli.main()

    running = ill.fork(full)
    assert running.wait() == 1
    assert running.err == "fsq: [Errno 28] No space left on device\n"


def test_a_worker_that_runs_is_no_finding_and_its_death_is_one(fsq: Fsq) -> None:
    """Until somebody takes up what it had: another worker, or --fix."""
    Producer(fsq.root).submit(0, label="july")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        time.sleep(600)

    with fsq.work(handle) as working:
        worker = fsq.running_pid()
        assert fsq("-r", fsq.root, "doctor").out == "all well: 0 jobs ready, 0 delayed, 1 running\n"
        working.kill()
        os.kill(worker, signal.SIGKILL)
        until(lambda: not is_alive(worker), "the worker is dead")
        result = fsq("-r", fsq.root, "doctor")
        assert result.status == 1
        assert result.out.startswith(f"problem: {fsq.root}/default/cur: 1 job without a living worker: 5-")
    result = fsq("-r", fsq.root, "doctor", "--fix")
    assert result.status == 0
    assert result.out.endswith("all well: 1 job ready, 0 delayed, 0 running, 1 fixed\n")
    assert fsq.ls() == {"new": 1}
