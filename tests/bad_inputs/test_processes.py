"""Rows 38 to 42: processes that are killed, stopped or told to end, and handlers that leave a mess, for every user alike.

tests/run has each of these by itself, and more of them; here they meet in one queue, and an ordinary user runs them too.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bad_inputs.places import HANDLER, Outcome, Place, a_place
from support.processes import is_alive, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bad_inputs.users import User
    from workqueue import Job

ROUGH = f"""{HANDLER}
import resource, signal, subprocess, sys

IGNORED = {{signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE}}

def rough(job):
    first = job.attempt == 1
    match job.payload:
        case "killed" if first:
            os.kill(os.getpid(), 9)
        case "killed with its group" if first:
            os.killpg(0, 9)
        case "stops itself" if first:
            os._exit(0)
        case "poison":
            os._exit(13)
        case "killed, leaves a program" if first:
            program = subprocess.Popen(["sleep", "600"], stderr=subprocess.DEVNULL)
            write({{"pid": program.pid, "uid": os.geteuid(), "body": ""}})
            os.kill(os.getpid(), 9)
        case "eats all memory":
            eat()
        case "closes everything":
            os.closerange(0, 1024)
        case "goes elsewhere":
            os.chdir("/")
        case "ignores signals":
            for number in IGNORED:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
        case "prints":
            for _ in range(1000):
                print("x" * 10_000)
    load(job)

def eat():
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (32 << 20), resource.RLIM_INFINITY))
    hoard = []
    while True:
        hoard.append(bytes(100) + b"x")
"""


class Kind(NamedTuple):
    """What a job does, and what is to become of it."""

    row: int
    name: str
    attempts: int
    deaths: int = 0
    is_done: bool = True


KINDS = [
    Kind(38, "eats all memory", 2, is_done=False),
    Kind(38, "killed", 2, deaths=1),
    Kind(39, "killed with its group", 2, deaths=1),
    Kind(39, "killed, leaves a program", 2, deaths=1),
    Kind(41, "poison", 2, deaths=2, is_done=False),
    Kind(41, "stops itself", 2),
    Kind(42, "closes everything", 1),
    Kind(42, "goes elsewhere", 1),
    Kind(42, "ignores signals", 1),
    Kind(42, "prints", 1),
]


class Mess:
    """All of it in one queue, worked off by one supervisor."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.write("etl.py", ROUGH)
        given = place.each([["submit", "--raw", kind.name] for kind in KINDS])
        self.ids = {kind.name: result.out.strip() for kind, result in zip(KINDS, given, strict=True)}
        self.outcome: Outcome = place.run("-H", "etl:rough", deaths=sum(kind.deaths for kind in KINDS))


@pytest.fixture(scope="module")
def mess(user: User) -> Iterator[Mess]:
    with a_place(user) as place:
        yield Mess(place)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.row} {kind.name}")
def test_a_bad_handler_costs_its_own_job_alone(mess: Mess, kind: Kind) -> None:
    runs = [run["attempt"] for run in mess.outcome.ran(kind.name.encode())]
    assert runs == ([kind.attempts] if kind.is_done else [])
    failed = [name for name in mess.place.names("failed") if mess.ids[kind.name] in name]
    assert [name[29:] for name in failed] == ([] if kind.is_done else [str(kind.attempts)])


def test_what_a_dead_run_left_running_is_dead(mess: Mess) -> None:
    [pid] = [run["pid"] for run in mess.outcome.runs if "pid" in run]
    assert not is_alive(pid)


def test_a_handlers_umask_hurts_no_later_job(place: Place) -> None:
    """What fsq writes for the next job has its own mode: an error record, a result, the file at `job.path`."""
    place.write(
        "etl.py",
        f"{HANDLER}\ndef handle(job):\n    open(job.path, 'rb').close()\n    load(job)\n    os.umask(0o777)\n"
        "    assert job.payload != 'fails'\n    return job.payload\n",
    )
    given = place.each([["submit", "--raw", text, "--keep", "1h", "--max-attempts", "1"] for text in ("fails", "kept")])
    fails, kept = (result.out.strip() for result in given)
    outcome = place.run("-H", "etl:handle", "-n", "1")
    assert sorted(run["body"] for run in outcome.runs) == ["after", "before", "fails", "kept"]
    result = place.fsq("show", fails)
    assert (result.status, "AssertionError" in result.out) == (0, True)
    result = place.fsq("show", kept)
    assert (result.status, "result" in result.out) == (0, True), result.err


def test_a_worker_that_is_stopped_keeps_its_job(place: Place) -> None:
    """SIGSTOP for longer than a neighbour takes to look for the dead."""

    def handle(job: Job) -> None:
        with place.diary.run(job):
            time.sleep(0.1)

    place.user.own_all(f"{place.where}/diary")
    with place.work(handle) as running:
        worker = place.running_pid()
        os.kill(worker, signal.SIGSTOP)
        with place.work(handle) as neighbour:
            neighbour.hears("started")
            place.submit_good("after", 9)
            neighbour.hears("finished")
            time.sleep(1.1)  # a sweep, and more
            assert place.diary.count("start") == 2
            os.kill(worker, signal.SIGCONT)
            running.hears("finished")
    place.diary.check_no_overlap()
    assert [line.attempt for line in place.diary.lines("end")] == [1, 1]


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "idle"),
        (signal.SIGTERM, "busy"),
        (signal.SIGTERM, "busy, twice"),
        (signal.SIGINT, "busy, twice"),
    ],
)
def test_a_worker_that_is_told_to_end_does_so_in_order(place: Place, number: signal.Signals, moment: str) -> None:
    """Exit 0; what runs may finish, or is given back at the second signal, and costs no attempt."""
    go = place.where / "go"

    def handle(job: Job) -> None:
        place.diary.note("start", job)
        until(go.exists, "the test says go")

    place.user.own_all(f"{place.where}/diary")
    if moment == "idle":
        go.touch()
    with place.work(handle) as running:
        place.running_pid()
        if moment == "idle":
            running.hears("finished")
        running.signal(number)
        if moment == "busy, twice":
            running.hears("stopping")
            running.signal(number)
        elif moment == "busy":
            running.hears("stopping")
            go.touch()
        assert running.wait() == 0
    assert "Traceback" not in running.err
    assert [name[28:] for name in place.names("new")] == (["-0"] if moment == "busy, twice" else [])
    assert place.names("cur") == []
