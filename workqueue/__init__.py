"""fsq: a multi-process work queue whose broker is a directory.

>>> from workqueue import Producer
>>> Producer("/var/spool/etl").submit({"path": "a.csv"})    # doctest: +SKIP

then, in a shell: ``fsq worker --handler etl:load --drain``.
Importing this loads neither typer nor watchdog: a producer pays for what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workqueue.errors import FsqError, Reject, Retry, Snooze, Stopped, TimedOut
from workqueue.jobs.states import State
from workqueue.producer import JobRef, Producer
from workqueue.store.filestore import FileStore

if TYPE_CHECKING:
    from workqueue.aio import AsyncProducer
    from workqueue.batch import BatchCounts, BatchRef, Callback
    from workqueue.run.job import Job
    from workqueue.run.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "AsyncProducer",
    "BatchCounts",
    "BatchRef",
    "Callback",
    "FileStore",
    "FsqError",
    "Job",
    "JobRef",
    "Producer",
    "Reject",
    "Retry",
    "Snooze",
    "State",
    "Stopped",
    "TimedOut",
    "Worker",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load what a producer has no use for when it is asked for."""
    if name == "Worker":
        from workqueue.run.worker import Worker

        return Worker
    if name == "AsyncProducer":
        from workqueue.aio import AsyncProducer

        return AsyncProducer
    if name == "Job":
        from workqueue.run.job import Job

        return Job
    if name in {"BatchCounts", "BatchRef", "Callback"}:
        from workqueue import batch

        return getattr(batch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
