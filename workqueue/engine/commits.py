"""Commit: what a run has staged appears, if and only if this run ends the job.

    seal       items and manifest are durable under commit/ (staged.py); nobody sees them
    commit     rename cur/C → done/C, synced. This one rename decides
    publish    each item is renamed to its place; the directories are synced
    forget     the manifest is removed, then done/C, unless the job is kept

**Invariant (the fence)**: nothing is published unless done/C is there. Whoever takes a claim away from its owner
renames cur/C as well, and one of the two renames fails. So a run whose claim was taken away publishes nothing, even if
it lives.
**Guarantee**: a crash before the commit discards what was staged, and the job is run again; a crash after it loses
nothing: whoever holds the slot's lock publishes the rest. Any number may do so at once; each step can be repeated.

The commit is synced in both directories: done/ first, so that the job is never in neither; then cur/, so that no name
from before it is left on file systems that keep the two halves of a rename apart (twins.py). On btrfs, whose log can
bring such a name back all the same, the file system's whole transaction is committed instead: before anything appears.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from workqueue.engine import claims, keys, manifest, members, outputs, records, settle, twins
from workqueue.engine.discards import discard, remove
from workqueue.engine.protocol import Claim, Recovered
from workqueue.engine.renames import rename
from workqueue.engine.root import DOT, share
from workqueue.errors import FsqError, told
from workqueue.jobs import names
from workqueue.jobs.content import PLAIN, Damaged, Options
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.manifest import Item, Manifest, Run
    from workqueue.engine.root import Root


AT_THEIR_END = {state.value: how for state, how in members.BY_STATE.items()}
"""How a member has ended that comes to a space, by the space's name."""


def commit(root: Root, claim: Claim) -> bool:
    """End a sealed run; False if its claim was taken away. What cannot be published now is by the next sweep."""
    run = manifest.text_of(claim.name)
    keys.foretell(root, claim.options, claim.path)
    try:
        rename(root, claim.path, _done(root, claim.queue, claim.name))
    except FileNotFoundError:
        assert claim.staged is not None
        claim.staged.discard()
        return False
    with contextlib.suppress(OSError):
        complete(root, run)
    return True


def complete(root: Root, run: str) -> None:
    """Publish what a run that has committed hands over; raises OSError for what cannot be, and keeps it."""
    found = manifest.read(root, run)
    if found is None:
        return  # another was faster
    name = names.parse(found.header.name)
    if name is None or not found.is_whole:
        raise _damaged(root, run)
    try:
        claim = _ended(root, found.header.queue, name)
    except FileNotFoundError:
        if manifest.read(root, run) is None:
            return
        raise
    root.fs.sync_moves(root.space(claim.queue, "done"), root.space(claim.queue, "cur"))
    for directory in _publish(root, run, found, claim):
        root.fs.sync_moves(directory)
    _see_out(root, found)
    outputs.discard(root, found.dropped)
    root.fs.discard(manifest.path(root, run))
    settle.forget(root, claim)


def _done(root: Root, queue: str, name: names.Name) -> str:
    return f"{root.space(queue, 'done')}/{name.claimed()}"


def _ended(root: Root, queue: str, name: names.Name) -> Claim:
    """The job that has ended; one that cannot be read any more has no options of its own."""
    path = _done(root, queue, name)
    try:
        return claims.load(root, queue, name, path)
    except Damaged:
        status = root.fs.stat(path)
        return Claim(queue, name, path, PLAIN, status.st_ino, status.st_size)


# -- publishing ----------------------------------------------------------------------------------------------------


def _publish(root: Root, run: str, found: Manifest, claim: Claim) -> list[str]:
    """Put everything in its place; returns the directories to sync: also where an item was already there."""
    touched = [outputs.publish(root, output) for output in found.outputs]
    sources = [(item, manifest.path(root, run, item.number)) for item in found.items]
    members.join(root, sources)
    for item, source in sources:
        with told("publish what a run has handed over", f"{root.path}/{item.to}"):
            touched.append(publish_item(root, source, item, claim.inode))
    return list(dict.fromkeys(touched))


def _see_out(root: Root, found: Manifest) -> None:
    """Let those leave their batch whom nobody will run: elements of an array that have come to failed/ or corrupt/."""
    for item in found.items if any(item.batch is not None for item in found.items) else ():
        _, space, text = item.to.split("/", 2)
        name = names.parse(text)
        if name is not None and space in AT_THEIR_END and root.fs.exists(f"{root.path}/{item.to}"):
            members.leave(root, Options(batch=item.batch), name.id, AT_THEIR_END[space])


def publish_item(root: Root, source: str, item: Item, heir_of: int | None = None) -> str:
    """Put an item in its place; returns the directory. `heir_of`: the inode of an ended job, whose key it may take."""
    target = f"{root.path}/{item.to}"
    directory = os.path.dirname(target)
    queue = item.to.partition("/")[0]
    if not root.fs.exists(source):
        return directory
    _make(root, directory, queue)
    try:
        if item.options is not None:
            _put_options(root, item)
        if item.key is None:
            rename(root, source, target)
        elif keys.publish(root, queue, item.key, source, target, durable=True, heir_of=heir_of) is not None:
            _drop_child(root, source, item)
    except FileNotFoundError:
        if root.fs.exists(source):
            raise
    return directory


def _make(root: Root, directory: str, queue: str) -> None:
    """Make the two directories that a root may be without: of the rejected records, and of the job's own."""
    if not os.path.isdir(directory):
        root.fs.ensure_dir(directory, 0o700 if queue == DOT else root.mode)
        if queue != DOT:
            share(root.fs, directory, os.stat(root.path))


def _put_options(root: Root, item: Item) -> None:
    name = names.parse(os.path.basename(item.to))
    assert name is not None
    assert item.options is not None
    records.put_options(root, name.id, item.options.encode())


def _drop_child(root: Root, source: str, item: Item) -> None:
    """Its key is another job's, as when it had been submitted a moment later."""
    name = names.parse(os.path.basename(item.to))
    assert name is not None
    member_of = Options(batch=item.batch)
    with contextlib.suppress(FileNotFoundError):
        members.end(root, member_of, name.id, source, members.How.CANCELLED)
    if item.options is not None:
        records.remove(root, name.id)
    members.leave(root, member_of, name.id, members.How.CANCELLED)


# -- runs whose owner is dead --------------------------------------------------------------------------------------


def settle_slot(root: Root, number: int, *, after_cut: bool = False) -> Iterator[Recovered | str]:
    """Publish or discard what the dead runs of a slot have staged. Its claims must have been recovered before."""
    for run in manifest.runs(root):
        if run.owner.slot == number:
            try:
                yield from _settle(root, run, after_cut=after_cut)
            except (OSError, FsqError) as error:
                yield f"what a run has handed over is not all in its place: {error}; tried again"


def _settle(root: Root, run: Run, *, after_cut: bool) -> Iterator[Recovered]:
    found = manifest.read(root, run.text)
    name = names.parse(found.header.name) if found else None
    if found is None or name is None:
        if is_damaged(root, run):
            raise _damaged(root, run.text)
        discard(root, run.text)
        return
    queue = found.header.queue
    # cur/ before done/: the job moves that way, so one that is in neither has not committed.
    if root.fs.exists(f"{root.space(queue, 'cur')}/{name.claimed()}"):
        return
    if not root.fs.exists(_done(root, queue, name)) or (after_cut and _is_undone(root, queue, name)):
        discard(root, run.text)
        return
    if after_cut:
        _drop_published(root, run.text, found)
    complete(root, run.text)
    yield Recovered(queue, name, State.DONE, "its worker died when it had finished")


def finish_own(root: Root, mine: set[int]) -> Iterator[str]:
    """Publish what living workers could not: their destination was full, or not mounted."""
    for run in manifest.runs(root):
        if run.owner.slot in mine:
            try:
                _finish(root, run)
            except FileNotFoundError:
                continue  # its worker was faster
            except (OSError, FsqError) as error:
                yield f"what a run has handed over is not all in its place: {error}; tried again"


def _finish(root: Root, run: Run) -> None:
    found = manifest.read(root, run.text)
    name = names.parse(found.header.name) if found else None
    if found is not None and name is not None:
        if root.fs.exists(_done(root, found.header.queue, name)):
            complete(root, run.text)
    elif is_damaged(root, run):
        raise _damaged(root, run.text)


# -- damaged manifests ---------------------------------------------------------------------------------------------


def is_damaged(root: Root, run: Run) -> bool:
    """Whether a run has committed whose manifest does not even name its job: the disk has lost what was there."""
    # done/ before the manifest: that was whole when the job came to lie there, and half written before.
    return (
        manifest.NUMBER in run.numbers
        and _is_done(root, run)
        and manifest.read(root, run.text) is None
        and root.fs.exists(manifest.path(root, run.text))
    )


def _is_done(root: Root, run: Run) -> bool:
    """Whether the job of a run lies in a done/, whatever its label."""
    return any(
        name is not None and name.owner is not None and manifest.text_of(name) == run.text
        for queue in root.queues()
        for name in map(names.parse, root.fs.list(root.space(queue, "done")))
    )


def _damaged(root: Root, run: str) -> OSError:
    """Nothing is guessed, and nothing thrown away: a person can read what is left."""
    return OSError(errno.EINVAL, "the manifest is damaged (fsq doctor says what to do)", manifest.path(root, run))


# -- after a power cut ---------------------------------------------------------------------------------------------


def _is_undone(root: Root, queue: str, name: names.Name) -> bool:
    """Whether a cut has kept a name from before the commit, too: then nothing was published, and the job goes on."""
    claim = _ended(root, queue, name)
    if claim.links == 1 or not twins.has_other(root, claim):
        return False
    root.fs.discard(claim.path)
    return True


def _drop_published(root: Root, run: str, found: Manifest) -> None:
    """Drop the names of outputs and items that a cut has kept beside those in their places."""
    for output in found.outputs:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(root.fs.stat(output.temporary), root.fs.stat(output.to)):
                root.fs.discard(output.temporary)
    for item in found.items:
        source = manifest.path(root, run, item.number)
        with contextlib.suppress(FileNotFoundError):
            status = root.fs.stat(source)
            name = names.parse(os.path.basename(item.to))
            if root.fs.exists(f"{root.path}/{item.to}") or (
                name is not None
                and status.st_nlink > 1
                and twins.is_elsewhere(root, item.to.partition("/")[0], name.id, status.st_ino)
            ):
                remove(root, source)
