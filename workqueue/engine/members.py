"""Members of a batch: who has not ended, and who has, and how. The file system decides who is the last one out.

    .fsq/batches/ID/open/JOB         an empty file for each member that has not ended
    .fsq/batches/ID/ended/JOB.HOW    one for each that has

    join     open/JOB is made, before the job can be seen
    end      the job's own file becomes ended/JOB.HOW, by one rename: the job is out of its queue, and how is told
             (one that stays, in done/, failed/ or corrupt/, tells it by where it lies)
    leave    open/JOB is renamed over it: the member is out, and what its payload took is free
    close    where open/ is empty: rmdir. It succeeds once, and from then on nobody can join. Then: overs.py

**Invariant**: a member that adds members leaves after they have joined, so a batch cannot end between the two.
**Invariant**: there is no counter. A crash between any two steps leaves a member that is in open/ and has ended, as
ended/ or the place of its job tells; overs.py finds it, and goes on from there.
A job without a batch pays nothing. That a batch cannot be written to never keeps a job from its end.
"""

from __future__ import annotations

import contextlib
import errno
import os
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from workqueue.engine.renames import rename
from workqueue.engine.root import BATCHES
from workqueue.errors import FsqError
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.manifest import Item
    from workqueue.engine.root import Root
    from workqueue.jobs.content import Options

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


SEEN, MOST_SEEN = 256, 16
"""How many members of a batch are remembered, as being in it, and of how many batches."""


class How(StrEnum):
    """How a member has ended."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Also one that was never submitted, because its key was taken."""
    CORRUPT = "corrupt"
    GONE = "gone"
    """Removed by hand, so that nobody knows."""


HOWS = {how.value: how for how in How}
BY_STATE = {State.DONE: How.DONE, State.FAILED: How.FAILED, State.CORRUPT: How.CORRUPT}


def place(root: Root, batch: str, *parts: str) -> str:
    """A path of a batch that is not over."""
    return root.dot(BATCHES, batch, *parts)


def _open(root: Root, batch: str, job_id: str) -> str:
    return place(root, batch, "open", job_id)


def _ended(root: Root, batch: str, job_id: str, how: How) -> str:
    return place(root, batch, "ended", f"{job_id}.{how}")


def ended(root: Root, batch: str) -> dict[str, How]:
    """How each member has ended that has; one that a power cut brought back to end once more ended as it did first."""
    found: dict[str, How] = {}
    for text in root.fs.list(place(root, batch, "ended")):
        job_id, _, how = text.partition(".")
        if how in HOWS:
            found[job_id] = min(HOWS[how], found.get(job_id, HOWS[how]), key=list(How).index)
    return found


# -- the end of a member -------------------------------------------------------------------------------------------


def end(root: Root, options: Options, job_id: str, path: str, how: How) -> None:
    """Remove a job's file, whose end that is; raises FileNotFoundError if it is gone."""
    batch = options.batch
    if batch is None:
        root.fs.unlink(path)
        return
    try:
        rename(root, path, _ended(root, batch, job_id, how))
    except OSError as error:
        entry = _open(root, batch, job_id)
        if error.errno in NO_ROOM and how is How.DONE and root.fs.exists(entry):
            root.fs.rename(path, entry)  # takes no room, and is known by its size: see overs.py
        else:
            root.fs.unlink(path)  # the batch is over, or not ours to write to
    else:
        root.fs.discard(path)  # rename(2) does nothing where a power cut has left one file both names (twins.py)


def leave(root: Root, options: Options, job_id: str, how: How) -> None:
    """Let a job that has ended leave its batch; the last one out calls back. Best effort: overs.py does the rest."""
    if options.batch is not None:
        with contextlib.suppress(OSError, FsqError):
            out(root, options.batch, job_id, how)
            close(root, options.batch)


def leave_any(root: Root, job_id: str, how: How) -> None:
    """The same of a job that cannot be read, and may be in any batch."""
    for batch in active(root):
        with contextlib.suppress(OSError, FsqError):
            out(root, batch, job_id, how)
            close(root, batch)


def out(root: Root, batch: str, job_id: str, how: How) -> None:
    """Write down how a member has ended; raises FileNotFoundError if it is out already."""
    rename(root, _open(root, batch, job_id), _ended(root, batch, job_id, how))


def close(root: Root, batch: str) -> None:
    """End a batch if nobody is in it any more."""
    try:
        if not _is_empty(root, batch):
            return
        # First: a power cut must not keep that open/ is gone, and lose who was in it.
        root.fs.sync_dir(place(root, batch, "ended"))
        root.fs.rmdir(place(root, batch, "open"))
    except FileNotFoundError:
        pass  # somebody else was the last one out, and may have died since
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return
        raise
    from workqueue.engine import overs

    overs.call_back(root, batch)


def _is_empty(root: Root, batch: str) -> bool:
    """Whether nobody is in: while one that was seen in it is there still, no listing is needed."""
    directory = place(root, batch, "open")
    seen = root.seen_open.get(batch, [])
    while seen:
        if root.fs.exists(f"{directory}/{seen[-1]}"):
            return False
        seen.pop()
    with os.scandir(directory) as entries:
        seen = sorted(entry.name for entry in islice(entries, SEEN))
    if len(root.seen_open) > MOST_SEEN or not seen:
        root.seen_open.clear()
    if seen:
        root.seen_open[batch] = seen  # the newest last: they mostly end last
    return not seen


def active(root: Root) -> list[str]:
    """The batches that are not over."""
    try:
        return sorted(name for name in root.fs.list(root.dot(BATCHES)) if names.is_id(name))
    except (FileNotFoundError, PermissionError):
        return []


# -- coming in -----------------------------------------------------------------------------------------------------


def join(root: Root, items: Iterable[tuple[Item, str]]) -> None:
    """Make members of what a run hands over, before it is in its place; each item comes with where it lies now.

    A batch that is over takes nobody in: such children are jobs like any other.
    """
    touched = set()
    for item, source in items:
        if item.batch is None:
            continue
        for job_id in _jobs_in(root, item, source):
            if _join(root, item.batch, job_id, source):
                touched.add(item.batch)
    for batch in touched:
        with contextlib.suppress(FileNotFoundError):
            root.fs.sync_dir(place(root, batch, "open"))


def _jobs_in(root: Root, item: Item, source: str) -> list[str]:
    """The ids of an item's jobs; none if it has come to its place."""
    text = os.path.basename(item.to)
    try:
        texts = root.fs.list(source) if names.is_batch(names.without_due(text)) else [text]
        root.fs.stat(source)
    except FileNotFoundError:
        return []
    return [name.id for name in map(names.parse, texts) if name is not None]


def _join(root: Root, batch: str, job_id: str, source: str) -> bool:
    try:
        root.fs.close(root.fs.create(_open(root, batch, job_id)))
    except FileExistsError:
        return True
    except FileNotFoundError:
        return False
    # Somebody else may have published the item meanwhile, and the job may have ended: then this entry is nobody's.
    if not root.fs.exists(source) and any(root.fs.exists(_ended(root, batch, job_id, how)) for how in How):
        root.fs.discard(_open(root, batch, job_id))
        close(root, batch)
        return False
    return True


def reopen(root: Root, options: Options, job_id: str, state: State) -> None:
    """Take a member that is retried back in, unless its batch is over."""
    if options.batch is not None and state in BY_STATE:
        with contextlib.suppress(OSError):
            root.fs.rename(_ended(root, options.batch, job_id, BY_STATE[state]), _open(root, options.batch, job_id))
            root.fs.sync_dir(place(root, options.batch, "open"))
