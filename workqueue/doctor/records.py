"""What lies beside the jobs: records and keys without a job, and files that were being written when somebody died."""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from typing import TYPE_CHECKING

from workqueue.doctor.findings import each, many, note, problem, some
from workqueue.doctor.handovers import handed_over
from workqueue.doctor.patient import MOMENT, SHARDS
from workqueue.doctor.watch import being_taken
from workqueue.engine import keys, lookup
from workqueue.engine.records import remove
from workqueue.jobs import names
from workqueue.jobs.content import LONGEST_LINE, Damaged, decode_options
from workqueue.jobs.durations import spoken
from workqueue.jobs.states import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient

HASH = re.compile(r"[0-9a-f]{64}")
TRACES = {"errors.jsonl", "result", "checkpoint", "checkpoint-volatile", "progress", "elements"}
"""Records that only a run makes."""
REJECTS = re.compile(r"rejects-\d+\.jsonl")
"""So are those that a run rejected which then failed."""
WRITING = re.compile(r".+\.\d+\.tmp")
"""Where a small file is written before it is renamed to its place."""
INIT = re.compile(r"format\.[0-9a-f]{16}")


def records(patient: Patient) -> Iterator[Finding]:
    """Every job that has records is there.

    Options come before their job, and a submit that sleeps between the two must find them when it wakes: nothing can
    tell it from a dead one, so they are left to whoever knows.
    """
    taken = being_taken(patient) | handed_over(patient)
    left = without_job(patient, _old_records(patient)) - taken
    waiting = {job_id for job_id in left if _may_be_submitted(patient, job_id)}

    def remove_them() -> None:
        for job_id in without_job(patient, _old_records(patient)):
            if not _may_be_submitted(patient, job_id):
                remove(patient.root, job_id)

    if gone := left - waiting:
        told = f"records of {many(len(gone), 'job that is', 'jobs that are')} nowhere: {some(sorted(gone))}"
        yield note(patient.dot("jobs"), told, "fsq doctor --fix removes them", remove_them)
    if waiting:
        told = f"options of {many(len(waiting), 'job')} that never came, or left: {some(sorted(waiting))}"
        remedy = f"if no producer is stopped in the middle of a submit: rm -r {patient.dot('jobs')}/ID"
        yield note(patient.dot("jobs"), told, remedy)


def _may_be_submitted(patient: Patient, job_id: str) -> bool:
    """Whether there are options and no trace of a run."""
    there = _listed(patient, patient.dot("jobs", job_id))
    return "options" in there and not TRACES.intersection(there) and not any(map(REJECTS.fullmatch, there))


def _old_records(patient: Patient) -> set[str]:
    path, age = patient.dot("jobs"), oldest(patient)
    return {text for text in os.listdir(path) if names.is_id(text) and patient.age_of(f"{path}/{text}") > age}


def oldest(patient: Patient) -> float:
    """Seconds after which what a submit began is given up: the longest tmp_age."""
    return max((patient.root.settings(queue).tmp_age for queue in patient.sound), default=float("inf"))


def without_job(patient: Patient, ids: Iterable[str], spaces: tuple[str, ...] = ("tmp", *SEARCHED)) -> set[str]:
    """Those ids that no job has in these spaces: looked for as `lookup.find` does, but all in one pass."""
    root, left = patient.root, set(ids)
    for _ in range(lookup.PASSES):
        before = lookup.moments(root, patient.sound)
        for space in spaces if left else ():
            for queue in patient.sound:
                left -= {name.id for text in lookup.entries(root, queue, space) if (name := _named(text))}
        if not left or lookup.moments(root, patient.sound) == before:
            break
    return left


def _named(text: str) -> names.Name | None:
    return names.parse(text.rpartition("/")[2])


def dead_keys(patient: Patient) -> Iterator[Finding]:
    """Every key is its job's own file, or a ban that goes on.

    A job that ends is unlinked first, and its key a moment later, or made a ban. Whoever sleeps in between has time.
    """
    dead = [path for path in _keys(patient) if is_dead(patient, path)]
    holders = {path: job_id for path in dead if (job_id := _holder(patient, path))}
    gone = without_job(patient, holders.values(), lookup.LIVING)
    copies = [path for path in dead if path in holders and holders[path] not in gone]
    if copies:
        yield problem(
            patient.dot("keys"),
            f"{many(len(copies), 'key is a copy', 'keys are copies')} of a job and no link to it: the root was copied"
            " without hard links. The key does not hold, and a second job can be submitted under it",
            "copy the root again with rsync -aH or tar; or let these jobs run before more are submitted",
        )
    age = oldest(patient)
    free = [path for path in dead if path not in copies and patient.age_of(path) > age]
    if free:
        yield note(
            patient.dot("keys"),
            f"{many(len(free), 'key')} whose job is gone, or whose ban is over; taken over when used again",
            "fsq doctor --fix removes them",
            each(partial(_free, patient), free),
        )


def _keys(patient: Patient) -> Iterator[str]:
    for path in _shards(patient):
        yield from (f"{path}/{text}" for text in patient.listing(path) if HASH.fullmatch(text))


def _shards(patient: Patient) -> list[str]:
    return [path for shard in SHARDS if not patient.fault(path := patient.dot("keys", shard))]


def is_dead(patient: Patient, path: str) -> bool:
    """Whether no job and no ban has this key."""
    try:
        status = patient.fs.stat(path)
        if status.st_nlink > 1 or not stat.S_ISREG(status.st_mode) or patient.age(status) <= MOMENT:
            return False
        return keys.banned(patient.root, patient.fs.read(path, LONGEST_LINE), status) is None
    except FileNotFoundError:
        return False


def _holder(patient: Patient, path: str) -> str | None:
    """The id of the job whose content the key's file is."""
    try:
        options = decode_options(patient.fs.read(path, LONGEST_LINE).partition(b"\n")[0])
    except (FileNotFoundError, Damaged):
        return None
    name = names.parse(options.name or "")
    return name.id if name else None


def _free(patient: Patient, path: str) -> None:
    """Remove a dead key, judged again under its lock."""
    with keys.locked(patient.root, path):
        if is_dead(patient, path) and patient.age_of(path) > oldest(patient):
            patient.fs.discard(path)


def unfinished(patient: Patient) -> Iterator[Finding]:
    """No file that was to be renamed to its place is older than tmp_age, but a record that a run is writing."""
    age = oldest(patient)
    running = {patient.dot("jobs", job_id) for job_id in _running(patient)}
    places = {path: _listed(patient, path) for path in _records(patient) if path not in running}
    places |= {path: patient.listing(path) for path in _shards(patient)}
    begun = [f"{path}/{text}" for path, texts in places.items() for text in texts if WRITING.fullmatch(text)]
    begun += [patient.dot(text) for text in patient.listing(patient.dot()) if INIT.fullmatch(text)]
    left = [path for path in begun if patient.age_of(path) > age]

    def remove_it(path: str) -> None:
        if patient.age_of(path) > age:
            patient.fs.discard(path)

    if left:
        told = f"{many(len(left), 'file')} older than {spoken(age)} left half written: {some(left)}"
        yield note(patient.dot(), told, "fsq doctor --fix removes them", each(remove_it, left))


def _running(patient: Patient) -> set[str]:
    listed = [text for queue in patient.sound for text in patient.fs.list(patient.place(queue, "cur"))]
    return {name.id for text in listed if (name := names.parse(text))}


def _listed(patient: Patient, path: str) -> list[str]:
    """Names in a directory; none in one that is gone: the records of a job that has ended meanwhile."""
    try:
        return patient.fs.list(path)
    except FileNotFoundError:
        return []


def _records(patient: Patient) -> Iterator[str]:
    with os.scandir(patient.dot("jobs")) as listing:
        yield from (each.path for each in listing if each.is_dir(follow_symlinks=False))
