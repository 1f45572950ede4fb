"""Finding jobs: by id, by first name, by inode, and all of a state. Nothing here changes the disk.

A job moves while it is looked for, so one pass over the directories can miss it. "Nowhere" counts only after a pass
before and during which no directory changed, or after three passes: each of them it would have to dodge.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workqueue.engine.protocol import Located
from workqueue.jobs import names
from workqueue.jobs.states import SEARCHED, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name

PASSES = 3
TICK_NS = 20_000_000
"""Kernels before 6.13 date changes by ticks of up to 10 ms: of two in one tick the second is not seen by its date."""
LIVING = ("tmp", "held", "later", "new", "cur")
"""Where the holder of a key can be."""


def entries(root: Root, queue: str, space: str) -> Iterator[str]:
    """Names in a space, those inside batch directories as BATCH/NAME; one that vanishes meanwhile is left out."""
    directory = root.space(queue, space)
    for text in root.fs.list(directory):
        if names.is_batch(text) and space in {"new", "later"}:
            yield from (f"{text}/{name}" for name in batch_entries(root, f"{directory}/{text}"))
        else:
            yield text


def batch_entries(root: Root, path: str) -> list[str]:
    """Names in a batch directory; none if it is gone, no directory, or closed to us."""
    try:
        return list_batch(root, path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def list_batch(root: Root, path: str) -> list[str]:
    """Names in a batch directory. A link is none: what it leads to is not the queue's."""
    fd = root.fs.open_dir(path)
    try:
        return [name for name in os.listdir(fd) if not name.startswith(".")]
    finally:
        os.close(fd)


def scan(root: Root, queue: str, state: State) -> Iterator[Located]:
    """All jobs of a state, in the order in which they are run; bare ones, which have no id yet, last."""
    directory = root.space(queue, state)
    found: list[tuple[str, str]] = []
    for text in entries(root, queue, state):
        base = text.rpartition("/")[2]
        found.append((names.without_due(base) if state is State.NEW else base, text))
    for _, text in sorted(found):
        base = text.rpartition("/")[2]
        name = names.parse(base) or unnamed(base)
        yield Located(queue, state, with_due_of_batch(name, text), f"{directory}/{text}")


def unnamed(text: str) -> Name:
    """A bare job as it is shown: without an id, labelled by its file name."""
    return names.Name(names.DEFAULT_PRIORITY, names.NO_ID, 0, whole=True, label=text)


def with_due_of_batch(name: Name, text: str) -> Name:
    """The name with the due time of the batch that it lies in."""
    due = names.due_of(text) if "/" in text else 0
    return name._replace(due=due) if due and name.due is None else name


def find(root: Root, queues: list[str], job_id: str) -> Located | None:
    """Where the job is; None only if it was nowhere while nothing moved."""
    for _ in range(PASSES):
        before = moments(root, queues)
        for state in SEARCHED:
            for queue in queues:
                for text in entries(root, queue, state):
                    if job_id in text and (found := located(root, queue, state, text, job_id)):
                        return found
        if before == moments(root, queues) and is_old(root, before):
            return None
    return None


def is_old(root: Root, moments: list[int]) -> bool:
    """Whether the last change was so long ago that another would have another date."""
    return root.clock.now_ms() * 1_000_000 - max(moments) > TICK_NS


def located(root: Root, queue: str, state: State, text: str, job_id: str) -> Located | None:
    """A name as the job of this id; None if it only looks like it."""
    name = names.parse(text.rpartition("/")[2])
    if name is None or name.id != job_id:
        return None
    return Located(queue, state, with_due_of_batch(name, text), f"{root.space(queue, state)}/{text}")


def moments(root: Root, queues: list[str]) -> list[int]:
    """When each directory last changed."""
    return [root.fs.stat(root.space(queue, state)).st_mtime_ns for queue in queues for state in SEARCHED]


def find_named(root: Root, queue: str, first_name: str) -> tuple[str, str] | None:
    """(space, name) of a living job, by the name it was submitted under."""
    for space in ("new", "later", "held"):
        if root.fs.exists(f"{root.space(queue, space)}/{first_name}"):
            return space, first_name
    name = names.parse(first_name)
    if name is None:
        return None
    return _search(root, queue, lambda text, _: name.id in text)


def find_inode(root: Root, queue: str, inode: int) -> tuple[str, str] | None:
    """(space, name) of the living job whose file this is."""
    return _search(root, queue, lambda _, found: found == inode)


def _search(root: Root, queue: str, matches: Callable[[str, int], bool]) -> tuple[str, str] | None:
    for _ in range(PASSES):
        before = _moments(root, queue)
        in_tmp = None  # its submitter died before the rename, or (twins.py) it is what a power cut left of one
        for space in LIVING:
            with os.scandir(root.space(queue, space)) as listing:
                for entry in listing:
                    if matches(entry.name, entry.inode()) and not entry.name.startswith("."):
                        if space != "tmp":
                            return space, entry.name
                        in_tmp = space, entry.name
        if in_tmp is not None:
            return in_tmp
        if before == _moments(root, queue) and is_old(root, before):
            return None
    return None


def _moments(root: Root, queue: str) -> list[int]:
    return [root.fs.stat(root.space(queue, space)).st_mtime_ns for space in LIVING]


def counts(root: Root, queue: str) -> dict[State, int]:
    """How many jobs each state has."""
    return {state: sum(1 for _ in entries(root, queue, state)) for state in State}
