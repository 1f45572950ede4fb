"""The commands on a disk that refuses: one line that says what, where and what to do; exit 1; nothing half done."""

from __future__ import annotations

import itertools
import os
import resource
import sys
from typing import TYPE_CHECKING

import pytest

from support.disks import UnsyncedFs
from support.faults import paths_below
from support.fsq import Fsq, Result
from support.mounts import SmallDisk, disk
from workqueue import Producer, cli
from workqueue.engine.root import init
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disk"]

NO_SPACE = "(free some space or inodes on that file system; nothing acknowledged before is lost)"
READ_ONLY = "(remount the file system read-write)"
LEFT = ("load", ".fsq/jobs/", ".fsq/keys/")
"""What may stay where even tidying up needs a descriptor: a queue that init completes, records and a key of no job."""
TOO_MANY = "(raise the limit of open files (ulimit -n))"


@pytest.fixture
def small(disk: SmallDisk, tmp_path: Path) -> Fsq:
    """fsq on a small disk with a file beside the root; the commands run in another place."""
    init(f"{disk.path}/root", slots=2, fs=UnsyncedFs())
    with open(f"{disk.path}/file", "w") as file:
        file.write("content")
    return Fsq(f"{disk.path}/root", tmp_path)


@pytest.fixture
def jobs(small: Fsq) -> dict[str, str]:
    """A job that waits, and one that has failed; their ids."""
    producer = Producer(small.root)
    failed = producer.submit("bad", max_attempts=1, durable=False)
    drain(small.root, lambda job: 1 // 0)
    return {"NEW": producer.submit("good", durable=False).id, "FAILED": failed.id}


def complaint(result: Result, remedy: str) -> str:
    """The one line that a command complained with; a verb on jobs counts first how many it came through with."""
    assert result.status == 1, result.err
    assert result.out == ""
    *counted, line = result.err.splitlines()
    assert [text[:2] for text in counted] in ([], ["0 "])
    assert line.startswith("fsq: cannot ")
    assert remedy in line
    return line


def words_for(words: str, small: Fsq, disk: SmallDisk, ids: dict[str, str]) -> list[str]:
    """A command's words, with the names of this test's things."""
    names = {"ROOT": small.root, "FILE": f"{disk.path}/file", **ids}
    return [names.get(word, word) for word in words.split()]


SUBMITS = [
    "submit 1",
    "submit 1 --volatile",
    "submit 1 --delay 1h",
    "submit 1 --key k",
    "submit --lines",
    "submit --file FILE",
    "submit --file FILE --mode move --max-attempts 3",
    "submit --file FILE --mode link --timeout 1m",
]


@pytest.mark.parametrize(
    ("what", "words"),
    [*itertools.product(["space", "inodes"], SUBMITS), ("inodes", "init -q load ROOT")],
)
def test_a_full_disk_refuses_what_needs_room(
    small: Fsq, disk: SmallDisk, jobs: dict[str, str], what: str, words: str
) -> None:
    disk.fill(what)
    before = paths_below(disk.path)
    result = small("-r", small.root, *words_for(words, small, disk, jobs), stdin=b'{"n":1}\n')
    line = complaint(result, NO_SPACE)
    assert "No space left on device: '/" in line
    left = {path for path in paths_below(disk.path) if not path.startswith("root/load")}
    assert left == set(before)


def test_a_full_disk_lets_pass_what_makes_room_or_only_looks(small: Fsq, disk: SmallDisk, jobs: dict[str, str]) -> None:
    disk.fill("inodes")
    for words in ("ls", "stats", "show FAILED", "retry FAILED", "cancel NEW", "cancel FAILED"):
        result = small("-r", small.root, *words_for(words, small, disk, jobs))
        assert (result.status, "fsq: " in result.err) == (0, False), words
    assert small.ls() == {}


@pytest.mark.parametrize(
    "words",
    [*SUBMITS, "submit --file FILE --mode move", "submit --file FILE --mode link", "init -q load ROOT",
     "retry FAILED", "rm FAILED", "cancel NEW"],
)  # fmt: skip
def test_a_read_only_disk_refuses_every_change(small: Fsq, disk: SmallDisk, jobs: dict[str, str], words: str) -> None:
    disk.make_read_only()
    before = paths_below(disk.path)
    result = small("-r", small.root, *words_for(words, small, disk, jobs), stdin=b'{"n":1}\n')
    assert "Read-only file system: '/" in complaint(result, READ_ONLY)
    assert paths_below(disk.path) == before


@pytest.mark.parametrize("words", ["ls", "stats", "show FAILED"])
def test_a_read_only_disk_can_be_looked_at(small: Fsq, disk: SmallDisk, jobs: dict[str, str], words: str) -> None:
    disk.make_read_only()
    result = small("-r", small.root, *words_for(words, small, disk, jobs))
    assert (result.status, result.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    ["submit 1", "submit 1 --key k", "submit --file file --max-attempts 3", "submit --lines", "ls", "stats",
     "show FAILED", "retry FAILED", "rm FAILED", "cancel NEW", "init -q load"],
)  # fmt: skip
def test_with_too_few_descriptors_a_command_works_or_says_so(fsq: Fsq, words: str) -> None:
    """From none at all to as many as it needs."""
    fsq.write("file", "content")
    failed = Producer(fsq.root).submit("bad", max_attempts=1, durable=False).id
    drain(fsq.root, lambda job: 1 // 0)
    ids = {"FAILED": failed, "NEW": Producer(fsq.root).submit("good", durable=False).id}
    text = [ids.get(word, word) for word in words.split()]

    def limited(most: int) -> object:
        os.closerange(3, 1024)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, 4096))
        sys.argv = ["fsq", "-r", fsq.root, *text] if text[0] != "init" else ["fsq", *text, fsq.root]
        return cli.main()

    for most in range(3, 20):
        before = set(paths_below(fsq.root))
        running = fsq.fork(lambda most=most: limited(most), stdin=b'{"n":1}\n')  # type: ignore[misc]
        if running.wait() == 0:
            assert "fsq: " not in running.err
            assert most > 3
            return
        assert "Too many open files" in complaint(Result(running.wait(), running.out, running.err), TOO_MANY)
        assert before <= set(paths_below(fsq.root))
        assert all(path.startswith(LEFT) for path in set(paths_below(fsq.root)) - before)
    pytest.fail(f"16 descriptors are not enough for {words}")
