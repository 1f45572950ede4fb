"""Whether the root's directories belong to its owner, and are open to those they are for and nobody else."""

from __future__ import annotations

import os
import pwd
import stat
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from workqueue.doctor.findings import each, note, problem, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient
    from workqueue.store.fs import Fs

READ_GROUP, WRITE_GROUP, WRITE = 0o070, 0o020, 0o022


class Due(NamedTuple):
    """What a directory's mode should be: bits that it must have, and all that it may have."""

    must: int
    may: int
    is_groups: bool = False
    """Whether its group must be the root's."""


class Wrong(NamedTuple):
    """A directory that is not as it should be, and what mode and group it should have."""

    path: str
    mode: int
    group: int


def modes(patient: Patient) -> Iterator[Finding]:
    """Compare owner, group and mode of every directory with the root's own."""
    found: dict[str, list[Wrong]] = {}
    for path in patient.directories():
        fault, status = patient.fault(path), patient.status_of(path)
        if status is None or (fault is not None and not fault.is_closed):
            continue
        due = due_mode(patient, path)
        group = patient.status.st_gid if due.is_groups else status.st_gid
        wrong = Wrong(path, (stat.S_IMODE(status.st_mode) | due.must) & due.may, group)
        found.setdefault(_verdict(patient, path, status, due), []).append(wrong)
    found.pop("", None)
    for verdict, wrongs in found.items():
        yield _tell(patient, verdict, wrongs)


def _verdict(patient: Patient, path: str, status: os.stat_result, due: Due) -> str:
    """What is wrong with a directory; the worst of it, or nothing."""
    mode = stat.S_IMODE(status.st_mode)
    fault = patient.fault(path)
    if fault is not None and fault.is_closed and status.st_uid != os.geteuid():
        return "closed to you"
    if status.st_uid != patient.status.st_uid:
        return "foreign"
    if due.must & ~mode or (due.is_groups and status.st_gid != patient.status.st_gid):
        return "shut"
    if mode & ~due.may & WRITE:
        return "writable"
    return "readable" if mode & ~due.may & 0o777 else ""


def _tell(patient: Patient, verdict: str, wrongs: list[Wrong]) -> Finding:
    owner = owner_name(patient)
    paths = some([wrong.path.removeprefix(f"{patient.path}/") for wrong in wrongs])
    repair = each(partial(_set, patient.fs), wrongs)
    remedy = "fsq doctor --fix sets mode and group"
    match verdict:
        case "closed to you":
            told = f"closed to you, so not all was examined: {paths}"
            return problem(patient.path, told, f"run fsq doctor as {owner}, to whom the root belongs")
        case "foreign":
            told = f"does not belong to {owner}, as the root does, whose workers cannot move jobs there: {paths}"
            return problem(patient.path, told, f"as root: chown -R {owner} {patient.path}")
        case "shut":
            told = f"closed to those who are to use it, so jobs cannot pass through: {paths}"
            return problem(wrongs[0].path, told, remedy, repair)
        case "writable":
            told = f"can be written by others, who could put jobs there, or take them away: {paths}"
            return problem(wrongs[0].path, told, remedy, repair)
        case _:
            return note(wrongs[0].path, f"can be read by more than the root itself: {paths}", remedy, repair)


def due_mode(patient: Patient, path: str) -> Due:
    """What `init` and `make_queue` give a directory; it must have no more than those who use it need."""
    root = stat.S_IMODE(patient.status.st_mode)
    is_open, is_groups = bool(root & READ_GROUP), bool(root & WRITE_GROUP)
    if path == patient.path:
        return Due(0o700, root & ~0o002 | 0o700)
    if patient.is_owners_alone(path):
        return Due(0o700, 0o7700)
    if path == patient.dot():
        return Due(0o2750 if is_groups else 0o700, 0o7750 if is_open else 0o7700, is_groups)
    if path.startswith(patient.dot("")):
        return Due(0o2770 if is_groups else 0o700, 0o7770 if is_open else 0o7700, is_groups)
    return Due(root if is_groups else 0o700, root | 0o7700, is_groups)


def owner_name(patient: Patient) -> str:
    """The name of the root's owner, or the number of one without a name."""
    try:
        return pwd.getpwuid(patient.status.st_uid).pw_name
    except KeyError:
        return str(patient.status.st_uid)


def _set(fs: Fs, wrong: Wrong) -> None:
    """Set mode and group. Through a descriptor: in a group's root a member could have put a link there meanwhile."""
    try:
        fd = fs.open_dir(wrong.path)
        try:
            fs.set_owner(f"/proc/self/fd/{fd}/.", wrong.group, wrong.mode)
        finally:
            os.close(fd)
    except PermissionError:
        # Closed even to its owner, who is not root: he cannot give a stranger's link a group, and stops there.
        fs.set_owner(wrong.path, wrong.group, wrong.mode)
