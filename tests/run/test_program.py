"""--exec: a program is the handler; what it gets, and what its end means."""

from __future__ import annotations

import linecache
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import command_of, descendants, end_descendants, has_children, is_alive, until
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.errors import HandlerNotFound, Interrupted
from workqueue.run.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from support.fsq import Fsq, Working


def execute(fsq: Fsq, program: str, **options: Any) -> Working:
    """Drain with a program as the handler."""
    return fsq.drain(None, program=program, **options)


def test_the_payload_is_its_standard_input(fsq: Fsq) -> None:
    """Just the payload, not the line of options before it; its output is the worker's."""
    Producer(fsq.root).submit({"n": 1})
    assert execute(fsq, "cat").out.startswith('{"n":1}')


def test_a_large_payload_is_its_standard_input_too(fsq: Fsq) -> None:
    """Read from the file, at the payload's beginning."""
    Producer(fsq.root).submit(b"x" * 1_000_000)
    assert execute(fsq, "wc -c").out.split()[0] == "1000000"


def test_path_is_a_file_that_holds_just_the_payload(fsq: Fsq) -> None:
    """{path} and the others are filled in, in any word; a file's own braces are left alone."""
    ref = Producer(fsq.root).submit(b"a\nb\n", label="two lines.txt")
    running = execute(fsq, "sh -c 'wc -l <\"$0\"; echo $1 {} ${FSQ_ID}' {path} {id}/{queue}/{attempt}/{label}")
    count, words, *_ = running.out.splitlines()
    assert int(count) == 2
    assert words == f"{ref.id}/default/1/two_lines.txt {{}} {ref.id}"
    assert os.listdir(f"{fsq.root}/.fsq/stage") == []


def test_a_payload_is_never_code(fsq: Fsq) -> None:
    """No shell runs the command: a label or a payload stays one word."""
    Producer(fsq.root).submit("$(touch hacked); `touch hacked`", label="; touch hacked")
    assert execute(fsq, "echo {label} {path}").out.startswith("__touch_hacked /")
    assert not (fsq.where / "hacked").exists()


def test_the_environment_tells_of_the_job(fsq: Fsq) -> None:
    """FSQ_… beside what the worker itself has; FSQ_ROOT lets `fsq submit` in it find the way."""
    ref = Producer(fsq.root).submit(0, label="july", priority=2)
    found = dict(line.split("=", 1) for line in execute(fsq, "env").out.splitlines() if "=" in line)
    wanted = {
        "FSQ_ID": ref.id, "FSQ_QUEUE": "default", "FSQ_ATTEMPT": "1", "FSQ_LABEL": "july",
        "FSQ_PRIORITY": "2", "FSQ_ROOT": fsq.root, "HOME": str(fsq.where),
    }  # fmt: skip
    assert found.items() >= wanted.items()


@pytest.mark.parametrize(
    ("end", "attempts", "kind", "message"),
    [
        ("exit 75", 2, "retry", "exit status 75: last words"),
        ("exit 111", 2, "retry", "exit status 111: last words"),
        ("exit 65", 1, "rejected", "exit status 65: last words"),
        ("exit 100", 1, "rejected", "exit status 100: last words"),
        ("exit 1", 2, "exit", "exit status 1: last words"),
        ("exit 3", 2, "exit", "exit status 3: last words"),
        ("kill -9 $$", 2, "exit", "killed by SIGKILL: last words"),
        ("kill -40 $$", 2, "exit", "killed by signal 40: last words"),
    ],
)
def test_its_exit_status_is_the_verdict(fsq: Fsq, end: str, attempts: int, kind: str, message: str) -> None:
    """Again for 75, 111, a signal and any other; failed now for 65 and 100; stderr's end is kept and passed on."""
    ref = Producer(fsq.root).submit(0, max_attempts=2)
    running = execute(fsq, f"sh -c 'echo first words >&2; echo last words >&2; {end}'", backoff="1ms")
    assert ref.state() == "failed"
    errors = fsq.errors(ref.id)
    assert [error["attempt"] for error in errors] == list(range(1, attempts + 1))
    assert errors[-1]["kind"] == kind
    assert errors[-1]["message"].startswith(message)
    assert "first words\nlast words" in errors[-1]["message"]
    assert "first words\nlast words\n" in running.err
    assert running.summary["failed"] == 1


def test_exit_0_is_done_whatever_it_says(fsq: Fsq) -> None:
    """Words on stderr are no failure."""
    Producer(fsq.root).submit(0)
    assert execute(fsq, "sh -c 'echo careful >&2'").summary["done"] == 1


def test_a_daemon_that_keeps_the_pipe_is_not_waited_for(fsq: Fsq) -> None:
    """The program's end counts, not that of what it left; what it left is ended with its worker."""
    ref = Producer(fsq.root).submit(0, max_attempts=1)
    start = time.monotonic()
    running = execute(fsq, "sh -c 'sleep 600 & echo $! >pid; echo last >&2; exit 65'")
    assert time.monotonic() - start < 15
    assert ref.state() == "failed"
    assert fsq.errors(ref.id)[0]["message"].startswith("exit status 65: last")
    assert running.summary["failed"] == 1
    assert not is_alive(int((fsq.where / "pid").read_text()))


def test_twenty_megabytes_on_stderr_pass_through(fsq: Fsq) -> None:
    """Nothing is held but the last words, and the program is not blocked."""
    Producer(fsq.root).submit(0, max_attempts=1)
    code = "import sys; [sys.stderr.write('x' * 999 + chr(10)) for _ in range(20_000)]; sys.exit('the end')"
    running = execute(fsq, f'{sys.executable} -c "{code}"')
    assert len(running.err) > 20_000_000
    [ref] = fsq.names("failed")
    message = fsq.errors(ref.split("-")[1])[0]["message"]
    assert message.startswith("exit status 1: the end\n")
    assert len(message) < 5000


def test_a_program_without_words_is_recorded_by_its_status(fsq: Fsq) -> None:
    """Nothing on stderr, or bytes that are no text."""
    silent, noisy = (
        Producer(fsq.root).submit(text, max_attempts=1) for text in ("exit 9", "printf '\\377\\n' >&2; exit 8")
    )
    execute(fsq, "sh {path}")
    assert fsq.errors(silent.id)[0]["message"] == "exit status 9"
    assert fsq.errors(noisy.id)[0]["message"].startswith("exit status 8: �")


def test_a_program_that_vanished_fails_the_job_not_the_worker(fsq: Fsq) -> None:
    """Removed between the worker's start and the job's: an error like any other."""
    path = fsq.write("tool", "#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o700)
    ref = Producer(fsq.root).submit(0, max_attempts=1)

    def program(*_: object) -> int:
        from workqueue import Worker

        worker = Worker(fsq.root, program=path, processes=1)
        loader = worker._loader()
        os.unlink(path)
        worker._loader = lambda: loader  # type: ignore[method-assign]
        worker.run(drain=True)
        return 0

    assert fsq.fork(program).wait() == 0
    assert fsq.errors(ref.id)[0]["type"] == "FileNotFoundError"


def test_a_program_that_is_stopped_at_its_time_is_terminated(fsq: Fsq) -> None:
    """SIGTERM first: it may clean up; the attempt is recorded as timed out."""
    ref = Producer(fsq.root).submit(0, max_attempts=1, timeout="1s")
    execute(fsq, "sh -c 'trap \"echo cleaned >marks; exit 0\" TERM; while :; do sleep 0.05; done'")
    assert (fsq.where / "marks").read_text() == "cleaned\n"
    assert [(e["kind"], e["message"]) for e in fsq.errors(ref.id)] == [("timeout", "timed out after 1 s")]


def test_a_program_that_ignores_sigterm_is_killed(fsq: Fsq) -> None:
    """When the grace is over; with all that it started."""
    ref = Producer(fsq.root).submit(0, max_attempts=1, timeout="0.2s")
    execute(fsq, "sh -c 'trap \"\" TERM; echo $$ >pid; while :; do sleep 0.05; done'", grace="0.3s")
    assert fsq.errors(ref.id)[0]["kind"] == "timeout"
    assert not is_alive(int((fsq.where / "pid").read_text()))


def test_a_program_ends_with_its_worker(fsq: Fsq) -> None:
    """kill -9 of the worker: what it ran is ended before anybody else gets the job."""
    Producer(fsq.root).submit(0, timeout="1h")
    with fsq.work(None, program="sh -c 'echo $$ $PPID {attempt} >>pids; exec sleep 600'") as running:
        until(lambda: (fsq.where / "pids").exists() and (fsq.where / "pids").read_text(), "the program runs")
        first, worker, _ = (fsq.where / "pids").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: len((fsq.where / "pids").read_text().split()) == 6, "it runs again")
        assert not is_alive(int(first))
        assert (fsq.where / "pids").read_text().split()[5] == "2"
        running.signal(signal.SIGTERM)


def claimed(producer: Producer) -> Job:
    """A job, as a handler gets it."""
    engine = DirectoryEngine(Root(producer.root))
    claim = engine.take("default", f"5-{producer.submit(0).id}-0", 1)
    assert isinstance(claim, Claim)
    return Job(engine, claim)


def test_an_interruption_at_any_step_leaves_no_program(producer: Producer) -> None:
    """Also in the middle of its start: else what was cancelled or timed out would go on, unseen, beside the next run."""
    job = claimed(producer)
    program = Program("sleep 600")
    former = signal.getsignal(signal.SIGTERM)
    steps, line = 0, ""
    try:
        while "poller.poll(" not in line:  # there it waits for the program
            steps += 1
            line = interrupted_at(steps, lambda: program(job))
            assert not has_children(), f"interrupted at {line!r}: {[command_of(pid) for pid in descendants()]}"
    finally:
        end_descendants()
        signal.signal(signal.SIGTERM, former)
    assert steps > 100


def test_a_signal_that_comes_just_before_the_wait_is_not_lost(producer: Producer) -> None:
    """Such a one does not end the wait; nor does one that another thread gets, which can be done on purpose."""
    job = claimed(producer)

    def on_term(*_: object) -> None:
        raise Interrupted("cancelled")

    def kill() -> None:
        until(has_children, "the program runs")
        time.sleep(0.1)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    former = signal.signal(signal.SIGTERM, on_term)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(Interrupted):
            Program("sleep 600")(job)
    finally:
        signal.signal(signal.SIGTERM, former)
        killer.join()
    assert not has_children()


def interrupted_at(step: int, action: Callable[[], object]) -> str:
    """Send SIGTERM, as a worker gets it, at the n-th line of what starts a program; returns that line."""
    count, found = 0, ""

    def on_term(*_: object) -> None:
        raise Interrupted("cancelled")

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal count, found
        if os.path.basename(frame.f_code.co_filename) not in {"subprocess.py", "program.py", "signals.py"}:
            return None
        count += event == "line"
        if count == step and not found:
            found = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            signal.raise_signal(signal.SIGTERM)
        return trace

    signal.signal(signal.SIGTERM, on_term)
    former = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(Interrupted):
            action()
    finally:
        sys.settrace(former)
    assert signal.getsignal(signal.SIGTERM) is on_term
    assert found, f"there are only {count} lines"
    return found


def test_a_program_that_is_stopped_may_tell_of_it(fsq: Fsq) -> None:
    """Its standard error is read until it has ended: it must not die of a broken pipe while it cleans up."""
    Producer(fsq.root).submit(0, max_attempts=1, timeout="1s")
    tidy = "echo cleaning up >&2; echo cleaned >marks; exit 0"
    running = execute(fsq, f"sh -c 'trap \"{tidy}\" TERM; while :; do sleep 0.05; done'")
    assert "cleaning up\n" in running.err
    assert (fsq.where / "marks").read_text() == "cleaned\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "no command given"),
        ("'unclosed", "No closing quotation"),
        ("no-such-program-anywhere {path}", "no program 'no-such-program-anywhere' on PATH, or not executable"),
        ("/etc/passwd", "not executable"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_at_once(command: str, message: str) -> None:
    """Before any job pays for it."""
    with pytest.raises(HandlerNotFound, match=message):
        Program(command)
