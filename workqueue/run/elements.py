"""The run of an array: its handler is called once for each element, in one claim.

element returned      marked, and that is all; what it staged goes with the array's commit
element raised        split off in the same commit, as a job of its own that has had this attempt; the array goes on
worker dies           the next run splits off the element that was running, and goes on behind those that have ended
worker is to stop     the array is given back between two elements, unless something is staged: then it goes on

What ends the whole array instead: its cancel, more rejected records than allowed, a disk that refuses what is staged.

**Invariant**: what an element has staged is kept apart until it has ended, so one that is split off has staged nothing.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workqueue.engine import arrays as _  # noqa: F401 - now, and not by a worker whose package was upgraded meanwhile
from workqueue.errors import Interrupted
from workqueue.jobs import arrays
from workqueue.jobs.content import encode_json
from workqueue.jobs.rejects import TooManyRejects
from workqueue.jobs.states import State
from workqueue.run.element import Element
from workqueue.run.job import OPENING, Job
from workqueue.run.judgement import (
    Again,
    Done,
    Ended,
    Left,
    Never,
    PutOff,
    Split,
    Unreadable,
    Verdict,
    check_rejects,
    of_exception,
)
from workqueue.run.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.arrays import Marks
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.run.board import Board
    from workqueue.run.notes import HasToLeave

PERIOD = 0.01
"""Seconds between two looks whether the worker is to stop: each is a few system calls."""
NOTHING = b"null"


class ArrayRun:
    """One run of an array."""

    def __init__(
        self,
        engine: DirectoryEngine,
        claim: Claim,
        call: Callable[[Job], Any],
        board: Board,
        has_to_leave: HasToLeave | None,
    ) -> None:
        self.engine, self.claim, self.pid = engine, claim, os.getpid()
        self.job = Job(engine, claim)
        self.max_attempts = self.job.max_attempts
        self.notes: Notes | None = None
        self._call, self._board, self._has_to_leave = call, board, has_to_leave
        self._now = engine.root.clock.monotonic
        self._next_look = self._now() + PERIOD
        self._keeps = engine.keeps(claim)
        self._results: list[bytes] = []
        self._backoff: float | None = None
        self._due_at: int | None = None
        """From when the waits of this run's elements are counted: one moment, so that they come back together."""
        self._marks: Marks | None = None
        self._at = 0
        self.ended = 0
        self.split: list[Split] = []

    def told(self) -> Notes:
        """What the elements tell: one for all, whatever threads there are."""
        with OPENING:
            if self.notes is None:
                self.notes = Notes(self.engine, self.claim, None, None)
            return self.notes

    def run(self) -> Verdict:
        """Run the elements that are to do, then make durable what they staged."""
        lines = arrays.lines(self.claim.options, self.engine.body(self.claim))
        self._marks = marks = self.engine.marks(self.claim)
        if self._keeps:
            self._results = [NOTHING] * len(lines)
        self._split_blamed(lines, marks)
        for self._at, (line, mark) in enumerate(zip(lines, marks.marks, strict=True)):
            if mark == arrays.TO_DO[0]:
                if self.ended and self._is_to_leave():
                    return Left(array=Ended(self.ended, self.split))
                self._run_one(self._at, line, marks)
        check_rejects(self.engine, self.claim, self.notes)
        result = b"[%b]" % b",".join(self._results) if self._keeps else None
        self.engine.seal(self.claim, result)
        return Done(result, None, Ended(self.ended, self.split))

    def close(self, verdict: Verdict) -> Verdict:
        """Let go of everything, and add to the verdict what was counted."""
        is_done = isinstance(verdict, Done)
        is_kept = self._marks is not None and self._marks.are_kept
        if self._marks is not None:
            self._marks.close(ended=not is_done)
        if self.notes is not None:
            self.notes.end(stays=not is_done or self._keeps)
            if isinstance(verdict, Done):
                return verdict._replace(counts=self.notes.counts)
            if isinstance(verdict, Left) and is_kept:  # else they are run, and counted, again
                return replace(verdict, counts=self.notes.counts)
        return verdict

    # -- one element -------------------------------------------------------------------------------------------

    def _run_one(self, index: int, line: bytes, marks: Marks) -> None:
        self._board.next_element()
        element = Element(self, index, line)
        counts = self.notes.counts.copy() if self.notes is not None else {}
        try:
            value = self._call(element)
            if os.getpid() != self.pid:
                os._exit(0)  # a child that the handler forked and let return: the rest is its parent's
            mark = self._hand_over(element, value) if element.stages or self._keeps else arrays.ENDED
            element.end()
        except BaseException as error:  # noqa: BLE001 - as in `attempt`
            if os.getpid() != self.pid:
                os._exit(0)
            element.end()
            self._take_back(element, error, counts)
            self._split(index, line, of_exception(error))
            mark = arrays.SPLIT
        else:
            self.ended += 1
        marks.set(index, mark)

    def _hand_over(self, element: Element, value: Any) -> bytes:
        """Keep what the element returned, and add what it staged to what the run hands over."""
        result = encode_json(value, "result") if self._keeps else NOTHING
        mark = arrays.ENDED
        if element.stages:
            assert self.claim.staged is not None
            if self.claim.staged.keep():
                mark = arrays.STAGED
            element.stages = False
        if self._keeps and result != NOTHING:
            self._results[element.index] = result
            mark = arrays.STAGED
        return mark

    def _take_back(self, element: Element, error: BaseException, counts: dict[str, int | float]) -> None:
        """Undo what the element has staged and counted; raises what is no fault of its own, and ends the array."""
        if type(error) is Interrupted or isinstance(error, TooManyRejects):
            raise error
        staged = self.claim.staged
        if staged is not None:
            if element.stages:
                staged.take_back()
            if staged.broken is not None:
                raise staged.broken
        if self.notes is not None:
            self.notes.take_back(counts)

    def _is_to_leave(self) -> bool:
        """Whether the array is to be given back before its next element. Not where that would cost what is staged."""
        now = self._now()
        if now < self._next_look:
            return False
        self._next_look = now + PERIOD
        self._board.share(self._at / (self.claim.options.array or 1))
        staged = self.claim.staged
        return (
            self._has_to_leave is not None
            and (staged is None or staged.is_empty)
            and self._has_to_leave(has_come_on=True)
        )

    # -- elements that become jobs of their own ----------------------------------------------------------------

    def _split_blamed(self, lines: list[bytes], marks: Marks) -> None:
        """Split off the elements that worker deaths were blamed on: in each run, until one commits."""
        at = marks.marks.find(arrays.BLAMED)
        while at >= 0:
            attempt = self.claim.name.attempt - 1
            died = {"kind": "death", "message": "its worker died", "at": self.engine.root.clock.now_ms()}
            errors = [error for error in self.engine.errors(self.claim.id) if error.get("attempt") == attempt]
            error = {**died, **(errors[-1] if errors else {}), "attempt": attempt}
            fails = attempt >= self.max_attempts
            state = State.FAILED if fails else State.NEW
            self._stage(at, lines[at], Never(error) if fails else Again(error, 0.0), state, attempt, None)
            at = marks.marks.find(arrays.BLAMED, at + 1)

    def _split(self, index: int, line: bytes, verdict: Verdict) -> None:
        """Stage an element that failed, as what its verdict makes of a job."""
        attempt = self.claim.name.attempt
        match verdict:
            case PutOff(delay, _):
                self._stage(index, line, verdict, State.LATER, attempt - 1, delay)
            case Again(error, _) if attempt >= self.max_attempts:
                self._stage(index, line, Never(error), State.FAILED, attempt, None)
            case Again(_, delay):
                wait = self._drawn(attempt) if delay is None else delay
                self._stage(index, line, verdict, State.LATER, attempt, wait)
            case Never():
                self._stage(index, line, verdict, State.FAILED, attempt, None)
            case Unreadable():
                self._stage(index, line, verdict, State.CORRUPT, attempt, None)
            case _:
                raise AssertionError(verdict)

    def _drawn(self, attempt: int) -> float:
        """The wait for another attempt: drawn once, so that those who failed together come back as one batch."""
        if self._backoff is None:
            self._backoff = self.engine.settings(self.claim.queue).backoff.delay(attempt)
        return self._backoff

    def _stage(
        self,
        index: int,
        line: bytes,
        verdict: Again | PutOff | Never | Unreadable,
        state: State,
        attempt: int,
        delay: float | None,
    ) -> None:
        now = self.engine.root.clock.now_ms()
        if state is State.LATER and self._due_at is None:
            self._due_at = now
        error = dated(verdict, attempt, now)
        due = None if delay is None else (self._due_at or now) + int(delay * 1000)
        name = self.engine.stage_element(self.claim, index, line, state, attempt=attempt, due=due, error=error)
        self.split.append(Split(name.id, index, state, verdict, attempt, delay or 0.0))


def dated(verdict: Again | PutOff | Never | Unreadable, attempt: int, now: int) -> dict[str, Any] | None:
    """The error that is kept with an element; one that was put off has none."""
    head = {"attempt": attempt, "at": now, "worker": os.getpid()}
    match verdict:
        case Again(error) | Never(error):
            return {**head, **error}
        case Unreadable(reason):
            return {**head, "kind": "corrupt", "message": reason}
        case PutOff():
            return None


def attempt(
    engine: DirectoryEngine,
    claim: Claim,
    call: Callable[[Job], Any],
    board: Board,
    has_to_leave: HasToLeave | None,
) -> Verdict:
    """Run a claimed array; whatever comes of it is a verdict."""
    run = ArrayRun(engine, claim, call, board, has_to_leave)
    try:
        verdict = run.run()
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is the job's, not ours
        verdict = of_exception(error)
    return run.close(verdict)
