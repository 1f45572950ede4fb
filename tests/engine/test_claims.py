"""Claim: one rename, one winner; what cannot be read goes to corrupt/, and stops nothing."""

from __future__ import annotations

import errno
import json
import mailbox
import os
import pickle
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.children import Child, children
from engine.disks import FullRecordingFs, LyingFs
from engine.worlds import NOBODY, SLOT, World, nobodys_world, plain_name
from support.disks import UnsyncedFs
from workqueue.engine.protocol import Claim, Corrupted, Unclaimable
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.errors import StoreError, of_path
from workqueue.jobs import names
from workqueue.jobs.content import LONGEST_LINE, Damaged, decode_payload
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def deal_all(world: World) -> list[Claim | Corrupted]:
    """Take everything in new/ as a worker would, in the dealer's order."""
    dealer = QueueDealer(world.root, "default")
    dealer.refresh(now=True)
    taken = []
    for hint in dealer.deal(1000):
        found = world.engine.take("default", hint, SLOT)
        assert found is not None
        taken.append(found)
    return taken


# -- the arrow -------------------------------------------------------------------------------------------------


def test_a_run_of_a_plain_job_is_rename_open_and_unlink(world: World) -> None:
    world.put()
    (hint,) = world.ls("new")
    fs = FullRecordingFs()
    engine = world.open(fs)
    fs.done.clear()
    claim = world.take(hint, engine)
    engine.body(claim)
    engine.finish(claim)
    assert fs.story == ["rename new cur", "open cur", "unlink cur"]
    assert world.jobs() == {}


def test_the_claim_counts_the_attempt_and_names_the_worker(world: World) -> None:
    job_id = world.put(label="july", priority=3)
    claim = world.take(slot=7)
    assert world.ls("new") == []
    assert world.ls("cur") == [os.path.basename(claim.path)]
    head, run = world.ls("cur")[0].split("@7.")
    assert head == f"3-{job_id}-1"
    assert (run[4:], claim.name.attempt) == ("+july", 1)


def test_two_claims_of_one_job_have_names_of_their_own(world: World) -> None:
    world.put()
    seen = set()
    for _ in range(20):
        claim = world.take()
        seen.add(claim.name.owner)
        world.engine.release(claim)
    assert len(seen) == 20


def test_the_loser_of_a_claim_gets_none(world: World) -> None:
    world.put()
    (hint,) = world.ls("new")
    world.take(hint)
    assert world.engine.take("default", hint, 4) is None
    assert world.engine.take("default", "B/none", 4) is None


def test_a_claim_that_somebody_moves_out_of_cur_before_it_is_read_is_a_lost_race(world: World) -> None:
    class Thief(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            os.unlink(target)

    world.put()
    assert world.open(Thief()).take("default", world.ls("new")[0], SLOT) is None


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT, errno.ESTALE])
def test_a_claiming_rename_that_happened_though_it_reported_failure_is_a_claim(world: World, code: int) -> None:
    job_id = world.put(b"mine")
    engine = world.open(LyingFs(code))
    claim = world.take(engine=engine)
    assert (claim.id, engine.body(claim)) == (job_id, b"mine")
    assert world.ls("cur") == [os.path.basename(claim.path)]


def test_of_two_processes_that_claim_the_same_names_one_wins_each(world: World) -> None:
    world.put_many([b"%d" % i for i in range(40)], durable=False)
    for number in range(40):
        world.plant(f"bare-{number}")
    (batch,) = [text for text in world.ls("new") if names.is_batch(text)]
    inside = [f"{batch}/{name}" for name in os.listdir(world.at("new", batch))]
    hints = [*inside, *(f"bare-{number}" for number in range(40))]

    def claim_all(slot: int) -> Callable[[Callable[[str], None]], None]:
        def run(tell: Callable[[str], None]) -> None:
            engine = world.open()
            for hint in hints:
                if isinstance(engine.take("default", hint, slot), Claim):
                    tell(hint)

        return run

    with children(claim_all(1), claim_all(2)) as (one, other):
        won = one.hear_all() + other.hear_all()
    assert sorted(won) == sorted(hints)
    assert len(world.ls("cur")) == 80


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_a_disk_that_refuses_a_claim_is_an_error_and_says_nothing_about_the_job(world: World, code: int) -> None:
    class BrokenFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            raise of_path(code, source)

    job_id = world.put()
    with pytest.raises(StoreError, match=job_id) as caught:
        world.open(BrokenFs()).take("default", world.ls("new")[0], SLOT)
    assert caught.value.errno == code
    assert world.jobs() == {job_id: State.NEW}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EBUSY, errno.EXDEV])
def test_a_name_that_cannot_be_renamed_is_unclaimable_and_known_by_its_inode(world: World, code: int) -> None:
    class StickyFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            raise of_path(code, source)

    world.put()
    (hint,) = world.ls("new")
    with pytest.raises(Unclaimable, match=os.strerror(code)) as caught:
        world.open(StickyFs()).take("default", hint, SLOT)
    assert caught.value.inode == os.stat(world.at("new", hint)).st_ino
    assert (caught.value.queue, caught.value.hint) == ("default", hint)


def test_a_name_that_is_gone_when_its_rename_fails_was_lost_to_another(world: World) -> None:
    class RacedFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            os.unlink(source)
            raise of_path(errno.EACCES, source)

    world.put()
    assert world.open(RacedFs()).take("default", world.ls("new")[0], SLOT) is None


# -- names and producers that are not ours ---------------------------------------------------------------------


@pytest.mark.parametrize("space", ["later", "cur"])
def test_mv_into_new_makes_a_job_of_any_state_ready(world: World, space: str) -> None:
    job_id = world.put(b"moved", due=4764000000000 if space == "later" else None)
    if space == "cur":
        world.take()
    (text,) = world.ls(space)
    subprocess.run(["mv", "-n", world.at(space, text), world.at("new")], check=True)
    claim = world.take()
    assert claim.id == job_id
    assert claim.name.due is None
    assert claim.name.attempt == (1 if space == "later" else 2)
    assert len(world.ls("cur")[0].split("@")) == 2
    assert world.engine.body(claim) == b"moved"


NAMES = [
    b"plain.csv",
    b"with\nnewline",
    b"not-utf-8-\xff\xfe",
    "ünïcode-☃".encode(),
    b"-rf",
    b"x" * 255,
    b"\xf0\x9f\x98\x80" * 63,
    b";id",
    b"backup~",
    b"\x1b[31mred",
    b"a b\tc",
    b"5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-b",
    b"5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=" + b"l" * 224,
    b"5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=" + "ä".encode() * 112,
    b"5-01jd8z7q4m9x3v2t6b1c0n5key-0",
    b"@3.abcd",
    b"1764000000000-later-looking",
]


@pytest.mark.parametrize("raw", NAMES, ids=lambda raw: ascii(raw[:30]))
def test_a_file_of_any_name_that_is_moved_into_new_is_run_with_its_whole_content(world: World, raw: bytes) -> None:
    world.plant(os.fsdecode(raw), b"whole\n\0\xff content")
    (claim,) = deal_all(world)
    assert isinstance(claim, Claim)
    assert world.engine.body(claim) == b"whole\n\0\xff content"
    assert (claim.offset, claim.name.whole, claim.name.attempt) == (0, True, 1)
    assert world.engine.defer(claim, 0)
    assert len(world.ls("later")) == 1
    assert world.drain() == {claim.id: b"whole\n\0\xff content"}


def test_a_bare_job_is_labelled_by_its_file_name_and_gets_an_id(world: World) -> None:
    world.plant("Ärger mit\nNamen.csv")
    claim = world.take("Ärger mit\nNamen.csv")
    assert claim.name.label == "Ärger_mit_Namen.csv"
    assert names.parse(os.path.basename(claim.path)) == claim.name
    assert world.engine.find(claim.id) is not None


def test_a_file_of_json_is_a_json_payload_and_one_of_bytes_stays_bytes(world: World) -> None:
    for name, data, value in (("a", b'{"n": 1}', {"n": 1}), ("b", b"[oops", b"[oops"), ("c", b"7", b"7")):
        world.plant(name, data)
        claim = world.take(name)
        assert decode_payload(world.engine.body(claim), claim.options.type, whole=claim.name.whole) == value


def test_an_empty_bare_file_is_a_job_without_content(world: World) -> None:
    world.plant("empty", b"")
    claim = world.take("empty")
    assert world.engine.body(claim) == b""


def test_maildir_add_is_a_producer(world: World) -> None:
    message = b"Subject: run me\n\nbody\n"
    mailbox.Maildir(world.at("new").removesuffix("/new")).add(message)
    (claim,) = deal_all(world)
    assert isinstance(claim, Claim)
    assert world.engine.body(claim) == message


def test_a_job_in_another_language_may_leave_out_length_and_checksum(world: World) -> None:
    world.plant(plain_name(), b'{"fsq":1,"max_attempts":9,"colour":"blue"}\n[1]')
    claim = world.take()
    assert claim.options.max_attempts == 9
    assert world.engine.body(claim) == b"[1]"


def test_a_file_hard_linked_from_outside_is_run_and_never_modified(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "mine.csv"
    outside.write_bytes(b"mine")
    outside.chmod(0o640)
    os.utime(outside, (1000, 1000))
    os.link(outside, world.at("new", "mine.csv"))
    claim = world.take("mine.csv")
    assert world.engine.body(claim) == b"mine"
    world.engine.finish(claim)
    status = outside.stat()
    assert (status.st_mode & 0o777, status.st_mtime, status.st_nlink) == (0o640, 1000, 1)
    assert outside.read_bytes() == b"mine"


# -- payloads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LONGEST_LINE - 100, LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE])
def test_a_payload_of_any_size_is_read_back_byte_for_byte(world: World, size: int) -> None:
    data = os.urandom(size)
    world.put(data)
    claim = world.take()
    assert claim.size == size
    assert world.engine.body(claim) == data
    with world.engine.open_payload(claim) as file:
        assert file.read(size + 1) == data


def test_a_small_payload_is_read_once_with_line_1(world: World) -> None:
    fs = FullRecordingFs()
    world.put(b"small")
    engine = world.open(fs)
    claim = world.take(engine=engine)
    fs.done.clear()
    assert engine.body(claim) == b"small"
    assert fs.done == []


def test_the_path_of_a_whole_file_job_is_the_claim_itself(world: World) -> None:
    world.plant("data.csv", b"1,2")
    claim = world.take("data.csv")
    assert world.engine.payload_path(claim) == claim.path
    assert world.dot("stage") == []


def test_the_path_of_another_job_is_a_copy_that_goes_with_its_run(world: World) -> None:
    world.put(b"content", label="data.csv")
    claim = world.take()
    path = world.engine.payload_path(claim)
    assert os.path.basename(path) == "data.csv"
    assert Path(path).read_bytes() == b"content"
    assert world.engine.payload_path(claim) == path
    world.engine.finish(claim)
    assert world.dot("stage") == []


# -- what cannot be read ---------------------------------------------------------------------------------------


def _tree(path: str) -> None:
    os.makedirs(f"{path}/deep/er")
    Path(f"{path}/deep/file").write_text("kept")


def _socket(path: str) -> None:
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(os.path.basename(path))
    finally:
        os.chdir(here)


FOREIGN: dict[str, tuple[Callable[[str], object], str]] = {
    "fifo": (os.mkfifo, "a fifo"),
    "dangling link": (lambda path: os.symlink("/nonexistent/x", path), "a symbolic link"),
    "link to itself": (lambda path: os.symlink(os.path.basename(path), path), "a symbolic link"),
    "link to a directory": (lambda path: os.symlink("../../../outside", path), "a symbolic link"),
    "link to a file": (lambda path: os.symlink("../../../outside/file", path), "a symbolic link"),
    "socket": (_socket, "a socket"),
    "full directory": (_tree, "a directory"),
    "empty directory": (os.mkdir, "a directory"),
}


ALIEN, BATCH = "alien", plain_name()[:-1] + "b"
PLACES = [
    (kind, name)
    for kind in FOREIGN
    for name in (ALIEN, plain_name(), BATCH, f"{BATCH}/inside")
    if not (kind.endswith(" directory") and name == BATCH)  # that is a batch, and has tests of its own
]


@pytest.mark.parametrize(("kind", "name"), PLACES)
def test_a_foreign_thing_in_new_goes_to_corrupt_and_good_jobs_before_and_after_it_run(
    world: World, tmp_path: Path, kind: str, name: str
) -> None:
    make, told = FOREIGN[kind]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("not yours")
    (outside / plain_name(number=9)).write_text("a stranger's")
    before = world.put(b"before", priority=0)
    path = world.at("new", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    make(path)
    kept = os.lstat(path)
    after = world.put(b"after", priority=9)

    dealer = QueueDealer(world.root, "default")
    dealer.refresh(now=True)
    found = [world.engine.take("default", hint, SLOT) for hint in dealer.deal(10)]
    assert [type(item).__name__ for item in found] == ["Claim", "Corrupted", "Claim"]
    corrupted = found[1]
    assert isinstance(corrupted, Corrupted)
    assert corrupted.reason == f"{told}, not a file"
    assert world.ls("corrupt") == [corrupted.name]
    moved = os.lstat(world.at("corrupt", corrupted.name))
    assert (moved.st_ino, moved.st_mode) == (kept.st_ino, kept.st_mode)
    assert {claim.id for claim in found if isinstance(claim, Claim)} == {before, after}
    quarantined = names.parse(corrupted.name)
    assert quarantined is not None
    assert world.engine.errors(quarantined.id)[0]["message"] == corrupted.reason
    assert sorted(os.listdir(outside)) == sorted(["file", plain_name(number=9)])
    assert (outside / "file").read_text() == "not yours"
    if kind == "full directory":
        assert Path(world.at("corrupt", corrupted.name), "deep", "file").read_text() == "kept"


def test_a_stranger_in_a_batch_is_moved_aside_and_the_batch_goes_on(world: World) -> None:
    ids = world.put_many([b"a", b"b"])
    (batch,) = world.ls("new")
    Path(world.at("new", batch), "stranger.csv").write_text("c")
    os.mkfifo(world.at("new", f"{batch}/pipe"))
    found = deal_all(world)
    assert {item.id for item in found if isinstance(item, Claim)} >= set(ids)
    assert [item.reason for item in found if isinstance(item, Corrupted)] == ["a fifo, not a file"]
    assert len(found) == 4


@ONLY_ROOT
def test_a_file_that_its_reader_may_not_open_goes_to_corrupt(tmp_path: Path) -> None:
    world = nobodys_world(tmp_path)
    os.chmod(world.plant("secret", b"of root"), 0)

    def take(tell: Callable[[str], None]) -> None:
        os.seteuid(NOBODY)
        tell(world.take_corrupt("secret").reason)

    with Child(take) as child:
        assert child.hear_all() == ["cannot be opened: Permission denied"]
    (name,) = world.ls("corrupt")
    assert Path(world.at("corrupt", name)).read_bytes() == b"of root"


GOOD = b'{"fsq":1,"len":2,"crc":1223498473}\n42'
DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "no line": b'{"fsq":1',
    "truncated line": b'{"fsq":1,"max_att\n1',
    "truncated payload": GOOD[:-1],
    "trailing garbage": GOOD + b"\n",
    "flipped bit": GOOD[:-1] + b"3",
    "NULs": b"\0" * 4096,
    "binary": bytes(range(256)) * 4,
    "later format": b'{"fsq":12}\n1',
    "no object": b'["fsq",1]\n1',
    "deep options": b'{"fsq":1,"headers":' + b"[" * 20_000 + b"\n",
    "wrong type": b'{"fsq":1,"max_attempts":"many"}\n1',
    "huge number": b'{"fsq":1,"max_attempts":' + b"9" * 5000 + b"}\n1",
    "not UTF-8": b'{"fsq":1,"key":"\xff"}\n1',
    "byte order mark": b'\xef\xbb\xbf{"fsq":1}\n1',
    "line without end": b'{"fsq":1,"key":"' + b"k" * 2 * LONGEST_LINE,
    "pickle": pickle.dumps(threading.Event),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_content_goes_to_corrupt_at_once_and_unchanged(world: World, kind: str) -> None:
    name = plain_name()
    world.plant(name, DAMAGED[kind])
    found = world.take_corrupt(name)
    assert found.reason
    assert world.ls("cur") == world.ls("new") == []
    assert Path(world.at("corrupt", found.name)).read_bytes() == DAMAGED[kind]
    (error,) = world.engine.errors(name[2:28])
    assert (error["kind"], error["message"], error["attempt"]) == ("corrupt", found.reason, 1)


def test_a_large_payload_is_checked_when_it_is_read(world: World) -> None:
    world.put(b"x" * 3 * LONGEST_LINE)
    (name,) = world.ls("new")
    with open(world.at("new", name), "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"y")
    claim = world.take()
    with pytest.raises(Damaged, match="checksum"):
        world.engine.body(claim)
    assert world.engine.corrupt(claim, "the payload's checksum does not match")
    assert len(world.ls("corrupt")) == 1
    assert world.ls("cur") == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("json", b"[" * 200_000),
        ("json", b'{"a":'),
        ("json", b"NaN"),
        ("json", b'"\\ud800"'),
        ("text", b"\xff"),
    ],
)
def test_a_payload_that_is_not_of_its_kind_is_damaged_and_no_crash(world: World, kind: str, data: bytes) -> None:
    world.put(data, kind=kind)
    claim = world.take()
    with pytest.raises(Damaged):
        decode_payload(world.engine.body(claim), kind)


def test_a_whole_file_whose_options_cannot_be_read_goes_to_corrupt(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"data")
    job_id = world.put(b"", file=str(path), mode="move", max_attempts=2)
    os.unlink(world.root.dot("jobs", job_id, "options"))
    os.mkdir(world.root.dot("jobs", job_id, "options"))
    assert "options" in world.take_corrupt(world.ls("new")[0]).reason


def test_two_bare_files_of_one_name_are_both_kept_in_quarantine(world: World) -> None:
    for target in ("/nonexistent/1", "/nonexistent/2"):
        os.symlink(target, world.at("new", "same"))
        world.take_corrupt("same")
    assert {os.readlink(world.at("corrupt", name)) for name in world.ls("corrupt")} == {
        "/nonexistent/1",
        "/nonexistent/2",
    }


@pytest.mark.parametrize("second", ["file", "directory"])
@pytest.mark.parametrize("first", ["file", "directory"])
def test_two_damaged_things_of_one_jobs_name_are_both_kept_in_quarantine(world: World, first: str, second: str) -> None:
    for number, kind in enumerate((first, second)):
        if kind == "file":
            world.plant(plain_name(), b"damaged %d" % number)
        else:
            os.makedirs(world.at("new", f"{plain_name()}/{number}"))
        world.take_corrupt(plain_name())
    assert len(world.ls("corrupt")) == 2
    assert world.ls("cur") == []


def test_a_quarantine_whose_reason_cannot_be_written_still_happens(world: World) -> None:
    class FullFs(UnsyncedFs):
        def append(self, path: str, data: bytes) -> None:
            raise of_path(errno.ENOSPC, path)

        def mkdir(self, path: str, mode: int = 0o700) -> None:
            raise of_path(errno.ENOSPC, path)

    world.plant(plain_name(), b"")
    assert world.take_corrupt(plain_name(), world.open(FullFs())).reason == "empty"
    assert len(world.ls("corrupt")) == 1


def test_a_quarantine_of_what_was_moved_away_is_a_lost_race(world: World) -> None:
    world.put()
    claim = world.take()
    os.unlink(claim.path)
    assert not world.engine.corrupt(claim, "gone")


def test_a_disk_that_cannot_be_read_is_an_error_and_no_quarantine(world: World) -> None:
    class BadFs(UnsyncedFs):
        def open(self, path: str) -> int:
            if "/cur/" in path:
                raise of_path(errno.EIO, path)
            return super().open(path)

    world.put()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        world.open(BadFs()).take("default", world.ls("new")[0], SLOT)
    assert len(world.ls("cur")) == 1
    assert world.ls("corrupt") == []


def test_the_reason_is_one_line_of_json_beside_the_job(world: World) -> None:
    world.plant(plain_name(), b"")
    world.take_corrupt(plain_name())
    job_id = plain_name()[2:28]
    text = Path(world.root.dot("jobs", job_id, "errors.jsonl")).read_text()
    assert json.loads(text)["message"] == "empty"
