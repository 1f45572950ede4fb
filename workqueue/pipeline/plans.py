"""Plans: what a supervisor has to know of a pipeline. Plain values, so that another process can find them out."""

from __future__ import annotations

import msgspec

from workqueue.run.staged import StagePlan  # noqa: TC001 - msgspec reads the annotations


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
    def workers(self) -> int:
        """How many workers its stages keep for themselves."""
        return sum(stage.workers for stage in self.stages)
