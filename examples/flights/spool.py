"""The queue as `ls` shows it: a job is a file, and its state is the directory it lies in.

Only looks, and only at names. A look is not a photograph: a job that moves meanwhile may be counted twice
or not at all.
"""

import os

QUEUE = "flights"
STATES = ("new", "cur", "later", "failed")


class Spool:
    """The directories of the queue in a root."""

    def __init__(self, root: str) -> None:
        self.root = root

    def jobs(self, state: str) -> set[str]:
        """Return the names of the jobs in a state."""
        return {name for name in os.listdir(os.path.join(self.root, QUEUE, state)) if not name.startswith(".")}

    def counts(self) -> dict[str, int]:
        """Count the jobs in each state; a finished job is in none."""
        return {state: len(self.jobs(state)) for state in STATES}


def label(name: str) -> str:
    """`5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-1@3.k2x9=2013-01-31` is labelled 2013-01-31."""
    return name.rpartition("=")[2]
