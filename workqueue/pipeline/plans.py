"""Plans: what a supervisor has to know of a pipeline. Plain values, so that another process can find them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.run.sharing import Share, Shares

if TYPE_CHECKING:
    from collections.abc import Mapping


class StagePlan(msgspec.Struct, frozen=True):
    """A stage, as far as it does not need its code."""

    name: str
    workers: int = 0
    limit: int | None = None
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """A pipeline that has been found in order."""

    name: str
    stages: tuple[StagePlan, ...]
    """In the order in which work flows."""

    @property
    def queues(self) -> tuple[str, ...]:
        """Its queues, in the order in which work flows."""
        return tuple(stage.name for stage in self.stages)

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """What the stages say of their jobs."""
        return {stage.name: stage.settings for stage in self.stages}

    @property
    def sharing(self) -> Shares:
        """Who gets a free worker."""
        return Shares([Share(stage.name, stage.workers, stage.limit) for stage in self.stages])

    @property
    def workers(self) -> int:
        """How many workers its stages keep for themselves."""
        return sum(stage.workers for stage in self.stages)
