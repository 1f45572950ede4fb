"""Claim: the rename from new/ into cur/ that gives a job to one worker.

**Invariant**: the name a claim gets (slot and four random characters) is used once, ever; so after any error of the
rename the truth is at that name: if it is there, the claim is ours, whatever the file system said.
**Invariant**: whatever lies in new/ is claimed *before* it is looked at, so it has a name of its own in quarantine too.
The attempt is counted by this rename: a job that kills its workers runs out of attempts like any other.
Not synced: a claim undone by a power cut is simply ready again.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, cast

from workqueue.engine import members, records
from workqueue.engine.protocol import Claim, Corrupted, Unclaimable
from workqueue.errors import StoreError, told
from workqueue.jobs import names
from workqueue.jobs.content import LONGEST_LINE, Damaged, check, decode_options

if TYPE_CHECKING:
    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a fifo",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
STUCK = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV}
"""A rename's errors that are about this name alone: not ours to move, or something is mounted there."""
UNREADABLE = {errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENODEV}


def take(root: Root, queue: str, hint: str, slot: int) -> Claim | Corrupted | None:
    """Claim the job of a hint (a name in new/, or BATCH/NAME); None if another was faster."""
    name = named(root, hint.rpartition("/")[2], names.Owner(slot, names.new_run()))
    spaces = root.spaces[queue]
    path = f"{spaces['cur']}/{name.claimed()}"
    source = f"{spaces['new']}/{hint}"
    try:
        root.fs.rename(source, path)
    except OSError as error:
        if not root.fs.exists(path):
            tell_unclaimable(root, queue, hint, source, error)
            return None
    try:
        return load(root, queue, name, path)
    except Damaged as damage:
        return quarantine(root, queue, name, path, str(damage))
    except FileNotFoundError:
        return None  # somebody moved it out of cur/ by hand


def named(root: Root, text: str, owner: names.Owner) -> Name:
    """The name of a claim; a bare job in new/ gets one, and a stranger's label is cut to fit."""
    name = names.taken(text, owner)
    if name is None:
        return names.bare(text, root.ids).claim(owner)
    if name.label and len(os.fsencode(name.label)) > names.LONGEST_LABEL:
        return name._replace(label=names.label(name.label))
    return name


def tell_unclaimable(root: Root, queue: str, hint: str, source: str, error: OSError) -> None:
    """Raise Unclaimable for a name that we may not move; the disk's own trouble is raised as it is, and passes."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return
    if error.errno not in STUCK:
        raise StoreError(f"claim a job of queue {queue!r}", error, source) from error
    try:
        inode = root.fs.stat(source).st_ino
    except FileNotFoundError:
        return
    raise Unclaimable(queue, hint, inode, error)


def load(root: Root, queue: str, name: Name, path: str) -> Claim:
    """Read a claim's options, and its payload where it is small; raises Damaged."""
    try:
        fd = root.fs.open(path)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise Damaged(what_is(root, path) or f"cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{KINDS[stat.S_IFMT(status.st_mode)]}, not a file")
        head = b"" if name.whole else os.read(fd, LONGEST_LINE)
    finally:
        os.close(fd)
    if name.whole:
        options = records.options(root, name.id)
        return Claim(queue, name, path, options, status.st_ino, status.st_size, links=status.st_nlink)
    end = head.find(b"\n")
    if end < 0:
        raise Damaged("empty" if not head else "line 1 has no end: no options line, or torn")
    options = decode_options(head[:end])
    size = status.st_size - end - 1
    claim = Claim(queue, name, path, options, status.st_ino, size, end + 1, links=status.st_nlink)
    if status.st_size <= len(head):
        claim.head = head[end + 1 :]
        check(options, claim.head)
    return claim


def what_is(root: Root, path: str) -> str | None:
    """Name a thing that is no regular file."""
    kind = KINDS.get(stat.S_IFMT(root.fs.stat(path).st_mode))
    return f"{kind}, not a file" if kind else None


def body(root: Root, claim: Claim) -> bytes:
    """The payload's bytes; raises Damaged if they are not the ones that were submitted."""
    if claim.head is None:
        data = root.fs.read(claim.path, start=claim.offset)
        check(claim.options, data)
        claim.head = data
    return claim.head


def open_payload(root: Root, claim: Claim) -> BinaryIO:
    """The payload as a file, at its beginning. Whoever reads from its descriptor begins there, too."""
    file = os.fdopen(root.fs.open(claim.path), "rb", buffering=0)
    file.seek(claim.offset)
    return cast("BinaryIO", file)


def payload_path(root: Root, claim: Claim) -> str:
    """The path of a file that holds just the payload: the claim itself, or a copy that goes with the run."""
    if not claim.offset:
        return claim.path
    directory = root.dot("stage", claim.name.claimed())
    path = f"{directory}/{names.label(claim.name.label) or 'payload'}"
    if not claim.scratch:
        data = body(root, claim)
        with told("copy the payload", path):
            root.fs.mkdir(directory)
            claim.scratch = True
            fd = root.fs.create(path)
            try:
                root.fs.write(fd, data)
            finally:
                root.fs.close(fd)
    return path


def quarantine(root: Root, queue: str, name: Name, path: str, reason: str) -> Corrupted | None:
    """Move a claim that cannot be read into corrupt/, unchanged, with the reason beside it."""
    if root.fs.exists(f"{root.space(queue, 'corrupt')}/{name.ready()}"):
        # A stranger used the name twice: neither of the two may replace the other.
        name = name._replace(id=root.ids.next())
    target = f"{root.space(queue, 'corrupt')}/{name.ready()}"
    records.add_error(
        root, name.id, {"attempt": name.attempt, "at": root.clock.now_ms(), "kind": "corrupt", "message": reason}
    )
    try:
        root.fs.rename(path, target)
    except FileNotFoundError:
        return None
    members.leave_any(root, name.id, members.How.CORRUPT)
    return Corrupted(queue, name.ready(), reason)
