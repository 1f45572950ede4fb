"""What a batch has come to: its counts, while it goes on and when it is over."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.engine import callback, members
from workqueue.engine.members import How
from workqueue.engine.root import BATCHES

if TYPE_CHECKING:
    from workqueue.engine.root import Root

OVER = "over"
"""Beside the batches: the directory of those that are over."""


class BatchCounts(msgspec.Struct, frozen=True):
    """How many members a batch has, and how many of them have ended in each way."""

    label: str = ""
    at: int = 0
    """When it was made: ms since the epoch."""
    total: int = 0
    open: int = 0
    """Members that have not ended."""
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    """Cancelled, or never submitted because their key was taken."""
    corrupt: int = 0
    gone: int = 0
    """Removed by hand."""
    ended: bool = False
    """Whether it is over: every member has ended, and what was to be called back has been submitted."""
    callback: str | None = None
    """The id of the callback, once it is submitted; None if none was to be."""
    queue: str | None = None
    """The callback's queue."""

    @property
    def all_done(self) -> bool:
        """Whether every member has ended well."""
        return self.done == self.total

    def facts(self) -> dict[str, int]:
        """What a callback is told."""
        return {"total": self.total, **{how.value: getattr(self, how) for how in How}}


_decoder = msgspec.json.Decoder(BatchCounts)


def of(root: Root, batch: str) -> BatchCounts | None:
    """What a batch has come to; None if there is no such batch, or none any more."""
    for _ in range(2):  # it may come to be over between two looks
        with contextlib.suppress(FileNotFoundError):
            return of_members(root, batch)
        with contextlib.suppress(FileNotFoundError):
            return fixed(root, root.dot(BATCHES, OVER, batch))
    return None


def of_members(root: Root, batch: str) -> BatchCounts:
    """What a batch that is not over has come to so far."""
    plan = callback.read(root, members.place(root, batch))
    inside: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        inside = set(root.fs.list(members.place(root, batch, "open")))
    try:
        ended = members.ended(root, batch)
    except FileNotFoundError:
        return msgspec.structs.replace(fixed(root, members.place(root, batch)), ended=False)
    hows: Any = Counter(how.value for how in ended.values())
    total = len(inside | ended.keys())
    return BatchCounts(plan.label, plan.at, total, len(inside - ended.keys()), **hows)


def fixed(root: Root, path: str) -> BatchCounts:
    """What was written down of a batch when its last member had ended."""
    return _decoder.decode(root.fs.read(f"{path}/outcome"))


def member_ids(root: Root, batch: str) -> set[str]:
    """The ids of a batch's members; none if there is no such batch."""
    for path in (members.place(root, batch), root.dot(BATCHES, OVER, batch)):
        with contextlib.suppress(FileNotFoundError):
            return {line.split()[0] for line in root.fs.read(f"{path}/members").decode().splitlines()}
    found: set[str] = set()
    for part in ("open", "ended"):
        with contextlib.suppress(FileNotFoundError):
            found.update(text.partition(".")[0] for text in root.fs.list(members.place(root, batch, part)))
    return found


def ids(root: Root) -> list[str]:
    """The batches that are known, the oldest first."""
    over: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        over = root.fs.list(root.dot(BATCHES, OVER))
    return sorted({*members.active(root), *over})
