"""Real processes for tests: forked, heard through a pipe, waited for with a limit."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0
"""Seconds: a wait that lasts longer fails the test."""


class Child:
    """A forked process that runs `action`, which tells the parent lines of text."""

    def __init__(self, action: Callable[[Callable[[str], None]], object]) -> None:
        hearing, telling = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(hearing)
            _run(action, telling)
        os.close(telling)
        self._hearing = hearing
        self._rest = b""
        self._status: int | None = None

    def hear(self) -> str:
        """The next line that the child tells."""
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            assert left > 0, "the child told nothing in time"
            if select.select([self._hearing], [], [], left)[0]:
                data = os.read(self._hearing, 65536)
                assert data, "the child ended and told nothing more"
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def hear_all(self) -> list[str]:
        """What the child tells until it has ended, well."""
        end = time.monotonic() + PATIENCE
        while True:
            left = end - time.monotonic()
            assert left > 0, "the child did not end in time"
            if select.select([self._hearing], [], [], left)[0]:
                data = os.read(self._hearing, 65536)
                if not data:
                    break
                self._rest += data
        assert self.wait() == 0, "the child failed: see its traceback above"
        return self._rest.decode().splitlines()

    def stop(self) -> None:
        """SIGSTOP, and wait until it is stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def kill(self) -> None:
        """SIGKILL, and wait until it is dead."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait until it has ended; its exit status, or the signal's number below 0."""
        end = time.monotonic() + PATIENCE
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < end, "the child did not end in time"
            time.sleep(0.001)
        return self._status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._hearing)


def _run(action: Callable[[Callable[[str], None]], object], telling: int) -> None:
    def tell(line: str) -> None:
        os.write(telling, f"{line}\n".encode())

    status = 1
    try:
        action(tell)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@contextlib.contextmanager
def children(*actions: Callable[[Callable[[str], None]], object]) -> Iterator[list[Child]]:
    """Several at once; all are dead at the end of the block."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Child(action)) for action in actions]


def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until `condition` holds; fails when that takes too long."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.002)


def rest_for_ever() -> None:
    """What a child does that waits to be killed."""
    while True:
        signal.pause()


def rest(tell: Callable[[str], None]) -> None:
    """A child that only lives, in a session of its own."""
    os.setsid()
    tell("here")
    rest_for_ever()
