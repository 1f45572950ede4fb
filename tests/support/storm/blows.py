"""What is done to the storm's processes; each blow is written down before it falls, with whom it hits.

**Invariant**: which blow comes next, and the n-th of how many it hits, follow from the seed alone, whoever is there.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from support.storm.log import Line
from support.storm.troupe import Process, children, is_dead, is_stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.storm.report import Report
    from support.storm.scene import Scene
    from support.storm.troupe import Troupe

BLOWS = "blows"
"""The blows' file in the log."""
MOST_EVENTS = "/proc/sys/fs/inotify/max_queued_events"


class Nap(NamedTuple):
    """A process that is stopped, and until when."""

    until: float
    process: Process
    kill: bool = False
    """Whether it never wakes."""


class Draw(NamedTuple):
    """The choices of one blow."""

    kind: str
    whom: float
    which: float
    seconds: float


class Blows:
    """Strikes a troupe."""

    def __init__(self, scene: Scene, troupe: Troupe, report: Report) -> None:
        self._scene = scene
        self._troupe = troupe
        self._count = report.blows
        self._chance = random.Random(f"{scene.plan.seed} blows")
        self._chance_of_sleepers = random.Random(f"{scene.plan.seed} sleepers")
        self._naps: dict[int, Nap] = {}
        """The stopped processes, by their ids."""

    def pause(self) -> float:
        """Seconds until the next blow."""
        return self._chance.expovariate(1 / self._scene.plan.pause)

    def strike(self) -> None:
        """One blow at a random process."""
        draw = self._draw(self._chance)
        supervisor = picked(sorted(self._troupe.supervisors), draw.whom)
        if supervisor is not None:
            WEIGHTS[draw.kind][1](self, draw, supervisor)

    def _draw(self, chance: random.Random) -> Draw:
        """What comes next, and whom it hits: the same number of draws whatever it is."""
        longest = self._scene.plan.longest_stop
        kind = chance.choices(list(WEIGHTS), [weight for weight, _ in WEIGHTS.values()])[0]
        seconds = chance.choices([0.3, min(1.5, longest), longest], [80, 15, 5])[0]
        return Draw(kind, chance.random(), chance.random(), seconds)

    # -- kills -------------------------------------------------------------------------------------------------

    def kill_worker(self, draw: Draw, supervisor: int) -> None:
        worker = picked(children(supervisor), draw.which)
        if worker is not None:
            asleep = supervisor in self._naps
            self._kill(worker, "worker" if not asleep else "orphan", supervisor, "workers killed")

    def kill_supervisor(self, _: Draw, supervisor: int) -> None:
        self._kill(supervisor, "supervisor", supervisor, "supervisors killed")

    def kill_group(self, draw: Draw, supervisor: int) -> None:
        """The supervisor first or last: so its workers' deaths are seen by it, or by nobody."""
        workers = children(supervisor)
        group = [supervisor, *workers] if draw.which < 0.5 else [*workers, supervisor]
        for pid in group:
            self._kill(pid, "group", supervisor, "groups killed" if pid == supervisor else "workers killed in groups")

    def kill_all(self, draw: Draw, _: int) -> None:
        for supervisor in sorted(self._troupe.supervisors):
            self.kill_group(draw, supervisor)
        self._count["all groups killed at once"] += 1

    def kill_producer(self, draw: Draw, _: int) -> None:
        producer = picked(sorted(self._troupe.producers), draw.which)
        if producer is not None:
            self._kill(producer, "producer", producer, "producers killed")

    # -- stops -------------------------------------------------------------------------------------------------

    def stop_worker(self, draw: Draw, supervisor: int) -> None:
        worker = picked(children(supervisor), draw.which)
        if worker is not None:
            self._stop(worker, "worker", draw.seconds, "workers stopped")

    def stop_supervisor(self, draw: Draw, supervisor: int) -> None:
        self._stop(supervisor, "supervisor", draw.seconds, "supervisors stopped")

    def pause_supervisor(self, draw: Draw, supervisor: int) -> None:
        self._stop(supervisor, "supervisor", draw.seconds, "supervisors paused", signal.SIGTSTP)

    def stop_producer(self, draw: Draw, _: int) -> None:
        producer = picked(sorted(self._troupe.producers), draw.which)
        if producer is not None:
            self._stop(producer, "producer", draw.seconds, "producers stopped")

    def stir(self, *, all_of_them: bool = False) -> None:
        """Wake who has been stopped long enough; see who has stopped itself, with a key in its hands."""
        for pid, nap in list(self._naps.items()):
            if all_of_them or time.monotonic() >= nap.until:
                del self._naps[pid]
                with nap.process as process:
                    if nap.kill and not all_of_them:
                        self._kill(pid, "producer", pid, "producers killed in a keyed submit")
                    self._tell("woken", pid, pid)
                    process.send(signal.SIGCONT)
        for pid in self._troupe.producers:
            if pid not in self._naps and is_stopped(pid):
                draw = self._draw(self._chance_of_sleepers)
                self._count["producers stopped in a keyed submit"] += 1
                self._naps[pid] = Nap(time.monotonic() + draw.seconds, Process(pid), kill=draw.which < 0.3)

    def _stop(self, pid: int, kind: str, seconds: float, what: str, number: signal.Signals = signal.SIGSTOP) -> None:
        if pid in self._naps:
            return
        with contextlib.suppress(ProcessLookupError):
            process = Process(pid)
            self._tell("stopped", pid, pid, kind)
            process.send(number)
            self._count[what] += 1
            self._naps[pid] = Nap(time.monotonic() + seconds, process)

    # -- orders ------------------------------------------------------------------------------------------------

    def tell(self, draw: Draw, supervisor: int) -> None:
        """SIGTERM, half of the time twice in a row: then nothing is waited for."""
        self.order_to_stop(supervisor)
        if draw.which < 0.5:
            time.sleep(draw.which / 10)
            self.order_to_stop(supervisor)

    def tell_all(self, draw: Draw, _: int) -> None:
        for supervisor in sorted(self._troupe.supervisors):
            self.tell(draw, supervisor)
        self._count["SIGTERM storms"] += 1

    def hang_up(self, _: Draw, supervisor: int) -> None:
        with contextlib.suppress(ProcessLookupError), Process(supervisor) as process:
            process.send(signal.SIGHUP)
            self._count["supervisors told to start anew"] += 1

    def order_to_stop(self, supervisor: int) -> None:
        """One SIGTERM."""
        with contextlib.suppress(ProcessLookupError), Process(supervisor) as process:
            self._tell("told", supervisor, supervisor)
            process.send(signal.SIGTERM)
            self._count["supervisors told to stop"] += 1

    def flood(self, draw: Draw, supervisor: int) -> None:
        """Overflow a supervisor's event queue while it cannot read it."""
        self._stop(supervisor, "supervisor", draw.seconds, "event queues overflown")
        flood(f"{self._scene.root}/default")

    # -- inside ------------------------------------------------------------------------------------------------

    def _kill(self, pid: int, kind: str, supervisor: int, what: str) -> None:
        with contextlib.suppress(ProcessLookupError), Process(pid) as process:
            if not is_dead(pid):
                self._tell("killed", pid, supervisor, kind)
                process.send(signal.SIGKILL)
                self._count[what] += 1

    def _tell(self, word: str, pid: int, supervisor: int, kind: str = "-") -> None:
        self._scene.log.write(BLOWS, Line(word, time.monotonic(), pid, number=supervisor, about=kind))


WEIGHTS: dict[str, tuple[float, Callable[[Blows, Draw, int], None]]] = {
    "kill a worker": (60, Blows.kill_worker),
    "kill a supervisor": (3, Blows.kill_supervisor),
    "kill a group": (4, Blows.kill_group),
    "kill all": (0.5, Blows.kill_all),
    "kill a producer": (7, Blows.kill_producer),
    "stop a worker": (10, Blows.stop_worker),
    "stop a supervisor": (3, Blows.stop_supervisor),
    "pause a supervisor": (1, Blows.pause_supervisor),
    "stop a producer": (2, Blows.stop_producer),
    "SIGTERM": (2, Blows.tell),
    "SIGTERM to all": (0.5, Blows.tell_all),
    "SIGHUP": (2, Blows.hang_up),
    "overflow": (0.5, Blows.flood),
}


def picked(of: list[int], draw: float) -> int | None:
    """The one of a list that a draw from 0 to 1 falls on."""
    return of[int(draw * len(of))] if of else None


def flood(queue: str) -> None:
    """Cause more events in a queue's new/ than the kernel keeps for whoever does not read them.

    Two names in turn, because the kernel drops an event that equals the last one; dot names, which nobody looks at.
    """
    with open(MOST_EVENTS, encoding="ascii") as file:
        most = int(file.read())
    paths = [(f"{queue}/tmp/.flood-{os.getpid()}-{n}", f"{queue}/new/.flood-{os.getpid()}-{n}") for n in (0, 1)]
    for source, _ in paths:
        with open(source, "xb"):
            pass
    for _ in range(most // 2 + 1):
        for source, target in paths:
            os.rename(source, target)
        for source, target in paths:
            os.rename(target, source)
    for source, _ in paths:
        os.unlink(source)
