"""Batches: many jobs by one rename, each batch all or nothing."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from engine.disks import LyingFs, RecordingFs
from engine.worlds import World, fds, new_job
from support.disks import UnsyncedFs
from workqueue.engine import batches
from workqueue.errors import BadPayload, QueueFull, StoreError, of_path
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_durable_batch_is_written_then_synced_then_published_by_one_rename_and_synced_there(world: World) -> None:
    fs = RecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    world.put_many([b"1", b"2"], engine)
    verbs = [step.split()[0] for step in fs.story]
    assert verbs[0] == "mkdir"
    assert verbs[1:5] == ["create", "write"] * 2
    assert sorted(verbs[5:9]) == ["start_write_out", "start_write_out", "sync", "sync"]
    assert verbs[9:12] == ["close", "close", "sync_dir"]
    assert fs.story[12:] == ["rename tmp new", "sync_dir new"]
    assert fs.done[11][1] == fs.done[0][1], "the batch's own entries are synced"


def test_every_file_of_a_durable_batch_is_synced_before_it_is_closed_in_groups_that_fit_the_limit_of_open_files(
    world: World,
) -> None:
    synced: list[int] = []
    open_now: set[int] = set()
    most = 0

    class CarefulFs(UnsyncedFs):
        def create(self, path: str, mode: int = 0o600, access: int = os.O_WRONLY) -> int:
            nonlocal most
            fd = super().create(path, mode, access)
            open_now.add(fd)
            most = max(most, len(open_now))
            return fd

        def sync(self, fd: int) -> None:
            assert fd in open_now
            synced.append(fd)

        def close(self, fd: int) -> None:
            open_now.remove(fd)
            super().close(fd)

    world.put_many([b"x"] * 300, world.open(CarefulFs()))
    assert len(synced) == 300
    assert open_now == set()
    assert most <= batches.GROUP


def test_a_volatile_batch_syncs_nothing(world: World) -> None:
    fs = RecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    world.put_many([b"1", b"2"], engine, durable=False)
    verbs = [step.split()[0] for step in fs.story]
    assert verbs == ["mkdir", *["create", "write", "close"] * 2, "rename"]


def test_each_thousand_is_a_batch_of_its_own_and_safe_before_the_next_is_taken_from_the_iterable(world: World) -> None:
    seen: list[int] = []

    def payloads() -> Iterator[tuple[bytes, str]]:
        for number in range(batches.BATCH + 5):
            if number == batches.BATCH:
                seen.append(len(world.ls("new")))
            yield b"x", "bytes"

    sizes = [len(ids) for ids in world.engine.put_many(new_job(durable=False), payloads())]
    assert sizes == [batches.BATCH, 5]
    assert seen == [1]
    assert len(world.ls("new")) == 2


def test_ids_are_told_in_the_order_of_the_payloads(world: World) -> None:
    told = world.put_many([b"%d" % n for n in range(10)])
    assert world.drain() == {job_id: b"%d" % n for n, job_id in enumerate(told)}


def test_each_payload_keeps_its_own_kind(world: World) -> None:
    list(world.engine.put_many(new_job(), [(b"1", "json"), (b"2", "text")]))
    (batch,) = world.ls("new")
    found = sorted(os.listdir(world.at("new", batch)))
    assert [world.take(f"{batch}/{name}").options.type for name in found] == ["json", "text"]


def test_each_payload_may_have_its_own_label(world: World) -> None:
    told = list(
        world.engine.put_many(new_job(label="all"), [(b"1", "bytes", "a/1"), (b"2", "bytes"), (b"3", "bytes", "")])
    )
    (batch,) = world.ls("new")
    first, second, third = told[0]
    assert sorted(os.listdir(world.at("new", batch))) == [f"5-{first}-0+a_1", f"5-{second}-0+all", f"5-{third}-0"]


def test_a_delayed_batch_waits_in_later_as_one_directory(world: World) -> None:
    world.put_many([b"1"], due=4764000000000)
    (batch,) = world.ls("later")
    assert batch.startswith("4764000000000-5-")
    assert names.is_batch(batch)
    assert world.ls("new") == []


@pytest.mark.parametrize("error", [BadPayload("bad"), QueueFull("full"), KeyboardInterrupt(), OSError(5, "x")])
def test_a_batch_whose_payloads_end_in_an_error_leaves_nothing(world: World, error: BaseException) -> None:
    def payloads() -> Iterator[tuple[bytes, str]]:
        yield b"1", "bytes"
        raise error

    before = fds()
    with pytest.raises(type(error)):
        list(world.engine.put_many(new_job(), payloads()))
    assert world.ls("tmp") == world.ls("new") == []
    assert fds() == before


def test_a_payload_over_the_limit_refuses_its_batch_and_not_the_one_before(world: World) -> None:
    engine = world.open(max_payload=3)
    payloads = [(b"x", "bytes")] * batches.BATCH + [(b"long", "bytes")]
    with pytest.raises(BadPayload):
        list(engine.put_many(new_job(durable=False), payloads))
    assert len(world.jobs()) == batches.BATCH
    assert world.ls("tmp") == []


def test_a_publishing_rename_that_happened_though_it_reported_failure_is_a_submit(world: World) -> None:
    told = world.put_many([b"1", b"2"], world.open(LyingFs(errno.EIO)))
    assert world.drain().keys() == set(told)


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_batch_that_could_not_be_made_durable_is_taken_back_unless_a_worker_was_faster(
    world: World, *, is_claimed: bool
) -> None:
    class BrokenFs(UnsyncedFs):
        def sync_dir(self, path: str) -> None:
            if path.endswith("/new"):
                if is_claimed:
                    (batch,) = world.ls("new")
                    world.take(f"{batch}/{os.listdir(world.at('new', batch))[0]}")
                raise of_path(errno.EIO, path)

    with pytest.raises(StoreError):
        world.put_many([b"1", b"2", b"3"], world.open(BrokenFs()))
    assert world.ls("tmp") == []
    states = list(world.jobs().values())
    assert sorted(states) == ([State.CUR, State.NEW, State.NEW] if is_claimed else [])


def test_the_first_failed_close_is_an_error_and_every_file_is_closed(world: World) -> None:
    class LateFs(UnsyncedFs):
        count = 0

        def close(self, fd: int) -> None:
            super().close(fd)
            self.count += 1
            if self.count in {2, 3}:
                raise of_path(errno.ENOSPC, str(self.count))

    before = fds()
    fs = LateFs()
    with pytest.raises(StoreError, match="No space"):
        world.put_many([b"x"] * 5, world.open(fs))
    assert fs.count == 5
    assert fds() == before
    assert world.ls("tmp") == world.ls("new") == []


def test_a_batch_is_removed_only_when_it_is_empty_and_after_a_sync_of_its_entries(world: World) -> None:
    world.put_many([b"1"])
    (batch,) = world.ls("new")
    path = world.at("new", batch)
    fs = RecordingFs()
    root = world.open(fs).root
    assert not batches.remove_if_empty(root, path)
    world.take(f"{batch}/{os.listdir(path)[0]}")
    fs.done.clear()
    assert batches.remove_if_empty(root, path)
    assert fs.done == [("sync_dir", path), ("rmdir", path)]
    assert batches.remove_if_empty(root, path)
    assert world.ls("new") == []
