"""Does the check of the flights see it? A program: a row is lost, doubled, changed, and the results are compared."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "flights"))

import check
import dataset
import reference

ONE = "(SELECT min(rowid) FROM flights)"
TAMPERED = {
    "as it is": "SELECT 1",
    "lost": f"DELETE FROM flights WHERE rowid = {ONE}",
    "doubled": f"INSERT INTO flights SELECT * FROM flights WHERE rowid = {ONE}",
    "changed": f"UPDATE flights SET number = number + 1 WHERE rowid = {ONE}",
}


def main() -> None:
    """Say for each way which files are other ones."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("drop", "expected", "found"):
            os.mkdir(f"{scratch}/{name}")
        with dataset.flights_of_2013() as lines:
            files = list(dataset.write_daily_files(lines, f"{scratch}/drop"))
        with reference.computed(files) as flights:
            check.write(flights, f"{scratch}/expected")
        for way, change in TAMPERED.items():
            with reference.computed(files) as flights:
                flights.execute(change)
                check.write(flights, f"{scratch}/found")
            differences = check.different_files(f"{scratch}/expected", f"{scratch}/found")
            print(f"{way}: {', '.join(differences) or 'no difference'}")


if __name__ == "__main__":
    main()
