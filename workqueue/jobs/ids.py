"""Job ids: ULIDs, 26 characters that sort by time.

**Invariant**: ids made by one process strictly grow, even when its clock stands still or steps back; a forked child
starts from fresh randomness (without that, two forks of one producer make the same ids, and rename(2) lets the second
job silently replace the first).
The text form is Crockford's base 32: https://github.com/ulid/spec
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NewType

from workqueue.clock import CLOCK

if TYPE_CHECKING:
    from workqueue.clock import Clock

JobId = NewType("JobId", str)

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
RANDOM_BITS = 80
LAST_MS = 253_402_128_000_000
"""9999-12-30: one day before the end of the calendar, for every time zone."""
TAIL_BITS = 10
TAIL = (1 << TAIL_BITS) - 1
SHIFTS = range(120, -1, -TAIL_BITS)
"""13 pairs of characters, 10 bits each, the highest first."""


class Ids:
    """Makes ids for one process and what it forks."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._start_anew()

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._last = self._head = 0
        self._head_text = encode(0)[:-2]
        self._pid = os.getpid()  # last: who sees it finds a lock that no thread of the parent holds

    def next(self) -> JobId:
        """Make an id that is greater than every id made before by this process."""
        if self._pid != os.getpid():
            # Before the lock: another thread of the parent may have held it at the fork.
            self._start_anew()
        with self._lock:
            value = self._clock.now_ms() << RANDOM_BITS
            if value >> RANDOM_BITS > self._last >> RANDOM_BITS:
                # The top random bit stays 0: room for 2**79 further ids in the same millisecond.
                value |= int.from_bytes(os.urandom(RANDOM_BITS // 8)) >> 1
            else:
                value = self._last + 1
            self._last = value
            return self._text(value)

    def _text(self, value: int) -> JobId:
        """The text of the next number: most differ from the one before in their last characters only."""
        head = value >> TAIL_BITS
        if head != self._head:
            self._head = head
            self._head_text = encode(value)[:-2]
        return JobId(self._head_text + PAIRS[value & TAIL])


def encode(value: int) -> JobId:
    """The text of a 128-bit number."""
    return JobId("".join([PAIRS[value >> shift & TAIL] for shift in SHIFTS]))


def milliseconds(job_id: str) -> int:
    """When the id was made: milliseconds since the epoch, UTC, by its maker's clock."""
    value = 0
    for character in job_id[:10]:
        value = value << 5 | ALPHABET.index(character)
    return value


def moment(ms: int) -> datetime:
    """Milliseconds since the epoch as a time; what is past the calendar's end, in a stranger's id, is its last day."""
    return datetime.fromtimestamp(min(ms, LAST_MS) / 1000, UTC)


def first_at(ms: int) -> JobId:
    """The lowest id of a millisecond: where something of that age stands in the order of ids."""
    return encode(ms << RANDOM_BITS)
