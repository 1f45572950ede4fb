"""Limits that the supervisor enforces from outside: time, memory, and orders to cancel.

Each time the worker is told why before any signal; it is killed only when the grace is over and, stopped first, it is
seen to be still in the run that was meant.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workqueue.engine import housekeeping, marks, sessions
from workqueue.jobs.durations import shown_size, spoken
from workqueue.run.crew import Doom
from workqueue.run.events import emit

if TYPE_CHECKING:
    from workqueue.engine.root import Root
    from workqueue.run.board import Running
    from workqueue.run.crew import Crew, Member
    from workqueue.run.options import RunOptions

AGAIN = 1.0
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class Limits:
    """Watches over the runs of one crew."""

    def __init__(self, root: Root, crew: Crew, options: RunOptions) -> None:
        self._root = root
        self._crew = crew
        self._options = options

    def next_check(self) -> float | None:
        """When, on the monotonic clock, the next run is to be ended; None if none is."""
        dooms = [member.doom for member in self._crew.members]
        times = [doom.kill_at for doom in dooms if doom and doom.kill_at]
        for _, running in self._limited():
            times.append(running.limit_ns / 1e9 + self._options.grace)
        return min(times, default=None)

    def enforce(self) -> None:
        """End the runs whose time, grace included, is over."""
        now = self._root.clock.monotonic()
        for member, running in self._limited():
            if now >= running.limit_ns / 1e9 + self._options.grace:
                spent = spoken(running.span_ns / 1e9)
                self._end(member, running, Doom("timeout", f"timed out after {spent}, did not stop", running.run, 0))
        for member in self._crew.members:
            doom, running_now = member.doom, member.board.running()
            if doom and running_now and running_now.run == doom.run and doom.kill_at and now >= doom.kill_at:
                self._end(member, running_now, doom)

    def _limited(self) -> list[tuple[Member, Running]]:
        """The members in a run with a time limit that has not been ended."""
        found = []
        for member in self._crew.members:
            if member.board.limit() and member.doom is None:
                running = member.board.running()
                if running is not None and running.limit_ns:
                    found.append((member, running))
        return found

    def _end(self, member: Member, running: Running, doom: Doom) -> None:
        doom.kill_at = 0.0
        member.sentence = doom
        limit_ns = running.limit_ns if doom.kind == "timeout" else 0
        if member.kill_if_in(running.run, limit_ns):
            job = f"{running.queue} {running.id}"
            emit("run ended", job=job, reason=doom.reason, worker=member.pid)
        elif limit_ns and member.board.limit() != limit_ns:
            member.sentence = None  # it was an element of an array, and has ended meanwhile
        elif member.board.is_in(running.run):
            doom.kill_at = self._root.clock.monotonic() + AGAIN  # it could not be stopped: a hanging disk?

    def check_memory(self) -> None:
        """Replace workers over the limit: after their job if it ends within the grace, else without it."""
        limit = self._options.max_rss
        if limit is None:
            return
        for member in self._crew.members:
            used = resident(member.pid)
            if used > limit and member.doom is None:
                running = member.board.running()
                reason = f"used {shown_size(used)}, the limit is {shown_size(limit)}"
                if running is not None:
                    kill_at = self._root.clock.monotonic() + self._options.grace
                    member.sentence = Doom("memory", reason, running.run, kill_at)
                member.stop("memory")  # what leaves at a save is not charged: it would never run out of attempts

    def check_cancels(self) -> None:
        """Tell the workers whose job is to be cancelled; carry out what nobody runs."""
        ordered = set(marks.marked(self._root))
        if not ordered:
            return
        for member in self._crew.members:
            running = member.board.running()
            if running is not None and running.id in ordered and member.doom is None:
                kill_at = self._root.clock.monotonic() + self._options.grace
                member.interrupt(Doom("cancel", "cancelled", running.run, kill_at))
        housekeeping.carry_out_cancels(self._root)


def resident(session: int) -> int:
    """Bytes that a session's processes hold in memory."""
    total = 0
    for process in sessions.members(session):
        try:
            with open(f"/proc/{process.pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * PAGE_SIZE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total
