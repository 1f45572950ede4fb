"""What the checker found, a line each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SHOWN = 20
"""Of each kind of problem."""


@dataclass
class Report:
    """The figures, and the problems: every list must be empty."""

    acknowledged: int = 0
    refused: int = 0
    """Submits that raised, or whose key was taken: no job."""
    runs: int = 0
    reruns: Counter[str] = field(default_factory=Counter)
    """Runs of a job that had been started before, by the reason."""
    unseen: int = 0
    """Attempts charged to a worker that was killed between its claim and the handler's first line."""
    blows: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    """What operators did."""
    failed: int = 0
    """Jobs that lie in failed/, as they should."""
    garbage: int = 0
    """Records and keys that outlived their job."""
    worker_recovery: list[float] = field(default_factory=list)
    """Seconds from a worker's death to the next start of its job, its supervisor alive and awake."""
    group_recovery: list[float] = field(default_factory=list)
    """The same where worker and supervisor were killed, no other supervisor being stopped at the time."""
    overtaken: list[int] = field(default_factory=list)
    """For each undisturbed job: how many younger ones of its producer, queue and priority were started before it."""
    calm: int = 0
    """Jobs whose order was checked exactly, with one worker and no blows."""
    seconds: float = 0.0

    lost: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    """Runs of a job that had been started before, for no reason."""
    keys: list[str] = field(default_factory=list)
    """Two jobs at a time under one key."""
    order: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    """Processes that ended by an error of their own."""

    @property
    def problems(self) -> dict[str, list[str]]:
        """What should not have happened."""
        return {
            "lost": self.lost,
            "overlapping": self.overlapping,
            "torn": self.torn,
            "stuck": self.stuck,
            "ghost runs": self.ghosts,
            "attempts wrong": self.attempts,
            "re-runs unexplained": self.unexplained,
            "keys taken twice": self.keys,
            "out of order": self.order,
            "left behind": self.left,
            "crashed": self.crashed,
        }

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, torn or left behind."""
        return not any(self.problems.values())

    def lines(self) -> list[str]:
        """The report as text: a figure a line."""
        figures = {
            "jobs acknowledged": f"{self.acknowledged} in {self.seconds:.0f} s; {self.refused} refused",
            "runs": str(self.runs),
            **{f"blow: {what}": str(count) for what, count in sorted(self.blows.items())},
            **{f"operator: {what}": str(count) for what, count in sorted(self.orders.items())},
            **{f"re-runs: {what}": str(count) for what, count in sorted(self.reruns.items())},
            "attempts without a run": f"{self.unseen}, each with a kill of its own",
            "ended in failed/": f"{self.failed}, as they should",
            "garbage without a job": str(self.garbage),
            "overtaken by younger jobs": spread(self.overtaken, ""),
            "in order, in the calm": str(self.calm),
            "recovery, worker killed": spread(self.worker_recovery, " s"),
            "recovery, group killed": spread(self.group_recovery, " s"),
            **{what: str(len(found)) for what, found in self.problems.items()},
        }
        shown = [f"  {what}: {text}" for what, found in self.problems.items() for text in found[:SHOWN]]
        return [*(f"{what:44}{figure}" for what, figure in figures.items()), *shown]


def spread(values: list[float] | list[int], unit: str) -> str:
    """A distribution in one line."""
    if not values:
        return "none"
    ordered = sorted(values)
    p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    shape = "{:.3f}" if unit else "{}"
    parts = [
        f"{name} {shape.format(value)}{unit}" for name, value in (("p50", p50), ("p95", p95), ("max", ordered[-1]))
    ]
    return f"{', '.join(parts)} (of {len(ordered)})"
