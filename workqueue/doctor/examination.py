"""The examination: looks at one root, says what is wrong with it and what to do, and repairs what it can.

**Guarantee**: a look changes nothing; the disk that it is given refuses every change.
**Guarantee**: a repair is safe while workers and producers run. It takes the locks that they take, judges again under
them, and changes things by the engine's own functions; stage/, commit/ and claims are left to their slot's holder.
What was repaired is looked at again: it counts as fixed when it is no longer found.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from workqueue.clock import CLOCK
from workqueue.doctor.checks import CHECKS, can_look, look
from workqueue.doctor.lookonly import LookOnlyFs
from workqueue.doctor.modes import owner_name
from workqueue.doctor.patient import Machine, Patient
from workqueue.doctor.report import Report
from workqueue.errors import FsqError, RootError
from workqueue.store.fs import FS

if TYPE_CHECKING:
    from workqueue.clock import Clock
    from workqueue.doctor.findings import Finding
    from workqueue.store.fs import Fs

Key = tuple[str, str, str]
ROUNDS = 4
"""Looks after repairs: what one made whole may let another see more."""


def doctor(
    path: str, *, fix: bool = False, fs: Fs | None = None, clock: Clock = CLOCK, machine: Machine | None = None
) -> Report:
    """Examine a root, and repair it if told to; a path that is no root is an error."""
    disk = fs or (FS if fix else LookOnlyFs())

    def examined() -> Report:
        return examine(Patient(path, disk, clock, machine or Machine()))

    report = examined()
    if not fix:
        return report
    refuse_others(report.patient)
    tried: dict[Key, Finding] = {}
    trouble: dict[Key, str] = {}
    for _ in range(ROUNDS):
        untried = {finding.key: finding for finding in report.findings if finding.repair and finding.key not in tried}
        if not untried:
            break
        tried |= untried
        trouble |= {key: attempt(finding) for key, finding in untried.items()}
        report = examined()
    left = {finding.key for finding in report.findings}
    fixed = [replace(finding, fixed=True) for key, finding in tried.items() if key not in left]
    report.findings = fixed + [with_trouble(finding, trouble.get(finding.key, "")) for finding in report.findings]
    return report


def examine(patient: Patient) -> Report:
    """Make every check that can be made."""
    report = Report(patient)
    for check in CHECKS:
        if can_look(patient, check):
            report.findings += look(patient, check)
            report.checks += 1
        else:
            report.left_out.append(check.name)
    report.left_out += [f"queue {queue}" for queue in patient.queues if queue not in patient.sound]
    return report


def refuse_others(patient: Patient) -> None:
    """Refuse to repair for anybody but the owner: what the repair makes would not be the owner's."""
    if os.geteuid() != patient.status.st_uid:
        owner = owner_name(patient)
        raise RootError(f"{patient.path} belongs to {owner}, who has to repair it: sudo -u {owner} fsq doctor --fix")


def attempt(finding: Finding) -> str:
    """Repair one finding; returns why that failed, if it did."""
    assert finding.repair is not None
    try:
        finding.repair()
    except (OSError, FsqError) as error:
        return str(error)
    return ""


def with_trouble(finding: Finding, trouble: str) -> Finding:
    """A finding that is still there, with why."""
    return replace(finding, message=f"{finding.message} (--fix: {trouble})") if trouble else finding
