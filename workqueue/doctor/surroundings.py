"""Whether the machine gives what a root needs: one local file system with room, a clock that goes, wake-ups."""

from __future__ import annotations

import contextlib
import errno
import os
import tomllib
from typing import TYPE_CHECKING

from workqueue.doctor.findings import many, note, problem
from workqueue.engine.settings import FILE, suggestion
from workqueue.jobs import names
from workqueue.jobs.durations import shown_size, spoken
from workqueue.jobs.ids import first_at, milliseconds
from workqueue.run.wakeup import ESCAPED, POLL_LAST, why_blind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient

TOLERATED = 60.0
"""Seconds that clocks may differ."""
MOVES_ON = ("new", "later", "cur", "held")
LIMITS = {
    errno.EMFILE: ("max_user_instances", "inotify instances, or of open files (ulimit -n)"),
    errno.ENOSPC: ("max_user_watches", "inotify watches"),
}


def settings(patient: Patient) -> Iterator[Finding]:
    """fsq.toml can be read, and names queues that are there."""
    path = f"{patient.path}/{FILE}"
    if patient.bad_settings is not None:
        told = f"{str(patient.bad_settings).removeprefix(f'{path}: ')}; nothing can be submitted or run"
        yield problem(path, told, "repair the file; then run fsq doctor again, because what lies inside was left out")
        return
    try:
        with open(path, "rb") as file:
            named = list(tomllib.load(file).get("queues", {}))
    except FileNotFoundError:
        return
    for queue in named:
        if queue not in patient.queues:
            told = f"settings for a queue {queue!r}, which is not there{suggestion(queue, patient.queues)}"
            yield note(path, told, "correct its name; or make it: fsq init -q NAME")


def file_system(patient: Patient) -> Iterator[Finding]:
    """The root is on one local file system."""
    reason = why_blind(patient.path, patient.machine.mounts)
    if reason is not None:
        yield problem(
            patient.path,
            f"{reason}: workers look for jobs up to {spoken(POLL_LAST)} late, and a lock of one machine need not hold"
            " on another, so that a job may be run twice",
            "move the root to a local disk",
        )
    for point in mounts_below(os.path.realpath(patient.path), patient.machine.mounts):
        told = "something is mounted here, and no job can be renamed into it or out of it, not even on one disk"
        yield problem(point, told, "unmount it; mount the whole root where there is room")


def mounts_below(path: str, mounts: str) -> list[str]:
    """The mount points inside a directory."""
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        points = [ESCAPED.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]) for line in file]
    return sorted({point for point in points if point.startswith(f"{path}/")})


def space(patient: Patient) -> Iterator[Finding]:
    """The file system can be written, has room and inodes left, and more than the queues' min_free."""
    status = patient.machine.statvfs(patient.path)
    free = status.f_bavail * status.f_frsize
    more = "what runs goes on; submits fail, and so do error records and results"
    if status.f_flag & os.ST_RDONLY:
        yield problem(patient.path, "the file system is read-only: nothing is submitted or run", "mount it read-write")
    if not free:
        yield problem(patient.path, f"the file system is full: {more}", "free some space")
    if status.f_files and not status.f_favail:
        yield problem(patient.path, f"the file system has no inodes left: {more}", "remove some files, large or small")
    for queue in patient.sound if patient.opened else ():
        least = patient.root.settings(queue).min_free
        if least is not None and free < least:
            told = f"{shown_size(free)} free, min_free is {shown_size(least)}: submits are refused"
            yield problem(f"{patient.path}/{queue}", told, "free some space, or lower min_free")


def clock(patient: Patient) -> Iterator[Finding]:
    """Nothing is dated in the future.

    No file is made to compare the clocks: a local file system has no clock but the machine's, and a look must work
    where nothing can be written. What was written last tells as much.
    """
    stamps = {path: status.st_ctime for path in patient.directories() if (status := patient.status_of(path))}
    newest = max(stamps, key=stamps.__getitem__)
    ahead = stamps[newest] - patient.clock.now()
    if ahead > TOLERATED:
        yield note(
            newest,
            f"was last changed {spoken(ahead)} in the future: the clock was set back since, or is wrong. Delays, and"
            " the ages of what is kept or tidied, are longer by that much",
            "look at the clock (timedatectl); fsq retry runs now what waits in later/",
        )
    if patient.opened:
        yield from _dated_ahead(patient)


def _dated_ahead(patient: Patient) -> Iterator[Finding]:
    now = patient.clock.now_ms()
    latest = first_at(now + int(TOLERATED * 1000))
    for queue in patient.sound:
        texts = [names.without_due(text) for state in MOVES_ON for text in patient.names(queue, state)]
        ids = [text[2:28] for text in texts if text[2:28] > latest and (names.parse(text) or names.is_batch(text))]
        if ids:
            ahead = spoken((milliseconds(max(ids)) - now) / 1000)
            told = f"{many(len(ids), 'name is', 'names are')} dated up to {ahead} ahead, and run after all others"
            yield note(f"{patient.path}/{queue}", told, "look at the clock of whoever submits")


def wake_ups(patient: Patient) -> Iterator[Finding]:
    """A worker that starts now can watch the queues."""
    if why_blind(patient.path, patient.machine.mounts) is not None:
        return  # told by file_system
    try:
        patient.machine.watch(patient.root, patient.sound).close()
    except OSError as error:
        limit, what = LIMITS.get(error.errno or 0, ("", ""))
        remedy = f"too few {what}: raise sysctl fs.inotify.{limit}, now {_now(limit)}" if limit else "remove the cause"
        told = f"no wake-ups: {error.strerror or error}; workers look for jobs up to {spoken(POLL_LAST)} late"
        yield problem(patient.path, told, remedy)


def _now(limit: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/sys/fs/inotify/{limit}", encoding="ascii") as file:
        return file.read().strip()
    return "unknown"
