"""What a run tells of itself: from where the next one may go on, how far it has come, what it has counted.

A checkpoint is kept at once. Progress and counts are told per row of a file, so they stay in memory, and go to the disk
once a second at most: a call is a reading of the clock and no system call.

**Invariant**: counts are kept with each checkpoint, and taken over by the run that goes on from it. What a dead run had
counted behind its last checkpoint is done, and counted, again: so nothing is counted twice, and nothing not at all.
All of it may be called from several threads of the handler.
"""

from __future__ import annotations

import math
import operator
import threading
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

import workqueue.engine.checkpoints  # noqa: F401 - now, and not by a worker whose package was upgraded meanwhile
from workqueue.errors import BadInput, Stopped, WrongState
from workqueue.jobs.checkpoint import Checkpoint
from workqueue.jobs.content import encode_json
from workqueue.jobs.progress import LONGEST_UNIT, Progress, run_of
from workqueue.run.events import emit
from workqueue.run.printable import encodable

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.run.board import Board

PERIOD = 1.0
"""Seconds between two writes of what a run tells; also before the first: most jobs never write any."""
MOST_COUNTS = 100


class HasToLeave(Protocol):
    """Tells whether a run is to end at its save; `has_come_on`: whether it has saved another cursor than it found."""

    def __call__(self, *, has_come_on: bool) -> bool: ...


class Notes:
    """What one run tells."""

    def __init__(
        self, engine: DirectoryEngine, claim: Claim, board: Board | None, has_to_leave: HasToLeave | None
    ) -> None:
        self._engine, self._claim = engine, claim
        self._board, self._has_to_leave = board, has_to_leave
        self.has_left = False
        """Whether a save has told the handler to leave."""
        self._now = engine.root.clock.monotonic
        self._began = self._now() - (board.seconds() if board else 0.0)
        self._next = self._began + PERIOD
        self._is_over = self._is_unwritten = False
        self._done: int | float | None = None
        self._total: int | float | None = None
        self._unit = ""
        self._since: tuple[float, float] | None = (self._began, 0)
        """When, and at what number, the rate begins; None: with the next number told."""
        self.counts: dict[str, int | float] = {}
        self._newest: Checkpoint | None = None
        self._is_read = self._is_own = False
        self._number = 0
        self._first: bytes | None = None
        """The cursor with which the run began."""
        self._lock = threading.RLock()
        self._saving = threading.RLock()

    # -- the checkpoint ----------------------------------------------------------------------------------------

    def checkpoint(self) -> Any:
        """The newest cursor; None if there is none. Whoever asks for it goes on from it."""
        with self._saving:
            newest = self._read()
            if newest is None:
                return None
            if not self._is_own:
                self._is_own = True
                self._since = None
                self.count(newest.counts)
            return newest.value()

    def save(self, cursor: Any, *, durable: bool) -> None:
        """Keep a cursor; raises Stopped if the worker is to stop."""
        data = encode_json(cursor, "checkpoint")
        with self._saving:
            if self._is_over:
                raise WrongState(f"job {self._claim.id}: its run has ended; nothing is saved any more")
            if self._claim.staged is not None and not self._claim.staged.is_empty:
                raise WrongState(
                    f"job {self._claim.id}: what this run has staged goes with it if it dies, and the next would go on"
                    " behind it; save before anything is staged"
                )
            self._read()
            self._number += 1  # one that fails halfway, or is interrupted, may be there: the next must be newer
            with self._lock:
                counts = dict(self.counts)
            at = self._engine.root.clock.now_ms()
            checkpoint = Checkpoint(self._number, self._claim.name.attempt, at, msgspec.Raw(data), counts)
            self._engine.save(self._claim, checkpoint, durable=durable)
            self._newest, self._is_own = checkpoint, True
        if self._has_to_leave is not None and self._has_to_leave(has_come_on=data != self._first):
            self.has_left = True
            raise Stopped("the worker is to stop; the job is given back, and goes on from this checkpoint")

    def _read(self) -> Checkpoint | None:
        if not self._is_read:
            found = self._engine.checkpoint(self._claim.id)
            for text in found.damage:
                emit("trouble", text=f"job {self._claim.id}: {text}; it is left out")
            # A power cut can bring back a first attempt and keep what it saved: nothing else would tell of it.
            self._claim.has_records |= found.checkpoint is not None
            self._newest, self._is_read = found.checkpoint, True
            if found.checkpoint is not None:
                self._number, self._first = found.checkpoint.number, bytes(found.checkpoint.cursor)
        return self._newest

    # -- progress and counts -----------------------------------------------------------------------------------

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Take down how far the run has come."""
        if type(done) is not int:
            done = number(done, "progress")
        if total is not None and type(total) is not int:
            total = number(total, "progress")
        if type(unit) is not str:
            unit = str(unit)
        self._done, self._total, self._unit = done, total, unit
        self._is_unwritten = True
        now = self._now()
        if self._since is None:
            self._since = now, done
        if now >= self._next:
            self._write(now)

    def count(self, numbers: dict[str, Any]) -> None:
        """Add to what the run has counted."""
        counts = self.counts
        with self._lock:
            for name, value in numbers.items():
                if type(value) is not int or name not in counts:
                    numbers = self._checked(numbers)
                    break
            for name, value in numbers.items():
                counts[name] += value
        self._is_unwritten = True
        now = self._now()
        if now >= self._next:
            self._write(now)

    def take_back(self, counts: dict[str, int | float]) -> None:
        """Forget what was counted since: an element of an array has failed, and will count it again."""
        with self._lock:
            self.counts = counts

    def _checked(self, numbers: dict[str, Any]) -> dict[str, int | float]:
        """Refuse what cannot be counted before any of it is."""
        found = {name: number(value, f"count of {name!r}") for name, value in numbers.items()}
        for name in found.keys() - self.counts.keys():
            check_name(name, len(self.counts))
            self.counts[name] = 0
        return found

    def _write(self, now: float) -> None:
        """Show what was told; one thread does, and the others go on."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_over:
                return
            self._next = now + PERIOD
            self._is_unwritten = False
            told = self._told(now)
            if self._board is not None:
                self._board.share((told.percent() or 0.0) / 100)
            self._engine.put_progress(self._claim, msgspec.json.encode(told))
        finally:
            self._lock.release()

    def _told(self, now: float) -> Progress:
        since, first = self._since or (now, 0)
        rate = (self._done - first) / (now - since) if self._done is not None and now > since else 0.0
        return Progress(
            run=run_of(self._claim.name),
            attempt=self._claim.name.attempt,
            at=self._engine.root.clock.now_ms(),
            seconds=now - self._began,
            done=self._done,
            total=self._total,
            unit=encodable(self._unit)[:LONGEST_UNIT],
            rate=rate if rate > 0 else None,
            counts=self.counts,
        )

    # -- the end -----------------------------------------------------------------------------------------------

    def end(self, *, stays: bool) -> None:
        """The run is over: a thread that it left can tell nothing more. Where the job stays, its last word is kept."""
        with self._saving, self._lock:
            if stays and self._is_unwritten:
                self._write(self._now())
            self._is_over = True


def number(value: Any, what: str) -> int | float:
    """A number that JSON can hold, whatever library it comes from."""
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        found = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise BadInput(f"{what}: {value!r} is no number that can be told")
    return found


def check_name(name: str, known: int) -> None:
    """Refuse names that no report could show."""
    if known >= MOST_COUNTS:
        raise BadInput(f"count of {name!r}: a run counts at most {MOST_COUNTS} different things")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"count of {name!r}: the name cannot be encoded") from None
