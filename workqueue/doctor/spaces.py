"""What lies in the queues' directories, jobs and other things; runs apart."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import stat
import struct
from functools import partial
from typing import TYPE_CHECKING

from workqueue.doctor.findings import each, many, note, problem, some
from workqueue.doctor.patient import MOMENT
from workqueue.engine import batches
from workqueue.engine.housekeeping import clean_tmp
from workqueue.jobs import names
from workqueue.jobs.durations import shown_size, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient

HEAD = 1000
"""Names of new/ that are looked at one by one, in the order in which they run, and so many bare ones: what is stuck is
overtaken, and so comes to lie in front."""
LARGE, PER_NAME = 4 << 20, 400
"""Bytes: of a directory whose listing costs something, and of what a name takes in one at most."""
GET_FLAGS, FIXED_FLAGS = 0x80086601, 0x30
"""FS_IOC_GETFLAGS; FS_IMMUTABLE_FL and FS_APPEND_FL: not even root can rename such a file."""


def tmp(patient: Patient) -> Iterator[Finding]:
    """Nothing in tmp/ is older than tmp_age."""
    for queue in patient.sound:
        path, age = patient.place(queue, "tmp"), patient.root.settings(queue).tmp_age
        old = [text for text in patient.names(queue, "tmp") if patient.age_of(f"{path}/{text}") > age]
        if old:
            yield note(
                path,
                f"{many(len(old), 'entry', 'entries')} older than {spoken(age)}, left by producers that died",
                "a worker of the queue removes them within a minute; so does fsq doctor --fix",
                partial(clean_tmp, patient.root, queue),
            )


def waiting(patient: Patient) -> Iterator[Finding]:
    """What waits in new/, later/ and held/ is jobs, and can be claimed."""
    for queue in patient.sound:
        yield from _hidden(patient, queue)
        yield from _stuck(patient, queue)
        yield from _empty_batches(patient, queue)
        yield from _no_jobs(patient, queue)


def _hidden(patient: Patient, queue: str) -> Iterator[Finding]:
    for space in ("new", "later", "held", "cur"):
        dotted = [text for text in patient.names(queue, space) if text.startswith(".")]
        if dotted:
            told = f"{many(len(dotted), 'name')} with a dot in front: {some(dotted)}; such a name is never run"
            remedy = f"if it is a job, mv -n it into {queue}/new/ without the dot; else remove it"
            yield note(patient.place(queue, space), told, remedy)


def _stuck(patient: Patient, queue: str) -> Iterator[Finding]:
    path = patient.place(queue, "new")
    visible = [text for text in patient.names(queue, "new") if not text.startswith(".")]
    named = heapq.nsmallest(HEAD, (text for text in visible if _has_priority(text)))
    bare = heapq.nsmallest(HEAD, (text for text in visible if not _has_priority(text)))
    found: dict[str, list[str]] = {}
    for text in (*named, *bare):
        reason = _why_stuck(patient, f"{path}/{text}")
        if reason:
            found.setdefault(reason, []).append(text)
    for reason, stuck in found.items():
        remedy = f"see ls -l {path}: who runs the workers must be able to read it and to rename it (chown, chattr -ia)"
        yield problem(path, f"{many(len(stuck), 'name')} {reason}: {some(stuck)}", remedy)


def _has_priority(text: str) -> bool:
    """Whether a name begins as a job's does: all that is asked of a million names."""
    return text[1:2] == "-" and text[0].isdigit()


def _why_stuck(patient: Patient, path: str) -> str:
    """Why a name in new/ will not be run; empty if it will, or has gone."""
    try:
        status = patient.fs.stat(path)
        if status.st_dev != patient.status.st_dev:
            return "cannot be claimed, because something is mounted there"
        if stat.S_ISDIR(status.st_mode):
            return "" if _is_usable(patient, path) else "cannot be claimed, a directory that is closed to us"
        if stat.S_ISREG(status.st_mode) and _is_fixed(patient, path):
            return "cannot be claimed, because it is immutable"
    except FileNotFoundError:
        return ""
    except PermissionError:
        return "cannot be read by us, and will go to corrupt/"
    return ""


def _is_usable(patient: Patient, path: str) -> bool:
    usable = os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
    return usable or not patient.fs.exists(path)  # a batch that is used up goes at any time


def _is_fixed(patient: Patient, path: str) -> bool:
    fd = patient.fs.open(path)
    try:
        return bool(struct.unpack("i", fcntl.ioctl(fd, GET_FLAGS, b"\0" * 4))[0] & FIXED_FLAGS)
    except OSError:
        return False  # no such flags on this file system
    finally:
        os.close(fd)


def _empty_batches(patient: Patient, queue: str) -> Iterator[Finding]:
    path = patient.place(queue, "new")
    texts = [text for text in patient.names(queue, "new") if names.is_batch(text)]
    empty = [text for text in texts if _is_empty(f"{path}/{text}") and patient.age_of(f"{path}/{text}") > MOMENT]
    if empty:
        yield note(
            path,
            f"{many(len(empty), 'batch', 'batches')} without jobs, left by workers that died",
            "a worker of the queue removes them; so does fsq doctor --fix",
            each(lambda text: batches.remove_if_empty(patient.root, f"{path}/{text}"), empty),
        )


def _is_empty(path: str) -> bool:
    with contextlib.suppress(OSError), os.scandir(path) as listing:
        return next(listing, None) is None
    return False


def _no_jobs(patient: Patient, queue: str) -> Iterator[Finding]:
    held = _no_files(patient, queue, "held")
    batched = [text for text in held if names.is_batch(names.without_due(text))]
    later = [text for text in _no_files(patient, queue, "later") if not names.is_batch(names.without_due(text))]
    if batched:
        told = f"{many(len(batched), 'batch', 'batches')} held: {some(batched)}; the jobs inside are not seen there"
        yield problem(
            patient.place(queue, "held"), told, "with mv -n move it to new/, or back to later/; hold jobs one by one"
        )
    for space, odd in (("held", sorted(set(held) - set(batched))), ("later", later)):
        if odd:
            told = f"{many(len(odd), 'name')} of no file: {some(odd)}; what is none would go to corrupt/"
            yield note(patient.place(queue, space), told, "look what it is, and move it out of the root")


def _no_files(patient: Patient, queue: str, space: str) -> list[str]:
    with os.scandir(patient.place(queue, space)) as listing:
        return [each.name for each in listing if not each.is_file(follow_symlinks=False) and each.name[0] != "."]


def corrupt(patient: Patient) -> Iterator[Finding]:
    """Nothing lies in corrupt/."""
    for queue in patient.sound:
        if count := len(patient.names(queue, "corrupt")):
            yield problem(
                patient.place(queue, "corrupt"),
                f"{many(count, 'job')} that could not be read; kept until you decide",
                f"fsq ls corrupt -q {queue}; fsq show ID says why; then fsq retry ID, or fsq rm ID",
            )


def failed(patient: Patient) -> Iterator[Finding]:
    """Nothing lies in failed/."""
    for queue in patient.sound:
        if count := len(patient.names(queue, "failed")):
            yield note(
                patient.place(queue, "failed"),
                f"{many(count, 'job')} out of attempts, or rejected; kept until you decide",
                f"fsq ls failed -q {queue}; fsq show ID says why; then fsq retry ID, or fsq rm ID",
            )


def size(patient: Patient) -> Iterator[Finding]:
    """No directory is much larger than what it holds: ext4 never makes one smaller."""
    for path in patient.directories():
        status = patient.status_of(path)
        if status is None or patient.fault(path):
            continue
        length = status.st_size
        if length >= LARGE and (count := len(patient.listing(path))) * PER_NAME < length:
            told = f"{shown_size(length)} for {many(count, 'name')}, as large as it ever was; each listing reads it all"
            yield note(path, told, "with workers and producers stopped renew it, as docs/doctor.md says")
