"""Judgement: what a run, or one element of an array, came to.

verdicts.py has the verb that follows from each.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from workqueue.errors import BadSetting, Reject, Retry, Snooze, TimedOut
from workqueue.jobs.content import Damaged, encode_json
from workqueue.jobs.durations import seconds
from workqueue.run.failures import record, words_of
from workqueue.run.program import ProgramFailed

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.jobs.states import State
    from workqueue.run.notes import Notes


class Done(NamedTuple):
    """The handler returned; its result as JSON, where outcomes are kept."""

    result: bytes | None = None
    counts: dict[str, int | float] | None = None
    array: Ended | None = None


class Split(NamedTuple):
    """An element of an array that the run has made a job of its own."""

    id: str
    element: int
    state: State
    verdict: Again | PutOff | Never | Unreadable
    attempt: int
    delay: float


class Ended(NamedTuple):
    """What the run of an array came to."""

    elements: int
    """That ended in this run."""
    split: list[Split]


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt; after `delay`, or by the backoff."""

    error: dict[str, Any]
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class PutOff:
    """Not yet: another attempt, and this one is not charged."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Never:
    """No attempt will succeed."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The payload is damaged."""

    reason: str


@dataclass(frozen=True, slots=True)
class Left:
    """The handler left at a save, because its worker is to stop: to be gone on with, and not charged."""

    counts: dict[str, int | float] | None = None
    """Of an array: what its ended elements counted, which no later run will count again."""
    array: Ended | None = None


Verdict = Done | Again | PutOff | Never | Unreadable | Left


def of_exception(error: BaseException) -> Verdict:
    """The verdict on a handler that raised."""
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)  # what filled the memory; to tell of it takes some
    try:
        return _of_exception(error)
    except BadSetting as bad:
        return Again(record("error", bad))


def _of_exception(error: BaseException) -> Verdict:  # noqa: PLR0911 - a table
    match error:
        case Snooze():
            return PutOff(seconds(error.delay, "Snooze"), words_of(error))
        case Reject():
            return Never(record("rejected", error))
        case Retry():
            delay = None if error.delay is None else seconds(error.delay, "Retry")
            return Again(record("retry", error), delay)
        case Damaged():
            return Unreadable(str(error))
        case TimedOut():
            return Again(record("timeout", error))
        case ProgramFailed():
            return Again(record("exit", error))
        case _:
            return Again(record("error", error))


def check_rejects(engine: DirectoryEngine, claim: Claim, notes: Notes | None) -> None:
    """Refuse to commit a run that has rejected too many records, though its handler returned."""
    limit = engine.reject_limit(claim) if claim.staged is not None and claim.staged.rejected else None
    if limit is not None and claim.staged is not None:
        limit.check(claim.staged.rejected, notes.counts.get("read") if notes else None)


def result_of(engine: DirectoryEngine, claim: Claim, value: Any) -> bytes | None:
    """What the handler returned, as JSON, where it is to be kept; raises BadPayload if it cannot be."""
    return encode_json(value, "result") if engine.keeps(claim) else None
