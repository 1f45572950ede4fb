"""``.fsq/jobs/ID/elements``: how far each element of an array has come; and what becomes of those that fail.

    0011240        a character for each element (jobs/arrays.py)
    3.k2x9         the run that goes on, SLOT.RUN; spaces when it has ended in good order

Written in place, a byte for each element that has ended, and never synced: kill -9 keeps it. Writing it is best effort,
as with all records: where the disk refuses it, a dead run's elements are run again. Where what is there cannot be read,
the run fails, and is tried again.

**Invariant**: a 1 is written after the handler has returned, and never for an element that staged something.
**Invariant**: only whoever recovers a dead run's claim marks a 3, and wipes the run with the same write. So an element
is blamed for a death once, and none is for a stop, or for a run that another has followed.
A poison element is therefore run once in its array; then it is a job of its own, and its array goes on.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.engine import batches, records, submit
from workqueue.errors import BadPayload, told
from workqueue.jobs import arrays, content, names
from workqueue.jobs.content import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.engine.protocol import Claim, NewJob
    from workqueue.engine.root import Root
    from workqueue.jobs.arrays import Tally
    from workqueue.jobs.ids import JobId

MOST_BYTES = 16 << 20
"""Bytes of arrays that are written, and synced, together."""
OWNER = len("99999.run4")
LONGEST_ERROR = 8000
"""Characters of a message and of a traceback that go with an element into line 1 of its own job."""


def path(root: Root, job_id: str) -> str:
    """Where the marks are."""
    return f"{records.directory(root, job_id)}/elements"


# -- submit --------------------------------------------------------------------------------------------------------


def groups(root: Root, made: Iterable[tuple[bytes, int]]) -> Iterator[tuple[list[bytes], int]]:
    """Arrays of the same number of elements, to be written as one batch; by themselves where no batch may be made."""
    most = 1 if root.submit_only else batches.BATCH
    group: list[bytes] = []
    size = count = 0
    for data, elements in made:
        if group and (elements != count or len(group) == most or size > MOST_BYTES):
            yield group, count
            group, size = [], 0
        group.append(data)
        size, count = size + len(data), elements
    if group:
        yield group, count


def put(root: Root, like: NewJob, group: list[bytes], count: int) -> list[JobId]:
    """Submit arrays of `count` elements each, all or none; returns their ids once they are safe."""
    like.options.array = count
    if len(group) > 1:
        return batches.put(root, like, [(data, JSON) for data in group])
    like.payload, like.type = group[0], JSON
    return [submit.put(root, like).id]


# -- a run's marks -------------------------------------------------------------------------------------------------


class Marks:
    """The marks of the run that goes on; `marks` is what they were when it began."""

    def __init__(self, root: Root, claim: Claim) -> None:
        self._root, self._claim = root, claim
        self._count = claim.options.array or 0
        self._fd: int | None = None
        self.marks = arrays.TO_DO * self._count
        self.are_kept = True
        """Whether the disk has taken all that this run has marked."""
        if self._count > 1:
            where = path(root, claim.id)
            with told(f"read how far array {claim.id} has come", where):
                self._read(where)
            try:
                self._begin(where)
            except OSError:
                self.are_kept = False

    def _read(self, where: str) -> None:
        """Take over what earlier runs have left. An error is raised: it must not make an array begin anew."""
        with contextlib.suppress(FileNotFoundError):
            self._fd = self._root.fs.open_slot(where)
        if self._fd is not None:
            try:
                found = os.pread(self._fd, self._count, 0)
            except OSError:
                self.close(ended=False)
                raise
            if len(found) == self._count:
                self.marks = arrays.still_to_do(found)

    def _begin(self, where: str) -> None:
        if self._fd is None:
            records.make(self._root, self._claim)
            self._fd = self._root.fs.create(where, 0o600, os.O_RDWR)
        self._claim.has_records = True
        self._root.fs.overwrite(self._fd, self.marks + trailer(owner_of(self._claim)))

    def set(self, index: int, mark: bytes) -> None:
        """Mark one element."""
        if self._fd is not None:
            try:
                self._root.fs.overwrite(self._fd, mark, index)
            except OSError:
                self.are_kept = False

    def close(self, *, ended: bool) -> None:
        """Let go of the file. `ended`: nobody is to be blamed any more, the run has ended or is about to commit."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        with contextlib.suppress(OSError):
            if ended:
                self._root.fs.overwrite(fd, trailer(""), self._count)
        with contextlib.suppress(OSError):
            self._root.fs.close(fd)


def owner_of(claim: Claim) -> str:
    """The run that a claim is, SLOT.RUN."""
    assert claim.name.owner is not None
    return f"{claim.name.owner.slot}.{claim.name.owner.run}"


def trailer(owner: str) -> bytes:
    """What stands behind the marks."""
    return f"\n{owner:{OWNER}}\n".encode()


def blame(root: Root, claim: Claim) -> None:
    """Mark the element that a dead run was in: the first that is to do. Best effort."""
    with contextlib.suppress(OSError):
        fd = root.fs.open_slot(path(root, claim.id))
        try:
            count = claim.options.array or 0
            found = os.pread(fd, count + len(trailer("")), 0)
            at = found.find(arrays.TO_DO, 0, count)
            if found[count:] == trailer(owner_of(claim)) and at >= 0:
                root.fs.overwrite(fd, found[:at] + arrays.BLAMED + found[at + 1 : count] + trailer(""))
        finally:
            root.fs.close(fd)


def tally(root: Root, job_id: str, count: int, *, running: bool) -> Tally:
    """How far an array has come."""
    try:
        marks = root.fs.read(path(root, job_id), count)
    except OSError:
        marks = b""
    return arrays.tally(marks if len(marks) == count else arrays.TO_DO * count, running=running)


def mark_of(root: Root, job_id: str, index: int) -> bytes:
    """The mark of one element; to do where there is none."""
    try:
        return root.fs.read(path(root, job_id), index + 1)[index : index + 1] or arrays.TO_DO
    except OSError:
        return arrays.TO_DO


def forget(root: Root, job_id: str) -> None:
    """Let the array's next run begin anew."""
    with told(f"forget how far job {job_id} has come", path(root, job_id)):
        if root.fs.exists(path(root, job_id)):
            root.fs.discard(path(root, job_id))
            root.fs.sync_dir(records.directory(root, job_id))


# -- elements that fail --------------------------------------------------------------------------------------------


def split_off(
    root: Root, claim: Claim, index: int, line: bytes, *, attempt: int, due: int | None, error: Any
) -> tuple[names.Name, bytes]:
    """An element as a job of its own: its name and its content."""
    name = names.Name(claim.name.priority, root.ids.next(), attempt, due=due, label=claim.name.label)
    options = msgspec.structs.replace(
        claim.options, array=None, key=None, key_for=None, name=None, source=f"{claim.id}.{index}"
    )
    for kept in (error, shortened(error), None):
        options.error = kept
        with contextlib.suppress(BadPayload):
            return name, content.encode(options, line)
    options.source = None  # headers up to the limit leave room for no more than the array had
    return name, content.encode(options, line)


def shortened(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """An error that fits; the beginning of what it says, the end of its traceback."""
    if error is None:
        return None
    short = {**error, "message": str(error.get("message", ""))[:LONGEST_ERROR]}
    if "traceback" in error:
        short["traceback"] = str(error["traceback"])[-LONGEST_ERROR:]
    return short


# -- the payload of one element ------------------------------------------------------------------------------------


def element_path(root: Root, claim: Claim, index: int, line: bytes) -> str:
    """A file that holds just this element; it goes with the run."""
    directory = root.dot("stage", claim.name.claimed())
    where = f"{directory}/{index}"
    with told("copy the element", where):
        if not claim.scratch:
            root.fs.mkdir(directory)
            claim.scratch = True
        with root.fs.creating(where) as fd:
            root.fs.write(fd, line)
    return where
