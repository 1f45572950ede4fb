"""The eyes of a watch: by events where the kernel tells of changes, by listing ever again everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.pipeline.watch.notify import Notifier
from workqueue.pipeline.watch.rules import POLL, RESCAN
from workqueue.run.wakeup import why_blind

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.clock import Clock
    from workqueue.pipeline.watch.rules import Rules

CALM = 2.0
"""Where listings are asked for again and again, pauses of so many times a listing's length."""
SHARE = 20.0
"""The usual pause is at least so many times a listing's length: a large folder is listed more seldom."""


class Eyes:
    """When to list the folder, and which names to look at meanwhile."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        tell: Callable[[str, dict[str, object]], object],
        why_blind: Callable[[str], str | None] = why_blind,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._tell = tell
        self._why_blind = why_blind
        self._blind: str | None = None
        self._notifier: Notifier | None = None
        self.next_walk = 0.0
        self._ended, self._took = float("-inf"), 0.0

    def open(self) -> None:
        """Before a listing: watch the folder; where that is impossible say so once."""
        if self._notifier is not None and self._notifier.is_lost:
            self.close()
        if self._notifier is not None or self._blind is not None:
            return
        self._blind = self._why_blind(self._rules.folder)
        if self._blind is None:
            try:
                self._notifier = Notifier(self._rules.folder, recursive=self._rules.recursive)
            except (OSError, ImportError) as error:
                self._blind = str(error)
        if self._blind is not None:
            self._tell_blind()

    def _tell_blind(self) -> None:
        self._tell("polling", {"reason": self._blind, "interval": self.interval})

    @property
    def interval(self) -> float:
        """Seconds between listings, but for the folder's size."""
        return self._rules.rescan or (POLL if self._blind else RESCAN)

    def watch(self, below: str) -> None:
        """Watch a directory that is about to be listed."""
        if self._notifier is None:
            return
        try:
            self._notifier.add(below)
        except OSError as error:
            self._blind = f"{error.strerror}: {below or self._rules.folder}"
            self.close()
            self._tell_blind()

    def walked(self, started: float) -> None:
        """After a listing: set the time of the next."""
        self._ended = self._clock.monotonic()
        self._took = self._ended - started
        self.next_walk = self._ended + max(self.interval, SHARE * self._took)

    def must_walk(self) -> bool:
        """Whether it is time to list the folder."""
        if self._notifier is not None and self._notifier.is_lost:
            self.next_walk = min(self.next_walk, self._ended + CALM * self._took)
        return self._clock.monotonic() >= self.next_walk

    def fileno(self) -> int | None:
        """The descriptor that tells of events, if there is one."""
        return None if self._notifier is None else self._notifier.fileno()

    def read(self) -> set[str]:
        """Names to look at; the descriptor is readable."""
        return set() if self._notifier is None else self._notifier.read()

    def close(self) -> None:
        """Close the descriptors."""
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None
