"""Signals that end the program, as an exception, so that what was begun is cleaned up.

Guarantee: SystemExit is raised once, never in the middle of a `deferred` block; a second Ctrl-C does not
cut the clean-up short.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Takes over the signals of this process."""

    def __init__(self) -> None:
        self._asked_by = 0
        self._deferring = False
        for number in SIGNALS:
            signal.signal(number, self._ask)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep what must not be done by halves from being interrupted; the signal counts afterwards."""
        before = self._asked_by
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._asked_by != before:
            self._end()

    def _ask(self, number: int, _: FrameType | None) -> None:
        if not self._asked_by:
            self._asked_by = number
            if not self._deferring:
                self._end()

    def _end(self) -> None:
        raise SystemExit(128 + self._asked_by)
