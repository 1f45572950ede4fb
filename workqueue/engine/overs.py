"""How batches come to their end: one callback, whatever dies on the way; and what the dead have left is taken up.

    open/ is gone         nobody is in the batch any more, and nobody can join it
    outcome, members      written once: the counts, and each member with how it ended
    callback              an empty file from the beginning; the callback is written over it
    callback → new/       and that rename submits it: without this file, it was submitted
    ID → over/ID          nothing is to be done any more

**Invariant**: the last four are done under a lock on the batch's directory, and each can be repeated; so one callback
is submitted, with an id that was chosen when the batch was made.
A crash before them leaves a batch that the next look finds: every second the cheap ones, every minute, and before a
drain ends, the members whose workers died when they had ended, and those whose job is nowhere.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine import callback, drafts, leavers, members, outcome
from workqueue.engine.members import place
from workqueue.engine.outcome import OVER, BatchCounts
from workqueue.engine.renames import rename
from workqueue.engine.root import BATCHES
from workqueue.engine.submit import write_file
from workqueue.errors import FsqError, told
from workqueue.jobs import content, names
from workqueue.jobs.ids import JobId

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from workqueue.engine.callback import Call
    from workqueue.engine.root import Root


# -- the end of one batch ------------------------------------------------------------------------------------------


def call_back(root: Root, batch: str) -> None:
    """Bring a batch to its end that nobody is in any more. If somebody else is just doing that, it is left to them."""
    path = place(root, batch)
    try:
        fd = root.fs.open_dir(path)
    except FileNotFoundError:
        return  # it is over
    try:
        with told(f"call back for batch {batch}", path):
            if root.fs.lock(fd) and root.fs.exists(path) and not root.fs.exists(f"{path}/open"):
                _end(root, batch, path)
    finally:
        os.close(fd)


def _end(root: Root, batch: str, path: str) -> None:
    known = _outcome(root, batch, path)
    if known.callback is not None:
        _submit(root, batch, path, known)
    root.fs.remove_tree(f"{path}/ended")
    root.fs.ensure_dir(root.dot(BATCHES, OVER))
    root.fs.rename(path, root.dot(BATCHES, OVER, batch))


def _outcome(root: Root, batch: str, path: str) -> BatchCounts:
    """What the batch has come to, written down once."""
    with contextlib.suppress(FileNotFoundError):
        return outcome.fixed(root, path)
    for queue in root.queues():
        root.fs.sync_dir(root.space(queue, "cur"))  # so that a power cut brings none of the members back
    ended = members.ended(root, batch)
    lines = "".join(f"{job_id} {how}\n" for job_id, how in sorted(ended.items()))
    root.fs.publish(f"{path}/members", lines.encode())
    found = outcome.of_members(root, batch)
    plan = callback.read(root, path)
    call = plan.call(all_done=found.all_done)
    found = msgspec.structs.replace(
        found, ended=True, callback=plan.callback if call else None, queue=call.queue if call else None
    )
    root.fs.publish(f"{path}/outcome", msgspec.json.encode(found) + b"\n")
    return found


def _submit(root: Root, batch: str, path: str, known: BatchCounts) -> None:
    """Submit the callback, unless it was."""
    plan = callback.read(root, path)
    call = plan.call(all_done=known.all_done)
    assert call is not None
    job = call.job(root.clock)
    token = f"{path}/callback"
    directory = root.space(call.queue, "new" if job.due is None else "later")
    if root.fs.exists(token):
        name = names.Name(job.priority, JobId(plan.callback), 0, due=job.due, label=names.label(job.label))
        if root.fs.stat(token).st_nlink > 1:
            root.fs.discard(token)  # a power cut has kept both its names (twins.py)
        else:
            root.fs.discard(f"{path}/callback.new")
            write_file(root, f"{path}/callback.new", _content(batch, known, call, job.options), durable=True)
            root.fs.rename(f"{path}/callback.new", token)
            rename(root, token, f"{directory}/{name.delayed()}")
    # Also if it was submitted before: whoever did it may not have come to this.
    root.fs.sync_dir(directory)
    root.fs.sync_dir(path)


def _content(batch: str, known: BatchCounts, call: Call, options: content.Options) -> bytes:
    told_of = {"batch": batch, "label": known.label, **known.facts(), "payload": call.payload}
    return content.encode(options, msgspec.json.encode(told_of))


# -- what the dead have left ---------------------------------------------------------------------------------------


def settle(root: Root) -> Iterator[str]:
    """Every second: publish what dead producers have committed, end what nobody is in; yields what cannot be done."""
    for batch in members.active(root):
        try:
            drafts.publish_rest(root, batch)
            if not root.fs.exists(place(root, batch, "items")):
                members.close(root, batch)
        except (OSError, FsqError) as error:
            yield f"batch {batch} cannot go on: {error}; tried again"


def tidy(root: Root) -> Iterator[str]:
    """Every minute: see also who has left, and remove what is old."""
    drafts.clean(root)
    _prune(root)
    yield from settle_all(root, patience=leavers.QUIET)


def settle_all(root: Root, *, patience: float = 0.0) -> Iterator[str]:
    """Bring every batch as far as it can come; after `patience` seconds without a change also jobs that are nowhere."""
    told = list(settle(root))
    if members.active(root):
        leavers.see_out(root, patience)
        told += settle(root)
    yield from dict.fromkeys(told)


def settle_one(root: Root, batch: str) -> None:
    """The same for one batch; raises what cannot be done."""
    drafts.publish_rest(root, batch)
    leavers.see_out(root, batches=[batch])
    if not root.fs.exists(place(root, batch, "items")):
        members.close(root, batch)


def come_to_rest(root: Root, queues: Container[str]) -> bool:
    """The same before a drain of these queues ends; False where a callback to one of them is to come, and cannot."""
    if members.active(root):
        list(settle_all(root))
    return not any(_is_to_call(root, batch, queues) for batch in members.active(root))


def _is_to_call(root: Root, batch: str, queues: Container[str]) -> bool:
    path = place(root, batch)
    with contextlib.suppress(FileNotFoundError):
        plan = callback.read(root, path)
        calls = [call for call in (plan.on_done, plan.on_failed) if call and call.queue in queues]
        return bool(calls) and not root.fs.exists(f"{path}/open")
    return False


def _prune(root: Root) -> None:
    """Remove the batches that have been over for long enough."""
    keep = root.settings("").keep_batches
    with contextlib.suppress(FileNotFoundError):
        for batch in root.fs.list(root.dot(BATCHES, OVER)):
            path = root.dot(BATCHES, OVER, batch)
            with contextlib.suppress(OSError):
                if root.clock.now() - root.fs.stat(f"{path}/outcome").st_mtime >= keep:
                    root.fs.remove_tree(path)
