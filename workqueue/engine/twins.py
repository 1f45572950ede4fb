"""Twins: one job under two names, which is what a power cut can leave of a rename on btrfs.

There a sync of the directory that a job was moved into keeps its new name, and need not drop the old one from the
other directory (seen by scripts/power-cuts: 14 jobs in 70 cuts, and none without a name). Both names are links of one
file, so removing one loses nothing; running both would run the job twice, at the same time even.

**Invariant**: a job with one link has no twin, so nothing is looked for; nor is it where there can have been no cut.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from workqueue.engine import lookup
from workqueue.jobs import names
from workqueue.jobs.states import SEARCHED, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.protocol import Claim
    from workqueue.engine.root import Root

BEHIND = frozenset({State.NEW, State.LATER})
"""Where the other name of a claim is the one from before it."""


def keep_one(root: Root, claim: Claim) -> bool:
    """Leave a dead run's job one name: its claim (True), unless the job had already gone on from there."""
    while twins := list(_others(root, claim)):
        for state, path in twins:
            if state not in BEHIND:
                root.fs.discard(claim.path)
                return False
            root.fs.discard(path)  # gone meanwhile: claimed by somebody, as the next look shows
    return True


def has_other(root: Root, claim: Claim) -> bool:
    """Whether a job has another name in its queue."""
    return next(_others(root, claim), None) is not None


def is_elsewhere(root: Root, queue: str, job_id: str, inode: int) -> bool:
    """Whether the file is a job of a queue already."""
    return any(
        job_id in text and _is(root, f"{root.space(queue, state)}/{text}", inode)
        for state in SEARCHED
        for text in lookup.entries(root, queue, state)
    )


def _others(root: Root, claim: Claim) -> Iterator[tuple[State, str]]:
    for state in SEARCHED:
        for text in lookup.entries(root, claim.queue, state):
            path = f"{root.space(claim.queue, state)}/{text}"
            if claim.id in text and path != claim.path and _is(root, path, claim.inode):
                yield state, path


def is_ahead(root: Root, queue: str, text: str, target: str) -> bool:
    """Whether a name in later/ is what is left of a job that is held, or ready, as `target`, or running already."""
    with contextlib.suppress(FileNotFoundError):
        status = root.fs.stat(f"{root.space(queue, 'later')}/{text}")
        name = names.parse(text)
        if status.st_nlink == 1 or name is None:
            return False
        places = (f"{root.space(queue, 'held')}/{text}", f"{root.space(queue, 'new')}/{target}")
        if any(_is(root, path, status.st_ino) for path in places):
            return True
        cur = root.space(queue, "cur")
        return any(name.id in other and _is(root, f"{cur}/{other}", status.st_ino) for other in root.fs.list(cur))
    return False


def _is(root: Root, path: str, inode: int) -> bool:
    try:
        return root.fs.stat(path).st_ino == inode
    except FileNotFoundError:
        return False
