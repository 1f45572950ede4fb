"""What runs hand over: it is in its place once they have committed, and nothing is left of those that did not.

**Invariant**: what is repaired is repaired by the engine's own take-over, under the lock of the run's slot. A manifest
that cannot be read is a person's matter: nothing of its run is guessed, and nothing removed.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from workqueue.doctor.findings import many, note, problem, some
from workqueue.doctor.runs import SECOND_LOOK, is_claimed, is_free, sweep
from workqueue.engine import commits, manifest, outputs
from workqueue.engine.root import DOT
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient
    from workqueue.engine.manifest import Item, Manifest, Output, Run


class Cause(NamedTuple):
    """Why something does not come to its place, and what to do."""

    told: str
    remedy: str


UNKNOWN = Cause(
    "the jobs are done, and these items wait",
    "any worker puts them there; if it says that it cannot, clear the way that it tells of; or fsq doctor --fix",
)


def commit(patient: Patient) -> Iterator[Finding]:
    """All that runs have handed over is in its place, and nothing is left of runs that did not commit."""
    root = patient.root
    first = {run.text for run in manifest.runs(root) if not _goes_on(patient, run)}
    if not first:
        return
    root.clock.sleep(SECOND_LOOK)
    left = [run for run in manifest.runs(root) if run.text in first and not _goes_on(patient, run)]
    committed = {run.text: run for run in left if _has_committed(patient, run)}
    damaged = [run.text for run in committed.values() if not _is_whole(patient, run)]
    if damaged:
        yield _damaged(patient, damaged)
    yield from _waiting(patient, [run for run in committed.values() if run.text not in damaged])
    stale = [run.text for run in left if run.text not in committed]
    if stale:
        yield note(
            root.dot("commit"),
            f"staged by {many(len(stale), 'run')} whose worker died before it ended: {some(stale)}",
            "a worker removes it when it starts, and the jobs are run again; so does fsq doctor --fix",
            partial(sweep, root),
        )


def _goes_on(patient: Patient, run: Run) -> bool:
    """Whether a run's worker lives and has not committed, or its claim is still there, and found among the claims."""
    found = manifest.read(patient.root, run.text)
    if found is not None and is_claimed(patient, found.header.name):
        return True
    return not is_free(patient.root, run.owner.slot) and not _has_committed(patient, run)


def _has_committed(patient: Patient, run: Run) -> bool:
    found = manifest.read(patient.root, run.text)
    if found is None:
        return commits.is_damaged(patient.root, run)
    return found.header.queue in patient.sound and patient.fs.exists(
        f"{patient.root.space(found.header.queue, 'done')}/{found.header.name}"
    )


def _is_whole(patient: Patient, run: Run) -> bool:
    found = manifest.read(patient.root, run.text)
    return found is not None and found.is_whole


def _damaged(patient: Patient, runs: list[str]) -> Finding:
    path = manifest.path(patient.root, min(runs))
    return problem(
        patient.root.dot("commit"),
        f"{many(len(runs), 'manifest')} that cannot be read to the end: {some(runs)}; the disk has lost what such a"
        " run, which has ended, hands over, or where to. Nothing of it is removed",
        f"look at {path}: a line has the number of a file beside it (RUN+NUMBER), and the place below the root that it"
        " goes `to`; move there with mv -n what you know the place of; then rm the manifest, and whoever takes the"
        " worker's slot over removes the rest",
    )


def _waiting(patient: Patient, runs: list[Run]) -> Iterator[Finding]:
    """What has not come, told once for each cause that can be seen from here."""
    by_cause: dict[Cause, list[str]] = {}
    for run in runs:
        found = manifest.read(patient.root, run.text)
        for cause in (_causes(patient, run, found) if found else ()) or [UNKNOWN]:
            by_cause.setdefault(cause, []).append(run.text)
    for cause, texts in by_cause.items():
        yield problem(
            patient.root.dot("commit"),
            f"what {many(len(texts), 'run')} handed over is not all in its place: {some(texts)}; {cause.told}",
            cause.remedy,
            partial(sweep, patient.root),
        )


def _causes(patient: Patient, run: Run, found: Manifest) -> list[Cause]:
    causes = [_of_output(output) for output in found.outputs]
    causes += [_of_item(patient, item) for item in found.items if str(item.number) in run.numbers]
    return sorted({cause for cause in causes if cause is not None})


def _of_output(output: Output) -> Cause | None:
    directory, parent = os.path.dirname(output.temporary), os.path.dirname(output.to)
    again = "; a worker tries it every second"
    if not os.path.lexists(output.temporary):
        if outputs.is_mounted(output):
            return None
        told = f"{directory} is gone, or another directory than when {output.to} was written"
        return Cause(told, f"mount the disk that {directory} is on{again}")
    if os.path.isdir(output.to):
        return Cause(f"{output.to} is a directory now", f"move {output.to} away{again}")
    if output.new and os.path.lexists(output.to):
        told = f"{output.to} was made by somebody else meanwhile, and mode 'x' replaces none"
        return Cause(told, f"move {output.to} away{again}")
    writable = parent if os.path.isdir(parent) else directory
    if not os.access(writable, os.W_OK | os.X_OK, effective_ids=True):
        return Cause(f"{writable} cannot be written", f"let the workers' user write in {writable}{again}")
    return None


def _of_item(patient: Patient, item: Item) -> Cause | None:
    queue = item.to.partition("/")[0]
    if queue == DOT or queue in patient.queues:
        return None
    return Cause(f"queue {queue!r} is gone", f"make it again: fsq init -q {queue} {patient.path}")


def handed_over(patient: Patient) -> set[str]:
    """The ids of all jobs that runs hand over, and that may not be in their places yet."""
    told = (manifest.read(patient.root, run.text) for run in manifest.runs(patient.root))
    found = (names.parse(os.path.basename(item.to)) for one in told if one is not None for item in one.items)
    return {name.id for name in found if name is not None}
