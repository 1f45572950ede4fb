"""Is the result of the pipeline that of the plain computation, byte for byte and reject for reject?"""

import filecmp
import glob
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import output
import page
import reference
import warehouse
from places import Places
from tables import tables

if TYPE_CHECKING:
    import duckdb

Rejects = Counter[tuple[str, str]]
"""Lines, each with the reason, and how often they were rejected."""


def differences(places: Places) -> list[str]:
    """Compute the result once more, plainly, and return what differs; nothing is the best answer."""
    with reference.computed(places.deliveries()) as computed:
        write(computed, places.expected)
        rejects: Rejects = Counter(computed.execute("SELECT line, reason FROM rejects").fetchall())
    return [*different_files(places.expected, places.result), *different_rejects(rejects, rejected(places.root))]


def write(connection: "duckdb.DuckDBPyConnection", directory: str) -> None:
    """Write what the stage `publish` makes, the plain way."""
    for name in warehouse.AGGREGATES:
        warehouse.write_parquet(connection, name, os.path.join(directory, f"{name}.parquet"))
    with open(os.path.join(directory, "flights.html"), "w", encoding="utf-8") as file:
        file.write(page.html(connection, tables().airlines))


def different_files(expected: str, found: str) -> Iterator[str]:
    _, differing, missing = filecmp.cmpfiles(expected, found, output.PUBLISHED, shallow=False)
    yield from (f"{name} differs" for name in differing)
    yield from (f"{name} is missing" for name in missing)


def different_rejects(expected: Rejects, found: Rejects) -> Iterator[str]:
    for line, reason in (expected - found).elements():
        yield f"not rejected ({reason}): {line}"
    for line, reason in (found - expected).elements():
        yield f"rejected, and should not be ({reason}): {line}"


def rejected(root: str) -> Rejects:
    """Return what the stages have rejected, by the files that `job.reject` has made."""
    found: Rejects = Counter()
    for path in glob.glob(os.path.join(glob.escape(root), "*", "rejected", "*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            found.update((as_line(each["record"]), each["reason"]) for each in map(json.loads, lines))
    return found


def as_line(record: str | dict[str, str]) -> str:
    return record if isinstance(record, str) else ",".join(record.values())
