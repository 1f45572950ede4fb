"""A small SQLite file: what `commit` returned from survives kill -9 and a power cut; what was not committed is gone.

**Invariant**: this is the one thing beside `Fs` that changes the disk, and the library does it: a write-ahead log,
synced at every commit. `commit` is the only step that counts; a test that takes its place can die, or fail, before it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from workqueue.errors import NewerFormat, RootError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PATIENCE = 10.0
"""Seconds for another program that reads the file (a backup, somebody's sqlite3) to let go."""
CAUSES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}


class Database:
    """One file, open for reading and writing."""

    def __init__(self, path: str, schema: str, version: int) -> None:
        self.path = path
        with self._told():
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            self._open(schema, version)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, schema: str, version: int) -> None:
        with self._told():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            [(found,)] = self._connection.execute("PRAGMA user_version").fetchall()
            if found > version:
                raise NewerFormat(f"{self.path}: written in format {found}, this fsq knows {version}")
            if found < version:
                self._connection.executescript(f"BEGIN; {schema}; PRAGMA user_version = {version:d}; COMMIT")

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._told():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def changing(self) -> Iterator[Self]:
        """Make all changes of the block durable together, or none of them."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self
            self.commit()
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def change(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        with self._told():
            self._connection.executemany(statement, rows)

    def commit(self) -> None:
        """Return when the changes are on the disk."""
        with self._told():
            self._connection.commit()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise RootError(
                    f"{self.path}: damaged ({error}); look at the disk, then put it back from a backup, or move it"
                    " away: it is then begun anew, and knows nothing of what it had"
                ) from error
            cause = OSError(CAUSES.get(code, errno.EIO), f"{error}", self.path)
            raise StoreError(f"use the ledger {os.path.basename(self.path)}", cause, self.path) from error
