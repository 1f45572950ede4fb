"""Intake: the verbs of producers. They are the engine's, apart from the others because a submit starts often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine import submit
from workqueue.engine.limits import Limits
from workqueue.errors import BadPayload
from workqueue.jobs.durations import shown_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workqueue.engine.protocol import Content, NewJob, Placed
    from workqueue.engine.root import Root
    from workqueue.jobs.ids import JobId

AS_A_FILE = "submit it as a file: submit(file=…, mode='move')"
SMALLER = "submit smaller arrays: size=…"


class Intake:
    """Puts jobs into the queues of one root."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.settings = root.settings
        """What holds for the jobs of a queue."""
        self._limits = Limits(root)

    # -- queues ------------------------------------------------------------------------------------------------

    def queues(self) -> list[str]:
        """The queues there are."""
        return self.root.queues()

    def make_queue(self, queue: str) -> None:
        """Make a queue unless it is there."""
        self.root.make_queue(queue)

    # -- submit ------------------------------------------------------------------------------------------------

    def put(self, job: NewJob) -> Placed:
        """Submit one job; the queue's limits are checked first."""
        self.check(job)
        return submit.put(self.root, job)

    def check(self, job: NewJob) -> None:
        """Refuse a job for which there is no queue, or no room."""
        self.root.space(job.queue, "tmp")
        if job.file is None:
            size = len(job.payload)
            self._check_payload(job.queue, size, AS_A_FILE if job.options.array is None else SMALLER)
        else:
            size = submit.file_size(job.file)
        self._limits.check(job.queue, 1, size)

    def check_room(self, queue: str, jobs: int, size: int) -> None:
        """Raise QueueFull if the queue's limits do not allow so many jobs more."""
        self._limits.check(queue, jobs, size)

    def put_many(self, like: NewJob, payloads: Iterable[Content]) -> Iterator[list[JobId]]:
        """Submit many jobs in batches, each all or nothing; yields the ids of each."""
        self.root.space(like.queue, "tmp")
        return self._put_many(like, payloads)

    def _put_many(self, like: NewJob, payloads: Iterable[Content]) -> Iterator[list[JobId]]:
        from workqueue.engine import batches

        for batch in batches.split(self._fitting(like.queue, payloads)):
            self._limits.check(like.queue, len(batch), sum(len(content[0]) for content in batch))
            yield batches.put(self.root, like, batch)

    def _fitting(self, queue: str, payloads: Iterable[Content]) -> Iterator[Content]:
        for content in payloads:
            self._check_payload(queue, len(content[0]))
            yield content

    def put_arrays(self, like: NewJob, made: Iterable[tuple[bytes, int]]) -> Iterator[list[JobId]]:
        """Submit arrays, each the lines of its elements and their number; in batches, as `put_many` does."""
        self.root.space(like.queue, "tmp")
        return self._put_arrays(like, made)

    def _put_arrays(self, like: NewJob, made: Iterable[tuple[bytes, int]]) -> Iterator[list[JobId]]:
        from workqueue.engine import arrays

        for group, count in arrays.groups(self.root, made):
            for data in group:
                self._check_payload(like.queue, len(data), SMALLER)
            self._limits.check(like.queue, len(group), sum(map(len, group)))
            yield arrays.put(self.root, like, group, count)

    def _check_payload(self, queue: str, size: int, remedy: str = AS_A_FILE) -> None:
        limit = self.root.settings(queue).max_payload
        if size > limit:
            raise BadPayload(
                f"payload: {shown_size(size)}, max_payload of queue {queue!r} is {shown_size(limit)}; {remedy}"
            )
