"""``.fsq/jobs/ID/checkpoint``: from where the job's next run goes on.

    checkpoint            saved with a sync
    checkpoint-volatile   saved without one

Of the two the newer counts (jobs/checkpoint.py numbers them); one that is torn does not.

**Invariant**: a durable checkpoint is only ever replaced by a durable one. So a power cut, which may tear a volatile
one or bring an old one back, can never take the job behind what was durably saved.
**Guarantee**: whoever reads, at any moment and after any crash, gets one that was saved, whole, or none.
A checkpoint goes with the job's other records, and with nothing else: it is there for every later attempt, also after
``fsq retry``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from workqueue.engine import records
from workqueue.errors import WrongState, told
from workqueue.jobs.checkpoint import Checkpoint, decode, encode
from workqueue.jobs.content import Damaged

if TYPE_CHECKING:
    from workqueue.engine.protocol import Claim
    from workqueue.engine.root import Root

DURABLE, VOLATILE = "checkpoint", "checkpoint-volatile"


class Found(NamedTuple):
    """The newest checkpoint, and what is wrong with those that cannot be read."""

    checkpoint: Checkpoint | None
    damage: tuple[str, ...] = ()


def save(root: Root, claim: Claim, checkpoint: Checkpoint, *, durable: bool) -> None:
    """Keep a checkpoint; with `durable`, on the disk when this returns. If it raises, the one before is still there.

    A run whose job was taken away saves nothing: its cursor is not that of the run which has the job now.
    """
    path = f"{records.directory(root, claim.id)}/{DURABLE if durable else VOLATILE}"
    with told(f"save the checkpoint of job {claim.id}", path):
        if not root.fs.exists(claim.path):
            raise WrongState(f"job {claim.id} was moved or removed while it ran: its checkpoint is not saved")
        records.make(root, claim)
        root.fs.publish(path, encode(checkpoint), durable=durable)
        if durable and not claim.has_synced_records:
            root.fs.sync_dir(root.dot("jobs"))
            claim.has_synced_records = True


def load(root: Root, job_id: str) -> Found:
    """The newest checkpoint of a job. An error of the disk is raised: it must not make a job begin anew."""
    found: list[Checkpoint] = []
    damage = []
    for file in (DURABLE, VOLATILE):
        path = f"{records.directory(root, job_id)}/{file}"
        try:
            with told(f"read the checkpoint of job {job_id}", path), suppress(FileNotFoundError):
                found.append(decode(root.fs.read(path)))
        except Damaged as error:
            damage.append(f"{path}: {error}")
    return Found(max(found, key=lambda it: it.number, default=None), tuple(damage))


def forget(root: Root, job_id: str) -> None:
    """Let the job's next run begin anew."""
    directory = records.directory(root, job_id)
    with told(f"forget the checkpoint of job {job_id}", directory):
        gone = [root.fs.discard(f"{directory}/{file}") for file in (VOLATILE, DURABLE)]
        if any(gone):
            root.fs.sync_dir(directory)
