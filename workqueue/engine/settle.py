"""How a run ends: the one rename (or unlink) that takes a claim out of cur/.

**Invariant**: a claim's name is its owner's alone, so a name that is gone means that the claim was taken away by
somebody who proved the owner dead, or by an operator's hand; then nothing more is done (False).
What belonged to the run alone (its directory under stage/) is removed before the rename, what belonged to the job
(records, key) after it: a crash in between leaves garbage that takes nothing from any job.
None of it is synced: a power cut may bring a finished job back, and it is run once more.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from workqueue.engine import commits, keys, members, records
from workqueue.engine.members import How

if TYPE_CHECKING:
    from workqueue.engine.protocol import Claim
    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name


def finish(root: Root, claim: Claim, result: bytes | None = None) -> bool:
    """End a job that succeeded: gone, or kept in done/ with its result. What its run has staged appears."""
    if claim.staged is not None:
        _drop_copy(root, claim)
        return commits.commit(root, claim)
    keep = keep_for(root, claim)
    if not keep and is_all(claim):
        try:
            root.fs.unlink(claim.path)
        except FileNotFoundError:
            return False
        return True
    if keep and result is not None:
        with contextlib.suppress(OSError):  # a full disk must not turn a success into another run
            records.put_result(root, claim.id, result)
    drop_scratch(root, claim)
    keys.foretell(root, claim.options, claim.path)
    try:
        kept = keep and _keep(root, claim)
        if not kept:
            members.end(root, claim.options, claim.id, claim.path, How.DONE)
    except FileNotFoundError:
        return False
    if not kept and (claim.name.has_history or claim.has_records or keep):
        records.remove(root, claim.id)
    free_key(root, claim)
    members.leave(root, claim.options, claim.id, How.DONE)
    return True


def is_all(claim: Claim) -> bool:
    """Whether a job's file is all that there is of it: no records, no copy, no key, no batch. Most jobs are so."""
    name, options = claim.name, claim.options
    return (
        options.key is None and options.batch is None and not (claim.scratch or claim.has_records or name.has_history)
    )


def _keep(root: Root, claim: Claim) -> bool:
    """Put a finished job into done/; False where a full disk has no room for its entry: a success stays a success."""
    try:
        root.fs.rename(claim.path, f"{root.space(claim.queue, 'done')}/{claim.name.claimed()}")
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return False
    return True


def keep_for(root: Root, claim: Claim) -> float:
    """Seconds that the job's outcome is kept in done/."""
    own = claim.options.keep
    return root.settings(claim.queue).keep_done if own is None else own


def defer(root: Root, claim: Claim, delay: float, *, free: bool = False) -> bool:
    """Put the job off for `delay` seconds; `free` gives the attempt back."""
    due = root.clock.now_ms() + int(delay * 1000)
    name = (uncharged(claim) if free else claim.name)._replace(due=due)
    return _move(root, claim, "later", name.delayed())


def fail(root: Root, claim: Claim) -> bool:
    """Put the job into failed/, where it stays until somebody retries or removes it."""
    keys.foretell(root, claim.options, claim.path)
    if not _move(root, claim, "failed", claim.name.ready()):
        return False
    free_key(root, claim)
    members.leave(root, claim.options, claim.id, How.FAILED)
    return True


def release(root: Root, claim: Claim) -> bool:
    """Make the job ready again as if this run had never started; what it has saved stays."""
    return _move(root, claim, "new", uncharged(claim).ready())


def uncharged(claim: Claim) -> Name:
    """The job's name without this attempt. Where no number is left to tell of records, a leading zero does."""
    name = claim.name
    return name._replace(attempt=name.attempt - 1, anew=name.anew or (claim.has_records and name.attempt == 1))


def put_back(root: Root, claim: Claim) -> bool:
    """Make the job of a dead run ready again; the attempt stays charged."""
    return _move(root, claim, "new", claim.name.ready())


def drop(root: Root, claim: Claim) -> bool:
    """Remove a cancelled job."""
    drop_scratch(root, claim)
    keys.foretell(root, claim.options, claim.path)
    try:
        members.end(root, claim.options, claim.id, claim.path, How.CANCELLED)
    except FileNotFoundError:
        return False
    records.remove(root, claim.id)
    free_key(root, claim)
    members.leave(root, claim.options, claim.id, How.CANCELLED)
    return True


def forget(root: Root, claim: Claim) -> None:
    """Let go what a job had that lies in done/: the file, too, unless it is kept."""
    if not keep_for(root, claim):
        with contextlib.suppress(FileNotFoundError):
            members.end(root, claim.options, claim.id, claim.path, How.DONE)
        records.remove(root, claim.id)
    free_key(root, claim)
    members.leave(root, claim.options, claim.id, How.DONE)


def drop_scratch(root: Root, claim: Claim) -> None:
    """Remove what the run has made and staged."""
    _drop_copy(root, claim)
    if claim.staged is not None:
        claim.staged.discard()


def _drop_copy(root: Root, claim: Claim) -> None:
    if claim.scratch:
        with contextlib.suppress(OSError):
            root.fs.remove_tree(root.dot("stage", claim.name.claimed()))


def free_key(root: Root, claim: Claim) -> None:
    """Let the job's key go, where it has one."""
    if claim.options.key is not None:
        keys.free(root, claim.queue, claim.options, claim.inode, claim.id)


def _move(root: Root, claim: Claim, space: str, name: str) -> bool:
    drop_scratch(root, claim)
    try:
        root.fs.rename(claim.path, f"{root.space(claim.queue, space)}/{name}")
    except FileNotFoundError:
        return False
    return True
