"""The same result by a plain computation: one process, one pass over all daily files, no queue.

Invariant: it shares with the pipeline the warehouse's columns and aggregates, and nothing else. What is a flight and
what is none is said a second time, in `reference.sql`, so that a mistake in `cleaning` is seen, too.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import dataset
import warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

TABLES = ("airlines", "airports", "planes", "weather")
LINES = "read_csv(?, columns = {'line': 'VARCHAR'}, auto_detect = false, header = true, delim = '\x1f', quote = '')"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.sql")


@contextlib.contextmanager
def computed(files: list[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Compute the tables `flights` and `rejects` of these daily files, in memory."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection, open(SCRIPT, encoding="utf-8") as script:
        for name in TABLES:
            table = "read_csv(?, all_varchar = true, header = true, nullstr = 'NA')"
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {table}", [dataset.table_path(name)])
        connection.execute("ALTER TABLE airports ALTER tz TYPE INTEGER")
        connection.execute(f"CREATE TABLE lines AS SELECT * FROM {LINES}", [files])
        connection.execute(f"CREATE TABLE flights ({warehouse.SCHEMA})")
        connection.execute(script.read())
        yield connection
