"""Recovery: what becomes of the claims of dead workers. An ordinary arrow, not a repair.

**Invariant**: the claims, stage and commit of slot N are touched only by its owner and by the holder of its lock; the
holder ends what is left of the dead worker's session first.
A death costs the job the attempt it was charged at the claim; a job out of attempts goes to failed/, any other is ready
again at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from workqueue.engine import arrays, claims, commits, manifest, marks, overs, records, sessions, settle, slots, twins
from workqueue.engine.protocol import Corrupted, Recovered
from workqueue.jobs import names
from workqueue.jobs.content import Damaged
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.protocol import Claim, Settled
    from workqueue.engine.root import Root
    from workqueue.engine.slots import Slot


def sweep(root: Root, queues: list[str], mine: set[int]) -> Iterator[Settled | str]:
    """Take over every slot with claims in these queues, or staged files, and no living owner; texts are to be told."""
    owned = {number for queue in queues for number in _claiming(root, queue)}
    # A power cut can undo a claim and keep what its run had staged.
    owned.update(owner.slot for _, owner in staged(root))
    owned.update(run.owner.slot for run in manifest.runs(root))
    for number in sorted(owned - mine):
        slot = slots.try_lock(root, number)
        if slot is not None:
            try:
                yield from take_over(root, slot)
            except OSError as error:  # of one slot; the others' claims, and the workers, do not wait for it
                yield f"slot {number} cannot be taken over: {error}; tried again"
            finally:
                slot.close()
    yield from commits.finish_own(root, mine)
    yield from overs.settle(root)


def _claiming(root: Root, queue: str) -> Iterator[int]:
    """The slots named in cur/. A job that somebody moved there by hand belongs to nobody: it goes back to new/."""
    directory = root.space(queue, "cur")
    for text in root.fs.list(directory):
        name = names.parse(text)
        if name is not None and name.owner is not None:
            yield name.owner.slot
        else:
            # One that cannot go (its name is in use in new/, say) is tried again by the next sweep, and stops nothing.
            with contextlib.suppress(OSError):
                root.fs.rename_new(f"{directory}/{text}", f"{root.space(queue, 'new')}/{text}")


def take_over(root: Root, slot: Slot) -> Iterator[Settled | str]:
    """Settle everything of a slot whose lock we hold; leaves it alone while its session cannot be ended."""
    former = slot.former()
    ended = sessions.end_left_over(former, root.clock)
    if ended.told:
        yield ended.told
        if "cannot be killed" in ended.told:
            return
    yield from recover_slot(root, slot.number, after_cut=may_be_after_cut(former))
    slot.clear()


def may_be_after_cut(former: sessions.Identity | None) -> bool:
    """Whether the power may have failed since the slot's owner lived; where nothing tells, it may."""
    return former is None or former.boot != sessions.boot_id()


def recover_slot(
    root: Root, number: int, error: str = "its worker died", *, after_cut: bool = False
) -> Iterator[Settled | str]:
    """Recover the claims of a slot; publish what its committed runs staged, and discard what the others did."""
    for claim in claims_of(root, number):
        if isinstance(claim, Corrupted):
            yield claim
            continue
        if after_cut and claim.links > 1 and not twins.keep_one(root, claim):
            continue
        found = recover(root, claim, error)
        if found is not None:
            yield found
    yield from settle_runs(root, number, after_cut=after_cut)


def settle_runs(root: Root, number: int, *, after_cut: bool = False) -> Iterator[Settled | str]:
    """Publish or discard what the dead runs of a slot staged, once its claims are recovered."""
    yield from commits.settle_slot(root, number, after_cut=after_cut)
    for text, owner in staged(root):
        if owner.slot == number:
            with contextlib.suppress(OSError):
                root.fs.remove_tree(root.dot("stage", text))


def staged(root: Root) -> Iterator[tuple[str, names.Owner]]:
    """The names in stage/, each with the owner of its run."""
    for text in root.fs.list(root.dot("stage")):
        name = names.parse(text)
        if name is not None and name.owner is not None:
            yield text, name.owner


def claims_of(root: Root, number: int) -> Iterator[Claim | Corrupted]:
    """The claims of a slot, in every queue; what cannot be read is put into corrupt/ and told."""
    for queue in root.queues():
        yield from claimed(root, queue, number)


def claimed(root: Root, queue: str, number: int) -> Iterator[Claim | Corrupted]:
    """The claims of a slot; one that cannot be read is quarantined."""
    directory = root.space(queue, "cur")
    for text in root.fs.list(directory):
        name = names.parse(text)
        if name is None or name.owner is None or name.owner.slot != number:
            continue
        path = f"{directory}/{text}"
        try:
            yield claims.load(root, queue, name, path)
        except Damaged as damage:
            aside = claims.quarantine(root, queue, name, path, str(damage))
            if aside is not None:
                yield aside
        except FileNotFoundError:
            continue


def recover(root: Root, claim: Claim, error: str) -> Recovered | None:
    """Give a dead run's job back, or put it into failed/ if that was its last attempt."""
    if marks.is_marked(root, claim.id):
        return _drop(root, claim)
    record_death(root, claim, error)
    if claim.name.attempt >= max_attempts(root, claim):
        state, moved = State.FAILED, settle.fail(root, claim)
    else:
        state, moved = State.NEW, settle.put_back(root, claim)
    return Recovered(claim.queue, claim.name, state, error) if moved else None


def release(root: Root, claim: Claim) -> Recovered | None:
    """Give a job back whose run was ended by order: the attempt is not charged."""
    if marks.is_marked(root, claim.id):
        return _drop(root, claim)
    claim.has_records = records.exist(root, claim.id)
    moved = settle.release(root, claim)
    name = claim.name._replace(anew=settle.uncharged(claim).anew)
    return Recovered(claim.queue, name, State.NEW, released=True) if moved else None


def end_run(root: Root, claim: Claim, kind: str, reason: str) -> Recovered | None:
    """Settle a run that went over a limit: a failed attempt like any other, tried again by the backoff."""
    if marks.is_marked(root, claim.id):
        return _drop(root, claim)
    record_death(root, claim, reason, kind)
    if claim.name.attempt >= max_attempts(root, claim):
        state, moved = State.FAILED, settle.fail(root, claim)
    else:
        delay = root.settings(claim.queue).backoff.delay(claim.name.attempt)
        state, moved = State.LATER, settle.defer(root, claim, delay)
    return Recovered(claim.queue, claim.name, state, reason, cause=kind) if moved else None


def _drop(root: Root, claim: Claim) -> Recovered | None:
    """Carry out a cancel; the order stays where the claim was lost, for whoever has the job now."""
    if not settle.drop(root, claim):
        return None
    marks.clear(root, claim.id)
    return Recovered(claim.queue, claim.name, None, "cancelled")


def record_death(root: Root, claim: Claim, error: str, kind: str = "death") -> None:
    """Write down that the run did not end by itself."""
    death = {"attempt": claim.name.attempt, "at": root.clock.now_ms(), "kind": kind, "message": error}
    records.add_error(root, claim.id, death)
    if claim.options.array is not None:
        arrays.blame(root, claim)


def max_attempts(root: Root, claim: Claim) -> int:
    """How many starts the job has: its own number, or the queue's."""
    return claim.options.max_attempts or root.settings(claim.queue).max_attempts
