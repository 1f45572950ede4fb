"""The operator's verbs: retry, cancel, hold, unhold, remove, prune. One rename or unlink each; a lost race is False."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from workqueue.engine import claims, keys, lookup, manifest, marks, members, records
from workqueue.engine.members import BY_STATE, How
from workqueue.errors import WrongState, told
from workqueue.jobs import names
from workqueue.jobs.content import PLAIN, Damaged, Options
from workqueue.jobs.states import ARROWS, State, takes_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.protocol import Located
    from workqueue.engine.root import Root


RUNS = "it is running: stop its worker, which gives it back, and then hold it; or end it for good with fsq cancel"


def allowed(verb: str, found: Located) -> None:
    """Refuse a verb that cannot take the job from where it is."""
    if not takes_from(verb, found.state):
        sources = ", ".join(state for state in ARROWS[verb].sources if state)
        advice = f"; {RUNS}" if verb == "hold" and found.state is State.CUR else ""
        raise WrongState(f"job {found.name.id} is in {found.state}; {verb} takes jobs from {sources}{advice}")


def retry(root: Root, found: Located, *, from_start: bool = False) -> bool:
    """Make a job ready now: from failed or corrupt with its attempts anew, from later as it is.

    It goes on from its checkpoint, if it has one; `from_start` forgets that first.
    """
    allowed("retry", found)
    if from_start:
        from workqueue.engine import arrays, checkpoints

        checkpoints.forget(root, found.name.id)
        arrays.forget(root, found.name.id)
    name = named(root, found)
    if found.state is not State.LATER:
        name = name._replace(attempt=0, anew=True)
    target = f"{root.space(found.queue, 'new')}/{name._replace(due=None).ready()}"
    with told(f"retry job {name.id}", found.path):
        try:
            options, _ = options_of(root, found)
            members.reopen(root, options, name.id, found.state)
            if options.key is None or found.state is State.LATER:
                root.fs.rename(found.path, target)
            else:
                keys.reacquire(root, found.queue, options, name.id, found.path, target)
        except FileNotFoundError:
            return False
        members.reopen(root, options, name.id, found.state)  # again: it may have been seen in failed/ in between
        _sync_both(root, found, "new")
    return True


def cancel(root: Root, found: Located) -> State | None:
    """End a job that has not ended; returns the state it was in (cur: its worker is told), None for a lost race."""
    allowed("cancel", found)
    with told(f"cancel job {found.name.id}", found.path):
        if found.state is State.CUR:
            marks.mark(root, found.name.id)
            return State.CUR
        return found.state if _remove(root, found) else None


def hold(root: Root, found: Located) -> bool:
    """Keep a job back until `unhold`."""
    allowed("hold", found)
    return _shift(root, found, "held", named(root, found).delayed())


def unhold(root: Root, found: Located) -> bool:
    """Make a held job ready."""
    allowed("unhold", found)
    return _shift(root, found, "new", named(root, found).ready())


def remove(root: Root, found: Located) -> bool:
    """Remove a job that has ended, with its records."""
    allowed("prune", found)
    if manifest.is_handing_over(root, found.name):
        raise WrongState(
            f"job {found.name.id} is done, but not all it handed over is in its place: {root.dot('commit')}"
        )
    with told(f"remove job {found.name.id}", found.path):
        return _remove(root, found)


def prune(root: Root, queue: str, state: State, age: float) -> Iterator[Located]:
    """Remove the jobs that have been in an ended state for `age` seconds; yields each."""
    for found in lookup.scan(root, queue, state):
        with contextlib.suppress(FileNotFoundError):
            if root.clock.now() - root.fs.stat(found.path).st_ctime >= age and remove(root, found):
                yield found


def named(root: Root, found: Located) -> names.Name:
    """The job's name. A bare one gets an id: two files of one name must not meet where they are moved."""
    return found.name if found.name.id != names.NO_ID else names.bare(found.name.label, root.ids)


def options_of(root: Root, found: Located) -> tuple[Options, int]:
    """A job's options and inode, wherever it lies; what cannot be read has none of its own."""
    try:
        claim = claims.load(root, found.queue, found.name, found.path)
    except Damaged:
        return PLAIN, 0
    return claim.options, claim.inode


def _shift(root: Root, found: Located, space: str, name: str) -> bool:
    with told(f"move job {found.name.id} to {space}", found.path):
        try:
            root.fs.rename(found.path, f"{root.space(found.queue, space)}/{name}")
        except FileNotFoundError:
            return False
        _sync_both(root, found, space)
    return True


def _sync_both(root: Root, found: Located, space: str) -> None:
    """Keep a move, where it went first: a file system may keep the two halves of a rename apart (twins.py)."""
    _sync(root, root.space(found.queue, space), os.path.dirname(found.path))


def _sync(root: Root, *directories: str) -> None:
    """Keep what was moved or removed. A batch is synced and removed by whoever finds it empty."""
    with contextlib.suppress(FileNotFoundError):
        root.fs.sync_moves(*directories)


def _remove(root: Root, found: Located) -> bool:
    try:
        options, inode = options_of(root, found)
        keys.foretell(root, options, found.path)
        if found.state in BY_STATE:  # whoever ended it may have died before it left its batch
            members.leave(root, options, found.name.id, BY_STATE[found.state])
        if stat.S_ISDIR(root.fs.stat(found.path).st_mode):
            root.fs.remove_tree(found.path)
        elif found.state in BY_STATE:
            root.fs.unlink(found.path)
        else:
            members.end(root, options, found.name.id, found.path, How.CANCELLED)
    except FileNotFoundError:
        return False
    _sync(root, os.path.dirname(found.path))
    if found.name.id != names.NO_ID:
        records.remove(root, found.name.id)
    if options.key is not None:
        keys.free(root, found.queue, options, inode, found.name.id)
    if found.state not in BY_STATE:
        members.leave(root, options, found.name.id, How.CANCELLED)
    return True
