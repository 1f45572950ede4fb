"""Whether every directory and slot is there, and nothing else."""

from __future__ import annotations

import re
import stat
from functools import partial
from typing import TYPE_CHECKING

from workqueue.doctor.findings import each, many, note, problem, some
from workqueue.doctor.patient import MOMENT, SHARDS
from workqueue.engine import journal, slots
from workqueue.engine.claims import KINDS
from workqueue.engine.root import BATCHES, DOT, PAGE, PARTS, PIPELINES, SLOTS, WATCH, init, make_queue, make_slot
from workqueue.engine.settings import FILE
from workqueue.engine.staged import REJECTED
from workqueue.jobs import names
from workqueue.jobs.states import SPACES, State

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient

NOT_NEEDED = {"journal"}
"""Parts without which jobs are run nevertheless."""
FORMAT = re.compile(r"format(\.[0-9a-f]{16})?")
MADE = "fsq doctor --fix makes what is missing, as fsq init does"


def layout(patient: Patient) -> Iterator[Finding]:
    """Every part of .fsq and every space of a queue is a directory, on the root's file system, and no link."""
    for path in patient.directories():
        fault = patient.fault(path)
        if fault is not None and not fault.is_missing and not fault.is_closed:
            yield problem(
                path,
                f"{fault.text}, and must be a directory on the root's own file system: jobs are moved by rename, and"
                " no link is followed",
                f"put a directory in its place, or move the whole root ({patient.path}) to where there is room",
            )
    yield from _missing_parts(patient)
    for queue in patient.queues:
        yield from _missing_spaces(patient, queue)
    if not patient.queues and not patient.fault(patient.path):
        yield problem(patient.path, "no queue: nothing can be submitted", f"fsq init -q NAME {patient.path}")


def _missing_parts(patient: Patient) -> Iterator[Finding]:
    inside = [path for path in patient.directories() if path.startswith(patient.dot(""))]
    gone = [path for path in inside if (fault := patient.fault(path)) and fault.is_missing]
    missing = [path.removeprefix(patient.dot("")) for path in gone]
    if missing:
        tell = note if NOT_NEEDED.issuperset(missing) else problem
        message = f"missing: {some(missing)}; workers and producers that need them fail"
        slots_there = _slots_to_make(patient)
        yield tell(patient.dot(), message, MADE, partial(init, patient.path, (), slots=slots_there, fs=patient.fs))


def _slots_to_make(patient: Patient) -> int:
    """As many slots as there are; whoever made the root chose their number."""
    path = patient.dot("workers")
    numbers = [] if patient.fault(path) else [int(name) for name in patient.listing(path) if name.isdigit()]
    return max(numbers, default=SLOTS - 1) + 1


def _missing_spaces(patient: Patient, queue: str) -> Iterator[Finding]:
    path = f"{patient.path}/{queue}"
    if patient.fault(path):
        return
    missing = [space for space in SPACES if (fault := patient.fault(f"{path}/{space}")) and fault.is_missing]
    if State.NEW in missing and patient.age_of(path) < MOMENT:
        return  # it is just being made: new/ comes last
    if missing:
        yield problem(
            path,
            f"missing: {some(missing)}; the queue is half made, or lost a part, and jobs cannot pass through",
            MADE,
            partial(make_queue, patient.path, queue, patient.fs),
        )


def worker_slots(patient: Patient) -> Iterator[Finding]:
    """There are slots, each a file of a page that the root's owner can lock, and one of them is free."""
    path = patient.dot("workers")
    numbers = sorted((int(name) for name in patient.listing(path) if name.isdigit()), reverse=True)
    bad, short = [], []
    for number in numbers:
        status = patient.fs.stat(f"{path}/{number}")
        if not stat.S_ISREG(status.st_mode) or status.st_uid != patient.status.st_uid or not _is_open(status):
            bad.append(f"{number} ({_what(status)})")
        elif status.st_size < PAGE and patient.age(status) > MOMENT:
            short.append(number)
    if bad:
        yield problem(
            path,
            f"{many(len(bad), 'slot')} cannot be locked: {some(bad)}; no worker starts once it comes to such a slot",
            "with no worker running remove them; workers make them anew",
        )
    if short:
        yield note(
            path,
            f"{many(len(short), 'slot is', 'slots are')} no full page, so a worker may fail to start on a full disk",
            "fsq doctor --fix fills them up",
            each(lambda number: make_slot(f"{path}/{number}", patient.fs), short),
        )
    if not numbers:
        yield problem(
            path,
            "there is no slot, so no worker can start",
            "fsq doctor --fix makes them, as fsq init does",
            partial(init, patient.path, (), slots=SLOTS, fs=patient.fs),
        )
    elif not bad and not _is_any_free(patient, numbers):
        more = 2 * len(numbers)
        message = f"none of {many(len(numbers), 'slot')} is free; another worker would not start"
        yield note(path, message, f"if there are to be more workers: fsq init --slots {more} {patient.path}")


def _is_open(status: os.stat_result) -> bool:
    return status.st_mode & 0o600 == 0o600  # noqa: PLR2004


def _what(status: os.stat_result) -> str:
    kind = KINDS.get(stat.S_IFMT(status.st_mode))
    return kind or f"mode {stat.S_IMODE(status.st_mode):o}, of user {status.st_uid}"


def _is_any_free(patient: Patient, numbers: list[int]) -> bool:
    """Try the locks from the last slot down: workers take the first that is free, so the two seldom meet."""
    for number in numbers:
        slot = slots.try_lock(patient.root, number)
        if slot is not None:
            slot.close()
            return True
    return False


def strangers(patient: Patient) -> Iterator[Finding]:
    """Nothing lies in the root that is no part of it."""
    known: dict[str, Callable[[str], object]] = {
        patient.path: lambda name: name in {DOT, FILE} or name in patient.queues,
        patient.dot(): lambda name: name in {*PARTS, WATCH, BATCHES, PIPELINES} or FORMAT.fullmatch(name),
        patient.dot("workers"): str.isdigit,
        patient.dot("stage"): _is_claim,
        patient.dot("commit"): _is_staged,
        patient.dot("keys"): SHARDS.__contains__,
        patient.dot("jobs"): names.is_id,
        patient.dot("cancel"): names.is_id,
        patient.dot("journal"): journal.DAY.fullmatch,
        **dict.fromkeys(_days(patient), journal.FILE.fullmatch),
        **{f"{patient.path}/{queue}": (*SPACES, REJECTED).__contains__ for queue in patient.queues},
    }
    for path, is_known in known.items():
        names_there = [] if patient.fault(path) else patient.listing(path)
        strange = [name for name in names_there if not is_known(name)]
        if strange:
            message = f"{many(len(strange), 'name')} of which fsq knows nothing: {some(strange)}"
            yield note(path, f"{message}; left alone", "look what it is, and move it out of the root")


def _days(patient: Patient) -> list[str]:
    """The directories of the journal."""
    path = patient.dot("journal")
    names_there = [] if patient.fault(path) else patient.listing(path)
    return [f"{path}/{name}" for name in names_there if journal.DAY.fullmatch(name)]


def _is_claim(text: str) -> bool:
    name = names.parse(text)
    return name is not None and name.owner is not None


def _is_staged(text: str) -> bool:
    """Whether this is the manifest, or an item, of a run."""
    run, _, number = text.rpartition("+")
    return _is_claim(run) and number.isdigit()
