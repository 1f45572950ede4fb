"""How hard it storms, and what the jobs do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

QUEUES = ("default", "other")
LIMIT = 3
"""max_attempts of the jobs that never succeed; the others have as many as the storm may cost them."""
ENDLESS = 10_000
GRACE = 0.2
TIMEOUT = 0.1
BACKOFF = "0.05s..0.2s"

DEEDS = {
    "work": 700,
    "long": 15,  # takes longer than the grace of a supervisor that is told to stop
    "help": 60,  # has a helper process, which must be dead before the job is run again
    "fail": 50,  # by any exception, at first
    "retry": 30,  # by Retry, at first
    "later": 30,  # by Retry with a delay, at first
    "snooze": 50,  # once
    "reject": 4,
    "exhaust": 4,  # fails for ever
    "poison": 3,  # kills its worker each time
    "overtime": 3,  # does not end before its time limit
}
"""What a job does, and how many of them there are."""
NEVER_DONE = frozenset({"reject", "exhaust", "poison", "overtime"})
"""Those end in failed/."""
LIMITED = NEVER_DONE - {"reject"}
"""Those have LIMIT attempts, and need them all."""


@dataclass(frozen=True)
class Plan:
    """What is stormed at, and for how long."""

    jobs: int = 20_000
    supervisors: int = 4
    workers: int = 8
    """For each supervisor."""
    producers: int = 4
    operators: int = 1
    blind: int = 1
    """So many of the supervisors have no inotify, where that can be taken from them."""
    seconds: float = 20.0
    """For so long blows fall; more is submitted until it is over."""
    pause: float = 0.05
    """Seconds between blows, on average."""
    longest_job: float = 0.08
    longest_stop: float = 2.0
    """Seconds: longer than a sweep, the grace and the jobs' time limit; a minute's storm waits out the keys' lock, too."""
    drowsiness: float = 0.03
    """How often a submitter is stopped with a key in its hands."""
    patience: float = 240.0
    """Seconds after the last blow until everything must have ended."""
    seed: int = 0

    @property
    def share(self) -> int:
        """Jobs that each producer submits at least."""
        return self.jobs // self.producers


def deed(chance: random.Random) -> str:
    """What a job is to do."""
    return chance.choices(list(DEEDS), list(DEEDS.values()))[0]


def pad(number: int) -> str:
    """What fills a job's payload: mostly some bytes, now and then more than one read takes."""
    return "x" * (number % 300 if number % 97 else 100_000)
