"""What a run came to, and the verb that follows from it.

handler returned            finish
Snooze                      defer, the attempt given back
Retry, any other exception  defer by the backoff; fail when that was the last attempt
Reject, expired             fail, now
payload cannot be read      corrupt, now
told to leave at a save     release, the attempt given back
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, assert_never

from workqueue.engine import marks
from workqueue.errors import Stopped
from workqueue.run import board as b
from workqueue.run import elements, splits
from workqueue.run.events import EVENTS, LOGGER, emit
from workqueue.run.failures import brief, cause, record
from workqueue.run.job import Job, told_by
from workqueue.run.judgement import (
    Again,
    Done,
    Left,
    Never,
    PutOff,
    Unreadable,
    Verdict,
    check_rejects,
    of_exception,
    result_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.journal_buffer import JournalBuffer
    from workqueue.engine.protocol import Claim
    from workqueue.run.board import Board
    from workqueue.run.notes import HasToLeave

__all__ = ["Again", "Done", "Left", "Never", "PutOff", "Unreadable", "Verdict", "attempt", "of_exception", "settle"]


NOTHING_TO_TELL = Done()
"""What most runs come to."""


def attempt(
    engine: DirectoryEngine,
    claim: Claim,
    call: Callable[[Job], Any],
    board: Board,
    has_to_leave: HasToLeave | None = None,
) -> Verdict:
    """Run a claimed job; whatever comes of it is a verdict. Only here is every exception caught."""
    expires = claim.options.expires
    if expires is not None and engine.root.clock.now_ms() > expires:
        return Never({"kind": "expired", "message": "expired before it was run"})
    if claim.options.array is not None:
        return elements.attempt(engine, claim, call, board, has_to_leave)
    job = Job(engine, claim, board, has_to_leave)
    verdict = _attempt(engine, claim, call, job)
    if verdict is NOTHING_TO_TELL:
        return verdict
    notes = told_by(job)
    if notes is None:
        return verdict
    if isinstance(verdict, Done):
        notes.end(stays=engine.keeps(claim))
        return verdict._replace(counts=notes.counts)
    notes.end(stays=True)
    return verdict


def _attempt(engine: DirectoryEngine, claim: Claim, call: Callable[[Job], Any], job: Job) -> Verdict:
    try:
        value = call(job)
        if claim.staged is None and told_by(job) is None and not engine.keeps(claim):
            return NOTHING_TO_TELL
        if has_left(job):
            return Left()  # it returned all the same, or a thread of it was told: who knows whether all is done
        result = result_of(engine, claim, value)
        check_rejects(engine, claim, told_by(job))
        engine.seal(claim, result)
        return Done(result)
    except BaseException as error:  # noqa: BLE001 - whatever the handler raises is the job's, not ours
        return Left() if has_left(job) and is_leaving(error) else of_exception(error)


def has_left(job: Job) -> bool:
    """Whether a save has told the handler to leave."""
    notes = told_by(job)
    return notes is not None and notes.has_left


def is_leaving(error: BaseException) -> bool:
    """Whether a handler was ended by a save that told it to leave, in one or several of its tasks."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(Stopped)[1] is None
    return isinstance(error, Stopped)


def settle(engine: DirectoryEngine, claim: Claim, verdict: Verdict, board: Board) -> None:
    """Carry out the verdict: one verb of the engine, counted and told."""
    match verdict:
        case Done():
            _finish(engine, claim, verdict, board)
        case Left(counts, array):
            if _unless_cancelled(engine, claim, board):
                told: dict[str, Any] = {"counts": counts} if counts else {}
                told |= {"elements": array.elements} if array else {}
                _tell(board, b.RELEASED, "released", claim, done=engine.release(claim), **told)
        case PutOff(delay, reason):
            if _unless_cancelled(engine, claim, board):
                moved = engine.defer(claim, delay, free=True)
                took = board.seconds()
                _tell(board, b.SNOOZED, "snoozed", claim, done=moved, took=took, delay=delay, error=reason)
        case Unreadable(reason):
            moved = engine.corrupt(claim, reason)
            name, took = claim.name.ready(), board.seconds()
            _tell(board, b.CORRUPT, "corrupted", claim, done=moved, took=took, name=name, reason=reason)
        case Never(error):
            _fail(engine, claim, error, board)
        case Again(error, delay):
            _again(engine, claim, error, delay, board)
        case _:
            assert_never(verdict)


def _finish(engine: DirectoryEngine, claim: Claim, verdict: Done, board: Board) -> None:
    try:
        done = engine.finish(claim, verdict.result)
    except OSError as error:
        if claim.staged is None:
            raise
        _again(engine, claim, record("error", error), None, board)  # it did not commit: a run that failed at its end
    else:
        if verdict is NOTHING_TO_TELL and done:
            _tell_finished(claim, board)
            return
        told: dict[str, Any] = {"counts": verdict.counts} if verdict.counts else {}
        if claim.staged is not None and claim.staged.rejected:
            told["rejects"] = claim.staged.rejected
            board.count(b.REJECTS, claim.staged.rejected)
        if verdict.array is not None:
            told |= splits.figures(verdict.array)
        _tell(board, b.DONE, "finished", claim, done=done, took=board.seconds(), **told)
        if verdict.array is not None and done:
            splits.tell(engine, claim, verdict.array, board)


def _again(engine: DirectoryEngine, claim: Claim, error: dict[str, Any], delay: float | None, board: Board) -> None:
    settings = engine.settings(claim.queue)
    attempts = claim.options.max_attempts or settings.max_attempts
    if claim.name.attempt >= attempts:
        _fail(engine, claim, error, board)
        return
    if not _unless_cancelled(engine, claim, board):
        return
    wait = settings.backoff.delay(claim.name.attempt) if delay is None else delay
    _keep_rejects(claim)
    engine.add_error(claim, _dated(engine, claim, error))
    done, text = engine.defer(claim, wait), brief(error)
    told = {"took": board.seconds(), "cause": cause(error)}
    _tell(board, b.RETRIED, "retried", claim, done=done, delay=wait, error=text, max_attempts=attempts, **told)


def _fail(engine: DirectoryEngine, claim: Claim, error: dict[str, Any], board: Board) -> None:
    if not _unless_cancelled(engine, claim, board):
        return
    attempts = claim.options.max_attempts or engine.settings(claim.queue).max_attempts
    _keep_rejects(claim)
    engine.add_error(claim, _dated(engine, claim, error))
    done, text = engine.fail(claim), brief(error)
    told = {"took": board.seconds(), "cause": cause(error)}
    _tell(board, b.FAILED, "failed", claim, done=done, error=text, max_attempts=attempts, **told)


def _keep_rejects(claim: Claim) -> None:
    if claim.staged is not None:
        claim.staged.keep_rejects()


def _unless_cancelled(engine: DirectoryEngine, claim: Claim, board: Board) -> bool:
    """Whether the job goes on; one whose cancel was ordered is removed instead."""
    if not marks.is_marked(engine.root, claim.id):
        return True
    dropped = engine.drop(claim)
    if dropped:  # else the order is for whoever has the job now
        marks.clear(engine.root, claim.id)
    _tell(board, b.CANCELLED, "cancelled", claim, done=dropped, took=board.seconds())
    return False


def _dated(engine: DirectoryEngine, claim: Claim, error: dict[str, Any]) -> dict[str, Any]:
    return {"attempt": claim.name.attempt, "at": engine.root.clock.now_ms(), "worker": os.getpid(), **error}


def _tell(board: Board, field: int, event: str, claim: Claim, *, done: bool, **fields: Any) -> None:
    if not done:
        emit("vanished", board.journal, **about(claim))
        return
    board.count(field)
    if board.journal is not None:
        _keep(board.journal, event, claim, fields)
    if LOGGER.isEnabledFor(EVENTS[event][0]):
        emit(event, **about(claim), **fields)


def _tell_finished(claim: Claim, board: Board) -> None:
    """The same of a run of which there is only its duration to tell: short, because most are so."""
    name, journal = claim.name, board.journal
    if journal is None or name.label or name.anew or LOGGER.isEnabledFor(EVENTS["finished"][0]):
        _tell(board, b.DONE, "finished", claim, done=True, took=board.seconds())
    else:
        board.count(b.DONE)
        journal.finished(claim.queue, name, board.seconds())


def _keep(journal: JournalBuffer, event: str, claim: Claim, fields: dict[str, Any]) -> None:
    """Write the end of a run into the journal; most have only their duration to tell."""
    name = claim.name
    if event == "finished" and len(fields) == 1 and not name.label and not name.anew:
        journal.finished(claim.queue, name, fields["took"])
    else:
        journal.add(event, {**about(claim), **({"anew": True} if name.anew else {}), **fields})


def about(claim: Claim) -> dict[str, Any]:
    """The fields of an event that say which job."""
    name = claim.name
    return {"queue": claim.queue, "id": name.id, "label": name.label, "attempt": name.attempt}
