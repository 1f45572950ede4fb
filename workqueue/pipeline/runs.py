"""Runs: what the journal tells of the starts and ends of pipelines.

A run that was killed has no end of its own: it is taken to end where the next one of its pipeline starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workqueue.engine.history import History
from workqueue.errors import BadSetting, NothingFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.history import Entry
    from workqueue.engine.root import Root

LAST = "last"
SHORTEST_END = 4
ENDS = {"drained", "stopped"}


@dataclass(frozen=True, slots=True)
class Run:
    """A pipeline's run. Times are milliseconds since the epoch."""

    id: str
    pipeline: str
    queues: tuple[str, ...]
    """Of its stages, in the order in which work flows."""
    start: int
    end: int | None = None
    """None: it goes on, or was killed, and its pipeline has not been started again."""


def find_run(root: Root, text: str) -> Run:
    """The run of an id, or of the unique end of one; or the last."""
    runs = read_runs(History(root, writer="supervisor").in_order(b'"pipeline":'))
    if text == LAST:
        if not runs:
            raise NothingFound(f"{root.path}: the journal knows of no pipeline's run (fsq run makes one)")
        return runs[-1]
    wanted = text.strip().upper()
    if len(wanted) < SHORTEST_END or not wanted.isalnum():
        raise BadSetting(f"--run {text!r}: last, or a run's id, or the last {SHORTEST_END} or more characters of one")
    match [run for run in runs if run.id.endswith(wanted)]:
        case [found]:
            return found
        case []:
            raise NothingFound(f"--run {text}: the journal of {root.path} knows of no such run")
        case several:
            raise BadSetting(f"--run {text}: {len(several)} runs have ids that end so: give more of it")


def read_runs(entries: Iterable[Entry]) -> list[Run]:
    """The runs, in the order of their starts."""
    runs: dict[str, Run] = {}
    for entry in entries:
        known = runs.get(entry.run)
        if entry.event == "started" and entry.run:
            close_former(runs, entry)
            queues = tuple(filter(None, entry.queues.split(", ")))
            runs[entry.run] = known or Run(entry.run, entry.pipeline, queues, entry.t)
            runs[entry.run] = replace(runs[entry.run], end=None)  # it went on, with fresh code
        elif entry.event in ENDS and known is not None:
            runs[entry.run] = replace(known, end=entry.t)
    return list(runs.values())


def close_former(runs: dict[str, Run], started: Entry) -> None:
    """Let the runs of this pipeline that have no end have it here, until they tell of their own."""
    for run in runs.values():
        if run.pipeline == started.pipeline and run.end is None and run.id != started.run:
            runs[run.id] = replace(run, end=started.t)
