"""What a worker lives in goes away, or was never right: it says so in a line, and ends or goes on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import selectors
import shutil
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from support.processes import Running, python, until
from workqueue import Job, Producer, cli
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.run.events import log_to_stderr
from workqueue.run.handler import Handler
from workqueue.run.options import RunOptions
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.fsq import Fsq, Working


def start(fsq: Fsq) -> Working:
    """An idle worker by the command, with two processes."""
    fsq.write("etl.py", "def load(job):\n    pass\n")
    running = fsq.start("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "2")
    until(lambda: "2 workers" in running.err, "it has started")
    return running


def complains(running: Running) -> str:
    """The one line that a command ended with, exit 1."""
    assert running.wait() == 1
    lines = [line for line in running.err.splitlines() if " on default in " not in line]
    assert len(lines) == 1, running.err
    return lines[0]


def remove(path: str) -> None:
    """Remove a directory in one step: else the order in which its parts go would decide which of them is missed."""
    away = f"{os.path.dirname(path)}/.away"
    os.rename(path, away)
    shutil.rmtree(away)


def test_the_root_is_renamed_under_running_workers(fsq: Fsq) -> None:
    """The path counts, not the inode: an unmounted root looks like this."""
    running = start(fsq)
    os.rename(fsq.root, f"{fsq.root}-away")
    assert "not a queue root (not mounted?)" in complains(running)


def test_the_queue_is_removed_under_running_workers(fsq: Fsq) -> None:
    """Nothing is made anew behind the operator's back."""
    running = start(fsq)
    remove(f"{fsq.root}/default")
    assert f"{fsq.root}/default" in complains(running)
    assert not os.path.exists(f"{fsq.root}/default")


def test_the_root_is_removed_while_a_job_runs(fsq: Fsq) -> None:
    """The handler is ended with its worker; still one line."""
    Producer(fsq.root).submit(0)
    fsq.write("etl.py", "import time\ndef load(job):\n    open('started', 'x').close()\n    time.sleep(600)\n")
    running = fsq.start("-r", fsq.root, "worker", "--handler", "etl:load", "-n", "1")
    until((fsq.where / "started").exists, "the handler runs")
    remove(fsq.root)
    assert "not a queue root" in complains(running)


@contextlib.contextmanager
def immutable(path: str) -> Iterator[None]:
    """A file that not even root can rename, as chattr +i makes it; skips where that is impossible."""
    get, put, flag = 0x80086601, 0x40086602, 0x10
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("i", fcntl.ioctl(fd, get, b"\0" * 4))[0]
        fcntl.ioctl(fd, put, struct.pack("i", flags | flag))
    except OSError as error:
        os.close(fd)
        pytest.skip(f"no file can be made immutable here: {error.strerror}")
    try:
        yield
    finally:
        fcntl.ioctl(fd, put, struct.pack("i", flags))
        os.close(fd)


def test_what_cannot_be_claimed_stops_nobody(fsq: Fsq) -> None:
    """Told once, skipped, and a drain of the rest ends with exit 0; freed, it is run."""
    producer = Producer(fsq.root)
    stuck = producer.submit("stuck", priority=0)
    producer.submit_many(range(3), durable=False)
    with immutable(f"{fsq.root}/default/new/0-{stuck.id}-0"):
        running = fsq.drain(lambda job: fsq.diary.note("ran", job))
        assert running.summary["done"] == 3
        assert [event["name"] for event in running.events("unclaimable")] == [f"0-{stuck.id}-0"]
        assert fsq.names("new") == [f"0-{stuck.id}-0"]
    assert fsq.drain(lambda job: fsq.diary.note("ran", job)).summary["done"] == 1


class FlakyFs(UnsyncedFs):
    """Refuses to list cur/ once, each time that the file `flag` is there."""

    def __init__(self, flag: str) -> None:
        self._flag = flag

    def list(self, path: str) -> list[str]:
        if path.endswith("/cur") and os.path.exists(self._flag):
            os.unlink(self._flag)
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return super().list(path)


def test_a_disk_error_at_a_workers_burial_is_tried_again(fsq: Fsq) -> None:
    """The supervisor lives on, and the dead worker's job is recovered by a later look."""
    ref = Producer(fsq.root).submit(0)
    flag = f"{fsq.where}/flag"

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            with open(flag, "x"):
                os._exit(9)

    def supervise() -> int:
        log_to_stderr(as_json=True, verbose=True)
        engine = DirectoryEngine(Root(fsq.root, fs=FlakyFs(flag)))
        summary = Supervisor(engine, lambda: Handler.of(handle), RunOptions(("default",), 1, drain=True)).run()
        return 0 if summary.done == 1 else 1

    running = fsq.fork(supervise)
    assert running.wait() == 0, running.err
    assert running.events("trouble")[0]["text"].startswith("cannot look for work: Input/output error")
    assert [line.attempt for line in fsq.diary.lines("start")] == [1, 2]
    assert ref.state() is None


class DeathsFirst(selectors.DefaultSelector):
    """Tells of all that a worker's death makes ready at once; of its pidfd, a mere number here, before its socket."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if super().select(timeout):
            time.sleep(0.05)
        return sorted(super().select(0), key=lambda event: not isinstance(event[0].fileobj, int))


def test_what_is_left_to_hear_of_a_buried_worker_disturbs_nobody(fsq: Fsq) -> None:
    """Its socket is ready as well, and closed by then."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        if job.attempt == 1:
            os._exit(9)

    def supervise() -> int:
        options = RunOptions(("default",), 1, drain=True)
        engine = DirectoryEngine(Root(fsq.root))
        return Supervisor(engine, lambda: Handler.of(handle), options, selector=DeathsFirst()).run().done - 1

    running = fsq.fork(supervise)
    assert running.wait() == 0, running.err
    assert running.err == ""


def test_too_few_descriptors_are_an_error_in_one_line(fsq: Fsq) -> None:
    """Said at the start, with the remedy."""
    fsq.write("etl.py", "def load(job):\n    pass\n")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))
        python("-m", "workqueue", "-r", fsq.root, "worker", "--handler", "etl:load", "-n", "40")()

    running = fsq.fork(limited)
    assert running.wait() == 1
    [line] = running.err.splitlines()
    assert line.startswith("fsq: cannot ")
    assert "Too many open files" in line
    assert line.endswith("(raise the limit of open files (ulimit -n))")


def test_a_file_size_limit_loses_no_job(fsq: Fsq) -> None:
    """RLIMIT_FSIZE: not even an error record can be written; jobs are run and settled all the same."""
    ref = Producer(fsq.root).submit("fails", max_attempts=1)
    Producer(fsq.root).submit("fine")

    def handle(job: Job) -> None:
        if job.payload == "fails":
            raise ValueError("x" * 20_000)

    def limited() -> int:
        from workqueue import Worker

        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        Worker(fsq.root, handler=handle, processes=1).run(drain=True)
        return 0

    assert fsq.fork(limited).wait() == 0
    assert ref.state() == "failed"
    assert fsq.ls() == {"failed": 1}


@pytest.mark.parametrize("closed", [(0, 1, 2), (1, 2), (2,), (1,)])
def test_closed_streams_lose_no_job_and_get_no_queue_file(fsq: Fsq, closed: tuple[int, ...]) -> None:
    """``<&- >&- 2>&-``: what a handler prints goes nowhere, least of all into a file that got the number 1 or 2."""
    Producer(fsq.root).submit_many(range(3), durable=False)
    fsq.write(
        "etl.py",
        "import os\ndef load(job):\n    print('words')\n    os.write(1, b'words')\n    os.write(2, b'words')\n",
    )

    def deaf() -> None:
        for fd in closed:
            os.close(fd)
            setattr(sys, ("stdin", "stdout", "stderr")[fd], None)  # as the interpreter does where they are closed
        sys.argv = ["fsq", "-r", fsq.root, "worker", "--handler", "etl:load", "-n", "1", "--drain"]
        cli.main()

    assert fsq.fork(deaf).wait() == 0
    assert fsq.ls() == {}
    with open(f"{fsq.root}/.fsq/workers/0", "rb") as slot:
        assert b"words" not in slot.read()


def test_nobody_reads_standard_error(fsq: Fsq) -> None:
    """A pipe whose reader has gone: the log is lost, the work goes on."""
    Producer(fsq.root).submit_many(range(3), durable=False)
    fsq.write("etl.py", "def load(job):\n    pass\n")

    def unheard() -> None:
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 2)
        sys.argv = ["fsq", "-r", fsq.root, "worker", "--handler", "etl:load", "-n", "2", "--drain", "-v"]
        cli.main()

    assert fsq.fork(unheard).wait() == 0
    assert fsq.ls() == {}


def test_a_missing_space_is_made_again(fsq: Fsq) -> None:
    """tmp/ or done/ removed by a tidy hand: no job depends on it having been there."""
    os.rmdir(f"{fsq.root}/default/done")
    os.rmdir(f"{fsq.root}/default/held")
    ref = Producer(fsq.root).submit(0, keep="1h")
    fsq.drain(lambda _: None)
    assert ref.state() == "done"


def test_a_spurious_signal_does_not_disturb(fsq: Fsq) -> None:
    """SIGUSR1 is not ours: a program that does not handle it dies of it, and its jobs are recovered."""
    Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(600)

    assert fsq.drain(handle).summary["done"] == 1
    assert fsq.diary.count("start") == 2
