"""The output directory: what the demo may remove in it, and what it must leave alone.

Invariant: a directory is ours if it bears our mark and holds nothing but what we write. Only then is its
content removed; anything else is refused untouched.
"""

import os
import re

MARK = ".written-by-the-flights-example"
REPORT = "report.txt"
OURS = re.compile(
    rf"{re.escape(MARK)}|{re.escape(REPORT)}|\d{{4}}-\d\d-\d\d\.parquet|\.\d{{4}}-\d\d-\d\d\.parquet\.part"
)


class NotOursError(Exception):
    """The output directory holds something that an earlier run did not write."""


def prepare(path: str) -> None:
    """Make path an empty output directory, or raise NotOursError."""
    os.makedirs(path, exist_ok=True)
    names = os.listdir(path)
    foreign = sorted(name for name in names if not OURS.fullmatch(name))
    if foreign or (names and MARK not in names):
        raise NotOursError(f"{path} holds {(foreign or names)[0]}, which no earlier run of this wrote")
    mark(path)
    for name in names:
        if name != MARK:
            os.unlink(os.path.join(path, name))


def mark(path: str) -> None:
    with open(os.path.join(path, MARK), "w", encoding="utf-8") as file:
        file.write("This directory is emptied by the next run.\n")


def parquet_files(path: str) -> list[str]:
    """Return the paths of the finished days, in their order."""
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".parquet")]
