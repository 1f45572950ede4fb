"""``.fsq/jobs/ID/``: what a job has beside its file, only for the jobs that need it.

    options        of a job whose whole file is payload; synced before the job appears
    errors.jsonl   one line for each attempt that failed, and why it lies in corrupt/
    result         what the handler returned, where outcomes are kept
    rejects-N.jsonl  records that attempt N rejected before it failed
    checkpoint     from where the next run goes on (checkpoints.py)
    progress       how far the run has come, for people
    elements       how far each element of an array has come (arrays.py)

**Invariant**: what becomes of a job is never decided from these files, but for a whole-file job's options, and which
elements of an array are still to be run; the rename decides. So an error that cannot be recorded (a full disk) stops no
job.
Whoever removes a job's last file removes its directory here, after it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.errors import told
from workqueue.jobs.content import PLAIN, Damaged, Options, decode_options

if TYPE_CHECKING:
    from workqueue.engine.protocol import Claim
    from workqueue.engine.root import Root
    from workqueue.jobs.progress import Progress


def directory(root: Root, job_id: str) -> str:
    """Where the job's records are."""
    return root.dot("jobs", job_id)


def put_options(root: Root, job_id: str, line: bytes) -> None:
    """Write the options of a whole-file job, durably: they must be there when the job appears."""
    with contextlib.suppress(FileExistsError):
        root.fs.mkdir(directory(root, job_id))
    root.fs.publish(f"{directory(root, job_id)}/options", line)
    root.fs.sync_dir(root.dot("jobs"))


def options(root: Root, job_id: str) -> Options:
    """The options of a whole-file job; those of the queue where it brought none."""
    try:
        return decode_options(root.fs.read(f"{directory(root, job_id)}/options"))
    except FileNotFoundError:
        return PLAIN
    except OSError as error:
        raise Damaged(f"its options cannot be read: {error.strerror}") from None


def add_error(root: Root, job_id: str, error: dict[str, Any]) -> None:
    """Record a failed attempt; best effort."""
    with contextlib.suppress(OSError):
        _append(root, job_id, "errors.jsonl", error)


def errors(root: Root, job_id: str) -> list[dict[str, Any]]:
    """The failed attempts, oldest first; a line that a crash tore is left out."""
    try:
        lines = root.fs.read(f"{directory(root, job_id)}/errors.jsonl").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
    return found


def put_result(root: Root, job_id: str, data: bytes) -> None:
    """Keep what the handler returned."""
    _make(root, job_id)
    root.fs.publish(f"{directory(root, job_id)}/result", data, durable=False)


def keep(root: Root, job_id: str, path: str, file: str) -> None:
    """Move a file to the job's records."""
    with contextlib.suppress(FileExistsError):
        root.fs.mkdir(directory(root, job_id))
    root.fs.rename(path, f"{directory(root, job_id)}/{file}")


def result(root: Root, job_id: str) -> bytes | None:
    """What the handler returned, as JSON; None where nothing is kept."""
    path = f"{directory(root, job_id)}/result"
    with told(f"read the result of job {job_id}", path), contextlib.suppress(FileNotFoundError):
        return root.fs.read(path)
    return None


def make(root: Root, claim: Claim) -> None:
    """Make the job's directory before a run's first record; from now on the claim says that there is one."""
    if not claim.has_records:
        claim.has_records = True
        _make(root, claim.id)


def exist(root: Root, job_id: str) -> bool:
    """Whether a job has records."""
    return root.fs.exists(directory(root, job_id))


def put_progress(root: Root, claim: Claim, data: bytes) -> None:
    """Keep what the run tells of itself; best effort."""
    with contextlib.suppress(OSError):
        make(root, claim)
        root.fs.publish(f"{directory(root, claim.id)}/progress", data, durable=False)


def progress(root: Root, job_id: str) -> Progress | None:
    """What a run told last; None where there is nothing that can be read."""
    from workqueue.jobs.progress import decode

    try:
        return decode(root.fs.read(f"{directory(root, job_id)}/progress"))
    except OSError:
        return None


def remove(root: Root, job_id: str) -> None:
    """Remove what the job had; best effort, a left-over is only space."""
    with contextlib.suppress(OSError):
        root.fs.remove_tree(directory(root, job_id))


def _make(root: Root, job_id: str) -> None:
    with contextlib.suppress(FileExistsError):
        root.fs.mkdir(directory(root, job_id))


def _append(root: Root, job_id: str, file: str, line: dict[str, Any]) -> None:
    _make(root, job_id)
    root.fs.append(f"{directory(root, job_id)}/{file}", msgspec.json.encode(line) + b"\n")
