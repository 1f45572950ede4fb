"""The roster: keeps the crew at its size, hears which workers are free, and buries the dead."""

from __future__ import annotations

import contextlib
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from workqueue.errors import NoFreeSlot
from workqueue.run import wire
from workqueue.run.crew import how
from workqueue.run.events import emit
from workqueue.run.process import NO_HANDLER

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from workqueue.engine.dealer import Dealer
    from workqueue.engine.protocol import Settled
    from workqueue.run.crew import Crew, Member

AGAIN = 1.0
"""Seconds before the next try where every slot is in use, or a left-over process cannot be killed."""


class Roster:
    """Hires into a crew, with the workers' sockets and pidfds in the supervisor's selector."""

    def __init__(
        self, crew: Crew, size: int, dealer: Dealer, selector: BaseSelector, tell: Callable[[Settled | str], None]
    ) -> None:
        self._crew = crew
        self._size = size
        self._dealer = dealer
        self._selector = selector
        self._tell = tell
        self._clock = crew.clock
        self.next_hire = 0.0
        """When, on the monotonic clock, a missing worker may be hired."""
        self.unburied: list[Member] = []
        """Dead workers that left a process which cannot be killed yet."""
        self.has_no_handler = False
        """Whether the workers cannot import their handler: no replacement could."""

    def is_short(self) -> bool:
        """Whether workers are missing."""
        return len(self._crew.members) - len(self.unburied) < self._size

    def fill(self) -> None:
        """Hire the whole crew; fewer where the slots do not suffice, but one at least."""
        while self.is_short():
            try:
                self._hire()
            except NoFreeSlot as error:
                if not self._crew.members:
                    raise
                emit("trouble", text=f"{error}; going on with {len(self._crew.members)} workers")
                self.next_hire = self._clock.monotonic() + 60 * AGAIN
                return

    def replace_missing(self) -> None:
        """Replace dead workers; with growing delay where they keep dying at once."""
        now = self._clock.monotonic()
        while self.is_short() and now >= self.next_hire:
            self.next_hire = now + self._crew.delay()
            try:
                self._hire()
            except NoFreeSlot:
                self.next_hire = now + AGAIN

    def _hire(self) -> None:
        member = self._crew.hire(self._tell)
        self._selector.register(member.link, EVENT_READ, lambda: self._on_packet(member))
        self._selector.register(member.pidfd, EVENT_READ, lambda: self._on_death(member))

    def _on_packet(self, member: Member) -> None:
        packet = wire.receive(member.link, wait=False)
        if packet is None:
            self._forget_link(member)  # it is dying: its pidfd tells when it is dead
        elif packet.kind == "+":
            lost = self._crew.tallies.take(member)
            self._dealer.settle(member.queue, member.dealt, lost)
            member.dealt = []
            member.is_free = member.has_started = True
        elif packet.kind == "U":
            queue, name, inode = packet.words
            self._dealer.skip(queue, name, int(inode))

    def _forget_link(self, member: Member) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(member.link)

    def _on_death(self, member: Member) -> None:
        self._forget_link(member)
        self._selector.unregister(member.pidfd)
        member.is_free = False
        self.bury(member)

    def bury_left_over(self) -> None:
        """Try again where a process could not be killed."""
        for member in list(self.unburied):
            try:
                self.bury(member)
            except OSError as error:  # one claim that cannot be moved must not hold up the others, nor the end
                emit("trouble", text=f"what worker {member.pid} had cannot be settled: {error}; tried again")

    def bury(self, member: Member) -> None:
        """Settle what a dead worker had; its names and its jobs are dealt again at once."""
        self._crew.check_same()
        was_told, doom = member.is_told, member.doom
        try:
            buried = self._crew.bury(member)
        except OSError:
            if member not in self.unburied:
                self.unburied.append(member)  # the disk refused: the next sweep tries again
            raise
        if buried is None:
            if member not in self.unburied:
                self.unburied.append(member)
                emit("trouble", text=f"what worker {member.pid} left running cannot be killed; its jobs wait for that")
            return
        if member in self.unburied:
            self.unburied.remove(member)
        status, recovered = buried
        if member.dealt:
            self._dealer.give_back(member.queue, member.dealt)
        self.has_no_handler = self.has_no_handler or status == NO_HANDLER
        if status and doom is None:
            emit("worker died", self._crew.journal, worker=member.pid, how=how(status))
        else:
            emit("worker ended", worker=member.pid, how="told to stop" if was_told else how(status))
        for found in recovered:
            self._tell(found)
