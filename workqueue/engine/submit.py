"""Submit: put a job where workers find it, whole or not at all.

    tmp/NAME by O_EXCL → write → fsync → close → rename into new/ (or later/) → fsync that directory

**Guarantee**: when `put` returns, the job survives kill -9 of anything and, where it is durable, a power cut. When it
raises, there is no job: what was written is removed again, or was never in a directory that anybody reads.
The order is the promise: a sync after the rename would let a cut show an empty job, a rename without a sync of its
directory would let one lose an acknowledged job. A failed sync is not tried again: the pages may be gone already.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from workqueue.engine import keys, records
from workqueue.engine.protocol import NewJob, Placed
from workqueue.engine.renames import link, rename
from workqueue.errors import BadInput, FsqError, StoreError, of_path
from workqueue.jobs import content, names

if TYPE_CHECKING:
    from workqueue.engine.root import Root


def put(root: Root, job: NewJob) -> Placed:
    """Submit one job."""
    name = names.Name(
        job.priority, root.ids.next(), 0, due=job.due, whole=job.file is not None, label=names.label(job.label)
    )
    try:
        return _put_bytes(root, job, name) if job.file is None else _put_file(root, job, name, job.file)
    except FsqError:
        raise
    except OSError as error:  # `told` says the same, and costs as much as making the id
        raise StoreError(f"submit to queue {job.queue!r}", error, root.space(job.queue, "tmp")) from error


def _put_bytes(root: Root, job: NewJob, name: names.Name) -> Placed:
    text = name.delayed()
    temporary = f"{root.space(job.queue, 'tmp')}/{text}"
    if job.options.key is not None:
        root.refuse_strangers("a key")
        job.options.name = text
    job.options.type = job.type
    write_file(root, temporary, content.encode(job.options, job.payload), durable=job.durable)
    return _publish(root, job, name, temporary, text)


def write_file(root: Root, path: str, data: bytes, *, durable: bool) -> None:
    """Write a file of its own, whole; nothing is left of one that failed."""
    with root.fs.creating(path, root.file_mode) as fd:
        root.fs.write(fd, data)
        if root.is_shared:
            root.fs.chmod(fd, root.file_mode)  # only a group's root depends on the umask
        if durable:
            root.fs.sync(fd)


def _publish(root: Root, job: NewJob, name: names.Name, source: str, text: str) -> Placed:
    """Move a whole file to where workers find it, as `text`; the source is removed if that fails."""
    directory = root.space(job.queue, "new" if name.due is None else "later")
    target = f"{directory}/{text}"
    holder = None
    try:
        if job.options.key is None:
            rename(root, source, target)
        else:
            holder = keys.publish(
                root, job.queue, job.options.key, source, target, durable=job.durable, again=job.again
            )
    except BaseException:
        _undo(root, source)
        raise
    if holder is not None:
        _undo(root, source)
        return Placed(holder, job.queue, created=False)
    if job.durable:
        _sync(root, directory, target, job)
    return Placed(name.id, job.queue)


def _sync(root: Root, directory: str, target: str, job: NewJob) -> None:
    """Make the job's entry durable; if that fails the job is taken back, unless a worker was faster."""
    try:
        if root.submit_only:
            sync_entry(root, target)
        else:
            root.fs.sync_dir(directory)
    except OSError:
        keys.withdraw(root, job.queue, job.options.key, target)
        _undo(root, target)
        raise


def sync_entry(root: Root, path: str) -> None:
    """Sync the file after its rename where its directory may not be opened: local file systems then keep the entry."""
    try:
        fd = root.fs.open(path)
    except FileNotFoundError:
        return  # claimed already: a worker has seen it, and a claim undone by a cut is in new/ again
    try:
        root.fs.sync(fd)
    finally:
        os.close(fd)


def _undo(root: Root, path: str) -> None:
    with contextlib.suppress(OSError):
        root.fs.unlink(path)


def _put_file(root: Root, job: NewJob, name: names.Name, path: str) -> Placed:
    """Make a file a job: by one rename or link from where it lies, or by a copy."""
    fd = open_source(root, path)
    try:
        if job.durable and job.mode != "copy":
            root.fs.sync(fd)
        refuse_large(root, job, path, fd)
        line = content.encode_options(job.options)
        with_options = line != content.encode_options(content.Options())
        try:
            if with_options:
                records.put_options(root, name.id, line)
            placed = _place(root, job, name, path, fd)
        except BaseException:
            records.remove(root, name.id) if with_options else None
            raise
    finally:
        os.close(fd)
    if with_options and not placed.created:
        records.remove(root, name.id)
    return placed


def refuse_large(root: Root, job: NewJob, path: str, fd: int) -> None:
    """Refuse to copy a file that is larger than a payload may be."""
    size = os.fstat(fd).st_size
    limit = root.settings(job.queue).max_payload
    if job.mode == "copy" and size > limit:
        raise BadInput(f"{path}: {size} bytes, max_payload is {limit}; submit it with mode='move' or 'link'")


def file_size(path: str) -> int:
    """Bytes of a file that is to become a job; 0 if it is not there, which `put` tells."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def open_source(root: Root, path: str) -> int:
    """Open a file that is to become a job; anything but a regular file is refused."""
    try:
        status = root.fs.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{path}: not a regular file")
        return root.fs.open(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None


def _place(root: Root, job: NewJob, name: names.Name, path: str, fd: int) -> Placed:
    directory = root.space(job.queue, "new" if name.due is None else "later")
    target = f"{directory}/{name.delayed()}"
    try:
        if job.mode == "move":
            return _move_in(root, job, name, path)
        if job.mode == "link":
            link(root, path, target)
            if job.durable:
                _sync(root, directory, target, job)
            return Placed(name.id, job.queue)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if job.mode == "link":
            raise BadInput(f"{path}: on another file system than {root.path}; submit it with mode='copy'") from None
    temporary = f"{root.space(job.queue, 'tmp')}/{name.delayed()}"
    try:
        root.fs.copy(fd, temporary, root.file_mode)
    except BaseException:
        _undo(root, temporary)
        raise
    placed = _publish(root, job, name, temporary, name.delayed())
    if job.mode == "move" and placed.created:
        _remove_source(root, path, target)
    return placed


def _remove_source(root: Root, path: str, target: str) -> None:
    """Remove a file that was copied in. Last: a crash before it leaves both, never neither."""
    try:
        root.fs.discard(path)
    except OSError:
        _undo(root, target)
        raise


def _move_in(root: Root, job: NewJob, name: names.Name, path: str) -> Placed:
    """Rename the user's own file into the queue; it stays where it is if that fails."""
    directory = root.space(job.queue, "new" if name.due is None else "later")
    target = f"{directory}/{name.delayed()}"
    if job.options.key is None:
        rename(root, path, target)
    else:
        if root.fs.stat(path).st_dev != root.device:
            raise of_path(errno.EXDEV, path)
        holder = keys.publish(root, job.queue, job.options.key, path, target, durable=job.durable, again=job.again)
        if holder is not None:
            return Placed(holder, job.queue, created=False)
    if job.durable:
        try:
            root.fs.sync_dir(directory)
        except OSError:
            keys.withdraw(root, job.queue, job.options.key, target)
            with contextlib.suppress(OSError):
                root.fs.rename_new(target, path)
            raise
    return Placed(name.id, job.queue)
