"""The crew: a supervisor's worker processes, from fork to burial.

**Invariant**: a slot is locked and taken over before its worker is forked, and stays locked by the supervisor until the
dead worker's session has been ended and its claims have been settled.
**Invariant**: no process is killed for what a run did unless that run is still going on: the worker is stopped first,
then its board is read, then it is killed or let go on.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workqueue.clock import CLOCK
from workqueue.engine import recovery, sessions, slots
from workqueue.engine.journal import Journal
from workqueue.engine.journal_buffer import JournalBuffer
from workqueue.engine.protocol import Corrupted
from workqueue.errors import NoFreeSlot
from workqueue.run import wire
from workqueue.run.board import Board
from workqueue.run.events import tell_dropped
from workqueue.run.process import WorkerProcess
from workqueue.run.signals import held, signal_name
from workqueue.run.tallies import WORDS, Tallies

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim, Recovered, Settled
    from workqueue.engine.slots import Slot
    from workqueue.run.board import Running
    from workqueue.run.handler import Handler

FORGIVEN, FIRST_DELAY, LAST_DELAY = 3, 0.1, 30.0
"""Deaths at start in a row that are made good at once, and seconds to wait from then on."""
STOP_LOOKS, STOP_PAUSE = 200, 0.001
BURIAL = 0.5
"""Seconds that one burial may hold up the others."""


@dataclass(slots=True)
class Doom:
    """Why the supervisor ends a worker's run, and when at the latest."""

    kind: str
    reason: str
    run: int
    kill_at: float


@dataclass(slots=True, eq=False)
class Member:
    """A worker process, as its supervisor knows it."""

    pid: int
    pidfd: int
    link: socket.socket
    slot: Slot
    board: Board
    has_started: bool = False
    """Whether it ever asked for work. One that died before would die again: it is replaced with growing delay."""
    is_free: bool = False
    is_told: bool = False
    """Whether it was told to stop."""
    queue: str = ""
    dealt: list[str] = field(default_factory=list)
    counted: list[int] = field(default_factory=lambda: [0] * WORDS)
    """What its board had counted when it was last dealt to."""
    sentence: Doom | None = None
    """The doom of one run: no later one's, where that run has ended by itself."""
    end: Doom | None = None
    """The doom of whatever runs, by a stop."""

    @property
    def doom(self) -> Doom | None:
        """Why the supervisor ends the run that goes on; read anew each time, for the worker goes on meanwhile."""
        return self.sentence if self.sentence and self.board.is_in(self.sentence.run) else self.end

    def deal(self, queue: str, hints: list[str]) -> None:
        """Send names to a free worker."""
        self.is_free, self.queue, self.dealt = False, queue, hints
        wire.send(self.link, "N", queue, *hints)

    def stop(self, *why: str) -> None:
        """Tell it to end after the current job, or at its next save if no reason is given."""
        if not self.is_told:
            self.is_told = True
            wire.send(self.link, "S", *why)

    def interrupt(self, doom: Doom) -> None:
        """Tell it that its run is over, and why, before the signal that makes it look."""
        self.sentence = doom
        wire.send(self.link, "X", str(doom.run), doom.reason)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def kill_if_in(self, run: int, limit_ns: int = 0) -> bool:
        """Kill the worker if it is still in this run, and under this limit; False if it was let go on.

        The elements of an array are one run, and each has a limit of its own.
        """
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGSTOP)
            if self._has_stopped() and self.board.is_in(run) and limit_ns in {0, self.board.limit()}:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
                return True
            signal.pidfd_send_signal(self.pidfd, signal.SIGCONT)
        return False

    def _has_stopped(self) -> bool:
        """Wait until the stop has taken effect: not for ever, a hanging disk call can put it off."""
        for _ in range(STOP_LOOKS):
            if os.waitid(os.P_PIDFD, self.pidfd, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG):
                return True
            CLOCK.sleep(STOP_PAUSE)
        return False


class Crew:
    """The workers of one supervisor."""

    def __init__(
        self, engine: DirectoryEngine, load: Callable[[], Handler], max_jobs: int | None, forget: Callable[[], None]
    ) -> None:
        self._engine = engine
        self.clock = engine.root.clock
        self._root = engine.root
        self.journal = Journal(engine.root, "supervisor", tell_dropped)
        self._load = load
        self._max_jobs = max_jobs
        self._forget = forget
        """Closes, in a forked child, what is the supervisor's alone."""
        self.members: list[Member] = []
        self.totals: dict[str, int] = {}
        """Statistics of the workers that have ended."""
        self.tallies = Tallies()
        self.quick_deaths = 0

    # -- hiring ------------------------------------------------------------------------------------------------

    def hire(self, tell: Callable[[Settled | str], None]) -> Member:
        """Take a slot over and fork a worker into it."""
        slot = self._slot(tell)
        ours, theirs = wire.pair()
        board = Board()
        board.journal = JournalBuffer(self._root, slot.number, tell_dropped)
        supervisor = os.getpid()
        gc.freeze()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):  # nobody may be listening
                stream.flush()  # else the child would write the same text again
        with held():
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._forget()
                for member in self.members:
                    member.link.close()
                    member.slot.close()
                    os.close(member.pidfd)
                WorkerProcess(self._engine, self._load, slot, theirs, board, self._max_jobs).run(supervisor)
        theirs.close()
        member = Member(pid, os.pidfd_open(pid), ours, slot, board)
        self.members.append(member)
        return member

    def _slot(self, tell: Callable[[Settled | str], None]) -> Slot:
        """Take over the first free slot. One whose claims the disk does not let go waits for a sweep."""
        for slot in slots.free(self._root):
            try:
                for found in recovery.take_over(self._root, slot):
                    tell(found)
            except OSError as error:
                slot.close()
                tell(f"slot {slot.number} cannot be taken over: {error}; going on with another")
            else:
                if slot.former() is None:
                    return slot
                slot.close()  # what its last owner left cannot be killed, and must stay written down
        count = len(slots.numbers(self._root))
        raise NoFreeSlot(
            f"{self._root.path}: all {count} worker slots are in use; end some workers, or make more slots:"
            f" fsq init --slots {count * 2} {self._root.path}"
        )

    def delay(self) -> float:
        """Seconds to wait before the next worker is hired: none, unless they keep dying at once."""
        if self.quick_deaths < FORGIVEN:
            return 0.0
        return float(min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(self.quick_deaths - FORGIVEN, 20)))

    # -- burial ------------------------------------------------------------------------------------------------

    def bury(self, member: Member) -> tuple[int, list[Settled | str]] | None:
        """End a dead worker's session, settle its claims and free its slot; returns its exit status and the claims.

        None while a process of its session cannot be killed yet (a hanging disk): try again later. The worker is
        reaped last: while it is a zombie its pid, and so its session's number, are nobody else's.
        """
        if not sessions.end(member.pid, self._root.clock, BURIAL):
            return None
        status = exit_status(member.pidfd)
        recovered = list(self._settle(member, status))
        os.waitpid(member.pid, 0)
        if member.board.journal is not None:
            member.board.journal.flush()
        member.slot.clear()
        member.slot.close()
        self._count(member)
        self.members.remove(member)
        member.link.close()
        os.close(member.pidfd)
        member.board.close()
        return status, recovered

    def check_same(self) -> None:
        """Touch no claim of a root that is not ours."""
        self._root.check_same()

    def _settle(self, member: Member, status: int) -> Iterator[Settled | str]:
        doom = member.doom
        for claim in recovery.claims_of(self._root, member.slot.number):
            found = claim if isinstance(claim, Corrupted) else self._settle_one(claim, doom, status)
            if found is not None:
                yield found
        yield from recovery.settle_runs(self._root, member.slot.number)

    def _settle_one(self, claim: Claim, doom: Doom | None, status: int) -> Recovered | None:
        if doom is not None and doom.kind == "stop":
            return recovery.release(self._root, claim)
        if doom is not None and doom.kind in {"timeout", "memory"}:
            return recovery.end_run(self._root, claim, doom.kind, doom.reason)
        return recovery.recover(self._root, claim, f"its worker died ({how(status)})")

    def _count(self, member: Member) -> None:
        self.tallies.take(member)
        counts = member.board.counts()
        for name, value in counts.items():
            self.totals[name] = self.totals.get(name, 0) + value
        if member.has_started:
            self.quick_deaths = 0
        elif member.doom is None:
            self.quick_deaths += 1

    # -- looks -------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Statistics of all workers, the ended ones included."""
        counts = dict(self.totals)
        for member in self.members:
            for name, value in member.board.counts().items():
                counts[name] = counts.get(name, 0) + value
        return counts

    def running(self) -> int:
        """How many jobs are running now."""
        return len(self.runs())

    def runs(self) -> list[Running]:
        """The jobs that are running now, with how much is done of each, as far as its handler tells."""
        return [run for member in self.members if (run := member.board.running()) is not None]

    def stop(self) -> None:
        """Tell all to end after their current job, or at its next save."""
        for member in self.members:
            member.stop()

    def kill(self, reason: str) -> None:
        """End all at once; what they run is given back."""
        for member in self.members:
            member.end = Doom("stop", reason, 0, 0)
            member.kill()


def exit_status(pidfd: int) -> int:
    """How a dead child ended, a signal as its number below 0; it stays a zombie."""
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def how(status: int) -> str:
    """An exit status in words."""
    return f"exit status {status}" if status >= 0 else signal_name(-status)
