"""How a stage is called for a job, and how what it yields becomes jobs of the next stages.

**Guarantee**: what is yielded is staged, as by `job.submit`: it appears if, and only if, the run commits.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing, closing
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

from workqueue.errors import BadInput
from workqueue.pipeline.stages import JOB, To, parameters
from workqueue.run.callers import awaited
from workqueue.run.job import restrict

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.pipeline.stage_program import StageProgram
    from workqueue.pipeline.stages import Stage
    from workqueue.run.job import Job


def handler_of(stage: Stage, stages: frozenset[str]) -> Callable[[Job], Any]:
    """The handler of a stage, of a pipeline that has these stages."""

    def may_submit(queue: str) -> None:
        if queue in stages and queue not in stage.to:
            named = f"names {some(stage.to)}" if stage.to else "names none"
            raise BadInput(f"stage {stage.name!r} hands over to {queue!r}, but its to= {named}: add it there")

    if stage.program is not None:
        return calling_program(stage, stage.program, may_submit)
    assert stage.function is not None
    return calling(stage, stage.function, may_submit)


def calling_program(stage: Stage, program: StageProgram, may_submit: Callable[[str], None]) -> Callable[[Job], None]:
    """The handler of a stage that is a program."""

    def call(job: Job) -> None:
        restrict(job, may_submit)
        program.run(job, lambda item: yielded(stage, job, item))

    return call


def calling(stage: Stage, function: Callable[..., Any], may_submit: Callable[[str], None]) -> Callable[[Job], Any]:
    """The handler of a stage that is a function."""
    wanted = parameters(function)

    def arguments(job: Job) -> list[Any]:
        restrict(job, may_submit)
        return [job if name == JOB else job.payload for name in wanted]

    def call(job: Job) -> Any:
        return hand_over(stage, job, function(*arguments(job)))

    async def call_async(job: Job) -> Any:
        found = function(*arguments(job))
        if not isinstance(found, AsyncGeneratorType):
            return hand_over(stage, job, await found)
        async with aclosing(found):
            async for item in found:
                yielded(stage, job, item)
        return None

    return call_async if is_async(function) else call


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a stage's function needs an event loop."""
    called = (function, type(function).__call__)
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in called)


def hand_over(stage: Stage, job: Job, value: Any) -> Any:
    """Make jobs of what a stage came to; returns the job's result."""
    value = awaited(value)
    if isinstance(value, GeneratorType):
        return drained(stage, job, value)
    if isinstance(value, To) or (value is not None and stage.next):
        yielded(stage, job, value)
        return None
    return value


def drained(stage: Stage, job: Job, items: GeneratorType[Any, None, Any]) -> Any:
    """Make a job of each yield; what the generator returns is the result."""
    with closing(items):
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            yielded(stage, job, item)


def yielded(stage: Stage, job: Job, item: Any) -> None:
    """Stage a payload for each of the next stages, or for the one that it names."""
    if isinstance(item, To):
        submit(job, item.payload, item.queue, item.wishes)
        return
    if not stage.next:
        raise BadInput(f"stage {stage.name!r} yields a payload, but no stage is next: name it by to=…, or yield To(…)")
    for queue in stage.next:
        submit(job, item, queue, {})


def submit(job: Job, payload: Any, queue: str, wishes: dict[str, Any]) -> None:
    """Stage a job; of a batch's member it is a member, too."""
    (job.batch or job).submit(payload, queue=queue, **wishes)


def some(names: tuple[str, ...]) -> str:
    """Names in a message."""
    return ", ".join(map(repr, names))
