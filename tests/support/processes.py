"""Real processes for tests: forked, each in a session of its own, with its output in files; none outlives its test.

While a test runs, its process is the "subreaper" of all that descends from it: whatever loses its parent, a worker or
a daemon of a handler, becomes a child of the test, and so is found, ended and reported.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import termios
import time
import traceback
from typing import TYPE_CHECKING, NoReturn, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PATIENCE = 20.0
"""Seconds: a wait that lasts longer fails the test."""
FAREWELL = 3.0
"""Seconds for what was told to end before the test did."""
PR_SET_CHILD_SUBREAPER = 36


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Look again and again until `condition` holds; fails when that takes too long."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.003)


class Running:
    """A process that a test started: `action` runs in it, and what it returns is its exit status."""

    def __init__(
        self,
        action: Callable[[], object],
        where: Path,
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        terminal: int | None = None,
    ) -> None:
        where.mkdir(exist_ok=True)
        number = len(os.listdir(where)) // 2
        self._out, self._err = where / f"{number}.out", where / f"{number}.err"
        self._out.touch()
        self._err.touch()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                os.setsid()
                self._connect(stdin, terminal)
                os.environ.update(env or {})
                os.chdir(cwd or os.getcwd())
            _run(action)

    def _connect(self, stdin: bytes, terminal: int | None) -> None:
        """Become a process of its own, as far as a program can see that."""
        if terminal is None:
            given = os.memfd_create("stdin")
            os.write(given, stdin)
            os.lseek(given, 0, os.SEEK_SET)
            ends = [given, os.open(self._out, os.O_WRONLY | os.O_APPEND), os.open(self._err, os.O_WRONLY | os.O_APPEND)]
        else:
            ends = [terminal] * 3
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for fd, end in enumerate(ends):
            os.dup2(end, fd)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)

    @property
    def out(self) -> str:
        """What it wrote to standard output so far."""
        return self._out.read_bytes().decode("utf-8", "surrogateescape")

    @property
    def err(self) -> str:
        """What it wrote to standard error so far."""
        return self._err.read_bytes().decode("utf-8", "surrogateescape")

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait until it has ended; its exit status, or the signal's number below 0."""
        end = time.monotonic() + patience
        while not self.has_ended():
            assert time.monotonic() < end, f"does not end: {self.pid}; it said:\n{self.out[-2000:]}{self.err[-4000:]}"
            time.sleep(0.003)
        assert self._status is not None
        return self._status

    def has_ended(self) -> bool:
        """Whether it is dead; does not wait."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        assert not self.has_ended(), self.err
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to it alone, and wait until it is dead."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def stop(self) -> int:
        """SIGTERM, and once more if it takes its time, until it ends; its exit status."""
        end = time.monotonic() + PATIENCE
        while not self.has_ended():
            assert time.monotonic() < end, f"SIGTERM does not end process {self.pid}:\n{self.err}"
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                self.wait(0.2)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            end_descendants()  # the test has failed already: what it left is no news


def _run(action: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        status = int(str(action() or 0))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def python(*words: str) -> Callable[[], object]:
    """An action: become a fresh interpreter with these arguments."""
    return lambda: os.execv(sys.executable, [sys.executable, *words])


# -- who is there ------------------------------------------------------------------------------------------------


def parents() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its state."""
    found = {}
    for text in os.listdir("/proc"):
        if text.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{text}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                found[int(text)] = int(fields[1]), fields[0].decode()
    return found


def descendants(of: int | None = None) -> list[int]:
    """The living processes below one, this one if none is named; nearest first."""
    table = parents()
    found, generation = [], {of or os.getpid()}
    while generation:
        generation = {pid for pid, (parent, _) in table.items() if parent in generation}
        found += sorted(generation)
    return [pid for pid in found if table[pid][1] not in "ZX"]


def is_alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    return parents().get(pid, (0, "X"))[1] not in "ZX"


def has_children() -> bool:
    """Whether this process has child processes, dead ones that were not waited for included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def state_of(pid: int) -> str:
    """A process's state as /proc has it: R, S, T…"""
    return parents().get(pid, (0, "X"))[1]


def command_of(pid: int) -> str:
    """A process's command line."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"


def end_descendants() -> None:
    """Kill and reap all that descends from this process."""
    while not is_childless():
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def is_childless() -> bool:
    """Whether nothing descends from this process any more; buries the zombies that fell to it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """A test leaves no process behind, however far it has come from the test's own."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    with contextlib.suppress(AssertionError):
        until(is_childless, "no process is left", FAREWELL)
    left = [] if is_childless() else [f"{pid}: {command_of(pid)}" for pid in descendants()]
    end_descendants()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    if left:
        pytest.fail(f"the test left processes behind: {left}")
