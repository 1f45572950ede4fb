"""What cannot be taken: told at once, told again while it lasts, tried again; and never a thousand lines at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from workqueue.clock import Clock
    from workqueue.pipeline.watch.scan import Found, Odd, Sign

REST = 30.0
"""Seconds until a file that failed is tried again."""
TELL_AGAIN = 600.0
"""Seconds until what still fails is told again."""
LINES = 20
"""Lines at a time; the others are only counted."""


@dataclass(slots=True)
class Mark:
    """What is known of one name."""

    odd: Odd
    told: float
    tried: float
    sign: Sign | None = None


class Sore:
    """Remembers what could not be taken."""

    def __init__(self, clock: Clock, tell: Callable[[str, dict[str, object]], object]) -> None:
        self._clock = clock
        self._tell = tell
        self._marks: dict[str, Mark] = {}
        self._lines = 0
        self._more = 0

    def note(self, odd: Odd, sign: Sign | None = None) -> None:
        """Take a failure; tell it if it is new, or has lasted."""
        now = self._clock.monotonic()
        mark = self._marks.get(odd.path)
        is_new = mark is None or mark.odd != odd
        if mark is None or is_new:
            mark = self._marks[odd.path] = Mark(odd, now, now, sign)
        mark.tried, mark.sign = now, sign
        if is_new or (odd.failed and now - mark.told >= TELL_AGAIN):
            mark.told = now
            self._say(odd)

    def _say(self, odd: Odd) -> None:
        self._lines += 1
        if self._lines <= LINES:
            self._tell("unreadable" if odd.failed else "skipped", {"path": odd.path, "reason": odd.reason})
        else:
            self._more += 1

    def flush(self) -> None:
        """End a group of lines."""
        if self._more:
            self._tell("more", {"count": self._more})
        self._lines = self._more = 0

    def is_resting(self, found: Found) -> bool:
        """Whether a file failed lately, and is still the same; its ctime may be ours."""
        mark = self._marks.get(found.path)
        if mark is None or not mark.odd.failed:
            return False
        if mark.sign is not None and mark.sign[:4] != found.sign[:4]:
            return False
        return mark.odd.for_good or self._clock.monotonic() - mark.tried < REST

    def heal(self, path: str) -> None:
        """Forget a file that was taken after all."""
        self._marks.pop(path, None)

    def keep(self, there: Container[str]) -> None:
        """Forget what is not there any more."""
        self._marks = {path: mark for path, mark in self._marks.items() if path in there}

    @property
    def failed(self) -> int:
        """How many cannot be taken now."""
        return sum(mark.odd.failed for mark in self._marks.values())

    @property
    def skipped(self) -> int:
        """How many are not files."""
        return len(self._marks) - self.failed
