"""The crew: workers are replaced, recycled, limited in memory, and only killed for the run that was meant."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.processes import descendants, is_alive, state_of, until
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.engine.slots import acquire
from workqueue.run import wire
from workqueue.run.board import COUNTS, Board
from workqueue.run.crew import LAST_DELAY, Crew, Doom, Member, how
from workqueue.run.handler import Handler
from workqueue.run.options import RunOptions
from workqueue.run.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.fsq import Fsq


@pytest.fixture
def member(root: str) -> Iterator[Member]:
    """A worker process that does nothing, with a board."""
    slot = acquire(Root(root))
    assert slot is not None
    ours, theirs = wire.pair()
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    found = Member(pid, os.pidfd_open(pid), ours, slot, Board())
    yield found
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for end in (ours, theirs, slot):
        end.close()
    os.close(found.pidfd)
    found.board.close()


def test_a_worker_in_the_next_run_is_let_go_on(member: Member) -> None:
    """It ended the job just at its deadline: stopped, looked at, and continued."""
    member.board.start("default", "A" * 26, 1)
    meant = member.board.running()
    assert meant is not None
    member.board.end()
    member.board.start("default", "B" * 26, 1)
    assert not member.kill_if_in(meant.run)
    until(lambda: state_of(member.pid) == "S", "it goes on")


def test_a_worker_between_runs_is_let_go_on(member: Member) -> None:
    """Nothing runs, so nothing is ended."""
    member.board.start("default", "A" * 26, 1)
    member.board.end()
    assert not member.kill_if_in(1)
    until(lambda: state_of(member.pid) == "S", "it goes on")


def test_a_worker_in_the_run_that_is_meant_is_killed(member: Member) -> None:
    """Stopped first, so that it cannot end the run between the look and the kill."""
    member.board.start("default", "A" * 26, 1)
    running = member.board.running()
    assert running is not None
    assert member.kill_if_in(running.run)
    until(lambda: not is_alive(member.pid), "it dies")


def test_without_a_run_whatever_it_does_is_ended(member: Member) -> None:
    """A stop that is in a hurry; a stopped worker dies as well."""
    os.kill(member.pid, signal.SIGSTOP)
    member.kill()
    until(lambda: not is_alive(member.pid), "it dies")


def test_to_kill_the_dead_is_no_error(member: Member) -> None:
    """It died between the look and the order."""
    os.kill(member.pid, signal.SIGKILL)
    until(lambda: not is_alive(member.pid), "it dies")
    member.kill_if_in(1)
    member.kill()
    member.interrupt(Doom("cancel", "cancelled", 1, 0.0))


def test_workers_that_die_at_once_are_replaced_ever_later(root: str) -> None:
    """The first three again at once, then from 0.1 s up to half a minute."""
    crew = Crew(DirectoryEngine(Root(root)), lambda: Handler.of(print), None, lambda: None)
    delays = []
    for deaths in range(30):
        crew.quick_deaths = deaths
        delays.append(crew.delay())
    assert delays[:6] == [0, 0, 0, 0.1, 0.2, 0.4]
    assert delays == sorted(delays)
    assert delays[-1] == LAST_DELAY


def test_a_handler_that_kills_at_import_is_not_tried_all_the_time(fsq: Fsq) -> None:
    """No fork storm: a few deaths in the first second, then fewer; SIGTERM still ends it at once."""
    fsq.write("deadly.py", "import os\nos._exit(9)\n")
    with fsq.work(f"{fsq.where}/deadly.py:load", processes=2) as running:
        running.hears("worker died", 4)
        time.sleep(0.5)
        assert len(running.events("worker died")) < 10
        assert running.events("worker died")[0]["how"] == "exit status 9"


def test_workers_that_cannot_import_their_handler_end_the_command(fsq: Fsq) -> None:
    """No replacement could either: exit 1 with the reason, and the job is not touched."""
    ref = Producer(fsq.root).submit(0)
    running = fsq.work("nowhere:load", processes=2)
    assert running.wait() == 1
    assert "no module named 'nowhere'" in running.hears("trouble")["text"]
    assert running.summary["error"] == "the workers cannot import the handler"
    assert fsq.names("new") == [f"5-{ref.id}-0"]


def test_workers_are_recycled_after_so_many_jobs(fsq: Fsq) -> None:
    """--max-jobs: against handlers that leak; no job is lost or charged twice."""
    Producer(fsq.root).submit_many(range(10), durable=False)
    running = fsq.drain(lambda job: fsq.diary.note("start", job), max_jobs=3)
    runs: dict[int, int] = {}
    for line in fsq.diary.lines("start"):
        runs[line.pid] = runs.get(line.pid, 0) + 1
    assert list(runs.values()) == [3, 3, 3, 1]
    assert running.summary["done"] == running.summary["attempts"] == 10
    assert running.events("worker died") == []


def test_a_run_over_the_memory_limit_is_ended_and_recorded(fsq: Fsq) -> None:
    """After the grace time; tried again by the backoff, in a fresh worker."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        hoard = b"x" * (300 << 20)
        time.sleep(600)
        del hoard

    running = fsq.drain(handle, max_rss="250M", grace="0.1s")
    assert ref.state() == "failed"
    [error] = fsq.errors(ref.id)
    assert error["kind"] == "memory"
    assert error["message"].startswith("used ")
    assert error["message"].endswith(" MiB, the limit is 250.0 MiB")
    assert running.events("worker died") == []


def test_a_run_over_the_memory_limit_may_end_within_the_grace(fsq: Fsq) -> None:
    """Its job is done; only the worker is replaced, so that its memory is given back. What it started counts too."""
    producer = Producer(fsq.root)
    producer.submit("hoards")
    go = fsq.where / "go"

    def handle(job: Job) -> None:
        with fsq.diary.run(job):
            if job.payload == "hoards":
                child = os.fork()
                if child == 0:
                    hoard = b"x" * (300 << 20)
                    time.sleep(600)
                    del hoard
                until(go.exists, "the test says go")
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    with fsq.work(handle, max_rss="250M", grace="1h") as running:
        first = fsq.running_pid()
        time.sleep(1.2)  # a sweep, and more
        go.touch()
        running.hears("finished")
        producer.submit("lean")
        assert fsq.running_pid(2) != first
        running.hears("finished", 2)
    assert running.summary["done"] == 2


def test_fewer_slots_than_workers(tmp_path: str, fsq: Fsq) -> None:
    """One worker is enough to go on; none is an error that says what to do."""
    fsq.root = f"{tmp_path}/small"
    init(fsq.root, slots=1)
    with fsq.work(lambda _: None, processes=2) as running:
        assert running.hears("started")["message"].startswith("1 worker")
        [trouble] = running.events("trouble")
        assert "all 1 worker slots are in use" in trouble["text"]
        result = fsq("-r", fsq.root, "worker", "--exec", "cat", "-n", "1")
        assert result.status == 1
        assert f"fsq init --slots 2 {fsq.root}" in result.err
        assert len(result.err.splitlines()) == 1
        assert fsq("init", "--slots", "2", fsq.root).status == 0
        assert fsq("-r", fsq.root, "worker", "--exec", "cat", "-n", "1", "--drain").status == 0
        Producer(fsq.root).submit(1)
        running.hears("finished")


def test_an_idle_worker_costs_nothing(fsq: Fsq) -> None:
    """Supervisor and workers sleep: a loop that turns for nothing would use most of a core."""
    with fsq.work(lambda _: None, processes=2) as running:
        running.hears("started")
        pids = [running.pid, *descendants(running.pid)]
        time.sleep(0.2)
        before = sum(map(ticks, pids))
        time.sleep(0.7)
        used = (sum(map(ticks, pids)) - before) / os.sysconf("SC_CLK_TCK")
    assert used < 0.2


def ticks(pid: int) -> int:
    """Processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_how_a_process_ended_in_words() -> None:
    assert [how(0), how(3), how(-9), how(-40)] == ["exit status 0", "exit status 3", "SIGKILL", "signal 40"]


def test_the_crew_is_as_large_as_asked_or_as_the_cores_allow() -> None:
    assert RunOptions(("default",), 3).crew_size == 3
    assert RunOptions(("default",)).crew_size == len(os.sched_getaffinity(0))


def test_the_board_tells_of_a_run() -> None:
    """Which job runs, since when and until when; what has ended; and the mean time of a job."""
    board = Board()
    assert board.running() is None
    assert board.mean_ns() is None
    board.start("load", "01JD8Z7Q4M9X3V2T6B1C0N5KEY", 2.0)
    running = board.running()
    assert running is not None
    assert (running.queue, running.id) == ("load", "01JD8Z7Q4M9X3V2T6B1C0N5KEY")
    assert running.limit_ns - running.started_ns == 2_000_000_000
    assert board.is_in(running.run)
    assert board.seconds() < 1
    board.end()
    assert board.running() is None
    assert not board.is_in(running.run)
    assert board.mean_ns() is not None
    board.start("load", "01JD8Z7Q4M9X3V2T6B1C0N5KEY", None)
    second = board.running()
    assert second is not None
    assert (second.limit_ns, board.limit(), second.run != running.run) == (0, 0, True)
    board.count(COUNTS.index("done"))
    assert board.counts() == {**dict.fromkeys(COUNTS, 0), "done": 1, "attempts": 1}
    board.close()


def test_packets_keep_their_bounds_and_tell_of_the_end() -> None:
    """Words may be any file names; a dead or closed end is an answer, no exception."""
    ours, theirs = wire.pair()
    assert wire.receive(ours, wait=False) is None
    odd = os.fsdecode(b"\xff name\n")
    assert wire.send(theirs, "N", "default", odd, "")
    assert wire.send(theirs, "S")
    assert wire.receive(ours) == wire.Packet("N", ("default", odd, ""))
    assert wire.receive(ours) == wire.Packet("S")
    theirs.close()
    assert wire.receive(ours) is None
    assert not wire.send(ours, "+")
    ours.close()
    assert wire.receive(ours) is None
    assert not wire.send(ours, "+")


def test_a_signal_to_the_group_during_a_fork_reaches_the_supervisor_once(root: str) -> None:
    """The child shares the supervisor's descriptor until it has closed it: a second copy would end all at once."""
    with Signals() as signals:

        def forget() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            signals.forget()

        crew = Crew(DirectoryEngine(Root(root)), lambda: Handler.of(print), None, forget)
        member = crew.hire(lambda _: None)
        assert wire.receive(member.link) == wire.Packet("+"), "the worker lives, and asks"
        assert list(signals.read()) == []
        member.stop()
        os.waitid(os.P_PIDFD, member.pidfd, os.WEXITED | os.WNOWAIT)
        crew.bury(member)
