"""Where a storm takes place: the root, the log outside it, and the files whose locks prove that two runs overlap."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.storm.log import Log
from support.storm.plan import QUEUES
from workqueue.engine.root import init

if TYPE_CHECKING:
    from support.storm.plan import Plan


class Scene:
    """The directories and files of one storm."""

    def __init__(self, directory: str, plan: Plan) -> None:
        self.plan = plan
        self.root = f"{directory}/root"
        self.log = Log(f"{directory}/log")
        self.runs = f"{directory}/runs"
        """A byte for each job, by its number: locked by whoever runs the job."""
        self.helpers = f"{directory}/helpers"
        """The same for a run's helper process."""
        self.snoozed = f"{directory}/snoozed"
        """A file for each job that has snoozed, so that it does so once."""
        self.by_hand = f"{directory}/by-hand"
        self._over = f"{directory}/over"
        for made in (self.snoozed, self.by_hand):
            os.makedirs(made)
        for file in (self.runs, self.helpers):
            with open(file, "xb"):
                pass
        init(self.root, QUEUES, slots=4 * plan.supervisors * plan.workers)

    def waiting(self) -> int:
        """How many jobs and batches are ready."""
        return sum(len(os.listdir(f"{self.root}/{queue}/new")) for queue in QUEUES)

    def delayed(self) -> int:
        """How many jobs and batches wait for their time."""
        return sum(len(os.listdir(f"{self.root}/{queue}/later")) for queue in QUEUES)

    def end(self) -> None:
        """Tell producers and operators that the storm is over."""
        with open(self._over, "xb"):
            pass

    def is_over(self) -> bool:
        """Whether the storm is over."""
        return os.path.exists(self._over)
