"""What runs, and what runs left behind: claims, stages, orders to cancel. What they hand over: handovers.py.

**Invariant**: whether a worker lives is asked of its slot's lock. Where the lock can be had, what lies under the slot
is looked at while it is held, so nobody can come or go meanwhile; it is given back at once. What is changed is changed
by the engine's own take-over, under the same lock.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from workqueue.doctor.findings import many, note, problem, some
from workqueue.doctor.patient import MOMENT
from workqueue.engine import housekeeping, lookup, recovery, slots
from workqueue.errors import RootError
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient
    from workqueue.engine.root import Root

SECOND_LOOK = 2.0
"""Seconds: a supervisor sweeps every second. What lies there for longer although workers run is left by them."""
UNSERVED = "no worker that runs takes them up: none serves this queue, or one cannot end what the dead left"
NO_SLOT = -1
"""Of a name in cur/ that no worker made."""


@contextmanager
def unowned(root: Root, number: int) -> Iterator[bool]:
    """Whether nobody has a slot; if so nobody gets it during the block."""
    if not root.fs.exists(root.dot("workers", str(number))):
        yield True  # lost by a root that was restored: nobody can own it, and a look must not make it
        return
    slot = slots.try_lock(root, number)
    try:
        yield slot is not None
    finally:
        if slot is not None:
            slot.close()


def running(patient: Patient) -> Iterator[Finding]:
    """Every claim in cur/ has a worker that lives."""
    root = patient.root
    first = {queue: orphans(root, queue) for queue in patient.sound}
    if not any(first.values()):
        return
    some_run = any(not is_free(root, number) for number in slots.numbers(root))
    if some_run:
        root.clock.sleep(SECOND_LOOK)
    for queue, seen in first.items():
        left = seen & orphans(root, queue) if some_run else seen
        if left:
            why = UNSERVED if some_run else "to be taken up when a worker starts, and none runs"
            yield problem(
                patient.place(queue, "cur"),
                f"{many(len(left), 'job')} without a living worker: {some(sorted(left))}; {why}",
                f"start one: fsq worker -q {queue}; or fsq doctor --fix makes the jobs ready again",
                partial(sweep, root, queue),
            )


def orphans(root: Root, queue: str) -> set[str]:
    """Names in cur/ that belong to nobody who lives."""
    claims = claims_by_slot(root, queue)
    found = claims.pop(NO_SLOT, set())
    for number in claims:
        with unowned(root, number) as is_dead:
            if is_dead:
                found |= claims_by_slot(root, queue).get(number, set())
    return found


def claims_by_slot(root: Root, queue: str) -> dict[int, set[str]]:
    """Names in cur/, by the slot that is told in them."""
    found: dict[int, set[str]] = {}
    for text in root.fs.list(root.space(queue, "cur")):
        found.setdefault(slot_of(text), set()).add(text)
    return found


def slot_of(text: str) -> int:
    """The slot in a claim's name."""
    name = names.parse(text)
    return name.owner.slot if name is not None and name.owner is not None else NO_SLOT


def is_free(root: Root, number: int) -> bool:
    """Whether nobody has a slot at this moment."""
    with unowned(root, number) as is_dead:
        return is_dead


def sweep(root: Root, *queues: str) -> None:
    """Take over what the dead have left, as a supervisor does: claims of these queues, and all that is staged."""
    told = [found for found in recovery.sweep(root, list(queues), set()) if isinstance(found, str)]
    if told:
        raise RootError("; ".join(told))


def stage(patient: Patient) -> Iterator[Finding]:
    """What is staged belongs to a run that goes on."""
    root, stale = patient.root, set()
    for text in root.fs.list(root.dot("stage")):
        number = slot_of(text)
        if number != NO_SLOT:
            with unowned(root, number) as is_dead:
                if is_dead and root.fs.exists(root.dot("stage", text)) and not is_claimed(patient, text):
                    stale.add(text)
    if stale:
        yield note(
            root.dot("stage"),
            f"{many(len(stale), 'directory', 'directories')} of runs whose worker died: {some(sorted(stale))}",
            "a worker removes them when it starts; so does fsq doctor --fix",
            partial(sweep, root),
        )


def is_claimed(patient: Patient, text: str) -> bool:
    """Whether the run's claim is still there: then it is found among the claims."""
    return any(patient.fs.exists(patient.root.space(queue, "cur") + f"/{text}") for queue in patient.sound)


def cancels(patient: Patient) -> Iterator[Finding]:
    """A job whose cancel was ordered runs."""
    root, late = patient.root, []
    for job_id in filter(names.is_id, os.listdir(root.dot("cancel"))):
        if patient.age_of(root.dot("cancel", job_id)) > MOMENT:
            found = lookup.find(root, patient.sound, job_id)
            if found is None or found.state is not State.CUR:
                late.append(f"{job_id} ({found.state if found else 'nowhere'})")
    if late:
        yield note(
            root.dot("cancel"),
            f"{many(len(late), 'order')} to cancel a job that does not run: {some(late)}",
            "a worker ends the job if it waits, and forgets the order; so does fsq doctor --fix",
            partial(housekeeping.carry_out_cancels, root),
        )
