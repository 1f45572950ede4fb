"""Unique keys: of all jobs of a queue that are new, later, cur or held, one may have a key.

``.fsq/keys/XX/HASH`` is a hard link of the holder's own file, so it needs no second record that could disagree:

    links of HASH   means
    2 or more       the holder's file is somewhere: look it up once; found alive: taken
    1               its job is gone (it ended, and died before it let the key go): free
    1, and a ban    ``key_for``: the job ended, and the key stays taken until the ban's mtime

A ban is a file of its own. Until it has taken HASH's place the job's own file is one: its mtime was set to the ban's
end before the job ended, so that there is no moment at which the key is free.

**Invariant**: link and publishing rename happen under the shard's lock, so a holder found in tmp/ belongs to a
submitter that died between them; its publish is finished, not undone, because it may have been acknowledged elsewhere.
**Invariant**: a key is freed under the lock, and only if it is still this job's inode.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine.lookup import find_inode, find_named
from workqueue.engine.renames import rename
from workqueue.errors import StoreError, WrongState
from workqueue.jobs import names
from workqueue.jobs.content import LONGEST_LINE, Damaged, Options, decode_options
from workqueue.jobs.ids import JobId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root

PATIENCE = 10.0
"""Seconds: the lock is held for microseconds, so whoever waits longer waits for a stopped process."""
BAN = b'{"fsq-ban":'


class Ban(msgspec.Struct):
    """What a key's file holds when it outlives its job."""

    id: str = msgspec.field(name="fsq-ban")


def key_path(root: Root, queue: str, key: str) -> str:
    """Where a key's link is."""
    digest = hashlib.sha256(f"{queue}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()
    return root.dot("keys", digest[:2], digest)


@contextmanager
def locked(root: Root, path: str) -> Iterator[None]:
    """Hold the lock of a key's shard."""
    shard = os.path.dirname(path)
    fd = root.fs.open_dir(shard)
    try:
        end = root.clock.monotonic() + PATIENCE
        while not root.fs.lock(fd):
            if root.clock.monotonic() > end:
                cause = OSError(errno.EBUSY, "another process has held the lock for 10 s: is it stopped?", shard)
                raise StoreError("lock the key", cause)
            root.clock.sleep(0.001)
        yield
    finally:
        os.close(fd)


def publish(
    root: Root,
    queue: str,
    key: str,
    source: str,
    target: str,
    *,
    durable: bool,
    again: bool = False,
    heir_of: int | None = None,
) -> JobId | None:
    """Publish `source` as `target` under its key; returns the holder's id instead if the key is taken.

    `heir_of`: the inode of an ended job, whose key passes to this one.
    """
    path = key_path(root, queue, key)
    with locked(root, path):
        try:
            holder = acquire(root, queue, path, source, again=again, heir_of=heir_of)
            if holder is not None:
                return holder
            if durable:
                # Before the job can be seen: else a power cut could keep the job and lose its key.
                root.fs.sync_dir(os.path.dirname(path))
            rename(root, source, target)
        except BaseException:
            unlink(root, path, source)
            raise
    return None


def withdraw(root: Root, queue: str, key: str | None, file: str) -> None:
    """Take the key of a job back whose submit failed after all, while its file is there."""
    if key is not None:
        path = key_path(root, queue, key)
        with contextlib.suppress(OSError), locked(root, path):
            unlink(root, path, file)


def unlink(root: Root, path: str, file: str) -> None:
    """Remove the link that a refused job has at its key: it would hold the payload's space."""
    with contextlib.suppress(OSError):
        if root.fs.stat(path).st_ino == root.fs.stat(file).st_ino:
            root.fs.unlink(path)


def acquire(
    root: Root,
    queue: str,
    path: str,
    source: str,
    own: str = "",
    *,
    again: bool = False,
    heir_of: int | None = None,
) -> JobId | None:
    """Link `source` at its key, over what a dead job or `own` left there; returns the holder's id if there is one.

    `again` lifts the ban of a job that has ended. One that lives has its key still.
    """
    while True:
        try:
            root.fs.link(source, path)
        except FileExistsError:
            inode = root.fs.stat(path).st_ino
            if inode == root.fs.stat(source).st_ino:
                return None  # our own link: the first try happened though it reported failure
            holder = None if inode == heir_of else judge(root, queue, path, again=again)
            if holder not in {None, own}:
                return holder
            root.fs.discard(path)
        else:
            return None


def judge(root: Root, queue: str, path: str, *, again: bool = False) -> JobId | None:
    """The id of the job that has this key; None if nobody does. `again`: a ban does not count."""
    status = root.fs.stat(path)
    head = root.fs.read(path, LONGEST_LINE)
    found = find_holder(root, queue, status.st_ino, head) if status.st_nlink > 1 else None
    if found is None and again:
        return None
    if found is None:
        return banned(root, head, root.fs.stat(path))  # anew: it may have ended while we looked for it
    space, text = found
    name = names.parse(text.rpartition("/")[2])
    if name is None:
        return None
    if space == "tmp":
        space = "new" if name.due is None else "later"
        try:
            root.fs.rename(f"{root.space(queue, 'tmp')}/{text}", f"{root.space(queue, space)}/{text}")
        except FileNotFoundError:
            return None  # its submitter lives, and has just given up; or it was cleaned away
    if space in {"new", "later"}:
        # Its submitter may not have come to this sync; whoever is told of the job may rely on it.
        root.fs.sync_dir(root.space(queue, space))
    return name.id


def find_holder(root: Root, queue: str, inode: int, head: bytes) -> tuple[str, str] | None:
    """Where a key's job lies, among the living: by its name, or by its inode where line 1 does not tell it."""
    try:
        options = decode_options(head.partition(b"\n")[0])
    except Damaged:
        return find_inode(root, queue, inode)
    return find_named(root, queue, options.name) if options.name else find_inode(root, queue, inode)


def banned(root: Root, head: bytes, status: os.stat_result) -> JobId | None:
    """The id of the ended job that still bans its key."""
    if status.st_mtime <= root.clock.now():
        return None
    with contextlib.suppress(msgspec.MsgspecError, Damaged):
        if head.startswith(BAN):
            return JobId(msgspec.json.decode(head, type=Ban).id)
        options = decode_options(head.partition(b"\n")[0])
        name = names.parse(options.name or "")
        # Whole seconds: no mtime that a write left, which is to come, too, where the clock was set back.
        if options.key_for and name is not None and status.st_mtime_ns % 10**9 == 0:
            return name.id
    return None


def foretell(root: Root, options: Options, path: str) -> None:
    """Write the end of its ban on a job that is about to end; best effort, and lost on a file without a line 1."""
    if options.key is None or not options.key_for:
        return
    with contextlib.suppress(OSError):
        fd = root.fs.open(path)
        try:
            root.fs.set_mtime(fd, math.ceil(root.clock.now() + options.key_for))
            root.fs.sync(fd)
        finally:
            os.close(fd)


def free(root: Root, queue: str, options: Options, inode: int, job_id: str) -> None:
    """Let the key of an ended job go, or turn it into a ban; best effort: a left-over is taken over."""
    path = key_path(root, queue, options.key or "")
    with contextlib.suppress(OSError), locked(root, path):
        if root.fs.stat(path).st_ino != inode:
            return
        if options.key_for:
            root.fs.publish(path, msgspec.json.encode(Ban(job_id)), mtime=root.clock.now() + options.key_for)
        else:
            root.fs.unlink(path)


def reacquire(root: Root, queue: str, options: Options, own: str, source: str, target: str) -> None:
    """Move an ended job back to life under its key; refused if another job has it now."""
    path = key_path(root, queue, options.key or "")
    with locked(root, path):
        holder = acquire(root, queue, path, source, own)
        if holder is not None:
            raise WrongState(f"its key {options.key!r} belongs to job {holder} now; cancel that one first")
        root.fs.sync_dir(os.path.dirname(path))  # as in publish: a power cut must not keep the job and lose its key
        root.fs.rename(source, target)
