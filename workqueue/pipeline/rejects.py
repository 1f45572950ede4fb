"""Rejected records, once more: when the cause is mended, a file of them becomes a job.

    QUEUE/rejected/ID-ATTEMPT.jsonl  →  QUEUE/new/5-ULID-0=ID-ATTEMPT.jsonl

**Guarantee**: it is one rename, of the file itself. So each file becomes one job, exactly once, whoever is killed when;
its records are where they were, or in the queue.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, cast

import msgspec

from workqueue.engine.staged import REJECTED
from workqueue.errors import BadInput, Reject, told
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root
    from workqueue.producer import JobRef, Producer
    from workqueue.run.job import Job


SUFFIX = ".jsonl"


class Rejected(msgspec.Struct, frozen=True):
    """A record that a handler has put aside, and why."""

    record: Any
    reason: str


_decoder = msgspec.json.Decoder(Rejected)


def files(root: Root, queue: str) -> list[str]:
    """The files of rejected records of a queue, oldest job first; none if it has none."""
    root.space(queue, "new")
    directory = f"{root.path}/{queue}/{REJECTED}"
    with told("list the rejected records", directory):
        try:
            return [f"{directory}/{name}" for name in sorted(root.fs.list(directory)) if name.endswith(SUFFIX)]
        except FileNotFoundError:
            return []


def resubmit(producer: Producer, root: Root, path: str, queue: str) -> JobRef:
    """Make a job of a file of rejected records: its handler reads them by `read_rejects`."""
    ref = producer.submit(file=path, mode="move", queue=queue)
    # A file system may keep the two halves of a rename apart (engine/twins.py): it must not be there to be taken again.
    root.fs.sync_dir(os.path.dirname(path))
    return ref


def chosen(root: Root, queue: str, texts: list[str]) -> list[str]:
    """The files that ids, or names of files, mean; each must be there."""
    found = files(root, queue)
    picked: list[str] = []
    for text in texts:
        fitting = [path for path in found if os.path.basename(path).startswith(os.path.basename(text).upper()[:26])]
        exact = [path for path in fitting if os.path.basename(path) == os.path.basename(text)]
        if not fitting:
            raise BadInput(f"{text}: queue {queue!r} has no rejected records of such a job ({queue}/{REJECTED}/)")
        picked += exact or fitting
    return list(dict.fromkeys(picked))


def is_rejects(job: Job) -> bool:
    """Whether a job is a file of rejected records, told by its label."""
    return job.label.endswith(SUFFIX) and names.parse(f"5-{job.label.removesuffix(SUFFIX)}") is not None


def read_rejects(job: Job) -> Iterator[Rejected]:
    """The records of a job that `fsq resubmit` has made, one by one.

    >>> def load(job):                                                      # doctest: +SKIP
    ...     rows = [each.record for each in read_rejects(job)] if is_rejects(job) else read(job.payload)
    """
    with io.BufferedReader(cast("io.RawIOBase", job.open())) as file:
        for number, line in enumerate(file, 1):
            try:
                yield _decoder.decode(line)
            except (ValueError, msgspec.MsgspecError) as error:
                raise Reject(f"line {number} is no rejected record: {error}") from None
