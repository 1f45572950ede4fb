"""What a supervisor's run came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue.engine.protocol import Corrupted
from workqueue.jobs.states import State
from workqueue.run.events import emit

if TYPE_CHECKING:
    from workqueue.engine.protocol import Settled
    from workqueue.run.events import Recorder


@dataclass(slots=True)
class Summary:
    """What a supervisor's run came to."""

    done: int = 0
    failed: int = 0
    retried: int = 0
    snoozed: int = 0
    corrupt: int = 0
    cancelled: int = 0
    recovered: int = 0
    """Jobs of dead workers that were given to others."""
    released: int = 0
    """Jobs given back uncharged when the run was stopped."""
    lost: int = 0
    """Names that another supervisor's worker claimed first."""
    rejects: int = 0
    """Records that handlers put aside."""
    attempts: int = 0
    seconds: float = 0.0
    drained: bool = False
    """Whether a drain came to its end: nothing was ready, running or to be retried."""
    restart: bool = False
    """Whether SIGHUP asked for a fresh start."""
    error: str = ""

    def add(self, counts: dict[str, int], seconds: float) -> None:
        """Add the workers' own statistics."""
        for name, value in counts.items():
            setattr(self, name, getattr(self, name) + value)
        self.seconds = seconds

    def __str__(self) -> str:
        parts = [f"{self.done} done", f"{self.failed + self.corrupt} failed"]
        more = ("retried", "snoozed", "cancelled", "recovered", "released")
        parts += [f"{getattr(self, name)} {name}" for name in more if getattr(self, name)]
        return f"{', '.join(parts)} in {self.seconds:.1f} s"


def tell_recovered(found: Settled | str, summary: Summary, journal: Recorder | None = None) -> tuple[str, str] | None:
    """Count and tell what became of a dead worker's claim; returns queue and name of a job that is ready again."""
    if isinstance(found, str):
        emit("trouble", journal, text=found)
        return None
    if isinstance(found, Corrupted):
        summary.corrupt += 1
        emit("corrupted", journal, queue=found.queue, name=found.name, reason=found.reason)
        return None
    name = found.name
    fields = {"queue": found.queue, "id": name.id, "label": name.label, "attempt": name.attempt}
    if found.released:
        summary.released += 1
        emit("released", journal, **fields)
        return found.queue, name._replace(attempt=name.attempt - 1).ready()
    if found.state is None:
        summary.cancelled += 1
        emit("cancelled", journal, **fields)
        return None
    summary.attempts += 1
    summary.recovered += found.state is State.NEW
    summary.retried += found.state is State.LATER
    summary.failed += found.state is State.FAILED
    summary.done += found.state is State.DONE
    emit("recovered", journal, **fields, error=found.error, cause=found.cause, state=found.state.value)
    return (found.queue, name.ready()) if found.state is State.NEW else None
