"""The root: the directory that holds the queues.

    ROOT/.fsq/format        "1 <store id>": published last, by link(2); it is the commit of init
    ROOT/.fsq/workers/N     slots
    ROOT/.fsq/…             what a few jobs need beside their file
    ROOT/QUEUE/…            the spaces of one FileStore

**Invariant**: a directory without ``.fsq/format`` is no root, and nothing is made in it but by `init`.
**Guarantee**: of ten inits at once one wins, and every one returns the same root, durable and whole.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workqueue.clock import CLOCK, Clock
from workqueue.engine.remembered import Remembered
from workqueue.engine.settings import SettingsFile, suggestion
from workqueue.errors import BadName, NewerFormat, NotARoot, RootError, StoreError, UnknownQueue, told
from workqueue.jobs.ids import Ids
from workqueue.jobs.states import SPACES
from workqueue.store.filestore import FileStore
from workqueue.store.fs import FS, Fs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workqueue.engine.settings import Settings

FORMAT = 1
DOT = ".fsq"
QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
DEFAULT_QUEUE = "default"
PARTS = ("workers", "stage", "commit", "keys", "jobs", "cancel", "journal")
WATCH = "watch"
"""A part that is made when a folder is first watched."""
BATCHES = "batches"
"""A part that is made with the first batch."""
PIPELINES = "pipelines"
"""A part that is made when a pipeline is first run."""
OWNER_ONLY = {"stage", "commit", "keys", "jobs", "journal", WATCH, BATCHES, PIPELINES}
SLOTS = 64
PAGE = 4096
SHARED = 0o020
"""The bit of a root's mode that says that its group may submit; a group that may only look changes nothing."""


class Root:
    """An initialised root, and what is needed to work in it."""

    def __init__(
        self,
        path: str,
        *,
        overrides: Mapping[str, Any] | None = None,
        stages: Mapping[str, Mapping[str, Any]] | None = None,
        fs: Fs = FS,
        clock: Clock = CLOCK,
    ) -> None:
        self.path = os.path.abspath(path)
        self.fs = fs
        self.clock = clock
        self.ids = Ids(clock)
        self.store_id = read_format(self.path, fs)
        status = os.stat(self.path)
        self.device = status.st_dev
        self.mode = stat.S_IMODE(status.st_mode)
        self.group = status.st_gid
        self.is_shared = bool(self.mode & SHARED)
        self.file_mode = 0o640 if self.is_shared else 0o600
        self.submit_only = not os.access(self.path, os.R_OK)
        self.settings: Callable[[str], Settings] = SettingsFile(self.path, overrides or {}, stages=stages).of
        """The settings of a queue."""
        self.seen_open: dict[str, list[str]] = {}
        """Of batches: members that were in them when last looked at (members.py)."""
        self.spaces = Remembered(self._open)
        """The directories of a queue's spaces, by state; the queue is checked at its first use."""

    def check_same(self) -> None:
        """Refuse to go on where another root has taken this one's place: its slots are not those that we hold."""
        if read_format(self.path, self.fs) != self.store_id:
            raise NotARoot(f"{self.path}: is another root now than when this began; start anew")

    def refuse_submit_only(self, what: str) -> None:
        """Refuse what needs more than the right to put files into tmp/ and new/."""
        if self.submit_only:
            raise RootError(f"{self.path}: you may only submit here, and {what} needs to look; submit jobs one by one")

    def refuse_strangers(self, what: str) -> None:
        """Refuse what is written where only the root's owner may: keys/ and jobs/."""
        if self.is_shared and not os.access(self.dot("keys"), os.W_OK | os.X_OK):
            raise RootError(f"{self.path}: {what} can only be used by the root's owner; submit without it")

    def dot(self, *parts: str) -> str:
        """A path below ``.fsq``."""
        return "/".join((self.path, DOT, *parts))

    def space(self, queue: str, state: str) -> str:
        """A space's directory."""
        return self.spaces[queue][state]

    def queues(self) -> list[str]:
        """The queues there are, by name."""
        with told("list the queues", self.path):
            names = sorted(self.fs.list(self.path))
        return [name for name in names if QUEUE_NAME.fullmatch(name) and self._is_queue(name)]

    def make_queue(self, queue: str) -> None:
        """Make a queue unless it is there."""
        checked_queue(queue)
        if queue not in self.spaces:
            make_queue(self.path, queue, self.fs)

    def _is_queue(self, queue: str) -> bool:
        return os.path.isdir(f"{self.path}/{queue}/new")

    def _open(self, queue: str) -> dict[str, str]:
        checked_queue(queue)
        if not self._is_queue(queue):
            read_format(self.path, self.fs)
            hint = "" if self.submit_only else suggestion(queue, self.queues())
            raise UnknownQueue(f"no queue {queue!r} in {self.path}{hint} (fsq init -q {queue} {self.path} makes it)")
        spaces = {space: f"{self.path}/{queue}/{space}" for space in SPACES}
        if not all(os.path.lexists(path) for path in spaces.values()):
            make_queue(self.path, queue, self.fs)
        for path in spaces.values():
            with told("open the queue", path):
                status = self.fs.stat(path)
            if not stat.S_ISDIR(status.st_mode) or status.st_dev != self.device:
                raise RootError(
                    f"{path}: must be a directory on the file system of {self.path}, and no link: jobs are moved"
                    " there by rename; move the whole root instead"
                )
        return spaces


def checked_queue(queue: object) -> str:
    """Return `queue` if it can be a queue's name."""
    if not isinstance(queue, str) or not is_queue_name(queue):
        raise BadName(f"queue {queue!r}: 1 to 64 characters of a-z, 0-9, _ and -, a letter or digit first")
    return queue


@lru_cache(1024)
def is_queue_name(text: str) -> bool:
    """Whether a queue may have this name; every submit asks."""
    return QUEUE_NAME.fullmatch(text) is not None


def read_format(path: str, fs: Fs = FS) -> str:
    """The store's id; raises if this is no root, or one of a later format."""
    file = os.path.join(path, DOT, "format")
    try:
        text = fs.read(file, 200).decode("ascii", "replace").split()
    except (FileNotFoundError, NotADirectoryError):
        raise NotARoot(f"{path}: not a queue root (not mounted?); make one: fsq init {path}") from None
    except OSError as error:
        raise StoreError("read the root's format", error, file) from error
    if not text or not text[0].isdigit():
        raise NotARoot(f"{file}: damaged: {' '.join(text)!r} instead of a format number")
    if int(text[0]) > FORMAT:
        raise NewerFormat(f"{path}: written in format {text[0]}, this fsq knows {FORMAT}; pip install -U fsq-workqueue")
    return text[1] if len(text) > 1 else ""


def make_queue(root: str, queue: str, fs: Fs) -> None:
    """Make a queue's directories, with the root's group and mode; durable."""
    status = os.stat(root)
    mode = stat.S_IMODE(status.st_mode)
    store = FileStore(os.path.join(root, queue), SPACES, mode=mode, fs=fs)
    with told("make the queue", store.path):
        fs.ensure_dir(store.path, mode)
        share(fs, store.path, status)
        for space in SPACES:
            path = os.path.join(store.path, space)
            fs.ensure_dir(path, mode)
            share(fs, path, status)


def share(fs: Fs, path: str, like: os.stat_result) -> None:
    """Give a directory the root's group and mode, whatever the umask, where the root is a group's."""
    if stat.S_IMODE(like.st_mode) & SHARED:
        fs.set_owner(path, like.st_gid, stat.S_IMODE(like.st_mode))


def init(
    path: str,
    queues: tuple[str, ...] = (DEFAULT_QUEUE,),
    *,
    slots: int = SLOTS,
    group: int | None = None,
    submit_only: bool = False,
    fs: Fs = FS,
) -> bool:
    """Make a root, or what is missing of it; True if it was none before. Every directory is synced, parents too."""
    for queue in queues:
        checked_queue(queue)
    path = os.path.abspath(path)
    is_new = not fs.exists(os.path.join(path, DOT, "format")) if os.path.isdir(path) else True
    if not is_new:
        read_format(path, fs)
    with told("make the root", path):
        fs.ensure_dirs(path, 0o700)
        if group is not None:
            fs.set_owner(path, group, 0o3730 if submit_only else 0o2770)
        _make_dot(path, slots, fs)
        for queue in queues:
            make_queue(path, queue, fs)
        if is_new:
            _publish_format(path, fs)
    return is_new


def _make_dot(path: str, slots: int, fs: Fs) -> None:
    dot = os.path.join(path, DOT)
    root = os.stat(path)
    shared = stat.S_IMODE(root.st_mode) & SHARED
    fs.ensure_dir(dot, 0o700)
    if shared:
        fs.set_owner(dot, root.st_gid, 0o2750)
    for part in PARTS:
        fs.ensure_dir(os.path.join(dot, part), 0o700)
        if shared and part not in OWNER_ONLY:
            fs.set_owner(os.path.join(dot, part), root.st_gid, 0o2770)
    keys = os.path.join(dot, "keys")
    for shard in range(256):
        with suppress(FileExistsError):
            fs.mkdir(f"{keys}/{shard:02x}")
    fs.sync_dir(keys)
    for number in range(slots):
        make_slot(os.path.join(dot, "workers", str(number)), fs)
    fs.sync_dir(os.path.join(dot, "workers"))


def make_slot(path: str, fs: Fs) -> None:
    """A page of text, so that a worker can write itself down when the disk is full."""
    try:
        fd = fs.create(path)
    except FileExistsError:
        fd = fs.open_slot(path)
    try:
        # The lock keeps this page from falling on the text of a worker that a faster init let in.
        if fs.lock(fd) and os.fstat(fd).st_size < PAGE:
            fs.overwrite(fd, b" " * (PAGE - 1) + b"\n")
            fs.sync(fd)
    finally:
        fs.close(fd)


def _publish_format(path: str, fs: Fs) -> None:
    file = os.path.join(path, DOT, "format")
    temporary = f"{file}.{secrets.token_hex(8)}"
    with fs.creating(temporary) as fd:
        fs.write(fd, f"{FORMAT} {secrets.token_hex(16)}\n".encode())
        fs.chmod(fd, 0o644)
        fs.sync(fd)
    try:
        fs.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        fs.unlink(temporary)
    fs.sync_dir(os.path.dirname(file))
