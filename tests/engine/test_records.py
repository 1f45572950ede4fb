"""What a job has beside its file: nothing is decided from it, and nothing fails for it."""

from __future__ import annotations

import errno
import os

import pytest

from engine.disks import RecordingFs
from engine.worlds import World, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import records
from workqueue.errors import of_path
from workqueue.jobs.content import Damaged, Options, encode_options

ID = plain_name()[2:28]


def test_errors_are_kept_in_their_order(world: World) -> None:
    for number in range(3):
        records.add_error(world.root, ID, {"attempt": number})
    assert [error["attempt"] for error in records.errors(world.root, ID)] == [0, 1, 2]


def test_an_error_is_one_append(world: World) -> None:
    records.add_error(world.root, ID, {"n": 1})
    fs = RecordingFs()
    root = world.open(fs).root
    fs.done.clear()
    records.add_error(root, ID, {"message": "two\nlines"})
    assert fs.story == ["mkdir jobs", f"append {ID}"]
    assert len(records.errors(world.root, ID)) == 2


@pytest.mark.parametrize("torn", [b'{"attempt":', b"\xff\n", b"[1]\n", b"\n\n", b"null\n"])
def test_a_line_that_is_torn_is_left_out_and_the_others_are_told(world: World, torn: bytes) -> None:
    records.add_error(world.root, ID, {"attempt": 1})
    with open(world.root.dot("jobs", ID, "errors.jsonl"), "ab") as file:
        file.write(torn)
    assert [error["attempt"] for error in records.errors(world.root, ID)] == [1]


def test_a_job_without_records_has_no_errors_no_result_and_the_queues_options(world: World) -> None:
    assert records.errors(world.root, ID) == []
    assert records.result(world.root, ID) is None
    assert records.options(world.root, ID).max_attempts is None
    records.remove(world.root, ID)


def test_a_full_disk_loses_an_error_and_nothing_else(world: World) -> None:
    class FullFs(UnsyncedFs):
        def append(self, path: str, data: bytes) -> None:
            raise of_path(errno.ENOSPC, path)

    records.add_error(world.open(FullFs()).root, ID, {"attempt": 1})
    assert records.errors(world.root, ID) == []


def test_a_result_replaces_the_one_of_an_earlier_run_whole(world: World) -> None:
    for data in (b'"a longer one"', b"[1]"):
        records.put_result(world.root, ID, data)
        assert records.result(world.root, ID) == data
    assert os.listdir(world.root.dot("jobs", ID)) == ["result"]


def test_options_are_read_back_and_damaged_ones_are_told(world: World) -> None:
    records.put_options(world.root, ID, encode_options(Options(max_attempts=3)))
    assert records.options(world.root, ID).max_attempts == 3
    with open(world.root.dot("jobs", ID, "options"), "wb") as file:
        file.write(b"{")
    with pytest.raises(Damaged):
        records.options(world.root, ID)


def test_records_are_removed_whole_and_a_disk_that_refuses_is_no_error(world: World) -> None:
    class BrokenFs(UnsyncedFs):
        def rmdir(self, path: str) -> None:
            raise of_path(errno.EROFS, path)

    records.put_result(world.root, ID, b"1")
    records.add_error(world.root, ID, {"n": 1})
    records.remove(world.open(BrokenFs()).root, ID)
    records.put_result(world.root, ID, b"1")
    records.remove(world.root, ID)
    assert world.dot("jobs") == []
