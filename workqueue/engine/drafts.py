"""Drafts: a batch while its producer's block lasts. It appears, with all of its members, by one rename, or not at all.

    .fsq/batches/.ID/      the draft; items/ is locked as long as its producer lives
        items/0            the manifest: one line for each item, as a run's (manifest.py)
        items/1 …          the members: single jobs, and directories of many
        open/JOB           an entry for each, from the beginning
    .ID → ID               synced: the batch is committed. Only then are the items renamed to their places

**Guarantee**: when `commit` returns the members survive kill -9 and a power cut. If it raises, or its process dies in
it, there is nothing. Killed behind the rename, it is finished by whoever gets the lock: any number may, each step can
be repeated, and without items/ it was done.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine import commits, manifest, members, twins
from workqueue.engine.children import SINGLES, Children
from workqueue.engine.discards import remove
from workqueue.engine.manifest import End, Entry, Item
from workqueue.engine.members import place
from workqueue.engine.root import BATCHES
from workqueue.engine.submit import write_file
from workqueue.errors import FsqError, WrongState, told
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.callback import Plan
    from workqueue.engine.protocol import NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.ids import JobId

ABANDONED = 60.0
"""Seconds after which a draft without a lock is nobody's: its producer locks it at once."""
_decoder = msgspec.json.Decoder(Item | End)


class Draft:
    """What one producer collects; `commit` makes it a batch, `discard` makes it nothing."""

    def __init__(self, root: Root, plan: Plan, *, singles: int = SINGLES) -> None:
        self._root = root
        self._plan = plan
        self.id = root.ids.next()
        self._path = root.dot(BATCHES, f".{self.id}")
        self._items: list[Item] = []
        self._children = Children(root, self._item, singles)
        self._broken: OSError | None = None
        self._lock = threading.RLock()
        self._fd = self._begin()

    def _begin(self) -> int:
        fs = self._root.fs
        with told("begin a batch", self._path):
            fs.ensure_dir(self._root.dot(BATCHES))
            fs.mkdir(self._path)
            for part in ("items", "open", "ended"):
                fs.mkdir(f"{self._path}/{part}")
            return self._lock_items()

    def _lock_items(self) -> int:
        fd = self._root.fs.open_dir(f"{self._path}/items")
        try:
            is_ours = self._root.fs.lock(fd)
        except BaseException:
            os.close(fd)
            raise
        if not is_ours:
            os.close(fd)
            raise WrongState(f"batch {self.id}: taken for abandoned before it began; begin it anew")
        return fd

    def _item(self, to: str, key: str | None = None, options: str | None = None, batch: str | None = None) -> str:
        self._items.append(Item(len(self._items) + 1, to, key, options, batch))
        return f"{self._path}/items/{len(self._items)}"

    def add(self, job: NewJob) -> JobId:
        """Take in a member; returns the id that it will have."""
        with self._disk():
            job.options.batch = self.id
            job_id = self._children.add(job)
            self._root.fs.close(self._root.fs.create(f"{self._path}/open/{job_id}"))
            return job_id

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """One thread at a time; what the disk refuses is remembered, so that no part is taken for the whole."""
        try:
            with self._lock, told(f"write batch {self.id}", self._path):
                yield
        except OSError as error:
            self._broken = self._broken or error
            raise

    # -- the end -----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make the batch, and put its members into their queues; what cannot be now is by the next sweep."""
        if self._broken is not None:
            raise self._broken
        fs, final = self._root.fs, place(self._root, self.id)
        with self._disk():
            self._write()
            fs.rename(self._path, final)
            try:
                fs.sync_dir(self._root.dot(BATCHES))
            except OSError:
                fs.rename(final, self._path)  # nobody else has seen more of it than its name
                raise
        with contextlib.suppress(OSError, FsqError):
            publish(self._root, self.id)
        self.close()
        with contextlib.suppress(OSError, FsqError):
            members.close(self._root, self.id)

    def _write(self) -> None:
        fs = self._root.fs
        self._children.write()
        entries: list[Entry] = [*self._items, End()]
        lines = b"".join(map(manifest.line, entries))
        write_file(self._root, f"{self._path}/items/{manifest.NUMBER}", lines, durable=True)
        write_file(self._root, f"{self._path}/batch", self._plan.encode(), durable=True)
        write_file(self._root, f"{self._path}/callback", b"", durable=True)
        for part in ("/items", "/open", ""):
            fs.sync_dir(f"{self._path}{part}")

    def discard(self) -> None:
        """Leave nothing of it; best effort: what is left is removed by workers, as nobody has its lock."""
        with contextlib.suppress(OSError):
            self._root.fs.remove_tree(self._path)
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


# -- publishing ----------------------------------------------------------------------------------------------------


def publish(root: Root, batch: str, *, by_other: bool = False) -> None:
    """Put the members of a committed batch into their queues; who calls this has the lock of its items."""
    path = place(root, batch, "items")
    touched = []
    for item in _read(root, path):
        source = f"{path}/{item.number}"
        if by_other:
            _drop_if_published(root, source, item)
        with told("publish a member of a batch", f"{root.path}/{item.to}"):
            touched.append(commits.publish_item(root, source, item))
    for directory in dict.fromkeys(touched):
        root.fs.sync_dir(directory)
    root.fs.discard(f"{path}/{manifest.NUMBER}")
    root.fs.rmdir(path)


def _read(root: Root, path: str) -> list[Item]:
    """The items; none if all are published, and only the empty directory is left."""
    try:
        lines = root.fs.read(f"{path}/{manifest.NUMBER}").splitlines()
    except FileNotFoundError:
        return []
    return [entry for entry in map(_decoder.decode, lines) if isinstance(entry, Item)]


def _drop_if_published(root: Root, source: str, item: Item) -> None:
    """Drop an item's name that a power cut has kept beside the one in its place (twins.py)."""
    name = names.parse(os.path.basename(item.to))
    with contextlib.suppress(FileNotFoundError):
        status = root.fs.stat(source)
        queue = item.to.partition("/")[0]
        if root.fs.exists(f"{root.path}/{item.to}") or (
            name and status.st_nlink > 1 and twins.is_elsewhere(root, queue, name.id, status.st_ino)
        ):
            remove(root, source)


def publish_rest(root: Root, batch: str) -> None:
    """Publish what a dead producer has committed."""
    with locked(root, place(root, batch, "items")) as is_ours:
        if is_ours:
            publish(root, batch, by_other=True)


@contextmanager
def locked(root: Root, items: str) -> Iterator[bool]:
    """Whether the lock on a batch's items is ours; not if its producer lives, or all are published."""
    try:
        fd = root.fs.open_dir(items)
    except FileNotFoundError:
        yield False
        return
    try:
        yield root.fs.lock(fd) and root.fs.exists(items)
    finally:
        os.close(fd)


def clean(root: Root) -> None:
    """Remove the drafts of dead producers."""
    with contextlib.suppress(FileNotFoundError):
        for text in os.listdir(root.dot(BATCHES)):
            if text.startswith("."):
                with contextlib.suppress(OSError):
                    _clean(root, root.dot(BATCHES, text))


def _clean(root: Root, path: str) -> None:
    if root.clock.now() - root.fs.stat(path).st_ctime < ABANDONED:
        return
    if not root.fs.exists(f"{path}/items"):
        root.fs.remove_tree(path)
        return
    with locked(root, f"{path}/items") as is_ours:
        if is_ours:
            root.fs.remove_tree(path)
