"""A storm made by hand, line by line, a second each: what the checker's own tests are told."""

from __future__ import annotations

import pytest

from support.storm.checker import Evidence, weigh
from support.storm.log import Line
from support.storm.report import Report

BOSS = 1
"""The supervisor of all workers here."""


class Story:
    """What producers, workers, operators and blows did, in the order in which it is told."""

    def __init__(self) -> None:
        self.sent: list[Line] = []
        self.blows: list[Line] = []
        self.jobs: list[Line] = []
        self.failed: dict[str, int] = {}
        self._at = 100.0

    def _now(self) -> float:
        self._at += 1
        return self._at

    def submit(self, job: str, *, deed: str = "work", way: str = "single", end: str = "acknowledged") -> None:
        """Submit a job; its number is made of its name."""
        self.sent.append(Line("submit", self._now(), 2, number=number(job), about=f"{way}:{deed}"))
        if end:
            told = job if end == "acknowledged" else "-"
            self.sent.append(Line(end, self._now(), 2, told, number=number(job)))

    def run(self, job: str, attempt: int = 1, end: str = "end", *, pid: int = 10, n: int = 0) -> None:
        """A worker starts a job, and comes to an end with it, if it does."""
        self.says("start", job, attempt, pid=pid, about=str(BOSS), n=n)
        if end:
            self.says(end, job, attempt, pid=pid, n=n)

    def says(self, word: str, job: str, attempt: int = 1, *, pid: int = 10, about: str = "-", n: int = 0) -> None:
        """A worker writes any other line."""
        self.jobs.append(Line(word, self._now(), pid, job, attempt, n or number(job), about))

    def orders(self, word: str, job: str, state: str = "new") -> None:
        """An operator writes a line."""
        self.jobs.append(Line(word, self._now(), 3, job, 0, 0, state))

    def blow(self, word: str, pid: int, kind: str = "-") -> None:
        """Something is done to a process."""
        self.blows.append(Line(word, self._now(), pid, number=BOSS, about=kind))

    def weigh(self) -> Report:
        """What the checker says."""
        report = Report()
        weigh(Evidence([self.sent], self.blows, [self.jobs], self.failed), report)
        return report

    def faults(self) -> dict[str, int]:
        """How many problems of each kind it finds."""
        return {what: len(found) for what, found in self.weigh().problems.items() if found}


def number(job: str) -> int:
    """A job's number, for its name."""
    return sum(ord(character) << 8 * place for place, character in enumerate(job))


@pytest.fixture
def story() -> Story:
    """A story that has not begun."""
    return Story()
