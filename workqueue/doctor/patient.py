"""The root that is examined, seen by looks of its own: the ordinary open refuses what is wrong, and makes what is not
there.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from workqueue.engine.claims import KINDS
from workqueue.engine.root import DOT, OWNER_ONLY, PARTS, QUEUE_NAME, Root, read_format
from workqueue.engine.settings import FILE, SettingsFile
from workqueue.errors import BadSetting, FsqError, StoreError
from workqueue.jobs.states import SPACES
from workqueue.run.wakeup import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.clock import Clock
    from workqueue.store.fs import Fs

SHARDS = tuple(f"{shard:02x}" for shard in range(256))
"""The directories in keys/."""
MOMENT = 60.0
"""Seconds. What a living process does in two steps looks wrong in between; what has looked so for longer is wrong."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of the machine: arguments, so that a test can be another one."""

    mounts: str = "/proc/self/mountinfo"
    statvfs: Callable[[str], os.statvfs_result] = os.statvfs
    watch: Callable[[Root, list[str]], Watch] = Watch


class Fault(NamedTuple):
    """Why a directory cannot be used; `closed` if only we may not look into it."""

    text: str
    is_missing: bool = False
    is_closed: bool = False


Seen = tuple[os.stat_result | None, Fault | None]


class Patient:
    """A directory that is a root, at least."""

    def __init__(self, path: str, fs: Fs, clock: Clock, machine: Machine) -> None:
        self.path = os.path.abspath(path)
        self.fs = fs
        self.clock = clock
        self.machine = machine
        read_format(self.path, fs)
        self.status = os.stat(self.path)
        self.bad_settings = bad_settings(self.path)
        self.opened = None if self.bad_settings else Root(self.path, fs=fs, clock=clock)
        self._looks: dict[str, Seen] = {}
        self._listings: dict[str, list[str]] = {}

    @property
    def root(self) -> Root:
        """The root, opened; only for what is not asked where its settings cannot be read."""
        assert self.opened is not None
        return self.opened

    def dot(self, *parts: str) -> str:
        """A path below ``.fsq``."""
        return "/".join((self.path, DOT, *parts))

    # -- directories -------------------------------------------------------------------------------------------

    @cached_property
    def entries(self) -> list[str]:
        """All names in the root's directory; none if it is closed to us."""
        return [] if self.fault(self.path) else sorted(os.listdir(self.path))

    @cached_property
    def queues(self) -> list[str]:
        """Directories that are queues, or were to be: they have at least one space."""
        return [name for name in self.entries if QUEUE_NAME.fullmatch(name) and self._has_a_space(name)]

    def _has_a_space(self, queue: str) -> bool:
        return any(os.path.lexists(self.place(queue, space)) for space in SPACES)

    @cached_property
    def sound(self) -> list[str]:
        """The queues whose every space can be used."""
        return [queue for queue in self.queues if not any(map(self.fault, self.places(queue)))]

    def places(self, queue: str) -> list[str]:
        """A queue's directories."""
        return [f"{self.path}/{queue}", *(self.place(queue, space) for space in SPACES)]

    def place(self, queue: str, space: str) -> str:
        """A space's directory."""
        return f"{self.path}/{queue}/{space}"

    def directories(self) -> Iterator[str]:
        """All directories that belong to the root, there or not."""
        yield self.path
        yield self.dot()
        yield from (self.dot(part) for part in PARTS)
        if not self.fault(self.dot("keys")):
            yield from (self.dot("keys", shard) for shard in SHARDS)
        for queue in self.queues:
            yield from self.places(queue)

    def fault(self, path: str) -> Fault | None:
        """Why a directory cannot be used; looked at once."""
        return self._seen(path)[1]

    def status_of(self, path: str) -> os.stat_result | None:
        """A directory as it was seen; None if it is missing, or hidden behind a closed one."""
        return self._seen(path)[0]

    def _seen(self, path: str) -> Seen:
        if path not in self._looks:
            self._looks[path] = self._look(path)
        return self._looks[path]

    def _look(self, path: str) -> Seen:
        try:
            status = self.status if path == self.path else self.fs.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None, Fault("missing", is_missing=True)
        except PermissionError:
            return None, Fault("closed to us", is_closed=True)
        if not stat.S_ISDIR(status.st_mode):
            return status, Fault(KINDS.get(stat.S_IFMT(status.st_mode), "a file"))
        if status.st_dev != self.status.st_dev:
            return status, Fault("on another file system")
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            return status, Fault("closed to us", is_closed=True)
        return status, None

    def is_owners_alone(self, path: str) -> bool:
        """Whether a directory of .fsq is for the root's owner, also where a group shares the root."""
        return path.removeprefix(self.dot()).strip("/").partition("/")[0] in OWNER_ONLY

    # -- names -------------------------------------------------------------------------------------------------

    def names(self, queue: str, space: str) -> list[str]:
        """All names in a space, those with a dot too; listed once, so some may be gone by now."""
        return self.listing(self.place(queue, space))

    def listing(self, path: str) -> list[str]:
        """All names in a directory that stays; listed once."""
        if path not in self._listings:
            self._listings[path] = os.listdir(path)
        return self._listings[path]

    def age(self, status: os.stat_result) -> float:
        """Seconds since something was last changed or moved, by ctime, which no program can set back."""
        return self.clock.now() - status.st_ctime

    def age_of(self, path: str) -> float:
        """The same of a path; one that is gone is new."""
        try:
            return self.age(self.fs.stat(path))
        except FileNotFoundError:
            return 0.0


def bad_settings(path: str) -> FsqError | None:
    """Why fsq.toml cannot be read. What is wrong in the caller's environment is the caller's mistake, told as usual."""
    try:
        SettingsFile(path, {}, {})
    except BadSetting as error:
        return BadSetting(f"{path}/{FILE}: " + str(error).removeprefix(f"{path}/").removeprefix(f"{FILE}: "))
    except StoreError as error:
        return error
    return None
