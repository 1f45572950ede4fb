"""The queues as `ls` shows them: a job is a file, its state is the directory it lies in, a stage is a queue.

Only looks, and only at names. A look is not a photograph: a job that moves meanwhile may be counted twice, or not at
all.
"""

import json
import os
import re

STAGES = ("extract", "transform", "load", "publish")
SLOT = re.compile(r"@(\d+)\.")
LABEL = re.compile(r"[+=](.*)")


class Spool:
    """The directories of the queues in a root."""

    def __init__(self, root: str) -> None:
        self.root = root

    def jobs(self, stage: str, state: str) -> set[str]:
        """Return the names of a stage's jobs in a state."""
        try:
            names = os.listdir(os.path.join(self.root, stage, state))
        except FileNotFoundError:  # the run makes them when it starts
            return set()
        return {name for name in names if not name.startswith(".")}

    def claim_of(self, worker: int) -> tuple[str, str] | None:
        """Return the stage and the name of the job that a worker runs: the name has its slot, which has its pid."""
        for stage in STAGES:
            for name in self.jobs(stage, "cur"):
                slot = SLOT.search(name)
                if slot and self.owner(slot[1]) == worker:
                    return stage, name
        return None

    def owner(self, slot: str) -> int | None:
        """Return the process id that is written down in a slot."""
        with open(os.path.join(self.root, ".fsq", "workers", slot), encoding="utf-8") as page:
            text = page.read().strip()
        return json.loads(text)["pid"] if text else None

    def waiting(self) -> dict[str, int]:
        """Count the jobs of each stage that are ready or wait for another attempt."""
        return {stage: len(self.jobs(stage, "new") | self.jobs(stage, "later")) for stage in STAGES}


def label(name: str) -> str:
    """`5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1@3.k2x9=2013-01-31` is labelled 2013-01-31."""
    found = LABEL.search(name)
    return found[1] if found else ""
