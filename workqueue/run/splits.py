"""What is told of an array that has ended: how many elements, and those that have become jobs of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.run import board as b
from workqueue.run.events import emit
from workqueue.run.failures import brief, cause
from workqueue.run.judgement import Again, Never, PutOff, Unreadable

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim
    from workqueue.run.board import Board
    from workqueue.run.judgement import Ended


def figures(ended: Ended) -> dict[str, int]:
    """What the event "finished" says of an array."""
    return {"elements": ended.elements, **({"split": len(ended.split)} if ended.split else {})}


def tell(engine: DirectoryEngine, claim: Claim, ended: Ended, board: Board) -> None:
    """Count and tell the elements that have become jobs of their own, now that they are there."""
    attempts = claim.options.max_attempts or engine.settings(claim.queue).max_attempts
    for split in ended.split:
        job = {"queue": claim.queue, "id": split.id, "label": claim.name.label, "attempt": split.attempt}
        job["from"] = f"{claim.id}.{split.element}"
        match split.verdict:
            case Again(error):
                board.count(b.RETRIED)
                text, why = brief(error), cause(error)
                emit(
                    "retried", board.journal, **job, max_attempts=attempts, delay=split.delay, error=text, cause=why
                )  # fmt: skip
            case Never(error):
                board.count(b.FAILED)
                text, why = brief(error), cause(error)
                emit("failed", board.journal, **job, max_attempts=attempts, error=text, cause=why)
            case PutOff(delay, reason):
                board.count(b.SNOOZED)
                emit("snoozed", board.journal, **job, delay=delay, error=reason)
            case Unreadable(reason):
                board.count(b.CORRUPT)
                emit("corrupted", board.journal, **job, name=split.id, reason=reason)
