"""Is a day in the warehouse of the flights once, however often it is loaded? A program that loads one three times."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "flights"))

import cleaning
import dataset
import etl
import extraction
import warehouse
from tables import tables


def main() -> None:
    """Say how many rows are there after each time; the last time the file has fewer than were said."""
    with tempfile.TemporaryDirectory() as scratch:
        day, flights = a_day(scratch)
        file, database = os.path.join(scratch, "clean.csv"), os.path.join(scratch, "flights.duckdb")
        for rows in (len(flights), len(flights), len(flights) + 1):
            with open(file, "w", encoding="utf-8", newline="") as clean:
                etl.write_rows(clean, flights)
            said = "loaded"
            try:
                warehouse.load(database, day, file, rows)
            except ValueError:
                said = "refused"
            with warehouse.opened(database, read_only=True) as connection:
                found = connection.execute("SELECT count(*), count(DISTINCT (carrier, number)) FROM flights").fetchall()
            print(said, *found[0])


def a_day(scratch: str) -> tuple[str, list[cleaning.Flight]]:
    """The clean flights of the first day."""
    with dataset.flights_of_2013() as lines:
        path = next(dataset.write_daily_files(lines, scratch))
    with open(path, encoding="utf-8", newline="") as raw:
        day, whole, _ = extraction.take_apart(raw)
    return day, cleaning.clean([extraction.HEADER, *whole], tables())[0]


if __name__ == "__main__":
    main()
