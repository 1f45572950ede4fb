"""Where things are: the queue and what lies between the stages in a scratch directory, the result in another."""

import glob
import os

import output
from etl import OUTPUT, WORK


class Places:
    """The directories and files of one run."""

    def __init__(self, scratch: str, result: str) -> None:
        self.root = os.path.join(scratch, "root")
        self.drop = os.path.join(scratch, "drop")
        self.work = os.path.join(scratch, "work")
        self.expected = os.path.join(scratch, "expected")
        self.summary = os.path.join(scratch, "summary.json")
        self.result = os.path.abspath(result)
        self.run_page = os.path.join(self.result, output.RUN_PAGE)
        for directory in (self.drop, self.work, self.expected):
            os.mkdir(directory)

    @property
    def environment(self) -> dict[str, str]:
        """What the pipeline must know."""
        return {WORK: self.work, OUTPUT: self.result}

    def deliveries(self) -> list[str]:
        """Return the daily files, in their order."""
        return sorted(glob.glob(os.path.join(self.drop, "*.csv")))

    def transformed(self) -> int:
        """Count the days that are clean."""
        return len(glob.glob(os.path.join(self.work, "clean", "*.csv")))
