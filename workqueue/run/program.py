"""``--exec 'cmd {path}'``: a program in any language as the handler.

The payload is its standard input; ``{path}`` is a file that holds just the payload. FSQ_ID, FSQ_QUEUE, FSQ_ATTEMPT,
FSQ_LABEL, FSQ_PRIORITY and FSQ_ROOT are in its environment. Its exit status is the verdict:

    0            done
    75, 111      another attempt
    65, 100      failed, now
    a signal     a death: another attempt
    the rest     another attempt, by the retry policy

The command is split as a shell would, but no shell runs it: nothing in a payload or a name can become code.
What it writes to standard error passes through; the end of it is kept with the attempt.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, BinaryIO

from workqueue.errors import HandlerNotFound, Interrupted, Reject, Retry
from workqueue.run.job import root_of
from workqueue.run.signals import postponed, signal_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.run.job import Job

    Output = Callable[[bytes], None]

AGAIN = {75, 111}
NEVER = {65, 100}
TAIL = 4096
"""Bytes of standard error that are kept."""
PIPE = 65536
"""Bytes: all that a pipe holds, unless it was made larger."""
MOST_IN_A_PIPE = 1 << 20
PATIENCE_MS = 1000
"""A signal just before a wait begins does not end it, and Python acts on it only after it."""
FIELDS = ("path", "id", "queue", "attempt", "label")
FIELD = re.compile(r"\{(" + "|".join(FIELDS) + r")\}")


class ProgramFailed(Exception):
    """A program ended in another way than by 0; the text is its status and its last words."""


class Program:
    """A handler that runs a program for each job."""

    def __init__(self, command: str, what: str = "--exec") -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise HandlerNotFound(f"{what} {command!r}: {error}") from None
        if not self._words:
            raise HandlerNotFound(f"{what}: no command given")
        if "{" not in self._words[0] and shutil.which(self._words[0]) is None:
            raise HandlerNotFound(f"{what}: no program {self._words[0]!r} on PATH, or not executable")

    def __call__(self, job: Job, on_output: Output | None = None) -> None:
        """Run the program for one job and raise what its exit status says.

        `on_output` gets what it writes to standard output, chunk by chunk; what that raises ends the program.
        """
        words = [self._filled(word, job) for word in self._words]
        child: Child | None = None
        try:
            # An interruption in the middle of the start would lose the process, which would go on unseen.
            with job.open() as payload, postponed():
                child = Child(words, payload, self._environment(job), on_output)
            tail = child.attend()
        except BaseException as error:
            if child is not None:
                child.end(gently=isinstance(error, Interrupted))
            raise
        finally:
            if child is not None:
                child.close()
        self._judge(child.status(), tail)

    def _filled(self, word: str, job: Job) -> str:
        """The word with each {field} filled in, once: what a job's name says is not read again."""
        return FIELD.sub(lambda match: str(getattr(job, match[1])), word)

    def _environment(self, job: Job) -> dict[str, str]:
        return {
            **os.environ,
            "FSQ_ROOT": root_of(job),
            "FSQ_ID": job.id,
            "FSQ_QUEUE": job.queue,
            "FSQ_ATTEMPT": str(job.attempt),
            "FSQ_PRIORITY": str(job.priority),
            "FSQ_LABEL": job.label,
        }

    def _judge(self, status: int, tail: bytes) -> None:
        last = tail.decode(errors="replace").strip()
        if status == 0:
            return
        if status < 0:
            raise ProgramFailed(told(f"killed by {signal_name(-status)}", last))
        if status in NEVER:
            raise Reject(told(f"exit status {status}", last))
        if status in AGAIN:
            raise Retry(reason=told(f"exit status {status}", last))
        raise ProgramFailed(told(f"exit status {status}", last))


class Child:
    """A program that runs; its standard error passes through, and its standard output unless somebody wants it."""

    def __init__(
        self, words: list[str], payload: BinaryIO, environment: dict[str, str], on_output: Output | None = None
    ) -> None:
        self._on_output = on_output
        self._process = subprocess.Popen(
            words, stdin=payload, stdout=subprocess.PIPE if on_output else None, stderr=subprocess.PIPE, env=environment
        )
        try:
            self._ended = os.pidfd_open(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.communicate()
            raise

    def attend(self) -> bytes:
        """Wait for the program's end; its last words. A daemon that it leaves with the pipes is not waited for."""
        assert self._process.stderr is not None
        pipe = self._process.stderr.fileno()
        output = self._output()
        poller = select.poll()
        poller.register(self._ended, select.POLLIN)  # asked first: what it wrote before its end is then in the pipe
        poller.register(pipe, select.POLLIN)
        if output is not None:
            poller.register(output, select.POLLIN)
        tail = b""
        while True:
            ready = {fd for fd, _ in poller.poll(PATIENCE_MS)}
            if pipe in ready:
                chunk = os.read(pipe, PIPE)
                tail = (tail + chunk)[-TAIL:]
                pass_on(chunk)
                if not chunk:
                    poller.unregister(pipe)
            if output in ready and self._hear(output) == b"":
                poller.unregister(output)
            if self._ended in ready:
                self._hear_the_rest(output)
                return tail

    def _output(self) -> int | None:
        """The pipe of its standard output, if it has one; not to be waited for once the program has ended."""
        if self._process.stdout is None:
            return None
        os.set_blocking(self._process.stdout.fileno(), False)
        return self._process.stdout.fileno()

    def _hear(self, output: int) -> bytes | None:
        """Pass on what it wrote to standard output; empty: it has closed it; None: there is nothing now."""
        try:
            chunk = os.read(output, PIPE)
        except BlockingIOError:
            return None
        if chunk and self._on_output is not None:
            self._on_output(chunk)
        return chunk

    def _hear_the_rest(self, output: int | None) -> None:
        """Pass on what was in the pipe when it ended; a daemon may go on writing into it for ever."""
        for _ in range(0 if output is None else MOST_IN_A_PIPE // PIPE):
            assert output is not None
            if not self._hear(output):
                return

    def end(self, *, gently: bool) -> None:
        """End the program before its time; one that is asked to may clean up until the grace is over."""
        self._on_output = None
        if gently:
            self._process.terminate()
            self.attend()  # when the grace is over the supervisor kills the session, this process included
        else:
            self._process.kill()
        self._process.wait()

    def status(self) -> int:
        """How it ended, a signal as its number below 0."""
        return self._process.wait()

    def close(self) -> None:
        """Close what it was seen by."""
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        os.close(self._ended)


def pass_on(chunk: bytes) -> None:
    """Write what the program wrote to our own standard error."""
    try:
        sys.stderr.buffer.write(chunk)
        sys.stderr.flush()
    except OSError:
        return  # whoever read our standard error has gone; the job goes on


def told(status: str, last: str) -> str:
    """The status, and what the program said last."""
    return f"{status}: {last.splitlines()[-1]}\n{last}" if last else status
