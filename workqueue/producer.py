"""Producer: puts jobs into queues; JobRef: what happens to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from workqueue.clock import CLOCK, Clock
from workqueue.engine.find_root import find_root
from workqueue.engine.intake import Intake
from workqueue.engine.newjob import ARRAY, NOTHING, Wishes, give, new_array, new_job
from workqueue.engine.root import DEFAULT_QUEUE, Root, init
from workqueue.engine.settings import whole
from workqueue.errors import BadSetting, NoSuchJob
from workqueue.jobs import names
from workqueue.jobs.content import encode_payload
from workqueue.jobs.durations import seconds
from workqueue.jobs.states import ENDED, State

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Unpack

    from workqueue.batch import Batch, BatchRef, Callback
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.newjob import Duration
    from workqueue.engine.protocol import Content

LOOK_FIRST, LOOK_LAST = 0.005, 0.1
"""Seconds between looks while waiting: from the first to the last."""


class Producer:
    """Submits jobs to the queues of one root.

    >>> producer = Producer("/var/spool/etl")                       # doctest: +SKIP
    >>> ref = producer.submit({"path": "a.csv"})                    # doctest: +SKIP
    >>> ref.wait(timeout="1h")                                      # doctest: +SKIP

    `root`: the queue root; None means $FSQ_ROOT, else the nearest parent directory that is one, else
    ~/.local/state/fsq. With `create=True` the root and any queue named are made where they are missing.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, *, create: bool = False, clock: Clock = CLOCK
    ) -> None:
        path = find_root(root)
        if create:
            init(path)
        self._create = create
        self._clock = clock
        self._intake = Intake(Root(path, clock=clock))
        self.root = path

    def __repr__(self) -> str:
        return f"Producer({self.root!r})"

    def submit(
        self,
        payload: Any = NOTHING,
        *,
        queue: str = DEFAULT_QUEUE,
        file: str | os.PathLike[str] | None = None,
        mode: Literal["move", "link", "copy"] = "copy",
        again: bool = False,
        durable: bool = True,
        **wishes: Unpack[Wishes],
    ) -> JobRef:
        """Submit one job; when this returns it survives kill -9 and a power cut (`durable=False`: kill -9 only).

        The payload is a JSON value, or bytes or text kept as they are; or it is a `file`, which is moved, linked or
        copied into the queue. If this raises, there is no job. `again`: a key that is taken only because of an ended
        job's `key_for` is taken over.

        `wishes` say how the job is to be run, beyond its queue's settings: `delay` or `at`, `priority` (0 runs first),
        `key` and `key_for`, `max_attempts`, `timeout`, `expires`, `keep`, `headers`, `reject_limit`, `label`.
        """
        if again and wishes.get("key") is None:
            raise BadSetting("again: goes with key")
        job = new_job(self._clock, queue, wishes, durable=durable)
        job.again = again
        give(job, payload, file, mode)
        self._prepare(queue)
        placed = self._intake.put(job)
        return JobRef(self._intake.root, placed.id, placed.queue, created=placed.created)

    def submit_many(
        self,
        payloads: Iterable[Any],
        *,
        queue: str = DEFAULT_QUEUE,
        delay: Duration | None = None,
        at: datetime | str | None = None,
        priority: int = names.DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: Duration | None = None,
        expires: Duration | None = None,
        keep: Duration | None = None,
        headers: Mapping[str, Any] | None = None,
        reject_limit: int | str | None = None,
        label: str = "",
        labels: Iterable[str] | None = None,
        durable: bool = True,
        on_batch: Callable[[Sequence[str]], object] | None = None,
    ) -> list[str]:
        """Submit many jobs, in batches of a thousand that are each all or nothing; returns their ids.

        The payloads are taken from the iterable batch by batch. If one is refused, its whole batch is, and the
        batches before it stay submitted. `on_batch` is called with the ids of each batch as soon as it is safe.
        `labels`: one for each payload, instead of the one for all.
        """
        wishes: Wishes = {
            "delay": delay, "at": at, "priority": priority, "timeout": timeout, "max_attempts": max_attempts,
            "expires": expires, "keep": keep, "headers": headers, "label": label,
            "reject_limit": reject_limit,
        }  # fmt: skip
        like = new_job(self._clock, queue, wishes, durable=durable)
        self._prepare(queue)
        ids: list[str] = []
        for batch in self._intake.put_many(like, contents(payloads, labels)):
            ids += batch
            if on_batch is not None:
                on_batch(batch)
        return ids

    def submit_array(
        self,
        payloads: Iterable[Any],
        *,
        queue: str = DEFAULT_QUEUE,
        size: int = ARRAY,
        durable: bool = True,
        on_batch: Callable[[Sequence[str]], object] | None = None,
        **wishes: Unpack[Wishes],
    ) -> list[str]:
        """Submit tiny payloads as arrays of `size` elements each: one file, one claim, one call per element.

        Returns the ids of the arrays; the element i of one is ``ID.i``. Every payload is a JSON value. `wishes` are
        those of `submit`, and hold for the array; an array takes no key. As with `submit_many` the payloads are taken
        from the iterable as they are needed, up to a thousand arrays come as one batch, all or nothing, and `on_batch`
        is called with the ids of each as soon as it is safe.
        """
        from workqueue.jobs.arrays import arrays

        like = new_array(self._clock, queue, wishes, durable=durable)
        made = arrays(payloads, whole(size, "size"))
        self._prepare(queue)
        ids: list[str] = []
        for batch in self._intake.put_arrays(like, made):
            ids += batch
            if on_batch is not None:
                on_batch(batch)
        return ids

    def batch(
        self,
        *,
        on_done: str | Callback | None = None,
        on_failed: str | Callback | None = None,
        label: str = "",
    ) -> Batch:
        """Return a batch, for a ``with`` block: what is added inside is submitted when it ends, all or nothing.

        When the last member has ended, in whatever way, one callback is submitted: `on_failed` if it is given and not
        all are done, else `on_done`. Each is a queue's name, or a `Callback`.
        """
        from workqueue.batch import Batch

        return Batch(engine_of(self._intake.root), self._prepare, on_done, on_failed, label)

    def batch_ref(self, batch_id: str) -> BatchRef:
        """A reference to a batch known by its id."""
        from workqueue.batch import BatchRef

        return BatchRef(engine_of(self._intake.root), names.checked_id(batch_id))

    def ref(self, job_id: str, queue: str = "") -> JobRef:
        """A reference to a job known by its id."""
        return JobRef(self._intake.root, names.checked_id(job_id), queue, created=False)

    # -- inside ------------------------------------------------------------------------------------------------

    def _prepare(self, queue: str) -> None:
        if self._create and queue not in self._intake.root.spaces:
            self._intake.make_queue(queue)


def engine_of(root: Root) -> DirectoryEngine:
    """Return the whole engine; who only submits does without."""
    from workqueue.engine.directory import DirectoryEngine

    return DirectoryEngine(root)


def contents(payloads: Iterable[Any], labels: Iterable[str] | None) -> Iterator[Content]:
    """Encode payloads one by one, each with its own label where there are labels."""
    if labels is None:
        yield from map(encode_payload, payloads)
    else:
        for payload, label in zip(payloads, labels, strict=True):
            yield (*encode_payload(payload), label)


class JobRef:
    """A job that was submitted: its id, and looks at what becomes of it.

    `created` is False if the job's key was taken: then this is the job that has it.
    """

    __slots__ = ("_root", "created", "id", "queue")

    def __init__(self, root: Root, job_id: str, queue: str, *, created: bool) -> None:
        self._root = root
        self.id = job_id
        self.queue = queue
        self.created = created

    def __repr__(self) -> str:
        return f"JobRef({self.id!r}, queue={self.queue!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobRef) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _engine(self) -> DirectoryEngine:
        return engine_of(self._root)

    def state(self) -> State | None:
        """Where the job is; None if nowhere: finished and not kept, cancelled, or never here."""
        found = self._engine.find(self.id)
        return found.state if found else None

    def wait(self, timeout: Duration | None = None) -> State | None:
        """Wait until the job has ended: done, failed or corrupt; None if it ended and was not kept.

        Raises TimeoutError when `timeout` is over, NoSuchJob if the job was nowhere from the start.
        """
        found = self._engine.find(self.id)
        if found is None:
            raise NoSuchJob(f"job {self.id}: finished and not kept, cancelled, or never here")
        clock = self._engine.root.clock
        end = None if timeout is None else clock.monotonic() + seconds(timeout, "timeout")
        pause = LOOK_FIRST
        while found is not None and found.state not in ENDED:
            # Every step of a job's life changes its path. Times do not tell: two renames can fall on one tick of ctime.
            while self._engine.root.fs.exists(found.path):
                if end is not None and clock.monotonic() >= end:
                    raise TimeoutError(f"job {self.id} has not ended; it is in {found.state}")
                clock.sleep(pause)
                pause = min(pause * 1.5, LOOK_LAST)
            found = self._engine.find(self.id)
        return found.state if found else None

    def result(self) -> Any:
        """What the handler returned, where outcomes are kept (``submit(keep="1h")``)."""
        data = self._engine.result(self.id)
        if data is None:
            raise NoSuchJob(f"job {self.id}: no result is kept; submit(keep=…) keeps it")
        return msgspec.json.decode(data)

    def cancel(self) -> State | None:
        """End the job; returns the state it was in, None if it had ended.

        A job that runs (State.CUR) is ended by its worker's supervisor, within about a second.
        """
        while (found := self._engine.find(self.id)) is not None and found.state not in ENDED:
            state = self._engine.cancel(found)
            if state is not None:
                self._engine.record("cancel ordered" if state is State.CUR else "cancelled by hand", found)
                return state
        return None

    def hold(self) -> bool:
        """Keep the job back until `unhold`; False if it has ended. Raises WrongState while it runs."""
        while (found := self._engine.find(self.id)) is not None and found.state not in ENDED:
            if found.state is State.HELD:
                return True
            if self._engine.hold(found):
                self._engine.record("held by hand", found)
                return True
        return False

    def unhold(self) -> bool:
        """Make the job ready if it is held; False if it is not."""
        while (found := self._engine.find(self.id)) is not None and found.state is State.HELD:
            if self._engine.unhold(found):
                self._engine.record("unheld by hand", found)
                return True
        return False
