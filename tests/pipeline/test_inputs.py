"""Inputs become jobs: in batches or one by one, each told when it is safe, never two of one key."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import RecordingFs
from support.disks import UnsyncedFs
from workqueue import Job, Producer, State
from workqueue.engine.batches import BATCH
from workqueue.engine.root import Root
from workqueue.errors import BadInput, QueueFull, StoreError, of_path
from workqueue.pipeline import open_piece, partitions, split
from workqueue.pipeline.copies import copied
from workqueue.pipeline.files import Found
from workqueue.pipeline.inputs import Input, Placed, submit, whereabouts
from workqueue.pipeline.sources import PARTITION_PAYLOAD, of_files, of_partitions, of_pieces
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = ("2013-01-01", "2013-01-03")


@pytest.fixture
def many(tmp_path: Path) -> str:
    """A file with a header and seven records."""
    (tmp_path / "in.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(7)))
    return str(tmp_path / "in.csv")


def put(producer: Producer, inputs: Any, **how: Any) -> list[Placed]:
    told: list[Placed] = []
    submit(producer, inputs, told.extend, **{"batches": False, "queue": "default", **how})
    return told


def jobs(root: str) -> list[tuple[Any, str]]:
    """Payload and label of each job, in order."""
    seen: list[tuple[Any, str]] = []
    drain(root, lambda job: seen.append((job.payload, job.label)))
    return seen


def days(payload: Any = PARTITION_PAYLOAD, key: str | None = None) -> Iterator[Input]:
    return of_partitions(partitions(*DAYS), payload, key)


def test_batches_are_told_one_by_one_with_what_each_job_is_made_of(producer: Producer, root: str) -> None:
    made = [Input(f"n{n}", n, label=f"l{n}") for n in range(BATCH + 2)]
    sizes: list[int] = []
    told: list[Placed] = []

    def on_placed(placed: Any) -> None:
        sizes.append(len(placed))
        told.extend(placed)
        assert all(producer.ref(each.id).state() is State.NEW for each in placed[::500])

    submit(producer, iter(made), on_placed, batches=True, queue="default", durable=False)
    assert sizes == [BATCH, 2]
    assert [each.input for each in told] == made
    found = dict(zip([each.id for each in told], made, strict=True))
    seen: dict[str, Any] = {}
    drain(root, lambda job: seen.update({job.id: (job.payload, job.label)}))
    assert seen == {job_id: (each.payload, each.label) for job_id, each in found.items()}


def test_a_label_given_for_all_goes_before_each_one_s_own(producer: Producer, root: str) -> None:
    for batches in (True, False):
        put(producer, [Input("a", 1, label="own")], batches=batches, label="all")
    assert jobs(root) == [(1, "all")] * 2


def test_files_are_payloads_or_named_by_one(producer: Producer, root: str, many: str) -> None:
    file = Found(many, 17, 5)
    template = {"file": "{name}", "of": "{size}"}
    put(producer, of_files([file], template, None, whole=False), batches=True)
    put(producer, of_files([file], None, "{path}", whole=True), mode="copy")
    with open(many, "rb") as content:
        assert jobs(root) == [({"file": "in.csv", "of": "17"}, "in.csv"), (content.read(), "in.csv")]


def test_two_files_of_one_key_are_refused(producer: Producer) -> None:
    files = [Found("/in/a/x.csv", 1, 1), Found("/in/b/x.csv", 1, 1)]
    with pytest.raises(BadInput, match=r"key 'x\.csv': the same for /in/a/x\.csv and /in/b/x\.csv"):
        list(of_files(files, None, "{name}", whole=False))


def test_a_partition_that_waits_or_runs_or_is_done_is_not_submitted_again(producer: Producer, root: str) -> None:
    first = put(producer, days(), key_for="3650d")
    assert [each.created for each in first] == [True] * 3

    def look(job: Job) -> None:
        placed = put(Producer(root), days(), key_for="3650d")
        assert [each.created for each in placed] == [False] * 3
        assert {each.id for each in placed} == {each.id for each in first}

    assert drain(root, look, max_attempts=1)["done"] == 3
    assert [each.created for each in put(producer, days(), key_for="3650d")] == [False] * 3
    assert jobs(root) == []


def test_another_payload_for_a_partition_is_other_work_and_the_same_in_other_words_is_not(producer: Producer) -> None:
    put(producer, days({"day": "{date}", "table": "a"}))
    assert not any(each.created for each in put(producer, days({"day": "{start}", "table": "a"})))
    assert all(each.created for each in put(producer, days({"day": "{date}", "table": "b"})))
    assert all(each.created for each in put(producer, days('{"day":"{date}","table":"a"}')))


def test_again_submits_what_has_ended_and_not_what_lives(producer: Producer, root: str) -> None:
    first, second, third = put(producer, days(), key_for="1d")
    producer.ref(first.id).cancel()
    [found] = [name for name in os.listdir(f"{root}/default/new") if second.id in name]
    os.rename(f"{root}/default/new/{found}", f"{root}/default/held/{found}")
    drain(root, fails, max_attempts=1)
    assert [each.created for each in put(producer, days(), key_for="1d")] == [False] * 3
    assert whereabouts(producer, "default", {first.id, second.id, third.id}) == (1, 1, 1)
    again = put(producer, days(), key_for="1d", again=True)
    assert [each.created for each in again] == [True, False, True]
    assert not any(each.created for each in put(producer, days(), key_for="1d", again=True))


def fails(job: Job) -> None:
    raise RuntimeError(job.id)


def test_a_key_of_its_own_must_tell_partitions_apart(producer: Producer) -> None:
    with pytest.raises(BadInput, match="key 'extract:2013': the same for 2013-01-01 and 2013-01-02"):
        list(days(key="extract:{year}"))
    assert [each.key for each in days(key="extract:{date}")] == [f"extract:2013-01-0{n}" for n in (1, 2, 3)]
    with pytest.raises(BadInput, match=r"key: \{dat\} means nothing here"):
        list(days(key="{dat}"))


def test_a_payload_must_tell_partitions_apart_also_in_the_hour_that_comes_twice() -> None:
    with pytest.raises(BadInput, match=r"payload: the same for 2013-01-01 and 2013-01-02; put \{start\} into it"):
        list(days({"day": 1}))
    night = partitions("2013-10-27", "2013-10-27", "hour", zone="Europe/Berlin")
    with pytest.raises(BadInput, match=r"payload: the same for 2013-10-27T02:00\+02:00 and 2013-10-27T02:00\+01:00"):
        list(of_partitions(night, "{date} {hour}", None))
    assert len(list(of_partitions(night, "{start}", None))) == 25


def test_the_same_pieces_of_the_same_file_are_submitted_once_while_they_live(
    producer: Producer, root: str, many: str
) -> None:
    def once() -> list[bool]:
        found = split(many, lines=3, header=True)
        return [each.created for each in put(producer, of_pieces(found, copy=False, once=True))]

    assert once() == [True] * 3
    assert once() == [False] * 3
    os.utime(many, ns=(5, 5))
    assert once() == [True] * 3, "another file by that name"
    assert len(jobs(root)) == 6
    assert once() == [True] * 3, "the keys are free when the jobs have ended"


def test_copied_pieces_are_the_payloads_and_say_where_they_are_from(producer: Producer, root: str, many: str) -> None:
    found = split(many, lines=3, header=True)
    put(producer, of_pieces(found, copy=True, once=False), headers={"by": "me"})
    os.unlink(many)
    seen: list[tuple[Any, Any, str]] = []
    drain(root, lambda job: seen.append((job.payload, job.headers, job.label)))
    assert seen == [
        (b"id\n0\n1\n2\n", {"by": "me", "piece": found[0]}, "in.csv.1"),
        (b"id\n3\n4\n5\n", {"by": "me", "piece": found[1]}, "in.csv.2"),
        (b"id\n6\n", {"by": "me", "piece": found[2]}, "in.csv.3"),
    ]
    assert os.listdir(f"{root}/default/tmp") == []


def test_a_copied_piece_whose_key_is_taken_leaves_nothing(producer: Producer, root: str, many: str) -> None:
    for created in (True, False):
        found = split(many, lines=9)
        assert [each.created for each in put(producer, of_pieces(found, copy=True, once=True))] == [created]
    assert os.listdir(f"{root}/default/tmp") == []
    assert len(os.listdir(f"{root}/default/new")) == 1


def test_a_file_that_changes_before_its_piece_is_copied_is_no_job(producer: Producer, root: str, many: str) -> None:
    found = split(many, lines=3)
    told: list[Placed] = []

    def on_placed(placed: Any) -> None:
        told.extend(placed)
        os.utime(many, ns=(1, 1))

    with pytest.raises(BadInput, match="changed after it was split"):
        submit(producer, of_pieces(found, copy=True, once=False), on_placed, batches=False, queue="default")
    assert len(told) == 1
    assert len(os.listdir(f"{root}/default/new")) == 1
    assert os.listdir(f"{root}/default/tmp") == []


def test_a_full_queue_ends_it_with_what_was_submitted_told(root: str) -> None:
    with open(f"{root}/fsq.toml", "w") as file:
        file.write("max_jobs = 2\n")
    producer, told = Producer(root), list[Placed]()
    with pytest.raises(QueueFull):
        submit(producer, days(), told.extend, batches=False, queue="default")
    assert [each.input.what for each in told] == ["2013-01-01", "2013-01-02"]


class FullFs(UnsyncedFs):
    """Room for one write."""

    writes = 0

    def write(self, fd: int, data: bytes) -> None:
        self.writes += 1
        if self.writes > 1:
            raise of_path(errno.ENOSPC, "disk")
        super().write(fd, data)


def test_a_copy_that_the_disk_has_no_room_for_leaves_nothing(root: str, many: str) -> None:
    (piece,) = split(many, lines=9)
    full = FullFs()
    full.writes = 1
    with pytest.raises(StoreError, match="No space left"), copied(Root(root, fs=full), "default", piece):
        pytest.fail("there is no copy")
    assert os.listdir(f"{root}/default/tmp") == []


def test_a_copy_is_taken_back_when_its_submit_fails(root: str, many: str) -> None:
    (piece,) = split(many, lines=9)
    submitting = copied(Root(root), "default", piece)
    with open(submitting.__enter__(), "rb") as copy, open_piece(piece) as original:
        assert copy.read() == original.read()
    assert not submitting.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert os.listdir(f"{root}/default/tmp") == []


def test_a_copy_is_one_rename_from_being_a_job(root: str, many: str) -> None:
    fs = RecordingFs()
    (piece,) = split(many, lines=9)
    with copied(Root(root, fs=fs), "default", piece) as path:
        assert os.path.dirname(path) == f"{root}/default/tmp"
        assert [step.split()[0] for step in fs.story] == ["create", "write", "close"]
