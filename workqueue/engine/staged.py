"""Staged: what a run collects, to be handed over if and only if it commits.

    job.submit   children      in memory while they are few; then files, or batch directories, under commit/
    job.output   files         beside their destinations (outputs.py)
    job.reject   records       one file of JSON lines
    result       the result    a file, where it is kept

**Guarantee**: when `seal` returns, all of it and the manifest that tells of it are on the disk, and nobody sees any of
it. A run that stages nothing has no such object, and pays nothing.
**Invariant**: once the disk has refused anything here the run cannot be sealed, also if the handler caught the error.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from workqueue.engine import batches, manifest, outputs, records
from workqueue.engine.children import SINGLES, Children
from workqueue.engine.discards import discard, remove
from workqueue.engine.manifest import Dropped, End, Entry, Header, Item
from workqueue.engine.root import DOT
from workqueue.errors import BadInput, told
from workqueue.store.newfile import open_new

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.protocol import Claim, NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.ids import JobId
    from workqueue.jobs.names import Name
    from workqueue.jobs.states import State

REJECTED = "rejected"
"""The directory of a queue for rejected records."""
REJECTS_BUFFER = 1 << 16


class Before(NamedTuple):
    """What was staged before the part that is being staged, which may be taken back."""

    items: int
    children: Children
    outputs: frozenset[str]
    buffer: bytes
    rejected: int


class Staged:
    """What one run has staged."""

    def __init__(self, root: Root, claim: Claim, *, singles: int = SINGLES) -> None:
        self._root = root
        self._claim = claim
        self._run = manifest.text_of(claim.name)
        self._count = 0
        self._manifest: int | None = None
        self._entries: list[Entry] = [Header(claim.queue, claim.name.claimed())]
        """What is still to be written to the manifest."""
        self._singles = singles
        self._children = Children(root, self._item, singles)
        self._outputs: dict[str, bool] = {}
        """By temporary file: whether its block has ended."""
        self._rejects: int | None = None
        self._buffer = b""
        self._rejects_path = ""
        self.rejected = 0
        """Records."""
        self._broken: OSError | None = None
        self._before: Before | None = None
        self._lock = threading.RLock()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hand over, and nothing was tried in vain."""
        return not (self._count or self._children.waiting or self._broken or self._manifest)

    @property
    def broken(self) -> OSError | None:
        """What the disk refused first; the run cannot be sealed."""
        return self._broken

    # -- collecting --------------------------------------------------------------------------------------------

    def job(self, job: NewJob) -> JobId:
        """Stage a child job; returns the id that it will have."""
        with self._disk(f"stage a job for queue {job.queue!r}"):
            return self._children.add(job)

    def element(self, queue: str, state: State, name: Name, data: bytes, member_of: str | None) -> None:
        """Stage an element of an array that becomes a job of its own."""
        with self._disk(f"split an element off in queue {queue!r}"):
            self._children.put(queue, state, name, data, member_of)

    def output(self, path: str, mode: str, permissions: int) -> IO[Any]:
        """Open a file that will be at `path`; the end of its ``with`` block stages it."""
        if set(mode) - set("wxbt+") or len(set(mode) & set("wx")) != 1:
            raise BadInput(f"mode {mode!r}: 'w' replaces a file, 'x' makes a new one; 'b' and '+' go with both")
        output = outputs.plan(self._root, self._claim.name, path, new="x" in mode)
        if output.temporary in self._outputs:
            raise BadInput(f"output {output.to}: this run has staged it already")
        with self._disk(f"stage output {output.to}"):
            self._entries.append(output)
            self._write_manifest()
            self._root.fs.sync_dir(self._root.dot("commit"))
        with told(f"stage output {output.to}"):
            return self._open(output.temporary, mode, permissions)

    def reject(self, line: bytes) -> None:
        """Stage a rejected record: one line, with its end."""
        with self._disk("stage rejected records"):
            if self._rejects is None:
                self._rejects_path = self._item(
                    f"{self._claim.queue}/{REJECTED}/{self._claim.id}-{self._attempt()}.jsonl"
                )
                self._rejects = self._root.fs.create(self._rejects_path, self._root.file_mode)
            self.rejected += 1
            self._buffer += line
            if len(self._buffer) > REJECTS_BUFFER and self._before is None:
                self._flush_rejects()

    # -- a part that may be taken back: what one element of an array stages ---------------------------------------

    def begin(self) -> None:
        """From now on what is staged belongs to a part."""
        with self._lock:
            children, self._children = self._children, Children(self._root, self._item, self._singles)
            self._before = Before(self._count, children, frozenset(self._outputs), self._buffer, self.rejected)

    def keep(self) -> bool:
        """The part has ended well; whether there was anything in it. Raises for an output that is still open."""
        with self._disk("stage what an element hands over"):
            assert self._before is not None
            self._check_closed()
            before, self._before = self._before, None
            part, self._children = self._children, before.children
            waited = bool(part.waiting)
            self._children.take(part)
            if len(self._buffer) > REJECTS_BUFFER:
                self._flush_rejects()
            return (
                waited
                or self._count > before.items
                or self.rejected > before.rejected
                or before.outputs != set(self._outputs)
            )

    def take_back(self) -> None:
        """The part has failed: it is as if it had staged nothing."""
        with self._disk("take back what an element staged"):
            assert self._before is not None
            before, self._before = self._before, None
            self._children = before.children
            self._buffer, self.rejected = before.buffer, before.rejected
            for number in range(before.items + 1, self._count + 1):
                item = manifest.path(self._root, self._run, number)
                if item != self._rejects_path:
                    remove(self._root, item)  # the manifest may tell of it: to publish what is not there is nothing
            for temporary in self._outputs.keys() - before.outputs:
                self._root.fs.discard(temporary)
                del self._outputs[temporary]
                self._entries.append(Dropped(temporary))

    # -- the end -----------------------------------------------------------------------------------------------

    def seal(self, result: bytes | None = None) -> None:
        """Make all of it durable, with the result where that is kept."""
        if self._broken is not None:
            raise self._broken
        self._check_closed()
        with self._disk("stage what the run hands over"):
            if result is not None:
                batches.write_all(self._root, [(self._item(f"{DOT}/jobs/{self._claim.id}/result"), result)])
            self._children.write()
            self._seal_rejects()
            self._seal_outputs()
            self._entries.append(End())
            self._write_manifest()
            self.close()
            self._root.fs.sync_dir(self._root.dot("commit"))

    def keep_rejects(self) -> None:
        """Put the records that a run rejected, which then failed, beside its error; best effort."""
        if self._rejects is None or not self.rejected:
            return
        with contextlib.suppress(OSError):
            self._flush_rejects()
            records.keep(self._root, self._claim.id, self._rejects_path, f"rejects-{self._attempt()}.jsonl")

    def discard(self) -> None:
        """Remove all of it; best effort: what is left is removed by whoever takes the slot over."""
        with contextlib.suppress(OSError):
            self.close()
        outputs.discard(self._root, self._outputs)  # also where somebody has taken the manifest away already
        with contextlib.suppress(OSError):
            discard(self._root, self._run)

    def close(self) -> None:
        """Close what is open."""
        with contextlib.ExitStack() as left:
            for fd in (self._manifest, self._rejects):
                if fd is not None:
                    left.callback(self._root.fs.close, fd)
            self._manifest = self._rejects = None

    def _check_closed(self) -> None:
        for temporary, is_closed in self._outputs.items():
            if not is_closed:
                raise BadInput(f"output {temporary}: is still open; use it in a with block, whose end stages it")

    # -- inside ------------------------------------------------------------------------------------------------

    @contextmanager
    def _disk(self, doing: str) -> Iterator[None]:
        """One thread of the handler at a time; what the disk refuses is remembered."""
        try:
            with self._lock, told(doing, self._root.dot("commit")):
                yield
        except OSError as error:
            self._broken = self._broken or error
            raise

    def _attempt(self) -> str:
        name = self._claim.name
        return f"0{name.attempt}" if name.anew else str(name.attempt)

    def _item(self, to: str, key: str | None = None, options: str | None = None, batch: str | None = None) -> str:
        """Note an item in the manifest; returns where it is to be written."""
        self._count += 1
        self._entries.append(Item(self._count, to, key, options, batch))
        return manifest.path(self._root, self._run, self._count)

    def _write_manifest(self) -> None:
        if self._manifest is None:
            self._manifest = self._root.fs.create(manifest.path(self._root, self._run))
        entries, self._entries = self._entries, []
        self._root.fs.write(self._manifest, b"".join(map(manifest.line, entries)))
        self._root.fs.sync(self._manifest)

    # -- rejects, outputs --------------------------------------------------------------------------------------

    def _open(self, temporary: str, mode: str, permissions: int) -> IO[Any]:
        create = partial(self._root.fs.create, temporary, permissions)
        try:
            file = open_new(temporary, mode, lambda _, flags: create(flags & os.O_ACCMODE), self._leave)
        except BaseException:
            self._entries.append(Dropped(temporary))
            raise
        self._outputs[temporary] = False
        return file

    def _flush_rejects(self) -> None:
        assert self._rejects is not None
        lines, self._buffer = self._buffer, b""
        self._root.fs.write(self._rejects, lines)

    def _seal_rejects(self) -> None:
        if self._rejects is not None:
            self._flush_rejects()
            self._root.fs.sync(self._rejects)
            if not self.rejected:  # all were taken back
                self._root.fs.unlink(self._rejects_path)

    def _leave(self, file: IO[Any], *, well: bool) -> None:
        """End an output's block: a file that was closed inside it (as some writers do) is as good."""
        try:
            try:
                if well and not file.closed:
                    file.flush()
                    self._root.fs.start_write_out(file.fileno())
            finally:
                file.close()
        except BaseException:
            well = False
            raise
        finally:
            if file.name not in self._outputs:
                pass  # the element that opened it was split off meanwhile
            elif well:
                self._outputs[file.name] = True
            else:
                del self._outputs[file.name]
                self._entries.append(Dropped(file.name))
                with contextlib.suppress(OSError):
                    self._root.fs.unlink(file.name)

    def _seal_outputs(self) -> None:
        batches.sync_all(self._root, list(self._outputs))
        for directory in {os.path.dirname(temporary): None for temporary in self._outputs}:
            self._root.fs.sync_dir(directory)
