"""Batches: what was left of them by producers and workers that died, and waits for a worker to see to it."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING

from workqueue.doctor.findings import many, note, problem, some
from workqueue.doctor.runs import SECOND_LOOK
from workqueue.engine import drafts, leavers, members, overs
from workqueue.engine.root import BATCHES
from workqueue.errors import RootError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient
    from workqueue.engine.root import Root


def batches(patient: Patient) -> Iterator[Finding]:
    """Every batch goes on: its members are in their queues, who has ended is out, and who is last calls back."""
    path = patient.dot(BATCHES)
    if not patient.fs.exists(path) or patient.fault(path):
        return
    root = patient.root
    first = waiting(root)
    if first:
        root.clock.sleep(SECOND_LOOK)
    left = sorted(first & waiting(root))
    if left:
        yield problem(
            path,
            f"{many(len(left), 'batch', 'batches')} cannot go on: {some(left)}; members are not in their queues, or"
            " have ended and are counted as open, or the callback is to come",
            "a worker of any queue sees to it within minutes; if it says that it cannot, clear the way that it names (a"
            " queue that was removed, a full disk); or fsq doctor --fix",
            partial(settle, root),
        )
    abandoned = sorted(text for text in os.listdir(path) if text.startswith(".") and is_abandoned(root, text))
    if abandoned:
        yield note(
            path,
            f"{many(len(abandoned), 'batch', 'batches')} that a producer began and did not submit: {some(abandoned)}",
            "a worker removes them within a minute; so does fsq doctor --fix",
            partial(drafts.clean, root),
        )


def waiting(root: Root) -> set[str]:
    """The batches that nobody keeps from going on."""
    found = {leaver.batch for leaver in leavers.leavers(root)}
    return found.union(batch for batch in members.active(root) if _is_stuck(root, batch))


def _is_stuck(root: Root, batch: str) -> bool:
    with drafts.locked(root, members.place(root, batch, "items")) as is_ours:
        if is_ours:
            return True
    with contextlib.suppress(FileNotFoundError):
        return not root.fs.list(members.place(root, batch, "open"))
    return root.fs.exists(members.place(root, batch))


def is_abandoned(root: Root, text: str) -> bool:
    """Whether a draft's producer is dead."""
    path = root.dot(BATCHES, text)
    with contextlib.suppress(FileNotFoundError):
        if root.clock.now() - root.fs.stat(path).st_ctime < drafts.ABANDONED:
            return False
        with drafts.locked(root, f"{path}/items") as is_ours:
            return is_ours or not root.fs.exists(f"{path}/items")
    return False


def settle(root: Root) -> None:
    """Bring every batch as far as it can come, as a worker does."""
    told = list(overs.settle_all(root))
    if told:
        raise RootError("; ".join(told))
