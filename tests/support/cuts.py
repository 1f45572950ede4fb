"""What a power cut may leave of a disk: the models of power.py, as states that can be laid out on a real one."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from support.power import EMPTY, Committed, Content, Log, Node, Renamed, Synced, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

FEW = 24
"""So many states of one cut are all tried; of more, so many are drawn."""
Entries = dict[Node, dict[str, Node]]
"""What is in each directory in which anything has changed."""
Names = frozenset[int]
"""Changes of names, by their index in the log."""


@dataclass
class State:
    """What is on the disk after a cut."""

    log: Log
    entries: Entries
    contents: dict[Node, Content]

    def content(self, node: Node) -> Content:
        return self.contents.get(node, EMPTY)

    def key(self) -> Hashable:
        """Equal for equal states: all that can be reached, and what it holds."""
        return tuple(
            (top, path, id(node), None if node.is_dir else self.content(node))
            for top, root in self.log.tops.items()
            for path, node in self._below(root, "")
        )

    def _below(self, directory: Node, path: str) -> Iterator[tuple[str, Node]]:
        if directory in self.log.touched:
            for name, node in sorted(self.entries[directory].items()):
                yield f"{path}/{name}", node
                if node.is_dir:
                    yield from self._below(node, f"{path}/{name}")

    def restore(self) -> None:
        """Make the directories as the cut left them; those that no step touched must be as they were."""
        self._at: dict[Node, str] = {}
        for top, node in self.log.tops.items():
            self._lay(top, node)

    def _lay(self, path: str, directory: Node) -> None:
        if directory not in self.log.touched:
            return
        here = self.entries[directory]
        for entry in list(os.scandir(path)):
            if entry.name not in here or not here[entry.name].is_dir:
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        for name, node in here.items():
            child = f"{path}/{name}"
            if node.is_dir:
                if not os.path.isdir(child):
                    os.mkdir(child, 0o700)
                self._lay(child, node)
            elif node in self._at:
                os.link(self._at[node], child)
            else:
                self._write(child, node)

    def _write(self, path: str, node: Node) -> None:
        self._at[node] = path
        data, mtime = self.content(node)
        with open(path, "xb") as file:
            file.write(data)
        mtime = self.log.born if mtime is None else mtime
        os.utime(path, (mtime, mtime))


class Unsynced(NamedTuple):
    """A file whose content is not on the disk for certain: what was, and what it would be."""

    node: Node
    safe: Content
    now: Content


def contents_at(log: Log, n: int) -> tuple[dict[Node, Content], list[Unsynced]]:
    """The content of each file that is safe after n steps, and what is not."""
    now, safe = dict(log.contents), dict(log.contents)
    for step in log.steps[:n]:
        match step:
            case Written(node, content):
                now[node] = content
            case Synced(node) if not node.is_dir:
                safe[node] = now.get(node, EMPTY)
    unsynced = [Unsynced(node, safe.get(node, EMPTY), content) for node, content in now.items()]
    return safe, [one for one in unsynced if one.safe != one.now]


def whole(one: Unsynced) -> Content:
    return one.now


def lost(one: Unsynced) -> Content:
    return one.safe


def half(one: Unsynced) -> Content:
    return Content(one.now.data[: (len(one.safe.data) + len(one.now.data)) // 2], one.safe.mtime)


def zeros(one: Unsynced) -> Content:
    kept = one.safe.data if one.now.data.startswith(one.safe.data) else b""
    return Content(kept.ljust(len(one.now.data), b"\0"), one.safe.mtime)


class Model:
    """What a kind of file system promises."""

    fates: tuple[Callable[[Unsynced], Content], ...] = (whole, lost, half)
    """What may become of content that was not synced."""

    def names(self, log: Log, n: int, draw: random.Random) -> list[Entries]:
        """What a cut after n steps may leave of the directories: all of it, or a sample of much."""
        raise NotImplementedError

    def cuts(self, log: Log, n: int, seed: int = 0) -> Iterator[State]:
        """The states that a cut after n steps may leave: all where they are few, else a sample."""
        draw = random.Random(f"{seed} {n}")
        safe, unsynced = contents_at(log, n)
        choices = [[fate] * len(unsynced) for fate in (self.fates if unsynced else self.fates[:1])]
        if len(unsynced) > 1:
            choices += [[draw.choice(self.fates) for _ in unsynced] for _ in range(len(self.fates))]
        pairs = list(itertools.product(self.names(log, n, draw), choices))
        if len(pairs) > FEW:
            pairs = [pairs[0], pairs[-1], *draw.sample(pairs, FEW)]
        for entries, fates in pairs:
            contents = dict(safe)
            contents.update((one.node, fate(one)) for one, fate in zip(unsynced, fates, strict=True))
            yield State(log, entries, contents)


def entries_of(log: Log, kept: Iterable[int]) -> Entries:
    """The directories in which anything has changed, if just these changes were kept."""
    entries = {node: dict(log.entries[node]) for node in log.touched}
    for i in sorted(kept):
        step = log.steps[i]
        assert isinstance(step, Renamed)
        for (directory, name), node in step.changes:
            put(entries, directory, name, node)
    return entries


def put(entries: Entries, directory: Node, name: str, node: Node | None) -> None:
    """Put a node at a place, or nothing."""
    entries[directory].pop(name, None)
    if node is not None:
        entries[directory][name] = node


def changes(log: Log, n: int) -> dict[int, Renamed]:
    """The changes of names among the first n steps."""
    return {i: step for i, step in enumerate(log.steps[:n]) if isinstance(step, Renamed)}


class Ordered(Model):
    """Journals: changes are kept in their order up to some point, and all that were made before a sync."""

    def names(self, log: Log, n: int, draw: random.Random) -> list[Entries]:
        made = list(changes(log, n))
        last_sync = max((i for i, step in enumerate(log.steps[:n]) if isinstance(step, Synced)), default=-1)
        safe = sum(i < last_sync for i in made)
        return [entries_of(log, made[:end]) for end in range(safe, len(made) + 1)]


class Posix(Model):
    """Each change of a name by itself; those of one name in their order; a sync of a directory keeps those in it."""

    fates = (whole, lost, half, zeros)

    def names(self, log: Log, n: int, draw: random.Random) -> list[Entries]:
        before = self._before(changes(log, n))
        safe = self._safe(log, n, before)
        pending = [i for i in before if i not in safe]
        every = list(itertools.islice(self._closed(before, safe, pending), FEW + 1))
        chosen = every if len(every) <= FEW else self._sample(before, safe, pending, draw)
        return [entries_of(log, kept) for kept in chosen]

    @staticmethod
    def _before(made: dict[int, Renamed]) -> dict[int, set[int]]:
        """For each change those that must have been kept if it was: the earlier ones of the same names."""
        last: dict[object, int] = {}
        before: dict[int, set[int]] = {}
        for i, step in made.items():
            direct = {last[slot] for slot in step.slots if slot in last}
            before[i] = direct.union(*(before[j] for j in direct))
            last.update(dict.fromkeys(step.slots, i))
        return before

    @staticmethod
    def _safe(log: Log, n: int, before: dict[int, set[int]]) -> Names:
        safe: set[int] = set()
        for i, step in enumerate(log.steps[:n]):
            if isinstance(step, Synced) and step.node.is_dir:
                for j, earlier in before.items():
                    found = log.steps[j]
                    assert isinstance(found, Renamed)
                    if j < i and any(slot.directory is step.node for slot in found.slots):
                        safe |= {j, *earlier}
        return frozenset(safe)

    def _closed(self, before: dict[int, set[int]], kept: Names, pending: list[int]) -> Iterator[Names]:
        if not pending:
            yield kept
            return
        first, *rest = pending
        if before[first] <= kept:
            yield from self._closed(before, kept | {first}, rest)
        yield from self._closed(before, kept, rest)

    @staticmethod
    def _sample(before: dict[int, set[int]], safe: Names, pending: list[int], draw: random.Random) -> list[Names]:
        """Nothing more, everything, each change by itself, all without each; and then by chance."""
        after = {i: {j for j in pending if i in before[j]} for i in pending}
        sets = [safe, safe | set(pending)]
        sets += [safe | {i} | before[i] for i in pending]
        sets += [safe | (set(pending) - {i} - after[i]) for i in pending]
        for _ in range(FEW):
            kept = safe
            share = draw.random()
            for i in pending:
                if before[i] <= kept and draw.random() < share:
                    kept |= {i}
            sets.append(kept)
        return sets


class Split(Model):
    """btrfs, as far as it was seen and read: all is kept up to some commit, and what syncs logged after that.

    A sync of a directory logs its own entries alone: the new name of what was moved into it, while the old one stays
    where it was. Out of which something was moved since the commit, it is a commit of everything.
    """

    def names(self, log: Log, n: int, draw: random.Random) -> list[Entries]:
        return [self._logged(log, n, commit) for commit in range(n + 1) if self._may_be_last(log, n, commit)]

    @staticmethod
    def _may_be_last(log: Log, n: int, commit: int) -> bool:
        left: set[Node] = set()
        for step in log.steps[commit:n]:
            match step:
                case Renamed((((old, _), None), ((new, _), _))) if old is not new:
                    left.add(old)
                case Synced(node) if node in left:
                    return False
        return True

    @staticmethod
    def _logged(log: Log, n: int, commit: int) -> Entries:
        entries = entries_of(log, changes(log, commit))
        since: dict[Node, list[tuple[str, Node | None]]] = {}
        for step in log.steps[commit:n]:
            match step:
                case Renamed(made):
                    for (directory, name), node in made:
                        since.setdefault(directory, []).append((name, node))
                case Synced(node):
                    for name, what in since.pop(node, ()):
                        put(entries, node, name, what)
        return entries


class Stale(Split):
    """btrfs, as it was seen: a directory that was synced since the commit is logged again, with new names of what left it.

    And one name that such a sync had logged, and that was moved away or removed afterwards, may be back.
    """

    def names(self, log: Log, n: int, draw: random.Random) -> list[Entries]:
        found = []
        for commit in range(n + 1):
            if self._may_be_last(log, n, commit):
                found.append(self._logged(log, n, commit))
                for directory, name, node in self._logged_before(log, n, commit):
                    found.append(self._logged(log, n, commit))
                    put(found[-1], directory, name, node)
        return found

    @staticmethod
    def _may_be_last(log: Log, n: int, commit: int) -> bool:
        left: set[Node] = set()
        logged: set[Node] = set()
        for step in log.steps[commit:n]:
            match step:
                case Committed():
                    return False
                case Renamed((((old, _), None), ((new, _), _))) if old is not new and old not in logged:
                    left.add(old)
                case Synced(node) if node in left:
                    return False
                case Synced(node):
                    logged.add(node)
        return True

    @staticmethod
    def _logged(log: Log, n: int, commit: int) -> Entries:
        entries = entries_of(log, changes(log, commit))
        since: dict[Node, list[Renamed]] = {}
        for step in log.steps[commit:n]:
            match step:
                case Renamed():
                    for slot in step.slots:
                        since.setdefault(slot.directory, []).append(step)
                case Synced(node):
                    for (directory, name), what in (change for one in since.pop(node, ()) for change in one.changes):
                        if directory is node or what is not None:
                            put(entries, directory, name, what)
        return entries

    @staticmethod
    def _logged_before(log: Log, n: int, commit: int) -> Iterator[tuple[Node, str, Node]]:
        """Names that a sync since the commit has logged, and that are gone."""
        here = entries_of(log, changes(log, commit))
        logged: dict[tuple[Node, str], Node] = {}
        for step in log.steps[commit:n]:
            match step:
                case Renamed(made):
                    for (directory, name), node in made:
                        put(here, directory, name, node)
                case Synced(node) if node.is_dir:
                    logged.update({(node, name): what for name, what in here[node].items()})
        for (directory, name), node in logged.items():
            if not node.is_dir and here[directory].get(name) is not node:
                yield directory, name, node


POSIX, ORDERED, SPLIT, STALE = Posix(), Ordered(), Split(), Stale()
