"""How a supervisor is to run: validated once, then frozen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from workqueue.run.sharing import Sharing

GRACE = 8.0
"""Seconds: under the ten that docker waits between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Durations are seconds, sizes bytes; None is "no limit"."""

    queues: tuple[str, ...]
    processes: int = 0
    drain: bool = False
    max_jobs: int | None = None
    """Jobs after which a worker is replaced by a fresh one."""
    max_rss: int | None = None
    """Memory of a worker and what it started; over it the run is ended and the worker replaced."""
    grace: float = GRACE
    """To finish what runs after a stop, and between a run's soft limit and its end."""
    sharing: Sharing | None = None
    """Which queue gets the next free worker; None: the first named that has work."""
    run: str = ""
    """The id of a pipeline's run."""
    pipeline: str = ""

    def __post_init__(self) -> None:
        if not self.queues:
            raise BadSetting("a worker needs a queue")
        if self.processes < 0:
            raise BadSetting(f"processes {self.processes}: a whole number from 1 on")
        if self.max_jobs is not None and self.max_jobs < 1:
            raise BadSetting(f"max_jobs {self.max_jobs}: a whole number from 1 on")

    @property
    def named(self) -> dict[str, str]:
        """What the events of the start and the end say of the run, where it is a pipeline's."""
        return {"run": self.run, "pipeline": self.pipeline} if self.run else {}

    @property
    def crew_size(self) -> int:
        """How many workers: as asked, or one for each core that this process may use."""
        return self.processes or cores()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
