"""Batch: jobs that are submitted all or nothing, with a callback when the last has ended; BatchRef: looks at it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self

from workqueue.engine import callback, drafts, outcome, overs
from workqueue.engine.newjob import ARRAY, NOTHING, give, new_array, new_job
from workqueue.engine.outcome import BatchCounts
from workqueue.engine.root import DEFAULT_QUEUE
from workqueue.engine.settings import whole
from workqueue.errors import BadInput, FsqError, NoSuchBatch, WrongState
from workqueue.jobs.content import encode_json, encode_payload
from workqueue.jobs.durations import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from workqueue.engine.callback import Call
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.newjob import Duration, Wishes
    from workqueue.engine.protocol import NewJob

__all__ = ["Batch", "BatchCounts", "BatchRef", "Callback"]

LOOK_FIRST, LOOK_LAST = 0.01, 0.25
SEARCH = 10.0
"""Seconds between two searches, while somebody waits, for members whose worker died as they ended, or that are gone."""


class Callback:
    """A job that is submitted when a batch is over: its queue, a payload of its own, and how it is to be run.

    The handler is given ``{"batch": ID, "label": …, "total": n, "done": n, "failed": n, "cancelled": n, "corrupt": n,
    "gone": n, "payload": its own}``.
    """

    def __init__(self, queue: str, payload: Any = None, **wishes: Unpack[Wishes]) -> None:
        self.queue, self.payload, self.wishes = queue, payload, wishes

    def __repr__(self) -> str:
        return f"Callback({self.queue!r}, {self.payload!r})"


class Batch:
    """Jobs that are submitted together, when its ``with`` block ends; nothing is, if that raises.

    >>> with producer.batch(on_done="publish") as batch:        # doctest: +SKIP
    ...     batch.submit({"day": "2013-01-01"}, queue="extract")
    >>> producer.batch_ref(batch.id).wait("8h")                 # doctest: +SKIP
    """

    def __init__(
        self,
        engine: DirectoryEngine,
        prepare: Callable[[str], object],
        on_done: str | Callback | None,
        on_failed: str | Callback | None,
        label: str,
    ) -> None:
        root = engine.root
        root.refuse_submit_only("a batch")
        root.refuse_strangers("a batch")
        self._engine = engine
        self._prepare = prepare
        self._pid = os.getpid()
        calls = self._checked(on_done), self._checked(on_failed)
        encode_json(label, "label")
        self._plan = callback.Plan(root.ids.next(), root.clock.now_ms(), label, *calls)
        self._draft: drafts.Draft | None = None
        self.id: str = ""

    def __repr__(self) -> str:
        return f"<Batch {self.id}>"

    def _checked(self, given: str | Callback | None) -> Call | None:
        if given is None:
            return None
        one = given if isinstance(given, Callback) else Callback(given)
        self._prepare(one.queue)
        return callback.checked(self._engine.root, one.queue, one.payload, one.wishes)

    def __enter__(self) -> Self:
        if self.id:
            raise WrongState(f"batch {self.id}: its block has been entered before; make another batch")
        self._draft = drafts.Draft(self._engine.root, self._plan)
        self.id = self._draft.id
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        draft, self._draft = self._draft, None
        if draft is None or os.getpid() != self._pid:
            return  # a forked child leaves the block, too: the batch is its parent's
        try:
            if kind is None:
                draft.commit()
                draft = None
        finally:
            if draft is not None:
                draft.discard()

    def submit(
        self,
        payload: Any = NOTHING,
        *,
        queue: str = DEFAULT_QUEUE,
        file: str | os.PathLike[str] | None = None,
        mode: Literal["link", "copy"] = "copy",
        **wishes: Unpack[Wishes],
    ) -> str:
        """Add a job; returns the id that it will have. Payload, file and `wishes` are those of `Producer.submit`.

        One whose `key` another job has when the block ends is not submitted, and counts as cancelled.
        """
        draft = self._writable()
        job = staged_job(self._engine, queue, payload, file, mode, wishes)
        self._prepare(queue)
        self._engine.check(job)
        return draft.add(job)

    def submit_many(
        self, payloads: Iterable[Any], *, queue: str = DEFAULT_QUEUE, **wishes: Unpack[Wishes]
    ) -> list[str]:
        """Add many jobs; returns their ids."""
        draft = self._writable()
        self._prepare(queue)
        return add_many(self._engine, draft.add, payloads, queue, wishes)

    def submit_array(
        self, payloads: Iterable[Any], *, queue: str = DEFAULT_QUEUE, size: int = ARRAY, **wishes: Unpack[Wishes]
    ) -> list[str]:
        """Add tiny payloads as arrays, of which each is one member; returns their ids.

        An element that fails becomes a member by itself, before its array ends: the callback waits for it, too.
        """
        from workqueue.jobs.arrays import arrays

        draft = self._writable()
        array = new_array(self._engine.root.clock, queue, wishes)
        made = arrays(payloads, whole(size, "size"))
        self._prepare(queue)
        ids: list[str] = []
        for array.payload, array.options.array in made:
            self._engine.check(array)
            ids.append(draft.add(array))
        return ids

    def _writable(self) -> drafts.Draft:
        if self._draft is None or os.getpid() != self._pid:
            raise WrongState("batch: jobs are added inside its with block, by the process that entered it")
        return self._draft


def staged_job(
    engine: DirectoryEngine,
    queue: str,
    payload: Any,
    file: str | os.PathLike[str] | None,
    mode: str,
    wishes: Wishes,
) -> NewJob:
    """Return a job that is written now and appears later, so a file cannot be moved into it."""
    if mode not in {"link", "copy"}:
        raise BadInput(f"mode {mode!r}: a file is staged by link or copy; the file itself stays where it is")
    job = new_job(engine.root.clock, queue, wishes)
    give(job, payload, file, mode)
    return job


def add_many(
    engine: DirectoryEngine, add: Callable[[NewJob], str], payloads: Iterable[Any], queue: str, wishes: Wishes
) -> list[str]:
    """Add a job for each payload, all alike; returns their ids."""
    job = new_job(engine.root.clock, queue, wishes)
    if job.options.key is not None:
        raise BadInput("submit_many: all jobs would have the same key; submit them one by one")
    ids = []
    for payload in payloads:
        job.payload, job.type = encode_payload(payload)
        engine.check(job)
        ids.append(add(job))
    return ids


class BatchRef:
    """A batch that was submitted: what it has come to."""

    __slots__ = ("_engine", "id")

    def __init__(self, engine: DirectoryEngine, batch: str) -> None:
        self._engine = engine
        self.id = batch

    def __repr__(self) -> str:
        return f"BatchRef({self.id!r})"

    def counts(self) -> BatchCounts:
        """How many members it has, and how they have ended so far; raises NoSuchBatch."""
        found = outcome.of(self._engine.root, self.id)
        if found is None:
            raise NoSuchBatch(f"batch {self.id}: over and not kept any more (keep_batches), or never here")
        return found

    def wait(self, timeout: Duration | None = None) -> BatchCounts:
        """Wait until every member has ended, and the callback is submitted. Raises TimeoutError, NoSuchBatch.

        Beside waiting it sees to it that nothing that died on the way keeps the batch from its end.
        """
        clock = self._engine.root.clock
        end = None if timeout is None else clock.monotonic() + seconds(timeout, "timeout")
        pause, next_search = LOOK_FIRST, clock.monotonic()
        while True:
            if clock.monotonic() >= next_search and not self.counts().ended:
                self._search()
                next_search = clock.monotonic() + SEARCH
            found = self.counts()
            if found.ended:
                return found
            if end is not None and clock.monotonic() >= end:
                raise TimeoutError(f"batch {self.id} is not over: {found.open} of {found.total} jobs have not ended")
            clock.sleep(pause)
            pause = min(pause * 1.5, LOOK_LAST)

    def _search(self) -> None:
        """Take up what the dead have left of this batch; where we may not, workers do."""
        try:
            overs.settle_one(self._engine.root, self.id)
        except (OSError, FsqError):
            return
