"""Worker: runs a handler on queues, in processes of its own; what ``fsq worker`` calls."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workqueue.clock import CLOCK, Clock
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.find_root import find_root
from workqueue.engine.root import DEFAULT_QUEUE, Root
from workqueue.engine.settings import suggestion
from workqueue.errors import BadSetting
from workqueue.jobs.durations import seconds, size
from workqueue.run.handler import Handler, load_handler
from workqueue.run.options import GRACE, RunOptions
from workqueue.run.program import Program
from workqueue.run.progress import Progress
from workqueue.run.staged import plans_elsewhere, plans_of, settings_of, sharing_of
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from workqueue.run.job import Job
    from workqueue.run.staged import StagePlan
    from workqueue.run.summary import Summary


class Worker:
    """A supervisor and its worker processes, for some queues of one root.

    >>> Worker("/var/spool/etl", handler=load, processes=4).run(drain=True)     # doctest: +SKIP

    `handler`: a function or coroutine function that takes a Job; or text such as "etl:load" that names one, which every
    worker then imports by itself.
    `program`: a command to run for each job, instead. Queues named first are served first; missing ones are made.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        handler: Callable[[Job], Any] | str | None = None,
        program: str | None = None,
        queues: Iterable[str] = (DEFAULT_QUEUE,),
        processes: int | None = None,
        max_attempts: int | None = None,
        backoff: str | None = None,
        timeout: float | str | timedelta | None = None,
        keep_done: float | str | timedelta | None = None,
        reject_limit: int | str | None = None,
        max_jobs: int | None = None,
        max_rss: int | str | None = None,
        grace: float | str | timedelta | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        if (handler is None) == (program is None):
            raise BadSetting(
                "a worker takes one of the two: a handler (--handler module:function)"
                " or a program (--exec 'command {path}')"
            )
        self._options = RunOptions(
            tuple(dict.fromkeys(queues)),
            processes or 0,
            max_jobs=max_jobs,
            max_rss=None if max_rss is None else size(max_rss, "max_rss"),
            grace=GRACE if grace is None else seconds(grace, "grace"),
        )
        overrides = {
            "max_attempts": max_attempts, "backoff": backoff, "timeout": timeout, "keep_done": keep_done,
            "reject_limit": reject_limit,
        }  # fmt: skip
        self._handler = handler
        self._program = program
        stages = planned(handler, self._options.queues)
        if stages:
            self._options = replace(self._options, sharing=sharing_of(stages, self._options.queues))
        self._root = Root(find_root(root), overrides=overrides, stages=settings_of(stages), clock=clock)
        for queue in (*self._options.queues, *(stage.name for stage in stages)):
            self._root.make_queue(queue)

    def run(self, *, drain: bool = False, progress: bool = False) -> Summary:
        """Work until stopped by SIGTERM or SIGINT; with `drain`, until nothing is ready, running or to be retried.

        Forks, and handles signals: call it from the main thread of a process that has no other threads.
        """
        engine = DirectoryEngine(self._root)
        options = replace(self._options, drain=drain)
        display = Progress(engine, options.queues, sys.stderr) if progress else None
        return Supervisor(engine, self._loader(), options, display).run()

    def _loader(self) -> Callable[[], Handler]:
        """What gives a worker its handler. One named by text is imported by each worker: it may start threads."""
        if self._program is not None:
            found = Handler.of(Program(self._program))
            return lambda: found
        if isinstance(self._handler, str):
            spec = self._handler
            return lambda: load_handler(spec)
        assert self._handler is not None
        given = Handler.of(self._handler)
        return lambda: given


def planned(handler: object, queues: tuple[str, ...]) -> tuple[StagePlan, ...]:
    """What a pipeline tells of its stages; raises BadSetting for a queue that is none of them."""
    stages = plans_elsewhere(lambda: load_handler(handler).call) if isinstance(handler, str) else plans_of(handler)
    known = [stage.name for stage in stages]
    for queue in queues if stages else ():
        if queue not in known:
            hint = suggestion(queue, known)
            raise BadSetting(f"queue {queue!r} is no stage of this pipeline{hint} (fsq run takes all of them)")
    return stages
