"""Limits of a queue: how many jobs, how many bytes, how much free space. Refused before anything is written.

Counting costs a listing, so the count is kept for a second and for as many submits as a tenth of what was left; with
several producers a limit can be overshot by that much. Only queues with a limit pay.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workqueue.engine.lookup import entries
from workqueue.errors import QueueFull
from workqueue.jobs.durations import shown_size

if TYPE_CHECKING:
    from workqueue.engine.root import Root

COUNTED = ("new", "later", "held")
KEEP = 1.0


class Limits:
    """Remembers what it counted, for one root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._room: dict[str, tuple[float, int, int]] = {}

    def check(self, queue: str, jobs: int, size: int) -> None:
        """Raise QueueFull if `jobs` more of `size` bytes in all would go over a limit of the queue."""
        settings = self._root.settings(queue)
        if settings.min_free is not None:
            self._check_free(queue, settings.min_free, size)
        if settings.max_jobs is not None or settings.max_bytes is not None:
            self._check_room(queue, settings.max_jobs, settings.max_bytes, jobs, size)

    def _check_free(self, queue: str, least: int, size: int) -> None:
        status = os.statvfs(self._root.path)
        free = status.f_bavail * status.f_frsize
        if free - size < least:
            raise QueueFull(
                f"queue {queue!r}: {shown_size(free)} free on the file system of {self._root.path}, min_free is"
                f" {shown_size(least)}; free some space, then submit again"
            )

    def _check_room(self, queue: str, max_jobs: int | None, max_bytes: int | None, jobs: int, size: int) -> None:
        until, room_jobs, room_bytes = self._room.get(queue, (0.0, 0, 0))
        if self._root.clock.monotonic() > until or room_jobs < jobs or room_bytes < size:
            have_jobs, have_bytes = self._count(queue, sizes=max_bytes is not None)
            if max_jobs is not None and have_jobs + jobs > max_jobs:
                raise QueueFull(f"queue {queue!r} is full: {have_jobs} jobs wait, max_jobs is {max_jobs}; try later")
            if max_bytes is not None and have_bytes + size > max_bytes:
                raise QueueFull(
                    f"queue {queue!r} is full: {shown_size(have_bytes)} wait, max_bytes is {shown_size(max_bytes)};"
                    " try later"
                )
            until = self._root.clock.monotonic() + KEEP
            room_jobs = jobs + (max_jobs - have_jobs - jobs) // 10 if max_jobs is not None else 1 << 62
            room_bytes = size + (max_bytes - have_bytes - size) // 10 if max_bytes is not None else 1 << 62
        self._room[queue] = until, room_jobs - jobs, room_bytes - size

    def _count(self, queue: str, *, sizes: bool) -> tuple[int, int]:
        jobs = total = 0
        for space in COUNTED:
            for text in entries(self._root, queue, space):
                jobs += 1
                if sizes:
                    total += self._size(f"{self._root.space(queue, space)}/{text}")
        return jobs, total

    def _size(self, path: str) -> int:
        try:
            return self._root.fs.stat(path).st_size
        except FileNotFoundError:
            return 0
