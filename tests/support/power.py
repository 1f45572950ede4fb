"""A disk that can be asked what would be left of it if the power had been cut after its n-th operation.

    disk = PoweredFs(root, outside)      # the real disk, written down
    …work on it…
    for state in POSIX.cuts(disk.log, n):        # from cuts.py
        state.restore()                          # the directories are now as after the cut

What counts is what was synced. Models of what becomes of the rest:

`POSIX`   Each change of a name (a rename is one) is kept or lost by itself, but those of one name keep their order.
          A sync of a directory keeps all changes in it, a sync of a file keeps its content and nothing of its name.
          Content that was not synced is there, or not, or in part, or is zeros.
`ORDERED` What journals do (ext4, xfs): changes of names are kept in the order in which they were made, up to some point,
          and any sync keeps all that were made before it. Content that was not synced is there, or not, or in part.
`SPLIT`   What btrfs does: a sync of a directory may keep the new name of what was moved into it, and the old name in
          its own directory, too.
`STALE`   What btrfs does besides, as scripts/power-cuts has shown: a name that was synced, then moved or removed, may be
          back, although its directory was synced again. Only a commit is certain (CommittingFs).

**Not in the models**: a rename of which no name is left (POSIX alone would allow it), and disks that lie about syncs.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from support.disks import UnsyncedFs
from workqueue.store.fs import APPEND


class Content(NamedTuple):
    """What a file holds, and the time that it was given, if it was given one."""

    data: bytes
    mtime: float | None = None


EMPTY = Content(b"")


@dataclass(eq=False)
class Node:
    """A file or a directory, whatever its names."""

    is_dir: bool
    content: Content = EMPTY
    entries: dict[str, Node] = field(default_factory=dict)
    """Of a directory: as the running system sees them."""
    parent: Node | None = None


class Slot(NamedTuple):
    """A place for a name: a directory, and the name in it."""

    directory: Node
    name: str


class Renamed(NamedTuple):
    """One atomic change of names: what is in each slot from now on."""

    changes: tuple[tuple[Slot, Node | None], ...]

    @property
    def slots(self) -> set[Slot]:
        return {slot for slot, _ in self.changes}


class Written(NamedTuple):
    node: Node
    content: Content


class Synced(NamedTuple):
    node: Node


class Committed(NamedTuple):
    """All changes of names before it are on the disk for good."""


Step = Renamed | Written | Synced | Committed


@dataclass
class Log:
    """The steps of a disk's life, and what it was before them."""

    tops: dict[str, Node]
    born: float
    """What a file's time is that was given none."""
    steps: list[Step] = field(default_factory=list)
    entries: dict[Node, dict[str, Node]] = field(default_factory=dict)
    """Of each directory, before the first step."""
    contents: dict[Node, Content] = field(default_factory=dict)
    touched: set[Node] = field(default_factory=set)
    """The directories in which anything has changed, and those above them."""


class PoweredFs(UnsyncedFs):
    """The real disk, below some directories; all that is there at the start is on the disk for good."""

    def __init__(self, *tops: str) -> None:
        self.log = Log({top: Node(is_dir=True) for top in tops}, born=time.time())
        self._guard = threading.Lock()  # a batch is synced by several threads
        self._open: dict[int, Node] = {}
        for top, node in self.log.tops.items():
            self._scan(top, node)

    def _scan(self, path: str, node: Node) -> None:
        for entry in os.scandir(path):
            child = node.entries[entry.name] = Node(entry.is_dir(follow_symlinks=False), parent=node)
            if child.is_dir:
                self._scan(entry.path, child)
            elif entry.is_file(follow_symlinks=False):
                child.content = self.log.contents[child] = read(entry.path)
        self.log.entries[node] = dict(node.entries)

    # -- names -------------------------------------------------------------------------------------------------

    def _slot(self, path: str) -> Slot:
        for top, node in self.log.tops.items():
            if path.startswith(f"{top}/"):
                *parents, name = path[len(top) + 1 :].split("/")
                directory = node
                for parent in parents:
                    directory = directory.entries[parent]
                return Slot(directory, name)
        raise AssertionError(f"{path} is on no disk that is watched")

    def _node(self, path: str) -> Node:
        if path in self.log.tops:
            return self.log.tops[path]
        directory, name = self._slot(path)
        return directory.entries[name]

    def _change(self, *changes: tuple[Slot, Node | None]) -> None:
        for (directory, name), node in changes:
            directory.entries.pop(name, None)
            if node is not None:
                directory.entries[name] = node
                node.parent = directory
            self._touch(directory)
        self.log.steps.append(Renamed(changes))

    def _touch(self, node: Node | None) -> None:
        while node is not None and node not in self.log.touched:
            self.log.touched.add(node)
            node = node.parent

    def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
        with self._guard:
            fd = super().create(path, mode, access)
            node = self._open[fd] = Node(is_dir=False)
            self._change((self._slot(path), node))
            return fd

    def rename(self, source: str, target: str) -> None:
        with self._guard:
            super().rename(source, target)
            self._move(source, target)

    def _move(self, source: str, target: str) -> None:
        self._change((self._slot(source), None), (self._slot(target), self._node(source)))

    def rename_new(self, source: str, target: str) -> None:
        with self._guard:
            assert not os.path.lexists(target)
            super().rename(source, target)
            self._move(source, target)

    def link(self, source: str, target: str) -> None:
        with self._guard:
            super().link(source, target)
            self._change((self._slot(target), self._node(source)))

    def unlink(self, path: str) -> None:
        with self._guard:
            super().unlink(path)
            self._change((self._slot(path), None))

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        with self._guard:
            super().mkdir(path, mode)
            node = Node(is_dir=True)
            self.log.entries[node] = {}
            self._change((self._slot(path), node))

    def rmdir(self, path: str) -> None:
        with self._guard:
            super().rmdir(path)
            self._change((self._slot(path), None))

    # -- content -----------------------------------------------------------------------------------------------

    def _written(self, node: Node, content: Content) -> None:
        if content != node.content:
            node.content = content
            self._touch(node.parent)
            self.log.steps.append(Written(node, content))

    def _look(self, fd: int) -> Node | None:
        """Write down what a file holds by now, however it was written."""
        node = self._open.get(fd)
        if node is not None:
            self._written(node, node.content._replace(data=read(f"/proc/self/fd/{fd}").data))
        return node

    def write(self, fd: int, data: bytes) -> None:
        with self._guard:
            super().write(fd, data)
            self._look(fd)

    def overwrite(self, fd: int, data: bytes, at: int = 0) -> None:
        with self._guard:
            super().overwrite(fd, data, at)
            self._look(fd)

    def append(self, path: str, data: bytes) -> None:
        with self._guard:
            if not self.exists(path):
                os.close(os.open(path, APPEND, 0o600))
                self._change((self._slot(path), Node(is_dir=False)))
            super().append(path, data)
            self._written(self._node(path), read(path))

    def set_mtime(self, fd: int, seconds: float) -> None:
        with self._guard:
            super().set_mtime(fd, seconds)
            node = self._open[fd]
            self._written(node, node.content._replace(mtime=seconds))

    def sync(self, fd: int) -> None:
        with self._guard:
            node = self._look(fd)
            if node is not None:
                self.log.steps.append(Synced(node))

    def sync_dir(self, path: str) -> None:
        with self._guard:
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
            self.log.steps.append(Synced(self._node(os.path.abspath(path))))

    def close(self, fd: int) -> None:
        with self._guard:
            self._look(fd)
            self._open.pop(fd, None)
            super().close(fd)

    def open(self, path: str) -> int:
        with self._guard:
            fd = super().open(path)
            self._open[fd] = self._node(path)
            return fd

    def open_slot(self, path: str) -> int:
        with self._guard:
            fd = super().open_slot(path)
            self._open[fd] = self._node(path)
            return fd


class CommittingFs(PoweredFs):
    """One whose file system can commit all changes of names, as btrfs can."""

    def commit(self, path: str) -> bool:
        with self._guard:
            self.log.steps.append(Committed())
            return True


def read(path: str) -> Content:
    with open(path, "rb") as file:
        return Content(file.read())
