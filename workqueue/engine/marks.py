"""``.fsq/cancel/ID``: this running job is to be cancelled. Synced, so that the order survives whoever gave it.

The supervisor whose worker has the job stops the run. Whoever ends the claim without success removes job and mark; a
run that succeeds meanwhile has won, and its mark is removed by the next sweep.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from workqueue.jobs.names import PATTERN

if TYPE_CHECKING:
    from workqueue.engine.root import Root


def mark(root: Root, job_id: str) -> None:
    """Order the cancel of a running job."""
    with contextlib.suppress(FileExistsError):
        root.fs.close(root.fs.create(root.dot("cancel", job_id), root.file_mode))
    root.fs.sync_dir(root.dot("cancel"))


def is_marked(root: Root, job_id: str) -> bool:
    """Whether a cancel was ordered."""
    return root.fs.exists(root.dot("cancel", job_id))


def marked(root: Root) -> list[str]:
    """The ids of the jobs whose cancel was ordered."""
    return [name for name in root.fs.list(root.dot("cancel")) if PATTERN.fullmatch(f"5-{name}-0")]


def clear(root: Root, job_id: str) -> None:
    """Remove an order that was carried out, or came too late."""
    with contextlib.suppress(OSError):
        root.fs.discard(root.dot("cancel", job_id))
