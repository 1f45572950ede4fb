"""The worker process: asks for names, claims, runs, settles; until it is told to stop or its supervisor dies.

**Invariant**: at every moment it has at most one claim, and only while its slot's lock is held.
It finishes the job it runs when its supervisor dies or a SIGTERM comes, or leaves it at its next save; it is a session
leader, so a Ctrl-C in the terminal does not reach it, and what its handlers start can be ended with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from workqueue.engine.protocol import Claim, Corrupted, Unclaimable
from workqueue.errors import FsqError, HandlerNotFound, Interrupted
from workqueue.run import board as b
from workqueue.run import verdicts, wire
from workqueue.run.callers import caller_of
from workqueue.run.events import emit
from workqueue.run.signals import forget_held

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.slots import Slot
    from workqueue.run.board import Board
    from workqueue.run.handler import Handler
    from workqueue.run.job import Job

PR_SET_PDEATHSIG = 1
NO_HANDLER = 78
"""Exit status of a worker that cannot import its handler: no replacement could either."""
LULL_MS = 20
"""Milliseconds without work after which the journal is written; while jobs come it is written by the dozen."""
TROUBLE_PAUSE = 1.0
"""Seconds to wait after the disk refused a claim or a settlement, so that a broken disk is not hammered."""


class WorkerProcess:
    """What runs in the forked child."""

    def __init__(
        self,
        engine: DirectoryEngine,
        load: Callable[[], Handler],
        slot: Slot,
        link: socket.socket,
        board: Board,
        max_jobs: int | None,
    ) -> None:
        self._engine = engine
        self._load = load
        self._slot = slot
        self._link = link
        self._board = board
        assert board.journal is not None
        self._journal = board.journal
        self._jobs_left = max_jobs
        self._stopping = False
        self._is_told = False
        """Whether the supervisor has said so, or is dead."""
        self._limit: float | None = None
        """Seconds that the run may take."""
        self._in_handler = False
        self._cancelled: Interrupted | None = None
        """Why the run is over; it may have been told between two elements of an array."""

    def run(self, supervisor: int) -> NoReturn:
        """Work until told to stop; never returns into the supervisor's code."""
        status = 1
        try:
            self._settle_in(supervisor)
            self._caller = caller_of(self._load(), self._interrupt)
            self._work()
            self._caller.close()
            status = 0
        except HandlerNotFound as error:
            emit("trouble", self._journal, text=str(error))
            status = NO_HANDLER
        except FsqError as error:
            emit("trouble", self._journal, text=str(error))
        except BaseException:  # noqa: BLE001 - our own bug: shown, and the process ends
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            with contextlib.suppress(BaseException):
                self._journal.flush()
            os._exit(status)

    # -- the loop ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._poll = select.poll()
        self._poll.register(self._link, select.POLLIN)
        while not self._stopping and wire.send(self._link, "+"):
            words = self._dealt()
            if words is None:
                return
            queue, *hints = words
            for hint in hints:
                if self._is_ending():
                    return
                self._take(queue, hint)

    def _is_ending(self) -> bool:
        return self._stopping or self._jobs_left == 0

    def _dealt(self) -> tuple[str, ...] | None:
        """Wait for a queue and its names; None for the end."""
        if not self._poll.poll(LULL_MS):
            self._journal.flush()
        while (packet := wire.receive(self._link)) is not None and packet.kind == "X":
            pass  # about a run that has ended meanwhile
        return packet.words if packet is not None and packet.kind == "N" else None

    def _take(self, queue: str, hint: str) -> None:
        """Claim one name, and run it if it was still there."""
        try:
            taken = self._engine.take(queue, hint, self._slot.number)
            if isinstance(taken, Claim):
                self._run(taken)
            elif taken is None:
                self._board.count(b.LOST)
            else:
                self._tell_corrupted(taken)
        except Unclaimable as error:
            wire.send(self._link, "U", error.queue, error.hint, str(error.inode))
            emit("unclaimable", self._journal, queue=queue, name=hint, reason=error.cause.strerror)
        except (FsqError, OSError) as error:
            # Our claim, if there is one, stays in cur/ under our slot: it is recovered when this process ends.
            emit("trouble", self._journal, text=f"{error}; this worker starts anew")
            self._engine.root.clock.sleep(TROUBLE_PAUSE)
            self._stopping = True

    def _tell_corrupted(self, found: Corrupted) -> None:
        self._board.count(b.CORRUPT)
        emit("corrupted", self._journal, queue=found.queue, name=found.name, reason=found.reason)

    def _run(self, claim: Claim) -> None:
        """Run one job: claimed → started → handled → settled."""
        own = claim.options.timeout
        self._limit = self._engine.settings(claim.queue).timeout if own is None else own
        self._cancelled = None
        self._board.start(claim.queue, claim.name.id, self._limit)
        try:
            verdict = verdicts.attempt(self._engine, claim, self._call, self._board, self._has_to_leave)
        finally:
            if os.getpid() != self._pid:
                os._exit(0)  # a child that the handler forked and let return: the job is its parent's
        os.umask(self._umask)
        verdicts.settle(self._engine, claim, verdict, self._board)
        self._board.end()
        if self._jobs_left is not None:
            self._jobs_left -= 1

    # -- one run -----------------------------------------------------------------------------------------------

    def _call(self, job: Job) -> Any:
        """Call the handler; here, and nowhere else, it can be interrupted."""
        self._in_handler = True
        try:
            if self._cancelled is not None:
                raise self._cancelled  # noqa: TRY301
            return self._caller.call(job, self._limit)
        except BaseException:
            self._in_handler = False
            self._caller.recover()
            raise
        finally:
            self._in_handler = False

    def _has_to_leave(self, *, has_come_on: bool) -> bool:
        """Whether the run is to end at this save. Asked then, because a stop comes without a signal.

        A mere SIGTERM ends only a run that has come on: a handler that sends it to itself would return for ever.
        """
        if os.getpid() != self._pid:
            return False  # a child that the handler forked: its parent is no supervisor
        if os.getppid() != self._supervisor or wire.says_stop(self._link):
            self._stopping = self._is_told = True
        return self._is_told or (self._stopping and has_come_on)

    # -- being interrupted -------------------------------------------------------------------------------------

    def _interrupt(self, reason: Interrupted) -> None:
        if self._in_handler:
            self._in_handler = False
            raise reason

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop after the current job; unless the supervisor wrote before that it is this run which is over."""
        while (packet := wire.receive(self._link, wait=False)) is not None:
            if packet.kind == "X":
                run, reason = packet.words
                if self._board.is_in(int(run)):
                    self._cancelled = Interrupted(reason)
                    self._interrupt(self._cancelled)
                return
            if packet.kind == "S":
                self._is_told = not packet.words
                break
        self._stopping = True
        if not self._in_handler:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RD)  # wakes the wait for names
        if os.getppid() != self._supervisor:
            self._limit_orphan()

    def _limit_orphan(self) -> None:
        """Nobody is left to enforce this run's hard limit: let the kernel do it, by a SIGKILL's equal."""
        running = self._board.running()
        if running is not None and running.limit_ns:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            left = running.limit_ns / 1e9 - self._engine.root.clock.monotonic()
            signal.setitimer(signal.ITIMER_REAL, max(left, 0) + TROUBLE_PAUSE)

    # -- becoming a worker -------------------------------------------------------------------------------------

    def _settle_in(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._pid = os.getpid()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        os.setsid()
        signal.signal(signal.SIGTERM, self._on_term)
        forget_held()
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(0)  # it died before the line above
        self._slot.sign()
        self._slot.keep_from_children()
        os.register_at_fork(after_in_child=self._link.close)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)


def die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the supervisor dies."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
