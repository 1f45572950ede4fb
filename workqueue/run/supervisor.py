"""The supervisor: one thread, one selector; deals names to its workers, and sees to it that nothing of theirs is lost.

    in the selector     workers' sockets (who is free), their pidfds (who died), signals, the watch
    by the clock        every second: dead owners' claims, cancels, memory; when due: delayed jobs, run limits

**Invariant**: nothing that this process knows is needed to find a job again. If it is killed, its workers finish
the job they run, and end; the next supervisor of the root takes up the rest.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
from typing import TYPE_CHECKING

from workqueue.engine import housekeeping, overs, recovery
from workqueue.engine.dealer import Dealer
from workqueue.errors import FsqError, NotARoot, StoreError, told
from workqueue.run.crew import Crew
from workqueue.run.dealing import Dealing
from workqueue.run.events import emit
from workqueue.run.limits import Limits
from workqueue.run.roster import Roster
from workqueue.run.sharing import FirstNamed
from workqueue.run.signals import Signals, stop_self
from workqueue.run.summary import Summary, tell_recovered
from workqueue.run.wakeup import Wakeups

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Settled
    from workqueue.run.handler import Handler
    from workqueue.run.options import RunOptions
    from workqueue.run.progress import Display

SWEEP = 1.0
"""Seconds between looks for claims whose owner is dead."""
TIDY = 60.0
"""Seconds between clean-ups."""
FOREVER = float("inf")


class Supervisor:
    """Runs a crew on some queues of one root until it is stopped, or they are drained."""

    def __init__(
        self,
        engine: DirectoryEngine,
        load: Callable[[], Handler],
        options: RunOptions,
        progress: Display | None = None,
        selector: selectors.BaseSelector | None = None,
    ) -> None:
        self._root = engine.root
        self._clock = engine.root.clock
        self._options = options
        self._progress = progress
        self._selector = selector or selectors.DefaultSelector()
        self._signals = Signals()
        self._summary = Summary()
        self._dealer = Dealer(self._root, list(options.queues))
        self._crew = Crew(engine, load, options.max_jobs, self._forget)
        self._dealing = Dealing(self._dealer, self._crew, options.sharing or FirstNamed(options.queues))
        self._roster = Roster(self._crew, options.crew_size, self._dealer, self._selector, self._tell)
        self._limits = Limits(self._root, self._crew, options)
        self._keepers = [housekeeping.DoneKeeper(self._root, queue) for queue in options.queues]
        self._wakeups = Wakeups(self._root, self._dealer, self._selector, self._sweep_soon)
        self._stop_at: float | None = None
        """When what still runs is ended; None: not stopping; FOREVER: it is waited for."""
        self._paused = False
        self._told: dict[str, float] = {}
        self._next_sweep = self._next_tidy = 0.0

    def run(self) -> Summary:
        """Work until stopped or drained; returns what it came to."""
        started = self._clock.monotonic()
        with self._selector, self._signals:
            self._selector.register(self._signals, selectors.EVENT_READ, self._on_signal)
            try:
                self._wakeups.open()
                self._begin()
                while not self._is_over():
                    self._turn()
            finally:
                self._end_all()
                self._wakeups.close()
                if self._progress:
                    self._progress.close()
        self._summary.add(self._crew.totals, self._clock.monotonic() - started)
        named, text = self._options.named, str(self._summary)
        emit("drained" if self._summary.drained else "stopped", self._crew.journal, summary=text, **named)
        return self._summary

    # -- one turn ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        for found in recovery.sweep(self._root, self._root.queues(), set()):
            self._tell(found)
        self._dealer.refresh(now=True)
        with told("start the workers", self._root.path):
            self._roster.fill()
        names = ", ".join(self._options.queues)
        count = len(self._crew.members)
        workers = f"{count} worker{'s' if count > 1 else ''}"
        named, root = self._options.named, self._root.path
        emit("started", self._crew.journal, workers=workers, queues=names, root=root, **named)

    def _turn(self) -> None:
        """Wait for something to happen, and react to it."""
        try:
            for key, _ in self._selector.select(self._patience()):
                # An earlier event of the same round may have closed it: a burial closes the dead worker's socket.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._limits.enforce()
            self._look_after()
            self._go_on()
        except OSError as error:
            self._survive(error)
        if self._progress:
            self._progress.look(self._crew, self._summary)

    def _go_on(self) -> None:
        """Keep the workers at work, or bring them to an end."""
        if self._roster.has_no_handler and self._stop_at is None:
            self._summary.error = "the workers cannot import the handler"
            self._stop(0.0)
        if self._stop_at is not None:
            self._crew.stop()
            if self._clock.monotonic() >= self._stop_at:
                self._crew.kill("stopped")
                self._stop_at = self._clock.monotonic() + SWEEP
            return
        self._roster.replace_missing()
        if not self._paused:
            self._wakeups.refresh(busy=self._crew.running() > 0)
            self._dealing.deal()
            self._stop_if_drained()

    def _survive(self, error: OSError) -> None:
        """Go on where the disk refuses a look, because runs go on; but not on a root or queue that is gone."""
        self._root.check_same()
        for queue in self._options.queues:
            if not os.path.isdir(self._root.space(queue, "new")):
                raise NotARoot(f"{self._root.path}/{queue}: the queue was removed while it was worked on") from error
        emit(
            "trouble",
            self._crew.journal,
            text=str(error if isinstance(error, FsqError) else StoreError("look for work", error)),
        )
        self._clock.sleep(SWEEP)

    def _patience(self) -> float:
        """Seconds to wait for an event: until the first thing that is due by the clock."""
        times = [self._next_sweep]
        if self._stop_at is not None:
            times.append(self._stop_at)
        elif self._roster.is_short():
            times.append(self._roster.next_hire)
        check = self._limits.next_check()
        if check is not None:
            times.append(check)
        wait = min(min(times) - self._clock.monotonic(), self._wakeups.interval)
        due = self._dealer.next_due()
        if due is not None and not self._paused and self._stop_at is None:
            wait = min(wait, due)
        if self._progress:
            wait = min(wait, self._progress.interval)
        return max(0.0, wait)

    def _stop_if_drained(self) -> None:
        if not self._options.drain or not all(member.is_free for member in self._crew.members) or len(self._dealer):
            return
        if self._crew.members and self._dealer.is_drained():
            self._summary.drained = True
            self._stop_at = FOREVER
            self._crew.stop()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return len(self._crew.members) == len(self._roster.unburied)

    def _tell(self, found: Settled | str) -> None:
        """Count and tell what became of a dead worker's claim; a job that is ready again is dealt at once."""
        if isinstance(found, str) and not self._is_news(found):
            return
        self._crew.tallies.recovered(found)
        ready = tell_recovered(found, self._summary, self._crew.journal)
        if ready is not None and ready[0] in self._dealer.queues:
            self._dealer.add(*ready)

    def _is_news(self, trouble: str) -> bool:
        """Whether a trouble that every sweep meets again was not told within the last minute."""
        now = self._clock.monotonic()
        self._told = {text: at for text, at in self._told.items() if at + TIDY > now}
        return self._told.setdefault(trouble, now) == now

    # -- now and then ------------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Do what is due by the clock."""
        now = self._clock.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self._sweep()
        if now >= self._next_tidy:
            self._next_tidy = now + TIDY
            housekeeping.prune_journal(self._root)
            for trouble in overs.tidy(self._root):
                self._tell(trouble)
            for queue, keeper in zip(self._options.queues, self._keepers, strict=True):
                housekeeping.clean_tmp(self._root, queue)
                keeper.prune()

    def _sweep(self) -> None:
        """Take over the claims of dead owners, carry out cancels, watch the memory; notice that the root is gone."""
        self._root.check_same()
        self._roster.bury_left_over()
        mine = {member.slot.number for member in self._crew.members}
        for found in recovery.sweep(self._root, list(self._options.queues), mine):
            self._tell(found)
        self._limits.check_memory()
        self._limits.check_cancels()

    def _sweep_soon(self) -> None:
        self._next_sweep = 0.0

    # -- signals -----------------------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        for number in self._signals.read():
            if number in {signal.SIGTERM, signal.SIGINT}:
                self._stop(self._options.grace if self._stop_at in {None, FOREVER} else 0.0)
            elif number == signal.SIGHUP and self._stop_at is None:
                self._summary.restart = True
                emit("restarting", running=self._crew.running())
                self._stop_at = FOREVER
            elif number == signal.SIGTSTP:
                self._pause()
            elif number == signal.SIGCONT and self._paused:
                self._paused = False
                emit("resumed")

    def _stop(self, grace: float) -> None:
        """Let the workers finish within the grace time; what runs after it is ended and given back."""
        if grace:
            emit("stopping", running=self._crew.running(), grace=grace)
        self._summary.restart = False
        self._stop_at = self._clock.monotonic() + grace

    def _pause(self) -> None:
        """Deal no more; on a terminal give the shell its prompt back, as Ctrl-Z does."""
        if self._paused or self._stop_at is not None:
            return
        self._paused = True
        emit("paused")
        if self._progress:
            self._progress.close()
        if sys.stdin is not None and sys.stdin.isatty():
            stop_self()

    # -- the end -----------------------------------------------------------------------------------------------

    def _end_all(self) -> None:
        """Leave no worker behind, whatever went wrong."""
        self._crew.kill("the supervisor ended")
        for member in list(self._crew.members):
            os.waitid(os.P_PIDFD, member.pidfd, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(FsqError, OSError):
                self._roster.bury(member)

    def _forget(self) -> None:
        """Close, in a forked child, what is the supervisor's alone."""
        self._selector.close()
        self._signals.forget()
        self._wakeups.forget()
