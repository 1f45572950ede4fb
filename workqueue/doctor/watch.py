"""Watch folders: files that were taken out of one and wait for a watch that does not run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workqueue.doctor.findings import many, problem
from workqueue.engine.root import WATCH
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient


def watch(patient: Patient) -> Iterator[Finding]:
    """What a watch has begun to take is handed over; only a watch of that folder and queue can do it."""
    for place in places(patient):
        if staged(patient, place) and _is_free(patient, place) and (left := staged(patient, place)):
            yield problem(
                place,
                f"{many(len(left), 'file')} of a watched folder ({_folder(patient, place)}) taken by an fsq watch that"
                f" died, and not handed over yet",
                "start that fsq watch again: it does so first of all",
            )


def being_taken(patient: Patient) -> set[str]:
    """The ids of all jobs that are being made of watched folders' files."""
    named = (names.parse(text) for place in places(patient) for text in staged(patient, place))
    return {name.id for name in named if name is not None}


def places(patient: Patient) -> list[str]:
    """The directory of each folder and queue that is, or was, watched."""
    path = patient.dot(WATCH)
    if not patient.fs.exists(path) or patient.fault(path):
        return []
    return [f"{path}/{name}" for name in sorted(patient.fs.list(path))]


def staged(patient: Patient, place: str) -> list[str]:
    """The names of the jobs that are being made there."""
    try:
        return sorted(patient.fs.list(f"{place}/stage"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_free(patient: Patient, place: str) -> bool:
    fd = patient.fs.open_dir(place)
    try:
        return patient.fs.lock(fd)
    finally:
        os.close(fd)


def _folder(patient: Patient, place: str) -> str:
    """The folder and the queue, as the watch wrote them down."""
    try:
        return patient.fs.read(f"{place}/folder", 8192).decode(errors="backslashreplace").strip().replace("\n", " → ")
    except OSError:
        return "?"
