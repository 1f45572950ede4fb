"""Which blows can explain what: each death explains one thing, because a worker has one claim at most.

a run that did not end, and another one     its own worker was killed
an attempt without a run                    some worker was killed between its claim and the handler's first line
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.storm.log import Line

SLACK = 1.0
"""Seconds between the line that announces a blow and the blow, at most."""


@dataclass(eq=False)
class Death:
    """A process that was killed."""

    at: float
    pid: int
    kind: str
    """worker: its supervisor was awake; orphan: was not; group: it was killed as well; supervisor, producer."""
    supervisor: int
    is_used: bool = False


class Deaths:
    """All blows of a storm."""

    def __init__(self, blows: Iterable[Line]) -> None:
        self._all: list[Death] = []
        self._of = defaultdict[int, list[Death]](list)
        self._told = defaultdict[int, list[float]](list)
        self._hits = defaultdict[int, list[float]](list)
        self._needs: list[tuple[float, float, str]] = []
        self._naps: list[tuple[float, float]] = []
        """When supervisors were stopped, and woken."""
        asleep: dict[int, float] = {}
        for line in blows:
            self._hits[line.pid].append(line.at)
            if line.word == "killed":
                death = Death(line.at, line.pid, line.about, line.number)
                self._all.append(death)
                self._of[line.pid].append(death)
            elif line.word == "told":
                self._told[line.pid].append(line.at)
            elif line.word == "stopped" and line.about == "supervisor":
                asleep[line.pid] = line.at
            elif line.word == "woken" and line.pid in asleep:
                self._naps.append((asleep.pop(line.pid), line.at))
        self._naps += [(since, float("inf")) for since in asleep.values()]

    def of(self, pid: int, since: float, until: float) -> Death | None:
        """The death of a process, if it explains nothing yet."""
        return next((d for d in self._of[pid] if since - SLACK <= d.at <= until and not d.is_used), None)

    def was_told(self, supervisor: int, since: float, until: float) -> bool:
        """Whether a supervisor was told to stop: then it may have ended its workers, and given their jobs back."""
        return any(since - SLACK <= at <= until for at in self._told[supervisor])

    def was_hit(self, pid: int, since: float, until: float) -> bool:
        """Whether anything was done to a process."""
        return any(since - SLACK <= at <= until for at in self._hits[pid])

    def was_any_asleep(self, since: float, until: float) -> bool:
        """Whether a supervisor was stopped meanwhile: it may have had the lock of a dead worker's slot."""
        return any(asleep <= until and since <= woken for asleep, woken in self._naps)

    def need(self, count: int, since: float, until: float, what: str) -> None:
        """Ask for the deaths of so many workers in a span of time."""
        self._needs += [(until, since - SLACK, what)] * count

    def unmet(self) -> list[str]:
        """What no death is left for, the spans that end first served first by the earliest death in them."""
        free = sorted(
            death.at for death in self._all if not death.is_used and death.kind not in {"supervisor", "producer"}
        )
        found = []
        for until, since, what in sorted(self._needs):
            at = bisect_left(free, since)
            if at < len(free) and free[at] <= until:
                del free[at]
            else:
                found.append(what)
        return found
