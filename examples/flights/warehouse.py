"""The warehouse: all clean flights in one DuckDB file, and the aggregates that are made of them.

Guarantee: a day is in it whole or not at all, and once, however often it is loaded: in one transaction what is there of
the day is removed and what the file holds is put in its place.

Invariant: the aggregates are made by one thread and in a total order, so the same flights give the same bytes.
DuckDB lets one process at a time write; to open the file while another has it raises BusyError.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

SCHEMA = """
    day DATE NOT NULL, carrier VARCHAR NOT NULL, number INTEGER NOT NULL, tail VARCHAR, origin VARCHAR NOT NULL,
    destination VARCHAR NOT NULL, scheduled TIMESTAMP NOT NULL, departed TIMESTAMP, departure_delay INTEGER,
    arrival_delay INTEGER, minutes_in_air INTEGER, miles INTEGER NOT NULL, cancelled BOOLEAN NOT NULL,
    airport VARCHAR, built INTEGER, manufacturer VARCHAR, seats INTEGER, wind_mph DOUBLE, precipitation DOUBLE,
    visibility DOUBLE
"""
COLUMNS = {name: kind for name, kind, *_ in map(str.split, SCHEMA.split(","))}
READ_CSV = """
    read_csv(?, columns = ?, auto_detect = false, header = true, delim = ',', quote = '"', escape = '"', nullstr = '')
"""

SUMS = """
    count(*) AS flights, count(*) FILTER (cancelled) AS cancelled, sum(miles)::BIGINT AS miles,
    count(departure_delay) AS departures, sum(departure_delay)::BIGINT AS departure_delay,
    count(arrival_delay) AS arrivals, sum(arrival_delay)::BIGINT AS arrival_delay
"""
AGGREGATES = {
    "days": f"SELECT day, {SUMS} FROM flights GROUP BY ALL ORDER BY ALL",
    "carriers": f"SELECT carrier, {SUMS} FROM flights GROUP BY ALL ORDER BY ALL",
    "routes": f"""
        SELECT origin, destination, airport, {SUMS}, sum(seats)::BIGINT AS seats FROM flights GROUP BY ALL ORDER BY ALL
    """,
    "weather": f"""
        SELECT CASE WHEN visibility IS NULL THEN 'unknown' WHEN visibility < 2 THEN 'fog' WHEN precipitation > 0
            THEN 'rain' WHEN wind_mph >= 25 THEN 'wind' ELSE 'fair' END AS weather, {SUMS}
        FROM flights GROUP BY ALL ORDER BY ALL
    """,
    "flights": f"SELECT {', '.join(COLUMNS)} FROM flights ORDER BY ALL",
}


class BusyError(Exception):
    """Another process has the warehouse open; it will not be for long."""


@contextlib.contextmanager
def opened(path: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse; made if it is not there. One thread: the other processors have work of their own."""
    import duckdb  # in the worker that needs it, and not in the supervisor, which forks

    try:
        connection = duckdb.connect(path, read_only=read_only, config={"threads": 1})
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise BusyError(path) from error
        raise
    with connection:
        yield connection


def load(path: str, day: str, file: str, rows: int) -> None:
    """Put a day's flights, the CSV file of so many rows, in place of what the warehouse has of that day."""
    with opened(path) as warehouse:
        warehouse.execute(f"CREATE TABLE IF NOT EXISTS flights ({SCHEMA})")
        with transaction(warehouse):
            warehouse.execute("DELETE FROM flights WHERE day = ?", [day])
            warehouse.execute(f"INSERT INTO flights SELECT * FROM {READ_CSV} WHERE day = ?", [file, COLUMNS, day])
            [(loaded,)] = warehouse.execute("SELECT count(*) FROM flights WHERE day = ?", [day]).fetchall()
            if loaded != rows:
                raise ValueError(f"{file}: {loaded} flights of {day}, and not {rows}")


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def write_parquet(connection: duckdb.DuckDBPyConnection, name: str, path: str) -> None:
    """Write one of the AGGREGATES to the file at path, in place: the name belongs to whoever asks."""
    connection.execute(
        f"COPY ({AGGREGATES[name]}) TO '{quoted(path)}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    )


def quoted(text: str) -> str:
    return text.replace("'", "''")
