"""A watched folder for a test: what a partner does to it, a watcher on a clock of its own, and what became of it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.worlds import World
from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.pipeline.watch.rules import rules
from workqueue.pipeline.watch.watcher import Watcher, watching
from workqueue.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workqueue.pipeline.watch.account import Summary
    from workqueue.store.fs import Fs


@dataclass
class Waiting:
    """What ends a watch: its waiting turns the clock, and lets the test act meanwhile."""

    clock: FakeClock
    on_wait: Callable[[], object] = lambda: None
    is_set: bool = False
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float, fd: int | None = None) -> bool:
        self.waited.append(seconds)
        self.clock.advance(seconds)
        self.on_wait()
        return False


class Drop:
    """A folder, and the root that its files go to."""

    def __init__(self, root: str, where: Path) -> None:
        self.where = where
        self.folder = str(where / "in")
        self.kept = str(where / "kept")
        os.mkdir(self.folder)
        self.clock = FakeClock()
        self.world = World(root, self.clock)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.stop = Waiting(self.clock)

    # -- what a partner does -----------------------------------------------------------------------------------

    def deliver(self, name: str, data: str | bytes = "content") -> str:
        """A whole file, renamed to its name."""
        path = f"{self.folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{self.where}/hidden", "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        os.rename(f"{self.where}/hidden", path)
        return path

    # -- the watch ---------------------------------------------------------------------------------------------

    @contextmanager
    def watch(
        self,
        fs: Fs | None = None,
        open_database: Callable[[str, str, int], Database] = Database,
        **given: Any,
    ) -> Iterator[Watcher]:
        """A watcher; complete is what is there, unless told otherwise."""
        given.setdefault("ready", "rename")
        if given.get("archive") is True:
            given["archive"] = f"{self.kept}/{{name}}"
        checked = rules(self.world.path, self.folder, **given)
        engine = self.world.open(fs or UnsyncedFs())
        with watching(engine, checked, self.tell, open_database) as watcher:
            yield watcher

    def tell(self, event: str, fields: dict[str, object]) -> None:
        self.told.append((event, fields))

    def once(self, fs: Fs | None = None, **given: Any) -> Summary:
        """Take what is complete, as --once does."""
        with self.watch(fs, **given) as watcher:
            return watcher.once(self.stop)

    def events(self, event: str) -> list[dict[str, Any]]:
        """What was told of one kind."""
        return [fields for name, fields in self.told if name == event]

    # -- what became of it -------------------------------------------------------------------------------------

    def drain(self) -> list[bytes]:
        """Run all jobs; what they hold, sorted."""
        return sorted(self.world.drain().values())

    def paths(self) -> list[str]:
        """Run all jobs of a folder whose files stay; the names that they hold, sorted."""
        return sorted(json.loads(data)["file"] for data in self.drain())

    def ls(self, directory: str = "") -> list[str]:
        """All files below the folder, or another one."""
        top = directory or self.folder
        return sorted(os.path.relpath(f"{parent}/{name}", top) for parent, _, names in os.walk(top) for name in names)

    def stage(self) -> list[str]:
        """What is being taken."""
        places = f"{self.world.path}/.fsq/watch"
        return [name for place in os.listdir(places) for name in os.listdir(f"{places}/{place}/stage")]


class CountedDatabase(Database):
    """A database whose commit is one of a disk's operations, so that it can die, or fail, before it."""

    def __init__(self, fs: Any, path: str, schema: str, version: int) -> None:
        self._fs = fs
        super().__init__(path, schema, version)

    def commit(self) -> None:
        self._fs.before("commit", (self.path,))
        super().commit()


def counted(fs: Any) -> Callable[[str, str, int], Database]:
    """How to open a database on this disk."""
    return partial(CountedDatabase, fs)
