"""Children: the jobs that a run stages for the moment when it commits.

They are kept in memory while they are few; then those of one kind (queue, priority, time) become a batch directory,
which appears by one rename. A child with a key, or one that is a file, is written at once, by itself; so is, but not at
once, an element of an array that goes to failed/ or corrupt/, where no batch lies.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from workqueue.engine import batches
from workqueue.engine.submit import open_source, refuse_large
from workqueue.errors import BadInput
from workqueue.jobs import content, names
from workqueue.jobs.content import Options
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.engine.protocol import NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.ids import JobId
    from workqueue.jobs.names import Name

SINGLES = 64
"""Children of one kind that become files of their own; more are a batch."""
MOST_BYTES = 8 << 20
"""Bytes of children that are kept in memory."""


BATCHED = {State.NEW, State.LATER}


class NewItem(Protocol):
    """Notes an item in the manifest, by its place below the root; returns the path where it is to be written."""

    def __call__(
        self, to: str, key: str | None = None, options: str | None = None, batch: str | None = None
    ) -> str: ...


class Children:
    """What one run has staged of them; `waiting` is still in memory."""

    def __init__(self, root: Root, item: NewItem, singles: int = SINGLES) -> None:
        self._root = root
        self._item = item
        self._singles = singles
        self.waiting: dict[tuple[str, State, int, int | None, str | None], list[tuple[Name, bytes]]] = {}
        self._bytes = 0

    def add(self, job: NewJob) -> JobId:
        """Stage a job; returns the id that it will have."""
        label = names.label(job.label)
        next_id = self._root.ids.next()
        name = names.Name(job.priority, next_id, 0, due=job.due, whole=job.file is not None, label=label)
        if job.options.key is not None:
            job.options.name = name.delayed()
        if job.file is not None:
            self._add_file(job, name, job.file)
        else:
            self._add_payload(job, name)
        return name.id

    def put(self, queue: str, state: State, name: Name, data: bytes, member_of: str | None) -> None:
        """Stage a job that has its name and its content already."""
        group = self.waiting.setdefault((queue, state, name.priority, name.due, member_of), [])
        group.append((name, data))
        self._bytes += len(data)
        if len(group) == batches.BATCH or self._bytes > MOST_BYTES:
            self.write()

    def take(self, others: Children) -> None:
        """Take over what waits in others."""
        for (queue, state, _, _, member_of), group in others.waiting.items():
            for name, data in group:
                self.put(queue, state, name, data, member_of)

    def write(self) -> None:
        """Write what waits in memory; durable but for the entries in commit/."""
        groups, self.waiting, self._bytes = self.waiting, {}, 0
        singles: list[tuple[str, bytes]] = []
        for (queue, state, priority, due, member_of), group in groups.items():
            if len(group) > self._singles and state in BATCHED:
                text = names.batch(priority, self._root.ids.next())
                to = f"{queue}/{state}/{text if due is None else f'{due:013d}-{text}'}"
                item = self._item(to, batch=member_of)
                batches.fill(self._root, item, [(name.ready(), data) for name, data in group])
            else:
                for name, data in group:
                    singles.append((self._item(f"{queue}/{state}/{name.delayed()}", batch=member_of), data))
        batches.write_all(self._root, singles)

    def _add_payload(self, job: NewJob, name: Name) -> None:
        job.options.type = job.type
        data = content.encode(job.options, job.payload)
        if job.options.key is not None:
            item = self._item(_place(job.queue, job.due, name.delayed()), job.options.key, batch=job.options.batch)
            batches.write_all(self._root, [(item, data)])
            return
        self.put(job.queue, _state(job.due), name, data, job.options.batch)

    def _add_file(self, job: NewJob, name: Name, path: str) -> None:
        line = content.encode_options(job.options)
        options = line.decode() if line != content.encode_options(Options()) else None
        fd = open_source(self._root, path)
        try:
            refuse_large(self._root, job, path, fd)
            to = _place(job.queue, job.due, name.delayed())
            item = self._item(to, job.options.key, options, job.options.batch)
            if job.mode == "copy":
                self._root.fs.copy(fd, item, self._root.file_mode)
            else:
                self._root.fs.sync(fd)
                self._root.fs.link(path, item)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            text = f"{path}: on another file system than {self._root.path}; stage it with mode='copy'"
            raise BadInput(text) from None
        finally:
            os.close(fd)


def _state(due: int | None) -> State:
    return State.NEW if due is None else State.LATER


def _place(queue: str, due: int | None, name: str) -> str:
    return f"{queue}/{_state(due)}/{name}"
