"""The ledger of a watch folder: which files are being taken, and which have been seen.

    open     a file that is being taken: the name of its job, where it came from, what is still to be done with it
    seen     what makes a file the same as an earlier one, and the job that was made of that

A row of `open` is *meant* before the file is touched, and *settled* when all is ready but the last steps. What became
of it is read from the disk: while its file lies in stage/, the job has not been handed over, and the next start hands
it over; so a row outlives its file harmlessly, and is removed with the next change.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue.jobs.ids import first_at
from workqueue.pipeline.watch.rules import NAME, NAME_SIZE, SHA256, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from workqueue.pipeline.watch.scan import Found
    from workqueue.store.database import Database

VERSION_OF_SCHEMA = 1
SCHEMA = """
    CREATE TABLE open (name TEXT PRIMARY KEY, path BLOB, archive BLOB, marker BLOB, size INTEGER, mtime INTEGER,
        verdict TEXT, keys BLOB, settled INTEGER) WITHOUT ROWID;
    CREATE TABLE seen (key BLOB PRIMARY KEY, id TEXT) WITHOUT ROWID
"""
KEY = 16
"""Bytes of a key: a hash, so that a million entries are some fifty megabytes."""
MANY = 500
"""Keys in one query; older SQLite allows 999."""
JOB, DUPLICATE = "job", "duplicate"


@dataclass(slots=True)
class Intent:
    """A file that is being taken."""

    name: str
    """Its job's file name: the proof of what became of it."""
    id: str
    path: str
    archive: str
    marker: str
    size: int
    mtime: int
    verdict: str = JOB
    keys: tuple[bytes, ...] = ()
    settled: bool = False

    def row(self) -> tuple[object, ...]:
        """As it is written."""
        paths = (os.fsencode(self.path), os.fsencode(self.archive), os.fsencode(self.marker))
        return self.name, *paths, self.size, self.mtime, self.verdict, b"".join(self.keys), self.settled


def key(kind: str, *parts: object) -> bytes:
    """A key of some kind."""
    text = b"\0".join(os.fsencode(str(part)) for part in (kind, *parts))
    return hashlib.blake2b(text, digest_size=KEY).digest()


def version_key(found: Found) -> bytes:
    """The file as it is now; when it is written anew it has another key."""
    return key(VERSION, found.path, found.sign.size, found.sign.mtime_ns)


def identity_key(dedupe: str, found: Found, digest: str = "") -> bytes | None:
    """What makes the file a duplicate of an earlier one; None where nothing does."""
    match dedupe:
        case "name":
            return key(NAME, found.path)
        case "name+size":
            return key(NAME_SIZE, found.path, found.sign.size)
        case "name+size+mtime":
            return version_key(found)
        case "sha256":
            return key(SHA256, digest)
    return None


class Ledger:
    """The two tables, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._over: set[str] = set()
        """Rows of `open` that are to go with the next change."""

    def seen(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Which of the keys are known, and the job of each."""
        found: dict[bytes, str] = {}
        for start in range(0, len(keys), MANY):
            some = keys[start : start + MANY]
            marks = ",".join("?" * len(some))
            found.update(self._database.ask(f"SELECT key, id FROM seen WHERE key IN ({marks})", some))  # noqa: S608
        return found

    def mean(self, intents: Iterable[Intent]) -> None:
        """Write down, durably, what is going to be taken."""
        with self._changing() as change:
            change.change("INSERT INTO open VALUES (?,?,?,?,?,?,?,?,?)", (intent.row() for intent in intents))

    def settle(self, intents: Sequence[Intent]) -> None:
        """Write down, durably, that these will be handed over, and are not to be taken again."""
        rows = [(*intent.row()[:-1], True) for intent in intents]
        with self._changing() as change:
            change.change("INSERT OR REPLACE INTO open VALUES (?,?,?,?,?,?,?,?,?)", rows)
            keys = ((each, intent.id) for intent in intents if intent.verdict == JOB for each in intent.keys)
            change.change("INSERT OR IGNORE INTO seen VALUES (?,?)", keys)
        for intent in intents:
            intent.settled = True

    def remember(self, pairs: Sequence[tuple[bytes, str]]) -> None:
        """Write down files that stay in the folder as duplicates of a job's."""
        if pairs:
            with self._database.changing() as change:
                change.change("INSERT OR IGNORE INTO seen VALUES (?,?)", pairs)

    def end(self, names: Iterable[str]) -> None:
        """Forget rows of `open` with the next change; nothing is decided from them any more."""
        self._over.update(names)

    def tidy(self) -> None:
        """Forget them now."""
        if self._over:
            with self._changing():
                pass

    @contextmanager
    def _changing(self) -> Iterator[Database]:
        with self._database.changing() as change:
            change.change("DELETE FROM open WHERE name = ?", [(name,) for name in self._over])
            yield change
        self._over.clear()

    def open(self) -> Iterator[Intent]:
        """What was being taken when a process died."""
        rows = self._database.ask("SELECT * FROM open")
        for name, path, archive, marker, size, mtime, verdict, keys, settled in rows:
            if name in self._over:
                continue
            split = tuple(keys[at : at + KEY] for at in range(0, len(keys), KEY))
            texts = (os.fsdecode(path), os.fsdecode(archive), os.fsdecode(marker))
            yield Intent(name, id_of(name), *texts, size, mtime, verdict, split, bool(settled))

    def prune(self, before_ms: int, there: Iterable[bytes]) -> int:
        """Forget jobs older than this, but of none whose file is still there; returns how many entries went."""
        [(count,)] = self._database.ask("SELECT count(*) FROM seen")
        with self._database.changing() as change:
            change.ask("CREATE TEMP TABLE there (key BLOB PRIMARY KEY) WITHOUT ROWID")
            change.change("INSERT OR IGNORE INTO there VALUES (?)", ((each,) for each in there))
            change.change(
                "DELETE FROM seen WHERE id < ? AND id NOT IN (SELECT id FROM seen JOIN there USING (key))",
                [(first_at(before_ms),)],
            )
            change.ask("DROP TABLE there")
        [(left,)] = self._database.ask("SELECT count(*) FROM seen")
        return int(count - left)


def id_of(name: str) -> str:
    """The id in a job's name."""
    return name.split("-")[1]
