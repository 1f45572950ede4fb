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


def keep_furthest(root: Root, queue: str) -> None:
    """Leave each job that waits one name: that of its last attempt.

    To be called before a supervisor deals its first name; there are no cuts that it outlives. A job can be taken, and
    put off, while later/ is synced and new/ is not: then each has a name of it, and neither claim meets the other.
    """
    names_of: dict[str, set[tuple[State, str]]] = {}
    for state, text in _gone_on(root, queue):
        names_of.setdefault(_id_of(text), set()).add((state, text))
    if names_of:
        for text in lookup.entries(root, queue, State.NEW):
            if (found := names_of.get(_id_of(text))) is not None:
                found.add((State.NEW, text))
    for found in names_of.values():
        if len(found) > 1:
            _keep_last(root, queue, found)


def _gone_on(root: Root, queue: str) -> Iterator[tuple[State, str]]:
    """The names that a job can have got after the one that it was submitted by."""
    for state in (State.LATER, State.HELD):
        yield from ((state, text) for text in lookup.entries(root, queue, state))
    for text in root.fs.list(root.space(queue, State.NEW)):
        if not (text[28:30] == "-0" and text[30:31] in {"", "+", "="}) and not names.is_batch(text):
            yield State.NEW, text


def _id_of(text: str) -> str:
    """The id in a job's name, cut out: of a backlog all are looked at."""
    return names.without_due(text.rpartition("/")[2])[2:28]


def _keep_last(root: Root, queue: str, found: set[tuple[State, str]]) -> None:
    """Of the names that are one file keep that of the last attempt; where these are equal, the one that is held."""
    links: dict[int, list[tuple[bool, int, int, str]]] = {}
    for state, text in sorted(found):
        name = names.parse(text.rpartition("/")[2])
        path = f"{root.space(queue, state)}/{text}"
        with contextlib.suppress(FileNotFoundError):
            if name is not None:
                rank = name.anew, name.attempt, (State.LATER, State.NEW, State.HELD).index(state), path
                links.setdefault(root.fs.stat(path).st_ino, []).append(rank)
    for inode, ranks in links.items():
        *behind, (*_, last) = sorted(ranks)
        # Still there after the others were seen: so these are two names, and not one that somebody moved meanwhile.
        if _is(root, last, inode):
            for *_, path in behind:
                root.fs.discard(path)


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
