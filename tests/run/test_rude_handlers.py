"""Handlers that behave badly: their job pays for it, the worker and the other jobs do not."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import is_alive, until
from workqueue import Job, Producer
from workqueue.engine.root import Root
from workqueue.engine.slots import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fsq import Fsq


def first_is_rude(fsq: Fsq, be_rude: Callable[[Job], Any], **options: Any) -> Any:
    """Run two jobs in one worker, the first badly, the second well; returns the finished supervisor."""
    producer = Producer(fsq.root)
    producer.submit("rude", max_attempts=1)
    producer.submit("polite", max_attempts=1)

    def handle(job: Job) -> Any:
        fsq.diary.note("start", job)
        return be_rude(job) if job.payload == "rude" else fsq.diary.note("polite", job)

    running = fsq.drain(handle, **options)
    assert fsq.diary.count("polite") == 1
    return running


def rude_id(fsq: Fsq) -> str:
    """The id of the job that ran first."""
    return fsq.diary.lines("start")[0].job


class Own(BaseException):
    """No Exception."""


class Unspeakable(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def deep(_: Job) -> None:
    def again(n: int) -> int:
        return again(n + 1) + 1

    again(0)


def hungry(_: Job) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, hard))
    try:
        bytearray(4 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def raises(error: BaseException) -> Callable[[Job], None]:
    def handle(_: Job) -> None:
        raise error

    return handle


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        (raises(Own("mine")), "Own", "mine"),
        (raises(KeyboardInterrupt()), "KeyboardInterrupt", ""),
        (raises(SystemExit(7)), "SystemExit", "7"),
        (raises(GeneratorExit()), "GeneratorExit", ""),
        (raises(ValueError("x" * 1_000_000)), "ValueError", "x" * 20_000),
        (raises(ValueError("two\nlines\x1b[31m")), "ValueError", "two\nlines\x1b[31m"),
        (raises(ValueError("no text: \udcff")), "ValueError", "no text: \\udcff"),
        (raises(Unspeakable()), "Unspeakable", "(its text cannot be had: RuntimeError)"),
        (
            raises(ExceptionGroup("several", [ValueError(1), OSError(2)])),
            "ExceptionGroup",
            "several (2 sub-exceptions)",
        ),
        (deep, "RecursionError", "maximum recursion depth exceeded"),
        (hungry, "MemoryError", ""),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:20],
)
def test_whatever_it_raises_is_recorded_and_the_worker_lives(
    fsq: Fsq, handler: Callable[[Job], None], kind: str, message: str
) -> None:
    """Every exception is the job's; the same process runs the next job."""
    running = first_is_rude(fsq, handler)
    assert (running.summary["done"], running.summary["failed"]) == (1, 1)
    assert len({line.pid for line in fsq.diary.lines("start")}) == 1
    [error] = fsq.errors(rude_id(fsq))
    assert error["type"] == kind
    assert error["message"].startswith(message)
    assert len(error["message"]) + len(error.get("traceback", "")) < 45_000
    assert all(line.startswith("{") for line in running.err.splitlines()), running.err


def test_a_traceback_begins_in_the_handler(fsq: Fsq) -> None:
    """The frames of fsq tell the user nothing."""
    first_is_rude(fsq, deep)
    text = fsq.errors(rude_id(fsq))[0]["traceback"]
    assert text.startswith("Traceback (most recent call last):\n")
    assert f"{os.sep}workqueue{os.sep}run{os.sep}" not in text
    assert "test_rude_handlers.py" in text


def test_os_exit_is_a_death(fsq: Fsq) -> None:
    """Recorded with the status; the next job gets a fresh worker."""
    running = first_is_rude(fsq, lambda _: os._exit(3))
    assert fsq.errors(rude_id(fsq))[0]["message"] == "its worker died (exit status 3)"
    assert running.summary["failed"] == running.summary["done"] == 1


def test_os_exit_0_is_no_success(fsq: Fsq) -> None:
    """A process that ends before its handler returned has not done the job."""
    first_is_rude(fsq, lambda _: os._exit(0))
    assert fsq.errors(rude_id(fsq))[0]["kind"] == "death"


@pytest.mark.parametrize("end", ["returns", "raises"])
def test_a_child_that_leaves_the_handler_settles_nothing(fsq: Fsq, end: str) -> None:
    """Forked, and let run into our code: it ends there; the job is its parent's, which is still at it."""

    def fork(_: Job) -> None:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            assert len(fsq.names("cur")) == 1
        elif end == "raises":
            raise ValueError("in the child")

    running = first_is_rude(fsq, fork)
    assert running.summary["done"] == 2
    worker = fsq.diary.lines("start")[0].pid
    told = [event for event in running.events() if event["event"] in {"finished", "failed", "retried", "vanished"}]
    assert [(event["event"], event["pid"]) for event in told] == [("finished", worker)] * 2


def test_what_a_dead_run_started_is_ended_before_the_next(fsq: Fsq) -> None:
    """A child that writes on would spoil the next attempt's work: it is killed first, then the job moves on."""
    out = fsq.where / "out"
    script = f"echo $$ >{fsq.where}/pid; while :; do echo x >>{out}; sleep 0.005; done"
    ref = Producer(fsq.root).submit(0)

    def handle(job: Job) -> None:
        if job.attempt == 1:
            subprocess.Popen(["sh", "-c", script])
            until(lambda: out.exists() and out.stat().st_size > 4, "the child writes")
            os.kill(os.getpid(), signal.SIGKILL)
        before = out.stat().st_size
        time.sleep(0.1)
        assert out.stat().st_size == before

    running = fsq.drain(handle)
    assert running.summary["done"] == 1, fsq.errors(ref.id)
    assert not is_alive(int((fsq.where / "pid").read_text()))


def test_what_a_run_leaves_behind_ends_with_its_worker(fsq: Fsq) -> None:
    """A background process in the worker's session may outlive the job, but not the worker."""

    def handle(_: Job) -> None:
        child = subprocess.Popen(["sleep", "600"])
        (fsq.where / "pid").write_text(str(child.pid))
        child.returncode = 0  # so that Popen does not complain that it still runs

    first_is_rude(fsq, handle)
    assert not is_alive(int((fsq.where / "pid").read_text()))


def test_a_daemon_does_not_hold_the_slot(fsq: Fsq) -> None:
    """It left the session and lives on; but the worker's lock is not its own, and the slot is free."""

    def handle(_: Job) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            (fsq.where / "pid").write_text(str(os.getpid()))
            time.sleep(600)
        until((fsq.where / "pid").exists, "the daemon has started")

    first_is_rude(fsq, handle)
    until((fsq.where / "pid").read_text, "the daemon has written its pid")
    daemon = int((fsq.where / "pid").read_text())
    assert is_alive(daemon)
    slot = try_lock(Root(fsq.root), 0)
    assert slot is not None
    slot.close()
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("lowest", [0, 3])
def test_closing_every_descriptor_costs_no_job(fsq: Fsq, lowest: int) -> None:
    """The job is settled, the slot stays locked by the supervisor, and the next job gets a worker that can hear."""
    running = first_is_rude(fsq, lambda _: os.closerange(lowest, 1024))
    assert running.summary["done"] == 2
    assert running.summary["attempts"] == 2


def test_the_next_job_is_settled_in_a_changed_world(fsq: Fsq) -> None:
    """Working directory, umask, environment and signal handlers are the process's: what fsq does must not hang on them."""

    def handle(_: Job) -> None:
        os.chdir("/")
        os.umask(0o777)
        os.environ.clear()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)

    summary = first_is_rude(fsq, handle).summary
    assert (summary["done"], summary["attempts"]) == (2, 2)


def test_a_relative_root_survives_chdir(fsq: Fsq) -> None:
    """The root's path is made absolute before any handler runs."""
    fsq.root = os.path.basename(fsq.root)
    producer = Producer(fsq.where / fsq.root)
    producer.submit_many(range(3), max_attempts=1, durable=False)
    running = fsq.drain(lambda _: os.chdir("/"))
    assert running.summary["done"] == 3


def test_printing_a_lot_is_no_problem(fsq: Fsq) -> None:
    """Standard output passes through, whole."""

    def handle(_: Job) -> None:
        for _n in range(10_000):
            print("x" * 1023)

    running = first_is_rude(fsq, handle)
    assert running.out.count("x") == 10_000 * 1023


def test_reading_standard_input_gives_nothing(fsq: Fsq) -> None:
    """It must not eat what the terminal or the supervisor has there."""
    Producer(fsq.root).submit(0, max_attempts=1)
    fsq.write("etl.py", "import os\ndef load(job):\n    assert os.read(0, 10) == b''\n")
    result = fsq("-r", fsq.root, "worker", "-H", "etl:load", "--drain", stdin=b"precious")
    assert result.status == 0, result.err


def test_a_handler_that_removes_its_own_file_is_told_of(fsq: Fsq) -> None:
    """The job is gone by its own hand; nobody takes it for done, and the worker goes on."""
    producer = Producer(fsq.root)
    producer.submit(file=fsq.write("data", "1"), mode="move")
    producer.submit(file=fsq.write("data", "2"), mode="move")
    running = fsq.drain(lambda job: os.unlink(job.path))
    assert len(running.events("vanished")) == 2
    assert running.summary["done"] == 0


def test_a_payload_that_cannot_be_decoded_goes_to_corrupt(fsq: Fsq) -> None:
    """The handler that asked for it is not to blame; the bytes are kept."""
    producer = Producer(fsq.root)
    producer.submit("polite")
    with open(f"{fsq.root}/default/new/5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0", "wb") as file:
        file.write(b'{"fsq":1}\n{"torn":')
    running = fsq.drain(lambda job: job.payload)
    assert running.summary["corrupt"] == running.summary["done"] == 1
    assert "the payload is no json" in running.events("corrupted")[0]["reason"]
    [name] = fsq.names("corrupt")
    with open(f"{fsq.root}/default/corrupt/{name}", "rb") as file:
        assert file.read() == b'{"fsq":1}\n{"torn":'


def test_strangers_in_new_are_moved_aside(fsq: Fsq) -> None:
    """Directories, fifos, links: quarantined with a reason, never followed, opened or waited for; good jobs run."""
    new = f"{fsq.root}/default/new"
    secret = fsq.write("secret", "untouched")
    os.mkdir(f"{new}/directory")
    os.mkfifo(f"{new}/fifo")
    os.symlink(secret, f"{new}/link")
    with open(f"{new}/.hidden", "w"), open(f"{new}/bare file", "w") as bare:
        bare.write("words")
    Producer(fsq.root).submit("good")
    running = fsq.work(lambda job: fsq.diary.note("ran", job), drain=True)
    assert running.wait() == 0
    assert running.summary["corrupt"] == 3
    assert running.summary["done"] == 2
    assert sorted(event["reason"] for event in running.events("corrupted")) == [
        "a directory, not a file",
        "a fifo, not a file",
        "a symbolic link, not a file",
    ]
    assert os.listdir(new) == [".hidden"]
    assert (fsq.where / "secret").read_text() == "untouched"
