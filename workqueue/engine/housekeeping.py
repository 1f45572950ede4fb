"""What a supervisor tidies now and then: old files in tmp/, outcomes kept long enough, orders that came too late."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import secrets
import stat
from typing import TYPE_CHECKING

from workqueue.engine import claims, journal, lookup, manifest, marks, operate, settle
from workqueue.errors import FsqError
from workqueue.jobs.content import Damaged
from workqueue.jobs.states import ENDED, State

if TYPE_CHECKING:
    from workqueue.engine.protocol import Located
    from workqueue.engine.root import Root

GONE = ".gone-"


def clean_tmp(root: Root, queue: str) -> int:
    """Remove what dead submitters left in tmp/; returns how much.

    By ctime: mtime can be set by whoever copies a file in. Renamed first: a submitter that was only asleep then fails
    loudly at its own rename, instead of publishing a job that is being emptied.
    """
    directory = root.space(queue, "tmp")
    count = 0
    for text in os.listdir(directory):
        path = f"{directory}/{text}"
        with contextlib.suppress(OSError):
            if root.clock.now() - root.fs.stat(path).st_ctime < root.settings(queue).tmp_age:
                continue
            if not text.startswith(GONE):
                gone = f"{directory}/{GONE}{secrets.token_hex(8)}"
                root.fs.rename(path, gone)
                path = gone
            count += 1
            if os.path.isdir(path) and not os.path.islink(path):
                root.fs.remove_tree(path)
            else:
                root.fs.unlink(path)
    return count


def prune_journal(root: Root) -> None:
    """Remove the days of the journal that no queue wants kept; what a stranger put there stays."""
    keep = max(root.settings(queue).journal for queue in ("", *root.queues()))
    oldest = journal.day_of(max(0, root.clock.now_ms() - math.ceil(keep * 1000)))
    with contextlib.suppress(FileNotFoundError):
        for day in root.fs.list(root.dot("journal")):
            if journal.DAY.fullmatch(day) and day < oldest:
                with contextlib.suppress(OSError):
                    _remove_day(root, root.dot("journal", day))


def _remove_day(root: Root, path: str) -> None:
    if not stat.S_ISDIR(root.fs.stat(path).st_mode):
        return  # a link, say: what it leads to is not ours
    for text in root.fs.list(path):
        if journal.FILE.fullmatch(text):
            root.fs.discard(f"{path}/{text}")
    root.fs.rmdir(path)


class DoneKeeper:
    """Removes each job of done/ when it has been kept for its time; opens each file once."""

    def __init__(self, root: Root, queue: str) -> None:
        self._root = root
        self._queue = queue
        self._expiries: list[tuple[float, str]] = []
        self._known: set[str] = set()

    def prune(self) -> int:
        """Remove what has been kept long enough; returns how many."""
        # A name without an owner, or what is no file, was put here by a stranger, and is not removed unasked.
        listed = {found.path: found for found in lookup.scan(self._root, self._queue, State.DONE) if found.name.owner}
        for path, found in listed.items():
            if path not in self._known:
                with contextlib.suppress(OSError):  # gone, or not to be read just now: the next round tells
                    heapq.heappush(self._expiries, (self._expiry(found), path))
                    self._known.add(path)
        self._known &= set(listed)
        count = 0
        while self._expiries and self._expiries[0][0] <= self._root.clock.now():
            _, path = heapq.heappop(self._expiries)
            if path in listed and manifest.is_handing_over(self._root, listed[path].name):
                self._known.discard(path)
            elif path in listed:
                with contextlib.suppress(FsqError):
                    count += operate.remove(self._root, listed[path])
        return count

    def _expiry(self, found: Located) -> float:
        """When the job may go: a rename sets ctime, so that is when it came to done/."""
        status = self._root.fs.stat(found.path)
        if not stat.S_ISREG(status.st_mode):
            return math.inf
        ended = status.st_ctime
        try:
            claim = claims.load(self._root, found.queue, found.name, found.path)
        except Damaged:
            return ended + self._root.settings(found.queue).keep_done
        return ended + settle.keep_for(self._root, claim)


def carry_out_cancels(root: Root) -> None:
    """Carry out the orders whose job is no longer running, and forget those that came too late."""
    for job_id in marks.marked(root):
        found = lookup.find(root, root.queues(), job_id)
        if found is None or found.state in ENDED or _cancelled(root, found):
            marks.clear(root, job_id)


def _cancelled(root: Root, found: Located) -> bool:
    """End a job that waits. One that runs, or was claimed meanwhile, keeps its order."""
    with contextlib.suppress(FsqError):
        return found.state is not State.CUR and operate.cancel(root, found) is not None
    return False
