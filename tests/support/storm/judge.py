"""The life of one job, judged line by line: what may follow what, and which attempt it must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from support.storm.plan import LIMIT, LIMITED, NEVER_DONE

if TYPE_CHECKING:
    from support.storm.deaths import Death, Deaths
    from support.storm.log import Line
    from support.storm.report import Report

CLOSINGS = frozenset({"end", "failed", "retried", "snoozed", "rejected", "dying"})
ORDERS = frozenset({"cancelled", "ordered", "held", "unhold", "retry"})
CHARGED = {"failed": "it failed", "retried": "it asked for it", "dying": "it killed its worker"}
"""Ends of a run, after which the next attempt is the next number."""
SERVED_FIRST = "single"
"""Jobs of the first queue, with the usual priority and an age of their own: one that is recovered waits for no other."""


@dataclass(slots=True)
class Sent:
    """A job, as its producer knows it."""

    number: int
    way: str
    deed: str
    begun: float
    word: str = "submit"
    """acknowledged, taken, refused; or submit: its producer was killed before it was told."""
    told: float = 0.0
    job: str = "-"
    first: float | None = None
    """When it was first started, if nothing had held it up."""
    last: float = 0.0
    """When its last run was last heard of; 0: it was never run."""
    is_settled: bool = False
    """Whether it came to the end that it should have."""

    @property
    def is_job(self) -> bool:
        """Whether there is a job, for certain."""
        return self.word == "acknowledged" or self.last > 0


class Reason(NamedTuple):
    """Why a job may be started again, and by how much its attempt grows."""

    step: int
    why: str
    death: Death | None = None


class Life:
    """One job's lines."""

    def __init__(self, job: str, sent: Sent | None, deaths: Deaths, report: Report) -> None:
        self._job = job
        self._sent = sent
        self._deaths = deaths
        self._report = report
        self._start: Line | None = None
        self._closing: Line | None = None
        self._is_gone = self._is_held = self._is_ordered = False
        self._may_begin_anew = False

    def judge(self, lines: list[Line], failed: dict[str, int]) -> None:
        """Judge all of it; `failed` says which jobs lie in failed/, and their attempts."""
        for line in lines:
            if line.word == "start":
                self._on_start(line)
            elif line.word in CLOSINGS:
                self._on_closing(line)
            elif line.word in ORDERS:
                self._on_order(line)
            else:
                self._on_detector(line)
        if self._sent is not None and self._start is not None:
            self._sent.last = (self._closing or self._start).at
        self._settle(failed)

    # -- line by line ------------------------------------------------------------------------------------------

    def _on_start(self, line: Line) -> None:
        self._report.runs += 1
        self._must_be_known(line)
        if self._is_gone:
            self._ghost(line, "after its cancel was confirmed")
        if self._is_held:
            self._ghost(line, "while it was held")
        if self._sent is not None and self._sent.deed in LIMITED and line.attempt > LIMIT:
            self._wrong(line, f"has {LIMIT} only")
        if self._start is None:
            self._explain_unseen(line, line.attempt - 1, self._sent.begun if self._sent else line.at)
        else:
            self._on_another(line, self._start)
        self._start, self._closing, self._may_begin_anew = line, None, False

    def _must_be_known(self, line: Line) -> None:
        sent = self._sent
        if sent is None:
            self._ghost(line, "that nobody submitted")
        elif sent.word in {"refused", "taken"}:
            self._ghost(line, f"whose submit was {sent.word}")
        elif sent.job not in {"-", self._job}:
            self._ghost(line, f"that is job {sent.job}")
        else:
            sent.job = self._job

    def _on_another(self, line: Line, before: Line) -> None:
        """A second start: it must have a reason, and be the attempt that follows from it."""
        reasons = list(self._reasons(line, before))
        if not reasons:
            end = self._closing.word if self._closing else "nothing"
            self._report.unexplained.append(f"{self._job}: attempt {line.attempt} at {line.at:.3f} after {end}")
            return
        fitting = [reason for reason in reasons if line.attempt >= before.attempt + reason.step]
        if not fitting:
            self._wrong(line, f"after {before.attempt}: {reasons[0].why}")
            return
        reason = max(fitting, key=lambda one: one.step)
        self._report.reruns[reason.why] += 1
        if reason.death is not None:
            reason.death.is_used = True
            self._recovered(reason.death, line)
        self._explain_unseen(line, line.attempt - before.attempt - reason.step, before.at)

    def _reasons(self, line: Line, before: Line) -> list[Reason]:
        """Whatever allows another start now."""
        closing, supervisor, span = self._closing, int(before.about), (before.at, line.at)
        death = self._deaths.of(before.pid, *span)
        told = self._deaths.was_told(supervisor, *span)
        found = []
        if closing is not None and closing.word in CHARGED:
            found.append(Reason(1, CHARGED[closing.word]))
        if closing is not None and closing.word == "snoozed":
            found.append(Reason(0, "it snoozed"))
        if self._may_begin_anew:
            found.append(Reason(1 - before.attempt, "an operator wanted it"))
        if self._is_overtime():
            found.append(Reason(1, "it was over its time limit"))
        if death is not None:
            found.append(Reason(1, f"its {death.kind} was killed", death))
        if told:
            found.append(Reason(0, "it was given back"))
        if told and self._deaths.of(supervisor, *span):
            found.append(Reason(1, "its stopping supervisor was killed"))
        return found

    def _explain_unseen(self, line: Line, count: int, since: float) -> None:
        """Attempts without a run: somebody was killed for each."""
        if not self._is_overtime():  # those end their workers, too
            self._report.unseen += count
            self._deaths.need(
                count, since, line.at, f"{self._job}: attempt {line.attempt}, and nobody was killed before"
            )

    def _is_overtime(self) -> bool:
        return self._sent is not None and self._sent.deed == "overtime"

    def _recovered(self, death: Death, line: Line) -> None:
        """How long it took until the job ran again; only where it is clear who had to see to it."""
        if self._closing is not None or self._sent is None or self._sent.way != SERVED_FIRST:
            return
        span = (death.at, line.at)
        if death.kind == "group" and not self._deaths.was_any_asleep(*span):
            self._report.group_recovery.append(line.at - death.at)
        elif death.kind == "worker" and not self._deaths.was_hit(death.supervisor, *span):
            self._report.worker_recovery.append(line.at - death.at)

    def _on_closing(self, line: Line) -> None:
        start = self._start
        if start is None or start.pid != line.pid or self._closing is not None:
            self._report.overlapping.append(f"{self._job}: {line.pid} ended attempt {line.attempt} after another began")
            return
        self._closing = line

    def _on_order(self, line: Line) -> None:
        if line.word == "cancelled":
            self._is_gone = True
        elif line.word == "ordered":
            self._is_ordered = True
        elif line.word == "retry":
            self._may_begin_anew = self._may_begin_anew or line.about == "failed"
        else:
            self._is_held = line.word == "held"

    def _on_detector(self, line: Line) -> None:
        """What the run itself saw: by its lock, its payload, its helper."""
        told = f"{self._job} attempt {line.attempt} at {line.at:.3f}"
        if line.word == "overlap":
            self._report.overlapping.append(f"{told}: another process has its lock")
        elif line.word == "torn":
            self._report.torn.append(told)
        elif line.word == "ghost":
            self._report.ghosts.append(f"{told}: the helper of a former run has its lock")
        elif line.word == "helping" and (self._start is None or str(self._start.pid) != line.about):
            self._report.ghosts.append(f"{told}: the helper of a former run went on")

    def _ghost(self, line: Line, what: str) -> None:
        self._report.ghosts.append(f"{self._job}: a run at {line.at:.3f}, of a job {what}")

    def _wrong(self, line: Line, why: str) -> None:
        self._report.attempts.append(f"{self._job}: attempt {line.attempt} {why}")

    # -- the end -----------------------------------------------------------------------------------------------

    def _settle(self, failed: dict[str, int]) -> None:
        """Whether it came to its end: done, cancelled, or in failed/ after all its attempts."""
        if self._sent is None:
            return
        is_done = self._closing is not None and self._closing.word == "end"
        self._sent.is_settled = self._is_gone or self._is_ordered or is_done
        if self._sent.deed in NEVER_DONE and self._job in failed:
            self._sent.is_settled = True
            due = LIMIT if self._sent.deed in LIMITED else self._start.attempt if self._start else 0
            if failed[self._job] != due:
                self._report.attempts.append(f"{self._job}: in failed/ after {failed[self._job]} attempts, not {due}")
