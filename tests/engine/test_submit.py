"""Submit: the order of disk operations is the promise."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from engine.children import Child
from engine.disks import LyingFs, RecordingFs
from engine.worlds import World, new_job
from support.disks import UnsyncedFs
from workqueue.engine import records
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.errors import BadInput, BadPayload, StoreError, of_path
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workqueue.engine.protocol import NewJob


class TwoDisksFs(UnsyncedFs):
    """The directory `outside` is on another file system."""

    def __init__(self, outside: str) -> None:
        self.outside = outside

    def _is_crossing(self, source: str, target: str) -> bool:
        return source.startswith(self.outside) != target.startswith(self.outside)

    def rename(self, source: str, target: str) -> None:
        if self._is_crossing(source, target):
            raise of_path(errno.EXDEV, source)
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        if self._is_crossing(source, target):
            raise of_path(errno.EXDEV, source)
        super().link(source, target)


def file_job(path: Path | str, mode: str, **fields: Any) -> NewJob:
    return new_job(b"", file=str(path), mode=mode, label=os.path.basename(path), **fields)


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """A user's own file, outside the root."""
    path = tmp_path / "parcel.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


def recorded(world: World, act: Callable[[DirectoryEngine], object]) -> list[str]:
    fs = RecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    act(engine)
    return fs.story


def test_a_durable_submit_is_create_write_sync_close_rename_and_sync_of_new(world: World) -> None:
    story = recorded(world, lambda engine: world.put(engine=engine))
    assert story == ["create tmp", "write", "sync", "close", "rename tmp new", "sync_dir new"]


def test_a_volatile_submit_is_create_write_close_and_rename(world: World) -> None:
    story = recorded(world, lambda engine: world.put(engine=engine, durable=False))
    assert story == ["create tmp", "write", "close", "rename tmp new"]


def test_a_delayed_job_is_published_in_later_and_that_directory_is_synced(world: World) -> None:
    story = recorded(world, lambda engine: world.put(engine=engine, due=1764000000000))
    assert story[-2:] == ["rename tmp later", "sync_dir later"]
    assert world.ls("later")[0].startswith("1764000000000-5-")
    assert world.ls("new") == world.ls("tmp") == []


def test_the_name_tells_priority_id_no_attempt_and_the_label(world: World) -> None:
    job_id = world.put(priority=2, label="july/../1")
    assert world.ls("new") == [f"2-{job_id}-0+july_.._1"]


def test_two_jobs_of_one_producer_are_named_in_the_order_in_which_they_were_submitted(world: World) -> None:
    ids = [world.put() for _ in range(50)]
    assert [names.parse(text).id for text in world.ls("new")] == ids  # type: ignore[union-attr]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT, errno.ETIMEDOUT])
def test_a_publishing_rename_that_happened_though_it_reported_failure_is_a_submit(world: World, code: int) -> None:
    fs = LyingFs(code)
    job_id = world.put(b"once", engine=world.open(fs))
    assert fs.lies == 1
    assert world.drain() == {job_id: b"once"}


def test_a_keyed_publishing_rename_that_happened_though_it_reported_failure_is_a_submit(world: World) -> None:
    job_id = world.put(b"once", engine=world.open(LyingFs(errno.EIO)), key="k")
    assert not world.engine.put(new_job(key="k")).created
    assert world.drain() == {job_id: b"once"}


@pytest.mark.parametrize("verb", ["write", "sync", "close"])
@pytest.mark.parametrize("kind", ["bytes", "copy", "many"])
def test_a_write_that_fails_late_is_a_failed_submit_and_is_not_tried_again(
    world: World, parcel: Path, verb: str, kind: str
) -> None:
    class LateFs(RecordingFs):
        broken = False

        def before(self, name: str, args: tuple[object, ...]) -> None:
            super().before(name, args)
            if name == verb and not self.broken:
                self.broken = True
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    fs = LateFs()
    engine = world.open(fs)
    fs.done.clear()
    with pytest.raises(StoreError, match="Input/output error"):
        _ = (
            world.put_many([b"1"], engine)
            if kind == "many"
            else engine.put(file_job(parcel, "copy") if kind == "copy" else new_job())
        )
    assert [step[0] for step in fs.done].count(verb) == 1
    assert world.ls("new") == world.ls("tmp") == []


def test_a_refused_payload_leaves_the_disk_untouched(world: World) -> None:
    engine = world.open(max_payload=10)
    with pytest.raises(BadPayload, match="max_payload"):
        world.put(b"x" * 11, engine=engine)
    assert world.ls("tmp") == world.ls("new") == []


# -- files -----------------------------------------------------------------------------------------------------


def test_a_file_is_moved_in_by_one_rename_after_a_sync_of_its_content(world: World, parcel: Path) -> None:
    story = recorded(world, lambda engine: engine.put(file_job(parcel, "move")))
    assert story == ["sync", f"rename {parcel.parent.name} new", "sync_dir new"]
    assert not parcel.exists()
    assert world.engine.body(world.take()) == b"a,b\n1,2\n"


def test_a_file_is_linked_in_by_one_link_after_a_sync_of_its_content(world: World, parcel: Path) -> None:
    story = recorded(world, lambda engine: engine.put(file_job(parcel, "link")))
    assert story == ["sync", f"link {parcel.parent.name} new", "sync_dir new"]
    claim = world.take()
    assert claim.inode == parcel.stat().st_ino
    world.engine.finish(claim)
    assert parcel.read_bytes() == b"a,b\n1,2\n"


def test_a_file_is_copied_whole_and_synced_before_it_appears(world: World, parcel: Path) -> None:
    story = recorded(world, lambda engine: engine.put(file_job(parcel, "copy")))
    assert story == ["create tmp", "write", "chmod", "sync", "close", "rename tmp new", "sync_dir new"]
    claim = world.take()
    assert claim.inode != parcel.stat().st_ino
    assert world.engine.body(claim) == parcel.read_bytes()


@pytest.mark.parametrize("mode", ["move", "link", "copy"])
def test_options_of_a_file_are_durable_before_the_job_appears(world: World, parcel: Path, mode: str) -> None:
    story = recorded(world, lambda engine: engine.put(file_job(parcel, mode, max_attempts=9)))
    record = story.index("mkdir jobs")
    synced = len(story) - 1 - story[::-1].index("sync_dir jobs")
    writing = [step.split()[0] for step in story[record:synced] if not step.startswith("unlink")]
    assert writing == ["mkdir", "create", "write", "sync", "close", "rename", "sync_dir"]
    assert story[synced - 1].startswith("sync_dir")
    appears = next(i for i, step in enumerate(story) if step.split()[0] in {"rename", "link"} and step.endswith("new"))
    assert synced < appears
    assert world.take().options.max_attempts == 9


@pytest.mark.parametrize("mode", ["move", "link", "copy"])
def test_a_file_without_options_makes_no_record(world: World, parcel: Path, mode: str) -> None:
    world.engine.put(file_job(parcel, mode))
    assert world.dot("jobs") == []
    assert world.ls("new")[0].endswith("-0=parcel.csv")


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_a_file_whose_key_is_taken_leaves_no_record_and_stays_where_it_is(
    world: World, parcel: Path, mode: str
) -> None:
    holder = world.put(key="k")
    placed = world.engine.put(file_job(parcel, mode, key="k"))
    assert (placed.id, placed.created) == (holder, False)
    assert world.dot("jobs") == world.ls("tmp") == []
    assert parcel.exists()


def test_a_file_from_another_file_system_is_copied_and_then_its_source_removed(world: World, parcel: Path) -> None:
    fs = TwoDisksFs(str(parcel))
    placed = world.open(fs).put(file_job(parcel, "move"))
    assert not parcel.exists()
    assert world.drain() == {placed.id: b"a,b\n1,2\n"}


def test_a_keyed_file_from_another_file_system_gets_its_key(world: World, parcel: Path) -> None:
    elsewhere = [place for place in ("/dev/shm", "/tmp", "/var/tmp") if os.stat(place).st_dev != world.root.device]
    if not elsewhere:
        pytest.skip("no second file system here")
    with tempfile.NamedTemporaryFile(dir=elsewhere[0], delete=False) as file:
        file.write(b"far away")
    placed = world.engine.put(file_job(file.name, "move", key="k"))
    assert not os.path.exists(file.name)
    assert world.engine.put(file_job(parcel, "copy", key="k")).id == placed.id
    assert world.drain() == {placed.id: b"far away"}


def test_a_source_that_cannot_be_removed_after_its_copy_is_no_second_job(world: World, parcel: Path) -> None:
    class StickyFs(TwoDisksFs):
        def unlink(self, path: str) -> None:
            if path == self.outside:
                raise of_path(errno.EACCES, path)
            super().unlink(path)

    with pytest.raises(StoreError, match="Permission denied"):
        world.open(StickyFs(str(parcel))).put(file_job(parcel, "move"))
    assert world.jobs() == {}
    assert parcel.exists()


def test_a_link_across_file_systems_is_refused_with_the_way_out(world: World, parcel: Path) -> None:
    with pytest.raises(BadInput, match="mode='copy'"):
        world.open(TwoDisksFs(f"{parcel}")).put(file_job(parcel, "link"))
    assert parcel.exists()
    assert world.jobs() == {}


def _symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("not yours")
    path.symlink_to(target)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


ODD: dict[str, Callable[[Path], object]] = {
    "symlink": _symlink,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "fifo": os.mkfifo,
    "directory": os.mkdir,
    "socket": _socket,
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("mode", ["move", "link", "copy"])
@pytest.mark.parametrize("kind", ODD)
def test_only_a_regular_file_becomes_a_job(
    world: World, tmp_path: Path, kind: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    odd = tmp_path / "odd"
    ODD[kind](odd if kind != "socket" else tmp_path.__class__("odd"))
    with pytest.raises(BadInput, match="file"):
        world.engine.put(file_job(odd, mode))
    assert os.path.lexists(odd) == (kind != "nothing")
    assert world.jobs() == {}


def test_a_file_over_the_limit_is_not_copied_but_can_be_moved(world: World, parcel: Path) -> None:
    engine = world.open(max_payload=3)
    with pytest.raises(BadInput, match="mode='move'"):
        engine.put(file_job(parcel, "copy"))
    assert world.ls("tmp") == []
    engine.put(file_job(parcel, "move"))
    assert world.take().size == 8


def test_the_record_of_a_file_that_could_not_be_submitted_is_removed(world: World, parcel: Path) -> None:
    class FullFs(UnsyncedFs):
        def link(self, source: str, target: str) -> None:
            raise of_path(errno.ENOSPC, target)

    with pytest.raises(StoreError):
        world.open(FullFs()).put(file_job(parcel, "link", max_attempts=2))
    assert world.dot("jobs") == []


def test_a_job_by_file_is_named_by_its_first_name_in_options_only_if_it_was_written_by_us(world: World) -> None:
    job_id = world.put(key="k")
    line = world.take().options
    assert line.name == f"5-{job_id}-0"
    assert records.options(world.root, job_id).name is None


# -- a group's root --------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_who_may_only_submit_syncs_the_job_itself_after_the_rename(tmp_path: Path) -> None:
    nobody = 65534
    path = str(tmp_path / "shared")
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    init(path, slots=1, group=nobody, submit_only=True)

    def submit(tell: Callable[[str], None]) -> None:
        os.setgroups([nobody])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
        os.umask(0o077)
        fs = RecordingFs()
        engine = DirectoryEngine(Root(path, fs=fs))
        fs.done.clear()
        engine.put(new_job(b"hello"))
        for step in fs.story:
            tell(step)

    with Child(submit) as child:
        story = child.hear_all()
    assert story == ["create tmp", "write", "chmod", "sync", "close", "rename tmp new", "sync"]
    (name,) = os.listdir(f"{path}/default/new")
    status = os.stat(f"{path}/default/new/{name}")
    assert (status.st_uid, status.st_mode & 0o777) == (nobody, 0o640)
