"""Running a pipeline: one supervisor for all of its stages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue.clock import CLOCK
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.find_root import find_root
from workqueue.engine.root import Root
from workqueue.jobs.durations import seconds, size
from workqueue.pipeline import known
from workqueue.pipeline.bars import Bars
from workqueue.pipeline.outcome import Outcome
from workqueue.pipeline.runs import Run
from workqueue.run.events import emit
from workqueue.run.options import GRACE, RunOptions, cores
from workqueue.run.staged import settings_of, sharing_of
from workqueue.run.supervisor import Supervisor

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import timedelta

    from workqueue.pipeline.plans import Plan
    from workqueue.run.handler import Handler


@dataclass(frozen=True, slots=True)
class RunWishes:
    """How a pipeline is to run; None is the default."""

    drain: bool = False
    processes: int | None = None
    max_jobs: int | None = None
    max_rss: int | str | None = None
    grace: float | str | timedelta | None = None
    display: bool = False
    """Whether to show a bar a stage on standard error, a terminal."""
    run: str = ""
    """The id of the run that goes on, after SIGHUP."""


def run_plan(
    plan: Plan, load: Callable[[], Handler], root: str | os.PathLike[str] | None, wishes: RunWishes
) -> Outcome:
    """Run a pipeline until it is stopped, or drained. Nothing is made in the root unless it can start."""
    place = Root(find_root(root), stages=settings_of(plan.stages))
    options = options_of(plan, wishes, wishes.run or place.ids.next())
    for queue in plan.queues:
        place.settings(queue)
    prepare(place, plan)
    engine = DirectoryEngine(place)
    started = CLOCK.now_ms()
    display = Bars(engine, plan.queues, sys.stderr) if wishes.display else None
    summary = Supervisor(engine, load, options, display).run()
    run = Run(options.run, plan.name, plan.queues, started, CLOCK.now_ms())
    return Outcome(run, plan, summary, place.path)


def options_of(plan: Plan, wishes: RunWishes, run: str) -> RunOptions:
    """What the supervisor is told."""
    return RunOptions(
        plan.queues,
        max(cores(), plan.workers) if wishes.processes is None else wishes.processes,
        drain=wishes.drain,
        max_jobs=wishes.max_jobs,
        max_rss=None if wishes.max_rss is None else size(wishes.max_rss, "max_rss"),
        grace=GRACE if wishes.grace is None else seconds(wishes.grace, "grace"),
        sharing=sharing_of(plan.stages, plan.queues),
        run=run,
        pipeline=plan.name,
    )


def prepare(root: Root, plan: Plan) -> None:
    """Make the queues of its stages, and write down that it has them."""
    change = known.compare(root, plan)
    if change.is_new:
        known.write(root, plan)
    for stage in change.gone:
        emit("forgotten", pipeline=plan.name, stage=stage)
    for queue in plan.queues:
        root.make_queue(queue)
