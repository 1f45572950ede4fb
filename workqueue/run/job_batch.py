"""JobBatch: the batch that a running job is a member of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workqueue.batch import add_many, staged_job
from workqueue.engine.newjob import NOTHING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.newjob import Wishes
    from workqueue.engine.protocol import NewJob


class JobBatch:
    """Adds members to it; they are there if, and only if, this run succeeds, and the batch is not over before them.

    Where the batch is over already (the job had failed, and was retried later) they are jobs like any other.
    """

    __slots__ = ("_engine", "_stage", "id")

    def __init__(self, engine: DirectoryEngine, batch: str, stage: Callable[[NewJob], str]) -> None:
        self._engine, self._stage = engine, stage
        self.id = batch

    def __repr__(self) -> str:
        return f"<JobBatch {self.id}>"

    def submit(
        self,
        payload: Any = NOTHING,
        *,
        queue: str,
        file: str | os.PathLike[str] | None = None,
        mode: Literal["link", "copy"] = "copy",
        **wishes: Unpack[Wishes],
    ) -> str:
        """Stage a member, as `Job.submit` stages a job; returns the id that it will have."""
        return self._add(staged_job(self._engine, queue, payload, file, mode, wishes))

    def submit_many(self, payloads: Iterable[Any], *, queue: str, **wishes: Unpack[Wishes]) -> list[str]:
        """Stage many members; returns their ids."""
        return add_many(self._engine, self._add, payloads, queue, wishes)

    def _add(self, job: NewJob) -> str:
        job.options.batch = self.id
        return self._stage(job)
