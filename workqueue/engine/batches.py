"""Batches: many jobs made visible by one rename.

``tmp/PRIORITY-ULID-b/`` is filled with jobs, synced, and renamed into new/ (or, with a due time, into later/): all or
nothing, and no rename per job. A claim takes a job out of it (``new/B/N → cur/N'``); whoever finds it empty removes it.

A batch is synced by writing out all of its files at once and then waiting for each (8 at a time): right on every local
file system, where one fsync after another would cost a journal commit each.
"""

from __future__ import annotations

import contextlib
import errno
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Self

from workqueue.engine.renames import rename
from workqueue.errors import told
from workqueue.jobs import content, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.engine.protocol import Content, NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.ids import JobId

BATCH = 1000
"""Jobs in a directory: far below where listing one costs anything."""
GROUP = 128
"""Files open at a time, well under the usual limit of 1,024."""
SYNCERS = 8
FEW = 16
"""Files that are synced one after the other: to start threads for them costs more (measured on tmpfs and ext4)."""


def split(payloads: Iterable[Content]) -> Iterator[list[Content]]:
    """The payloads of each batch, taken from the iterable one batch at a time."""
    rest = iter(payloads)
    while batch := list(islice(rest, BATCH)):
        yield batch


def put(root: Root, like: NewJob, batch: list[Content]) -> list[JobId]:
    """Submit payloads as jobs `like` the given one; returns their ids once they are safe."""
    root.refuse_submit_only("a batch")
    with told(f"submit to queue {like.queue!r}", root.space(like.queue, "tmp")):
        return _put_batch(root, like, batch)


def _put_batch(root: Root, like: NewJob, chunk: list[Content]) -> list[JobId]:
    text = names.batch(like.priority, root.ids.next())
    if like.due is not None:
        text = f"{like.due:013d}-{text}"
    temporary = f"{root.space(like.queue, 'tmp')}/{text}"
    directory = root.space(like.queue, "new" if like.due is None else "later")
    root.fs.mkdir(temporary)
    try:
        if root.is_shared:
            root.fs.set_owner(temporary, root.group, 0o2770)
        ids = _fill(root, temporary, like, chunk)
        if like.durable:
            root.fs.sync_dir(temporary)
        rename(root, temporary, f"{directory}/{text}")
    except BaseException:
        with contextlib.suppress(OSError):
            root.fs.remove_tree(temporary)
        raise
    if like.durable:
        try:
            root.fs.sync_dir(directory)
        except OSError:
            _take_back(root, f"{directory}/{text}", temporary, len(ids))
            raise
    return ids


def _take_back(root: Root, published: str, temporary: str, count: int) -> None:
    """Undo the publishing of a batch; if a worker was faster, all of it stays rather than a part."""
    with contextlib.suppress(OSError):
        root.fs.rename(published, temporary)
        if len(root.fs.list(temporary)) == count:
            root.fs.remove_tree(temporary)
        else:
            root.fs.rename(temporary, published)


def _fill(root: Root, directory: str, like: NewJob, chunk: list[Content]) -> list[JobId]:
    label = names.label(like.label)
    labels = (names.label(own[0]) if own else label for _, _, *own in chunk)
    jobs = [names.Name(like.priority, root.ids.next(), 0, label=one) for one in labels]

    def files() -> Iterator[tuple[str, bytes]]:
        for name, (payload, kind, *_) in zip(jobs, chunk, strict=True):
            like.options.type = kind
            yield f"{directory}/{name.ready()}", content.encode(like.options, payload)

    write_all(root, files(), durable=like.durable)
    return [name.id for name in jobs]


def write_all(root: Root, files: Iterable[tuple[str, bytes]], *, durable: bool = True) -> None:
    """Write new files, each whole; synced together, so that they share the disk's commits."""
    rest = iter(files)
    with ThreadPoolExecutor(SYNCERS) if durable else contextlib.nullcontext() as pool:
        while group := list(islice(rest, GROUP)):
            with _Files(root, pool) as opened:
                for path, data in group:
                    opened.write(path, data)


def fill(root: Root, directory: str, files: list[tuple[str, bytes]]) -> None:
    """Make a batch's directory with its jobs, durable but for its own entry."""
    root.fs.mkdir(directory)
    if root.is_shared:
        root.fs.set_owner(directory, root.group, 0o2770)
    write_all(root, ((f"{directory}/{name}", data) for name, data in files))
    root.fs.sync_dir(directory)


def sync_all(root: Root, paths: list[str]) -> None:
    """Sync files that were written before."""
    with ThreadPoolExecutor(SYNCERS) as pool:
        for start in range(0, len(paths), GROUP):
            with _Files(root, pool) as files:
                for path in paths[start : start + GROUP]:
                    files.adopt(path)


class _Files:
    """Files written together: synced, if at all, and closed when the block ends."""

    def __init__(self, root: Root, pool: ThreadPoolExecutor | None) -> None:
        self._fs = root.fs
        self._mode = root.file_mode
        self._pool = pool
        self._open: list[int] = []

    def write(self, path: str, data: bytes) -> None:
        fd = self._fs.create(path, self._mode)
        self._open.append(fd)
        self._fs.write(fd, data)
        if self._mode != 0o600:  # noqa: PLR2004
            self._fs.chmod(fd, self._mode)
        if self._pool is None:
            self._open.pop()
            self._fs.close(fd)

    def adopt(self, path: str) -> None:
        self._open.append(self._fs.open(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        failed = kind is not None
        try:
            if self._pool is not None and not failed:
                for fd in self._open:
                    self._fs.start_write_out(fd)
                sync = map if len(self._open) <= FEW else self._pool.map
                list(sync(self._fs.sync, self._open))
        except BaseException:
            failed = True
            raise
        finally:
            self._close(failed=failed)

    def _close(self, *, failed: bool) -> None:
        """Close every file; the first failure is raised, unless an earlier one is on its way."""
        broken: BaseException | None = None
        for fd in self._open:
            try:
                self._fs.close(fd)
            except BaseException as error:  # noqa: BLE001 - a handler that is interrupted here keeps none open
                broken = broken or error
        if broken is not None and not failed:
            raise broken


def remove_if_empty(root: Root, path: str) -> bool:
    """Remove a batch whose jobs are all claimed; its own entries are synced first, so that no claim is undone."""
    try:
        root.fs.sync_dir(path)
        root.fs.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True
