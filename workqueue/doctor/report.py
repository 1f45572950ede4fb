"""What an examination came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workqueue.doctor.findings import Level, many
from workqueue.engine.lookup import counts
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.doctor.findings import Finding
    from workqueue.doctor.patient import Patient


@dataclass
class Report:
    """What was found, and how much was looked at."""

    patient: Patient
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Checks and queues that must wait for a repair."""
    checks: int = 0
    """How many could be made."""

    @property
    def status(self) -> int:
        """The exit status: 1 if a problem remains."""
        return int(self._count(Level.PROBLEM) > 0)

    def _count(self, level: Level) -> int:
        return sum(finding.level is level and not finding.fixed for finding in self.findings)

    @property
    def summary(self) -> str:
        """The last line."""
        problems, notes = self._count(Level.PROBLEM), self._count(Level.NOTE)
        if not problems + notes and not self.left_out:
            return f"all well: {self._jobs()}{self._fixed()}"
        told = f"{many(self.checks, 'check')}, {many(problems, 'problem')}, {many(notes, 'note')}"
        if self.left_out:
            told += f"; left out until the root is repaired: {', '.join(self.left_out)}"
        fixable = sum(finding.repair is not None and not finding.fixed for finding in self.findings)
        return f"{told}{self._fixed()}" + (f": fsq doctor --fix repairs {fixable} of them" if fixable else "")

    def _jobs(self) -> str:
        totals = dict.fromkeys(State, 0)
        for queue in self.patient.sound:
            for state, count in counts(self.patient.root, queue).items():
                totals[state] += count
        return f"{many(totals[State.NEW], 'job')} ready, {totals[State.LATER]} delayed, {totals[State.CUR]} running"

    def _fixed(self) -> str:
        count = sum(finding.fixed for finding in self.findings)
        return f", {count} fixed" if count else ""
