"""The ledger: what was committed is there, what was not is gone; it stays small, and opens at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workqueue.errors import NewerFormat, RootError, StoreError
from workqueue.pipeline.watch.ledger import SCHEMA, VERSION_OF_SCHEMA, Intent, Ledger, key
from workqueue.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def opened(path: Path) -> Database:
    return Database(str(path / "ledger"), SCHEMA, VERSION_OF_SCHEMA)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = opened(tmp_path)
    yield one
    one.close()


def intent(number: int) -> Intent:
    job_id = f"{number:026}"
    return Intent(
        f"5-{job_id}-0=a", job_id, os.fsdecode(b"\xff"), "/kept", "7:a.ok", 3, 4, keys=(key("a"), key("b", number))
    )


def test_what_was_written_is_read_back_by_another_process(database: Database, tmp_path: Path) -> None:
    Ledger(database).mean([intent(1)])
    other = opened(tmp_path)
    assert list(Ledger(other).open()) == [intent(1)]
    other.close()


def test_a_key_is_known_from_the_settling_on_not_from_the_meaning(database: Database) -> None:
    ledger, one = Ledger(database), intent(1)
    ledger.mean([one])
    assert ledger.seen([key("a")]) == {}
    ledger.settle([one])
    assert ledger.seen([key("a"), key("nothing")]) == {key("a"): one.id}
    assert [each.settled for each in ledger.open()] == [True]


def test_the_first_job_of_a_key_keeps_it(database: Database) -> None:
    ledger = Ledger(database)
    ledger.settle([intent(1)])
    ledger.settle([intent(2)])
    assert ledger.seen([key("a")]) == {key("a"): intent(1).id}


def test_rows_that_are_over_go_with_the_next_change(database: Database) -> None:
    ledger = Ledger(database)
    ledger.mean([intent(1), intent(2)])
    ledger.end([intent(1).name])
    assert [each.id for each in ledger.open()] == [intent(2).id], "nothing is decided from it any more"
    assert [each.id for each in Ledger(database).open()] == [intent(1).id, intent(2).id], "but it is still there"
    ledger.tidy()
    assert [each.id for each in Ledger(database).open()] == [intent(2).id]


def test_what_was_not_committed_is_gone(database: Database, tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    def change() -> None:
        with database.changing():
            database.change("INSERT INTO seen VALUES (?,?)", [(key("a"), "1")])
            raise Died

    with pytest.raises(Died):
        change()
    assert Ledger(database).seen([key("a")]) == {}


def test_more_keys_than_one_query_takes(database: Database) -> None:
    ledger = Ledger(database)
    ledger.remember([(key("n", n), "1") for n in range(3000)])
    assert len(ledger.seen([key("n", n) for n in range(6000)])) == 3000


def test_every_commit_is_synced(database: Database) -> None:
    assert database.ask("PRAGMA journal_mode") == [("wal",)]
    assert database.ask("PRAGMA synchronous") == [(2,)], "FULL: a commit is on the disk"


def test_a_newer_ledger_and_what_is_none_are_refused(tmp_path: Path) -> None:
    Database(str(tmp_path / "newer"), SCHEMA, 99).close()
    with pytest.raises(NewerFormat):
        Database(str(tmp_path / "newer"), SCHEMA, VERSION_OF_SCHEMA)
    (tmp_path / "text").write_text("no database" * 500)
    with pytest.raises(RootError, match="damaged"):
        Database(str(tmp_path / "text"), SCHEMA, VERSION_OF_SCHEMA)
    with pytest.raises(StoreError):
        Database(str(tmp_path / "missing" / "ledger"), SCHEMA, VERSION_OF_SCHEMA)


def test_a_full_disk_is_told_as_one(database: Database) -> None:
    database.ask("PRAGMA max_page_count = 5")
    with pytest.raises(StoreError, match=r"full") as caught:
        Ledger(database).remember([(key("n", n), "1") for n in range(10_000)])
    assert caught.value.errno == 28
    assert Ledger(database).seen([key("n", 1)]) == {}
