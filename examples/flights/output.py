"""The output directory: what the demo may remove in it, and what it must leave alone.

Invariant: a directory is ours if it bears our mark and holds nothing but what we write. Only then is its
content removed; anything else is refused untouched.
"""

import os
import re

MARK = ".written-by-the-flights-example"
REPORT = "report.txt"
RUN_PAGE = "run.html"
PUBLISHED = ("carriers.parquet", "days.parquet", "flights.html", "flights.parquet", "routes.parquet", "weather.parquet")
"""What the stage `publish` makes, and the reference too."""
BEING_WRITTEN = re.compile(r"\..+\.fsq")


class NotOursError(Exception):
    """The output directory holds something that an earlier run did not write."""


def prepare(path: str) -> None:
    """Make path an empty output directory, or raise NotOursError."""
    os.makedirs(path, exist_ok=True)
    names = os.listdir(path)
    foreign = sorted(name for name in names if not is_ours(name))
    if foreign or (names and MARK not in names):
        raise NotOursError(f"{path} holds {(foreign or names)[0]}, which no earlier run of this wrote")
    mark(path)
    for name in names:
        if name != MARK:
            os.unlink(os.path.join(path, name))


def is_ours(name: str) -> bool:
    return name in {MARK, REPORT, RUN_PAGE, *PUBLISHED} or bool(BEING_WRITTEN.fullmatch(name))


def mark(path: str) -> None:
    with open(os.path.join(path, MARK), "w", encoding="utf-8") as file:
        file.write("This directory is emptied by the next run.\n")
