"""What a watch came to, and what it tells.

Counted at once, and told later: outside of what handles the disk's errors, because telling has errors of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue.pipeline.watch.ledger import JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workqueue.clock import Clock
    from workqueue.pipeline.watch.dedupe import Duplicate
    from workqueue.pipeline.watch.ledger import Intent

    Tell = Callable[[str, dict[str, object]], object]

PAUSE_FIRST, PAUSE_LAST = 1.0, 30.0
"""Seconds between tries while something stands in the way."""
TELL_AGAIN = 600.0
"""Seconds until what still stands in the way is told again."""


@dataclass
class Summary:
    """What a watch came to."""

    ingested: int = 0
    bytes: int = 0
    duplicates: int = 0
    recovered: int = 0
    """Of the ingested: begun by a watch that died."""
    unreadable: int = 0
    skipped: int = 0
    waiting: int = 0
    """Not complete, or not taken yet, when it ended."""


class Account:
    """Counts and tells."""

    def __init__(self, tell: Tell) -> None:
        self.summary = Summary()
        self._tell = tell
        self._untold: list[tuple[str, dict[str, object]]] = []

    def say(self, event: str, fields: dict[str, object]) -> None:
        """Tell later."""
        self._untold.append((event, fields))

    def flush(self) -> None:
        """Tell now."""
        untold, self._untold = self._untold, []
        for event, fields in untold:
            self._tell(event, fields)

    def took(self, taken: Iterable[Intent], *, recovered: bool = False) -> None:
        """Count files that became jobs, or went to the archive as duplicates."""
        for intent in taken:
            if intent.verdict == JOB:
                self.summary.ingested += 1
                self.summary.recovered += recovered
                self.summary.bytes += intent.size
                self.say("ingested", {"path": intent.path, "id": intent.id, "size": intent.size})
            else:
                self.summary.duplicates += 1
                self.say("duplicate", {"path": intent.path, "archive": intent.archive})

    def left(self, duplicates: Iterable[Duplicate]) -> None:
        """Count duplicates that stay where they are."""
        for duplicate in duplicates:
            self.summary.duplicates += 1
            self.say("duplicate", {"path": duplicate.found.path, "id": duplicate.id})


class Trouble:
    """What stands in the way of everything: told once while it lasts, tried again ever more seldom."""

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._kind, self._told, self._pause = "", 0.0, PAUSE_FIRST

    def wait_out(self, kind: str, error: Exception) -> float:
        """Take it; returns the seconds until the next try."""
        now = self._clock.monotonic()
        if kind != self._kind or now - self._told >= TELL_AGAIN:
            self._kind, self._told = kind, now
            self._tell(kind, {"text": str(error)})
        pause, self._pause = self._pause, min(self._pause * 2, PAUSE_LAST)
        return pause

    def is_over(self) -> None:
        """All went well."""
        if self._kind:
            self._tell("going on", {})
        self._kind, self._pause = "", PAUSE_FIRST
