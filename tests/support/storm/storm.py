"""The course of a storm: it rages, calms down, and is judged."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from support.storm import order
from support.storm.blows import Blows
from support.storm.checker import check
from support.storm.operators import Operating
from support.storm.producers import Producing, acknowledged, submitted
from support.storm.report import Report
from support.storm.scene import Scene
from support.storm.troupe import Troupe, run
from support.storm.workers import drain, forbid_inotify, supervise

if TYPE_CHECKING:
    from support.storm.plan import Plan


class Storm:
    """One run of a plan, in a directory of its own."""

    def __init__(self, directory: str, plan: Plan) -> None:
        self.plan = plan
        self.scene = Scene(directory, plan)
        self.report = Report()
        self.blind = plan.blind if can_forbid_inotify() else 0
        self._incarnations = 0

    def run(self) -> Report:
        """Storm, let it calm down, and check."""
        started = time.monotonic()
        self.troupe = Troupe()
        self.blows = Blows(self.scene, self.troupe, self.report)
        try:
            self._rage(started + self.plan.seconds)
            self._calm_down()
            self._calm()
        finally:
            self.troupe.end()
        self.report.crashed += self.troupe.crashed
        self.report.seconds = time.monotonic() - started
        check(self.scene, self.report)
        return self.report

    def _rage(self, until: float) -> None:
        while time.monotonic() < until:
            self._fill()
            time.sleep(self.blows.pause())
            self.blows.stir()
            self.blows.strike()

    def _fill(self) -> None:
        """Replace whoever is missing."""
        troupe, plan = self.troupe, self.plan
        troupe.reap()
        for index in troupe.missing(troupe.supervisors, plan.supervisors):
            troupe.start(troupe.supervisors, index, partial(supervise, self.scene, blind=index < self.blind))
        for index in troupe.missing(troupe.producers, plan.producers):
            self._start_producer(index)
        for index in troupe.missing(troupe.operators, plan.operators):
            troupe.start(troupe.operators, index, Operating(self.scene, index).run)

    def _start_producer(self, index: int) -> None:
        self._incarnations += 1
        incarnation = self._incarnations
        self.troupe.start(self.troupe.producers, index, lambda: Producing(self.scene, index, incarnation).run())

    # -- after it ----------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        """Let all come to their end, then drain; it must succeed in time."""
        troupe, end = self.troupe, time.monotonic() + self.plan.patience
        self.scene.end()
        self.blows.stir(all_of_them=True)
        self._let_producers_finish(end)
        for supervisor in list(troupe.supervisors):
            self.blows.order_to_stop(supervisor)
        for group, what in ((troupe.supervisors, "a supervisor"), (troupe.operators, "an operator")):
            self._wait(group, what, end)
        self._drain(end)

    def _drain(self, end: float) -> None:
        """Until nothing waits: a drain does not wait for a job that has snoozed before any attempt was charged."""
        while True:
            self.troupe.start(self.troupe.supervisors, 0, partial(drain, self.scene, blind=self.blind > 0))
            self._wait(self.troupe.supervisors, "the drain", end)
            if not self.scene.delayed() or time.monotonic() >= end:
                return
            time.sleep(0.05)

    def _let_producers_finish(self, end: float) -> None:
        """Wait for the shares of all; who died with less is started again."""
        troupe, share = self.troupe, self.plan.share
        while time.monotonic() < end:
            troupe.reap()
            self.blows.stir(all_of_them=True)  # who stops itself in a keyed submit
            missing = troupe.missing(troupe.producers, self.plan.producers)
            short = [index for index in missing if acknowledged(self.scene, submitted(index)) < share]
            if not troupe.producers and not short:
                return
            for index in short:
                self._start_producer(index)
            time.sleep(0.02)
        self.report.stuck.append(f"producers did not end in {self.plan.patience} s")

    def _wait(self, group: dict[int, int], what: str, end: float) -> None:
        while group and time.monotonic() < end:
            self.troupe.reap()
            time.sleep(0.01)
        if group:
            self.report.stuck.append(f"{what} did not end in {self.plan.patience} s after the storm")

    def _calm(self) -> None:
        """On the battered root: one producer, one worker, no blows; now order is exact."""
        if self.report.stuck:
            return
        sent = order.submit(self.scene)
        self.troupe.start(self.troupe.supervisors, 0, partial(drain, self.scene, processes=1))
        self._wait(self.troupe.supervisors, "the calm", time.monotonic() + self.plan.patience)
        order.compare(self.scene, sent, self.report)


def can_forbid_inotify() -> bool:
    """Whether this machine lets a process have no inotify."""
    pid = os.fork()
    if pid == 0:
        run(forbid_inotify)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
