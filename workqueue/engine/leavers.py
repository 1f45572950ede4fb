"""Members that have ended, and whose entry in open/ tells nothing of it: who ended them died before they left.

    in ended/                      its worker died between the two renames
    in done/, failed/, corrupt/    its worker died behind the rename that put it there
    nowhere                        removed by hand, or by somebody who may not write to the batch

"Nowhere" is what lookup.py says it is: not found while nothing moved, or in three passes. It costs a listing of all
queues, so it is asked when nothing has changed for 1, 2, 4, 8… minutes, and whenever somebody waits for the answer.
**Invariant**: nobody is taken for gone while a run, or the producer, may still publish members of the batch.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from workqueue.engine import lookup, manifest, members
from workqueue.engine.members import BY_STATE, How, place
from workqueue.jobs import names
from workqueue.jobs.states import SEARCHED, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.root import Root

QUIET = 60.0
"""Seconds without a change, after which jobs that are nowhere are looked for."""


class Leaver(NamedTuple):
    """A member that has ended and is still in."""

    batch: str
    id: str
    how: How


def see_out(root: Root, patience: float = 0.0, batches: list[str] | None = None) -> None:
    """Let everybody leave who has ended; those that are nowhere after `patience` seconds without a change."""
    for leaver in leavers(root, patience, batches):
        _leave(root, leaver)


def leavers(root: Root, patience: float = 0.0, batches: list[str] | None = None) -> list[Leaver]:
    """Those who are to leave; a look that changes nothing."""
    found: list[Leaver] = []
    inside: dict[str, str] = {}
    missable: set[str] = set()
    for batch in members.active(root) if batches is None else batches:
        waiting, ended = _inside(root, batch)
        found += [Leaver(batch, job_id, ended[job_id]) for job_id in waiting & ended.keys()]
        inside.update(dict.fromkeys(waiting - ended.keys(), batch))
        if _is_quiet(root, batch, patience):
            missable.update(waiting - ended.keys())
    busy = _being_published(root) if missable else set()
    missable = {job_id for job_id in missable if inside[job_id] not in busy}
    aside = _ended_states(root, inside.keys())
    found += [Leaver(inside[job_id], job_id, how) for job_id, how in aside.items()]
    for job_id in _nowhere(root, missable - aside.keys()):
        with contextlib.suppress(FileNotFoundError):
            found.append(Leaver(inside[job_id], job_id, _guess(root, inside[job_id], job_id)))
    return found


def _inside(root: Root, batch: str) -> tuple[set[str], dict[str, How]]:
    """Who is in, and who is known to have ended."""
    try:
        return set(root.fs.list(place(root, batch, "open"))), members.ended(root, batch)
    except FileNotFoundError:
        return set(), {}


def _is_quiet(root: Root, batch: str, patience: float) -> bool:
    """Whether it is time to look for jobs that are nowhere."""
    if root.fs.exists(place(root, batch, "items")):
        return False
    if not patience:
        return True
    with contextlib.suppress(FileNotFoundError):
        last = max(root.fs.stat(place(root, batch, part)).st_mtime for part in ("open", "ended"))
        times = int((root.clock.now() - last) // patience)
        return times > 0 and times & (times - 1) == 0
    return False


def _being_published(root: Root) -> set[str]:
    """The batches whose members some run has still to put into their places."""
    found = [manifest.read(root, run.text) for run in manifest.runs(root)]
    return {item.batch for each in found if each for item in each.items if item.batch}


def _ended_states(root: Root, ids: Iterable[str]) -> dict[str, How]:
    """How those have ended that lie where ended jobs lie."""
    wanted = set(ids)
    found: dict[str, How] = {}
    for state, how in BY_STATE.items() if wanted else ():
        for queue in root.queues():
            for text in root.fs.list(root.space(queue, state)):
                name = names.parse(text)
                if name is None or name.id not in wanted:
                    continue
                if state is not State.DONE or not manifest.is_handing_over(root, name):
                    found[name.id] = how
    return found


def _nowhere(root: Root, ids: set[str]) -> set[str]:
    """Those that are in no queue, in the sense of `lookup.find`."""
    left, queues = set(ids), root.queues()
    for _ in range(lookup.PASSES):
        before = lookup.moments(root, queues)
        for state in SEARCHED if left else ():
            for queue in queues:
                parsed = (names.parse(text.rpartition("/")[2]) for text in lookup.entries(root, queue, state))
                left.difference_update([name.id for name in parsed if name is not None])
        if not left or (before == lookup.moments(root, queues) and lookup.is_old(root, before)):
            break
    return left


def _guess(root: Root, batch: str, job_id: str) -> How:
    """How a job has ended that is nowhere; it may have told it meanwhile, or had no room to tell it elsewhere."""
    ended = members.ended(root, batch)
    if job_id in ended:
        return ended[job_id]
    return How.DONE if root.fs.stat(place(root, batch, "open", job_id)).st_size else How.GONE


def _leave(root: Root, leaver: Leaver) -> None:
    entry = place(root, leaver.batch, "open", leaver.id)
    known = place(root, leaver.batch, "ended", f"{leaver.id}.{leaver.how}")
    with contextlib.suppress(FileNotFoundError):
        if root.fs.stat(entry).st_nlink > 1 and root.fs.exists(known):
            root.fs.discard(entry)  # one file, which a power cut has left both names (twins.py): no rename moves it
        else:
            members.out(root, leaver.batch, leaver.id, leaver.how)
