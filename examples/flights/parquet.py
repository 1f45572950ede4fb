"""A day's flights as a Parquet file.

Guarantee: the file appears under its name when it is whole and synced. As the name depends on the day
alone, a run that fails or is killed leaves nothing that the next attempt does not replace: running a job
twice gives what running it once gives.
"""

import os

import pyarrow as pa
import pyarrow.parquet as pq
from cleaning import Flight

TEXT, NUMBER, INSTANT = pa.string(), pa.int32(), pa.timestamp("s", "UTC")
# Said, not guessed from the values: a column that is empty on one day has its type all the same.
TYPES = {
    "day": pa.date32(),
    "carrier": TEXT,
    "number": NUMBER,
    "tail": TEXT,
    "origin": TEXT,
    "destination": TEXT,
    "scheduled": INSTANT,
    "departed": INSTANT,
    "departure_delay": NUMBER,
    "arrival_delay": NUMBER,
    "minutes_in_air": NUMBER,
    "miles": NUMBER,
    "cancelled": pa.bool_(),
}


def write_parquet(flights: list[Flight], path: str) -> None:
    """Put flights into the file at path, in place of what is there."""
    columns = zip(Flight._fields, zip(*flights, strict=True), strict=True)
    table = pa.table({name: pa.array(values, TYPES[name]) for name, values in columns})
    directory, name = os.path.split(path)
    part = os.path.join(directory, f".{name}.part")  # a day is one job, run by one worker: no one else writes it
    with open(part, "wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_directory(directory)  # the job ends after this, and the CSV file with it


def sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
