"""What a handler for several queues, a pipeline, tells of each of them; plain values, so that they can be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from workqueue.errors import HandlerNotFound
from workqueue.run.elsewhere import asked
from workqueue.run.sharing import Share, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping


class StagePlan(msgspec.Struct, frozen=True):
    """One queue's: how many workers it has, and what holds for its jobs where the operator says nothing else."""

    name: str
    workers: int = 0
    limit: int | None = None
    settings: dict[str, Any] = {}


@runtime_checkable
class Staged(Protocol):
    """A handler that is one for each of several queues."""

    def stage_handlers(self) -> Mapping[str, Callable[[Any], Any]]:
        """The handler of each queue; raises BadInput if they cannot run."""

    def stage_plans(self) -> tuple[StagePlan, ...]:
        """What it tells of each queue, in the order in which work flows; raises BadInput if they cannot run."""


def plans_of(handler: object) -> tuple[StagePlan, ...]:
    """What a handler tells of its queues; nothing if it is none of this kind."""
    return handler.stage_plans() if isinstance(handler, Staged) else ()


def plans_elsewhere(load: Callable[[], object]) -> tuple[StagePlan, ...]:
    """The same of a handler that this process must not import; nothing where that fails, for the workers will tell."""
    try:
        told = asked(lambda: msgspec.json.encode(plans_of(load())))
    except HandlerNotFound:
        return ()
    return msgspec.json.decode(told, type=tuple[StagePlan, ...])


def settings_of(stages: Iterable[StagePlan]) -> dict[str, dict[str, Any]]:
    """What holds for each queue's jobs."""
    return {stage.name: stage.settings for stage in stages}


def sharing_of(stages: Iterable[StagePlan], queues: Container[str]) -> Shares:
    """Who gets a free worker, of those that are served."""
    return Shares([Share(stage.name, stage.workers, stage.limit) for stage in stages if stage.name in queues])
