"""The directory engine: every verb is one rename, link or unlink in a root.

This module only gathers the verbs under the protocol's names; each one's duty, and the reason for its order of steps,
stands in the module that does it. What a producer needs is apart (intake.py), because a submit starts often.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from workqueue.engine import arrays, checkpoints, claims, lookup, operate, records, settle
from workqueue.engine.intake import Intake
from workqueue.engine.journal import Journal, user_name
from workqueue.engine.staged import Staged
from workqueue.jobs.rejects import RejectLimit, reject_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.arrays import Marks
    from workqueue.engine.checkpoints import Found
    from workqueue.engine.protocol import Claim, Corrupted, Engine, Located, NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.arrays import Tally
    from workqueue.jobs.checkpoint import Checkpoint
    from workqueue.jobs.ids import JobId
    from workqueue.jobs.names import Name
    from workqueue.jobs.progress import Progress
    from workqueue.jobs.states import State

STAGING = threading.Lock()


class DirectoryEngine(Intake):
    """The verbs, in one root."""

    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self._journal = Journal(root, "operator")

    # -- run ---------------------------------------------------------------------------------------------------

    def take(self, queue: str, hint: str, slot: int) -> Claim | Corrupted | None:
        """Claim the job of a hint; None if another was faster."""
        return claims.take(self.root, queue, hint, slot)

    def body(self, claim: Claim) -> bytes:
        """The payload's bytes."""
        return claims.body(self.root, claim)

    def open_payload(self, claim: Claim) -> BinaryIO:
        """The payload as a file, at its beginning."""
        return claims.open_payload(self.root, claim)

    def payload_path(self, claim: Claim) -> str:
        """The path of a file that holds just the payload."""
        return claims.payload_path(self.root, claim)

    def marks(self, claim: Claim) -> Marks:
        """How far the elements of an array have come, for the run that begins."""
        return arrays.Marks(self.root, claim)

    def element_path(self, claim: Claim, index: int, line: bytes) -> str:
        """The path of a file that holds just this element of an array."""
        return arrays.element_path(self.root, claim, index, line)

    def stage_element(
        self, claim: Claim, index: int, line: bytes, state: State, *, attempt: int, due: int | None, error: Any
    ) -> Name:
        """Stage an element of an array as a job of its own; no limit of its queue keeps out what is in it already."""
        name, data = arrays.split_off(self.root, claim, index, line, attempt=attempt, due=due, error=error)
        self.stage(claim).element(claim.queue, state, name, data, claim.options.batch)
        return name

    def stage(self, claim: Claim) -> Staged:
        """What a run will hand over when it commits."""
        with STAGING:  # a handler's threads share one
            if claim.staged is None:
                claim.staged = Staged(self.root, claim)
            return claim.staged

    def stage_job(self, claim: Claim, job: NewJob) -> JobId:
        """Stage a child; refused as a submit would be."""
        self.check(job)
        return self.stage(claim).job(job)

    def reject_limit(self, claim: Claim) -> RejectLimit | None:
        """How many records the run may reject: the job's own limit, or the queue's."""
        own = claim.options.reject_limit
        return self.settings(claim.queue).reject_limit if own is None else reject_limit(own, "reject_limit")

    def seal(self, claim: Claim, result: bytes | None) -> None:
        """Make durable what a run has staged, so that its end can be the commit."""
        if claim.staged is not None and not claim.staged.is_empty:
            claim.staged.seal(result)
        else:
            claim.staged = None

    def keeps(self, claim: Claim) -> bool:
        """Whether the outcome of this job is kept."""
        return settle.keep_for(self.root, claim) > 0

    def finish(self, claim: Claim, result: bytes | None = None) -> bool:
        """End a job that succeeded."""
        return settle.finish(self.root, claim, result)

    def defer(self, claim: Claim, delay: float, *, free: bool = False) -> bool:
        """Run a job again after `delay` seconds; `free` gives the attempt back."""
        return settle.defer(self.root, claim, delay, free=free)

    def fail(self, claim: Claim) -> bool:
        """Put a job into failed/."""
        return settle.fail(self.root, claim)

    def release(self, claim: Claim) -> bool:
        """Make a job ready as if its run had never started."""
        return settle.release(self.root, claim)

    def drop(self, claim: Claim) -> bool:
        """Remove a job whose cancel was ordered."""
        return settle.drop(self.root, claim)

    def corrupt(self, claim: Claim, reason: str) -> bool:
        """Put a job that cannot be read into corrupt/."""
        settle.drop_scratch(self.root, claim)
        return claims.quarantine(self.root, claim.queue, claim.name, claim.path, reason) is not None

    def add_error(self, claim: Claim, error: dict[str, Any]) -> None:
        """Record a failed attempt; best effort."""
        records.add_error(self.root, claim.id, error)

    def save(self, claim: Claim, checkpoint: Checkpoint, *, durable: bool) -> None:
        """Keep from where the job's next run goes on."""
        checkpoints.save(self.root, claim, checkpoint, durable=durable)

    def put_progress(self, claim: Claim, data: bytes) -> None:
        """Keep what the run tells of itself; best effort."""
        records.put_progress(self.root, claim, data)

    # -- looks -------------------------------------------------------------------------------------------------

    def find(self, job_id: str) -> Located | None:
        """Where a job is; None only if it was nowhere."""
        return lookup.find(self.root, self.root.queues(), job_id)

    def scan(self, queue: str, state: State) -> Iterator[Located]:
        """The jobs of a state, in order."""
        return lookup.scan(self.root, queue, state)

    def counts(self, queue: str) -> dict[State, int]:
        """How many jobs each state has."""
        return lookup.counts(self.root, queue)

    def load(self, found: Located) -> Claim:
        """Read a job, wherever it lies; raises Damaged."""
        return claims.load(self.root, found.queue, found.name, found.path)

    def errors(self, job_id: str) -> list[dict[str, Any]]:
        """A job's failed attempts."""
        return records.errors(self.root, job_id)

    def result(self, job_id: str) -> bytes | None:
        """What a job's handler returned, where it is kept."""
        return records.result(self.root, job_id)

    def checkpoint(self, job_id: str) -> Found:
        """From where a job's next run goes on."""
        return checkpoints.load(self.root, job_id)

    def tally(self, job_id: str, elements: int, *, running: bool) -> Tally:
        """How far an array has come."""
        return arrays.tally(self.root, job_id, elements, running=running)

    def mark_of(self, job_id: str, index: int) -> bytes:
        """How far one element of an array has come."""
        return arrays.mark_of(self.root, job_id, index)

    def progress(self, job_id: str) -> Progress | None:
        """What a job's last run to tell something told."""
        return records.progress(self.root, job_id)

    # -- operators ---------------------------------------------------------------------------------------------

    def retry(self, found: Located, *, from_start: bool = False) -> bool:
        """Make a job ready now; `from_start` forgets its checkpoint."""
        return operate.retry(self.root, found, from_start=from_start)

    def cancel(self, found: Located) -> State | None:
        """End a job that has not ended."""
        return operate.cancel(self.root, found)

    def hold(self, found: Located) -> bool:
        """Keep a job back that waits."""
        return operate.hold(self.root, found)

    def unhold(self, found: Located) -> bool:
        """Make a held job ready."""
        return operate.unhold(self.root, found)

    def remove(self, found: Located) -> bool:
        """Remove a job that has ended."""
        return operate.remove(self.root, found)

    def record(self, event: str, found: Located) -> None:
        """Write into the journal what an operator did, which no worker sees; best effort."""
        name = found.name
        fields = {"queue": found.queue, "id": name.id, "label": name.label, "state": found.state.value}
        self._journal.add(event, {**fields, "by": user_name()})


def _proves_the_protocol(engine: DirectoryEngine) -> Engine:
    return engine
