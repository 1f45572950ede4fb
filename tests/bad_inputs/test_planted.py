"""Rows 5 to 11: what strangers put into new/. It is run, left alone or moved aside, and never followed, opened or lost."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bad_inputs.places import HANDLER, Place, a_place
from engine.test_claims import FOREIGN, NAMES
from engine.worlds import NOBODY, plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bad_inputs.users import User

RUNS, CORRUPT, STAYS, SKIPPED, OPENED = "runs", "corrupt", "stays, not looked at", "stays, told once", "a batch"
CONTENT = b"whole\n\0\xff content "
HIDDEN = ("file", "fifo", "directory", "link")


@dataclass
class Thing:
    """Something in new/, and what is to become of it."""

    row: int
    kind: str
    name: bytes
    make: Callable[[str], object]
    fate: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.row} {self.kind} {ascii(self.name[:24])[2:-1]}"


class Before(NamedTuple):
    """What there was of it when it was planted."""

    inode: int
    mode: int
    content: object


def file_with(data: bytes) -> Callable[[str], object]:
    """Make a file."""

    def make(path: str) -> None:
        with open(path, "xb") as file:
            file.write(data)

    return make


def content_of(path: str) -> object:
    """What a thing holds, without opening what would block."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISDIR(mode):
        return sorted((name, str(content_of(f"{path}/{name}"))) for name in os.listdir(path))
    if stat.S_ISREG(mode):
        with contextlib.suppress(PermissionError), open(path, "rb") as file:
            return file.read()
    return os.lstat(path).st_rdev


def hidden(kind: str) -> Callable[[str], object]:
    """Make a thing of a kind, for a name that begins with a dot."""
    makers = {"fifo": os.mkfifo, "directory": os.mkdir, "link": lambda path: os.symlink("../../../outside", path)}
    return makers.get(kind, file_with(b"hidden"))


def device(path: str) -> None:
    """Make a device node like /dev/zero, which would be read for ever."""
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def of_another(mode: int, owner: int) -> Callable[[str], object]:
    """Make a file that belongs to somebody else."""

    def make(path: str) -> None:
        file_with(CONTENT + os.path.basename(path).encode())(path)
        os.chmod(path, mode)
        os.chown(path, owner, owner)

    return make


def closed_file(path: str) -> None:
    """Make a file that not even its owner may read, unless that is root."""
    file_with(CONTENT + b"closed")(path)
    os.chmod(path, 0)


def closed_directory(path: str) -> None:
    """Make root's own directory, of which nobody else may move anything."""
    os.makedirs(f"{path}/inside")
    os.chmod(path, 0o700)
    os.chown(path, 0, 0)


def linked(path: str) -> None:
    """Give a stranger's file a second name in the queue."""
    outside = os.path.abspath(f"{path}/../../../../linked")
    file_with(CONTENT + b"linked")(outside)
    os.chmod(outside, 0o640)
    os.utime(outside, (1000, 1000))
    os.link(outside, path)


def things() -> Iterator[Thing]:
    """All that is planted, for root and an ordinary user alike."""
    for kind in HIDDEN:
        yield Thing(5, f"hidden {kind}", f".{kind}".encode(), hidden(kind), STAYS)
    for name in (*NAMES, b"+..", plain_name(number=70).encode() + b"=.."):
        yield Thing(6, "file", name, file_with(CONTENT + name), RUNS)
    number = 100
    for kind, (make, told) in {**FOREIGN, "device": (device, "a device")}.items():
        row = 7 if "link" in kind else 8 if kind == "fifo" else 9
        for like in ("alien", "job", "batch"):
            number += 1
            plain = plain_name(number=number)
            text = {"alien": f"alien {kind}", "job": plain, "batch": f"{plain[:-1]}b"}[like]
            if not (like == "batch" and kind.endswith(" directory")):  # that is a batch
                yield Thing(row, kind, text.encode(), make, CORRUPT, f"{told}, not a file")
    yield Thing(10, "hard link", b"linked.csv", linked, RUNS)
    yield Thing(11, "own, mode 000", b"closed", closed_file, "")
    yield Thing(11, "another's, readable", b"readable", of_another(0o644, NOBODY - 1), RUNS)
    yield Thing(11, "another's", b"another's", of_another(0o600, NOBODY - 1), "")
    yield Thing(11, "another's job", plain_name(number=1).encode() + b"=x", of_another(0, NOBODY - 1), "")
    yield Thing(11, "root's directory", b"root's", closed_directory, "")
    yield Thing(11, "root's batch", plain_name(number=2)[:-1].encode() + b"b", closed_directory, "")


THINGS = list(things())


def fate(thing: Thing, user: User) -> tuple[str, str]:
    """What becomes of it, and why; an ordinary user's worker cannot do with others' files what root's can."""
    if thing.fate:
        return thing.fate, thing.reason
    if thing.make is closed_directory and not user.is_root:
        return SKIPPED, "Permission denied"
    if thing.make is closed_directory:
        return (OPENED, "") if thing.name.endswith(b"-b") else (CORRUPT, "a directory, not a file")
    return (RUNS, "") if user.is_root else (CORRUPT, "cannot be opened: Permission denied")


class Planting:
    """All of it, planted in one queue and worked off by one worker."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.before: dict[str, Before] = {}
        for thing in THINGS:
            path = place.at("new", thing.name)
            try:
                thing.make(path)
            except PermissionError:  # only root can make it
                subprocess.run(["rm", "-rf", "--", path], check=True)
                continue
            if "'s" not in thing.kind:
                place.user.own(path)
            status = os.lstat(path)
            self.before[str(thing)] = Before(status.st_ino, status.st_mode, content_of(path))
        self.outcome = place.run()


@pytest.fixture(scope="module")
def planting(user: User) -> Iterator[Planting]:
    with a_place(user) as place:
        yield Planting(place)


@pytest.mark.parametrize("thing", THINGS, ids=str)
def test_what_is_planted_in_new_has_one_fate(planting: Planting, thing: Thing) -> None:
    before = planting.before.get(str(thing))
    if before is None:
        pytest.skip("only root can plant it")
    where = planting.place.find(before.inode)
    wanted, reason = fate(thing, planting.place.user)
    name = os.fsdecode(thing.name)
    if wanted == RUNS:
        assert isinstance(before.content, bytes)
        [run] = planting.outcome.ran(before.content)
        assert (run["attempt"], run["crc"]) == (1, zlib.crc32(before.content))
        assert where is None
    elif wanted == OPENED:
        assert where is None
        assert [name for name in planting.place.names("corrupt") if name.endswith("=inside")]
    elif wanted == CORRUPT:
        assert where is not None
        state, _, moved = where.partition("/")
        assert (state, planting.outcome.reason(moved)) == ("corrupt", reason)
    else:
        assert where == f"new/{name}"
        told = [line["reason"] for line in planting.outcome.told("unclaimable") if line["name"] == name]
        assert told == ([reason] if wanted == SKIPPED else [])
    if where is not None:
        path = f"{planting.place.root}/default/{where}"
        assert (os.lstat(path).st_mode, content_of(path)) == (before.mode, before.content)


LABELS = ("..", ".", "...", "-rf", "a\nb", "\x1b[31m", "\udcff", "x" * 222)
BY_PATH = f"""{HANDLER}
def by_path(job):
    with open(job.path, "rb") as file:
        assert file.read() == job.body
    load(job)
"""


def test_a_label_that_is_no_plain_name_leads_nowhere(place: Place) -> None:
    """`job.path` of a job with options is a copy called by the label: it lies where it should, whatever that is."""
    place.write("etl.py", BY_PATH)
    for number, label in enumerate(LABELS):
        place.plant(f"{plain_name(number=number)}+{label}", b'{"fsq":1,"type":"bytes"}\n%d' % number)
    outcome = place.run("-H", "etl:by_path")
    ran = {run["body"]: run["attempt"] for run in outcome.runs}
    assert {label: ran.get(str(number)) for number, label in enumerate(LABELS)} == dict.fromkeys(LABELS, 1)


def test_every_command_can_be_used_on_what_was_moved_aside(place: Place) -> None:
    """Listed, shown, tried again and removed: neither followed nor opened by any of them."""
    kept = {}
    for number, (kind, (make, _)) in enumerate(FOREIGN.items()):
        path = place.at("new", plain_name(number=number + 1))
        make(path)
        place.user.own_all(path)
        kept[kind] = os.lstat(path).st_ino
    place.run()
    for words in (["ls", "corrupt"], ["ls", "corrupt", "--json"], ["stats"], ["stats", "--json"]):
        result = place.fsq(*words)
        assert (result.status, result.err) == (0, "")
        assert str(len(FOREIGN)) in result.out or len(result.out.splitlines()) == len(FOREIGN)
    for number, name in enumerate(place.names("corrupt")):
        result = place.fsq("show", name[2:28], *["--json"][: number % 2])
        assert (result.status, result.err) == (0, "")
        assert "not a file" in result.out
    assert place.fsq("retry", "--all", "corrupt").status == 0
    assert {str(place.find(inode)).partition("/")[0] for inode in kept.values()} == {"new"}
    assert place.drained().status == 3, "drained, but not all of it is done"
    assert {str(place.find(inode)).partition("/")[0] for inode in kept.values()} == {"corrupt"}
    assert place.fsq("rm", "--all", "corrupt").status == 0
    assert place.names("corrupt") == place.names("new") == []
    place.canary.check()


OTHER_SPACES = ("tmp", "later", "cur", "held", "done", "failed", "corrupt")


def test_what_is_planted_in_another_space_is_never_deleted(place: Place) -> None:
    """A link, a fifo, a full directory, a stranger's file: moved on or aside, or left where it is."""
    kept: dict[str, int] = {}
    for number, space in enumerate(OTHER_SPACES):
        for kind, (make, _) in FOREIGN.items():
            for name in (f"{kind} {space}", plain_name(at_ms=number, number=len(kept), attempt=1)):
                path = place.at(space, name)
                make(path)
                place.user.own_all(path)
                kept[f"{space}: {kind} as {name}"] = os.lstat(path).st_ino
        if space not in {"later", "cur"}:  # there it would be run, and is done then
            kept[f"{space}: file"] = place.plant(f"a stranger's words {space}", b"words", space)
    outcome = place.drained()
    assert len(outcome.ran(b"before")) == 1
    assert "Traceback" not in outcome.err
    found = place.found()
    assert {kind for kind, inode in kept.items() if inode not in found} == set()


def test_a_dead_workers_claim_that_cannot_be_read_is_moved_aside_and_told_of(place: Place) -> None:
    """In one line, like what is found in new/."""
    for number, (make, _) in enumerate(FOREIGN.values(), 1):
        path = place.at("cur", f"{plain_name(number=number, attempt=1)}@3.{number:04d}")
        make(path)
        place.user.own_all(path)
    place.plant(f"{plain_name(number=50, attempt=1)}@3.torn", b'{"fsq":1', "cur")
    place.run()
    assert len(place.names("corrupt")) == len(FOREIGN) + 1
