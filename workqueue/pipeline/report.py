"""The report: what the journal says of a time, added up for each queue; and what lies in failed/ now.

It reads the journal once, in any order, and its memory does not grow with it. The journal is best effort, so a total
can be too low (a worker and its supervisor killed together, a full disk): `dropped` says how many lines are known to be
missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workqueue.engine import outcome
from workqueue.engine.history import History
from workqueue.errors import NoSuchBatch
from workqueue.jobs.ids import milliseconds
from workqueue.jobs.names import PATTERN
from workqueue.jobs.states import State
from workqueue.pipeline.sketches import Largest, Percentiles, Series, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.history import Entry
    from workqueue.engine.root import Root
    from workqueue.pipeline.runs import Run

ENDS = {"finished": "done", "failed": "failed", "cancelled": "cancelled", "cancelled by hand": "cancelled"}
"""Events that end a job; a corrupt one is counted where it is found."""
CHARGED = {"finished", "retried", "failed", "corrupted", "cancelled"}
"""Events of a run that cost its job an attempt."""
SLOWEST = DEATHS = 10
DIGITS = re.compile(r"\d+")
SHOWN_REASON = 120


@dataclass(frozen=True, slots=True)
class Selection:
    """What is reported: a time, and queues; all where nothing is said."""

    since: int | None = None
    until: int | None = None
    queues: frozenset[str] | None = None
    run: Run | None = None
    """The pipeline's run that it is about: its stages stand in the order of their work, whatever they had to do."""
    batch: str | None = None
    """The batch that it is about."""
    jobs: frozenset[str] | None = None
    """The batch's members, those that members have added among them."""

    @classmethod
    def of(cls, run: Run) -> Selection:
        """What happened in a run's stages between its start and its end."""
        return cls(run.start, None if run.end is None else run.end + 1, frozenset(run.queues), run)

    @classmethod
    def of_batch(cls, root: Root, batch: str) -> Selection:
        """What happened to a batch's members since it was made; raises NoSuchBatch."""
        counts = outcome.of(root, batch)
        if counts is None:
            raise NoSuchBatch(f"batch {batch}: over and not kept any more (keep_batches), or never here")
        return cls(counts.at, batch=batch, jobs=frozenset(outcome.member_ids(root, batch)))

    def takes(self, entry: Entry) -> bool:
        """Whether an entry counts; its time has been looked at."""
        if self.jobs is not None:
            return entry.id in self.jobs or entry.event == "dropped"
        return not entry.queue or self.queues is None or entry.queue in self.queues

    def takes_job(self, job_id: str) -> bool:
        """Whether a job counts."""
        return self.jobs is None or job_id in self.jobs


@dataclass(slots=True)
class QueueReport:
    """What happened in one queue."""

    name: str
    outcomes: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("done", "failed", "cancelled", "corrupt"), 0)
    )
    attempts: int = 0
    retries: int = 0
    snoozed: int = 0
    released: int = 0
    deaths: int = 0
    """Runs whose worker died; their jobs were given to others, or failed."""
    rejects: int = 0
    first: int | None = None
    last: int | None = None
    counts: Tally = field(default_factory=Tally)
    causes: Tally = field(default_factory=Tally)
    run: Percentiles = field(default_factory=Percentiles)
    waiting: Percentiles = field(default_factory=Percentiles)
    over_time: Series = field(default_factory=Series)
    slowest: Largest = field(default_factory=lambda: Largest(SLOWEST))
    dead: Largest = field(default_factory=lambda: Largest(DEATHS))
    failed_now: list[dict[str, Any]] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Count one event."""
        self.first = entry.t if self.first is None else min(self.first, entry.t)
        self.last = entry.t if self.last is None else max(self.last, entry.t)
        match entry.event:
            case "retried":
                self.retries += 1
            case "snoozed":
                self.snoozed += 1
            case "released":
                self.released += 1
                self._add_counts(entry)
            case "recovered":
                self._add_death(entry)
            case "corrupted":
                self._end("corrupt", entry)
        outcome = ENDS.get(entry.event)
        if outcome is not None:
            self._end(outcome, entry)
        if entry.event in {"retried", "failed"}:
            self.causes.add(entry.cause or "(unknown)")
        if entry.took is not None:
            self._add_run(entry)

    def _end(self, outcome: str, entry: Entry) -> None:
        self.outcomes[outcome] += 1
        self.over_time.add(outcome, entry.t)

    def _add_run(self, entry: Entry) -> None:
        assert entry.took is not None
        if entry.event in CHARGED:
            self.attempts += 1
        self.rejects += entry.rejects
        self._add_counts(entry)
        took = max(0.0, entry.took)
        self.run.add(took)
        self.slowest.add(took, {"id": entry.id, "took": took, "event": entry.event, "label": entry.label})
        # Of a job that was put off, or whose attempts were counted anew, the first attempt is not its first start.
        if entry.attempt == 1 and entry.event != "snoozed" and not entry.anew and PATTERN.fullmatch(f"5-{entry.id}-0"):
            self.waiting.add(max(0.0, entry.t / 1000 - took - milliseconds(entry.id) / 1000))

    def _add_counts(self, entry: Entry) -> None:
        for name, amount in entry.counts.items():
            self.counts.add(name, amount)

    def _add_death(self, entry: Entry) -> None:
        """A run that its worker did not survive, or that was ended because it went over a limit."""
        self.deaths += entry.cause == "death"
        self.attempts += 1
        self.causes.add(entry.cause or "(unknown)")
        self.retries += entry.state == State.LATER
        if entry.state == State.FAILED:
            self._end("failed", entry)
        elif entry.state == State.DONE:  # it had committed
            self._end("done", entry)
        self.dead.add(entry.t, {"t": entry.t, "id": entry.id, "error": entry.error, "state": entry.state})

    @property
    def seconds(self) -> float:
        """From the first event to the last."""
        return 0.0 if self.first is None or self.last is None else (self.last - self.first) / 1000

    def as_dict(self) -> dict[str, Any]:
        """All of it, for programs."""
        jobs = sum(self.outcomes.values())
        rate = self.outcomes["done"] / self.seconds if self.seconds else None
        return {
            "queue": self.name,
            "jobs": jobs,
            **self.outcomes,
            "attempts": self.attempts,
            "retries": self.retries,
            "snoozed": self.snoozed,
            "released": self.released,
            "deaths": self.deaths,
            "rejects": self.rejects,
            "counts": self.counts.as_dict(),
            "causes": self.causes.as_dict(),
            "first": self.first,
            "last": self.last,
            "done_per_second": None if rate is None else round(rate, 6),
            "run": self.run.as_dict(),
            "waiting": self.waiting.as_dict(),
            "step": self.over_time.width,
            "over_time": self.over_time.rows(),
            "slowest": self.slowest.items(),
            "last_deaths": self.dead.items(),
            "failed_now": self.failed_now,
        }


@dataclass(slots=True)
class Report:
    """What happened in a root."""

    root: str
    made: int
    selection: Selection
    queues: dict[str, QueueReport] = field(default_factory=dict)
    dropped: int = 0
    """Lines that are known to be missing from the journal."""
    workers_died: int = 0
    runs: int = 0
    """Supervisors that were started."""

    def add(self, entry: Entry) -> None:
        """Count one event."""
        match entry.event:
            case "dropped":
                self.dropped += entry.count
            case "worker died":
                self.workers_died += 1
            case "started":
                self.runs += 1
        if entry.queue:
            self.queue(entry.queue).add(entry)

    def queue(self, name: str) -> QueueReport:
        """The part of one queue."""
        return self.queues.get(name) or self.queues.setdefault(name, QueueReport(name))

    def as_dict(self) -> dict[str, Any]:
        """All of it, for programs. Times are milliseconds since the epoch, durations seconds."""
        return {
            "root": self.root,
            "made": self.made,
            "since": self.selection.since,
            "until": self.selection.until,
            "runs": self.runs,
            "workers_died": self.workers_died,
            "dropped": self.dropped,
            "batch": self.selection.batch,
            "run": self.selection.run.id if self.selection.run else None,
            "pipeline": self.selection.run.pipeline if self.selection.run else None,
            "queues": [self.queues[name].as_dict() for name in self._order()],
        }

    def _order(self) -> list[str]:
        run = self.selection.run
        return sorted(self.queues) if run is None else list(run.queues)


def make_report(engine: DirectoryEngine, selection: Selection) -> Report:
    """Read the journal, and look into failed/."""
    report = Report(engine.root.path, engine.root.clock.now_ms(), selection)
    for name in selection.run.queues if selection.run else ():
        report.queue(name)
    for entry in History(engine.root, selection.since or 0, selection.until).in_any_order():
        if selection.takes(entry):
            report.add(entry)
    for queue in engine.queues():
        if selection.queues is None or queue in selection.queues:
            groups = failed_now(engine, queue, selection)
            if groups:
                report.queue(queue).failed_now = groups
    return report


def failed_now(engine: DirectoryEngine, queue: str, selection: Selection) -> list[dict[str, Any]]:
    """What lies in failed/, by reason: numbers in it do not make another one. The most frequent first."""
    groups: dict[str, dict[str, Any]] = {}
    for found in engine.scan(queue, State.FAILED):
        if not selection.takes_job(found.name.id):
            continue
        reason = reason_of(engine.errors(found.name.id))
        alike = DIGITS.sub("#", reason)
        if alike not in groups and len(groups) >= SLOWEST * 10:
            alike = "(others)"
        group = groups.setdefault(alike, {"reason": reason if alike != "(others)" else alike, "count": 0, "id": ""})
        group["count"] += 1
        group["id"] = found.name.id
    return sorted(groups.values(), key=lambda group: -group["count"])


def reason_of(errors: Iterable[dict[str, Any]]) -> str:
    """Why a job failed at last, in a few words."""
    last: dict[str, Any] = {}
    for last in errors:  # noqa: B007 - the last one counts
        pass
    text = str(last.get("message", "")).strip().partition("\n")[0][:SHOWN_REASON]
    kind = last.get("type") or last.get("kind")
    return f"{kind}: {text}" if kind else text or "(no record of it)"
