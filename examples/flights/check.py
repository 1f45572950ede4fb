"""Is the result of the pipeline that of the plain computation, byte for byte and reject for reject?"""

import filecmp
import glob
import json
import os
from collections import Counter
from collections.abc import Iterator

import output
import page
import reference
import warehouse
from places import Places
from tables import tables

Rejects = Counter[tuple[str, str]]
"""Lines, each with the reason, and how often they were rejected."""


def differences(places: Places) -> list[str]:
    """Compute the result once more, plainly, and return what differs; nothing is the best answer."""
    with reference.computed(places.deliveries()) as computed:
        for name in warehouse.AGGREGATES:
            warehouse.write_parquet(computed, name, os.path.join(places.expected, f"{name}.parquet"))
        with open(os.path.join(places.expected, "flights.html"), "w", encoding="utf-8") as file:
            file.write(page.html(computed, tables().airlines))
        rejects: Rejects = Counter(computed.execute("SELECT line, reason FROM rejects").fetchall())
    _, differing, missing = filecmp.cmpfiles(places.expected, places.result, output.PUBLISHED, shallow=False)
    return [
        *(f"{name} differs" for name in differing),
        *(f"{name} is missing" for name in missing),
        *different_rejects(rejects, rejected(places.root)),
    ]


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
