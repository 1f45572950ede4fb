"""The checks, in their order: first what keeps a root from being opened, then what lies in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from workqueue.doctor import batches, handovers, layout, modes, records, runs, spaces, surroundings
from workqueue.doctor.findings import problem
from workqueue.doctor.watch import watch
from workqueue.errors import FsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient


class Check(NamedTuple):
    """A look at one side of a root."""

    name: str
    look: Callable[[Patient], Iterator[Finding]]
    parts: tuple[str, ...] | None = None
    """The parts of .fsq that it needs, and the root opened; None: it needs neither."""
    every_queue: bool = False
    """Whether it means something only if it sees all queues."""


CHECKS = (
    Check("layout", layout.layout),
    Check("modes", modes.modes),
    Check("file system", surroundings.file_system),
    Check("settings", surroundings.settings),
    Check("space", surroundings.space),
    Check("clock", surroundings.clock),
    Check("strangers", layout.strangers),
    Check("slots", layout.worker_slots, ("workers",)),
    Check("wake-ups", surroundings.wake_ups, ("cancel",)),
    Check("tmp", spaces.tmp, ()),
    Check("waiting", spaces.waiting, ()),
    Check("running", runs.running, ("workers", "stage", "jobs", "cancel")),
    Check("corrupt", spaces.corrupt, ()),
    Check("failed", spaces.failed, ()),
    Check("size", spaces.size),
    Check("stage", runs.stage, ("workers", "stage"), every_queue=True),
    Check("commit", handovers.commit, ("commit",)),
    Check("batches", batches.batches, ("commit",), every_queue=True),
    Check("watch", watch, ()),
    Check("records", records.records, ("jobs", "commit"), every_queue=True),
    Check("keys", records.dead_keys, ("keys",), every_queue=True),
    Check("cancels", runs.cancels, ("cancel",), every_queue=True),
    Check("unfinished", records.unfinished, ("keys", "jobs")),
)


def can_look(patient: Patient, check: Check) -> bool:
    """Whether what a check needs is there."""
    if check.parts is None:
        return True
    if patient.opened is None or (check.every_queue and patient.sound != patient.queues):
        return False
    return not any(patient.fault(patient.dot(part)) for part in check.parts)


def look(patient: Patient, check: Check) -> Iterator[Finding]:
    """What one check finds. One that cannot be made is a problem: whoever asks must not be told that all is well."""
    try:
        for finding in check.look(patient):
            yield replace(finding, check=check.name)
    except (OSError, FsqError) as error:
        remedy = "remove the cause, then run fsq doctor again"
        yield replace(problem(patient.path, f"could not be examined: {error}", remedy), check=check.name)
